"""Fits as a CUDA kernel, run on the host: the reference numbers, whatever else is in the batch."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from auparity.accelerated.cupy import fitting
from auparity.accelerated.cupy.patch_experts import MapsBatch, PatchExperts
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers.wide_golden import WIDE, assert_nearly_all_equal, parameters
from auparity.reference import fit_shape as reference_fit_shape
from auparity.reference.fitting import INVISIBLE_LIKELIHOOD, FittingParameters, LandmarkFitter
from auparity.reference.grayscale import to_gray
from auparity.reference.patch_experts import PatchExpertBank, ResponseMaps
from auparity.reference.pdm import ShapeModel

FACE = Bundle.embedded(networks=False).face
MAIN, EYE = FACE.main, FACE.parts[0].model
SHAPE = ShapeModel(MAIN.pdm)
BLANK = np.zeros((1, 8, 8), np.float32)
TURN = np.array([[0.9, 0.1], [-0.1, 0.9]], np.float32)


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)  # nothing may be mixed up that a GPU keeps apart


class Landscape:
    """Patch experts whose maps are noise, whatever the image, from a few pixels up to all of a map."""

    def __init__(self, seed, n_points=68, scales=(0.25, 0.35, 0.5, 1.0), visible=None, view=0):
        self.seed, self.scales, self.view = seed, scales, view
        self.visible = np.ones(n_points, bool) if visible is None else visible

    def response_maps(self, gray, params_global, params_local, window, scale_index):
        rng, back = np.random.default_rng([self.seed, window]), np.linalg.inv(TURN).astype(np.float32)
        maps = rng.random((1, len(self.visible), window, window)).astype(np.float32)
        return ResponseMaps(maps, self.visible[None], TURN[None], back[None], np.array([self.view]))


class Served:
    """Response maps of experts on the host as the device's own would give them; of inactive faces, rubbish."""

    def __init__(self, device, experts, n_points=68, change=lambda arrays: None):
        self.device, self.experts, self.scales = device, experts, experts.scales
        self.n_points, self.change, self.asked = n_points, change, []

    def response_maps(self, gray, frame, g, p, window, scale_index, active):
        gray, frame, g, p, active = map(self.device.download, (gray, frame, g, p, active))
        count, n = len(g), self.n_points
        self.asked.append(active.tolist())
        arrays = {
            "maps": np.full((count, n, window, window), np.nan, np.float32),
            "visible": np.ones((count, n), np.uint8),
            "img_to_ref": np.full((count, 2, 2), np.nan, np.float32),
            "ref_to_img": np.full((count, 2, 2), np.nan, np.float32),
            "view": np.zeros(count, np.int32),
            "good": np.zeros(count, np.uint8),
        }
        for k in np.flatnonzero(active):
            image = gray[frame[k]][None].astype(np.float32)
            found = self.experts.response_maps(image, g[k : k + 1], p[k : k + 1], window, scale_index)
            for field in fields(ResponseMaps):
                arrays[field.name][k] = getattr(found, field.name)[0]
            arrays["good"][k] = 1
        self.change(arrays)
        return MapsBatch(**{name: self.device.upload(array) for name, array in arrays.items()})


def both_fits(device, model, experts, knobs, g, p, gray=None, numerics=WIDE):
    """Our fits and the reference's."""
    gray = np.repeat(BLANK, len(g), axis=0) if gray is None else gray
    n = model.pdm.n_points
    ours = fitting.LandmarkFitter(device, model, Served(device, experts, n)).fit(gray, g, p, knobs)
    return ours, LandmarkFitter(model, numerics, experts).fit(gray, g, p, knobs)


