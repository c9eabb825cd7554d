"""Response maps against transcriptions of their definitions, loop by loop and in float64."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.patch_experts import (
    PatchExpertBank,
    extract_areas,
    interpolate_checkerboard,
    invert_2x2,
    normalised_patches,
    select_view,
)
from auparity.reference.pdm import ShapeModel

RNG = np.random.default_rng(5)
IMAGE = np.round(RNG.uniform(0, 255, (120, 140))).astype(np.float32)


def bank(kind, numerics=FLOAT64):
    model = factories.make_bundle(3, kind=kind, m=6).face.main
    return PatchExpertBank(model, ShapeModel(model.pdm, numerics)), model


def pose(bank, ry=0.0):
    """Parameters (1, 6), (1, m) of a face in the middle of the image."""
    g = bank.shape_model.params_from_box(np.array([35, 30, 60, 60]), np.zeros(6), np.array([0, ry, 0]))
    dtype = bank.numerics.dtype
    return g.astype(dtype)[None], np.full((1, 6), 0.3, dtype)


def brute_patch(area, i, j):
    """Constant 1 and the contrast-normalised 11 x 11 patch at row i, column j, column by column (spec 40.6)."""
    patch = area[i : i + 11, j : j + 11].astype(np.float64)
    patch = patch - patch.mean()
    norm = np.sqrt((patch**2).sum())
    return np.concatenate([[1.0], (patch / (norm if norm > 0 else 1)).T.ravel()])


def test_the_landmark_is_the_centre_of_its_area():
    areas = extract_areas(IMAGE, np.array([[50, 40], [71, 33]], np.float32), np.eye(2, dtype=np.float32), 21)
    assert (areas[:, 10, 10] == IMAGE[[40, 33], [50, 71]]).all()
    assert (areas[0] == IMAGE[30:51, 40:61]).all()


def test_an_area_outside_the_image_is_black():
    areas = extract_areas(IMAGE, np.array([[-100, -100]], np.float32), np.eye(2, dtype=np.float32), 15)
    assert (areas == 0).all()


def test_patches_have_zero_mean_and_unit_norm_and_flat_ones_are_zero():
    area = IMAGE[None, :19, :19].copy()
    area[0, :12, :12] = 77
    patches = normalised_patches(area, (11, 11))
    assert (patches[..., 0] == 1).all()
    np.testing.assert_allclose(patches[0, 5:, 5:, 1:].sum(-1), 0, atol=1e-5)
    np.testing.assert_allclose((patches[0, 5:, 5:, 1:] ** 2).sum(-1), 1, atol=1e-5)
    assert (patches[0, 0, 0, 1:] == 0).all()
    np.testing.assert_allclose(patches[0, 6, 7], brute_patch(area[0], 6, 7), atol=1e-6)


@pytest.mark.parametrize("window", [5, 7])
def test_ccnf_responses_are_smoothed_sums_of_sigmoids(window):
    experts, model = bank("clnf")
    gray, (g, p) = IMAGE[None].astype(np.float64), pose(experts)
    found = experts.response_maps(gray, g, p, window, 0)
    view, file = int(found.view[0]), model.experts[0]
    landmarks = experts.shape_model.shape_2d(g[0], p[0])
    last = model.experts[-1]
    for landmark in (0, 30, 66):
        patch = file.patches[view][landmark]
        area = extract_areas(gray[0], landmarks[[landmark]], found.ref_to_img[0], window + 10, FLOAT64)[0]
        raw = np.zeros((window, window))
        for i in range(window):
            for j in range(window):
                phi = brute_patch(area, i, j)[1:]
                for k in range(patch.n_neurons):
                    weights = patch.weights[k].astype(np.float64).T.ravel()
                    z = patch.norm_weights[k] * (weights @ phi) + patch.biases[k]
                    if patch.alphas[k] > 1e-4:
                        raw[i, j] += 2 * patch.alphas[k] / (1 + np.exp(-z))
        precision = np.eye(window**2) * patch.alphas.sum()
        if window in last.window_sizes:
            for beta, component in zip(
                patch.betas, last.sigma_components[last.window_sizes.index(window)], strict=False
            ):
                precision += beta * component
        smooth = (np.linalg.inv(2 * precision) @ raw.ravel()).reshape(window, window)
        smooth -= min(smooth.min(), 0)
        np.testing.assert_allclose(found.maps[0, landmark], smooth, atol=1e-9)


def brute_cen(patch, area, window):
    """Network on odd column-major positions, neighbours' means between (spec 40.7)."""
    grid = np.full((window, window), np.nan)
    for i in range(window):
        for j in range(window):
            if (j * window + i) % 2 == 1:
                x = brute_patch(area, i, j)
                for layer in patch.layers:
                    x = layer.weights.astype(np.float64) @ x + layer.bias.astype(np.float64).ravel()
                    x = (
                        1 / (1 + np.exp(-x))
                        if layer.activation == 0
                        else np.maximum(x, 0)
                        if layer.activation == 2
                        else x
                    )
                grid[i, j] = x[0]
    full = grid.copy()
    for i in range(window):
        for j in range(window):
            if np.isnan(grid[i, j]):
                around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
                full[i, j] = np.mean([grid[a, b] for a, b in around if 0 <= a < window and 0 <= b < window])
    return full


