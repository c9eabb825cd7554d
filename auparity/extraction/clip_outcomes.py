"""What is said of an extraction: the facts in its sidecar, and its outcome."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from auparity.errors import VideoError
from auparity.extraction.clip_run import ClipRun
from auparity.extraction.earlier_tables import labels_of
from auparity.extraction.input_content import InputContent
from auparity.extraction.sidecars import OutputPaths
from auparity.extraction.types import ExtractionSettings, Origin, Outcome
from auparity.media import FrameSource, printable
from auparity.reference.head_pose import Camera

NO_FACE_IN_CLIP = "no face was found in any frame"
NO_FACE_IN_PHOTOGRAPH = "no face was found"


def clip_facts(
    source: FrameSource,
    run: ClipRun,
    seconds: float,
    settings: ExtractionSettings,
    content: InputContent | None,
    origin: Origin,
) -> dict[str, Any]:
    """What the sidecar says of a clip beside what was asked for."""
    assert run.camera is not None  # there were frames
    height, width = run.image_size
    damaged = source.damaged_frames

    def named(text: str) -> str:
        return text.replace(source.path, origin.address) if origin.address else text

    warnings = [*settings.warnings, *source.warnings, *run.problems, *run.notes, *_no_face(run)]
    return {
        "reason": None if run.reason is None else named(run.reason),
        "input": {
            **({"path": source.path} if source.live else place_of(Path(source.path), origin)),
            "kind": source.kind,
            **({} if content is None else asdict(content.fingerprint)),
            "frames_declared": source.n_frames,
            "fps": source.fps,
            "height": height,
            "width": width,
        },
        **labels_of(origin),
        "frames": run.frames,
        "frames_with_success": run.successes,
        **({"damaged_frames": [number + 1 for number in damaged]} if damaged else {}),  # as the table counts them
        "warnings": [named(text) for text in warnings],
        "camera": camera_facts(run.camera),
        "seconds": round(seconds, 3),
        **({} if run.frame_ms is None else {"frame_ms": round(run.frame_ms, 3)}),
    }


def place_of(path: Path, origin: Origin) -> dict[str, str]:
    """Where the sidecar says that an input is."""
    if not origin.address:
        return {"path": str(path.resolve())}
    version = {"version": origin.version} if origin.version else {}
    return {"path": origin.address, "address": origin.address, **version}


def camera_facts(camera: Camera) -> dict[str, float]:
    """The intrinsics as the sidecar has them, px."""
    return {name: float(value) for name, value in asdict(camera).items()}


def _no_face(run: ClipRun) -> list[str]:
    return [] if run.successes or run.nobody else [NO_FACE_IN_CLIP]


def clip_outcome(
    source: FrameSource, run: ClipRun, complete: bool, target: OutputPaths, seconds: float, settings: ExtractionSettings
) -> Outcome:
    """The outcome of a clip whose table is written, with the sentence that the user reads."""
    rows = run.frames
    shown, table = printable(source.path), printable(target.table)
    if complete:
        status: Literal["done", "incomplete", "interrupted"] = "done"
        message = f"{shown}: {rows} frames, {run.successes or 'none'} with a face, {seconds:.1f} s -> {table}"
    elif run.unwritten is not None:
        status = "incomplete"
        message = (
            f"{shown}: NOT WHOLE: {run.unwritten} The {rows} frames that were measured are in {table}, without "
            "other files beside it. Make room, then repeat: the next run measures this clip again from its start."
        )
    elif run.error is not None:
        status, message = "incomplete", f"{run.error} The {rows} frames before that are in {table}"
    elif run.ending == "interrupted":
        status = "interrupted"
        of = f" of {source.n_frames}" if source.n_frames is not None else ""
        whose = "" if settings.person is None else f" ({settings.face} of the people so far)"
        message = (
            f"{shown}: INCOMPLETE{whose}, interrupted after {rows}{of} frames. These are finished, with post-processed "
            f"AUs, in {table}; the next run measures this clip again from its start."
        )
    else:
        status = "incomplete"
        message = f"{shown}: NOT WHOLE: {'; '.join(run.problems)}. All {rows} frames that could be read are in {table}"
    return Outcome(
        source.path, status, message, target.table, rows, (*source.warnings, *run.notes),
        without_face=not run.successes,
    )  # fmt: skip


def nothing_done(source: FrameSource, run: ClipRun) -> Outcome:
    """The outcome of a clip of which not one frame was measured; raises what is to blame."""
    if run.error is not None:
        raise run.error
    if run.unwritten is not None:
        raise run.unwritten
    if run.ending == "interrupted":
        message = f"{printable(source.path)}: interrupted before its first frame; nothing written."
        return Outcome(source.path, "interrupted", message)
    raise VideoError(f"{printable(source.path)}: gives no frames.")
