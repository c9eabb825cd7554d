"""From one clip or one image to its result table (spec 00 "Data flow", 80.1 to 80.3).

`extract_clip` runs a pipeline over the frames of a video, image sequence or camera, streams a row for each frame,
post-processes the AUs when the clip ends and puts `<name>.csv` (or `.parquet`) and its sidecar into the output
folder. A clip that was interrupted or could not be read to its end is finished in the same way, under the name
`<name>.incomplete.csv`. `extract_photograph` writes one row for each face of an image. Any object with the two
methods of `extraction.types.VideoPipeline` will do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from auparity.errors import ContractError, VideoError
from auparity.extraction.final_rows import NOBODY, FinalRows, Row, of_all_faces, of_one_face, of_one_person
from auparity.extraction.outputs.clip_outputs import (
    ClipOutputs,
    changed_outputs,
    check_outputs_replaceable,
    remove_abandoned_outputs,
    remove_outputs,
)
from auparity.extraction.sidecars import (
    Intrinsics,
    OutputPaths,
    Request,
    differences,
    look_for_earlier,
    publish,
    remove_superseded,
)
from auparity.extraction.table_writers import TableWriter, open_table
from auparity.extraction.tables import Layout
from auparity.extraction.types import ClipProgress, ExtractionSettings, NoProgress, Outcome, never
from auparity.fingerprints import Fingerprint, fingerprint_of_file, fingerprint_of_files
from auparity.media import FrameSource, Image, ImageSequence, printable, read_photograph
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera
from auparity.reference.many_sessions import FacesSession
from auparity.reference.pipeline import ClipSession, VideoPipeline
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch


def extract_clip(
    pipeline: VideoPipeline,
    source: FrameSource,
    settings: ExtractionSettings | None = None,
    *,
    name: str | None = None,
    progress: ClipProgress | None = None,
    stop: Callable[[], bool] = never,
    observer: Callable[[FrameResult], None] | None = None,
) -> Outcome:
    """Run the pipeline over a clip and write its table.

    Parameters
    ----------
    source : the frames, e.g. `auparity.media.open_clip(Path("face.mp4"))`; closed by the caller.
    settings : `ExtractionSettings()` unless given.
    name : of the table in the output folder, without suffix; may hold folders. The source's own name unless given.
    progress : called after every frame.
    stop : called between frames; when it returns true, the clip ends there, as after Ctrl-C.
    observer : called with the result of every frame, once it is in the table; of the first face where several are
        measured.

    Returns
    -------
    Outcome : done; skipped (the table exists); failed (another table exists under this name); incomplete (the source
        could not be read to its end, or not without errors) or interrupted, both with the finished rows in
        `<name>.incomplete.csv`.

    Raises
    ------
    VideoError : not one frame could be read. OSError : the table could not be written; its part file stays.
    ContractError : one person is asked for, and the pipeline has static AUs.
    """
    settings, progress = settings or ExtractionSettings(), progress or NoProgress()
    paths = OutputPaths(settings.output_dir, name or source.name, settings.table_format)
    content = None if source.live else _Content(files_of(source))
    request = replace(
        _request(pipeline, settings, content),
        static_aus=pipeline.options.static_aus,
        faces=settings.faces,
        aus=settings.aus,
        face=None if settings.face is None else str(settings.face),
        person_ids=None if settings.faces is None or settings.person_ids else False,
    )
    if not source.live:
        stated = settings.fps if source.timestamps == "index" else None
        request = replace(request, timestamps=source.timestamps, fps=stated)
    if settings.person is not None and pipeline.options.static_aus:
        raise ContractError(
            "extraction", "static_aus", f"False with face={settings.face}, whose AUs are calibrated", "True"
        )
    earlier = _earlier_table(source.path, paths, request, settings, "clip")
    if earlier is not None:
        return earlier
    started = time.monotonic()
    measured: Layout = "clip" if settings.faces is None or settings.aus == "calibrated" else "faces"
    outputs = ClipOutputs(pipeline, settings.outputs, paths, measured, source.path, source.fps)
    paths.table.parent.mkdir(parents=True, exist_ok=True)
    layout: Layout = "faces" if settings.faces is not None and settings.person_ids else "clip"
    table = open_table(paths.table, layout, settings.table_format, settings.outputs.columns)
    try:
        progress.started(_expected_frames(source, settings))
        run = _track(pipeline, source, table, outputs, settings, progress, stop, observer)
        if run.session is None or run.camera is None:
            table.discard_part()
            outputs.discard_part()
            return _nothing_done(source, run)
        progress.finishing()
        ended = run.session.finish()
        run.problems = [*source.problems, *([] if content is None else content.changes())]
        complete = run.is_complete(source)
        target = paths if complete else paths.incomplete
        if run.ending != "limit":
            request = replace(request, max_frames=None)
        final = _final_rows(ended, run, table.n_rows, settings)
        facts = _clip_facts(source, run, run.frames, time.monotonic() - started, settings, content)
        outputs.finish(table.n_rows, run.camera)
        finished = table.finish(final.aus, final.persons, final.kept)
        try:
            publish(
                finished, target, request=request, bundle=pipeline.bundle.meta, complete=complete,
                facts=facts | {"variants": pipeline.variants}, beside=outputs,
            )  # fmt: skip
        finally:
            finished.discard()
        table.discard_part()
    except BaseException:
        for writer in (table, outputs):
            writer.keep_part() if table.n_rows else writer.discard_part()
        raise
    if complete:
        _remove_superseded(paths, "clip")
    return _clip_outcome(source, run, complete, target, run.frames, time.monotonic() - started)


def extract_photograph(
    pipeline: VideoPipeline, path: Path, settings: ExtractionSettings | None = None, *, name: str | None = None
) -> Outcome:
    """Measure every face of one image and write its table: one row a face, AUs of the static models (spec 80.3).

    An image without faces gets a table without rows, so that a run over many images can be resumed (the C++ program
    writes no file). Faces without success are rows, too, as in the C++ program.

    Raises
    ------
    VideoError : the image cannot be read. OSError : the table could not be written. ContractError : the settings choose
        one face, and all of an image are measured.
    """
    settings = settings or ExtractionSettings()
    if settings.face is not None:
        raise ContractError(
            "extraction", "face", "None for an image, all of whose faces are measured", str(settings.face)
        )
    paths = OutputPaths(settings.output_dir, name or path.stem, settings.table_format)
    content = _Content([path])
    request = replace(_request(pipeline, settings, content), max_frames=None, multi_view=settings.multi_view)
    earlier = _earlier_table(str(path), paths, request, settings, "photograph")
    if earlier is not None:
        return earlier
    started = time.monotonic()
    outputs = ClipOutputs(pipeline, settings.outputs, paths, "photograph", str(path))
    image, complaints = read_photograph(path, max_pixels=settings.max_pixels)
    camera = camera_for(settings.intrinsics, image)
    faces = pipeline.process_image(image, camera=camera, multi_view=settings.multi_view)
    warnings = [*complaints, *([] if faces else [NO_FACE_IN_PHOTOGRAPH])]
    facts = {
        "input": {
            "path": str(path.resolve()), "kind": "photograph", **asdict(content.fingerprint),
            "height": image.shape[0], "width": image.shape[1],
        },
        "faces": len(faces),
        "warnings": [*settings.warnings, *warnings],
        "camera": _camera_facts(camera),
        "seconds": round(time.monotonic() - started, 3),
        "variants": pipeline.variants,
    }  # fmt: skip
    paths.table.parent.mkdir(parents=True, exist_ok=True)
    table = open_table(paths.table, "photograph", settings.table_format, settings.outputs.columns)
    try:
        outputs.append(image, faces)
        for face in faces:
            table.append(face)
        outputs.finish(table.n_rows, camera)
        finished = table.finish(None)
        try:
            publish(
                finished, paths, request=request, bundle=pipeline.bundle.meta, complete=True, facts=facts,
                beside=outputs,
            )  # fmt: skip
        finally:
            finished.discard()
    finally:  # one image: nothing worth keeping
        table.discard_part()
        outputs.discard_part()
    _remove_superseded(paths, "photograph")
    count = "1 face" if len(faces) == 1 else f"{len(faces) or 'no'} faces"
    message = f"{printable(path)}: {count} -> {printable(paths.table)}"
    return Outcome(str(path), "done", message, paths.table, len(faces), tuple(complaints), without_face=not faces)


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


def files_of(source: FrameSource) -> Sequence[Path]:
    """The files that a clip is read from, in order."""
    return source.files if isinstance(source, ImageSequence) else [Path(source.path)]


NO_FACE_IN_CLIP = "no face was found in any frame"
NO_FACE_IN_PHOTOGRAPH = "no face was found"


class _Content:
    """The content of an input when its extraction begins, to see whether it is still the same at the end."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._stamps = self._look()
        self.fingerprint: Fingerprint = (
            fingerprint_of_file(files[0]) if len(files) == 1 else fingerprint_of_files(files)
        )

    def changes(self) -> list[str]:
        """A problem if the input was changed in the meantime, by a recorder or a copy that was still running."""
        try:
            same = self._look() == self._stamps
        except OSError:
            same = False
        return [] if same else ["the input was changed while it was measured; wait until it is written, then repeat"]

    def _look(self) -> list[tuple[int, int]]:
        return [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in self._files)]


