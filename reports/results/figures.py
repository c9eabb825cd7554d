"""The figures of result files, computed once for all outputs: verdict, shares of tolerances, matrix, AU agreement.

`Results` in, plain values out; no HTML here. The page, the Markdown, the JUnit file and the pictures all take their
numbers from here, so that they cannot contradict each other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from auparity.reports.results.records import MeasuredError, Results, Series, Skipped, Speed

#: In the order in which a frame passes them; other names follow in the order of the file.
STAGES = (
    "grayscale", "detection", "pdm", "patch_experts", "fitting", "validation", "fit_shape", "alignment", "fhog",
    "geometry", "running_median", "action_units", "head_pose", "gaze",
)  # fmt: skip
#: Beginnings of variants' names, which distinguish a skipped technology from other skipped things.
TECHNOLOGIES = ("reference", "numba", "batched", "onnx", "torch", "jax", "openvino", "cupy", "coreml", "cuda")
REFERENCE = "the reference"
PEER = "peer: "
WAYS = ("stage", "one step", "chained", "photographs", "several faces", "networks", "batch")
#: 95 % of normally distributed differences lie within so many standard deviations (Bland and Altman 1986).
AGREEMENT_SD = 1.96


@dataclass(frozen=True)
class Verdict:
    """The verdict on some runs."""

    figures: int  #: errors that were compared with a tolerance
    failed: list[tuple[Results, MeasuredError]]
    speeds: int = 0  #: pipelines that were timed
    skipped: int = 0  #: number of things that did not run

    @property
    def word(self) -> str:
        if not self.figures:
            return "TIMED ONLY" if self.speeds else "NOTHING MEASURED"
        return "FAILED" if self.failed else "PASSED"

    def sentence(self) -> str:
        """The verdict as a sentence, without its word."""
        if not self.figures and self.speeds:
            return "parity was not measured in this run: these speeds do not say whether the numbers are right."
        if not self.figures and self.skipped:
            return f"everything was skipped ({self.skipped}); the reasons are below."
        if not self.figures:
            return "no pipeline was timed and no figure was compared with a tolerance."
        if not self.failed:
            return "the one figure holds." if self.figures == 1 else f"all {self.figures} figures hold."
        return f"{len(self.failed)} of {self.figures} {'figure' if self.figures == 1 else 'figures'}."


def verdict(results: Sequence[Results]) -> Verdict:
    """Over all runs; the failures with the largest share of their tolerance first."""
    pairs = [(run, error) for run in results for error in run.errors]
    failed = [(run, error) for run, error in pairs if failed_because(error)]
    failed.sort(key=lambda pair: -severity(pair[1]))
    return Verdict(
        len(pairs), failed, sum(len(run.speeds) for run in results), sum(len(run.skipped) for run in results)
    )


def failed_because(error: MeasuredError) -> str:
    """Why a figure failed; empty when it passed.

    An error above its tolerance fails even if the run does not say so: a page that prints 140 % must not print PASSED.
    """
    if error.problem:
        return error.problem
    if not is_finite(error.error):
        return "not a finite number"
    used = share_used(error)
    return "out of tolerance" if used is not None and used > 1 else ""


def baseline_notes(results: Sequence[Results]) -> list[str]:
    """Sentences that say which figures were judged by the tolerance alone, and why."""
    errors = [error for run in results if run.kind == "parity" for error in run.errors if error.way != "baseline"]
    unknown = Counter(e.baseline_key for e in errors if e.baseline is None and e.baseline_key)
    notes = [
        f"The tolerance alone judges {number} {'figure' if number == 1 else 'figures'}: no baseline for {key}."
        for key, number in sorted(unknown.items())
    ]
    if errors and not any(error.baseline_key for error in errors) and all(e.baseline is None for e in errors):
        notes.append("The tolerances alone judge: baselines were not used.")
    return notes


def share_used(error: MeasuredError) -> float | None:
    """The share of its tolerance that an error uses; infinite above a tolerance of 0, None if either is missing."""
    if error.error is None or error.tolerance is None or not is_finite(error.error):
        return None
    if error.tolerance > 0:
        return max(error.error, 0.0) / error.tolerance
    return math.inf if error.error > error.tolerance else 0.0


def severity(error: MeasuredError) -> float:
    """Key by which errors are sorted: an error without a number is worse than any number."""
    if not is_finite(error.error):
        return math.inf
    used = share_used(error)
    return -1.0 if used is None else used


def worst(errors: Iterable[MeasuredError]) -> MeasuredError | None:
    """The error that uses most of its tolerance; one that failed otherwise (drift) ranks above all that passed."""
    return max(errors, key=lambda e: (bool(failed_because(e)), severity(e)), default=None)


def figure_name(error: MeasuredError) -> str:
    """The name of a figure without the workload, which is shown beside it."""
    return error.figure.removeprefix(f"{error.workload}: ")


@dataclass(frozen=True)
class Cell:
    """One variant of one stage."""

    worst: MeasuredError | None  #: None if nothing was measured
    figures: int
    unavailable_reason: str  #: why it was not run, or not on every workload


@dataclass(frozen=True)
class Matrix:
    """Variants by stage."""

    stages: list[str]
    variants: list[str]
    cells: dict[tuple[str, str], Cell]  #: by (stage, variant); only those that occur in results


def matrix(results: Sequence[Results]) -> Matrix:
    """The worst figure of every variant of every stage over all workloads and runs, and what was skipped."""
    errors = [error for run in results for error in run.errors if error.way == "stage"]
    skipped = [entry for run in results for entry in run.skipped]
    stages = ordered_stages(
        [*(e.stage for e in errors), *(word for s in skipped for word in _words(s) if word in STAGES)]
    )
    pairs = {(e.stage, e.variant) for e in errors}
    for entry in skipped:
        pairs |= _pairs_named(entry, stages)
    variants = list(dict.fromkeys(e.variant for e in errors))
    variants += sorted({name for _, name in pairs} - set(variants))
    cells = {}
    for stage in stages:
        for name in variants:
            some = [e for e in errors if (e.stage, e.variant) == (stage, name)]
            whys = [entry.why for entry in skipped if (stage, name) in _pairs_named(entry, stages)]
            if some or whys:
                cells[stage, name] = Cell(worst(some), len(some), "; ".join(dict.fromkeys(whys)))
    return Matrix(stages, variants, cells)


def ordered_stages(names: Iterable[str]) -> list[str]:
    """Each once, in the order of a frame."""
    unique = list(dict.fromkeys(names))
    return sorted(unique, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES))


def _words(entry: Skipped) -> list[str]:
    return [word for word in re.split(r"[\s=/:,]+", entry.what) if word]


def _pairs_named(entry: Skipped, stages: Sequence[str]) -> set[tuple[str, str]]:
    """The (stage, variant) that an entry names: "fhog numba ...", "fhog=numba", or a technology in all stages."""
    words = _words(entry)
    pairs = {(a, b) for a, b in pairwise(words) if a in stages and b not in ("on", *stages)}
    if not pairs and len(words) == 1 and words[0].split("-")[0] in TECHNOLOGIES:
        pairs = {(stage, words[0]) for stage in stages}
    return pairs


def golden_ratio(speed: Speed, run: Results) -> tuple[float | None, bool]:
    """Times as fast as the reference, and whether both were measured pass by pass in one process.

    If no such ratio was measured (peers run in their own processes), it is the ratio of the medians of one run.
    """
    if speed.golden_ratio is not None:
        return speed.golden_ratio, True
    if speed.pipeline == REFERENCE:
        return 1.0, True
    reference = next((s for s in run.speeds if s.workload == speed.workload and s.pipeline == REFERENCE), None)
    return (
        (None, False) if reference is None or speed.ms_median <= 0 else (reference.ms_median / speed.ms_median, False)
    )


def peer_ratios(speed: Speed, run: Results) -> dict[str, float]:
    """Times as fast as each peer on the same workload in the same run, by the peer's name; ratios of medians."""
    if speed.pipeline.startswith(PEER) or speed.ms_median <= 0:
        return {}
    peers = [s for s in run.speeds if s.workload == speed.workload and s.pipeline.startswith(PEER)]
    return {s.pipeline.removeprefix(PEER): s.ms_median / speed.ms_median for s in peers}


