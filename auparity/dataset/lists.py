"""The two small tables of a data set: `clips.parquet`, a row for each clip, and `failures.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.atomic_files import atomic_file, writing
from auparity.dataset.clips import Clip
from auparity.dataset.columns import CLIP
from auparity.dataset.rows import COMPRESSION, NEED, Figures
from auparity.errors import FileFormatError
from auparity.extraction.failures import Failure
from auparity.json_files import StrPath
from auparity.tables.arrow import require_pyarrow

CLIPS, FAILURES = "clips.parquet", "failures.parquet"
WHAT = "the table of clips of a data set"

#: Columns of the table of clips after `clip` and the labels: fields of `Clip`, and their types in Arrow.
FIELDS = {
    "status": "string",
    "reason": "string",
    "kind": "string",
    "input": "string",
    "rows": "int64",
    "frames": "int64",
    "frames_with_face": "int64",
    "share_with_face": "float64",
    "mean_confidence": "float64",
    "footage_seconds": "float64",
    "computing_seconds": "float64",
    "fps": "float64",
    "width": "int64",
    "height": "int64",
    "warnings": "list<string>",
    "rounded": "bool",
    "precision": "string",
    "bundle": "string",
    "bundle_name": "string",
    "bundle_version": "string",
    "auparity": "string",
    "settings": "string",
    "extracted": "string",
    "input_sha256": "string",
    "input_bytes": "int64",
    "table": "string",
    "table_sha256": "string",
    "table_bytes": "int64",
    "file": "string",
}
_FAILURE_FIELDS = (CLIP, "input", "status", "reason", "date", "auparity")


@dataclass(frozen=True)
class Earlier:
    """What a data set holds, as its table of clips says."""

    files: dict[str, list[str]]  #: the clips whose rows each file has, in order
    figures: dict[tuple[str, str], Figures]  #: by clip and SHA-256 of its table


def write_clips(path: Path, clips: Iterable[Clip], labels: Mapping[str, str]) -> None:
    """Write the table of clips; `labels` are the columns of the labels. Raises `WriteError`."""
    pyarrow = require_pyarrow(NEED, "")
    clips = list(clips)
    text = pyarrow.string()
    columns: dict[str, Any] = {CLIP: pyarrow.array([clip.clip for clip in clips], text)}
    for label, name in labels.items():
        columns[name] = pyarrow.array([clip.labels.get(label) for clip in clips], text)
    for name, kind in FIELDS.items():
        arrow = pyarrow.list_(text) if kind == "list<string>" else pyarrow.type_for_alias(kind)
        columns[name] = pyarrow.array([getattr(clip, name) for clip in clips], arrow)
    _write(path, pyarrow.table(columns))


def write_failures(path: Path, failures: Sequence[Failure]) -> None:
    """Write the table of failures. Raises `WriteError`."""
    pyarrow = require_pyarrow(NEED, "")
    rows = [
        (line["name"] or None, line["input"], line["status"], line.get("reason"), line["date"], line["auparity"])
        for line in failures
    ]
    columns = list(zip(*rows, strict=True)) or [()] * len(_FAILURE_FIELDS)
    arrays = [pyarrow.array(values, pyarrow.string()) for values in columns]
    _write(path, pyarrow.table(dict(zip(_FAILURE_FIELDS, arrays, strict=True))))


def read_earlier(path: StrPath) -> Earlier:
    """What a data set's table of clips says.

    Raises
    ------
    FileFormatError : it cannot be read, or is another table.
    """
    wanted, earlier = [CLIP, "file", "table_sha256", "mean_confidence", "footage_seconds"], Earlier({}, {})
    for row in _rows_of(path, wanted, WHAT):
        if row["file"] is not None:
            earlier.files.setdefault(str(row["file"]), []).append(str(row[CLIP]))
        figures = Figures(row["mean_confidence"], row["footage_seconds"])
        earlier.figures[str(row[CLIP]), str(row["table_sha256"])] = figures
    return earlier


def read_clips(path: StrPath, labels: Mapping[str, str]) -> list[Clip]:
    """The clips of a data set, as its table of clips has them; `labels` are the columns of the labels.

    Raises
    ------
    FileFormatError : it cannot be read, or is another table.
    """
    fields, clips = list(FIELDS), []
    for row in _rows_of(path, [CLIP, *labels.values(), *fields], WHAT):
        own = {label: row[column] for label, column in labels.items() if row[column] is not None}
        clips.append(Clip(clip=row[CLIP], labels=own, **{name: row[name] for name in fields}))
    return clips


def read_failed(path: StrPath) -> list[Failure]:
    """The failures of a data set. Raises `FileFormatError`."""
    rows = _rows_of(path, list(_FAILURE_FIELDS), "the table of failures of a data set")
    return [
        Failure(
            input=row["input"], name=row[CLIP] or "", status=row["status"], date=row["date"], auparity=row["auparity"],
            reason=row["reason"] or "",
        )
        for row in rows
    ]  # fmt: skip


def _rows_of(path: StrPath, wanted: list[str], what: str) -> list[dict[str, Any]]:
    """The rows of a small table of a data set. Raises `FileFormatError`."""
    require_pyarrow(NEED, "")
    try:
        with import_module("pyarrow.parquet").ParquetFile(path) as file:
            rows: list[dict[str, Any]] = file.read(columns=wanted).select(wanted).to_pylist()
    except Exception as error:  # bytes from outside: pyarrow promises no type of error
        found = " ".join(str(error).split())[:200]
        advice = "Make the data set anew with --overwrite."
        raise FileFormatError(path, "", what, f"{type(error).__name__}: {found}", advice) from error
    return rows


def _write(path: Path, table: Any) -> None:
    with writing(path), atomic_file(path) as temporary:
        import_module("pyarrow.parquet").write_table(table, temporary, compression=COMPRESSION)