@dataclass
class _Run:
    """The course of one clip."""

    session: ClipSession | FacesSession | None = None  # None until the first frame
    camera: Camera | None = None
    image_size: tuple[int, ...] = (0, 0)  # height, width
    frames: int = 0
    successes: int = 0  # frames with a face
    rows: list[Row] = field(default_factory=list)  # of several faces
    ending: Literal["end", "limit", "interrupted", "unreadable"] = "end"
    error: VideoError | None = None
    problems: list[str] = field(default_factory=list)  # frames that could not be decoded without errors, and the like
    notes: list[str] = field(default_factory=list)  # what readers of the table must know besides

    def take(self, session: ClipSession | FacesSession, faces: Sequence[FrameResult], *, several: bool) -> None:
        """A frame was measured, and its rows are in the table."""
        self.session = session
        if several:
            self.rows += [Row(self.frames, face.face_id, face.success) for face in faces]
        self.frames += 1
        self.successes += any(face.success for face in faces)

    def is_complete(self, source: FrameSource) -> bool:
        """Whether the table is complete."""
        if self.problems:
            return False
        return self.ending in ("end", "limit") or (self.ending == "interrupted" and source.live)

    @property
    def reason(self) -> str | None:
        """Why the table does not cover the whole clip; None when it does."""
        if self.error is not None:
            return str(self.error)
        if self.ending == "end":
            return "; ".join(self.problems) or None
        return self.ending


