"""The pipeline that stays on the device, its kernels run thread by thread on the host: it measures what the reference's
measures, and no clip's results depend on which other clips are there."""

from __future__ import annotations

import dataclasses
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from auparity.accelerated.cupy.gpus import ManyDevices
from auparity.accelerated.cupy.pipeline import ON_DEVICE, DevicePipeline
from auparity.accelerated.registry import STAGES
from auparity.errors import ContractError, DeviceError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_background, render_photograph
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.suite import device_parity
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline

BUNDLE = Bundle.embedded(networks=False)
CANVAS = (200, 150)
CLIPS = [[picture.image for picture in render_clip(3_300_000 + k, 3, canvas=CANVAS)] for k in range(2)]
EMPTY = render_background(3_320_000, CANVAS).image


@pytest.fixture(scope="module")
def device():
    return host_device(both_orders=False, strict=True)


@pytest.fixture(scope="module")
def pipeline(device):
    return DevicePipeline(BUNDLE, device, PipelineOptions(streams=2))


@pytest.fixture(scope="module")
def reference():
    return ReferencePipeline(BUNDLE)


@pytest.fixture(scope="module")
def alone(pipeline):
    """Every clip by itself."""
    found = []
    for clip in CLIPS:
        session = pipeline.start_video()
        results = [session.process_frame(image, k / 30) for k, image in enumerate(clip)]
        found.append((results, session.finish()))
        session.close()
    return found


def same_bits(one, other) -> bool:
    pairs = ((getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    return all(np.array_equal(a, b) for a, b in pairs)


def test_clips_are_measured_as_by_the_reference(alone, reference):
    for clip, (results, offline) in zip(CLIPS, alone, strict=True):
        session = reference.start_video()
        for k, (image, result) in enumerate(zip(clip, results, strict=True)):
            expected = session.process_frame(image, k / 30)
            assert (result.success, result.detection_success) == (expected.success, expected.detection_success)
            assert result.confidence == expected.confidence
            assert (result.index, result.timestamp) == (k, k / 30)
            # A fit from a box crosses some 0.1 px kernel cells; test_cupy_fitting.py has the tight figures.
            np.testing.assert_allclose(result.landmarks, expected.landmarks, atol=0.1)
            np.testing.assert_allclose(result.eye_landmarks, expected.eye_landmarks, atol=0.1)
            np.testing.assert_allclose(result.pose[:3], expected.pose[:3], atol=1.0)
            np.testing.assert_allclose(result.gaze, expected.gaze, atol=0.01)
            np.testing.assert_allclose(result.au_intensity, expected.au_intensity, atol=0.2)
        np.testing.assert_allclose(offline.intensity, session.finish().intensity, atol=0.2)


def test_clips_together_have_the_bits_of_clips_alone(pipeline, alone):
    sessions = [pipeline.start_video() for _ in CLIPS]
    for k in range(3):
        together = pipeline.advance(sessions, [clip[k] for clip in CLIPS], [k / 30] * 2)
        assert all(same_bits(result, alone[s][0][k]) for s, result in enumerate(together))
    assert all(same_bits(s.finish(), alone[k][1]) for k, s in enumerate(sessions))


def test_overlapping_uploads_and_results_changes_nothing(pipeline, alone):
    sessions = [pipeline.start_video() for _ in CLIPS]
    rounds = (([clip[k] for clip in CLIPS], [k / 30] * 2) for k in range(3))
    found = list(pipeline.stream(sessions, rounds))
    assert len(found) == 3
    assert all(same_bits(r, alone[s][0][k]) for k, line in enumerate(found) for s, r in enumerate(line))
    assert not list(pipeline.stream(sessions, ()))


def test_threads_meet_in_batches_and_change_nothing(pipeline, alone, monkeypatch):
    sizes = []
    real = pipeline.streams._batches[(150, 200, 3)][0].__class__.run

    def run(batch, rows, uploaded):
        sizes.append(len(rows))
        return real(batch, rows, uploaded)

    monkeypatch.setattr("auparity.accelerated.cupy.batches.Batch.run", run)
    monkeypatch.setattr("auparity.accelerated.cupy.batches.PATIENCE", 5.0)
    barrier = threading.Barrier(2)

    def measure(number):
        session = pipeline.start_video()
        session.prepare(CLIPS[number][0], 0.0)
        barrier.wait()
        return [session.process_frame(image, k / 30) for k, image in enumerate(CLIPS[number])]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(measure, range(2)))
    assert sizes == [2, 2, 2]
    assert all(same_bits(r, alone[s][0][k]) for s, line in enumerate(found) for k, r in enumerate(line))


def test_a_frame_waits_for_a_slow_clip_only_so_long(pipeline, alone):
    slow, quick = pipeline.start_video(), pipeline.start_video()
    slow.prepare(CLIPS[0][0], 0.0)
    assert same_bits(quick.process_frame(CLIPS[1][0], 0.0), alone[1][0][0])


def test_rows_are_handed_on_and_begin_anew(pipeline, alone):
    gc.collect()
    for _ in range(3):
        session = pipeline.start_video()
        assert same_bits(session.process_frame(CLIPS[1][0], 0.0), alone[1][0][0])
        del session
        gc.collect()
    batches = pipeline.streams._batches[(150, 200, 3)]
    assert sum(batch.rows for batch in batches) <= 6
    closed = pipeline.start_video()
    closed.process_frame(CLIPS[1][0], 0.0)
    closed.close()
    assert len(closed.finish().intensity) == 1
    with pytest.raises(ContractError, match="one that was closed"):
        closed.process_frame(CLIPS[1][1], 0.1)


def test_more_clips_than_expected_find_room(device, alone):
    pipeline = DevicePipeline(BUNDLE, device)  # one stream
    sessions = [pipeline.start_video() for _ in range(3)]
    found = pipeline.advance(sessions, [CLIPS[0][0], CLIPS[1][0], CLIPS[0][0]], [0.0] * 3)
    assert all(same_bits(r, alone[s][0][0]) for s, r in zip((0, 1, 0), found, strict=True))
    with pytest.raises(ContractError, match="fit into one batch"):
        list(pipeline.stream(sessions, [([CLIPS[0][1]] * 3, [0.0] * 3)]))


def test_a_lost_face_is_looked_for_when_the_reference_looks(device, reference):
    pipeline = DevicePipeline(BUNDLE, device)
    image = CLIPS[0][0]
    frames = [EMPTY, image, image, EMPTY, EMPTY, EMPTY, image, image]
    ours, theirs = pipeline.start_video(), reference.start_video()
    for k, frame in enumerate(frames):
        found, expected = ours.process_frame(frame, k / 30), theirs.process_frame(frame, k / 30)
        assert (found.success, found.detection_success) == (expected.success, expected.detection_success), k
        assert ours.batch.work.tracker.failures_in_a_row[ours.row] == theirs.tracker.failures_in_a_row
        assert ours.batch.work.tracker.tracking_initialised[ours.row] == theirs.tracker.tracking_initialised
        assert found.confidence == expected.confidence
    np.testing.assert_allclose(ours.finish().intensity, theirs.finish().intensity, atol=0.2)


def test_without_early_termination_every_rotation_is_fitted(device):
    main = dataclasses.replace(BUNDLE.face.main, early_termination=None)
    bundle = BUNDLE.with_models(landmarker=dataclasses.replace(BUNDLE.face, main=main))
    found = DevicePipeline(bundle, device).start_video().process_frame(CLIPS[0][0], 0.0)
    expected = ReferencePipeline(bundle).start_video().process_frame(CLIPS[0][0], 0.0)
    assert found.success == expected.success
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.1)


