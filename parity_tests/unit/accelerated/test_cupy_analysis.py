"""The analysis half as CUDA kernels, run on the host: the reference's numbers, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.cupy import action_units, analysis, fhog, geometry, running_median
from auparity.errors import ContractError, VariantUnavailable
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers.factories import make_au_predictors, make_pdm
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.fhog import fhog as reference_fhog
from auparity.reference.fhog import orientation
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.postprocessing import postprocess
from auparity.reference.running_median import GEOMETRY_HISTOGRAM, HOG_HISTOGRAM, RunningMedian

SEEDS = st.integers(0, 2**32 - 1)
GEOMETRY = tolerance("stage", "geometry").tolerance
ACTION_UNITS = tolerance("stage", "action_units").tolerance


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)  # nothing may be mixed up that a GPU keeps apart


def faces(seed: int, n: int = 1, height: int = 112, width: int = 112) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def smooth_face() -> np.ndarray:
    """Waves in three colours: gradients as short as those of skin."""
    y, x = np.mgrid[:112, :112]
    waves = [120 + 60 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


# ---- FHOG -----------------------------------------------------------------------------------------------------------


def test_descriptors_are_the_references_bit_for_bit(device):
    noise, gray = faces(0)[0], np.repeat(faces(1)[0, :, :, :1], 3, axis=-1)  # gray: every channel ties
    black, edge = np.zeros_like(noise), np.where(np.arange(112)[:, None, None] < 56, noise, 0).astype(np.uint8)
    batch = np.stack([noise, gray, black, edge, smooth_face()])
    assert np.array_equal(fhog.build(device)(batch), reference_fhog(batch))


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS, height=st.integers(20, 60), width=st.integers(20, 60))
def test_descriptors_of_other_sizes(device, seed, height, width):
    batch = faces(seed, 2, height // 20 * 20, width // 20 * 20 + 3)  # few sizes: each is compiled
    assert np.array_equal(fhog.build(device)(batch), reference_fhog(batch))


def test_directions_of_all_gradients_of_bytes_are_the_references():
    table = fhog.direction_table()
    rng = np.random.default_rng(0)
    gx, gy = rng.integers(-255, 256, (2, 1000))
    assert np.array_equal(table[gy + 255, gx + 255], orientation(gx, gy))


@pytest.mark.parametrize(
    "wrong", [faces(0).astype(np.float32), faces(0)[0], faces(0, 1, 19, 112), faces(0, 1, 200, 200)]
)
def test_images_that_are_no_faces_are_refused(device, wrong):
    with pytest.raises(ContractError, match="aligned"):
        fhog.build(device)(wrong)


# ---- geometry -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_geometry_is_the_references(device, dtype):
    rng = np.random.default_rng(2)
    pdm = make_pdm(rng, m=34)
    p = (rng.standard_normal((7, 34)) * 10).astype(dtype)
    ours, reference = geometry.build(pdm, device)(p), geometry_descriptor(p, pdm)
    assert ours.dtype == np.float64
    assert np.abs(ours - reference).max() <= GEOMETRY
    assert np.array_equal(ours[3:4], geometry.build(pdm, device)(p[3:4]))


def test_parameters_of_another_model_are_refused(device):
    pdm = make_pdm(np.random.default_rng(3), m=34)
    with pytest.raises(ContractError, match="params_local"):
        geometry.build(pdm, device)(np.zeros((2, 33)))
    with pytest.raises(ContractError, match="params_local"):
        geometry.GeometryBatch(device, pdm)(device.upload(np.zeros((2, 34), np.int64)))


# ---- running medians ------------------------------------------------------------------------------------------------


def reference_median(kind: str) -> RunningMedian:
    return RunningMedian(*HOG_HISTOGRAM, non_negative=True) if kind == "hog" else RunningMedian(*GEOMETRY_HISTOGRAM)


def descriptors(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    """Values within the histogram, on its ends and outside."""
    low, high = (HOG_HISTOGRAM if kind == "hog" else GEOMETRY_HISTOGRAM)[1:]
    return rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), (n, d))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, kind=st.sampled_from(["hog", "geometry"]), successes=st.floats(0, 1))
def test_medians_are_the_references_frame_by_frame(device, seed, kind, successes):
    rng = np.random.default_rng(seed)
    reference, ours = reference_median(kind), running_median.build(kind, device)
    for values in descriptors(rng, kind, 14, 3):
        success = bool(rng.random() < successes)
        assert np.array_equal(ours.step(values, success), reference.step(values, success))
    assert np.array_equal(ours.median, reference.median)
    ours.reset()
    reference.reset()
    assert np.array_equal(ours.step(values, True), reference.step(values, True))


@pytest.mark.parametrize("kind", ["hog", "geometry"])
def test_videos_of_different_lengths_share_a_batch_and_nothing_else(device, kind):
    """Batches of several frames of some of three videos, in any order of the videos."""
    rng = np.random.default_rng(5)
    batch = running_median.MedianBatch(device, kind, 5, videos=3, dtype=np.float32)
    reference = [reference_median(kind) for _ in range(3)]
    for videos, lengths in [((2, 0), (3, 1)), ((1,), (4,)), ((0, 1, 2), (2, 5, 2)), ((1, 2), (1, 1))]:
        n = sum(lengths)
        values, success = descriptors(rng, kind, n, 5).astype(np.float32), rng.random(n) < 0.7
        starts = np.cumsum([0, *lengths])
        given_ = (values, success.astype(np.uint8), np.array(videos, np.int32), starts.astype(np.int32))
        ours = device.download(batch(*map(device.upload, given_), max(lengths)))
        for video, start, stop in zip(videos, starts[:-1], starts[1:], strict=True):
            for row in range(start, stop):
                assert np.array_equal(ours[row], reference[video].step(values[row], bool(success[row])))
    assert batch.frames.tolist() == [g.frames for g in reference]
    assert batch.total.tolist() == [g.total for g in reference]
    batch.reset(1)
    assert batch.frames.tolist() == [reference[0].frames, 0, reference[2].frames]


def test_counts_are_widened_before_16_bits_overflow(device):
    """A long video of one value, then one frame more of another, which the median goes over to with the last."""
    batch = running_median.MedianBatch(device, "hog", 1)
    n = 2 * running_median.MOST_IN_16_BITS
    for value, more in ((0.25, n), (0.75, n - 1), (0.75, 3)):
        given_ = (
            np.full((more, 1), value),
            np.ones(more, np.uint8),
            np.zeros(1, np.int32),
            np.array([0, more], np.int32),
        )
        ours = device.download(batch(*map(device.upload, given_), more))
    assert batch.total[0] == n + 1  # of which 65535 and 65536
    assert ours[:, 0] == pytest.approx([0.25, 0.75, 0.75], abs=1e-3)  # only the second of the last three was counted


def test_descriptors_of_another_length_are_refused(device):
    median = running_median.build("hog", device)
    median.step(np.zeros(4), True)
    with pytest.raises(ContractError, match="descriptor"):
        median.step(np.zeros(5), True)
    with pytest.raises(ContractError, match="kind"):
        running_median.build("hogg", device)


# ---- action units ---------------------------------------------------------------------------------------------------


def features(rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
    hog, hog_median = rng.uniform(0, 0.4, (2, n, 4464))
    moved, moved_median = rng.normal(0, 5, (2, n, 238))
    return hog.astype(np.float32), moved, hog_median, moved_median


@pytest.mark.parametrize("kind", ["video", "image"])
def test_values_are_the_references_and_their_frames_own(device, kind):
    rng = np.random.default_rng(6)
    predictors = make_au_predictors(rng, make_pdm(rng, m=34), kind)
    ours, reference = action_units.build(predictors, device), ActionUnitModels(predictors)
    given_ = features(rng, 3)
    intensity, presence = ours.predict(*given_)
    wanted, wanted_presence = reference.predict(*given_)
    assert np.abs(intensity - wanted).max() <= ACTION_UNITS
    assert np.array_equal(presence, wanted_presence)
    alone = ours.predict(*(array[1:2] for array in given_))
    assert np.array_equal(alone[0], intensity[1:2])
    assert np.array_equal(ours.cutoffs, reference.cutoffs, equal_nan=True)


def test_photographs_need_no_medians_and_videos_do(device):
    rng = np.random.default_rng(7)
    pdm = make_pdm(rng, m=34)
    hog, moved, _, _ = features(rng, 2)
    images = make_au_predictors(rng, pdm, "image")
    intensity, presence = action_units.build(images, device).predict_static(hog, moved)
    wanted, wanted_presence = ActionUnitModels(images).predict_static(hog, moved)
    assert np.abs(intensity - wanted).max() <= ACTION_UNITS
    assert np.array_equal(presence, wanted_presence)
    with pytest.raises(ContractError, match="medians"):
        action_units.build(make_au_predictors(rng, pdm, "video"), device).predict(hog, moved)


def test_values_with_medians_follow_from_plain_ones(device):
    """So the end of a clip predicts its frames again with the final medians (spec 60.7)."""
    rng = np.random.default_rng(10)
    models = action_units.build(make_au_predictors(rng, make_pdm(rng, m=34)), device)
    hog, moved, hog_median, moved_median = features(rng, 2)
    batch = action_units.ActionUnitBatch(device, models)
    values = device.download(batch.plain(device.upload(hog), device.upload(moved)))
    medians = np.concatenate([hog_median, moved_median], axis=1)
    values[:, models.dynamic] -= np.stack([models.dynamic_weights @ row for row in medians])
    wanted, wanted_presence = models.reference.predict(hog, moved, hog_median, moved_median)
    intensity, presence = models.outcomes(values)
    assert np.abs(intensity - wanted).max() <= ACTION_UNITS
    assert np.array_equal(presence, wanted_presence)


# ---- together -------------------------------------------------------------------------------------------------------


def test_a_face_becomes_action_units_without_leaving_the_device(device):
    rng = np.random.default_rng(8)
    pdm = make_pdm(rng, m=34)
    predictors = make_au_predictors(rng, pdm, "video")
    host = action_units.build(predictors, device)
    up, down = device.upload, device.download
    hog = fhog.FhogBatch(device)(up(faces(9, 2)))
    moved = geometry.GeometryBatch(device, pdm)(up(rng.standard_normal((2, 34)).astype(np.float32)))
    frames = (up(np.ones(2, np.uint8)), up(np.zeros(1, np.int32)), up(np.array([0, 2], np.int32)), 2)
    medians = [
        running_median.MedianBatch(device, kind, values.shape[1], dtype=values.dtype)(values, *frames)
        for kind, values in (("hog", hog), ("geometry", moved))
    ]
    values = down(action_units.ActionUnitBatch(device, host)(hog, moved, *medians))
    hog, moved = down(hog), down(moved)
    wanted = ActionUnitModels(predictors).predict(hog, moved, hog.astype(np.float64)[[0, 0]], moved[[0, 0]])
    assert np.abs(values[:, :17] - wanted[0]).max() <= ACTION_UNITS
    assert np.array_equal(values[:, 17:], wanted[1])


def test_only_the_first_faces_of_a_long_clip_are_predicted_again(monkeypatch):
    monkeypatch.setattr(analysis, "KEPT_FRAMES", 3)
    rng = np.random.default_rng(0)
    models = BatchedActionUnits(make_au_predictors(rng, make_pdm(rng)))
    online, plain = rng.uniform(0, 5, (6, 35)), rng.uniform(0, 5, (6, 35))
    online[:, 17:] = online[:, 17:] > 2.5
    medians = rng.uniform(0, 0.4, models.dynamic_weights.shape[1])
    success = np.array([True, False, True, True, True, True])
    history = analysis.StreamHistory()
    for k in range(6):
        history.take(bool(success[k]), online[k], plain[k])
    expected = np.where(success[:, None], online, 0)
    for frame in (0, 2, 3):
        moved = plain[frame].copy()
        moved[models.dynamic] -= models.dynamic_weights @ medians
        expected[frame] = np.concatenate(models.outcomes(moved[None]), axis=1)[0]
    reference = postprocess(expected[:, :17].copy(), expected[:, 17:].copy(), success, models.cutoffs)
    found = history.finish(models, medians)
    np.testing.assert_array_equal(found.intensity, reference.intensity)
    np.testing.assert_array_equal(found.presence, reference.presence)


def test_without_a_gpu_the_stages_say_what_is_missing():
    from auparity.accelerated.cupy.device import unavailable_reason

    if unavailable_reason() is None:
        pytest.skip("a GPU is here")
    with pytest.raises(VariantUnavailable):
        fhog.build()