def _track(
    pipeline: VideoPipeline,
    source: FrameSource,
    table: TableWriter,
    outputs: ClipOutputs,
    settings: ExtractionSettings,
    progress: ClipProgress,
    stop: Callable[[], bool],
    observer: Callable[[FrameResult], None] | None,
) -> _Run:
    """Frame after frame into the table, until the clip ends, a limit is reached, it is stopped or cannot be read."""
    run = _Run()
    try:
        for frame in source:
            if stop():
                run.ending = "interrupted"
                break
            if _limit_reached(settings, run.frames, frame.timestamp):
                run.ending = "limit"
                break
            if run.session is None:
                run.camera, run.image_size = camera_for(settings.intrinsics, frame.image), frame.image.shape[:2]
                session = _start(pipeline, run.camera, source, settings)
            measured = session.process_frame(frame.image, frame.timestamp)
            faces = measured if isinstance(measured, list) else [measured]
            outputs.append(frame.image, faces)
            if settings.person is not None:
                faces = [_nobody(session, run, frame.timestamp), *faces]
            for face in faces:
                table.append(face if settings.person is None else replace(face, face_id=0))
            run.take(session, faces, several=isinstance(measured, list))
            progress.frame_done()
            if observer is not None:
                observer(faces[0])
    except VideoError as error:
        run.ending, run.error = "unreadable", error
    except KeyboardInterrupt:
        if stop():  # already stopping: a second Ctrl-C ends at once
            raise
        run.ending = "interrupted"
    return run


