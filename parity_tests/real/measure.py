"""What a pipeline says of recorded pictures, as arrays that are kept (`Workspace`) and compared later (`figures.py`).

Pose and gaze are measured with the camera that OpenFace guesses from the size of the picture, as they were recorded.
Pictures may be made smaller first (`scale`); coordinates are those of the picture as it was recorded all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.media import open_clip, read_photograph
from auparity.parity_tests.real.recorded import Recorded, RecordedClip, RecordedFaces
from auparity.parity_tests.truth.progress import Progress
from auparity.reference.many_faces import LOCATE_EVERY
from auparity.reference.results import FrameResult

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

#: Faces that FaceLandmarkVidMulti follows at most (spec 85.1).
SLOTS = 4
#: Frames a second where only their order counts.
FPS = 30


def measure(pipeline: Pipeline, recorded: Recorded, scale: float, progress: Progress) -> Arrays:
    """Arrays of `measure_clip` or `measure_faces`."""
    if isinstance(recorded, RecordedClip):
        return measure_clip(pipeline, recorded, scale, progress)
    return measure_faces(pipeline, recorded, scale, progress)


def measure_clip(pipeline: Pipeline, recorded: RecordedClip, scale: float, progress: Progress) -> Arrays:
    """A clip of one face.

    `success` (F,), `landmarks` (F, 68, 2), `rotation` (F, 3), `gaze_angles` (F, 2); after post-processing
    `au_intensity` (F, 17) and `au_presence` (F, 18).
    """
    session = pipeline.start_video()
    results = []
    for index, image in enumerate(pictures(recorded, scale)):
        results.append(session.process_frame(image, index / FPS))
        progress(f"{recorded.name}, frames", index + 1, len(recorded.frames))
    offline = session.finish()
    session.close()
    return {
        "success": np.array([result.success for result in results]),
        "landmarks": full_size(np.stack([result.landmarks for result in results]), scale),
        "rotation": np.stack([result.pose[3:] for result in results]),
        "gaze_angles": np.stack([result.gaze_angles for result in results]),
        "au_intensity": offline.intensity,
        "au_presence": offline.presence,
    }


def measure_faces(pipeline: Pipeline, recorded: RecordedFaces, scale: float, progress: Progress) -> Arrays:
    """Pictures with any number of faces.

    Of the R faces that the pipeline accepts, `picture` (R,), `landmarks` (R, 68, 2) and `au_intensity` (R, 17);
    photographs are measured one by one, clips with `SLOTS` slots. And the arrays of `BoxesOf`.
    """
    numbers: list[int] = []
    results: list[FrameResult] = []
    boxes = BoxesOf(pipeline, scale)
    session = None if recorded.kind == "photographs" else pipeline.start_video(faces=SLOTS)
    for index, image in enumerate(pictures(recorded, scale)):
        faces = pipeline.process_image(image) if session is None else session.process_frame(image, index / FPS)
        accepted = [face for face in faces if face.success]
        results += accepted
        numbers += [index] * len(accepted)
        if is_searched(recorded, index):
            boxes.add(index, image)
        progress(f"{recorded.name}, pictures", index + 1, len(recorded.frames))
    if session is not None:
        session.close()
    landmarks = np.array([face.landmarks for face in results], np.float64).reshape(-1, 68, 2)
    return {
        "picture": np.array(numbers, np.int64),
        "landmarks": full_size(landmarks, scale),
        "au_intensity": np.array([face.au_intensity for face in results], np.float64).reshape(-1, 17),
        **boxes.arrays(),
    }


def measure_boxes(pipeline: Pipeline, recorded: RecordedFaces, scale: float, progress: Progress) -> Arrays:
    """What the locator alone finds in the pictures that are searched; see `BoxesOf`."""
    boxes = BoxesOf(pipeline, scale)
    for index, image in enumerate(pictures(recorded, scale)):
        if is_searched(recorded, index):
            boxes.add(index, image)
        progress(f"{recorded.name}, boxes", index + 1, len(recorded.frames))
    return boxes.arrays()


def pictures(recorded: Recorded, scale: float = 1.0) -> Iterator[Array]:
    """The pictures (H, W, 3) uint8 BGR in order, `scale` times as large (averaged over areas)."""
    for image in _whole_pictures(recorded):
        yield image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def full_size(points: Array, scale: float) -> Array:
    """Points (..., 2) px of a picture that was made `scale` times as large, in px of the picture before.

    Both count from the middle of the first pixel.
    """
    return points if scale == 1 else (points + 0.5) / scale - 0.5


def is_searched(recorded: RecordedFaces, index: int) -> bool:
    """Whether boxes are compared in a picture: in all photographs; of a clip where new faces are looked for."""
    return recorded.kind == "photographs" or index % LOCATE_EVERY == 0


class BoxesOf:
    """The boxes of a pipeline's locator in chosen pictures."""

    def __init__(self, pipeline: Pipeline, scale: float) -> None:
        self._locator, self._scale = pipeline.staged.locator, scale
        self._found: list[tuple[Array, Array, Array]] = [(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))]

    def add(self, index: int, image: Array) -> None:
        """Search picture number `index`."""
        (found,) = self._locator.locate([image])
        boxes = np.concatenate([full_size(found.boxes[:, :2], self._scale), found.boxes[:, 2:] / self._scale], axis=1)
        self._found.append((boxes, found.scores, np.full(len(found), index)))

    def arrays(self) -> Arrays:
        """`boxes` (K, 4) x, y, width, height px, `scores` (K,) and `box_picture` (K,)."""
        boxes, scores, numbers = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        return {"boxes": boxes, "scores": scores, "box_picture": numbers}


def _whole_pictures(recorded: Recorded) -> Iterator[Array]:
    if isinstance(recorded, RecordedFaces) and recorded.kind == "photographs":
        yield from (read_photograph(path)[0] for path in recorded.frames)
        return
    with open_clip(recorded.frames[0].parent) as source:
        for frame in source:
            yield frame.image
