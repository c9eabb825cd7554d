"""The drift gate: errors that were measured once must not grow, even inside their tolerances (design 5).

A baseline is a file for each kind of hardware (`accelerated.hardware.hardware_id`), one figure a line, so that a diff
reads well. A run fails when a figure leaves its tolerance, or exceeds its baseline by more than the margin recorded
there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auparity.errors import AuparityError

#: A figure may grow by this share of itself, or by this share of its tolerance where that is more: on one kind of
#: hardware runs repeat bit for bit, but library versions move sums by an ulp, and many figures are a few ulps.
RELATIVE_MARGIN, TOLERANCE_MARGIN = 0.25, 0.02
#: Figures are written with so many digits: enough to see a change, few enough to read.
DIGITS = 4
BASELINES = Path("reports") / "baselines"


@dataclass(frozen=True)
class Figure:
    """One measured error."""

    name: str  #: bundle/way/what, the key in the baseline
    error: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Inside its tolerance; NaN and infinity are not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Baseline:
    """What a figure was when it was last accepted."""

    error: float
    margin: float


@dataclass(frozen=True)
class Verdict:
    """One figure against tolerance and baseline."""

    figure: Figure
    baseline: Baseline | None
    problem: str  #: empty when it passed

    def __str__(self) -> str:
        known = "no baseline" if self.baseline is None else f"baseline {self.baseline.error:.4g}"
        state = self.problem or "passed"
        return f"{self.figure.name}: {state}: {self.figure.error:.4g} ({known}, tolerance {self.figure.tolerance:.4g})"


def margin(figure: Figure) -> float:
    """How much a figure may grow before it counts as drift."""
    allowed = figure.tolerance if math.isfinite(figure.tolerance) else 0.0
    return max(RELATIVE_MARGIN * figure.error, TOLERANCE_MARGIN * allowed)


def compare(figures: list[Figure], baselines: Mapping[str, Baseline]) -> list[Verdict]:
    """Every figure against its tolerance and its baseline, where there is one."""
    verdicts = []
    for figure in figures:
        known, problem = baselines.get(figure.name), ""
        if not figure.within:
            problem = "OUT OF TOLERANCE"
        elif known is not None and figure.error > known.error + known.margin:
            problem = f"DRIFTED, {figure.error / known.error:.3g} times" if known.error > 0 else "DRIFTED from 0"
        verdicts.append(Verdict(figure, known, problem))
    return verdicts


def missing(figures: list[Figure], baselines: Mapping[str, Baseline], prefix: str) -> list[str]:
    """Names with `prefix` that have a baseline and were not measured: a proof that has silently gone."""
    measured = {figure.name for figure in figures}
    return sorted(name for name in baselines if name.startswith(prefix) and name not in measured)


def page(verdicts: list[Verdict], gone: list[str], hardware: str) -> str:
    """One page for people: what failed first, then what changed most, then the count."""
    failed = [verdict for verdict in verdicts if verdict.problem]
    grown = [v for v in verdicts if not v.problem and v.baseline and v.figure.error > v.baseline.error > 0]
    grown.sort(key=lambda v: -(v.figure.error / v.baseline.error if v.baseline else 0))
    lines = [f"# Drift on {hardware}", "", f"{len(failed)} of {len(verdicts)} figures failed, {len(gone)} are missing."]
    if failed:
        lines += ["", "## Failed", *(f"- {verdict}" for verdict in failed)]
    if gone:
        lines += ["", "## No longer measured", *(f"- {name}" for name in gone)]
    if grown:
        lines += ["", "## Grew within the margin", *(f"- {verdict}" for verdict in grown[:10])]
    unknown = sum(verdict.baseline is None for verdict in verdicts)
    if unknown:
        lines += ["", f"{unknown} figures have no baseline on this hardware; --update-baseline records them."]
    return "\n".join(lines) + "\n"


def load(path: Path) -> dict[str, Baseline]:
    """Baselines by figure; empty where the file does not exist.

    Raises
    ------
    AuparityError : a file that is no baseline.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: Baseline(float(entry["error"]), float(entry["margin"])) for name, entry in content.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuparityError(f"{path}: is no baseline ({error}); restore it from version control.") from None


def updated(figures: list[Figure], baselines: Mapping[str, Baseline], prefix: str) -> dict[str, Baseline]:
    """Baselines with the measured figures in place of the old ones of `prefix`; others stay.

    Raises
    ------
    AuparityError : a figure is out of tolerance; what is wrong is not made right by recording it.
    """
    wrong = [figure.name for figure in figures if not figure.within]
    if wrong:
        raise AuparityError(f"not recorded as a baseline, because out of tolerance: {', '.join(wrong)}")
    kept = {name: entry for name, entry in baselines.items() if not name.startswith(prefix)}
    return kept | {f.name: Baseline(_rounded(f.error), _rounded(margin(f))) for f in figures}


def save(path: Path, baselines: Mapping[str, Baseline]) -> None:
    """Write atomically, sorted, one figure a line."""
    lines = [f" {json.dumps(name)}: {json.dumps(_entry(baselines[name]))}" for name in sorted(baselines)]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    part.replace(path)


def _entry(baseline: Baseline) -> dict[str, Any]:
    return asdict(baseline)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
