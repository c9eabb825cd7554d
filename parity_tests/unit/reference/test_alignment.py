"""Face alignment and its mask (spec 60.2)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference import alignment
from auparity.reference.alignment import SCALE, SIZE, align_faces, alignment_matrix, face_mask, mask_polygon
from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED


@pytest.fixture(scope="module")
def pdm() -> PDM:
    """A flat oval of 68 points, 120 mm wide and 150 mm high; alignment reads nothing but the mean."""
    angle = np.arange(68) * 2.4  # reference angle: points spread all over the oval
    radius = np.sqrt((np.arange(68) + 0.5) / 68)
    mean = np.concatenate([60 * radius * np.cos(angle), 75 * radius * np.sin(angle), np.zeros(68)])
    return PDM(mean, np.zeros((204, 34)), np.ones(34))


@pytest.fixture(scope="module")
def triangulation() -> np.ndarray:
    return np.array([(i, (i + 21) % 68, (i + 34) % 68) for i in range(68)], np.int32)


def place(pdm: PDM, scale: float, roll: float, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (68, 2) and global parameters (6,) of the mean face at a place in a frame."""
    c, s = np.cos(roll), np.sin(roll)
    shape = pdm.mean.reshape(3, 68)[:2].T
    landmarks = scale * shape @ np.array([[c, s], [-s, c]]) + [x, y]
    return landmarks.astype(np.float32), np.array([scale, 0, 0, roll, x, y], np.float32)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.3, 5), roll=st.floats(-1.5, 1.5), x=st.floats(-100, 900), y=st.floats(-100, 900))
def test_the_face_lands_in_the_middle_upright_at_seven_tenths(
    pdm: PDM, scale: float, roll: float, x: float, y: float
) -> None:
    landmarks, params = place(pdm, scale, roll, x, y)
    matrix = alignment_matrix(landmarks, params, pdm)
    aligned = landmarks @ matrix[:, :2].T + matrix[:, 2]
    expected = SCALE * pdm.mean.reshape(3, 68)[:2].T + SIZE // 2
    assert np.abs(aligned - expected).max() < 2e-3  # coordinates up to 1300 px carry 6e-5, times up to 0.7/0.3


def test_only_the_rigid_points_say_how_the_face_is_turned(pdm: PDM) -> None:
    landmarks, params = place(pdm, 1.5, 0.2, 300, 200)
    moved = landmarks.copy()
    others = np.setdiff1d(np.arange(68), alignment.RIGID_POINTS)
    moved[others] += 15
    assert np.array_equal(alignment_matrix(moved, params, pdm), alignment_matrix(landmarks, params, pdm))


def test_the_mask_reaches_above_the_brows(pdm: PDM) -> None:
    landmarks, _ = place(pdm, 1.0, 0.0, 56, 56)
    matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    lifted = landmarks[:, 1] - mask_polygon(landmarks, matrix)[:, 1]
    assert np.flatnonzero(lifted).tolist() == [0, *range(16, 27)]
    assert np.allclose(lifted[17:27], 30, rtol=0, atol=1e-5)


def test_a_triangle_covers_its_vertices_and_edges() -> None:
    polygon = np.array([[10, 10], [20, 10], [10, 20]], np.float32)
    mask = face_mask(polygon, np.array([[0, 1, 2]], np.int32))
    rows, columns = np.nonzero(mask)
    assert mask[10, 10]
    assert mask[10, 20]
    assert mask[20, 10]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 20, 10, 20)
    assert np.array_equal(mask[10:21, 10:21], np.add.outer(np.arange(11), np.arange(11)) <= 10)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_mask_does_not_depend_on_the_order_of_the_vertices(seed: int) -> None:
    """Away from the edges: within rounding of one, the C++ build's contraction does tell the vertices apart."""
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-20, 130, (12, 2)).astype(np.float32)
    triangles = rng.permuted(np.tile(np.arange(12), (9, 1)), axis=1)[:, :3].astype(np.int32)
    assert np.array_equal(face_mask(polygon, triangles), face_mask(polygon, triangles[:, [2, 0, 1]]))


