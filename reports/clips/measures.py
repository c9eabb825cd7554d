"""The figures of one face over its rows: how often it was tracked, how surely, and each AU's mean, largest and share.

A `ResultTable` of one person in, `Measures` out. Pages and summaries print these, so that they cannot disagree. Means
are over the rows in which the face was tracked (`success` 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reports.clips.table import ResultTable

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AUMeasures:
    """One action unit over the tracked rows; None for what the table has no column of, or without a tracked row."""

    mean: float | None  #: intensity, 0 to 5
    largest: float | None  #: intensity, 0 to 5
    present: float | None  #: share of the tracked rows


@dataclass(frozen=True)
class Measures:
    """The figures of one face."""

    rows: int
    tracked: int  #: rows with success 1
    confidence: float | None  #: mean over the tracked rows, 0 to 1
    aus: dict[str, AUMeasures]  #: by the AU's name: those with an intensity first, in the table's order

    @property
    def share(self) -> float:
        """Tracked share of the rows, 0 to 1; 0 without any."""
        return self.tracked / self.rows if self.rows else 0.0


def measures(table: ResultTable) -> Measures:
    """The figures of a table whose rows are all of one face (or, of an image, of all its faces together)."""
    good = table.success
    intensity, presence = table.aus("r"), table.aus("c")
    aus = {
        name: AUMeasures(
            mean=_of(intensity.get(name), good, np.mean),
            largest=_of(intensity.get(name), good, np.max),
            present=_of(presence.get(name), good, np.mean),
        )
        for name in dict.fromkeys([*intensity, *presence])
    }
    return Measures(len(table), int(good.sum()), _of(table.columns.get("confidence"), good, np.mean), aus)


def _of(values: Array | None, good: Array, statistic: Callable[[Array], Any]) -> float | None:
    return None if values is None or not good.any() else float(statistic(values[good]))
