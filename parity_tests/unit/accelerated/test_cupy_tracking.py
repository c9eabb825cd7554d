"""The tracker of many videos takes every decision that the reference's takes, frame by frame, on scripted fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.accelerated.cupy import tracking as batch
from auparity.accelerated.cupy.landmarks import FacesBatch
from auparity.reference import tracking as single
from auparity.reference.detection import Detections
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.landmarks import DetectorParameters

HOST = SimpleNamespace(xp=np, upload=np.asarray, download=np.asarray)
NOTHING = np.zeros((1, 1), np.uint8)


@dataclass
class Script:
    """What happens in each frame (T,): to a fit that follows the face, to the face detector, to a search in its box."""

    followed: np.ndarray  #: bool: the fit succeeds
    width: np.ndarray  #: px of the box that the face detector gives; below 0 it gives none
    returned: np.ndarray  #: bool: what a search returns
    flagged: np.ndarray  #: bool: the model's own flag after a search

    def box(self, frame):
        return None if self.width[frame] < 0 else np.array([5, 5, self.width[frame], 9], np.float32)


def random_script(seed, frames=80):
    rng = np.random.default_rng(seed)
    likely = rng.uniform(0.2, 0.9, 3)
    flags = [rng.random(frames) < share for share in likely]
    return Script(flags[0], rng.choice([-1, 0, 40], frames, p=[0.4, 0.2, 0.4]), flags[1], flags[2])


def lost_for_good(frames=240):
    """Found in the first frame, lost in the next, and the face detector never gives another box."""
    never = np.zeros(frames, bool)
    first = np.arange(frames) == 0
    return Script(never, np.where(first, 40, -1), first, first)


def decisions_alone(script, monkeypatch):
    """Of one video through the reference's tracker: (T, 4) returned, flag, initialised, failures in a row."""
    frame = [0]
    empty = np.zeros(1, np.float32)
    start = FaceState(params_global=empty, params_local=empty, landmarks=empty, detection_success=False, confidence=0.0)

    def locate(images):
        box = script.box(frame[0])
        boxes = np.zeros((0, 4)) if box is None else np.asarray(box)[None]
        return [Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))]

    def search(images, image_index, boxes, before):
        state = replace(before[0], detection_success=bool(script.flagged[frame[0]]))
        return FaceStates([state], [bool(script.returned[frame[0]])])

    def follow(images, image_index, states):
        return FaceStates([replace(states[0], detection_success=bool(script.followed[frame[0]]))])

    monkeypatch.setattr(single, "select_face", lambda detections: detections.face(0) if len(detections) else None)
    landmarker = SimpleNamespace(initial=lambda: start, start=search, follow=follow)
    tracker, rows = single.VideoTracker(SimpleNamespace(locate=locate), landmarker), []
    for number in range(len(script.width)):
        frame[0] = number
        returned = tracker.track(NOTHING)
        flag = tracker.state.detection_success
        rows.append((returned, flag, tracker.tracking_initialised, tracker.failures_in_a_row))
    return np.array(rows, int)


def faces(count):
    zeros = np.zeros(count, np.float32)
    flags = np.zeros(count, np.uint8)
    points = np.zeros((count, 1, 2), np.float32)
    return FacesBatch(zeros[:, None], zeros[:, None], points, zeros, flags, flags.copy(), zeros, flags, flags + 1, ())


def decisions_together(scripts, monkeypatch):
    """Of videos that advance together: (T, videos, 4)."""
    frame = [0]

    def flags(name, streams):
        return np.array([getattr(scripts[s], name)[frame[0]] for s in streams])

    def follow(gray, own, state, windows):
        return replace(state, detection_success=flags("followed", own).astype(np.uint8))

    def search(detector, gray, own, boxes, likelihood, *, multi_view):
        flagged = flags("flagged", own).astype(np.uint8)
        return flags("returned", own), replace(faces(len(own)), detection_success=flagged)

    monkeypatch.setattr(batch, "detect_in_boxes", search)
    detector = SimpleNamespace(parameters=DetectorParameters(), initial=faces, detect=follow, device=HOST)
    tracker = batch.TrackerBatch(detector, lambda images, due: [scripts[s].box(frame[0]) for s in due], len(scripts))
    rows = []
    for number in range(len(scripts[0].width)):
        frame[0] = number
        returned = tracker.track(NOTHING, NOTHING, range(len(scripts)))
        rows.append((returned, tracker.detection_success, tracker.tracking_initialised, tracker.failures_in_a_row))
        rows[-1] = np.stack([np.asarray(column, int) for column in rows[-1]], axis=-1)
    return np.stack(rows)


@pytest.mark.parametrize("seed", range(8))
def test_videos_that_advance_together_are_tracked_as_each_would_be_alone(seed, monkeypatch):
    scripts = [random_script([seed, k]) for k in range(3)]
    together = decisions_together(scripts, monkeypatch)
    for k, script in enumerate(scripts):
        np.testing.assert_array_equal(together[:, k], decisions_alone(script, monkeypatch))


def test_a_face_that_stays_lost_is_given_up_in_the_references_frame(monkeypatch):
    alone = decisions_alone(lost_for_good(), monkeypatch)
    np.testing.assert_array_equal(decisions_together([lost_for_good()], monkeypatch)[:, 0], alone)
    given_up = int(np.flatnonzero(alone[:, 2] == 0)[0])
    assert alone[given_up - 1 : given_up + 1, 3].tolist() == [single.MAX_FAILURES, single.MAX_FAILURES + 1]
