"""Tracking, loss and recovery on recordings of the C++ program (spec 50.9, 50.10)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.reference.pipeline import ReferencePipeline

pytestmark = pytest.mark.golden

#: No face for twelve frames, the first detection, tracking, an occluded mouth, a loss and the recovery after it.
FRAMES = 20
#: Confidences are bins 1/30 apart, recorded in float32.
CERTAINTY = 1e-6


@pytest.fixture(scope="module")
def run(openface_bundle):
    """Flags, confidences and the frames in which the face detector ran, of the first frames of `hard`."""
    pipeline = ReferencePipeline(openface_bundle)
    tracker, asked = pipeline.start_video().tracker, []
    original = tracker._locator

    def locate(images):
        asked.append(len(results))
        return original.locate(images)

    tracker._locator = SimpleNamespace(locate=locate)
    results: list[tuple[bool, bool, float]] = []
    for k in range(FRAMES):
        image = golden_data.load_frame("hard", k)
        returned = tracker.track(image)
        results.append((returned, tracker.state.detection_success, tracker.state.confidence))
    return results, asked


def test_a_face_is_reported_in_the_recorded_frames(run):
    state, results = golden_data.load_state("hard"), run[0]
    np.testing.assert_array_equal([r[0] for r in results], state.returned[:FRAMES])
    np.testing.assert_array_equal([r[1] for r in results], state.detection_success[:FRAMES])
    assert {True, False} == {r[0] for r in results}


def test_it_is_reported_as_sure_of_it(run):
    state, results = golden_data.load_state("hard"), run[0]
    reported = state.returned[:FRAMES]
    found = np.array([r[2] for r in results])
    np.testing.assert_allclose(found[reported], state.certainty[:FRAMES][reported], rtol=0, atol=CERTAINTY)


def test_the_face_detector_runs_in_the_frames_in_which_it_was_recorded(run):
    _, asked = run
    for k in golden_data.recorded_frames("hard"):
        if k < FRAMES:
            assert (k in asked) == (golden_data.load_record("hard", k).detection is not None)
    assert [k for k in asked if k < 12] == [0]  # no face found: the next attempt is twelve frames later
    assert 12 in asked


def test_the_likeliest_hypothesis_is_the_one_that_was_kept():
    checked = 0
    for clip in ("video01", "default", "lost", "hard"):
        state = golden_data.load_state(clip)
        for k in golden_data.recorded_frames(clip):
            record = golden_data.load_record(clip, k)
            hypotheses = record.landmark_detections[-11:]
            if record.detection is None or len(record.landmark_detections) < 11 or not state.returned[k]:
                continue
            # A hypothesis that computes no likelihood keeps that of the one before; its record has the stale value.
            likelihoods = [h.of("main")[-1].model_likelihood for h in hypotheses]
            kept = hypotheses[int(np.argmax(likelihoods))]
            assert state.likelihood[k] == np.float32(max(likelihoods))
            assert state.certainty[k] == np.float32(kept.certainty)
            np.testing.assert_array_equal(state.landmarks[k], kept.landmarks_final)
            checked += 1
    assert checked >= 3
