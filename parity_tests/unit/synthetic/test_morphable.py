"""People of a morphable model: the same promises as drawn heads make, on a small model made up for tests."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.errors import AuparityError, ChecksumError, FileFormatError
from auparity.models.synthetic.clip_folder import write_clip
from auparity.models.synthetic.clips import make_clip
from auparity.models.synthetic.morphable import kernels, light, model_file
from auparity.models.synthetic.morphable.calibration import fit, landmarks_of
from auparity.models.synthetic.morphable.expressions import ASIDES, FULL, SHAPES, ExpressionMap
from auparity.models.synthetic.morphable.heads import MorphableHeads
from auparity.models.synthetic.morphable.model_file import VARIABLE, find_model, from_arrays, read_model
from auparity.models.synthetic.morphable.person import HeadModel
from auparity.models.synthetic.morphable.surface import attach
from auparity.models.synthetic.morphable.wrinkles import FOREHEAD, depths
from auparity.models.synthetic.render import project, render_background, render_photograph, render_shot
from auparity.models.synthetic.scene import NOMINAL_FACE, Light, Shot, rotation_matrix
from auparity.models.synthetic.training import samples
from auparity.models.synthetic.training.shape import principal_modes
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import AU_NAMES, RenderCamera
from auparity.parity_tests.unit.synthetic.small_morphable_model import arrays

FLAT = Light(
    np.array([[0, 0, -1.0], [0.6, -0.8, 0]]), np.full((2, 3), [[0.6], [0.2]]), np.full(3, 0.4), np.full(3, 0.3)
)


@pytest.fixture(scope="module")
def heads() -> MorphableHeads:
    return MorphableHeads(HeadModel(from_arrays(*arrays())))


def shot(rotation=(0.0, 0.0, 0.0), gaze=(0.0, 0.0), face_px=150.0, size=220, **intensities: float) -> Shot:
    camera = RenderCamera(600.0, size / 2, size / 2)
    aus = np.array([intensities.get(name, 0.0) for name in AU_NAMES])
    distance = camera.focal * NOMINAL_FACE / face_px
    return Shot(aus, np.array(gaze), np.array(rotation), np.array([0, 0, distance]), camera, FLAT, np.zeros(3))


def taken(heads, seed=1, size=220, **changes):
    grey = np.full((size, size, 3), 0.5, np.float32)
    return render_shot(heads.person(seed), shot(size=size, **changes), grey, heads)


def test_a_missing_model_is_an_error_that_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(AuparityError, match="ICT-FaceKit"):
        find_model()
    with pytest.raises(AuparityError, match="is not a file"):
        find_model(tmp_path / "none.npz")
    (tmp_path / "model.npz").write_bytes(b"anything")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "model.npz"))
    assert find_model() == tmp_path / "model.npz"


def test_another_file_than_the_model_is_refused_by_its_checksum(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    path.write_bytes(b"anything")
    with pytest.raises(ChecksumError):
        read_model(path)
    np.savez(path, neutral=np.zeros((3, 3)))
    monkeypatch.setattr(model_file, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(FileFormatError, match="ICT-FaceKit"):
        read_model(path)


def test_the_model_is_turned_to_the_renderers_axes_and_its_triangles_look_outwards(heads):
    model = heads.head.model
    marks = model.neutral[model.landmarks]
    assert marks[36, 0] < marks[45, 0], "the person's right eye is on the left of the picture"
    assert marks[27, 1] < marks[8, 1], "the chin is below the nose"
    np.testing.assert_allclose(marks.mean(axis=0), 0, atol=1e-3)
    face = model.triangles[model.part == 0]
    corners = model.neutral[face]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normals[:, 2].mean() < 0, "out of the face is towards the camera"
    assert set(np.unique(model.part)) == set(range(6))


def test_every_action_unit_has_shapes_and_grows_with_its_intensity():
    names = tuple(name + side for shapes in SHAPES.values() for name in shapes for side in ("_L", "_R"))
    table = ExpressionMap(names)
    still = np.zeros(len(ASIDES)), np.zeros(2), np.zeros(18)
    for k, name in enumerate(AU_NAMES):
        one, all_ = (table.strengths(level * (np.arange(18) == k), *still) for level in (1.0, FULL))
        assert all_.max() > 0.4, name
        np.testing.assert_allclose(one * FULL, all_, atol=1e-9)


def test_one_side_can_do_more_and_a_dropping_jaw_leaves_closed_lips_closed():
    table = ExpressionMap(("mouthSmile_L", "mouthSmile_R", "jawOpen", "mouthClose"))
    none, still = np.zeros(len(ASIDES)), np.zeros(2)
    smile = 2.0 * np.array([name == "AU12" for name in AU_NAMES])
    left, right, *_ = table.strengths(smile, none, still, np.full(18, 0.2))
    assert np.isclose(left / right, 1.2 / 0.8)
    jaw = FULL * np.array([name == "AU26" for name in AU_NAMES])
    closed = table.strengths(jaw, none, still, np.zeros(18))
    assert closed[3] == closed[2] > 0.5
    parted = table.strengths(jaw + FULL * np.array([name == "AU25" for name in AU_NAMES]), none, still, np.zeros(18))
    assert parted[3] == 0


def test_lids_follow_the_gaze_until_they_close():
    table = ExpressionMap(("eyeLookDown_L", "eyeLookOut_R", "eyeLookIn_L", "eyeBlink_L"))
    none, level = np.zeros(len(ASIDES)), np.zeros(18)
    down = table.strengths(np.zeros(18), none, np.array([0.3, -0.3]), level)
    assert down[0] > 0
    assert down[1] == down[2] > 0, "to the left of the picture is out for the person's right eye"
    shut = FULL * np.array([name == "AU45" for name in AU_NAMES])
    assert table.strengths(shut, none, np.array([0.3, -0.3]), level)[0] == 0


def test_the_rasteriser_keeps_the_nearest_and_leaves_no_gaps():
    grid = np.stack(np.meshgrid(np.linspace(2, 40, 9), np.linspace(3, 30, 7)), -1).reshape(-1, 2)
    index = np.arange(63).reshape(7, 9)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    sheet = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    points = np.concatenate([grid, grid]).astype(np.float32)
    triangles = np.concatenate([sheet, sheet + 63]).astype(np.int32)
    near = (1 / np.repeat([500.0, 400.0], 63)).astype(np.float32)

    def drawn(triangles, both):
        nearness, numbers = np.zeros((40, 50), np.float32), np.full((40, 50), -1, np.int32)
        kernels.draw_triangles(points, nearness, triangles, np.full(len(triangles), both), near, numbers)
        return nearness, numbers

    nearness, numbers = drawn(triangles, False)
    assert (numbers >= 0).sum() == 39 * 28
    assert (numbers[numbers >= 0] >= len(sheet)).all(), "the nearer sheet wins everywhere"
    np.testing.assert_allclose(nearness[numbers >= 0], 1 / 400, rtol=1e-5)
    behind = np.ascontiguousarray(triangles[:, ::-1])
    assert (drawn(behind, False)[1] == -1).all(), "seen from behind"
    assert (drawn(behind, True)[1] >= 0).sum() == 39 * 28


def test_a_strand_is_as_wide_as_it_says_and_hidden_by_what_is_nearer():
    nearness, numbers = np.zeros((30, 30), np.float32), np.full((30, 30), -1, np.int32)
    points = np.array([[[15, 2], [15, 14], [15, 26]]], np.float32)
    nearness[20:] = 1.0
    kernels.draw_strands(
        points, np.full((1, 3), 2.0, np.float32), np.full((1, 3), 0.5, np.float32), 7, nearness, numbers
    )
    assert (numbers[10] >= 0).sum() == 5
    assert set(numbers[3:20, 15].tolist()) == {7, 8}
    assert (numbers[20:] == -1).all()


def test_skin_is_kept_out_of_the_eyeball():
    vertices = np.array([[0.0, 0, -0.5], [0, 0, -3]], np.float32)
    kernels.keep_outside(vertices, np.array([0, 1]), np.zeros(3, np.float32), np.float32(1.0))
    np.testing.assert_allclose(vertices, [[0, 0, -1], [0, 0, -3]])


def test_a_place_beside_a_surface_is_attached_to_its_nearest_point():
    vertices = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [10, 10, 0.0]])
    found = attach(vertices, np.array([[0, 2, 1], [1, 2, 3]]), np.array([[2.0, 3, -4], [12, 5, 0]]), front_only=False)
    np.testing.assert_allclose(found.points(vertices), [[2, 3, 0], [10, 5, 0]], atol=1e-9)


def test_wrinkles_deepen_with_the_action_unit_and_with_age():
    raised = FULL * np.array([name == "AU02" for name in AU_NAMES])
    rest, young, old = (
        depths(aus, age, 1.0)[FOREHEAD] for aus, age in ((0 * raised, 0.2), (raised, 0.2), (raised, 0.9))
    )
    assert rest < young < old


def test_landmarks_are_projections_and_the_pose_is_the_one_that_was_asked_for(heads):
    asked = (0.1, -0.3, 0.2)
    _, turned = taken(heads, rotation=asked)
    _, straight = taken(heads)
    np.testing.assert_allclose(project(turned.landmarks_3d, turned.camera), turned.landmarks, atol=1e-3)
    np.testing.assert_allclose(project(turned.eye_landmarks_3d, turned.camera), turned.eye_landmarks, atol=1e-3)
    back = (turned.landmarks_3d - turned.pose[:3]) @ rotation_matrix(np.array(asked))
    np.testing.assert_allclose(back, straight.landmarks_3d - straight.pose[:3], atol=1e-2)  # float32 of a metre
    assert straight.points_98.shape == (98, 2)


def test_the_far_side_of_a_turned_head_is_hidden(heads):
    _, truth = taken(heads, rotation=(0, np.radians(60), 0))
    assert truth.visible[[45, 26, 13]].mean() > truth.visible[[36, 17, 3]].mean()
    assert taken(heads)[1].visible.mean() > 0.6


def test_expressions_move_the_landmarks_and_parted_lips_are_scored(heads):
    rest, smile, jaw = (taken(heads, **aus)[1] for aus in ({}, {"AU12": FULL}, {"AU26": FULL}))
    assert smile.landmarks[48, 1] < rest.landmarks[48, 1] - 2
    assert jaw.landmarks[8, 1] > rest.landmarks[8, 1] + 2
    parted = AU_NAMES.index("AU25")
    assert rest.aus[parted] == 0 < jaw.aus[parted] <= FULL


def test_eyes_look_where_the_truth_says(heads):
    _, truth = taken(heads, gaze=(0.35, 0.1))
    np.testing.assert_allclose(np.linalg.norm(truth.gaze, axis=1), 1)
    assert truth.gaze[0, 0] < -0.3
    for eye in truth.eye_landmarks:
        assert eye[20:28].mean(axis=0)[0] < eye[8:20].mean(axis=0)[0], "the pupil is on that side of the lids"


@pytest.mark.parametrize("face_px", [40.0, 300.0])
def test_faces_of_every_size(heads, face_px):
    size = int(face_px * 1.6)
    image, truth = taken(heads, size=size, face_px=face_px)
    assert image.shape == (size, size, 3)
    assert np.isfinite(image).all()
    assert 0.6 < truth.box[2] / face_px < 1.3
    x, y = np.round(truth.landmarks[30]).astype(int)
    assert np.abs(image[y, x] - 0.5).max() > 0.02, "there is a face, not the background"


def test_a_hand_and_a_dark_light_change_the_picture(heads):
    person, plain, grey = heads.person(3), shot(), np.full((220, 220, 3), 0.5, np.float32)
    first, _ = render_shot(person, plain, grey, heads)
    covered, truth = render_shot(person, replace(plain, hand=5), grey, heads)
    assert np.abs(first - covered).max() > 0.1
    assert truth.visible.sum() <= render_shot(person, plain, grey, heads)[1].visible.sum()
    dark = replace(FLAT, colours=FLAT.colours * 0, sky=FLAT.sky * 0.2, ground=FLAT.ground * 0.2)
    assert render_shot(person, replace(plain, light=dark), grey, heads)[0].mean() < first.mean()


def test_photographs_and_clips_follow_from_their_seeds(heads):
    one, again, other = (render_photograph(seed, canvas=(160, 140), heads=heads) for seed in (5, 5, 6))
    assert one.image.shape == (140, 160, 3)
    np.testing.assert_array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)
    assert render_background(5, (160, 140), heads).truth is None
    clip = make_clip(7, 40, canvas=(160, 140), heads=heads)
    assert clip.asides is not None
    assert clip.asides.shape == (40, len(ASIDES))
    assert clip.frame(39).truth is not None


def test_the_fit_of_a_pdm_finds_landmarks_that_follow_another_convention(heads):
    shapes = landmarks_of(heads, 6, 3)
    pdm = principal_modes(shapes - shapes.mean(axis=(0, 1)), 10)
    same = fit(shapes, pdm)
    moved = shapes.copy()
    moved[:, 17:27, 1] -= 6.0
    other = fit(moved, pdm)
    assert np.abs(same.differences[:, 17:27, 1].mean()) < 1.5
    shift = other.differences[:, 17:27, 1].mean() - same.differences[:, 17:27, 1].mean()
    assert np.isclose(shift, -6.0, atol=0.5)  # eyes and nose, which align the faces, have not moved
    assert np.sqrt((other.residuals**2).mean()) > np.sqrt((same.residuals**2).mean())


def test_a_training_goes_on_with_the_faces_that_it_began_with(tmp_path):
    drawn, real = tmp_path / "drawn", tmp_path / "real"
    Workspace(drawn).save("a", values=np.zeros(1))
    with pytest.raises(AuparityError, match="drawn heads"):
        Workspace(drawn, faces=tmp_path / "model.npz")
    Workspace(real, faces=tmp_path / "model.npz")
    with pytest.raises(AuparityError, match="morphable model"):
        Workspace(real)
    with pytest.raises(AuparityError, match="is not a file"):
        Workspace(real, faces=tmp_path / "model.npz").heads()


def test_a_set_of_pictures_shows_the_people_of_its_training(heads, tmp_path, monkeypatch):
    monkeypatch.setattr(Workspace, "heads", lambda _: heads)
    monkeypatch.setattr(samples, "end_with_parent", lambda: None)
    monkeypatch.setattr(samples, "ProcessPoolExecutor", ThreadPoolExecutor)  # the small model is in this process
    workspace = Workspace(tmp_path)
    photos = samples.photo_set(workspace, "photos", 2, 40, processes=1)
    wanted = render_photograph(41, heads=heads)
    np.testing.assert_array_equal(photos.images[1], wanted.image)
    np.testing.assert_allclose(photos.points_98[1], wanted.truth.points_98, rtol=1e-6)
    empty = samples.background_set(workspace, "empty", 1, 50)
    np.testing.assert_array_equal(empty[0], render_background(50, heads=heads).image)


def test_a_clip_in_a_folder_is_another_one_with_other_people(heads, tmp_path):
    table = write_clip(tmp_path / "clip", 3, 2, canvas=(200, 160), heads=heads)
    assert write_clip(tmp_path / "clip", 3, 2, canvas=(200, 160), heads=heads).meta.generator == table.meta.generator
    with pytest.raises(AuparityError, match="another clip"):
        write_clip(tmp_path / "clip", 3, 2, canvas=(200, 160))


def test_extrapolated_colours_below_zero_are_black_and_not_undefined():
    radiance = np.array([[-0.01, 0.2, 0.3], [-0.02, 0.2, 0.3]], np.float32)
    pixels = light.resolve(radiance, np.array([[0, 1], [-1, -1]], np.int32), 2)
    assert pixels.shape == (1, 1, 4)
    assert (pixels[0, 0, 2], pixels[0, 0, 3]) == (0.0, 0.5)
    assert np.isfinite(pixels).all()