@dataclass(frozen=True)
class Agreement:
    """Candidate and reference of one AU over the tracked frames; differences are candidate minus reference."""

    frames: int
    mean_reference: float
    mean_candidate: float
    mean_distance: float  #: of the absolute differences
    largest: float
    bias: float
    sd: float
    r: float | None  #: None if one of them does not move

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of agreement."""
        return self.bias - AGREEMENT_SD * self.sd, self.bias + AGREEMENT_SD * self.sd


def agreement(reference: np.ndarray, candidate: np.ndarray) -> Agreement | None:
    """Agreement of the pairs of finite values; None if there are none."""
    if not len(reference):
        return None
    difference = candidate - reference
    moving = len(reference) > 2 and reference.std() > 0 and candidate.std() > 0
    return Agreement(
        len(reference), float(reference.mean()), float(candidate.mean()), float(np.abs(difference).mean()),
        float(np.abs(difference).max()), float(difference.mean()),
        float(difference.std(ddof=1)) if len(reference) > 1 else 0.0,
        float(np.corrcoef(reference, candidate)[0, 1]) if moving else None,
    )  # fmt: skip


def au_values(series: Series, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Reference and candidate of an AU (F,), NaN in both where either has no face or no value."""
    length = min(len(series.seconds), len(series.tracked), len(series.reference[name]), len(series.candidate[name]))
    reference, candidate = (np.array(s[name][:length], np.float64) for s in (series.reference, series.candidate))
    bad = ~(np.array(series.tracked[:length], bool) & np.isfinite(reference) & np.isfinite(candidate))
    reference[bad] = candidate[bad] = np.nan
    return reference, candidate


def au_names(series: Series) -> list[str]:
    """AUs that both have, in the order of the reference."""
    return [name for name in series.reference if name in series.candidate]


def is_finite(value: float | None) -> bool:
    """Whether there is a number."""
    return value is not None and math.isfinite(value)
