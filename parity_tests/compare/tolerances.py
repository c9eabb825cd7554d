"""Reads `tolerances.toml`, which has all tolerances of the suite, each with its unit and reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from auparity.errors import AuparityError
from auparity.json_files import load_toml

FILE = Path(__file__).parent.with_name("tolerances.toml")


@dataclass(frozen=True)
class Tolerance:
    """One entry: errors up to `tolerance` pass, for at least `share` of the values."""

    tolerance: float
    unit: str
    reason: str
    share: float = 1.0


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, dict[str, Tolerance]]]:
    return load_toml(FILE, "the suite's tolerances", dict[str, dict[str, dict[str, Tolerance]]])


def is_stated(way: str, name: str, precision: str) -> bool:
    """Whether there is an entry."""
    return name in _table().get(way, {}).get(precision, {})


def tolerance(way: str, name: str, precision: str = "float32") -> Tolerance:
    """The tolerance of `name` for one way of judging ("stage", "one_step", "chained", "photographs").

    Raises
    ------
    AuparityError : there is no such entry; every comparison needs a stated tolerance.
    """
    try:
        return _table()[way][precision][name]
    except KeyError:
        raise AuparityError(f"{FILE.name} has no entry [{way}.{precision}.{name}]; add it with its reason.") from None
