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
from auparity.reference.face_choice import FaceChoice
from auparity.reference.face_states import FaceState, FaceStates

HOST = SimpleNamespace(xp=np, upload=np.asarray, download=np.asarray)
NOTHING = np.zeros((1, 1), np.uint8)


@dataclass
class Script:
    """What happens in each frame (T,): to a fit that follows the face, to the face detector, to a search in its box."""

    followed: np.ndarray  #: bool: the fit succeeds
    width: np.ndarray  #: px of the box that the face detector gives; below 0 it gives none
    returned: np.ndarray  #: bool: what a search returns
    flagged: np.ndarray  #: bool: the model's own flag after a search
    seen: np.ndarray  #: (T, 2, 2) px: the landmarks after a frame
    others: np.ndarray  #: (T, 2, 4) px: boxes of other faces, which are there where `width` is at least 0
    choice: FaceChoice | None = None

    def detections(self, frame):
        own = [[5, 5, self.width[frame], 9]]
        boxes = np.array([*own, *self.others[frame]] if self.choice else own, np.float32)
        boxes = boxes[: 0 if self.width[frame] < 0 else None]
        return Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))


def random_script(seed, choice=None, frames=80):
    rng = np.random.default_rng(seed)
    likely = rng.uniform(0.2, 0.9, 3)
    flags = [rng.random(frames) < share for share in likely]
    width = rng.choice([-1, 0, 40], frames, p=[0.4, 0.2, 0.4])
    seen, others = rng.uniform(0, 60, (frames, 2, 2)), rng.uniform(1, 60, (frames, 2, 4))
    return Script(flags[0], width, flags[1], flags[2], seen, others, choice)


def lost_for_good(frames=240):
    """Found in the first frame, lost in the next, and the face detector never gives another box."""
    never = np.zeros(frames, bool)
    first = np.arange(frames) == 0
    return Script(never, np.where(first, 40, -1), first, first, np.ones((frames, 2, 2)), np.ones((frames, 2, 4)))


def decisions_alone(script):
    """Of one video through the reference's tracker: (T, 4) returned, flag, initialised, failures in a row; and the
    boxes (T, 4) in which a face was looked for, 0 where none was."""
    frame, boxes = [0], np.zeros((len(script.width), 4), np.float32)
    empty = np.zeros(1, np.float32)
    start = FaceState(params_global=empty, params_local=empty, landmarks=empty, detection_success=False, confidence=0.0)

    def search(images, image_index, box, before):
        boxes[frame[0]] = box[0]
        return FaceStates([after(before[0], script.flagged)], [bool(script.returned[frame[0]])])

    def after(state, flags):
        return replace(state, detection_success=bool(flags[frame[0]]), landmarks=script.seen[frame[0]])

    def follow(images, image_index, states):
        return FaceStates([after(states[0], script.followed)])

    landmarker = SimpleNamespace(initial=lambda: start, start=search, follow=follow)
    locator = SimpleNamespace(locate=lambda images: [script.detections(frame[0])])
    tracker, rows = single.VideoTracker(locator, landmarker, face=script.choice), []
    for number in range(len(script.width)):
        frame[0] = number
        returned = tracker.track(NOTHING)
        flag = tracker.state.detection_success
        rows.append((returned, flag, tracker.tracking_initialised, tracker.failures_in_a_row))
    return np.array(rows, int), boxes


def faces(count):
    zeros = np.zeros(count, np.float32)
    flags = np.zeros(count, np.uint8)
    points = np.zeros((count, 1, 2), np.float32)
    return FacesBatch(zeros[:, None], zeros[:, None], points, zeros, flags, flags.copy(), zeros, flags, flags + 1, ())


