"""Figures as a page prints them: a dash for missing values, real minus signs, no break before a unit."""

from __future__ import annotations

from importlib import resources

NONE = "\N{EN DASH}"


def number(value: float | None) -> str:
    """Two decimals."""
    return NONE if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float | None) -> str:
    """A share in percent, three digits."""
    return NONE if value is None else f"{100 * value:.3g}\N{NO-BREAK SPACE}%"


def degrees(value: float | None) -> str:
    """One decimal, none for whole numbers."""
    return NONE if value is None else f"{value:.1f}\N{DEGREE SIGN}" if value % 1 else f"{value:g}\N{DEGREE SIGN}"


def style_sheet(name: str) -> str:
    """The text of a style sheet of `reports`."""
    return (resources.files("auparity.reports") / name).read_text(encoding="utf-8")
