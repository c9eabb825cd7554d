"""From one clip to its result table (spec 00 "Data flow", 80.1, 80.2).

`extract_clip` runs a pipeline over the frames of a video, image sequence or camera, streams a row for each frame,
post-processes the AUs when the clip ends and puts `<name>.csv` (or `.parquet`) and its sidecar into the output
folder. A clip that was interrupted or could not be read to its end is finished in the same way, under the name
`<name>.incomplete.csv`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from auparity.errors import ContractError, VideoError, WriteError
from auparity.extraction.clip_outcomes import clip_facts, clip_outcome, nothing_done
from auparity.extraction.clip_run import ClipRun, track_clip
from auparity.extraction.earlier_tables import clip_request, outcome_of_earlier, remove_what_is_replaced
from auparity.extraction.final_rows import FinalRows, of_all_faces, of_one_face, of_one_person
from auparity.extraction.input_content import InputContent, files_of
from auparity.extraction.outputs.clip_outputs import ClipOutputs, remove_outputs
from auparity.extraction.seams import seam_notes, split_facts, split_summary
from auparity.extraction.second_pass import Spool, spool_for, write_faces
from auparity.extraction.sidecars import OutputPaths, look_for_earlier, publish
from auparity.extraction.table_writers import open_table
from auparity.extraction.types import HERE, ClipProgress, ExtractionSettings, NoProgress, Origin, Outcome, never
from auparity.media import FrameSource, printable
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.reference.video_pipeline import VideoPipeline
from auparity.tables.columns import Layout

if TYPE_CHECKING:
    from auparity.accelerated.parallel.chunks import ClipInParts


def extract_clip(
    pipeline: VideoPipeline,
    source: FrameSource,
    settings: ExtractionSettings | None = None,
    *,
    name: str | None = None,
    origin: Origin = HERE,
    progress: ClipProgress | None = None,
    stop: Callable[[], bool] = never,
    observer: Callable[[list[FrameResult]], None] | None = None,
    parts: Callable[[], ClipInParts] | None = None,
    overlap: bool = True,
) -> Outcome:
    """Run the pipeline over a clip and write its table.

    Parameters
    ----------
    source : the frames, e.g. `auparity.media.open_clip(Path("face.mp4"))`; closed by the caller.
    settings : `ExtractionSettings()` unless given.
    name : of the table in the output folder, without suffix; may hold folders. The source's own name unless given.
    origin : where the clip is from, if it was fetched, and what a list says of it; for the sidecar.
    progress : called after every frame.
    stop : called between frames; when it returns true, the clip ends there, as after Ctrl-C.
    observer : called with the results of every frame, once they are in the table: one, or where several faces are
        measured one for each of them.
    parts : has the clip tracked in parts; called once it is known that it has to be measured. For one face that neither
        a person nor a box names. Whoever makes them stops their workers when `stop` says so.
    overlap : whether frames may be read and measured in other threads while those before them are written; False where
        other work takes the cores. The table is the same. `source` and `stop` are then asked in another thread;
        `progress` and `observer` are always called in the caller's.

    Returns
    -------
    Outcome : done; skipped (the table exists); failed (another table exists under this name); incomplete (the source
        could not be read to its end, or not without errors, or an output could not be written) or interrupted, both
        with the finished rows in `<name>.incomplete.csv`.

    Raises
    ------
    VideoError : not one frame could be read. WriteError : the table could not be written; its part file stays.
    ContractError : one person is asked for, and the pipeline has static AUs, or files of this person's faces are to be
        written of a camera.
    """
    settings, progress = settings or ExtractionSettings(), progress or NoProgress()
    paths = OutputPaths(settings.output_dir, name or source.name, settings.table_format, settings.option_names)
    content = None if source.live else InputContent(files_of(source))
    request = clip_request(
        pipeline, settings, None if content is None else content.fingerprint.sha256,
        None if source.live else source.timestamps,
    )  # fmt: skip
    if settings.person is not None and pipeline.options.static_aus:
        raise ContractError(
            "extraction", "static_aus", f"False with face={settings.face}, whose AUs are calibrated", "True"
        )
    earlier = outcome_of_earlier(source.path, paths, request, settings, "clip", origin)
    if earlier is not None:
        return earlier
    started = time.monotonic()
    cut = None if parts is None else parts()
    measured: Layout = "clip" if settings.faces is None or settings.aus == "calibrated" else "faces"
    outputs = ClipOutputs(pipeline, settings.outputs, paths, measured, source.path, source.fps)
    paths.table.parent.mkdir(parents=True, exist_ok=True)
    layout: Layout = "faces" if settings.faces is not None and settings.person_ids else "clip"
    waiting = spool_for(source, paths.table.parent) if settings.person is not None and settings.outputs.drawn else None
    table = open_table(paths.table, layout, settings.table_format, settings.outputs.columns)
    try:
        progress.started(_expected_frames(source, settings))
        run = track_clip(
            pipeline, source, table, waiting or outputs, settings, progress, stop, observer, cut, overlap=overlap
        )
        run.notes += [] if cut is None else seam_notes(cut)
        if run.session is None or run.camera is None:
            table.discard_part()
            outputs.discard_part()
            return nothing_done(source, run)
        progress.finishing()
        ended = run.session.finish()
        final = _final_rows(ended, run, table.n_rows, settings)
        n_rows = table.n_rows if final.kept is None else len(final.kept)
        run.problems = list(source.problems)
        _finish_outputs(outputs, run, source, waiting, final.kept or [], n_rows)
        run.problems += [] if content is None else content.changes()
        complete = run.is_complete(source)
        target = paths if complete else paths.incomplete
        if run.ending != "limit":
            request = replace(request, max_frames=None)
        request = replace(request, split=True if cut is not None and cut.seams else None)
        facts = clip_facts(source, run, time.monotonic() - started, settings, content, origin)
        finished = table.finish(final.aus, final.persons, final.kept)
        if not complete:
            remove_outputs(target, look_for_earlier(target).outputs)  # those of an earlier run that was cut off
        try:
            publish(
                finished, target, request=request, bundle=pipeline.bundle.meta, complete=complete,
                facts=facts | {"variants": pipeline.variants} | ({} if cut is None else split_facts(cut)),
                beside=outputs,
            )  # fmt: skip
        finally:
            finished.discard()
        table.discard_part()
    except BaseException as error:
        full = isinstance(error, WriteError)  # then the rows, which are small, are all that is kept
        table.keep_part() if table.n_rows else table.discard_part()
        outputs.keep_part() if table.n_rows and not full else outputs.discard_part()
        if isinstance(error, WriteError) and table.n_rows:
            raise WriteError(
                error.file, error.reason, f"The {table.n_rows} rows so far are in {printable(table.part)}."
            ) from error
        raise
    finally:
        if waiting is not None:
            waiting.close()
    if complete:
        remove_what_is_replaced(paths, "clip")
    outcome = clip_outcome(source, run, complete, target, time.monotonic() - started, settings)
    parts_fit = "" if cut is None else split_summary(cut)
    return replace(outcome, message=f"{outcome.message} ({parts_fit})") if parts_fit else outcome


def _finish_outputs(
    outputs: ClipOutputs, run: ClipRun, source: FrameSource, waiting: Spool | None, kept: Sequence[int], n_rows: int
) -> None:
    """Complete the files beside a table of `n_rows` rows. Where one of them cannot be written all are given up: that
    makes room for the table."""
    assert run.camera is not None
    try:
        if run.unwritten is None:
            if waiting is not None:
                write_faces(source, waiting, kept, outputs)
            outputs.finish(n_rows, run.camera)
    except WriteError as error:
        run.unwritten = error
    except VideoError as error:
        run.problems.append(str(error))
        outputs.abandon()
    if run.unwritten is not None:
        outputs.abandon()
        if waiting is not None:
            waiting.close()


def _final_rows(
    finished: OfflineAUs | list[FaceStretch], run: ClipRun, n_rows: int, settings: ExtractionSettings
) -> FinalRows:
    """What is known of the rows at the end; `run` learns how many frames show the person whose table it is."""
    if isinstance(finished, OfflineAUs):
        return of_one_face(finished, n_rows)
    if settings.person is None:
        calibrated = settings.aus == "calibrated"
        final = of_all_faces(finished, run.rows, calibrated=calibrated, person_ids=settings.person_ids)
        # The last frame may have got into the table in part.
        return final if n_rows == len(run.rows) else replace(final, kept=list(range(len(run.rows))))
    rows = of_one_person(finished, run.rows, settings.person)
    run.successes = sum(run.rows[number].success for number in rows.kept or [])
    persons = {stretch.person_id for stretch in finished if stretch.person_id >= 0}
    if persons and settings.person not in persons:
        run.nobody = True
        run.notes.append(f"nobody in this clip has person_id {settings.person}; the highest is {max(persons)}")
    return rows


def _expected_frames(source: FrameSource, settings: ExtractionSettings) -> int | None:
    counts = [count for count in (source.n_frames, settings.max_frames) if count is not None]
    return min(counts, default=None)
