"""The making of the landmark validator: warps, mirror images, samples of known error, and a network that learns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay

from auparity.models.formats.validator import parse_validator, write_validator
from auparity.models.synthetic.deformation import head_shape
from auparity.models.synthetic.training import validator as train_validator
from auparity.models.synthetic.training.samples import FIELDS, PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68, principal_modes
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.validator.network import (
    BINS,
    MAPS,
    PARAMETERS,
    build_validator,
    frames_of,
    mirrored_network,
    mirrored_view,
)
from auparity.models.synthetic.validator.samples import BACKGROUND, Sampler, bin_position, nearest_view
from auparity.models.synthetic.warps import (
    MIRROR_VIEW,
    SIDE,
    VIEWS,
    all_warps,
    delaunay,
    face_triangles,
    mask_triangulation,
    mean_shape,
    mirrored_warp,
    piecewise_warp,
)
from auparity.models.synthetic.weak_perspective import Faces, WeakPerspective, turns
from auparity.reference.convnet import forward
from auparity.reference.fit_shape import fit_shape
from auparity.reference.pdm import ShapeModel, euler_from_rotation
from auparity.reference.validation import LandmarkValidator, warp_to_frame


def head_pdm():
    """A PDM of heads of different people at rest."""
    head, rng = head_shape(), np.random.default_rng(0)
    people = rng.standard_normal((60, len(head.identity)))
    shapes = np.stack([head.neutral(person)[head.surface.landmarks] for person in people])
    return principal_modes(shapes - shapes.mean(axis=1, keepdims=True), 8)


PDM = head_pdm()
MODEL = WeakPerspective(PDM)
WARPS = all_warps(PDM)
#: Smooth, so that a coordinate rounded to 1/32 px changes little.
PICTURE = np.add.outer(np.arange(float(SIDE)) * 0.7, np.arange(float(SIDE)) * 0.4).astype(np.float32)


def random_network(seed):
    rng = np.random.default_rng(seed)
    sizes = {
        "conv1": (10, 1, 5, 5),
        "conv2": (16, 10, 5, 5),
        "conv3": (20, 16, 3, 3),
        "hidden": (32, 500),
        "output": (BINS, 32),
    }
    assert (sizes["conv1"][0], sizes["conv2"][0], sizes["conv3"][0]) == MAPS
    arrays = {f"{name}_weight": rng.normal(0, 0.1, sizes[name]).astype(np.float32) for name in PARAMETERS}
    arrays |= {f"{name}_bias": rng.normal(0, 0.1, sizes[name][0]).astype(np.float32) for name in PARAMETERS}
    return arrays


def random_validator():
    rng = np.random.default_rng(1)
    networks = []
    for view in range(4):
        pixels = WARPS[view].n_pixels
        networks.append(
            random_network(view) | {"mean": rng.normal(0, 0.2, pixels), "deviation": rng.uniform(0.5, 1.5, pixels)}
        )
    return build_validator(PDM, networks)


def some_photos(count, seed=0):
    """Photographs of nothing, with landmarks that are shapes of the PDM."""
    rng = np.random.default_rng(seed)
    euler = np.column_stack([rng.normal(0, 0.1, count), rng.uniform(-1.2, 1.2, count), rng.normal(0, 0.1, count)])
    local = 0.5 * rng.standard_normal((count, PDM.n_modes)) * MODEL.deviations
    faces = Faces(rng.uniform(0.8, 1.4, count), turns(euler * [0, 1, 0]), np.tile([160.0, 150.0], (count, 1)), local)
    arrays = {name: np.zeros((count, *shape), dtype) for name, (shape, dtype) in FIELDS.items()}
    arrays["images"] = rng.integers(0, 256, arrays["images"].shape, np.uint8)
    arrays["landmarks"] = MODEL.project(faces).astype(np.float32)
    arrays["pose"][:, 4] = euler[:, 1]
    return PhotoSet(**arrays)


@pytest.mark.parametrize("view", range(7))
def test_landmarks_at_their_destination_leave_the_face_as_it_is(view):
    warp = WARPS[view]
    destination = np.ascontiguousarray(warp.destination.reshape(2, -1).T).astype(np.float32)
    frame = warp_to_frame(PICTURE, destination, warp)
    inside = warp.mask != 0
    np.testing.assert_allclose(frame[inside], PICTURE[inside], atol=1.1 / 64 + 1e-4)  # positions: half of 1/32 px
    assert (frame[~inside] == 0).all()


@pytest.mark.parametrize("view", range(7))
def test_a_warp_fills_its_frame_and_its_corners_stay_inside(view):
    warp = WARPS[view]
    used = warp.destination.reshape(2, -1).T[np.unique(warp.triangles)]
    assert used.min() >= 0
    assert used.max() <= SIDE - 1
    np.testing.assert_allclose(np.ptp(used, axis=0), SIDE - 3, atol=1e-9)
    assert warp.n_pixels == (warp.mask != 0).sum() == (warp.triangle_id >= 0).sum()
    assert warp.n_pixels > 0.5 * SIDE**2
    assert set(np.unique(warp.triangle_id)) - {-1} <= set(range(len(warp.triangles)))


def test_turned_away_cheeks_are_not_looked_at():
    for view, away in ((2, 14), (3, 45), (5, 2), (6, 36)):
        assert away not in WARPS[view].triangles
        assert MIRROR_68[away] in WARPS[view].triangles


@pytest.mark.parametrize("view", [1, 2, 3])
def test_the_mirrored_warp_sees_the_mirrored_face(view):
    warp, mirrored = WARPS[view], WARPS[MIRROR_VIEW[view]]
    rng = np.random.default_rng(view)
    region = rng.uniform(0, 255, (130, 128)).astype(np.float32)
    # Whole multiples of 1/32 px, so that mirroring loses nothing.
    landmarks = np.rint((warp.destination.reshape(2, -1).T * 2 + 4) * 32).astype(np.float32) / 32
    flipped = landmarks[MIRROR_68] * np.float32([-1, 1]) + np.float32([127, 0])
    frame = warp_to_frame(region, landmarks, warp)
    other = warp_to_frame(np.ascontiguousarray(region[:, ::-1]), flipped, mirrored)
    rounding = 255 / 32 * 2  # a position on a border of 1/32 px may fall to either side
    assert np.abs(frame[:, ::-1] - other).max() < rounding
    assert np.abs(frame[:, ::-1] - other).mean() < 0.2


def test_the_mirrored_network_says_the_same_of_the_mirrored_frame():
    view = random_validator().views[1]
    frames = np.random.default_rng(2).normal(0, 1, (3, 1, SIDE, SIDE)).astype(np.float32)
    scores, mirrored = (
        forward(view.net, frames),
        forward(mirrored_network(view.net), np.ascontiguousarray(frames[..., ::-1])),
    )
    np.testing.assert_allclose(scores, mirrored, atol=2e-5)  # sums of 500 products, in another order
    again = mirrored_view(mirrored_view(view))
    np.testing.assert_array_equal(again.mean, view.mean)
    np.testing.assert_array_equal(again.net.layers[0].weights, view.net.layers[0].weights)
    np.testing.assert_array_equal(again.warp.triangle_id, view.warp.triangle_id)


def test_the_validator_survives_its_file_and_runs_in_the_reference():
    validator = random_validator()
    assert parse_validator(write_validator(validator)).views[5].warp.n_pixels == WARPS[5].n_pixels
    assert write_validator(parse_validator(write_validator(validator))) == write_validator(validator)
    assert tuple(validator.view_centres[:, 1]) == VIEWS
    photo = some_photos(1)
    gray = photo.images[:, :, :, 0].astype(np.float32)
    confidence = LandmarkValidator(validator).confidence(gray, photo.landmarks, photo.pose[:, 3:])
    assert 0 < confidence[0] < 1


def test_all_views_together_are_small():
    size = sum(
        layer.weights.size + layer.bias.size
        for view in random_validator().views
        for layer in view.net.layers
        if hasattr(layer, "weights")
    )
    assert size < 250_000


def test_delaunay_triangles_are_those_of_scipy_and_cover_the_hull():
    points = np.random.default_rng(3).uniform(0, 100, (40, 2))
    mine = {tuple(sorted(triangle)) for triangle in delaunay(points).tolist()}
    assert mine == {tuple(sorted(triangle)) for triangle in Delaunay(points).simplices.tolist()}


@pytest.mark.parametrize("triangles", [face_triangles(PDM), mask_triangulation(PDM)])
def test_a_symmetric_face_is_covered_once(triangles):
    points = mean_shape(PDM)[:, :2].copy()
    if len(triangles) == len(mask_triangulation(PDM)) and (triangles == mask_triangulation(PDM)).all():
        points[[0, 16, *range(17, 27)], 1] -= 30 / 0.7
    a, b, c = (points[triangles[:, k]] for k in range(3))
    areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (areas > 0).all()
    # Slivers on nearly straight pieces of the hull are left out.
    assert areas.sum() == pytest.approx(ConvexHull(points).volume, rel=2e-3)
    assert triangles.dtype == np.int32


def test_the_fit_of_many_faces_is_the_fit_of_each():
    photos = some_photos(4)
    together = MODEL.fit(photos.landmarks.astype(np.float64), photos.pose[:, 3:] + 0.05)
    g, p = fit_shape(ShapeModel(PDM), photos.landmarks)
    np.testing.assert_allclose(together.scale, g[:, 0], rtol=1e-3)  # the C++ program's fit stops when little changes
    np.testing.assert_allclose(euler_from_rotation(together.rotation), g[:, 1:4], atol=2e-3)
    np.testing.assert_allclose(MODEL.project(together), ShapeModel(PDM).shape_2d(g, p), atol=0.05)


def test_landmarks_exactly_right_are_bin_0_and_those_10_percent_off_fail():
    assert bin_position(0.0) == 0
    assert bin_position(0.0999) < 5 < bin_position(0.1001)
    assert int(bin_position(0.3)) == int(bin_position(np.inf)) == BINS - 1
    labels = train_validator.soft_labels(bin_position(np.array([0.0, 0.05, np.inf])))
    assert labels.sum(axis=1) == pytest.approx(1)
    assert labels.argmax(axis=1).tolist() == [0, 2, BINS - 1]


def test_views_are_the_nearest_orientations():
    euler = np.radians([[0, 0, 0], [5, -19, 0], [0, -50, 10], [0, -80, 0], [0, 12, 0], [0, 90, 0]])
    assert nearest_view(euler).tolist() == [0, 1, 2, 3, 4, 6]


def test_samples_have_every_error_and_the_same_seed_draws_the_same():
    photos, backgrounds = some_photos(12), np.random.default_rng(0).integers(0, 256, (2, 320, 320), np.uint8)
    first, again = (Sampler(PDM).draw(photos, np.arange(12), backgrounds, 40, 7) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
    errors = np.concatenate([samples.error for samples in first])
    position = np.concatenate([samples.position for samples in first])
    counts = np.histogram(position, bins=np.arange(BINS + 1))[0]
    assert (counts >= 3).all()
    assert counts[-1] > 50  # hopeless ones: no face, or a box somewhere
    kinds = np.concatenate([samples.kind for samples in first])
    assert np.isinf(errors[kinds == BACKGROUND]).all()
    for view, samples in enumerate(first):
        assert samples.pixels.shape[1] == WARPS[view].n_pixels
        np.testing.assert_allclose(samples.pixels.astype(np.float64).mean(axis=1), 0, atol=1e-2)


def test_auc_counts_ties_half():
    assert train_validator.roc_auc(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == 1
    assert train_validator.roc_auc(np.array([0.5]), np.array([0.5, 0.5])) == 0.5
    assert train_validator.roc_auc(np.array([0.9, 0.2]), np.array([0.5])) == 0.5


def test_a_network_learns_what_it_is_shown(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    workspace, rng = Workspace(tmp_path), np.random.default_rng(5)
    monkeypatch.setattr(train_validator, "PARTS", 1)
    monkeypatch.setattr(train_validator, "EPOCHS", 4)
    columns = np.nonzero(WARPS[0].mask.T)[0]
    for name, count in (("train", 512), ("held_out", 64)):
        position = rng.uniform(0, BINS, count)
        # The further off, the steeper the picture: easy to see.
        slope = (columns[None] - SIDE / 2) / SIDE * (position[:, None] / 5 - 2)
        pixels = (slope + rng.normal(0, 0.3, slope.shape)).astype(np.float16)
        error = np.interp(position, (0, 5, 19.5), (0, 0.10, 0.25))
        arrays = {"pixels_0": pixels, "position_0": position, "error_0": error, "kind_0": np.zeros(count, np.int64)}
        workspace.save(f"validator/samples_{name}_0", **arrays)
    train_validator._train_view(workspace, PDM, 0)
    stored = workspace.load("validator/network_0")
    curve = stored["curve"]
    assert curve[-1, 1] < curve[0, 1] - 0.2
    others = [random_network(v) | dict.fromkeys(("mean", "deviation"), np.ones(WARPS[v].n_pixels)) for v in (1, 2, 3)]
    net = build_validator(PDM, [stored, *others]).views[0].net
    frames = frames_of(pixels, stored["mean"], stored["deviation"], WARPS[0])
    found = forward(net, frames).argmax(axis=1)
    assert np.corrcoef(found, position)[0, 1] > 0.9


def test_warps_to_the_right_are_made_by_mirroring():
    with pytest.raises(ValueError, match="mirrored_warp"):
        piecewise_warp(PDM, 20.0)
    np.testing.assert_allclose(mirrored_warp(mirrored_warp(WARPS[1])).destination, WARPS[1].destination)
