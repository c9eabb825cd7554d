"""Reads files of targets, first of all `targets.toml`, those of a bundle against the truth, and compares figures with
them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from auparity.errors import AuparityError
from auparity.json_files import checked, parse_toml

FILE = Path(__file__).with_name("targets.toml")
ADVICE = "A target has a title, a limit, a side and a reason."
#: The entry from which an AU counts as following the truth.
AU_CORRELATION = "au_correlation"


@dataclass(frozen=True)
class Target:
    """One entry: a figure must be at least, or at most, `limit`."""

    name: str
    title: str
    over: str  #: what it is measured on
    limit: float
    at: Literal["least", "most"]
    unit: str
    reason: str

    def reached(self, value: float | None) -> bool:
        """Whether a figure reaches the target; one that could not be measured (None) does not."""
        if value is None:
            return False
        return value >= self.limit if self.at == "least" else value <= self.limit


@dataclass(frozen=True)
class TargetResult:
    """A figure compared with its target."""

    target: Target
    value: float | None

    @property
    def reached(self) -> bool:
        return self.target.reached(self.value)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        target = self.target
        return {
            "name": target.name, "title": target.title, "over": target.over, "value": self.value, "at": target.at,
            "limit": target.limit, "unit": target.unit, "reached": self.reached,
        }  # fmt: skip


@lru_cache(maxsize=2)
def targets(file: Path = FILE) -> dict[str, Target]:
    """All entries by name, in the file's order."""
    return parse(file.read_text(encoding="utf-8"), file.name)


def parse(text: str, name_of_file: str = FILE.name) -> dict[str, Target]:
    """Targets from TOML.

    Raises
    ------
    FileFormatError : an entry lacks something, first of all its reason.
    """
    entries = parse_toml(text, name_of_file, "targets", dict[str, dict[str, Any]], advice=ADVICE)
    return {
        name: checked({"name": name, **entry}, name_of_file, "a target", Target, advice=ADVICE, place=f"[{name}]")
        for name, entry in entries.items()
    }


def judge(values: dict[str, float | None], file: Path = FILE) -> list[TargetResult]:
    """The figures compared with their targets, in the file's order; each of `values` must have a target."""
    chosen = {name: target for name, target in targets(file).items() if name != AU_CORRELATION}
    unknown = set(values) - set(chosen)
    if unknown:
        raise AuparityError(f"{file.name} has no entry {', '.join(sorted(unknown))}; add it with its reason.")
    return [TargetResult(target, values[name]) for name, target in chosen.items() if name in values]
