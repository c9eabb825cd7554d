"""What is asked of a table, and what to do about one that earlier runs left under its name."""

from __future__ import annotations

from dataclasses import asdict

from auparity.extraction.input_content import InputContent
from auparity.extraction.outputs.clip_outputs import (
    changed_outputs,
    check_outputs_replaceable,
    remove_abandoned_outputs,
    remove_outputs,
)
from auparity.extraction.sidecars import OutputPaths, Request, differences, look_for_earlier, remove_superseded
from auparity.extraction.tables import Layout
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.media import printable
from auparity.reference.video_pipeline import VideoPipeline


def request_of(pipeline: VideoPipeline, settings: ExtractionSettings, content: InputContent | None) -> Request:
    """What a table of these settings is asked to be."""
    landmarks, aligned = pipeline.options.landmarks, settings.outputs.aligned
    return Request(
        None if content is None else content.fingerprint.sha256, pipeline.bundle.content_hash, pipeline.precision,
        settings.intrinsics, settings.max_frames, columns=settings.outputs.columns,
        landmarks=None if landmarks is None else asdict(landmarks),
        aligned=None if aligned is None else asdict(aligned),
    )  # fmt: skip


def outcome_of_earlier(
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
    advice = paths.options.replace_or(paths.options.another_folder)
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


def remove_what_is_replaced(paths: OutputPaths, layout: Layout) -> None:
    """Remove what earlier runs left behind for this input, now that its table is complete."""
    incomplete = look_for_earlier(paths.incomplete)
    if incomplete.state in ("ours", "nothing", "unfinished"):  # a killed run may have left outputs without a table
        remove_outputs(paths.incomplete, incomplete.outputs)
    remove_abandoned_outputs(paths, layout)
    remove_superseded(paths)
