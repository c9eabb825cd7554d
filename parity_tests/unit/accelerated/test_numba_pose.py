"""Compiled shapes, head pose and gaze against the reference: batches of any form, degenerate faces, bad arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.head_pose import Camera
from auparity.reference.stages import reference_stages

pytest.importorskip("numba")

from auparity.accelerated.numba import fit_shape, gaze, head_pose, pdm

REFERENCE = reference_stages()
MODEL = factories.make_pdm(np.random.default_rng(1), 68, 20)
CAMERA = Camera(600.0, 640.0, 320.0, 240.0)
FEW = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)


def faces(seed, *leading, modes=20):
    rng = np.random.default_rng(seed)
    g = np.zeros((*leading, 6), np.float32)
    g[..., 0] = rng.uniform(0.3, 4, leading)
    g[..., 1:4] = rng.uniform(-1.4, 1.4, (*leading, 3))
    g[..., 4:] = rng.uniform(-300, 1500, (*leading, 2))
    return g, rng.normal(0, 8, (*leading, modes)).astype(np.float32)


@FEW
@given(seeds, st.sampled_from([4, 15, 16, 17, 34]))
def test_shapes_of_few_and_of_many_modes_are_equal_to_the_last_bit(seed, modes):
    """Below sixteen modes the reference sums run one after the other."""
    model = factories.make_pdm(np.random.default_rng(seed), 28, modes)
    g, p = faces(seed, 3, modes=modes)
    np.testing.assert_array_equal(pdm.build(model).shape_2d(g, p), REFERENCE.pdm(model).shape_2d(g, p))
    np.testing.assert_array_equal(pdm.build(model).shape_3d(p), REFERENCE.pdm(model).shape_3d(p))


@pytest.mark.parametrize(
    ("of_g", "of_p"), [((), ()), ((3,), (3,)), ((), (3,)), ((3,), ()), ((1,), (2, 3)), ((2, 1), (3,))]
)
def test_leading_axes_go_together_as_in_numpy(of_g, of_p):
    g, p = faces(0, *of_g)[0], faces(1, *of_p)[1]
    np.testing.assert_array_equal(pdm.build(MODEL).shape_2d(g, p), REFERENCE.pdm(MODEL).shape_2d(g, p))


def test_shapes_of_bad_parameters_are_refused():
    model = pdm.build(MODEL)
    g, p = faces(0, 2)
    bad = [
        (lambda: model.shape_2d(g, faces(0, 3)[1]), "leading axes"),
        (lambda: model.shape_2d(g[:, :5], p), "params_global"),
        (lambda: model.shape_2d(list(g), p), "params_global"),
        (lambda: model.shape_3d(p[:, :3]), "params_local"),
        (lambda: model.shape_3d(p * np.nan), "params_local"),
        (lambda: model.shape_3d(p.astype(complex)), "params_local"),
        (lambda: model.shape_3d(p[:0]), "params_local"),
        (lambda: model.params_from_box(g[0], p[0], g[0, 1:4]), "box"),
        (lambda: model.params_from_box(g[0, :4], p, g[0, 1:4]), "params_local"),
    ]
    for call, message in bad:
        with pytest.raises(ContractError, match=message):
            call()


@FEW
@given(seeds, st.floats(0, 10))
def test_poses_are_the_reference_ones(seed, noise):
    rng = np.random.default_rng(seed)
    g = np.array([rng.uniform(0.3, 3), *rng.uniform(-0.8, 0.8, 3), *rng.uniform(50, 500, 2)], np.float32)[None]
    p = rng.normal(0, 4, (1, 20)).astype(np.float32)
    landmarks = REFERENCE.pdm(MODEL).shape_2d(g, p) + rng.normal(0, noise, (1, 68, 2)).astype(np.float32)
    reference, ours = REFERENCE.head_pose(MODEL), head_pose.build(MODEL)
    expected, found = (stage.pose(g, p, landmarks, CAMERA) for stage in (reference, ours))
    # Spec 90.10, and two float32 ulps of a depth of some metres.
    reach = tolerance("stage", "head_pose").tolerance + 2 * np.spacing(np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=reach)
    expected, found = (stage.landmarks_in_camera(g, p, landmarks, CAMERA) for stage in (reference, ours))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-3)


def test_faces_that_are_none_get_the_reference_pose():
    """All landmarks in one place: the last bit decides where the minimiser goes, so the reference is asked."""
    ours, reference = head_pose.build(MODEL), REFERENCE.head_pose(MODEL)
    p = np.zeros((3, 20), np.float32)
    g = np.array([[1e-3, 0, 0, 0, 10, 5], [0, 0, 0, 0, 0, 0], [2e-3, 0, 0, 0, 50, 5]], np.float32)
    landmarks = np.stack([np.full((68, 2), value, np.float32) for value in (10, 0, 50)])
    for _ in range(2):  # the second time the first and the third are alternately remembered
        np.testing.assert_array_equal(ours.pose(g, p, landmarks, CAMERA), reference.pose(g, p, landmarks, CAMERA))


@FEW
@given(seeds, st.sampled_from([5.0, 100.0]))
def test_gaze_is_the_reference_one_also_where_the_ray_misses(seed, scatter):
    rng = np.random.default_rng(seed)
    face = (rng.normal(0, 40, (2, 68, 3)) + [0, 0, 600]).astype(np.float32)
    eyes = face[:, [[37], [43]]] + rng.normal(0, scatter, (2, 2, 28, 3)).astype(np.float32)
    euler = rng.uniform(-0.7, 0.7, (2, 3)).astype(np.float32)
    expected, found = (stage(face, eyes.astype(np.float32), euler) for stage in (REFERENCE.gaze(), gaze.build()))
    for theirs, mine in zip(expected, found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance("stage", "gaze").tolerance)


def test_bad_arrays_are_named():
    face, eyes, euler = (np.ones(shape, np.float32) for shape in ((2, 68, 3), (2, 2, 28, 3), (2, 3)))
    for arguments, name in (
        ((None, eyes, euler), "face_3d"), ((face[:0], eyes[:0], euler[:0]), "face_3d"),
        ((face, eyes[:1], euler), "eyes_3d"), ((face, eyes, euler.astype(complex)), "head_euler"),
        ((face, eyes, euler * np.nan), "head_euler"),
    ):  # fmt: skip
        with pytest.raises(ContractError, match=name):
            gaze.build()(*arguments)
    (g, p), stage = faces(0, 2), head_pose.build(MODEL)
    landmarks = REFERENCE.pdm(MODEL).shape_2d(g, p)
    for arguments, name in (
        (([1], p, landmarks), "params_global"), ((g[0], p[0], landmarks[0]), "params_global"),
        ((g[:0], p[:0], landmarks[:0]), "params_global"), ((g, p[:1], landmarks), "params_local"),
        ((g, p, landmarks.astype(complex)), "landmarks"), ((g, p, None), "landmarks"),
    ):  # fmt: skip
        for call in (stage.pose, stage.landmarks_in_camera):
            with pytest.raises(ContractError, match=name):
                call(*arguments, CAMERA)


def test_read_only_landmarks_are_compiled_no_second_time():
    stage, (g, p) = head_pose.build(MODEL), faces(0, 1)
    landmarks = REFERENCE.pdm(MODEL).shape_2d(g, p)
    first = stage.pose(g, p, landmarks, CAMERA)
    count, landmarks.flags.writeable = len(head_pose._pose.specialisations), False
    np.testing.assert_array_equal(stage.pose(g, p, landmarks, CAMERA), first)
    assert len(head_pose._pose.specialisations) == count


def test_more_subsets_of_landmarks_than_are_kept():
    """Part models start from a few landmarks; every subset has a model of its own."""
    stage, reference = fit_shape.build(MODEL), REFERENCE.fit_shape(MODEL)
    whole = REFERENCE.pdm(MODEL).shape_2d(np.array([2, 0.1, 0.2, 0.1, 300, 200], np.float32), np.zeros(20, np.float32))
    for k in range(2 * fit_shape.KEPT_SUBSETS):
        some = whole.copy()
        some[k : k + 20, 0] = 0
        (g, p), (expected_g, expected_p) = stage(some[None]), reference(some[None])
        np.testing.assert_allclose(g, expected_g, rtol=0, atol=tolerance("stage", "fit_shape_global").tolerance)
        np.testing.assert_allclose(p, expected_p, rtol=0, atol=tolerance("stage", "fit_shape_local").tolerance)
    assert len(stage._some) <= fit_shape.KEPT_SUBSETS
