"""The work of a batch of clips of several faces (reference/many_faces.py; spec 85): all faces of all frames together.

Images go up once, and each has one gray image; K faces of any of them are K rows of every fit, crop and prediction. Who
follows whom is decided on the host by the reference's own `Slots`, between one readback and the next. A tracking step
starts from 41 numbers of the face before, which therefore stay on the host and go up again: 164 bytes a face, beside
921,600 of a frame of 640x480. What is large and lasts, the medians of calibrated AUs, stays on the device, a row for
each stretch. A face's numbers do not depend on who else is in the batch. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.analysis import AnalysisBatch, StaticBatch, StreamHistory, static_aus
from auparity.accelerated.cupy.hypotheses import refuse_unfinite
from auparity.accelerated.cupy.landmarker import Frames
from auparity.accelerated.cupy.landmarks import FacesBatch
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.readback import read_back
from auparity.reference.action_units import OnlineCorrection
from auparity.reference.clip_options import FacesOptions
from auparity.reference.face_states import FaceState
from auparity.reference.landmarks import ClmState
from auparity.reference.many_faces import NO_BOXES, FollowedFace, Slots
from auparity.reference.results import OfflineAUs

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

#: Faces that are fitted together at most, for the sake of memory: as many as streams of one face that were compared.
FACES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class MeasuredFaces:
    """What came down for one frame."""

    index: int  #: of the frame, from 0
    faces: list[FollowedFace]
    described: list[Any]  #: of each face, what its `StretchAUs` take


class AUsOfFaces(Protocol):
    """The AUs of faces on a device, in one of the two modes."""

    def begin(self) -> Any:
        """What the device keeps for a stretch; given back when nobody refers to it any more."""

    def compute(self, images: Any, frame: Any, faces: FacesBatch, stretches: Sequence[Any]) -> list[Any]:
        """Numbers of K faces on the device, as arrays (K, n); each is of a stretch."""

    def described(self, success: bool, numbers: F64, stretch: Any) -> Any:
        """What the stretch's `StretchAUs` take of a face, of its numbers side by side on the host."""


class StaticFaces:
    """Static AUs: a face in one frame at a time, whether or not the landmarks are believed (spec 85.2 step 4)."""

    def __init__(self, models: DeviceModels, rows: int) -> None:
        self._static = StaticBatch(models.device, models.bundle.image_aus)

    def begin(self) -> None:
        """Nothing is kept."""

    def compute(self, images: Any, frame: Any, faces: FacesBatch, stretches: Sequence[Any]) -> list[Any]:
        return [self._static(images, frame, faces.landmarks, faces.finite)]

    def described(self, success: bool, numbers: F64, stretch: Any) -> tuple[F64, F64]:
        return static_aus(numbers)


class MedianRow:
    """The medians of one stretch on the device. The row is free again when nobody refers to this object any more."""

    def __init__(self, owner: CalibratedFaces, number: int) -> None:
        self._owner, self.number = owner, number

    def final(self) -> F64:
        """(D,) after the stretch's last frame so far, on the host."""
        return self._owner.final_medians(self.number)

    def __del__(self) -> None:
        self._owner.free.append(self.number)  # in one piece, whoever calls the garbage collector meanwhile


@dataclass(frozen=True, eq=False)
class Predicted:
    """The AUs of one face in one frame as the dynamic models predict them."""

    success: bool
    values: F64  #: (35,) with the medians of that moment
    plain: F64  #: (35,) without medians
    medians: MedianRow


class CalibratedFaces:
    """Dynamic models: every stretch is a clip of its own (spec 85.3). There are as many rows of medians as it takes."""

    def __init__(self, models: DeviceModels, rows: int) -> None:
        self._models, self._rows = models, rows
        self._analysis = AnalysisBatch(models.device, models.bundle.video_aus, rows)
        self.free = list(range(rows))

    def begin(self) -> MedianRow:
        if not self.free:
            self._analysis.grow(2 * self._rows)
            self.free += range(self._rows, 2 * self._rows)
            self._rows *= 2
        row = MedianRow(self, self.free.pop())
        self._analysis.reset(row.number)
        return row

    def compute(self, images: Any, frame: Any, faces: FacesBatch, stretches: Sequence[MedianRow]) -> list[Any]:
        rows = self._models.device.upload(np.array([row.number for row in stretches], np.int32))
        success = faces.detection_success & faces.finite
        return list(self._analysis(images, frame, faces.landmarks, success, rows))

    def described(self, success: bool, numbers: F64, stretch: MedianRow) -> Predicted:
        split = len(numbers) // 2
        return Predicted(success, numbers[:split].copy(), numbers[split:].copy(), stretch)

    def final_medians(self, number: int) -> F64:
        with self._models.lock, self._models.device.active():
            return self._analysis.final_medians(number)


