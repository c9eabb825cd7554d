"""Which faces of a study stand out, by median and MAD (median absolute deviation), which outliers hardly move.

A value's distance is ``(value - median) / scale``. The scale is that of the value's own side of the median, because
intensities are skewed (the double MAD): ``max(1.4826 m, least)``, where `m` is the median distance of the values on
that side, and 1.4826 makes it the standard deviation where values are normally distributed. `least` keeps values that
are nearly all the same, whose MAD is about 0, from making an outlier of every small difference. A share of frames with
the face, or a confidence, stands out when it is more than 3.5 below the median (the limit of Iglewicz and Hoaglin, How
to Detect and Handle Outliers, 1993), and a mean intensity when it is more than 5 away on either side: there are 17
action units, and with 3.5 a fifth of the clips stand out where intensities are exponentially distributed, with 5 one in
seventeen. Clips are compared with clips, images with images, and with `within` each with those of the same label only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reports.study.records import FaceRow

#: Distances beyond which a share or a confidence, and a mean intensity, stands out.
LIMIT, LIMIT_OF_UNITS = 3.5, 5.0
#: Makes the MAD of normally distributed values their standard deviation: 1 / quantile(3/4).
NORMAL = 1.4826
#: With fewer values nothing stands out: median and MAD of so few say little.
FEWEST = 8
#: Least scales: a share or a confidence that is 0.035 lower than the others', and a mean intensity that is 0.5 away,
#: stand out at the earliest. OpenFace's tables have two decimals of confidence and intensity.
LEAST_SHARE, LEAST_CONFIDENCE, LEAST_INTENSITY = 0.01, 0.01, 0.1
SHARE, CONFIDENCE = "frames with the face", "confidence"


@dataclass(frozen=True)
class Outlier:
    """A value that stands out."""

    what: str  #: `SHARE`, `CONFIDENCE` or the name of an action unit
    value: float
    median: float  #: of all values that it was compared with
    distance: float  #: in scales; negative below the median


def outliers(rows: Sequence[FaceRow], within: str | None = None) -> list[list[Outlier]]:
    """What stands out of each row, the farthest first; empty where nothing does.

    Parameters
    ----------
    within : name of a label; values are compared with those of rows with the same value of it.
    """
    found: list[list[Outlier]] = [[] for _ in rows]
    alike: dict[tuple[str, str | None], list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault((row.kind, None if within is None else row.labels.get(within)), []).append(place)
    for places in alike.values():
        for what, values, least, unit in _measures([rows[place] for place in places]):
            for at, outlier in _outside(what, values, least, unit):
                found[places[at]].append(outlier)
    return [sorted(each, key=lambda outlier: -abs(outlier.distance)) for each in found]


def _measures(rows: Sequence[FaceRow]) -> Iterator[tuple[str, npt.NDArray[Any], float, bool]]:
    """Name, a value for each row (NaN where it has none), least scale, and whether it is of an action unit."""
    yield SHARE, _array([row.share for row in rows]), LEAST_SHARE, False
    yield CONFIDENCE, _array([row.figures.confidence for row in rows]), LEAST_CONFIDENCE, False
    for name in dict.fromkeys(name for row in rows for name in row.figures.aus):
        means = [row.figures.aus[name].mean if name in row.figures.aus else None for row in rows]
        yield name, _array(means), LEAST_INTENSITY, True


def _array(values: Sequence[float | None]) -> npt.NDArray[Any]:
    return np.array([np.nan if value is None else value for value in values], float)


def _outside(what: str, values: npt.NDArray[Any], least: float, unit: bool) -> Iterator[tuple[int, Outlier]]:
    known = values[np.isfinite(values)]
    if known.size < FEWEST:
        return
    median = float(np.median(known))
    away = known - median
    # Each side has a value at least: the median is one of them, or lies between two.
    below = max(-NORMAL * float(np.median(away[away <= 0])), least)
    above = max(NORMAL * float(np.median(away[away >= 0])), least)
    distances = (values - median) / np.where(values < median, below, above)
    with np.errstate(invalid="ignore"):
        far = np.abs(distances) > LIMIT_OF_UNITS if unit else distances < -LIMIT
    for at in np.flatnonzero(far):
        yield int(at), Outlier(what, float(values[at]), median, float(distances[at]))
