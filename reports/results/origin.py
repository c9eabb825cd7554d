"""Where the numbers of a page come from: what was not run, workloads, machines and versions, commands.

`Results` in, tables out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auparity.reports.page_text import NONE
from auparity.reports.results.history import machine_name, run_label
from auparity.reports.results.outcomes import Outcome
from auparity.reports.results.records import Results
from auparity.reports.results.table_data import Cell, Table, without_empty
from auparity.reports.results.text import TIMES, counted, listed, short

#: Keys of a machine with their own rows, and their titles; all others follow under their own names.
_MACHINE = {
    "id": "kind of hardware", "cpu": "processor", "cores": "cores used", "vectors": "vector instructions",
    "memory_gib": "memory, GiB", "system": "system", "gpus": "GPUs", "blas": "BLAS", "python": "Python",
    "threads": "thread limits", "packages": "versions",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """How to repeat a run."""

    gives: str  #: which numbers come from it
    command: str


def skipped(results: Sequence[Results]) -> Table | None:
    """What did not run, and why; what was skipped for the same reason is one row."""
    whats: dict[tuple[str, str], list[str]] = {}
    for run in results:
        for entry in run.skipped:
            whats.setdefault((entry.why, run_label(run)), []).append(entry.what)
    if not whats:
        return None
    rows: list[list[Cell | str]] = [
        [Cell(", ".join(dict.fromkeys(names)), outcome=Outcome.SKIPPED), why, label]
        for (why, label), names in whats.items()
    ]
    heads = ["what", "why", "run"]
    return Table("What was not run, and why", heads, rows, "What was not run has not passed.", "words")


def commands(results: Sequence[Results]) -> list[Command]:
    """The command of every run and which numbers come from it."""
    parts = []
    for run in results:
        gives = [
            counted(len(entries), one)
            for entries, one in (
                (run.errors, "parity figure"),
                (run.speeds, "speed"),
                (run.series, "clip beside the reference"),
            )
            if entries
        ]
        what = f"{listed(gives) or 'No numbers'} ({run.kind}, {run_label(run)}, {machine_name(run)})"
        parts.append(Command(what, run.provenance.command or "no command was recorded"))
    return parts


def machines(results: Sequence[Results]) -> Table | None:
    """Machines and versions, one column a run."""
    if not results:
        return None
    keys = dict.fromkeys([*_MACHINE, *(key for run in results for key in run.provenance.machine)])
    facts: list[tuple[str, list[Any]]] = [
        ("kind of run", [run.kind for run in results]),
        ("date", [run.provenance.date for run in results]),
        ("commit", [run.provenance.commit for run in results]),
        ("auparity", [run.provenance.version for run in results]),
        *((_MACHINE.get(key, key), [run.provenance.machine.get(key) for run in results]) for key in keys),
        ("SGEMM, one thread, GFLOP/s", [run.provenance.sgemm_gflops for run in results]),
        ("memory copy, one thread, GB/s", [run.provenance.memory_gbs for run in results]),
    ]
    rows: list[list[Cell | str]] = [[name, *map(_fact, values)] for name, values in facts if any(map(_known, values))]
    heads = ["what", *(f"run {k + 1}" for k in range(len(results)))]
    return Table("Machines and versions", heads, rows, style="words")


def workloads(results: Sequence[Results]) -> Table | None:
    """What the pipelines were run on."""
    works = list(dict.fromkeys(work for run in results for work in run.workloads))
    if not works:
        return None
    rows: list[list[Cell | str]] = [
        [
            Cell(work.name, notes=(work.description,) if work.description else ()), work.kind, str(work.frames),
            f"{work.width} {TIMES} {work.height}", work.bundle, Cell(work.bundle_hash or NONE, code=True),
            work.landmark_model or NONE,
        ]
        for work in works
    ]  # fmt: skip
    heads = ["workload", "kind", "frames", "size, px", "bundle", "bundle's hash", "landmark model"]
    return without_empty(Table("Workloads", heads, rows, style="words"))


def _known(value: Any) -> bool:
    return value is not None and value not in ("", NONE) and value not in ([], {}, ())


def _fact(value: Any) -> Cell:
    """A value of a machine's description, whatever JSON holds."""
    if not _known(value):
        return Cell(NONE)
    if isinstance(value, dict):
        return Cell(", ".join(f"{key} {entry}" for key, entry in sorted(value.items())))
    if isinstance(value, list | tuple):
        return Cell(", ".join(map(str, value)))
    return Cell(short(value, 4) if isinstance(value, float) else str(value))
