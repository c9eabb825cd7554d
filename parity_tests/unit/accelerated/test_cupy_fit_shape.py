"""Shapes and CalcParams as CUDA kernels, run on the host: the reference numbers, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.cupy import fit_shape, pdm
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers.factories import make_pdm
from auparity.parity_tests.unit.helpers.wide_golden import WIDE, assert_nearly_all_equal, parameters
from auparity.reference import fit_shape as reference_fit_shape
from auparity.reference.pdm import ShapeModel
from auparity.reference.stage_outputs import pose_entries

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=6, deadline=None)
FACE = Bundle.embedded(networks=False).face
MAIN, EYE = FACE.main, FACE.parts[0].model


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)  # nothing may be mixed up that a GPU keeps apart


# ---- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("modes", [34, 20, 10, 1])
def test_shapes_are_the_reference_ones_bit_for_bit(device, modes):
    model = make_pdm(np.random.default_rng(modes), 29, modes)
    reference, ours = ShapeModel(model), pdm.build(model, device)
    g, p = parameters(model, 6, modes)
    assert np.array_equal(ours.shape_3d(p.reshape(3, 2, -1)), reference.shape_3d(p.reshape(3, 2, -1)))
    assert np.array_equal(ours.shape_2d(g, p), reference.shape_2d(g, p))
    assert np.array_equal(ours.shape_2d(g, p[0]), reference.shape_2d(g, np.tile(p[0], (6, 1))))
    for k, box in enumerate(np.array([[10, 20, 200, 220], [-50, 0, 30, 80]], np.float32)):
        arguments = box, p[k], g[k, 1:4]
        assert np.array_equal(ours.params_from_box(*arguments), reference.params_from_box(*arguments))


def test_shapes_of_other_lengths_are_refused(device):
    ours = pdm.build(MAIN.pdm, device)
    g, p = parameters(MAIN.pdm, 2)
    for wrong in ((g[:, :5], p), (g, p[:, :5]), (np.concatenate([g, g]), p), (g * np.nan, p)):
        with pytest.raises(ContractError, match="pdm"):
            ours.shape_2d(*wrong)
    with pytest.raises(ContractError, match="normal equations"):
        fit_shape.build(make_pdm(np.random.default_rng(0), 40, 80), device)


# ---- CalcParams -----------------------------------------------------------------------------------------------------


def noisy_landmarks(model, count, seed, noise=1.5):
    g, p = parameters(model, count, seed)
    away = np.random.default_rng([seed, 1]).normal(0, noise, (count, model.n_points, 2))
    return (ShapeModel(model).shape_2d(g, p) + away).astype(np.float32)


def assert_same_parameters(found, reference):
    g = [np.stack([pose_entries(row) for row in side[0]]) for side in (found, reference)]
    assert np.abs(g[0] - g[1]).max() <= tolerance("stage", "fit_shape_global").tolerance
    assert np.abs(found[1] - reference[1]).max() <= tolerance("stage", "fit_shape_local").tolerance


@pytest.mark.parametrize("model", [MAIN.pdm, EYE.pdm], ids=["face", "eye"])
def test_fit_shape_are_the_reference_ones(device, model):
    landmarks = noisy_landmarks(model, 12, 7)
    landmarks[3:6, 1::2] = 0  # not given, as most of an eye's are when it starts
    landmarks[6, :-2] = 0
    found = fit_shape.build(model, device)(landmarks)
    assert_same_parameters(found, reference_fit_shape.fit_shape(ShapeModel(model), landmarks))
    wide = reference_fit_shape.fit_shape(ShapeModel(model, WIDE), landmarks)
    assert_nearly_all_equal(zip(np.concatenate(found, axis=1), np.concatenate(wide, axis=1), strict=True))


@FEW
@given(SEEDS, st.sampled_from([0.01, 3.0, 30.0]))
def test_fit_shape_of_landmarks_that_are_hardly_a_face(device, seed, noise):
    landmarks = noisy_landmarks(EYE.pdm, 3, seed, noise)
    landmarks[1] -= 1e4  # far outside of any image
    landmarks[2] += 1e4
    found = fit_shape.build(EYE.pdm, device)(landmarks)
    wide = reference_fit_shape.fit_shape(ShapeModel(EYE.pdm, WIDE), landmarks)
    for ours, reference in zip(found, wide, strict=True):
        np.testing.assert_array_equal(ours, reference)


def test_landmarks_in_one_place_and_a_single_one(device):
    landmarks = np.full((2, EYE.pdm.n_points, 2), 50, np.float32)
    landmarks[1, 1:] = 0  # without extent, so without scale
    found = fit_shape.build(EYE.pdm, device)(landmarks)
    with np.errstate(invalid="ignore"):
        reference = reference_fit_shape.fit_shape(ShapeModel(EYE.pdm), landmarks)
    assert np.isnan(reference[0][1, 0])
    for ours, theirs in zip(found, reference, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_face_without_landmarks_is_no_number_and_disturbs_no_other(device):
    landmarks = noisy_landmarks(EYE.pdm, 4, 0)
    landmarks[1], landmarks[2, 5, 1] = 0, np.nan
    batch = fit_shape.ShapeFitterBatch(device, EYE.pdm)
    g, p = (device.download(found) for found in batch(device.upload(landmarks)))
    assert np.isnan(g[1:3]).all()
    assert np.isnan(p[1:3]).all()
    alone = fit_shape.build(EYE.pdm, device)(landmarks[[0, 3]])
    assert np.array_equal(g[[0, 3]], alone[0])
    assert np.array_equal(p[[0, 3]], alone[1])
    with pytest.raises(ContractError, match="all x are 0"):
        fit_shape.build(EYE.pdm, device)(landmarks[:2])
    with pytest.raises(ContractError, match="finite"):
        fit_shape.build(EYE.pdm, device)(landmarks[2:])