def assert_same_fits(ours, reference):
    pairs = [
        (np.concatenate([a.params_global, a.params_local]), np.concatenate([b.params_global, b.params_local]))
        for a, b in zip(ours, reference, strict=True)
    ]
    assert_nearly_all_equal(pairs)
    for a, b in zip(ours, reference, strict=True):
        assert (a.view, a.success, a.likelihood is None) == (b.view, b.success, b.likelihood is None)
        np.testing.assert_allclose(a.landmarks, b.landmarks, rtol=0, atol=1e-3)
        if a.likelihood is not None:
            assert a.likelihood == pytest.approx(b.likelihood, abs=tolerance("stage", "fit_likelihood").tolerance)
            np.testing.assert_allclose(a.landmark_likelihoods, b.landmark_likelihoods, rtol=1e-5)


@pytest.mark.parametrize(
    ("windows", "weight"),
    [((9, 0, 0, 0), 0.0), ((0, 5, 3, 0), 2.5), ((7, 7, 0, 5), 0.0), ((11, 0, 3, 3), 2.5), ((0, 0, 0, 0), 0.0)],
)
def test_the_schedule_of_scales_windows_and_weights(device, windows, weight):
    knobs = FittingParameters(windows=windows, weight_factor=weight)
    assert_same_fits(*both_fits(device, MAIN, Landscape(1), knobs, *parameters(MAIN.pdm, 2, 3)))


def test_ten_modes_and_large_windows(device):
    """An eye's model takes the sums of fewer modes than a vector has lanes, and maps larger than its Jacobian."""
    knobs = FittingParameters(windows=(15, 13), refine_parameters=False, sigma=1.0, reg_factor=0.5)
    experts = Landscape(2, EYE.pdm.n_points, (1.0, 1.5))
    assert_same_fits(*both_fits(device, EYE, experts, knobs, *parameters(EYE.pdm, 3, 4)))


def test_the_first_sigma_of_a_window_stays(device):
    start = parameters(MAIN.pdm, 1, 5)
    fits = [
        both_fits(device, MAIN, Landscape(1), FittingParameters(windows=windows), *start)
        for windows in ((5, 5, 0, 0), (0, 5, 0, 0))
    ]
    for ours, reference in fits:
        assert_same_fits(ours, reference)
    assert np.abs(fits[0][0][0].params_global - fits[1][0][0].params_global).max() > 1e-3


def test_landmarks_that_a_view_hides_do_not_pull(device):
    visible = MAIN.experts[0].visibility[3] != 0
    assert not visible.all()
    knobs = FittingParameters(windows=(5, 0, 0, 0), weight_factor=5.0)
    experts = Landscape(3, visible=visible, view=3)
    ours, reference = both_fits(device, MAIN, experts, knobs, *parameters(MAIN.pdm, 2, 6))
    assert_same_fits(ours, reference)
    assert (ours[0].landmark_likelihoods[~visible] == INVISIBLE_LIKELIHOOD).all()


@pytest.mark.parametrize("scale", [0.1, 0.2, 0.27, 0.31, 20.0])
def test_faces_of_any_size_fail_and_count_as_in_the_reference_fit(device, scale):
    g, p = parameters(MAIN.pdm, 2, 8)
    g[0, 0] = scale
    ours, reference = both_fits(device, MAIN, Landscape(4), FittingParameters(windows=(5, 3, 3, 0)), g, p)
    assert_same_fits(ours, reference)
    assert ours[0].success == (scale > 0.25)
    assert ours[1].success


def test_shapes_beyond_their_limits_are_clamped(device):
    g, p = parameters(MAIN.pdm, 2, 9)
    knobs = FittingParameters(windows=(5, 0, 0, 0), iterations=1)
    ours, reference = both_fits(device, MAIN, Landscape(5), knobs, g, p * 1e3)
    assert_same_fits(ours, reference)
    assert (np.abs(ours[0].params_local) <= SHAPE.largest).all()


@pytest.fixture(scope="module")
def scene():
    """A rendered face, gray (1, H, W), and five starts: near it, aside, half outside, outside, too small."""
    picture = next(iter(render_clip(3_700_000, 1, canvas=(160, 120), face_width=(70.0, 72.0))))
    gray = to_gray(picture.image[None]).astype(np.float32)
    landmarks = np.asarray(picture.truth.landmarks, np.float32)
    moves = np.array([[0, 0], [3, -2], [75, 20], [900, -900], [0, 0]], np.float32)
    g, p = reference_fit_shape.fit_shape(SHAPE, landmarks + moves[:, None])
    g[4, 0] = 0.2
    return gray, g, p