def test_photographs_of_several_sizes_are_measured_together(pipeline, reference):
    images = [render_photograph(3_310_001, yaw=20.0, canvas=(220, 160)).image, CLIPS[0][0], EMPTY, CLIPS[1][0]]
    found = pipeline.process_images(images)
    theirs = [reference.process_image(image) for image in images]
    assert [len(faces) for faces in found] == [len(faces) for faces in theirs]
    records = device_parity.photographs(pipeline, theirs, [theirs], images)
    assert len(records) == 4
    assert all(record.passed for record in records), "\n".join(map(str, records))
    assert all(same_bits(a, b) for a, b in zip(pipeline.process_image(images[1]), found[1], strict=True))


def test_a_box_without_width_costs_no_other_photograph(pipeline, monkeypatch):
    images = [CLIPS[0][0], CLIPS[1][0]]
    expected = pipeline.process_images(images)
    real = pipeline.models.locator.detect

    def detect(stack):
        first, second = real(stack)
        boxes = first.boxes.copy()
        boxes[0, 2] = 0
        return [dataclasses.replace(first, boxes=boxes), second]

    monkeypatch.setattr(pipeline.models.locator, "detect", detect)
    found = pipeline.process_images(images)
    assert len(found[0]) == 1
    np.testing.assert_allclose(found[0][0].landmarks, expected[0][0].landmarks, atol=0.1)
    assert same_bits(found[1][0], expected[1][0])


def test_frontal_photographs_are_fitted_once(pipeline, reference):
    (found,), (expected,) = (each.process_image(CLIPS[0][0], multi_view=False) for each in (pipeline, reference))
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.1)


