"""What the scripts of a study's page show, as a document of columns: a value for each face, None where it has none.

Shares, confidences and intensities are rounded to three decimals, as the page and the files that it saves show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.measures import AUMeasures
from auparity.reports.clips.page import link
from auparity.reports.page_text import number, percent
from auparity.reports.study.outliers import CONFIDENCE, SHARE, Outlier
from auparity.reports.study.records import FaceRow, Study

DECIMALS = 3


def study_data(study: Study, found: Sequence[Sequence[Outlier]], page: Path) -> dict[str, Any]:
    """The document of a page.

    Parameters
    ----------
    found : what stands out of each row.
    page : where the document will be; clips are linked relatively to it, if their pages exist.
    """
    rows, units = study.rows, units_of(study)
    texts = list(dict.fromkeys(text for row in rows for text in row.warnings))
    numbers = {text: k for k, text in enumerate(texts)}
    exists = {path: path.is_file() for path in {row.page for row in rows if row.page is not None}}
    return {
        "name": study.name,
        "full": FULL_INTENSITY,
        "labels": study.labels,
        "units": [{"name": name, "title": ACTION_UNITS.get(name, "")} for name in units],
        "warnings": texts,
        "columns": {
            "clip": [row.clip for row in rows],
            "person": [row.person for row in rows],
            "page": [link(row.page, page) if row.page and exists[row.page] else None for row in rows],
            "kind": [row.kind for row in rows],
            "status": [row.status for row in rows],
            "frames": [row.frames for row in rows],
            "tracked": [row.figures.tracked for row in rows],
            "share": [_rounded(row.share) for row in rows],
            "confidence": [_rounded(row.figures.confidence) for row in rows],
            "seconds": [_rounded(row.seconds) for row in rows],
            "warnings": [[numbers[text] for text in row.warnings] for row in rows],
            "distance": [_rounded(abs(each[0].distance)) if each else None for each in found],
            "why": ["; ".join(map(told, each)) for each in found],
        },
        "labelled": {name: [row.labels.get(name) for row in rows] for name in study.labels},
        "mean": {name: _of(rows, name, "mean") for name in units},
        "largest": {name: _of(rows, name, "largest") for name in units},
        "present": {name: _of(rows, name, "present") for name in units},
    }


def units_of(study: Study) -> list[str]:
    """The action units of a study: those of OpenFace in their order, then others."""
    present = dict.fromkeys(name for row in study.rows for name in row.figures.aus)
    return [
        *(name for name in ACTION_UNITS if name in present),
        *(name for name in present if name not in ACTION_UNITS),
    ]


def told(outlier: Outlier) -> str:
    """An outlier as a page says it."""
    if outlier.what == SHARE:
        return f"{SHARE} {percent(outlier.value)} (median {percent(outlier.median)})"
    what = outlier.what if outlier.what == CONFIDENCE else f"{outlier.what} mean"
    return f"{what} {number(outlier.value)} (median {number(outlier.median)})"


def _of(rows: Sequence[FaceRow], unit: str, what: str) -> list[float | None]:
    nothing = AUMeasures(None, None, None)
    return [_rounded(getattr(row.figures.aus.get(unit, nothing), what)) for row in rows]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
