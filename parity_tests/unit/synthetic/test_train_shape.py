"""Shape models from rendered faces, and where the patches of experts come from."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.models.synthetic.render import render_photograph
from auparity.models.synthetic.training import shape as train_shape
from auparity.models.synthetic.training.expert_samples import (
    apparent_rotations,
    collect,
    faces_of,
    left_eyes_of,
    similarity,
)
from auparity.models.synthetic.training.samples import FIELDS, PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_28, MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.fit_shape import fit_shape
from auparity.reference.pdm import ShapeModel


@pytest.fixture(scope="module")
def photos():
    pictures = [render_photograph(3_200_000 + k, canvas=(320, 320), yaw=40.0) for k in range(24)]
    return PhotoSet(
        **{
            name: np.stack([p.image if name == "images" else getattr(p.truth, name) for p in pictures]).astype(dtype)
            for name, (_, dtype) in FIELDS.items()
        }
    )


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("shape"))
    many = PhotoSet(**{name: np.concatenate([getattr(photos, name)] * 2) for name in FIELDS})
    train_shape.train(workspace, many, photos)
    return workspace


def test_mirrors_undo_themselves():
    for mirror in (MIRROR_68, MIRROR_28):
        np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))


def test_the_mirror_image_of_an_eye_is_the_other_eye(photos):
    left, right = photos.eye_landmarks[0]
    for a, b in ((left, right), (right, left)):
        flipped = b[MIRROR_28] * [-1, 1]
        # The same point stands at the same place of its eye: lid corners are the outermost, iris rings go round.
        shift = a[8:20].mean(axis=0) - flipped[8:20].mean(axis=0)
        assert np.abs(a[8:20] - flipped[8:20] - shift).max() < 0.35 * np.ptp(a[8:20, 0])
        centre = flipped[:8].mean(axis=0)
        turns = np.arctan2(*(a[:8] - a[:8].mean(axis=0)).T) - np.arctan2(*(flipped[:8] - centre).T)
        assert (np.abs((turns + np.pi) % (2 * np.pi) - np.pi) < 0.6).all()


def test_the_model_has_openfaces_shape_and_orthonormal_modes(trained):
    pdm = train_shape.load_pdm(trained, "pdm")
    assert (pdm.n_points, pdm.n_modes) == (68, 34)
    np.testing.assert_allclose(pdm.components.T @ pdm.components, np.eye(34), atol=1e-5)
    assert (pdm.eigenvalues > 0).all()
    assert (np.diff(pdm.eigenvalues) <= 0).all()
    mean = pdm.mean.reshape(3, 68)
    np.testing.assert_allclose(mean.mean(axis=1), 0, atol=1e-3)
    assert mean[2, 30] < mean[2, [0, 16]].min(), "the nose is nearer to the camera than the ears"
    assert mean[1, 8] > mean[1, 27], "y points down"
    np.testing.assert_allclose(mean[:, MIRROR_68] * [[-1], [1], [1]], mean, atol=0.5)


def test_the_right_eyes_model_is_the_mirror_image_of_the_left_ones(trained):
    left, right = (train_shape.load_pdm(trained, f"pdm_{side}_eye") for side in ("left", "right"))
    assert (left.n_points, left.n_modes) == (28, 10)
    np.testing.assert_array_equal(left.mean.reshape(3, 28)[:, MIRROR_28] * [[-1], [1], [1]], right.mean.reshape(3, 28))
    again = train_shape.mirror_pdm(right, MIRROR_28)
    np.testing.assert_array_equal(again.components, left.components)


def test_the_models_axes_are_the_heads(photos, trained):
    """A fit of the model to true landmarks finds the rotation that weak perspective sees."""
    model = ShapeModel(train_shape.load_pdm(trained, "pdm"))
    apparent = apparent_rotations(photos)
    g, _ = fit_shape(model, photos.landmarks)
    assert np.degrees(np.abs(g[:, 1:4] - apparent)).mean() < 4


def test_training_shapes_are_near_the_model(photos, trained):
    assert trained.figures()["pdm"]["rms_mm_unseen"] < 1.0
    before = trained.load("pdm")["mean"]
    train_shape.train(trained, photos, photos)
    np.testing.assert_array_equal(trained.load("pdm")["mean"], before), "a finished step is not done again"


def test_the_similarity_is_the_one_of_the_fit():
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 40, (68, 2))
    turn, scale = 0.3, 1.7
    image = (reference @ [1, 1j]) * scale * np.exp(1j * turn)
    found = similarity(np.stack([image.real, image.imag], 1) + [100, 50], reference)
    np.testing.assert_allclose(found, np.exp(-1j * turn) / scale)


def test_patches_at_the_landmark_show_the_landmark(photos):
    """The pixel in the middle of a patch at distance ~0 is the picture's pixel at the landmark."""
    faces = faces_of(photos)
    patches = collect(faces, 1.0, 6.0, 12, seed=0)
    assert patches.pixels.shape == (68, len(faces.rows) * 12, 121)
    assert patches.distance.max() <= np.hypot(7, 7)
    near = patches.distance < 0.3
    grey = [faces.gray(k) for k in range(len(faces.rows))]
    errors = []
    for landmark, sample in np.argwhere(near)[:400]:
        x, y = np.round(faces.landmarks[sample // 12, landmark]).astype(int)
        picture = grey[sample // 12]
        if 2 < x < 317 and 2 < y < 317:
            area = picture[y - 2 : y + 3, x - 2 : x + 3]
            value = float(patches.pixels[landmark, sample, 60])
            errors.append(max(area.min() - value, value - area.max(), 0.0))
    assert len(errors) > 20
    assert np.mean(np.array(errors) < 3) > 0.95


def test_mirrored_pictures_have_mirrored_landmarks(photos):
    faces, eyes = faces_of(photos), left_eyes_of(photos)
    count = len(photos)
    assert faces.mirrored[count:].all()
    np.testing.assert_allclose(faces.landmarks[count:, 0, 0], 319 - photos.landmarks[:, 16, 0], rtol=1e-6)
    np.testing.assert_allclose(faces.rotations[count:, 1], -faces.rotations[:count, 1])
    assert eyes.landmarks.shape == (2 * count, 28, 2)
    np.testing.assert_array_equal(faces.gray(count), faces.gray(0)[:, ::-1])
