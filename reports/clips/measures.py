"""The figures of one face over its rows: how often it was tracked, how surely, and each AU's mean, largest and share.

A `ResultTable` of one person in, `Measures` out. Pages and summaries print these, so that they cannot disagree. Means
are over the rows in which the face was tracked (`success` 1).
"""

from __future__ import annotations

from collections.abc import Mapping
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


class RunningMeasures:
    """The figures of one face from the batches of its rows, however many there are; only sums are kept."""

    def __init__(self) -> None:
        self._rows = self._tracked = 0
        self._sums: dict[str, float] = {}  #: of confidence, intensities and presences, over the tracked rows
        self._largest: dict[str, float] = {}

    def add(self, columns: Mapping[str, Array]) -> None:
        """Count rows: columns by name, each (R,), as those of a `ResultTable`."""
        rows = len(next(iter(columns.values())))
        good = columns["success"] == 1 if "success" in columns else np.ones(rows, bool)
        self._rows, self._tracked = self._rows + rows, self._tracked + int(good.sum())
        for name, values in columns.items():
            if name != "confidence" and not name.startswith("AU"):
                continue
            tracked = values[good]
            self._sums[name] = self._sums.get(name, 0.0) + float(tracked.sum())
            self._largest[name] = max(self._largest.get(name, -np.inf), float(tracked.max(initial=-np.inf)))

    def result(self) -> Measures:
        """The figures of the rows so far."""
        intensities = [name.removesuffix("_r") for name in self._sums if name.endswith("_r")]
        presences = [name.removesuffix("_c") for name in self._sums if name.endswith("_c")]
        aus = {
            name: AUMeasures(
                mean=self._mean(f"{name}_r"),
                largest=self._largest[f"{name}_r"] if self._tracked and f"{name}_r" in self._sums else None,
                present=self._mean(f"{name}_c"),
            )
            for name in dict.fromkeys([*intensities, *presences])
        }
        return Measures(self._rows, self._tracked, self._mean("confidence"), aus)

    def _mean(self, name: str) -> float | None:
        return self._sums[name] / self._tracked if self._tracked and name in self._sums else None


def measures(table: ResultTable) -> Measures:
    """The figures of a table whose rows are all of one face (or, of an image, of all its faces together)."""
    running = RunningMeasures()
    running.add(table.columns)
    return running.result()
