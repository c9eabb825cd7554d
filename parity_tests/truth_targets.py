"""Reads `truth_targets.toml`, what a bundle must reach against the truth, and holds figures against it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from auparity.errors import AuparityError

FILE = Path(__file__).with_name("truth_targets.toml")
#: The entry that says when an AU counts as following the truth.
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
class Verdict:
    """A figure held against its target."""

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


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    """All entries by name, in the file's order."""
    return parse(FILE.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Target]:
    """Targets from TOML.

    Raises
    ------
    AuparityError : an entry lacks something, first of all its reason.
    """
    found = {}
    for name, entry in tomllib.loads(text).items():
        missing = {"title", "over", "limit", "at", "unit", "reason"} - set(entry)
        if missing or entry["at"] not in ("least", "most"):
            what = f"lacks {', '.join(sorted(missing))}" if missing else f"has at = {entry['at']!r}"
            raise AuparityError(f"{FILE.name}: [{name}] {what}; a target has a title, a limit, a side and a reason.")
        found[name] = Target(
            name, entry["title"], entry["over"], float(entry["limit"]), entry["at"], entry["unit"], entry["reason"]
        )
    return found


def judge(values: dict[str, float | None]) -> list[Verdict]:
    """The figures held against their targets, in the file's order; figures of `values` that have none are an error."""
    known = {name: target for name, target in targets().items() if name != AU_CORRELATION}
    unknown = set(values) - set(known)
    if unknown:
        raise AuparityError(f"{FILE.name} has no entry {', '.join(sorted(unknown))}; add it with its reason.")
    return [Verdict(target, values[name]) for name, target in known.items() if name in values]
