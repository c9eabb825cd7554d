"""Landmark tracking in video: when to track, when to look for the face again (spec 50.10).

Frames of one stream come in one after the other, colour (H, W, 3) uint8 and gray; the tracker follows the face from
where it was, and calls the face detector at the start, while nothing is found, and after failures. A `VideoTracker`
holds the state of one stream; as many as wanted share one `LandmarkDetector`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from auparity.reference.hypotheses import detect_in_box
from auparity.reference.landmarks import FaceState, LandmarkDetector

Array = npt.NDArray[Any]

#: Colour image (H, W, 3) uint8 to one face box (4,) x, y, w, h in px, or None.
FaceFinder = Callable[[Array], Array | None]

REINIT_FACTOR = 6  # while nothing was ever found, detection is tried every reinit_every * 6 frames
MAX_FAILURES = 100  # in a row; after more the tracker starts anew


class VideoTracker:
    """The video state machine of spec 50.10 for one stream."""

    def __init__(self, detector: LandmarkDetector, find_face: FaceFinder) -> None:
        self._detector = detector
        self._find_face = find_face
        self.state: FaceState = detector.initial_state()
        self.tracking_initialised = False
        self.failures_in_a_row = -1

    def track(self, image: Array, gray: Array) -> bool:
        """Follow the face into the next frame; `state` is updated.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR, for the face detector.
        gray : (H, W) in the working dtype, 0 to 255.

        Returns
        -------
        "returned success" (the CSV's success column); `state.detection_success` is the model's own flag.
        """
        was_initialised = self.tracking_initialised
        if was_initialised:
            self._follow(gray)
        if self._detection_is_due():
            box = self._find_face(image)
            if box is not None and box[2] > 0:
                return self._detect_anew(gray, box, was_initialised)
        if not self.tracking_initialised:
            self.failures_in_a_row += 1
        if self.failures_in_a_row > MAX_FAILURES:
            self.tracking_initialised = False
        return self.state.detection_success

    def _follow(self, gray: Array) -> None:
        """Step A: fit from where the face was, in small windows after a success and in large ones after a failure."""
        parameters = self._detector.parameters
        windows = parameters.track_windows if self.state.detection_success else parameters.init_windows
        self.state = self._detector.detect(gray, self.state, windows)
        self.failures_in_a_row = -1 if self.state.detection_success else self.failures_in_a_row + 1

    def _detection_is_due(self) -> bool:
        every = self._detector.parameters.reinit_every
        if not self.tracking_initialised:
            return (self.failures_in_a_row + 1) % (every * REINIT_FACTOR) == 0
        return not self.state.detection_success and self.failures_in_a_row % every == 0

    def _detect_anew(self, gray: Array, box: Array, was_initialised: bool) -> bool:
        """Step B: fit all hypotheses in the box; a lost face that is not found again keeps its old parameters."""
        before = self.state
        self.tracking_initialised = True
        returned, self.state = detect_in_box(self._detector, gray, box, before, multi_view=True)
        if was_initialised and not returned:
            # Flag, confidence and parts stay those of the failed attempt (spec 50.10).
            self.state = replace(
                self.state,
                params_global=before.params_global,
                params_local=before.params_local,
                landmarks=before.landmarks,
                likelihood=before.likelihood,
                landmark_likelihoods=before.landmark_likelihoods,
            )
            return False
        self.failures_in_a_row = -1
        return True
