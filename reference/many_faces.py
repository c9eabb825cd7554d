"""Tracking of several faces in one video: slots, each of which follows one face (spec 85.1, 85.2).

A slot is free, or it follows a face from frame to frame. Every eighth frame faces are looked for while a slot is free;
those that no slot follows already are given to free slots, best score first. A slot that fails in six frames in a row
is free again in the next. Identity lasts as long as a slot follows: `persons.py` says who may be whom after that.
This is the behaviour of OpenFace's FaceLandmarkVidMulti: `Slots` are its rules, and `SlotTracker` applies them in terms
of a `FaceLocator` and a `Landmarker` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.face_states import FaceState
from auparity.reference.images import Images
from auparity.reference.landmarker import Landmarker
from auparity.reference.locator import FaceLocator
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
#: How many faces are followed at most; "all" for as many as there are.
Faces = int | Literal["all"]

FACES = 4  # slots of OpenFace's program (spec 85.1)
LOCATE_EVERY = 8  # frames (spec 85.2 step 1)
MAX_FAILURES = 4  # a slot whose count of failures is above this is free again (spec 85.2 step 3a)
FOLLOWED_ALREADY = 0.5  # overlap of a detection with a followed face above which it is the same (spec 85.2 step 2)
NO_BOXES = np.zeros((0, 4), np.float32)  # of a frame in which faces are not looked for
NO_FAILURES = -1  # the count of failures after a success and at the start (spec 00): the first failure makes it 0


@short_repr
@dataclass(frozen=True, eq=False)
class FollowedFace:
    """A face in the frame that was tracked last."""

    face_id: int  #: number of its slot, from 0
    #: Counts, from 0, each time that a slot begins to follow a face: the same in all frames until the slot is free.
    stretch: int
    state: FaceState


@dataclass(eq=False)
class _Slot:
    """A slot; free when it has no state."""

    state: FaceState | None = None
    stretch: int = -1
    failures: int = NO_FAILURES

    def free(self) -> None:
        self.state, self.failures = None, NO_FAILURES


def check_faces(faces: Any) -> Faces:
    """A number of faces to follow: an integer of at least 1, or "all"; raises `ContractError` for anything else."""
    if faces == "all":
        return "all"
    if isinstance(faces, bool) or not isinstance(faces, int | np.integer) or faces < 1:
        raise ContractError("pipeline", "faces", 'an integer of at least 1, or "all"', repr(faces))
    return int(faces)


class Slots:
    """The slots of one stream: who follows whom, and until when (spec 85.2), without what looks at images.

    A frame is `looks_for_faces`, `begin_frame` with the detections of the image, one tracking step of the faces that
    this gives, and `end_frame` with their states. Until then the frame has not happened: if the step fails, the frame
    may be begun again.

    Parameters
    ----------
    place : states of new faces in boxes, `Landmarker.place`.
    faces : number of slots; "all" adds one whenever a face is found that none is free for.

    Raises
    ------
    ContractError : `faces` is neither an integer of at least 1 nor "all".
    """

    def __init__(self, place: Callable[[Array], Sequence[FaceState]], faces: Faces = FACES) -> None:
        faces = check_faces(faces)
        self._place = place
        self._grows = faces == "all"
        self._slots = [] if faces == "all" else [_Slot() for _ in range(faces)]
        self.frames = 0  #: that have ended
        self._stretches = 0

    @property
    def looks_for_faces(self) -> bool:
        """Step 1: whether faces are looked for in the next frame."""
        any_free = self._grows or any(slot.state is None for slot in self._slots)
        return self.frames % LOCATE_EVERY == 0 and any_free

    def begin_frame(self, boxes: Array) -> list[FollowedFace]:
        """Steps 2, 3a and 3b, but for the tracking step.

        Parameters
        ----------
        boxes : (K, 4) px, the faces of the image if they were looked for, best score first.

        Returns
        -------
        By slot, the faces that take a tracking step (spec 50.10 A), each in the state from which it does.
        """
        self._hand_out(self._new_boxes(boxes))
        return self._followed()

    def end_frame(self, states: Sequence[FaceState]) -> list[FollowedFace]:
        """Steps 3b and 3c after the tracking step of each; the faces of this frame, by slot."""
        active = [slot for slot in self._slots if slot.state is not None]
        for slot, state in zip(active, states, strict=True):
            slot.state = state
            slot.failures = NO_FAILURES if state.detection_success else slot.failures + 1
        self.frames += 1
        return self._followed()

    def _followed(self) -> list[FollowedFace]:
        return [
            FollowedFace(number, slot.stretch, slot.state)
            for number, slot in enumerate(self._slots)
            if slot.state is not None
        ]

    def _new_boxes(self, boxes: Array) -> list[Array]:
        """Step 2: those of the boxes whose face no slot follows."""
        # The box of a slot that was reset is empty in OpenFace and overlaps with nothing, so only active ones count.
        followed = [slot.state.landmarks for slot in self._slots if slot.state is not None]
        # As in tracking of one face, a box without width is no face.
        return [box for box in boxes if box[2] > 0 and not followed_already(box, followed)]

    def _hand_out(self, boxes: list[Array]) -> None:
        """Steps 3a and 3b, but for the tracking step: free the slots that failed, give free ones the boxes in order."""
        taking: list[_Slot] = []
        for slot in self._slots:
            if slot.failures > MAX_FAILURES:
                slot.free()
            if slot.state is None and len(taking) < len(boxes):
                taking.append(slot)
        if self._grows:
            added = [_Slot() for _ in boxes[len(taking) :]]
            self._slots += added
            taking += added
        if not taking:
            return
        placed = self._place(np.stack(boxes[: len(taking)]))
        for slot, state in zip(taking, placed, strict=True):
            slot.state, slot.stretch, slot.failures = state, self._stretches, NO_FAILURES
            self._stretches += 1


class SlotTracker:
    """Follows several faces of one stream (spec 85.2).

    Parameters
    ----------
    locator, landmarker : what finds faces, and their landmarks.
    faces : as of `Slots`, also its errors.
    """

    def __init__(self, locator: FaceLocator, landmarker: Landmarker, faces: Faces = FACES) -> None:
        self._locator, self._landmarker = locator, landmarker
        self._slots = Slots(landmarker.place, faces)

    def initial(self) -> FaceState:
        """The state of a face that was never seen."""
        return self._landmarker.initial()

    def track(self, image: Array) -> list[FollowedFace]:
        """Follow all faces into the next frame (H, W, 3) uint8 BGR; the faces of this frame, by slot.

        The success of a face is the landmarker's own flag, `state.detection_success`.
        """
        images = Images([image])
        boxes = self._locator.locate(images)[0].boxes if self._slots.looks_for_faces else NO_BOXES
        before = [face.state for face in self._slots.begin_frame(boxes)]
        return self._slots.end_frame(self._landmarker.follow(images, [0] * len(before), before) if before else [])


def followed_already(box: Array, landmarks: Sequence[Array]) -> bool:
    """Whether a detection (4,) x, y, w, h px is one of the faces with these landmarks (68, 2) px (spec 85.2 step 2).

    Overlap is I / U with U = A + B - 2 I. This is not the union, from which the intersection is subtracted once; the
    C++ program subtracts it twice, so that a third of the union in common is the limit. Two boxes that are equal have
    U = 0 and an infinite overlap. Boxes and areas are float32 as there.
    """
    x, y, width, height = (np.float32(v) for v in box)
    for points in landmarks:
        low, high = points.astype(np.float32).min(axis=0), points.astype(np.float32).max(axis=0)
        w, h = high - low
        common_width = min(low[0] + w, x + width) - max(low[0], x)
        common_height = min(low[1] + h, y + height) - max(low[1], y)
        if common_width <= 0 or common_height <= 0:
            continue
        common = float(common_width * common_height)
        rest = float(w * h + width * height) - 2 * common
        if common > FOLLOWED_ALREADY * rest if rest > 0 else rest == 0:
            return True
    return False
