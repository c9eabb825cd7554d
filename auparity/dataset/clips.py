"""What a data set knows of a clip: a row of its table of clips, read from the sidecar of the clip's table."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from auparity.errors import AuparityError, FileFormatError
from auparity.extraction.failures import as_text
from auparity.extraction.tables import Groups, check_groups
from auparity.json_files import checked, load_json
from auparity.reports.clips.sidecar import SIGNATURE
from auparity.tables.columns import Layout

WHAT = "the description of a table"
ADVICE = "Extract the clip again."
INCOMPLETE = ".incomplete"  #: ends the name of a table that is not whole


@dataclass(slots=True)
class Clip:
    """One clip, image or recording. The fields up to `file` are columns of ``clips.parquet``; None is unknown."""

    clip: str  #: name: folders below the output folder and the table's name, with ``/`` between, without suffix
    labels: dict[str, str]  #: columns of their own, after `clip`
    status: str  #: "done" or "incomplete"
    reason: str | None  #: why it is not whole
    kind: str | None  #: "video", "images", "camera" or "photograph"
    input: str | None  #: path or address
    rows: int
    frames: int | None
    frames_with_face: int | None
    share_with_face: float | None  #: of the frames, 0 to 1
    mean_confidence: float | None  #: over the rows with success 1; of an image over all its faces
    footage_seconds: float | None  #: between the time stamps of the first and the last frame
    computing_seconds: float | None
    fps: float | None
    width: int | None
    height: int | None
    warnings: list[str]
    rounded: bool  #: the table is a CSV, whose numbers are rounded
    precision: str | None
    bundle: str | None  #: content hash of the models
    bundle_name: str | None
    bundle_version: str | None
    auparity: str  #: version that measured it
    settings: str  #: JSON of what else decides the numbers
    extracted: str | None  #: when, ISO 8601
    input_sha256: str | None
    input_bytes: int | None
    table: str  #: where the table was found
    table_sha256: str
    table_bytes: int
    file: str | None = None  #: of the data set, with its rows; None for none
    #: No columns: where the table can be read, and what columns it has.
    place: Path = Path()
    layout: Layout = "clip"
    groups: Groups = None

    @property
    def whole(self) -> bool:
        return self.status == "done"


class _Input(TypedDict, total=False):
    path: str
    kind: str
    sha256: str
    bytes: int
    fps: float | None
    width: int
    height: int


class _Table(TypedDict):
    name: str
    rows: int
    bytes: int
    sha256: str


class _Models(TypedDict, total=False):
    name: str
    version: str
    content_hash: str


class _Request(TypedDict, total=False):
    precision: str
    input_sha256: str | None
    columns: list[str] | None
    faces: int | str | None
    person_ids: bool | None


class _Optional(TypedDict, total=False):
    complete: bool
    reason: str | None
    labels: dict[str, str]
    frames: int
    frames_with_success: int
    seconds: float
    warnings: list[str]
    input: _Input
    bundle: _Models
    request: _Request
    date: str


class _Sidecar(_Optional):
    auparity: str
    table: _Table


def read_clip(table: Path, name: str, shown: str = "") -> Clip | None:
    """What the sidecar of a table says of its clip; None if the JSON file of that name is no sidecar.

    Parameters
    ----------
    table : its sidecar exists.
    name : of the table, with folders below the output folder, without suffix.
    shown : its address where `table` is a copy.

    Raises
    ------
    FileFormatError : the sidecar is damaged.
    """
    path = table.with_name(f"{table.name}.json")
    content: dict[str, Any] = load_json(path, WHAT, dict, advice=ADVICE)
    if SIGNATURE not in content:
        return None
    sidecar = checked(content, path, WHAT, _Sidecar, advice=ADVICE)
    found, request, models = sidecar.get("input", _Input()), sidecar.get("request", _Request()), sidecar["table"]
    bundle, whole = sidecar.get("bundle", _Models()), sidecar.get("complete", True)
    frames, successes = sidecar.get("frames"), sidecar.get("frames_with_success")
    settings = {
        key: value
        for key, value in content.get("request", {}).items()
        if key not in ("input_sha256", "bundle", "precision")
    }
    return Clip(
        clip=as_text(name if whole else name.removesuffix(INCOMPLETE)),
        labels=sidecar.get("labels", {}),
        status="done" if whole else "incomplete",
        reason=sidecar.get("reason"),
        kind=found.get("kind"),
        input=found.get("path"),
        rows=models["rows"],
        frames=frames,
        frames_with_face=successes,
        share_with_face=successes / frames if frames and successes is not None else None,
        mean_confidence=None,
        footage_seconds=None,
        computing_seconds=sidecar.get("seconds"),
        fps=found.get("fps"),
        width=found.get("width"),
        height=found.get("height"),
        warnings=sidecar.get("warnings", []),
        rounded=table.suffix == ".csv",
        precision=request.get("precision"),
        bundle=bundle.get("content_hash"),
        bundle_name=bundle.get("name"),
        bundle_version=bundle.get("version"),
        auparity=sidecar["auparity"],
        settings=sys.intern(json.dumps(settings, sort_keys=True)),
        extracted=sidecar.get("date"),
        input_sha256=found.get("sha256"),
        input_bytes=found.get("bytes"),
        table=as_text(shown or str(table)),
        table_sha256=models["sha256"],
        table_bytes=models["bytes"],
        place=table,
        layout=_layout(found.get("kind"), request),
        groups=_groups(request.get("columns"), path),
    )


def _groups(columns: list[str] | None, path: Path) -> Groups:
    if not columns:
        return None if columns is None else ()
    try:
        return check_groups(columns)
    except AuparityError as error:
        raise FileFormatError(path, "request.columns", "groups of columns", f"others: {error}", ADVICE) from error


def _layout(kind: str | None, request: _Request) -> Layout:
    if kind == "photograph":
        return "photograph"
    return "faces" if request.get("faces") is not None and request.get("person_ids") is not False else "clip"
