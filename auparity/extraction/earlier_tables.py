"""What is asked of a table, and what to do about one that earlier runs left under its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from auparity.atomic_files import write_text_atomically, writing
from auparity.extraction.outputs.clip_outputs import (
    changed_outputs,
    check_outputs_replaceable,
    remove_abandoned_outputs,
    remove_outputs,
)
from auparity.extraction.sidecars import (
    OutputPaths,
    Request,
    differences,
    look_for_earlier,
    remove_superseded,
    sidecar_text,
)
from auparity.extraction.types import ExtractionSettings, Origin, Outcome
from auparity.media import printable
from auparity.reference.video_pipeline import VideoPipeline
from auparity.tables.columns import Layout


def clip_request(
    pipeline: VideoPipeline, settings: ExtractionSettings, sha256: str | None, timestamps: str | None
) -> Request:
    """What the table of a clip is asked to be.

    Parameters
    ----------
    sha256 : of its content. timestamps : where its times come from. Both are None for a camera.
    """
    return replace(
        _request(pipeline, settings, sha256),
        static_aus=pipeline.options.static_aus,
        faces=settings.faces,
        aus=settings.aus,
        face=None if settings.face is None else str(settings.face),
        split=True if settings.split else None,
        person_ids=None if settings.faces is None or settings.person_ids else False,
        timestamps=timestamps,
        fps=settings.fps if timestamps == "index" else None,
    )


def photograph_request(pipeline: VideoPipeline, settings: ExtractionSettings, sha256: str) -> Request:
    """What the table of an image is asked to be."""
    return replace(_request(pipeline, settings, sha256), max_frames=None, multi_view=settings.multi_view)


def _request(pipeline: VideoPipeline, settings: ExtractionSettings, sha256: str | None) -> Request:
    landmarks, aligned = pipeline.options.landmarks, settings.outputs.aligned
    return Request(
        sha256, pipeline.bundle.content_hash, pipeline.precision,
        settings.intrinsics, settings.max_frames, columns=settings.outputs.columns,
        landmarks=None if landmarks is None else asdict(landmarks),
        aligned=None if aligned is None else asdict(aligned),
    )  # fmt: skip


def outcome_of_earlier(
    name: str, paths: OutputPaths, request: Request, settings: ExtractionSettings, layout: Layout, origin: Origin
) -> Outcome | None:
    """The outcome if the table exists already; None if the clip has to be measured. Labels that have changed are
    written into the sidecar of a table that stays.

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
            _write_labels(paths, earlier.content or {}, origin)
            return Outcome(name, "skipped", f"{shown}: skipped, {table} exists.", paths.table)
    return Outcome(name, "failed", f"{shown}: {table} exists, but {problem}. {advice}", paths.table)


def _write_labels(paths: OutputPaths, content: Mapping[str, Any], origin: Origin) -> None:
    if content.get("labels", {}) == dict(origin.labels):
        return
    kept = {key: value for key, value in content.items() if key != "labels"}
    with writing(paths.sidecar):
        write_text_atomically(paths.sidecar, sidecar_text(kept | labels_of(origin)))


def labels_of(origin: Origin) -> dict[str, Any]:
    """The field `labels` of a sidecar; nothing where there are none."""
    return {"labels": dict(origin.labels)} if origin.labels else {}


def remove_what_is_replaced(paths: OutputPaths, layout: Layout) -> None:
    """Remove what earlier runs left behind for this input, now that its table is complete."""
    incomplete = look_for_earlier(paths.incomplete)
    if incomplete.state in ("ours", "nothing", "unfinished"):  # a killed run may have left outputs without a table
        remove_outputs(paths.incomplete, incomplete.outputs)
    remove_abandoned_outputs(paths, layout)
    remove_superseded(paths)
