"""Face tracking in video: when to follow, when to look for the face again (spec 50.10).

Frames of one stream come in one after the other; the tracker follows the face from where it was, and looks for faces at
the start, while nothing is found, and after failures. How faces are found and followed is the locator's and the
landmarker's business. A `VideoTracker` holds the state of one stream; as many as wanted share one landmarker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.detection import Detections, Face, select_face
from auparity.reference.face_choice import FaceChoice, box_around
from auparity.reference.face_states import FaceState
from auparity.reference.images import Images
from auparity.reference.landmarker import Landmarker
from auparity.reference.locator import FaceLocator

Array = npt.NDArray[Any]

REINIT_EVERY = 2  # frames between attempts to find a lost face again (spec 50.1)
REINIT_FACTOR = 6  # while nothing was ever found, detection is tried every reinit_every * 6 frames
MAX_FAILURES = 100  # in a row; after more the tracker starts anew


class VideoTracker:
    """Follows one face through one stream, and looks for it again after failures: the state machine of spec 50.10.

    Parameters
    ----------
    locator, landmarker : what finds faces, and their landmarks.
    reinit_every : frames between attempts to find a lost face again.
    face : which of several faces is taken wherever faces are looked for; None for the widest, as OpenFace does.

    Notes
    -----
    With a choice by box the tracker stays with its face: a face that was lost is looked for where its landmarks were
    when the landmarker last believed them. It is looked for in the box of the choice until they were believed once, and
    again when the tracker starts anew after `MAX_FAILURES`.
    """

    def __init__(
        self, locator: FaceLocator, landmarker: Landmarker, reinit_every: int = REINIT_EVERY,
        face: FaceChoice | None = None,
    ) -> None:  # fmt: skip
        self._locator, self._landmarker, self._reinit_every, self._choice = locator, landmarker, reinit_every, face
        self._last_seen: Array | None = None  # (4,) x, y, w, h px: where the face was, of a choice alone
        self.state: FaceState = landmarker.initial()
        self.tracking_initialised = False
        self.failures_in_a_row = -1

    def track(self, image: Array) -> bool:
        """Follow the face into the next frame; `state` is updated.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.

        Returns
        -------
        "returned success" (the CSV's success column); `state.detection_success` is the landmarker's own flag.
        """
        returned = self._track(image)
        if self._choice is not None and returned and self.state.detection_success:
            self._last_seen = box_around(self.state.landmarks)
        return returned

    def _track(self, image: Array) -> bool:
        images, was_initialised = Images([image]), self.tracking_initialised
        if was_initialised:
            self._follow(images)
        if self._detection_is_due():
            face = self._select(self._locator.locate(images)[0], image)
            if face is not None and face.box[2] > 0:
                return self._detect_anew(images, face.box, was_initialised)
        if not self.tracking_initialised:
            self.failures_in_a_row += 1
        if self.failures_in_a_row > MAX_FAILURES:
            self.tracking_initialised, self._last_seen = False, None
        return self.state.detection_success

    def _select(self, detections: Detections, image: Array) -> Face | None:
        if self._choice is None:
            return select_face(detections)
        return self._choice.select(detections, image.shape, self._last_seen)

    def _follow(self, images: Images) -> None:
        """Step A: from where the face was."""
        (self.state,) = self._landmarker.follow(images, [0], [self.state])
        self.failures_in_a_row = -1 if self.state.detection_success else self.failures_in_a_row + 1

    def _detection_is_due(self) -> bool:
        every = self._reinit_every
        if not self.tracking_initialised:
            return (self.failures_in_a_row + 1) % (every * REINIT_FACTOR) == 0
        return not self.state.detection_success and self.failures_in_a_row % every == 0

    def _detect_anew(self, images: Images, box: Array, was_initialised: bool) -> bool:
        """Step B: from the box; a lost face that is not found again keeps its old shape."""
        before = self.state
        self.tracking_initialised = True
        found = self._landmarker.start(images, [0], np.asarray(box)[None], [before])
        self.state, accepted = found[0], bool(found.accepted[0])
        if was_initialised and not accepted:
            self.state = self.state.with_shape_of(before)
            return False
        self.failures_in_a_row = -1
        return True