SETTINGS = FittingParameters(windows=(7, 0, 5, 0), sigma=2.25, reg_factor=22.5)


def arrays_of(device, fits):
    return {field.name: device.download(getattr(fits, field.name)) for field in fields(fits)}


def fit_on_device(device, experts, scene, rows=slice(None), active=None, knobs=SETTINGS):
    gray, g, p = scene
    up, count = device.upload, len(g[rows])
    batch = fitting.FittingBatch(device, MAIN, experts)
    return arrays_of(device, batch.fit(
        up(gray.astype(np.uint8)), up(np.zeros(count, np.int32)), up(g[rows]), up(p[rows]), knobs,
        None if active is None else up(np.array(active, np.uint8)),
    ))  # fmt: skip


def test_faces_of_a_picture_are_fitted_as_the_reference_does(device, scene):
    gray, g, p = scene
    experts = PatchExpertBank(MAIN, SHAPE)
    starts = np.repeat(gray, len(g), axis=0), g, p
    ours, reference = both_fits(device, MAIN, experts, SETTINGS, *starts[1:], gray=starts[0])
    assert_same_fits(ours, reference)
    assert [fit.success for fit in ours] == [True, True, True, True, False]
    errors = [
        np.abs(a.landmarks - b.landmarks).max()
        for a, b in zip(ours, LandmarkFitter(MAIN, experts=experts).fit(*starts, SETTINGS), strict=True)
    ]
    assert np.median(errors) <= tolerance("stage", "fit_landmarks_median").tolerance
    assert np.percentile(errors, 95) <= tolerance("stage", "fit_landmarks_p95").tolerance


def test_fits_with_the_devices_own_experts(device, scene):
    """As the stage is built: given the reference experts it takes its own, given its own it keeps them."""
    gray, g, p = scene
    knobs = replace(SETTINGS, windows=(0, 0, 5, 0), iterations=2)
    start = np.repeat(gray, 2, axis=0), g[:2], p[:2]
    bank, own = PatchExpertBank(MAIN, SHAPE), PatchExperts(MAIN, device)
    ours = fitting.build(MAIN, own).fit(*start, knobs)
    reference = LandmarkFitter(MAIN, experts=bank).fit(*start, knobs)
    others = fitting.build(MAIN, bank, device).fit(*start, knobs)
    limit = tolerance("stage", "fit_landmarks_p95").tolerance
    for a, b, c in zip(ours, reference, others, strict=True):
        assert np.abs(a.landmarks - b.landmarks).max() <= limit
        assert np.array_equal(a.landmarks, c.landmarks)
        assert (a.view, a.success) == (b.view, b.success)
        assert a.likelihood == pytest.approx(b.likelihood, abs=tolerance("stage", "fit_likelihood").tolerance)


def test_a_fit_does_not_depend_on_the_batch_nor_an_inactive_face_on_anything(device, scene):
    experts = Served(device, PatchExpertBank(MAIN, SHAPE))
    together = fit_on_device(device, experts, scene)
    alone = fit_on_device(device, experts, scene, slice(1, 2))
    some = fit_on_device(device, experts, scene, active=[0, 1, 0, 1, 1])
    for name, values in together.items():
        assert np.array_equal(values[1:2], alone[name])
        assert np.array_equal(values[[1, 3, 4]], some[name][[1, 3, 4]])
    _, g, p = scene
    idle = [0, 2]
    assert np.array_equal(some["params_global"][idle], g[idle])
    assert np.array_equal(some["params_local"][idle], p[idle])
    assert np.array_equal(some["landmarks"][idle], SHAPE.shape_2d(g[idle], p[idle]))
    assert some["finite"].all()
    assert some["success"].tolist() == [0, 1, 0, 1, 0]
    assert not some["has_likelihood"][idle].any()