@pytest.mark.parametrize("ry", [0.0, -0.4, 0.4])
def test_cen_responses_with_mirrored_experts(ry):
    experts, model = bank("ceclm")
    gray, (g, p) = IMAGE[None].astype(np.float64), pose(experts, ry)
    window = 5
    found = experts.response_maps(gray, g, p, window, 0)
    view, file = int(found.view[0]), model.experts[0]
    assert (view == 0) == (ry == 0)
    mirror, mirror_views = file.mirror_landmarks.ravel(), file.mirror_views.ravel()
    landmarks = experts.shape_model.shape_2d(g[0], p[0])
    checked = set()
    for landmark in np.flatnonzero(found.visible[0])[::5]:
        own = file.patches[view][landmark]
        flip = not own.layers
        patch = file.patches[mirror_views[view] if view else 0][mirror[landmark]] if flip else own
        area = extract_areas(gray[0], landmarks[[landmark]], found.ref_to_img[0], window + 10, FLOAT64)[0]
        expected = brute_cen(patch, area[:, ::-1] if flip else area, window)
        np.testing.assert_allclose(found.maps[0, landmark], expected[:, ::-1] if flip else expected, atol=1e-9)
        checked.add(flip)
    # Views turned one way have experts of their own, those turned the other way mirrored ones, the frontal both.
    assert checked == {-0.4: {False}, 0.0: {True, False}, 0.4: {True}}[ry]


def test_interpolation_commutes_with_mirroring():
    values = RNG.normal(size=24)
    full = interpolate_checkerboard(values, 7)
    flipped = interpolate_checkerboard(full[:, ::-1].T.ravel()[1::2], 7)
    np.testing.assert_allclose(flipped, full[:, ::-1])


def test_the_nearest_view_is_taken_and_the_first_wins_ties():
    centres = np.deg2rad([[0, 0, 0], [0, -20, 0], [0, 20, 0]])
    assert select_view(centres, np.array([0.0, 0.3, 0.0])) == 2
    assert select_view(centres, np.array([0.0, 0.0, 9.0])) == 0


def test_the_similarity_undoes_itself():
    experts, _ = bank("clnf", FLOAT32)
    g, p = pose(experts)
    forward, back = experts.similarity(1, g[0], p[0])
    np.testing.assert_allclose(forward @ back, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(invert_2x2(forward), np.linalg.inv(forward), rtol=1e-5)


def test_maps_do_not_depend_on_the_rest_of_the_batch():
    experts, _ = bank("clnf", FLOAT32)
    g, p = pose(experts)
    gray = np.stack([IMAGE, IMAGE[::-1].copy()])
    both = experts.response_maps(gray, np.repeat(g, 2, 0), np.repeat(p, 2, 0), 7, 0)
    alone = experts.response_maps(gray[1:], g, p, 7, 0)
    assert (both.maps[1] == alone.maps[0]).all()


def test_contract():
    experts, _ = bank("clnf", FLOAT32)
    g, p = pose(experts)
    gray = IMAGE[None]
    for arguments in (
        (gray, g, p, 6, 0),
        (gray, g, p, 7, 3),
        (gray[0], g, p, 7, 0),
        (gray.astype(np.float64), g, p, 7, 0),
        (gray, g[:, :5], p, 7, 0),
        (gray * np.nan, g, p, 7, 0),
    ):
        with pytest.raises(ContractError, match="patch_experts"):
            experts.response_maps(*arguments)