def test_a_triangle_without_area_marks_the_rest_of_its_walk() -> None:
    """Three coinciding vertices pass every side test; once entered, the triangle is not left before the last pixel."""
    polygon = np.full((3, 2), 50, np.float32)
    mask = face_mask(polygon, np.array([[0, 1, 2]], np.int32))
    walk = mask.ravel()
    entered = 50 * SIZE + 50
    assert not walk[:entered].any()
    assert walk[entered:].all()


def test_a_pixel_within_rounding_of_a_shared_edge_can_belong_to_neither_side() -> None:
    """The hole of frame 156 of video01: pixel (70, 44) lies 1e-7 px from the edge between landmarks 35 and 47."""
    polygon = np.array(
        [[57.724334716796875, 38.14892578125], [66.69439697265625, 55.434356689453125],
         [79.99468994140625, 29.870361328125], [74.15884399414062, 29.614212036132812]], np.float32,
    )  # fmt: skip
    triangles = np.array([[3, 1, 2], [0, 1, 3]], np.int32)
    assert not face_mask(polygon, triangles)[44, 70]
    assert face_mask(polygon, triangles, FLOAT64)[44, 70], "without rounding every pixel of the quadrangle is inside"
    assert face_mask(polygon, triangles, PERTURBED)[44, 70], "without contraction the two tests are each other's mirror"


def test_outside_the_mask_the_aligned_face_is_black(pdm: PDM, triangulation: np.ndarray) -> None:
    landmarks, params = place(pdm, 1.2, 0.1, 160, 120)
    image = np.full((240, 320, 3), 180, np.uint8)
    aligned = align_faces(image[None], landmarks[None], params[None], pdm, triangulation)[0]
    mask = face_mask(mask_polygon(landmarks, alignment_matrix(landmarks, params, pdm)), triangulation)
    assert not aligned[~mask].any()
    assert (aligned[mask] == 180).all()


def test_faces_of_a_batch_do_not_know_of_each_other(pdm: PDM, triangulation: np.ndarray) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 200, 260, 3), dtype=np.uint8)
    landmarks, params = (
        np.stack(v) for v in zip(place(pdm, 1, 0, 90, 90), place(pdm, 0.8, 0.4, 160, 100), strict=True)
    )
    together = align_faces(images, landmarks, params, pdm, triangulation)
    apart = [
        align_faces(images[k : k + 1], landmarks[k : k + 1], params[k : k + 1], pdm, triangulation)[0] for k in (0, 1)
    ]
    assert np.array_equal(together, apart)


def test_precision_moves_single_levels_only(pdm: PDM, triangulation: np.ndarray) -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 200, 260, 3), dtype=np.uint8)
    landmarks, params = place(pdm, 0.9, -0.3, 130, 100)
    single, double, perturbed = (
        align_faces(image, landmarks[None], params[None], pdm, triangulation, numerics).astype(int)
        for numerics in (FLOAT32, FLOAT64, PERTURBED)
    )
    # a 1/32 px step on noise of 255 levels: up to 8 levels; in few of the pixels
    assert np.abs(single - double).max() <= 8
    assert np.abs(single - perturbed).max() <= 8
    assert np.mean(single != double) < 0.01


def test_a_face_outside_the_frame_gives_a_black_image(pdm: PDM, triangulation: np.ndarray) -> None:
    landmarks, params = place(pdm, 1, 0, 5000, -5000)
    image = np.full((1, 100, 100, 3), 255, np.uint8)
    assert not align_faces(image, landmarks[None], params[None], pdm, triangulation).any()


@pytest.mark.parametrize("broken", ["images", "landmarks", "params_global", "triangulation"])
def test_arrays_that_break_the_contract_are_named(pdm: PDM, triangulation: np.ndarray, broken: str) -> None:
    landmarks, params = place(pdm, 1, 0, 50, 50)
    arrays = {
        "images": np.zeros((1, 100, 100, 3), np.uint8),
        "landmarks": landmarks[None],
        "params_global": params[None],
        "triangulation": triangulation,
    }
    bad = {
        "images": np.zeros((1, 100, 100, 3), np.float32),
        "landmarks": np.full((1, 68, 2), np.nan, np.float32),
        "params_global": np.zeros((2, 6), np.float32),
        "triangulation": np.array([[0, 1, 68]], np.int32),
    }
    arrays[broken] = bad[broken]
    with pytest.raises(ContractError, match=broken):
        align_faces(arrays["images"], arrays["landmarks"], arrays["params_global"], pdm, arrays["triangulation"])
