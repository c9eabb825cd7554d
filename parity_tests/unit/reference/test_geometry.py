"""Geometry descriptor of the AU models (spec 60.4)."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.geometry import geometry_descriptor


@pytest.fixture(scope="module")
def pdm() -> PDM:
    rng = np.random.default_rng(0)
    return PDM(rng.normal(scale=50, size=204), rng.normal(size=(204, 34)), np.linspace(900, 1, 34))


def test_the_mean_face_is_the_zero_descriptor(pdm: PDM) -> None:
    assert not geometry_descriptor(np.zeros((1, 34), np.float32), pdm).any()


def test_displacements_come_first_and_the_modes_last(pdm: PDM) -> None:
    params = np.random.default_rng(1).normal(scale=10, size=(3, 34)).astype(np.float32)
    descriptor = geometry_descriptor(params, pdm)
    assert descriptor.shape == (3, 238)
    assert descriptor.dtype == np.float64
    assert np.array_equal(descriptor[:, 204:], params.astype(np.float64))
    stored = pdm.components.astype(np.float32).astype(np.float64)
    assert np.allclose(descriptor[:, :204], params @ stored.T, rtol=0, atol=1e-12 * 300)


def test_each_mode_moves_the_face_along_its_own_column(pdm: PDM) -> None:
    descriptor = geometry_descriptor(np.eye(34, dtype=np.float32) * 2, pdm)
    assert np.array_equal(descriptor[:, :204], 2 * pdm.components.T.astype(np.float32).astype(np.float64))


def test_a_face_has_the_same_descriptor_alone_and_in_a_batch(pdm: PDM) -> None:
    params = np.random.default_rng(2).normal(size=(5, 34)).astype(np.float32)
    assert np.array_equal(geometry_descriptor(params, pdm)[3:4], geometry_descriptor(params[3:4], pdm))


@pytest.mark.parametrize("bad", [np.zeros(34), np.zeros((1, 33)), np.full((1, 34), np.inf)])
def test_what_are_no_local_parameters_is_refused(pdm: PDM, bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="params_local"):
        geometry_descriptor(bad, pdm)
