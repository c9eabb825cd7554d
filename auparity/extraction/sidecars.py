"""The sidecar of every result table, ``<table>.json``, which says what the table was made from, with what and how.

A sidecar identifies its table by SHA-256, so an old sidecar is never taken for that of a new table, nor the sidecar of
a CSV file for that of a Parquet file. `publish` puts sidecar and table in place, the sidecar first. A program that is
killed between the two leaves a sidecar whose table is missing or is the one that it `replaces`; from this the next run
sees that the clip has to be measured again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import auparity
from auparity.atomic_files import TEMPORARY, abandoned_beside, flush_folder, write_text_atomically, writing
from auparity.errors import AuparityError, FileFormatError
from auparity.extraction.option_names import EXTRACT, OptionNames
from auparity.extraction.table_writers import PART, Finished, TableFormat
from auparity.extraction.tables import Groups
from auparity.fingerprints import fingerprint_of_file
from auparity.json_files import load_json
from auparity.models.types import BundleMeta
from auparity.reports.clips.sidecar import SIGNATURE, sidecar_of


@dataclass(frozen=True)
class Intrinsics:
    """Requested camera intrinsics in pixels; None is derived from the image size (spec 70.1)."""

    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None


@dataclass(frozen=True)
class Request:
    """Everything that decides the numbers of a table: two runs with equal requests write the same table."""

    input_sha256: str | None  #: of the input's content; None for cameras
    bundle: str  #: content hash of the weights
    precision: str
    intrinsics: Intrinsics
    max_frames: int | None = None  #: None if the clip was measured to its end
    timestamps: str | None = None  #: where the times of a clip come from; None for images and cameras
    fps: float | None = None  #: frames per second stated for a folder of images
    multi_view: bool | None = None  #: several orientations tried for each face of an image; None for clips
    columns: Groups = None  #: groups of columns; None for all of them
    landmarks: Mapping[str, Any] | None = None  #: fields of `DetectorParameters`; None for those of the programs
    static_aus: bool | None = None  #: AUs of a clip by the static models; None for images
    faces: int | str | None = None  #: faces followed in a clip; None for one
    aus: str | None = None  #: which AUs several faces have
    face: str | None = None  #: which face is followed where one is, as on the command line; None for the widest
    split: bool | None = None  #: True if measured in parts, whose seams show in the numbers; None if in one piece
    person_ids: bool | None = None  #: False where several faces have no column `person_id`
    aligned: Mapping[str, Any] | None = None  #: how aligned faces were cut out; None if they were not asked for


@dataclass(frozen=True)
class OutputPaths:
    """The files of one input in the output folder; `name` may hold folders below it, and has no suffix."""

    directory: Path
    name: str
    table_format: TableFormat
    options: OptionNames = EXTRACT  #: of the program that the user called, for refusals

    @property
    def table(self) -> Path:
        return self.directory / f"{self.name}.{self.table_format}"

    @property
    def sidecar(self) -> Path:
        return sidecar_of(self.table)

    @property
    def incomplete(self) -> OutputPaths:
        """The files of an interrupted or damaged clip, whose name shows that they are not whole."""
        return OutputPaths(self.directory, f"{self.name}.incomplete", self.table_format, self.options)


class Beside(Protocol):
    """Finished files beside a table; see `extraction.outputs`."""

    def describe(self, paths: OutputPaths) -> Mapping[str, Any]:
        """What the sidecar says of them, by the kind of output; empty without any."""

    def put(self, paths: OutputPaths) -> None:
        """Give them their names; raises `OSError`."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left behind under the name of a table."""

    state: Literal["nothing", "ours", "unfinished", "foreign", "changed"]
    #: nothing: there is no table. ours: the sidecar describes it. unfinished: the table that a killed run was about to
    #: replace. foreign: it has no sidecar. changed: it is not the table that its sidecar describes.
    content: Mapping[str, Any] | None = None  #: of the sidecar

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the sidecar says of the files beside the table, by the kind of output."""
        described = (self.content or {}).get("outputs")
        return described if isinstance(described, dict) else {}


def look_for_earlier(paths: OutputPaths) -> Earlier:
    """What exists already under the name of a table.

    Raises
    ------
    AuparityError : a JSON file of the sidecar's name was not written by auparity, or a directory has
        the table's name; neither is ever overwritten. OSError : it cannot be read.
    """
    content = read_sidecar(paths)
    if paths.table.is_dir():
        raise AuparityError(
            f"{paths.table}: is a directory, so no table can be written there. Move it, or choose "
            f"{paths.options.another_folder}."
        )
    if not paths.table.exists():
        return Earlier("nothing", content)
    if content is None:
        return Earlier("foreign")
    actual = fingerprint_of_file(paths.table).sha256
    described = content.get("table")
    if isinstance(described, dict) and (described.get("name"), described.get("sha256")) == (paths.table.name, actual):
        return Earlier("ours", content)
    if isinstance(described, dict) and described.get("replaces") == actual:
        return Earlier("unfinished", content)
    return Earlier("changed", content)


def read_sidecar(paths: OutputPaths) -> dict[str, Any] | None:
    """The content of a table's sidecar, or None without one.

    Raises
    ------
    AuparityError : a JSON file with the sidecar's name was not written by auparity; it is never overwritten.
    """
    if not paths.sidecar.exists():
        return None
    try:
        content = load_json(paths.sidecar, "the description of a table", dict[str, Any])
    except FileFormatError as error:
        advice = f"It is left alone; move it away, or choose {paths.options.another_folder}."
        raise AuparityError(f"{error} {advice}") from error
    if SIGNATURE not in content:
        raise AuparityError(
            f"{paths.sidecar}: exists and was not written by auparity, so it is left alone. Choose "
            f"{paths.options.another_folder}."
        )
    return content


def publish(
    finished: Finished,
    paths: OutputPaths,
    *,
    request: Request,
    bundle: BundleMeta,
    complete: bool,
    facts: Mapping[str, Any],
    beside: Beside,
) -> None:
    """Put a finished table, its sidecar and the files `beside` it in place; `facts` are the fields that describe this
    run. The table comes last: where a run was killed before, the next one measures the clip again.

    Raises
    ------
    WriteError : the disk is full, or the folder cannot be written to; an earlier table is still in place.
    """
    replaces = fingerprint_of_file(paths.table).sha256 if paths.table.exists() else None
    content = {
        SIGNATURE: auparity.__version__,
        "table": {
            "name": paths.table.name,
            "rows": finished.rows,
            "bytes": finished.n_bytes,
            "sha256": finished.sha256,
            "replaces": replaces,
        },
        "complete": complete,
        **facts,
        **({"outputs": outputs} if (outputs := beside.describe(paths)) else {}),
        # str() converts the paths and dates that a bundle's source may hold.
        "bundle": {**json.loads(json.dumps(asdict(bundle), default=str)), "content_hash": request.bundle},
        "request": asdict(request),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with writing(paths.sidecar):
        write_text_atomically(paths.sidecar, sidecar_text(content))
    beside.put(paths)
    with writing(paths.table):
        finished.put(paths.table)
    flush_folder(paths.table.parent)


def sidecar_text(content: Mapping[str, Any]) -> str:
    """A sidecar as it stands in its file."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def remove_superseded(paths: OutputPaths) -> None:
    """Remove what earlier runs left behind for this input, now that the table is complete: an incomplete table with its
    sidecar, and the part files of programs that were killed."""
    incomplete = paths.incomplete
    if look_for_earlier(incomplete).state == "ours":
        incomplete.table.unlink(missing_ok=True)
        incomplete.sidecar.unlink(missing_ok=True)
    left = [path for target in (paths.table, paths.incomplete.table) for path in abandoned_beside(target, PART)]
    left += [path for target in (paths.table, paths.sidecar) for path in abandoned_beside(target, TEMPORARY)]
    for path in left:
        with suppress(OSError):  # on Windows another program still writes to it
            path.unlink()