def test_two_devices_share_clips_and_photographs(alone, monkeypatch):
    devices = [host_device(both_orders=False, strict=True) for _ in range(2)]
    both = ManyDevices(BUNDLE, devices, PipelineOptions(streams=2))
    sessions = [both.start_video() for _ in CLIPS]
    assert {id(session.streams) for session in sessions} == {id(p.streams) for p in both.pipelines}
    rounds = (([clip[k] for clip in CLIPS], [k / 30] * 2) for k in range(2))
    for k, found in enumerate(both.stream(sessions, rounds)):
        assert all(same_bits(result, alone[s][0][k]) for s, result in enumerate(found))
    sessions[0].close()
    assert both.start_video().streams is sessions[0].streams, "the device with the fewest clips"
    used = []
    real = DevicePipeline.process_images
    monkeypatch.setattr(DevicePipeline, "process_images", lambda p, i, **k: used.append(p) or real(p, i, **k))
    (first,), (second,) = (both.process_image(CLIPS[0][0]) for _ in range(2))
    assert same_bits(first, second)
    assert used == both.pipelines, "photographs one by one, on the devices in turns"
    images = [CLIPS[0][0], CLIPS[1][0], EMPTY]
    expected = both.pipelines[0].process_images(images)
    for one, other in zip(both.process_images(images), expected, strict=True):
        assert len(one) == len(other)
        assert all(same_bits(a, b) for a, b in zip(one, other, strict=True))


def test_wrong_frames_are_refused_before_they_go_up(pipeline):
    session = pipeline.start_video()
    with pytest.raises(ContractError):
        session.process_frame(CLIPS[0][0].astype(np.float32), 0.0)
    session.process_frame(CLIPS[0][0], 0.0)
    with pytest.raises(ContractError, match="the size of the first frame"):
        session.process_frame(CLIPS[0][0][:-1], 0.1)
    with pytest.raises(ContractError, match="different ones"):
        pipeline.advance([session, session], [CLIPS[0][0]] * 2, [0.1] * 2)
    with pytest.raises(ContractError):
        pipeline.process_images([CLIPS[0][0][..., 0]])


def test_a_failing_device_reaches_every_clip_that_waits(device, monkeypatch):
    pipeline = DevicePipeline(BUNDLE, device, PipelineOptions(streams=2))
    sessions = [pipeline.start_video() for _ in CLIPS]
    pipeline.advance(sessions, [clip[0] for clip in CLIPS], [0.0] * 2)

    def broken(*_):
        raise DeviceError("out of memory: 3 GiB more was asked for")

    monkeypatch.setattr("auparity.accelerated.cupy.batches.to_gray", broken)
    monkeypatch.setattr("auparity.accelerated.cupy.batches.PATIENCE", 5.0)

    def measure(number):
        with pytest.raises(DeviceError, match="3 GiB"):
            sessions[number].process_frame(CLIPS[number][1], 0.1)
        return True

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(measure, range(2)))
    monkeypatch.undo()
    assert len(sessions[0].finish().intensity) == 1
    assert sessions[0].process_frame(CLIPS[0][1], 0.1).index == 1, "and goes on once the device does"


def test_the_end_of_a_clip_predicts_again_as_the_reference_does():
    """From 35 numbers a frame instead of the descriptors."""
    from auparity.accelerated.batched.action_units import BatchedActionUnits
    from auparity.accelerated.cupy.analysis import StreamHistory
    from auparity.reference.analysis import Descriptors, VideoAnalyser

    rng = np.random.default_rng(3)
    analyser, models = VideoAnalyser(BUNDLE.video_aus), BatchedActionUnits(BUNDLE.video_aus)
    history = StreamHistory()
    for k in range(12):
        hog, geometry = rng.uniform(0, 0.4, 4464).astype(np.float32), rng.normal(size=238)
        success = k not in (0, 5)
        intensity, presence = analyser.take(Descriptors(hog, geometry, success))
        features = np.concatenate([hog, geometry], dtype=np.float64)[None]
        plain = models.weights @ features[0] + models.biases
        found = history.take(success, np.concatenate([intensity, presence]), plain)
        np.testing.assert_array_equal(found[0], intensity)
    medians = np.concatenate([analyser.hog_median.median, analyser.geometry_median.median])
    ours, theirs = history.finish(models, medians), analyser.finish()
    np.testing.assert_allclose(ours.intensity, theirs.intensity, atol=1e-12)
    np.testing.assert_array_equal(ours.presence, theirs.presence)


def test_a_pipeline_says_what_runs_where(pipeline):
    assert set(ON_DEVICE) < set(STAGES)
    assert {pipeline.variants[stage] for stage in ON_DEVICE} == {"cupy"}
    assert pipeline.variants["head_pose"] != "cupy"
    assert "on host (emulated)" in str(pipeline)
    assert pipeline.precision == "float32"


def test_batches_of_any_size_are_compared(pipeline):
    record = device_parity.batches(pipeline, CLIPS[0], (1, 2, 4))
    assert record.passed
    assert "values_differing" in record.name
