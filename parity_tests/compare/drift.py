"""The drift gate: accepted errors must not grow, even inside their tolerances.

Baselines are stored in a file for each technology. It has the accepted error of each figure under each key
(`baseline_keys`), one key on each line, so that a diff is readable and machines can be compared. A run fails if a
figure leaves its tolerance, or exceeds the baseline of its key by more than the margin stored there. Without a baseline
of that key the tolerance alone decides, and the page says so.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auparity.errors import AuparityError

#: A figure may grow by this share of itself, or by this share of its tolerance if that is more. On one kind of hardware
#: runs repeat bit for bit, but versions of libraries change sums by an ulp, and many figures are a few ulps.
RELATIVE_MARGIN, TOLERANCE_MARGIN = 0.25, 0.02
#: Digits of written figures: enough to see a change, few enough to read.
DIGITS = 4
BASELINES = Path("reports") / "baselines"


@dataclass(frozen=True)
class Figure:
    """One measured error."""

    name: str  #: bundle/way/what
    error: float
    tolerance: float
    key: str = ""  #: of its baseline; empty if baselines are not used
    technology: str = ""  #: of its baseline's file

    @property
    def within(self) -> bool:
        """Whether it is within its tolerance; NaN and infinity are not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Baseline:
    """The last accepted error of a figure."""

    error: float
    margin: float


#: Baselines of one technology by figure and key.
Stored = dict[str, dict[str, Baseline]]


@dataclass(frozen=True)
class DriftVerdict:
    """One figure against tolerance and baseline."""

    figure: Figure
    baseline: Baseline | None
    problem: str  #: empty when it passed

    def __str__(self) -> str:
        stored = "no baseline" if self.baseline is None else f"baseline {self.baseline.error:.4g}"
        state = self.problem or "passed"
        return f"{self.figure.name}: {state}: {self.figure.error:.4g} ({stored}, tolerance {self.figure.tolerance:.4g})"


def margin(figure: Figure) -> float:
    """How much a figure may grow before it counts as drift."""
    allowed = figure.tolerance if math.isfinite(figure.tolerance) else 0.0
    return max(RELATIVE_MARGIN * figure.error, TOLERANCE_MARGIN * allowed)


def compare(figures: list[Figure], baselines: Mapping[str, Mapping[str, Baseline]]) -> list[DriftVerdict]:
    """Every figure against its tolerance and, if there is one, the baseline of its key."""
    verdicts = []
    for figure in figures:
        baseline, problem = baselines.get(figure.name, {}).get(figure.key), ""
        if not figure.within:
            problem = "OUT OF TOLERANCE"
        elif baseline is not None and figure.error > baseline.error + baseline.margin:
            grown = figure.error / baseline.error if baseline.error > 0 else 0.0
            problem = f"DRIFTED, {grown:.3g} times" if grown else "DRIFTED from 0"
        verdicts.append(DriftVerdict(figure, baseline, problem))
    return verdicts


def without_baseline(verdicts: Iterable[DriftVerdict]) -> dict[str, int]:
    """Keys without a baseline, and the number of their figures."""
    return dict(Counter(v.figure.key for v in verdicts if v.baseline is None and v.figure.key))


def page(verdicts: list[DriftVerdict], missing: list[str], hardware: str) -> str:
    """A readable page: failed figures first, then the largest changes, then figures judged by the tolerance alone."""
    failed = [verdict for verdict in verdicts if verdict.problem]
    grown = [v for v in verdicts if not v.problem and v.baseline and v.figure.error > v.baseline.error > 0]
    grown.sort(key=lambda v: -(v.figure.error / v.baseline.error if v.baseline else 0))
    count = f"{len(failed)} of {len(verdicts)} figures failed, {len(missing)} are missing."
    lines = [f"# Drift on {hardware}", "", count]
    if failed:
        lines += ["", "## Failed", *(f"- {verdict}" for verdict in failed)]
    if missing:
        lines += ["", "## No longer measured", *(f"- {name}" for name in missing)]
    if grown:
        lines += ["", "## Grew within the margin", *(f"- {verdict}" for verdict in grown[:10])]
    unknown = without_baseline(verdicts)
    if unknown:
        lines += ["", "## Judged by the tolerance alone"]
        lines += [f"- {number} figures: no baseline for {key}" for key, number in sorted(unknown.items())]
        lines += ["", "`--update-baseline` records the measured errors."]
    elif not any(verdict.figure.key for verdict in verdicts):
        lines += ["", "Judged by the tolerances alone: baselines were not used."]
    return "\n".join(lines) + "\n"


def path_of(folder: Path, technology: str) -> Path:
    """The file of a technology's baselines; names of other packages' variants are made safe for files."""
    return folder / f"{re.sub('[^A-Za-z0-9+._-]', '_', technology)}.json"


def load(path: Path) -> Stored:
    """Baselines by figure and key; empty if the file does not exist.

    Raises
    ------
    AuparityError : the file holds no baselines.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: {key: Baseline(float(e["error"]), float(e["margin"])) for key, e in by_key.items()}
            for name, by_key in content.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AuparityError(f"{path}: holds no baselines ({error}); restore it from version control.") from None


def updated(
    figures: list[Figure], baselines: Mapping[str, Mapping[str, Baseline]], missing: Sequence[str] = ()
) -> Stored:
    """Baselines in which measured figures replace those of their keys, without the `missing` ones of these keys.

    Raises
    ------
    AuparityError : a figure is out of tolerance; a wrong figure cannot become a baseline.
    """
    wrong = [figure.name for figure in figures if not figure.within]
    if wrong:
        raise AuparityError(f"not recorded as a baseline, because out of tolerance: {', '.join(wrong)}")
    result = {name: dict(by_key) for name, by_key in baselines.items()}
    keys = {figure.key for figure in figures}
    for name in missing:
        result[name] = {key: entry for key, entry in result[name].items() if key not in keys}
    for figure in figures:
        result.setdefault(figure.name, {})[figure.key] = Baseline(_rounded(figure.error), _rounded(margin(figure)))
    return {name: by_key for name, by_key in result.items() if by_key}


def save(path: Path, baselines: Stored) -> None:
    """Write atomically and sorted, one key of a figure on each line."""
    figures = []
    for name in sorted(baselines):
        by_key = baselines[name]
        lines = [f"  {json.dumps(key)}: {json.dumps(_entry(by_key[key]))}" for key in sorted(by_key)]
        figures.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("{\n" + ",\n".join(figures) + "\n}\n", encoding="utf-8")
    part.replace(path)


def _entry(baseline: Baseline) -> dict[str, Any]:
    return asdict(baseline)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