class CalibratedStretch:
    """The calibrated AUs of one stretch: `StretchAUs` of what `CalibratedFaces` predict."""

    def __init__(self, models: DeviceModels, online: bool) -> None:
        self._models = models
        self._history = StreamHistory(correction=OnlineCorrection() if online else None)
        self._medians: MedianRow | None = None  # until its first frame

    def take(self, described: Predicted, timestamp: float) -> tuple[F64, F64]:
        self._medians = described.medians
        return self._history.take(described.success, described.values, described.plain)

    def finish(self) -> OfflineAUs:
        assert self._medians is not None
        return self._history.finish(self._models.video_aus, self._medians.final())


@dataclass(eq=False)
class _Clip:
    """A clip between its frames."""

    slots: Slots
    stretches: dict[int, Any] = field(default_factory=dict)  #: what the device keeps for those that go on, by number


class ManyFaces:
    """The `Work` of some clips, all of them with AUs of one mode."""

    def __init__(self, models: DeviceModels, rows: int, aus: Callable[[DeviceModels, int], AUsOfFaces]) -> None:
        self._models, self._device, self._aus = models, models.device, aus(models, rows)
        self._clips: dict[int, _Clip] = {}

    def begin(self, row: int, clip: FacesOptions) -> None:
        self._clips[row] = _Clip(Slots(self._models.host.staged.landmarker.place, clip.faces))

    def end(self, row: int) -> None:
        self._clips.pop(row, None)

    def run(self, rows: Indices, images: Any, gray: Any) -> Sequence[MeasuredFaces]:
        clips = [self._clips[row] for row in rows]
        looking = [k for k, clip in enumerate(clips) if clip.slots.looks_for_faces]
        boxes = {k: found.boxes for k, found in zip(looking, self._models.locate(images, looking), strict=True)}
        before = [clip.slots.begin_frame(boxes.get(k, NO_BOXES)) for k, clip in enumerate(clips)]
        for clip, faces in zip(clips, before, strict=True):
            clip.stretches = {f.stretch: clip.stretches.get(f.stretch) or self._aus.begin() for f in faces}
        asked = [
            _Asked(k, face.state, clips[k].stretches[face.stretch]) for k, faces in enumerate(before) for face in faces
        ]
        found: list[tuple[ClmState, Any]] = []
        for first in range(0, len(asked), FACES_AT_ONCE):
            found += self._step(images, gray, asked[first : first + FACES_AT_ONCE])
        measured, at = [], 0
        for clip, faces in zip(clips, before, strict=True):
            own = found[at : at + len(faces)]
            at += len(faces)
            index, now = clip.slots.frames, clip.slots.end_frame([state for state, _ in own])
            measured.append(MeasuredFaces(index, now, [described for _, described in own]))
        return measured

    def _step(self, images: Any, gray: Any, asked: Sequence[_Asked]) -> list[tuple[ClmState, Any]]:
        """A tracking step of some faces, and their AUs."""
        device, aus, landmarker = self._device, self._aus, self._models.landmarker
        places = [face.image for face in asked]
        frame = device.upload(np.array(places, np.int32))
        before, stretches = [face.before for face in asked], [face.stretch for face in asked]
        succeeded = np.array([state.detection_success for state in before])
        faces = landmarker.follow(Frames(images, gray), places, landmarker.upload(before), succeeded)
        numbers = aus.compute(images, frame, faces, stretches)
        states, rows = read_back(device, faces, self._models.results.eyes, faces.finite, *numbers)
        refuse_unfinite(rows[:, 0] != 0)
        return [
            (state, aus.described(state.detection_success, row[1:], stretch))
            for state, row, stretch in zip(states, rows, stretches, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Asked:
    """A face that takes a tracking step."""

    image: int
    before: FaceState
    stretch: Any
