"""What stands beside every result table: `<stem>.json`, which says what the table was made from, by what and how.

It is written last, so a table without one was made by something else (or the machine went down in between). A later
run reads it to decide whether the table that it finds is the one that it would write.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import auparity
from auparity.errors import AuparityError
from auparity.models.types import BundleMeta
from auparity.table_writers import TableFormat, write_text_atomically

#: The key that tells our JSON files from others of the same name.
SIGNATURE = "auparity"


@dataclass(frozen=True)
class Intrinsics:
    """Camera intrinsics as asked for, in pixels; None is derived from the image size (spec 70.1)."""

    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None


@dataclass(frozen=True)
class Request:
    """What decides the numbers of a table: two runs with equal requests would write the same one."""

    input_bytes: int | None  #: size of the input; tells inputs of the same name apart
    bundle: str  #: content hash of the weights
    precision: str
    intrinsics: Intrinsics
    max_frames: int | None  #: None in a sidecar whose clip was not cut


@dataclass(frozen=True)
class OutputPaths:
    """The files of one input in the output folder."""

    directory: Path
    stem: str
    table_format: TableFormat

    @property
    def table(self) -> Path:
        return self.directory / f"{self.stem}.{self.table_format}"

    @property
    def part(self) -> Path:
        return self.directory / f"{self.stem}.{self.table_format}.part"

    @property
    def sidecar(self) -> Path:
        return self.directory / f"{self.stem}.json"

    @property
    def incomplete(self) -> OutputPaths:
        """Where the results of an interrupted or damaged clip go, so that they are never taken for whole."""
        return OutputPaths(self.directory, f"{self.stem}.incomplete", self.table_format)


def write_sidecar(
    paths: OutputPaths, *, request: Request, bundle: BundleMeta, complete: bool, facts: dict[str, Any]
) -> None:
    """Write `<stem>.json` atomically: `facts` of this run between who made it and what was asked for."""
    content = {
        SIGNATURE: auparity.__version__,
        "table": paths.table.name,
        "complete": complete,
        **facts,
        # str() stands in for the paths and dates that a bundle's source may hold.
        "bundle": {**json.loads(json.dumps(asdict(bundle), default=str)), "content_hash": request.bundle},
        "request": asdict(request),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text_atomically(paths.sidecar, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def check_sidecar_is_ours(paths: OutputPaths) -> dict[str, Any] | None:
    """The sidecar's content, or None without one.

    Raises
    ------
    AuparityError : a JSON file of that name was not written by auparity; it is never overwritten.
    """
    if not paths.sidecar.exists():
        return None
    try:
        content = json.loads(paths.sidecar.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or SIGNATURE not in content:
        raise AuparityError(
            f"{paths.sidecar}: exists and was not written by auparity, so it is left alone. Choose another folder (-o)."
        )
    return content


def differences(content: dict[str, Any], request: Request) -> list[str]:
    """In plain words, why the table that this sidecar describes is not the one that `request` asks for."""
    made, found = content.get("request", {}), []
    if made.get("input_bytes") != request.input_bytes:
        was = content.get("input", {}).get("path", "another input")
        found.append(f"it was made from another input or another version of it ({was})")
    if made.get("bundle") != request.bundle:
        found.append(f"with other models ({content.get('bundle', {}).get('name')}, {str(made.get('bundle'))[:12]})")
    if made.get("precision") != request.precision:
        found.append(f"with precision {made.get('precision')}")
    if made.get("intrinsics") != asdict(request.intrinsics):
        found.append("with other camera intrinsics")
    limit = made.get("max_frames")
    whole_and_short = (
        limit is None and request.max_frames is not None and content.get("frames", 0) <= request.max_frames
    )
    if limit != request.max_frames and not whole_and_short:
        found.append("of the whole clip" if limit is None else f"of its first {limit} frames only")
    return found


def remove_superseded(paths: OutputPaths) -> None:
    """Remove an incomplete table of an earlier run, and its sidecar, now that the whole one is there."""
    content = check_sidecar_is_ours(paths)
    if content is not None and content.get("table") == paths.table.name:
        paths.table.unlink(missing_ok=True)
        paths.sidecar.unlink()