def _nobody(session: ClipSession | FacesSession, run: _Run, timestamp: float) -> FrameResult:
    """The row that stays of a frame in which the person of the table is not followed."""
    assert run.camera is not None
    of_all = cast("FacesSession", session)  # where a person is asked for, all faces are followed
    result = of_all.without_face(index=run.frames, timestamp=timestamp, camera=run.camera)
    return replace(result, face_id=NOBODY)


def _limit_reached(settings: ExtractionSettings, n_rows: int, timestamp: float) -> bool:
    by_count = settings.max_frames is not None and n_rows >= settings.max_frames
    return by_count or (settings.max_seconds is not None and timestamp >= settings.max_seconds)


def _start(
    pipeline: VideoPipeline, camera: Camera, source: FrameSource, settings: ExtractionSettings
) -> ClipSession | FacesSession:
    if settings.person is not None:
        return pipeline.start_video(camera=camera, online=source.live, faces="all", aus="calibrated")
    if isinstance(settings.face, FaceChoice):
        return pipeline.start_video(camera=camera, online=source.live, face=settings.face)
    if settings.faces is None:
        return pipeline.start_video(camera=camera, online=source.live)
    return pipeline.start_video(camera=camera, online=source.live, faces=settings.faces, aus=settings.aus)


def _final_rows(
    finished: OfflineAUs | list[FaceStretch], run: _Run, n_rows: int, settings: ExtractionSettings
) -> FinalRows:
    """What is known of the rows at the end; `run` learns how many frames show the person whose table it is."""
    if isinstance(finished, OfflineAUs):
        return of_one_face(finished, n_rows)
    if settings.person is None:
        calibrated = settings.aus == "calibrated"
        return of_all_faces(finished, run.rows[:n_rows], calibrated=calibrated, person_ids=settings.person_ids)
    rows = of_one_person(finished, run.rows, settings.person)
    run.successes = sum(run.rows[number].success for number in rows.kept or [])
    persons = {stretch.person_id for stretch in finished if stretch.person_id >= 0}
    if persons and settings.person not in persons:
        run.notes.append(f"nobody in this clip has person_id {settings.person}; the highest is {max(persons)}")
    return rows


def _nothing_done(source: FrameSource, run: _Run) -> Outcome:
    if run.error is not None:
        raise run.error
    if run.ending == "interrupted":
        message = f"{printable(source.path)}: interrupted before its first frame; nothing written."
        return Outcome(source.path, "interrupted", message)
    raise VideoError(f"{printable(source.path)}: gives no frames.")


def _request(pipeline: VideoPipeline, settings: ExtractionSettings, content: _Content | None) -> Request:
    landmarks, aligned = pipeline.options.landmarks, settings.outputs.aligned
    return Request(
        None if content is None else content.fingerprint.sha256, pipeline.bundle.content_hash, pipeline.precision,
        settings.intrinsics, settings.max_frames, columns=settings.outputs.columns,
        landmarks=None if landmarks is None else asdict(landmarks),
        aligned=None if aligned is None else asdict(aligned),
    )  # fmt: skip


