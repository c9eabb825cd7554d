"""The results of a run of the parity suite, figure by figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from auparity.parity_tests.compare.baseline_keys import baseline_key, technology_of
from auparity.parity_tests.compare.drift import Figure
from auparity.reports.results.records import MeasuredError, Series, WorkloadRecord

PIPELINE = ""  # the stage of a figure that belongs to no single stage


@dataclass
class Report:
    """The results of a run."""

    prefix: str  #: "quick/" or "full/", which have separate baselines
    figures: list[Figure] = field(default_factory=list)
    errors: list[MeasuredError] = field(
        default_factory=list
    )  #: the same figures with what they are of, in the same order
    texts: list[str] = field(default_factory=list)
    workloads: list[WorkloadRecord] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  #: variant and why it could not run

    def add(self, name: str, error: MeasuredError) -> None:
        """A figure under the name that its baseline has."""
        infinite = error.error is None
        tolerance = math.inf if error.tolerance is None else error.tolerance
        value = math.inf if infinite or error.error is None else error.error
        key, technology = baseline_key(error.variant), technology_of(error.variant)
        self.figures.append(Figure(self.prefix + name, value, tolerance, key, technology))
        self.errors.append(error)


def finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
