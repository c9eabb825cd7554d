"""The pipeline as a whole on a face that a script finds: clips, photographs, precisions, contracts (spec 00)."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories
from auparity.reference import detection, hypotheses, tracking
from auparity.reference.head_pose import Camera
from auparity.reference.pipeline import ReferencePipeline

BUNDLE = factories.make_bundle(0)
RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (3, 160, 180, 3), dtype=np.uint8)
BOX = np.array([40, 20, 100, 110], np.float32)


@pytest.fixture(autouse=True)
def one_face(monkeypatch):
    """A face at `BOX` in every image (random networks find none), tried upright only: test_hypotheses has the rest."""

    def found(image, detector, dtype):
        return SimpleNamespace(boxes=BOX[None].astype(dtype))

    monkeypatch.setattr(detection, "detect_faces", found)
    monkeypatch.setattr(hypotheses, "MULTI_VIEW", hypotheses.FRONTAL)
    monkeypatch.setattr(tracking, "select_face", lambda faces: SimpleNamespace(box=faces.boxes[0]))


def certain(pipeline, confidence=0.9):
    """The same pipeline with a validator that is always this certain."""
    dtype = pipeline.numerics.dtype
    pipeline.landmark_detector.validator.confidence = lambda *_: np.array([confidence], dtype)
    return pipeline


def values(result):
    return [np.asarray(getattr(result, f.name)) for f in fields(result)]


def assert_same(a, b):
    for x, y in zip(values(a), values(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_tracked_face_has_everything_measured():
    session = certain(ReferencePipeline(BUNDLE)).start_video()
    results = [session.process_frame(image, k / 25) for k, image in enumerate(IMAGES)]
    assert [r.index for r in results] == [0, 1, 2]
    assert [r.timestamp for r in results] == [0, 1 / 25, 2 / 25]
    for r in results:
        assert (r.success, r.detection_success, r.face_id) == (True, True, 0)
        assert r.confidence == float(np.float32(0.9))
        np.testing.assert_allclose(np.linalg.norm(r.gaze, axis=1), 1, atol=1e-5)
        assert r.au_intensity.shape == (17,)
        assert set(np.unique(r.au_presence)) <= {0, 1}
        assert all(np.isfinite(v).all() for v in values(r))
    offline = session.finish()
    assert offline.intensity.shape == (3, 17)
    assert ((offline.intensity >= 0) & (offline.intensity <= 5)).all()
    np.testing.assert_array_equal(session.finish().intensity, offline.intensity)  # may be asked again


def test_a_first_detection_that_fails_validation_is_a_success_without_aus():
    # The returned flag is true (spec 50.10), gaze follows it; AUs follow the model's own flag (spec 00, steps 3 and 4).
    session = certain(ReferencePipeline(BUNDLE), 0.1).start_video()
    result = session.process_frame(IMAGES[0], 0.0)
    assert (result.success, result.detection_success) == (True, False)
    assert result.gaze.any()
    assert not result.au_intensity.any()


def test_a_lost_face_has_no_gaze_but_a_pose():
    pipeline = certain(ReferencePipeline(BUNDLE))
    session = pipeline.start_video()
    session.process_frame(IMAGES[0], 0.0)
    certain(pipeline, 0.1)
    result = session.process_frame(IMAGES[1], 0.1)
    assert not result.success
    assert not result.gaze.any()
    assert not result.gaze_angles.any()
    assert not result.au_intensity.any()
    assert result.pose[2] > 0
    assert result.landmarks.any()


def test_clips_side_by_side_do_not_know_of_each_other():
    pipeline = certain(ReferencePipeline(BUNDLE))
    alone = pipeline.start_video()
    expected = [alone.process_frame(image, 0.0) for image in IMAGES[:2]]
    ours, other = pipeline.start_video(), pipeline.start_video()
    for k, image in enumerate(IMAGES[:2]):
        other.process_frame(IMAGES[2], 0.0)
        assert_same(ours.process_frame(image, 0.0), expected[k])
    np.testing.assert_array_equal(ours.finish().intensity, alone.finish().intensity)


def test_the_camera_is_guessed_from_the_image_unless_given():
    pipeline = certain(ReferencePipeline(BUNDLE))
    guessed = pipeline.start_video().process_frame(IMAGES[0], 0.0)
    same = pipeline.start_video(camera=Camera.for_image(180, 160)).process_frame(IMAGES[0], 0.0)
    assert_same(guessed, same)
    longer = pipeline.start_video(camera=Camera(900, 900, 90, 80)).process_frame(IMAGES[0], 0.0)
    assert longer.pose[2] > 2 * guessed.pose[2]
    np.testing.assert_array_equal(longer.landmarks, guessed.landmarks)


def test_every_face_of_a_photograph_is_measured_and_certain_or_not(monkeypatch):
    boxes = np.stack([BOX, BOX + np.float32([5, 5, -20, -20])])
    monkeypatch.setattr(detection, "detect_faces", lambda *_: SimpleNamespace(boxes=boxes))
    for confidence in (0.9, 0.1):
        results = certain(ReferencePipeline(BUNDLE), confidence).process_image(IMAGES[0])
        assert [r.face_id for r in results] == [0, 1]
        for r in results:
            assert r.success == r.detection_success == (confidence > 0.5)
            assert r.gaze.any()  # in photographs whether or not it is a success
            assert ((r.au_intensity >= 0) & (r.au_intensity <= 5)).all()
        assert (results[0].landmarks != results[1].landmarks).any()


def test_without_eye_models_a_photographs_gaze_is_straight_ahead_and_a_clips_is_none():
    blind = BUNDLE.with_models(landmarker=replace(BUNDLE.face, parts=()))
    pipeline = certain(ReferencePipeline(blind))
    (photograph,) = pipeline.process_image(IMAGES[0])
    np.testing.assert_array_equal(photograph.gaze, [[0, 0, -1], [0, 0, -1]])
    assert not photograph.gaze_angles.any()
    frame = pipeline.start_video().process_frame(IMAGES[0], 0.0)
    assert frame.success
    assert not frame.gaze.any()
    assert not frame.eye_landmarks.any()


def test_frames_are_not_written_to():
    image = IMAGES[0].copy()
    pipeline = certain(ReferencePipeline(BUNDLE))
    pipeline.start_video().process_frame(image, 0.0)
    pipeline.process_image(image)
    np.testing.assert_array_equal(image, IMAGES[0])


def test_an_image_that_may_not_be_written_to_will_do():
    image = IMAGES[0].copy()
    image.flags.writeable = False
    assert_same(
        certain(ReferencePipeline(BUNDLE)).process_image(image)[0],
        certain(ReferencePipeline(BUNDLE)).process_image(IMAGES[0])[0],
    )


def test_a_view_of_a_larger_image_is_an_image():
    large = np.zeros((320, 360, 3), np.uint8)
    large[::2, ::2] = IMAGES[0]
    strided = certain(ReferencePipeline(BUNDLE)).process_image(large[::2, ::2])[0]
    assert_same(strided, certain(ReferencePipeline(BUNDLE)).process_image(IMAGES[0])[0])


@pytest.mark.parametrize("precision", ["float64", "perturbed", "perturbed-2", "perturbed-3"])
def test_every_precision_measures_the_same_face(precision):
    reference, other = (
        certain(ReferencePipeline(BUNDLE, precision=p)).start_video().process_frame(IMAGES[0], 0.0)
        for p in ("float32", precision)
    )
    # Noise has no peaks to hold a landmark, so cells that fall the other way are not corrected by the image.
    assert np.abs(reference.landmarks - other.landmarks).mean() < 1.0
    assert other.success
    assert other.landmarks.dtype == (np.float64 if precision == "float64" else np.float32)


@pytest.mark.parametrize("precision", ["float16", "", None, "FLOAT32"])
def test_unknown_precisions_are_refused_with_the_known_ones(precision):
    with pytest.raises(ContractError, match="perturbed"):
        ReferencePipeline(BUNDLE, precision=precision)


def test_a_frame_of_another_size_is_refused_and_the_clip_goes_on():
    session = certain(ReferencePipeline(BUNDLE)).start_video()
    session.process_frame(IMAGES[0], 0.0)
    with pytest.raises(ContractError, match="size of the first frame"):
        session.process_frame(IMAGES[1][:100], 0.1)
    result = session.process_frame(IMAGES[1], 0.1)
    assert result.index == 1
    assert session.finish().intensity.shape[0] == 2


@pytest.mark.parametrize("bad", [float("nan"), -0.1, None])
def test_a_time_stamp_that_is_none_or_goes_back_is_refused_and_the_clip_goes_on(bad):
    session = certain(ReferencePipeline(BUNDLE)).start_video()
    session.process_frame(IMAGES[0], 0.0)
    with pytest.raises(ContractError, match="timestamp"):
        session.process_frame(IMAGES[0], bad)
    assert session.process_frame(IMAGES[0], 0.1).index == 1


def test_a_clip_without_a_face_has_a_row_a_frame_and_no_success(monkeypatch):
    monkeypatch.setattr(tracking, "select_face", lambda faces: None)
    monkeypatch.setattr(detection, "detect_faces", lambda *_: SimpleNamespace(boxes=np.zeros((0, 4), np.float32)))
    pipeline = ReferencePipeline(BUNDLE)
    session = pipeline.start_video()
    results = [session.process_frame(image, k / 30) for k, image in enumerate(IMAGES)]
    assert [r.index for r in results] == [0, 1, 2]
    assert not any(r.success or r.gaze.any() or r.au_intensity.any() or r.confidence for r in results)
    offline = session.finish()
    assert offline.intensity.shape == (3, 17)
    assert offline.presence.shape == (3, 18)
    assert pipeline.process_image(IMAGES[0]) == []


@pytest.mark.parametrize("bad", [IMAGES[0].astype(np.float32), IMAGES[0, ..., 0], IMAGES[:1], "frame.jpg", None])
def test_what_is_no_image_is_refused(bad):
    pipeline = ReferencePipeline(BUNDLE)
    for refuse in (lambda: pipeline.start_video().process_frame(bad, 0.0), lambda: pipeline.process_image(bad)):
        with pytest.raises(ContractError, match="'pipeline', argument 'image'"):
            refuse()