def _earlier_table(
    name: str, paths: OutputPaths, request: Request, settings: ExtractionSettings, layout: Layout
) -> Outcome | None:
    """The outcome if the table exists already; None if the clip has to be measured.

    Raises
    ------
    AuparityError : a file of others would be overwritten.
    """
    earlier = look_for_earlier(paths)
    incomplete = look_for_earlier(paths.incomplete)
    for made, at in ((earlier, paths), (incomplete, paths.incomplete)):
        check_outputs_replaceable(at, settings.outputs, layout, made.outputs, overwrite=settings.overwrite)
    if settings.overwrite or earlier.state in ("nothing", "unfinished"):
        return None
    shown, table = printable(name), printable(paths.table)
    advice = "Use --overwrite to replace it, or another folder (-o)."
    if earlier.state == "foreign":
        problem = "nothing beside it says what it was made from"
    elif earlier.state == "changed":
        problem = f"it is not the table that {printable(paths.sidecar.name)} describes; it was changed or copied there"
    else:
        changed = changed_outputs(paths, settings.outputs, layout, earlier.outputs)
        problem = "; ".join([*differences(earlier.content or {}, request), *changed])
        if not problem:
            return Outcome(name, "skipped", f"{shown}: skipped, {table} exists.", paths.table)
    return Outcome(name, "failed", f"{shown}: {table} exists, but {problem}. {advice}", paths.table)


def _remove_superseded(paths: OutputPaths, layout: Layout) -> None:
    """Remove what earlier runs left behind for this input, now that its table is complete."""
    incomplete = look_for_earlier(paths.incomplete)
    if incomplete.state in ("ours", "nothing", "unfinished"):  # a killed run may have left outputs without a table
        remove_outputs(paths.incomplete, incomplete.outputs)
    remove_abandoned_outputs(paths, layout)
    remove_superseded(paths)


def _expected_frames(source: FrameSource, settings: ExtractionSettings) -> int | None:
    counts = [count for count in (source.n_frames, settings.max_frames) if count is not None]
    return min(counts, default=None)


def _camera_facts(camera: Camera) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(camera).items()}


def _clip_facts(
    source: FrameSource, run: _Run, rows: int, seconds: float, settings: ExtractionSettings, content: _Content | None
) -> dict[str, Any]:
    assert run.camera is not None  # there were frames
    height, width = run.image_size
    damaged = source.damaged_frames
    return {
        "reason": run.reason,
        "input": {
            "path": source.path if source.live else str(Path(source.path).resolve()),
            "kind": source.kind,
            **({} if content is None else asdict(content.fingerprint)),
            "frames_declared": source.n_frames,
            "fps": source.fps,
            "height": height,
            "width": width,
        },
        "frames": rows,
        "frames_with_success": run.successes,
        **({"damaged_frames": [number + 1 for number in damaged]} if damaged else {}),  # as the table counts them
        "warnings": [*settings.warnings, *source.warnings, *run.problems, *run.notes, *_no_face(run)],
        "camera": _camera_facts(run.camera),
        "seconds": round(seconds, 3),
    }


def _no_face(run: _Run) -> list[str]:
    return [] if run.successes or run.notes else [NO_FACE_IN_CLIP]


def _clip_outcome(
    source: FrameSource, run: _Run, complete: bool, target: OutputPaths, rows: int, seconds: float
) -> Outcome:
    shown, table = printable(source.path), printable(target.table)
    if complete:
        status: Literal["done", "incomplete", "interrupted"] = "done"
        message = f"{shown}: {rows} frames, {run.successes or 'none'} with a face, {seconds:.1f} s -> {table}"
    elif run.error is not None:
        status, message = "incomplete", f"{run.error} The {rows} frames before that are in {table}"
    elif run.ending == "interrupted":
        status = "interrupted"
        of = f" of {source.n_frames}" if source.n_frames is not None else ""
        message = (
            f"{shown}: INCOMPLETE, interrupted after {rows}{of} frames. These are finished, with post-processed "
            f"AUs, in {table}; the next run measures this clip again from its start."
        )
    else:
        status = "incomplete"
        message = f"{shown}: NOT WHOLE: {'; '.join(run.problems)}. All {rows} frames that could be read are in {table}"
    return Outcome(
        source.path, status, message, target.table, rows, (*source.warnings, *run.notes),
        without_face=not run.successes,
    )  # fmt: skip
