"""Frame after frame of a clip through a pipeline into a table and the files beside it, until something ends it."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, cast

from auparity.accelerated.parallel.streams import WAITING, WAITING_LIVE, results_of
from auparity.errors import VideoError, WriteError
from auparity.extraction.final_rows import NO_SLOT, Row
from auparity.extraction.outputs.clip_outputs import ClipOutputs
from auparity.extraction.second_pass import Spool
from auparity.extraction.session_in_parts import SessionInParts
from auparity.extraction.sidecars import Intrinsics
from auparity.extraction.table_writers import TableWriter
from auparity.extraction.types import ClipProgress, ExtractionSettings
from auparity.media import Frame, FrameSource, Image
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import ClipSession, FacesSession, VideoPipeline

if TYPE_CHECKING:
    from auparity.accelerated.parallel.chunks import ClipInParts


@dataclass
class ClipRun:
    """The course of one clip."""

    session: ClipSession | FacesSession | None = None  # None until the first frame
    camera: Camera | None = None
    image_size: tuple[int, ...] = (0, 0)  # height, width
    frames: int = 0
    successes: int = 0  # frames with a face
    times: array[float] = field(default_factory=lambda: array("d"))  # s, when each frame was in the table
    rows: list[Row] = field(default_factory=list)  # of several faces
    ending: Literal["end", "limit", "interrupted", "unreadable"] = "end"
    error: VideoError | None = None
    unwritten: WriteError | None = None  # what could not be written; the rows before that are whole
    problems: list[str] = field(default_factory=list)  # frames that could not be decoded without errors, and the like
    notes: list[str] = field(default_factory=list)  # what readers of the table must know besides
    nobody: bool = False  # of whom the table should be, as a note says

    def take(self, session: ClipSession | FacesSession, faces: Sequence[FrameResult], *, several: bool) -> None:
        """A frame was measured, and its rows are in the table."""
        self.session = session
        if several:
            self.rows += [Row(self.frames, face.face_id, face.success) for face in faces]
        self.frames += 1
        self.times.append(time.monotonic())
        self.successes += any(face.success for face in faces)

    @property
    def frame_ms(self) -> float | None:
        """Median time from one frame to the next, ms: where kernels are compiled, a few frames take seconds."""
        between = sorted(later - earlier for earlier, later in itertools.pairwise(self.times))
        return 1000 * between[len(between) // 2] if between else None

    def is_complete(self, source: FrameSource) -> bool:
        """Whether the table is complete."""
        if self.problems or self.unwritten is not None:
            return False
        return self.ending in ("end", "limit") or (self.ending == "interrupted" and source.live)

    @property
    def reason(self) -> str | None:
        """Why the table does not cover the whole clip; None when it does."""
        if self.error is not None:
            return str(self.error)
        if self.unwritten is not None:
            return str(self.unwritten)
        if self.ending == "end":
            return "; ".join(self.problems) or None
        return self.ending


def track_clip(
    pipeline: VideoPipeline,
    source: FrameSource,
    table: TableWriter,
    outputs: ClipOutputs | Spool,
    settings: ExtractionSettings,
    progress: ClipProgress,
    stop: Callable[[], bool],
    observer: Callable[[list[FrameResult]], None] | None,
    cut: ClipInParts | None = None,
    *,
    overlap: bool = True,
) -> ClipRun:
    """Frame after frame into the table, until the clip ends, a limit is reached, it is stopped or cannot be read.

    The frames of a clip that was `cut` come from its parts; once stopped these give what is done, and then end. Other
    frames are read, tracked and measured while those before them are written (`overlap`).
    """
    run = ClipRun()
    in_parts = None if cut is None else SessionInParts(cut)
    try:
        frames = _wanted(source, run, settings, stop) if in_parts is None else _wanted(in_parts, run, settings, None)
        first = next(frames, None)
        if first is not None:
            run.camera, run.image_size = camera_for(settings.intrinsics, first.image), first.image.shape[:2]
            session: Any = start_session(pipeline, settings, run.camera, online=source.live)
            if in_parts is not None:
                session = in_parts.measured_by(session)
            waiting = WAITING_LIVE if source.live else WAITING
            results = results_of(
                session, chain([first], frames), overlap=overlap and in_parts is None, waiting=waiting
            )  # fmt: skip
            with closing(results):
                for frame, measured in results:
                    if not _written(frame, measured, session, run, table, outputs, settings):
                        break
                    progress.frame_done()
                    if observer is not None:
                        observer(measured if isinstance(measured, list) else [measured])
    except VideoError as error:
        run.ending, run.error = "unreadable", error
    except KeyboardInterrupt:
        if stop():  # already stopping: a second Ctrl-C ends at once
            raise
        run.ending = "interrupted"
    if cut is not None and cut.interrupted:
        run.ending = "interrupted"
    return run


def _wanted(
    frames: Iterable[Frame], run: ClipRun, settings: ExtractionSettings, stop: Callable[[], bool] | None
) -> Iterator[Frame]:
    """The frames that are measured; `run` learns what ended them before the clip did."""
    for number, frame in enumerate(frames):
        if stop is not None and stop():
            run.ending = "interrupted"
            return
        if _limit_reached(settings, number, frame.timestamp):
            run.ending = "limit"
            return
        yield frame


def _written(
    frame: Frame, measured: FrameResult | list[FrameResult], session: ClipSession | FacesSession, run: ClipRun,
    table: TableWriter, outputs: ClipOutputs | Spool, settings: ExtractionSettings,
) -> bool:  # fmt: skip
    """Write the rows of a frame; False where they cannot be written, as `run` then says."""
    faces = measured if isinstance(measured, list) else [measured]
    rows = faces
    if settings.person is not None:
        faces = [_nobody(session, run, frame.timestamp), *faces]
        rows = [replace(face, face_id=0) for face in faces]
    try:
        outputs.append(frame.image, rows)
        for row in rows:
            table.append(row)
    except WriteError as error:
        run.unwritten, run.ending = error, "end"  # whatever ended the frames that were read ahead
        return False
    run.take(session, faces, several=isinstance(measured, list))
    return True


def start_session(
    pipeline: VideoPipeline, settings: ExtractionSettings, camera: Camera, *, online: bool
) -> ClipSession | FacesSession:
    """Begin a clip of the faces that the settings ask for."""
    if settings.person is not None:  # whom the whole clip identifies
        return pipeline.start_video(camera=camera, online=online, faces="all", aus="calibrated")
    if settings.faces is not None:
        return pipeline.start_video(camera=camera, online=online, faces=settings.faces, aus=settings.aus)
    if isinstance(settings.face, FaceChoice):
        return pipeline.start_video(camera=camera, online=online, face=settings.face)
    return pipeline.start_video(camera=camera, online=online)


def camera_for(intrinsics: Intrinsics, image: Image) -> Camera:
    """The requested intrinsics; those that were not given follow from the image size (spec 70.1)."""
    height, width = image.shape[:2]
    default = Camera.for_image(width, height)
    return Camera(
        fx=default.fx if intrinsics.fx is None else intrinsics.fx,
        fy=default.fy if intrinsics.fy is None else intrinsics.fy,
        cx=default.cx if intrinsics.cx is None else intrinsics.cx,
        cy=default.cy if intrinsics.cy is None else intrinsics.cy,
    )


def _nobody(session: ClipSession | FacesSession, run: ClipRun, timestamp: float) -> FrameResult:
    """The row that stays of a frame in which the person of the table is not followed."""
    assert run.camera is not None
    of_all = cast("FacesSession", session)  # where a person is asked for, all faces are followed
    result = of_all.without_face(index=run.frames, timestamp=timestamp, camera=run.camera)
    return replace(result, face_id=NO_SLOT)


def _limit_reached(settings: ExtractionSettings, n_rows: int, timestamp: float) -> bool:
    by_count = settings.max_frames is not None and n_rows >= settings.max_frames
    return by_count or (settings.max_seconds is not None and timestamp >= settings.max_seconds)