def test_a_face_that_failed_is_left_alone_at_later_scales(device, scene):
    experts = Served(device, Landscape(6))
    fits = fit_on_device(device, experts, scene, knobs=FittingParameters(windows=(5, 3, 3, 0)))
    assert experts.asked == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]
    assert fits["success"].tolist() == [1, 1, 1, 1, 0]


def test_starts_and_maps_that_are_no_numbers_stop_their_face_alone(device, scene):
    gray, g, p = scene
    g, p = g.copy(), p.copy()
    g[1, 4], p[2, 7] = np.inf, np.nan

    def change(arrays):
        arrays["maps"][3, 5, 2, 2] = np.inf
        arrays["good"][4] = 0

    experts = Served(device, Landscape(7), change=change)
    knobs = FittingParameters(windows=(5, 3, 0, 0))
    fits = fit_on_device(device, experts, (gray, g, p), knobs=knobs)
    assert experts.asked == [[1, 0, 0, 1, 1], [1, 0, 0, 0, 0]]
    assert fits["finite"].tolist() == fits["success"].tolist() == [1, 0, 0, 0, 0]
    fine = fit_on_device(device, Served(device, Landscape(7)), scene, slice(0, 1), knobs=knobs)
    assert all(np.array_equal(values[:1], fine[name]) for name, values in fits.items())
    stage = fitting.LandmarkFitter(device, MAIN, Served(device, Landscape(7), change=change))
    with pytest.raises(ContractError, match=r"faces \[3, 4\]"):
        stage.fit(np.repeat(BLANK, 5, axis=0), *scene[1:], knobs)


def test_landmarks_that_are_nowhere_in_their_maps_do_not_pull(device):
    g, p = parameters(MAIN.pdm, 2, 2)
    knobs = FittingParameters(windows=(5, 0, 0, 0))

    def lost(arrays):
        arrays["img_to_ref"][0] = np.nan

    def still(arrays):
        arrays["maps"][0] = 0

    (nowhere, fine), (unmoved, same) = (
        fitting.LandmarkFitter(device, MAIN, Served(device, Landscape(8), change=change)).fit(
            np.repeat(BLANK, 2, axis=0), g, p, knobs
        )
        for change in (lost, still)
    )
    assert np.array_equal(nowhere.params_global, unmoved.params_global)
    assert np.array_equal(nowhere.params_local, unmoved.params_local)
    assert np.array_equal(fine.landmarks, same.landmarks)


def test_a_fit_is_one_launch_and_one_a_scale_beside_those_of_the_maps(device, scene):
    launched = []

    class Counted:
        def __getattr__(self, name):
            return getattr(device, name)

        def kernel(self, source, name, **defines):
            made = device.kernel(source, name, **defines)

            def launch(*arguments):
                launched.append(name)
                made(*arguments)

            return launch

    gray, g, p = scene
    batch = fitting.FittingBatch(Counted(), MAIN, Served(device, Landscape(9)))
    arguments = [device.upload(a) for a in (gray.astype(np.uint8), np.zeros(5, np.int32), g, p)]
    knobs = FittingParameters(windows=(3, 3, 0, 3), iterations=1)
    batch.fit(*arguments, knobs)
    launched.clear()
    batch.fit(*arguments, knobs)
    assert launched == ["start_fits", "fit_scale", "fit_scale", "fit_scale"]


def test_contracts_of_the_stage(device):
    stage = fitting.LandmarkFitter(device, MAIN, Served(device, Landscape(0)))
    g, p = parameters(MAIN.pdm, 1)
    with pytest.raises(ContractError, match="windows"):
        stage.fit(BLANK, g, p, FittingParameters(windows=(9, 7)))
    for wrong in ((BLANK + 0.5, g, p), (BLANK[0], g, p), (BLANK, g * np.nan, p), (BLANK, g, p[:, :3])):
        with pytest.raises(ContractError, match="fitting"):
            stage.fit(*wrong, replace(SETTINGS, windows=(3, 0, 0, 0)))
