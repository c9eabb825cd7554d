"""Stretches of a clip of several people: the time in which one slot followed one face (spec 85.3).

While the clip runs, a stretch takes its frames and computes their AUs. At the end it is handed out as `FaceStretch`:
the frames in which its person is followed, and apart from them those in which the slot found no face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.reference.face_states import FaceState
from auparity.reference.persons import NOBODY, Appearance
from auparity.reference.results import OfflineAUs

F64 = npt.NDArray[np.float64]


class StretchAUs(Protocol):
    """The AUs of one stretch, frame by frame and at its end."""

    def take(self, described: Any, timestamp: float) -> tuple[F64, F64]:
        """Intensities (17,) and presences (18,) of the next frame, of which `described` was made."""

    def finish(self) -> OfflineAUs:
        """Those of all frames so far, as they are at the end of a clip; changes nothing."""


@dataclass(frozen=True, eq=False)
class FaceStretch:
    """The time in which one slot followed one face (T frames in a row), or a part of it.

    The frames before the face was first seen, and those after it was last seen, are parts of their own, of nobody:
    another slot may follow the person in them. Two that share a frame are never one person, though both may be nobody.
    """

    face_id: int  #: the slot, as in the results of these frames
    person_id: int  #: who it is, from 0 (`persons.py`); `NOBODY` (-1) where no face is seen
    frames: npt.NDArray[np.int64]  #: (T,) frame indices from 0
    aus: OfflineAUs  #: of these frames: static ones as in the results, calibrated ones after post-processing

    def __repr__(self) -> str:
        first, last = self.frames[0], self.frames[-1]
        return f"<FaceStretch: face {self.face_id}, person {self.person_id}, frames {first} to {last}; .aus['AU12']>"


class Stretch:
    """A stretch while the clip goes on. What its AUs hold (up to 100 MB of medians and descriptors) goes at its end."""

    def __init__(self, face_id: int, aus: StretchAUs) -> None:
        self.face_id, self.appearance = face_id, Appearance()
        self.frames: list[int] = []
        self._aus: StretchAUs | OfflineAUs = aus

    def take(self, index: int, state: FaceState, described: Any, timestamp: float) -> tuple[F64, F64]:
        assert not isinstance(self._aus, OfflineAUs)
        self.frames.append(index)
        self.appearance.see(index, timestamp, state)
        return self._aus.take(described, timestamp)

    def end(self) -> None:
        self._aus = self.finish()

    def finish(self) -> OfflineAUs:
        return self._aus if isinstance(self._aus, OfflineAUs) else self._aus.finish()

    def parts(self, person: int) -> list[FaceStretch]:
        """The frames of a person, and those before and after them, of nobody."""
        frames, aus = np.array(self.frames, np.int64), self.finish()
        start = end = 0
        if self.appearance.entered and self.appearance.left:
            seen = [self.appearance.entered.frame, self.appearance.left.frame + 1]
            start, end = (int(k) for k in np.searchsorted(frames, seen))
        return [
            FaceStretch(self.face_id, who, frames[a:b], OfflineAUs(aus.intensity[a:b], aus.presence[a:b]))
            for who, a, b in ((NOBODY, 0, start), (person, start, end), (NOBODY, end, len(frames)))
            if a < b
        ]
