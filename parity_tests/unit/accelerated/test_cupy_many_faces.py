"""Several faces of a clip, and one of choice, on the pipeline that stays on the device, its kernels run on the host: it
measures what the reference measures, and no face's numbers depend on which others are there."""

from __future__ import annotations

import dataclasses
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from auparity.accelerated.cupy import hypotheses as device_hypotheses
from auparity.accelerated.cupy import many_faces
from auparity.accelerated.cupy.gpus import ManyDevices
from auparity.accelerated.cupy.one_face import OneFace
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.errors import ContractError, DeviceError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_background
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.suite import device_parity
from auparity.reference import hypotheses as reference_hypotheses
from auparity.reference.clip_options import ClipOptions
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline

BUNDLE = Bundle.embedded(networks=False)
WIDTH = 200
FIGURES = ["slots", "landmarks_mean", "intensities_mean", "values_differing"]
#: Two people side by side; one is away from frame 1 on, so that the slot is free in frame 7, and back in frame 8.
FRAMES, BACK = 10, 8


def scene(left, right):
    """Frames (150, 400, 3) of two rendered clips; the person on the right leaves and comes back."""
    people = [[f.image for f in render_clip(seed, FRAMES, canvas=(WIDTH, 150))] for seed in (left, right)]
    empty = render_background(3_320_000, (WIDTH, 150)).image
    shown = [people[1][k] if k < 1 or k >= BACK else empty for k in range(FRAMES)]
    return [np.hstack(pair) for pair in zip(people[0], shown, strict=True)]


SCENE = scene(3_300_000, 3_300_001)
MIRRORED = [np.ascontiguousarray(image[:, ::-1]) for image in SCENE]