def decisions_together(scripts):
    """Of videos that advance together: (T, videos, 4) and (T, videos, 4)."""
    frame, looked_in = [0], np.zeros((len(scripts[0].width), len(scripts), 4), np.float32)
    shape = np.zeros((len(scripts), 1, 1, 3), np.uint8)

    def flags(name, streams):
        return np.array([getattr(scripts[s], name)[frame[0]] for s in streams])

    def follow(seen, own, state, succeeded):
        return replace(state, detection_success=flags("followed", own).astype(np.uint8))

    def search(seen, own, boxes, before, *, multi_view):
        looked_in[frame[0], own] = boxes
        flagged = flags("flagged", own).astype(np.uint8)
        return flags("returned", own), replace(faces(len(own)), detection_success=flagged)

    landmarker = SimpleNamespace(initial=faces, start=search, follow=follow, device=HOST)
    tracker = batch.TrackerBatch(
        landmarker, lambda images, due: [scripts[s].detections(frame[0]) for s in due], len(scripts)
    )
    streams, rows = np.arange(len(scripts)), []
    for number, script in enumerate(scripts):
        tracker.reset(number, script.choice)
    for number in range(len(scripts[0].width)):
        frame[0] = number
        returned = tracker.track(shape, NOTHING, streams)
        flagged = tracker.detection_success
        # A face that was lost keeps its old landmarks, but then it is not seen.
        states = [SimpleNamespace(detection_success=flagged[k], landmarks=scripts[k].seen[number]) for k in streams]
        tracker.see(streams, returned, states)
        rows.append((returned, flagged, tracker.tracking_initialised, tracker.failures_in_a_row))
        rows[-1] = np.stack([np.asarray(column, int) for column in rows[-1]], axis=-1)
    return np.stack(rows), looked_in


CHOICES = (None, FaceChoice("largest"), FaceChoice("central"), FaceChoice("box", (3, 3, 30, 30)))


@pytest.mark.parametrize("seed", range(8))
def test_videos_that_advance_together_are_tracked_as_each_would_be_alone(seed):
    scripts = [random_script([seed, k], choice) for k, choice in enumerate(CHOICES)]
    together, boxes = decisions_together(scripts)
    for k, script in enumerate(scripts):
        decisions, looked_in = decisions_alone(script)
        np.testing.assert_array_equal(together[:, k], decisions)
        np.testing.assert_array_equal(boxes[:, k], looked_in)


def test_a_face_that_stays_lost_is_given_up_in_the_references_frame():
    alone, _ = decisions_alone(lost_for_good())
    together, _ = decisions_together([lost_for_good()])
    np.testing.assert_array_equal(together[:, 0], alone)
    given_up = int(np.flatnonzero(alone[:, 2] == 0)[0])
    assert alone[given_up - 1 : given_up + 1, 3].tolist() == [single.MAX_FAILURES, single.MAX_FAILURES + 1]


def test_a_chosen_face_is_looked_for_where_it_was_until_the_tracker_gives_up():
    """Two faces are there in every frame; from the one that was chosen the landmarks went to the other."""
    frames, box = 2 * single.MAX_FAILURES + 30, (5.0, 5.0, 40.0, 9.0)
    script = lost_for_good(frames)
    script.width[:], script.choice = 40, FaceChoice("box", box)
    script.others[:] = (200, 5, 40, 9)
    script.seen[:] = ((200, 5), (240, 14))
    script.returned[1:] = False
    together, boxes = decisions_together([script])
    decisions, looked_in = decisions_alone(script)
    np.testing.assert_array_equal(together[:, 0], decisions)
    np.testing.assert_array_equal(boxes[:, 0], looked_in)
    asked = looked_in[looked_in[:, 2] > 0, 0]
    assert asked[0] == 5, "where it was asked for"
    assert asked[1] == 200, "where it was"
    assert 5 in asked[1:], "and as at first when the tracker begins anew"


def test_another_clip_in_a_row_knows_nothing_of_the_face_before():
    landmarker = SimpleNamespace(initial=faces, device=HOST)
    tracker = batch.TrackerBatch(landmarker, None, 1)
    tracker.reset(0, FaceChoice("box", (5, 5, 40, 9)))
    seen = SimpleNamespace(detection_success=True, landmarks=np.array([[200, 5], [240, 14]]))
    tracker.see(np.array([0]), np.array([True]), [seen])
    both = Detections(np.array([[5, 5, 40, 9], [200, 5, 40, 9]], np.float32), np.ones(2), np.zeros((2, 5, 2)))
    assert tracker._select(both, 0, (100, 300)).box[0] == 200
    tracker.reset(0, FaceChoice("box", (5, 5, 40, 9)))
    assert tracker._select(both, 0, (100, 300)).box[0] == 5
