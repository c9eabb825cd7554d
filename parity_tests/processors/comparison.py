"""What two processors made of the same work (same_work.py), held against each other.

Tables must be equal in every printed field. Stages must hold the suite's tolerances against the reference on both.
The tracked step is compared unrounded: its landmarks by the tolerance of one step, and a note says whether they are the
same bits.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auparity.errors import AuparityError
from auparity.json_files import load_json
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.reports.results.records import MeasuredError

OUT_OF_TOLERANCE, DIFFERENT = "OUT OF TOLERANCE", "DIFFERENT"
#: Differing fields that a message names.
MOST_NAMED = 3


@dataclass(frozen=True)
class TablesCompared:
    """The fields of one table on two processors."""

    name: str
    fields: int  #: of the table made here
    differing: tuple[str, ...]  #: each as "row 3, pose_Tx: 1.0, not 1.1"; or what keeps the tables from being compared

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.differing:
            return f"{self.name}: all {self.fields} printed fields equal"
        more = f" and {len(self.differing) - MOST_NAMED} more" if len(self.differing) > MOST_NAMED else ""
        return f"{self.name}: {len(self.differing)} of {self.fields} differ: " + (
            "; ".join(self.differing[:MOST_NAMED]) + more
        )


def compare_tables(here: Path, there: Path) -> list[TablesCompared]:
    """Every table of two folders, field by field as printed.

    Raises
    ------
    AuparityError : there is no table here, so nothing would be compared.
    """
    names = sorted({path.name for folder in (here, there) for path in folder.glob("*.csv")})
    if not any(here.glob("*.csv")):
        raise AuparityError(f"{here}: holds no tables.")
    return [_compare(name, here / name, there / name) for name in names]


def _compare(name: str, here: Path, there: Path) -> TablesCompared:
    for path, side in ((here, "this"), (there, "the other")):
        if not path.is_file():
            return TablesCompared(name, 0, (f"there is no such table of {side} processor",))
    (head, *ours), (other_head, *theirs) = _rows(here), _rows(there)
    fields = sum(map(len, ours))
    if head != other_head:
        return TablesCompared(name, fields, ("the columns",))
    if len(ours) != len(theirs):
        return TablesCompared(name, fields, (f"{len(ours)} rows, not {len(theirs)}",))
    return TablesCompared(name, fields, tuple(_differing(head, ours, theirs)))


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise AuparityError(f"{path}: is empty.")
    return rows


def _differing(head: list[str], ours: list[list[str]], theirs: list[list[str]]) -> Iterator[str]:
    for number, (row, other) in enumerate(zip(ours, theirs, strict=True), 1):
        if len(row) != len(other):
            yield f"row {number}: {len(row)} fields, not {len(other)}"
            continue
        for name, value, value_there in zip(head, row, other, strict=True):
            if value != value_there:
                yield f"row {number}, {name.strip()}: {value.strip()}, not {value_there.strip()}"


def errors_of_tables(compared: list[TablesCompared]) -> list[MeasuredError]:
    """For a result file."""
    reason = "the same arithmetic in the same order"
    return [
        MeasuredError(
            Path(each.name).stem, "table", "", "numba", "fields that differ", float(len(each.differing)), 0.0, "fields",
            reason, problem=DIFFERENT if each.differing else "",
        )
        for each in compared
    ]  # fmt: skip


def errors_of_stages(there: Path) -> list[MeasuredError]:
    """Every stage's largest error against the reference on the other processor."""
    found = load_json(there / "stages.json", "errors of stages", list[dict[str, str]])
    errors = []
    for each in found:
        workload, figure = each["figure"].split(": ", 1)
        of, name = figure.split(": ", 1)
        stage, variant = of.split(" ", 1)
        error, limit = float(each["error"]), float(each["tolerance"])
        finite = error if np.isfinite(error) else None
        errors.append(
            MeasuredError(
                workload, "stage", stage, variant, name, finite, limit if np.isfinite(limit) else None,
                problem="" if error <= limit else OUT_OF_TOLERANCE,
            )
        )  # fmt: skip
    return errors


def step_compared(here: Path, there: Path) -> tuple[MeasuredError, bool]:
    """The tracked step: how far its landmarks are from each other at most, and whether all are the same bits."""
    ours, theirs = (load_json(folder / "step.json", "a tracked step", dict[str, Any]) for folder in (here, there))
    stated = tolerance("one_step", "landmarks_worst", "float32")
    a, b = (np.array([float.fromhex(value) for value in found["landmarks"]]) for found in (ours, theirs))
    same_kind = a.shape == b.shape and ours["success"] == theirs["success"]
    error = float(np.abs(a - b).max()) if same_kind else None
    problem = "" if error is not None and error <= stated.tolerance else OUT_OF_TOLERANCE
    measured = MeasuredError(
        "chained", "one step", "", "numba", "landmarks_worst", error, stated.tolerance, stated.unit, stated.reason,
        problem=problem,
    )  # fmt: skip
    return measured, same_kind and ours["landmarks"] == theirs["landmarks"]


def stages_text(errors: list[MeasuredError]) -> str:
    """How many figures hold, and those that do not."""
    wrong = [error for error in errors if error.problem]
    stages = sorted({error.stage for error in errors})
    head = f"stages: {len(errors) - len(wrong)} of {len(errors)} figures of {len(stages)} stages within tolerance"
    return "\n".join([head, *(f"  {json.dumps(error.figure)} of {error.stage}: {error.error}" for error in wrong)])