@pytest.fixture(scope="module", autouse=True)
def _few_hypotheses():
    """Three rotations of a face to begin with instead of eleven, which on the host take most of the time."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (device_hypotheses, reference_hypotheses):
            patched.setattr(module, "MULTI_VIEW", reference_hypotheses.MULTI_VIEW[:3])
        yield


@pytest.fixture(scope="module")
def device():
    return host_device(both_orders=False, strict=True)


@pytest.fixture(scope="module")
def pipeline(device):
    return DevicePipeline(BUNDLE, device)


@pytest.fixture(scope="module")
def reference():
    return ReferencePipeline(BUNDLE)


def follow(pipeline, frames, **options):
    session = pipeline.start_video(**options)
    return [session.process_frame(image, k / 30) for k, image in enumerate(frames)], session


@pytest.fixture(scope="module")
def calibrated(pipeline):
    """The whole scene by itself: results and the session."""
    return follow(pipeline, SCENE, faces=2, aus="calibrated")


@pytest.fixture(scope="module")
def static(pipeline):
    return follow(pipeline, SCENE[:2], faces=2)


def same_bits(one, other, skip=()) -> bool:
    names = [f.name for f in dataclasses.fields(one) if f.name not in skip]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def same_frames(some, others) -> bool:
    assert [len(faces) for faces in some] == [len(faces) for faces in others]
    return all(same_bits(a, b) for x, y in zip(some, others, strict=True) for a, b in zip(x, y, strict=True))


def assert_as_the_reference(found, expected):
    """At the tolerances of clips of one face (test_cupy_pipeline.py)."""
    assert [[r.face_id for r in faces] for faces in found] == [[r.face_id for r in faces] for faces in expected]
    for faces, theirs in zip(found, expected, strict=True):
        for ours, other in zip(faces, theirs, strict=True):
            assert (ours.index, ours.timestamp, ours.success) == (other.index, other.timestamp, other.success)
            assert ours.detection_success == other.detection_success
            if not ours.success:  # a fit to nothing goes wherever rounding lets it go
                continue
            assert ours.confidence == other.confidence
            np.testing.assert_allclose(ours.landmarks, other.landmarks, atol=0.1)
            np.testing.assert_allclose(ours.eye_landmarks, other.eye_landmarks, atol=0.1)
            np.testing.assert_allclose(ours.pose[:3], other.pose[:3], atol=1.0)
            np.testing.assert_allclose(ours.gaze, other.gaze, atol=0.01)
            np.testing.assert_allclose(ours.au_intensity, other.au_intensity, atol=0.2)


def test_faces_are_followed_lost_and_taken_again_as_by_the_reference(calibrated, reference):
    frames, session = calibrated
    expected, theirs = follow(reference, SCENE, faces=2, aus="calibrated")
    assert_as_the_reference(frames, expected)
    assert [len(faces) for faces in frames] == [2] * 7 + [1] + [2] * 2, "one slot was free in frame 7"
    stretches, others = session.finish(), theirs.finish()
    assert len(stretches) == 4  # that of the slot which fails ends in a part of nobody
    for ours, other in zip(stretches, others, strict=True):
        assert (ours.face_id, ours.person_id) == (other.face_id, other.person_id)
        np.testing.assert_array_equal(ours.frames, other.frames)
        np.testing.assert_allclose(ours.aus.intensity, other.aus.intensity, atol=0.2)
    assert {s.person_id for s in stretches} == {s.person_id for s in others}


def test_static_action_units_are_the_references(static, reference, pipeline):
    frames, session = static
    expected, _ = follow(reference, SCENE[:2], faces=2)
    assert_as_the_reference(frames, expected)
    rejected = [r for faces in frames for r in faces if not r.success]
    assert rejected, "the person on the right has left"
    assert all(r.au_intensity.any() and not r.gaze.any() for r in rejected), "static ones are measured all the same"
    for stretch in session.finish():
        rows = [next(r for r in frames[k] if r.face_id == stretch.face_id) for k in stretch.frames]
        np.testing.assert_array_equal(stretch.aus.intensity, [r.au_intensity for r in rows])
        np.testing.assert_array_equal(stretch.aus.presence, [r.au_presence for r in rows])


def test_both_modes_track_alike(static, calibrated):
    aus = ("au_intensity", "au_presence")
    for some, others in zip(static[0], calibrated[0], strict=False):
        assert all(same_bits(a, b, skip=aus) for a, b in zip(some, others, strict=True))


def test_one_face_has_the_bits_of_the_kernels_for_one_face(pipeline, calibrated):
    """The tracker and the analysis of clips of one face, begun where a slot begins."""
    frames, _ = calibrated
    models = pipeline.models
    work = OneFace(models, 1)
    work.begin(0, ClipOptions())
    boxes = models.locator.detect(models.device.upload(SCENE[0][None]))[0].boxes
    work.tracker.faces = models.landmarker.upload(list(models.host.staged.landmarker.place(boxes[:1])))
    work.tracker.tracking_initialised[0] = True
    work.tracker._reinit_every = 1000
    own = [next(r for r in faces if r.face_id == 0) for faces in frames[:3]]
    for image, expected in zip(SCENE, own, strict=False):
        images = models.device.upload(image[None])
        gray = models.device.upload(reference_gray(models, image)[None])
        (found,) = work.run(np.array([0]), images, gray)
        np.testing.assert_array_equal(found.state.landmarks, expected.landmarks)
        assert found.state.confidence == expected.confidence
        success = found.state.detection_success
        np.testing.assert_array_equal(found.values[:17] * success, expected.au_intensity)
        np.testing.assert_array_equal(found.values[17:] * success, expected.au_presence)


def reference_gray(models, image):
    return models.host.staged.stages.grayscale()(image).astype(np.uint8)


def test_a_face_has_the_same_bits_whoever_else_is_in_the_batch(pipeline, calibrated, monkeypatch):
    alone, _ = follow(pipeline, SCENE[:3], faces=1, aus="calibrated")
    assert [len(faces) for faces in alone] == [1, 1, 1]
    first = [[r for r in faces if r.face_id == 0] for faces in calibrated[0][:3]]
    assert same_frames(alone, first), "one slot has the first of the faces that two have"
    monkeypatch.setattr(many_faces, "FACES_AT_ONCE", 1)
    assert same_frames(follow(pipeline, SCENE[:2], faces=2, aus="calibrated")[0], calibrated[0][:2])


def test_clips_that_advance_together_have_the_bits_of_clips_alone(device, calibrated):
    """Also one of as many faces as there are; they lie in different frames of their clips."""
    pipeline = DevicePipeline(BUNDLE, device, PipelineOptions(streams=3))
    other, _ = follow(pipeline, MIRRORED[:3], faces="all", aus="calibrated")
    first, second, third = (
        pipeline.start_video(faces=faces, aus="calibrated") for faces in (2, "all", 2)
    )  # fmt: skip
    first.process_frame(SCENE[0], 0.0)
    found = list(
        pipeline.stream([first, second], (([SCENE[k + 1], MIRRORED[k]], [(k + 1) / 30, k / 30]) for k in range(2)))
    )
    assert same_frames([faces for faces, _ in found], calibrated[0][1:3])
    assert same_frames([faces for _, faces in found], other[:2])
    sessions = [second, first, third]
    last = pipeline.advance(sessions, [MIRRORED[2], SCENE[3], SCENE[0]], [2 / 30, 3 / 30, 0.0])
    assert same_frames(last, [other[2], calibrated[0][3], calibrated[0][0]])
    for session in sessions:
        session.close()


def test_threads_meet_in_batches_and_clips_of_both_kinds_share_a_pipeline(device, static, monkeypatch):
    monkeypatch.setattr("auparity.accelerated.cupy.batches.PATIENCE", 5.0)
    pipeline = DevicePipeline(BUNDLE, device, PipelineOptions(streams=2))
    sessions = [pipeline.start_video(faces=1) for _ in range(2)]
    for session in sessions:
        session.prepare(SCENE[0], 0.0)
    sizes = []
    real = many_faces.ManyFaces.run
    monkeypatch.setattr(
        many_faces.ManyFaces, "run", lambda work, rows, *images: sizes.append(len(rows)) or real(work, rows, *images)
    )
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda session: [session.process_frame(SCENE[k], k / 30) for k in range(2)], sessions))
    assert sizes == [2, 2]
    first = [[r for r in faces if r.face_id == 0] for faces in static[0]]
    assert all(same_frames(frames, first) for frames in found)
    single = pipeline.start_video()
    results = pipeline.advance([single, sessions[0]], [SCENE[0], SCENE[2]], [0.0, 0.1])
    assert results[0].success
    assert [r.index for r in results[1]] == [2]
    with pytest.raises(ContractError, match="fit into one batch"):
        list(pipeline.stream([single, sessions[0]], [([SCENE[1], SCENE[3]], [0.1, 0.2])]))


def test_the_three_steps_apart_give_the_same(pipeline, static):
    session = pipeline.start_video(faces=2)
    tracked = [session.track(SCENE[k], k / 30) for k in range(2)]
    described = [session.describe(SCENE[k], each) for k, each in enumerate(tracked)]
    assert same_frames([session.measure(*pair) for pair in zip(tracked, described, strict=True)], static[0])


def test_medians_are_given_back_when_a_stretch_or_its_clip_ends(device, calibrated):
    pipeline = DevicePipeline(BUNDLE, device)
    session = pipeline.start_video(faces=2, aus="calibrated")
    assert same_frames([session.process_frame(SCENE[0], 0.0)], calibrated[0][:1])
    (batch,) = pipeline.faces["calibrated"]._batches[SCENE[0].shape]
    aus = batch.work._aus
    assert (aus._rows, len(aus.free)) == (2, 0), "one row was expected, and there are two faces"
    held = session._record._stretches[0]._aus._medians.final()
    assert held.any()
    session.close()
    gc.collect()
    assert len(aus.free) == 2
    assert [len(stretch.frames) for stretch in session.finish()] == [1, 1]
    with pytest.raises(ContractError, match="one that was closed"):
        session.process_frame(SCENE[1], 0.1)
    again = pipeline.start_video(faces=2, aus="calibrated")
    assert same_frames([again.process_frame(SCENE[0], 0.0)], calibrated[0][:1]), "rows begin anew"
    del again
    gc.collect()
    assert len(aus.free) == 2, "a clip that is forgotten gives them back, too"
    assert aus._rows == 2


def test_growing_keeps_the_medians_of_those_that_go_on(device):
    from auparity.accelerated.cupy.running_median import MedianBatch

    rng = np.random.default_rng(1)
    frames = rng.uniform(-3, 3, (7, 5))
    grown, large = (MedianBatch(device, "geometry", 5, videos) for videos in (1, 3))
    starts, success = (device.upload(np.array(a, t)) for a, t in (([0, 1], np.int32), ([1], np.uint8)))
    for k, frame in enumerate(frames):
        if k == 4:
            grown.grow(3)
        row = device.upload(frame[None])
        own, other = (m(row, success, device.upload(np.array([0], np.int32)), starts, 1) for m in (grown, large))
        np.testing.assert_array_equal(device.download(own), device.download(other))
    assert grown.videos == 3
    np.testing.assert_array_equal(device.download(grown._counts), device.download(large._counts))


def test_a_frame_that_failed_can_be_given_again(pipeline, static, monkeypatch):
    session = pipeline.start_video(faces=2)

    def broken(*_, **__):
        raise DeviceError("out of memory: 3 GiB more was asked for")

    with monkeypatch.context() as patched:
        patched.setattr(many_faces, "read_back", broken)
        with pytest.raises(DeviceError, match="3 GiB"):
            session.process_frame(SCENE[0], 0.0)
    assert same_frames([session.process_frame(SCENE[k], k / 30) for k in range(2)], static[0])


def test_fits_that_leave_the_numbers_are_refused(pipeline, monkeypatch):
    real = pipeline.models.landmarker.follow

    def unfinite(*arguments):
        faces = real(*arguments)
        return dataclasses.replace(faces, finite=faces.finite * np.uint8(0))

    monkeypatch.setattr(pipeline.models.landmarker, "follow", unfinite)
    with pytest.raises(ContractError, match="no value"):
        pipeline.start_video(faces=1).process_frame(SCENE[0], 0.0)


def test_frames_without_faces_have_no_results(pipeline):
    empty = SCENE[1][:, WIDTH:]
    session = pipeline.start_video(faces="all")
    assert session.process_frame(empty, 0.0) == []
    camera = Camera.for_image(WIDTH, 150)
    ours = session.without_face(index=0, timestamp=0.5, camera=camera)
    assert same_bits(ours, pipeline.models.host.start_video(camera=camera).process_frame(empty, 0.5))
    assert session.finish() == []


def test_two_devices_share_clips_of_several_faces(static):
    devices = [host_device(both_orders=False, strict=True) for _ in range(2)]
    both = ManyDevices(BUNDLE, devices, PipelineOptions(streams=2))
    sessions = [both.start_video(faces=2) for _ in range(2)]
    assert {id(session.streams.models.device) for session in sessions} == set(map(id, devices))
    found = both.advance(sessions, [SCENE[0]] * 2, [0.0] * 2)
    assert all(same_frames([faces], static[0][:1]) for faces in found)
    sessions[0].close()
    assert both._open == [0, 1]


def test_the_face_of_choice_is_followed(pipeline, reference):
    """Two clips of one batch, each with another choice; the one on the right is lost and found again where it was.

    test_cupy_tracking.py has all rules, decision by decision."""
    device_pipeline = DevicePipeline(BUNDLE, pipeline.device, PipelineOptions(streams=2))
    choices = [FaceChoice("box", (WIDTH, 0, WIDTH, 150)), FaceChoice("box", (0, 0, WIDTH, 150))]
    sessions = [device_pipeline.start_video(face=choice) for choice in choices]
    theirs = [reference.start_video(face=choice) for choice in choices]
    frames = [SCENE[0], SCENE[1], SCENE[0]]
    for k, image in enumerate(frames):
        found = device_pipeline.advance(sessions, [image] * 2, [k / 30] * 2)
        expected = [session.process_frame(image, k / 30) for session in theirs]
        for ours, other in zip(found, expected, strict=True):
            assert (ours.success, ours.detection_success) == (other.success, other.detection_success), k
            if ours.success:
                np.testing.assert_allclose(ours.landmarks, other.landmarks, atol=0.1)
    assert found[0].landmarks[:, 0].mean() > WIDTH > found[1].landmarks[:, 0].mean()
    tracker = sessions[0].batch.work.tracker
    for session, other in zip(sessions, theirs, strict=True):
        np.testing.assert_allclose(tracker._last_seen[session.row], other.tracker._last_seen, atol=0.1)
        session.close()


def test_several_faces_are_compared_by_the_suite(pipeline, reference, monkeypatch):
    monkeypatch.setattr(device_parity, "AU_MODES", ("calibrated",))  # half the time
    references = [reference, ReferencePipeline(BUNDLE, precision="perturbed")]
    # All frames: after two, equally correct programs may be apart by less than a last bit makes of a later frame.
    records = device_parity.several_faces(pipeline, references, SCENE)
    assert [record.name.split()[1] for record in records] == FIGURES
    assert all(record.passed for record in records), "\n".join(map(str, records))


def test_a_face_that_only_one_side_follows_fails_the_suite(pipeline, reference, static, monkeypatch):
    """And so does a comparison without any face, and a value that differs."""
    moved = [[dataclasses.replace(r, success=False) for r in faces] for faces in static[0]]
    runs = iter([static[0], static[0], moved] * 2)
    monkeypatch.setattr(device_parity, "_run_faces", lambda *_: next(runs))
    monkeypatch.setattr(device_parity, "_differing_faces", lambda *_: 1)
    records = device_parity.several_faces(pipeline, [reference, reference], SCENE[:2])
    assert [record.name.split()[1] for record in records[:4]] == FIGURES
    assert not any(record.passed for record in records)
