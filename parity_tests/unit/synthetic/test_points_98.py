"""WFLW's 98 landmarks on the rendered head: where they agree with the 68, and what lies between."""

import numpy as np
import pytest

from auparity.models.synthetic.points_98 import (
    BROW_LEFT,
    BROW_RIGHT,
    CONTOUR,
    EYES,
    MIRROR_98,
    MOUTH,
    NOSE,
    PUPILS,
    attach,
    points_98,
)
from auparity.models.synthetic.render import render_photograph
from auparity.models.synthetic.surface import head_surface, lid_contours, plane_of
from auparity.reference.networks.wflw import to_68

REST = head_surface().rest
PUPILS_AT_REST = np.array([[-32.0, -38.0, -4.9], [32.0, -38.0, -4.9]])


@pytest.fixture(scope="module")
def at_rest():
    return points_98(REST, PUPILS_AT_REST, 6.0)


def test_what_both_schemes_have_is_equal(at_rest):
    landmarks = REST[head_surface().landmarks]
    np.testing.assert_array_equal(at_rest[CONTOUR][::2], landmarks[:17])
    np.testing.assert_array_equal(at_rest[NOSE], landmarks[27:36])
    np.testing.assert_array_equal(at_rest[MOUTH], landmarks[48:68])
    np.testing.assert_array_equal(at_rest[PUPILS], PUPILS_AT_REST)
    eyes = at_rest[EYES].reshape(2, 8, 3)
    for k, own in enumerate((landmarks[36:42], landmarks[42:48])):
        np.testing.assert_array_equal(eyes[k][[0, 1, 3, 4, 5, 7]], own)


def test_points_of_the_contour_lie_between_their_neighbours(at_rest):
    contour = at_rest[CONTOUR]
    step = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    whole = np.linalg.norm(contour[2::2] - contour[:-2:2], axis=1)
    # A jaw is curved: the way over the middle is a little longer.
    assert (np.add(step[::2], step[1::2]) < 1.06 * whole).all()
    assert (np.abs(step[::2] - step[1::2]) < 0.12 * whole).all()


def test_middles_of_the_lids_are_the_highest_and_lowest_points_of_an_eye(at_rest):
    for eye in at_rest[EYES].reshape(2, 8, 3):
        assert np.argmin(eye[:, 1]) == 2
        assert np.argmax(eye[:, 1]) == 6


@pytest.mark.parametrize(("brow", "own"), [(BROW_LEFT, slice(17, 22)), (BROW_RIGHT, slice(22, 27))])
def test_the_edges_of_a_brow_are_above_and_below_the_landmarks(at_rest, brow, own):
    """Facexlib's way back to 68: the outer end as it is, of the others the means of both edges."""
    points, middle = at_rest[brow], REST[head_surface().landmarks][own]
    if brow is BROW_LEFT:
        tip, upper, lower, expected = points[0], points[1:5], points[8:4:-1], middle[1:]
        np.testing.assert_allclose(tip, middle[0], atol=0.05)
    else:
        tip, upper, lower, expected = points[4], points[0:4], points[8:4:-1], middle[:4]
        np.testing.assert_allclose(tip, middle[4], atol=0.05)
    assert (upper[:, 1] < lower[:, 1]).all()
    np.testing.assert_allclose(((upper + lower) / 2)[:, :2], expected[:, :2], atol=0.05)
    # The brow ridge is curved: the mean of its edges lies up to 1 mm behind it.
    depth = (upper + lower)[:, 2] / 2 - expected[:, 2]
    assert (depth > 0).all()
    assert (depth < 1).all()


def test_wider_brows_have_edges_further_apart():
    heights = []
    for width in (4.0, 8.0):
        brow = points_98(REST, PUPILS_AT_REST, width)[BROW_RIGHT]
        heights.append(brow[7, 1] - brow[1, 1])
    assert heights[1] == pytest.approx(2 * heights[0], rel=0.05)


def test_points_move_with_the_skin():
    below = plane_of(lid_contours()[1] + [0, 20.0])  # on the skin below an eye
    attached = attach(head_surface(), below)
    np.testing.assert_allclose(attached.weights.sum(axis=1), 1)
    assert (attached.weights > -1e-6).all()
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(attached.points(REST @ turn.T + 5), attached.points(REST) @ turn.T + 5, atol=1e-9)


def test_pictures_have_them():
    truth = render_photograph(3_300_000, canvas=(240, 240), face_width=(100.0, 110.0)).truth
    assert truth is not None
    assert truth.points_98.shape == (98, 2)
    np.testing.assert_allclose(truth.points_98[CONTOUR][::2], truth.landmarks[:17])
    for k in range(2):  # the pupil is in the middle of its ring
        np.testing.assert_allclose(truth.points_98[96 + k], truth.eye_landmarks[k, 20:].mean(axis=0), atol=0.2)


def test_a_face_in_the_mirror_has_its_points_exchanged(at_rest):
    """The head at rest is its own mirror image, but for the triangles in which brows and jaw are measured."""
    np.testing.assert_array_equal(np.sort(MIRROR_98), np.arange(98))
    np.testing.assert_allclose(at_rest[MIRROR_98] * [-1, 1, 1], at_rest, atol=0.3)


def test_the_middle_of_both_edges_is_nearer_to_the_68_landmarks_of_a_brow_than_the_upper_edge():
    errors = {"edge": [], "middle": []}
    for seed in (3_400_000, 3_400_004, 3_400_008):
        truth = render_photograph(seed, canvas=(240, 240), face_width=(100.0, 110.0)).truth
        for rule, found in errors.items():
            off = np.linalg.norm(to_68(truth.points_98, rule) - truth.landmarks, axis=1)
            found.append(off[17:27].mean())
            assert np.delete(off, range(17, 27)).max() < 1e-6  # the rules differ at the brows, and the rest is common
    assert 3 * np.mean(errors["middle"]) < np.mean(errors["edge"])
