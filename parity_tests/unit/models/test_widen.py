"""Widened experts respond as the narrow ones do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.types import CENLayer
from auparity.models.widen import OPENFACE_HIDDEN, widen_experts, widen_layers
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.helpers.factories import make_bundle
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import CENScale


def run(layers: tuple[CENLayer, ...], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer.weights.astype(np.float64) @ x + layer.bias.reshape(-1, 1)
        x = np.maximum(x, 0) if layer.activation == 2 else 1 / (1 + np.exp(-x)) if layer.activation == 0 else x
    return x


def three_hidden(rng: np.random.Generator) -> tuple[CENLayer, ...]:
    sizes = (122, 24, 16, 8, 1)
    return tuple(
        CENLayer(
            0 if k == 3 else 2,
            rng.standard_normal((1, sizes[k + 1])).astype(np.float32) * 0.1,
            (rng.standard_normal((sizes[k + 1], sizes[k])) * (2 / sizes[k]) ** 0.5).astype(np.float32),
        )
        for k in range(4)
    )


@pytest.mark.parametrize("sizes", sorted(set(OPENFACE_HIDDEN.values())))
def test_the_function_stays(sizes):
    rng = np.random.default_rng(0)
    layers = three_hidden(rng)
    wide = widen_layers(layers, sizes, rng)
    assert [len(layer.weights) for layer in wide] == [*sizes, 1]
    assert wide[0].weights.shape[1] == 122
    x = rng.standard_normal((122, 500))
    np.testing.assert_allclose(run(wide, x), run(layers, x), atol=1e-6)


def test_no_weight_is_zero_and_copies_differ():
    rng = np.random.default_rng(1)
    wide = widen_layers(three_hidden(rng), (300, 100, 50), rng)
    for layer in wide:
        assert np.count_nonzero(layer.weights) == layer.weights.size
    # Copies of a unit have the same weights in and different ones out.
    assert len(np.unique(wide[3].weights)) == wide[3].weights.size


def test_a_layer_cannot_shrink_or_appear():
    rng = np.random.default_rng(2)
    for sizes in ((23, 100, 50), (300, 100)):
        with pytest.raises(ContractError, match="sizes"):
            widen_layers(three_hidden(rng), sizes, rng)


def test_response_maps_stay_through_the_reference():
    experts = factories.make_cen(np.random.default_rng(3))
    wide = widen_experts(experts, (30, 20), seed=1)
    gray = np.random.default_rng(4).uniform(0, 255, (80, 90)).astype(np.float32)
    places = np.random.default_rng(5).uniform(30, 50, (68, 2)).astype(np.float32)
    matrix = np.eye(2, dtype=np.float32)
    for view in range(3):
        (narrow, _) = CENScale(experts, experts, FLOAT32).responses(gray, places, matrix, 5, view)
        (broad, _) = CENScale(wide, wide, FLOAT32).responses(gray, places, matrix, 5, view)
        np.testing.assert_allclose(broad, narrow, atol=1e-5)


def test_widening_is_deterministic_and_says_so_in_the_name():
    bundle = make_bundle(1, "ceclm")
    main = bundle.face.main
    rng = np.random.default_rng(6)
    experts = tuple(
        dataclasses.replace(
            e,
            patches=tuple(
                tuple(dataclasses.replace(p, layers=three_hidden(rng)) if p.layers else p for p in view)
                for view in e.patches[:1]
            ),
            view_centres=e.view_centres[:1], visibility=e.visibility[:1], mirror_views=e.mirror_views[:1],
        )
        for e in main.experts
    )  # fmt: skip
    narrow = bundle.with_models(
        landmarker=dataclasses.replace(bundle.face, main=dataclasses.replace(main, experts=experts))
    )
    first, second = narrow.widen(), narrow.widen()
    assert first.content_hash == second.content_hash != narrow.content_hash
    assert first.meta.name.endswith("-widened")
    assert {
        tuple(len(layer.weights) for layer in p.layers[:-1])
        for e in first.face.main.experts
        for p in e.patches[0]
        if p.layers
    } <= set(OPENFACE_HIDDEN.values())


def test_clnf_bundles_cannot_be_widened():
    with pytest.raises(ContractError, match="CE-CLM"):
        make_bundle(0, "clnf").widen()
