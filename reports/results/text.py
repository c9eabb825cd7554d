"""Figures of result files as pages print them.

Numbers in, short text out: a dash for missing values, real minus signs, no break before a unit. Numbers that are not
finite are a dash, too, because a page must never say NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from auparity.reports.page_text import NONE

SPACE = "\N{NO-BREAK SPACE}"
TIMES = "\N{MULTIPLICATION SIGN}"
MINUS = "\N{MINUS SIGN}"


def short(value: float | None, digits: int = 3) -> str:
    """A number with `digits` significant digits, with an exponent only if it would have many zeros."""
    if value is None or not math.isfinite(value):
        return NONE
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def fixed(value: float | None, decimals: int) -> str:
    """A number with a fixed number of decimals, so that a column can be compared at a glance."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def milliseconds(value: float | None) -> str:
    """ms to about three digits."""
    if value is None or not math.isfinite(value):
        return NONE
    return fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 4)


def times(value: float | None) -> str:
    """A ratio as "12.3×"."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2)}{TIMES}"


def share(value: float | None) -> str:
    """A share as percent; above 0 it is never printed as 0, and an infinite one is described in words."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return f"above{SPACE}0"
    if 0 < value < 0.001:
        return f"<{SPACE}0.1{SPACE}%"
    percent = 100 * value
    if percent >= 1e5:
        return f"{short(value)}{TIMES}"
    # 99.96 % must not be printed as 100 %, which looks like a figure at its limit.
    decimals = 1 if percent < 10 or 99.5 <= percent < 100.5 else 0
    text = f"{math.floor(percent * 10) / 10:.1f}" if 99.5 <= percent < 100 else f"{percent:.{decimals}f}"
    return f"{text.removesuffix('.0')}{SPACE}%"


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 figure", "3,000 figures"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(items: Iterable[str]) -> str:
    """ "a, b and c"."""
    items = list(items)
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def moment(date: str) -> datetime | None:
    """A date of a provenance; None if it is not ISO 8601. A date without a zone counts as UTC, to be comparable."""
    try:
        parsed = datetime.fromisoformat(date)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def day(date: str) -> str:
    """Date and minute of an ISO 8601 date as it was written; other text as it is."""
    parsed = moment(date)
    return date if parsed is None else f"{parsed:%Y-%m-%d} {parsed:%H:%M}"