def differences(content: Mapping[str, Any], request: Request) -> list[str]:
    """In plain words, why the table that this sidecar describes is not the one that `request` describes."""
    made, reasons = content.get("request"), []
    if not isinstance(made, dict):
        return ["its sidecar does not say what it was made with"]
    if made.get("input_sha256") != request.input_sha256:
        where = content.get("input")
        was = where.get("path", "another input") if isinstance(where, dict) else "another input"
        reasons.append(f"it was made from another input or another version of it ({was})")
    if made.get("bundle") != request.bundle:
        bundle = content.get("bundle")
        name = bundle.get("name") if isinstance(bundle, dict) else None
        reasons.append(f"with other models ({name}, {str(made.get('bundle'))[:12]})")
    if made.get("precision") != request.precision:
        reasons.append(f"with precision {made.get('precision')}")
    if made.get("intrinsics") != asdict(request.intrinsics):
        reasons.append("with other camera intrinsics")
    if (made.get("timestamps"), made.get("fps")) != (request.timestamps, request.fps):
        reasons.append("with other time stamps")
    if made.get("multi_view") != request.multi_view:
        reasons.append("with another choice of --multi-view")
    asked = json.loads(json.dumps(asdict(request)))  # lists where a sidecar has them
    if made.get("columns") != asked["columns"]:
        of = (
            "all columns"
            if made.get("columns") is None
            else f"the columns of {', '.join(made['columns']) or 'no group'} only"
        )
        reasons.append(f"with {of}")
    if made.get("landmarks") != asked["landmarks"]:
        reasons.append("with other settings of landmark detection (--wild, --validate, --iterations, --sigma, --reg or "
                       "--w-reg)")  # fmt: skip
    if bool(made.get("static_aus")) != bool(request.static_aus):
        reasons.append(f"{'with' if made.get('static_aus') else 'without'} --static-aus")
    if made.get("faces") != request.faces:
        of = "of one face" if made.get("faces") is None else f"with --faces {made['faces']}"
        reasons.append(of)
    if made.get("face") != request.face:
        reasons.append("without --face" if made.get("face") is None else f"with --face {made['face']}")
    if (made.get("aus") or "static") != (request.aus or "static"):
        reasons.append(f"with {made.get('aus') or 'static'} AUs of several faces")
    if (made.get("person_ids") is False) != (request.person_ids is False):
        reasons.append(f"{'without' if made.get('person_ids') is False else 'with'} the column person_id")
    if made.get("split") and not request.split:  # a table of one piece does where parts were asked for
        reasons.append("with --split, whose numbers differ where its parts meet")
    if None not in (made.get("aligned"), request.aligned) and made["aligned"] != asked["aligned"]:
        reasons.append("with another choice of aligned faces")
    limit, frames = made.get("max_frames"), content.get("frames")
    whole_and_short = (
        limit is None and request.max_frames is not None and isinstance(frames, int) and frames <= request.max_frames
    )
    if limit != request.max_frames and not whole_and_short:
        reasons.append("of the whole clip" if limit is None else f"of its first {limit} frames only")
    return reasons
