"""Landmark error drawn on a face: 68 points where they are, as large and as dark as their mean error.

A `Series` in, two drawings with one scale out: the candidate against the reference, and beside it the floor, which is
the reference against itself with other roundings. Differences that are as large in both come from rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auparity.reports.clips.overlay_face import CURVES
from auparity.reports.results.records import Series
from auparity.reports.results.svg import Array, Chart, Drawing, Shape, disc, line, round_up, text
from auparity.reports.results.text import short

WIDTH = 340
_MARGIN, _LEGEND, _LARGEST, _SMALLEST, _BINS = 26.0, 44, 11.0, 1.8, 5
#: Names of parts of the face: index after its last landmark, name.
_PARTS = ((17, "jaw"), (27, "brows"), (36, "nose"), (48, "eyes"), (68, "mouth"))


@dataclass(frozen=True, eq=False)
class FaceErrors:
    """The drawn values, in px of the picture."""

    points: Array  #: (N, 2)
    errors: Array  #: (N,), finite
    floor: Array  #: (N,) or (0,)
    top: float  #: of the scale, round

    @property
    def worst(self) -> int:
        """Index of the largest error."""
        return int(self.errors.argmax())


def face_errors(series: Series) -> FaceErrors | None:
    """The landmarks of a series; None if there is nothing to draw."""
    points, errors = np.array(series.face, np.float64), np.array(series.landmark_error, np.float64)
    if points.ndim != 2 or points.shape != (len(errors), 2) or not len(errors) or not np.isfinite(points).all():
        return None
    if not np.isfinite(errors).all():
        return None
    floor = np.array(series.landmark_floor, np.float64)
    floor = floor if floor.shape == errors.shape and np.isfinite(floor).all() else np.zeros(0)
    largest = float(np.concatenate([errors, floor]).max())
    return FaceErrors(points, errors, floor, round_up(largest) if largest > 0 else 1.0)


def part_of(landmark: int) -> str:
    """The part of the face that a landmark belongs to; empty unless there are 68 landmarks."""
    return next((name for end, name in _PARTS if landmark < end), "")


def fitted(points: Array, width: float, height: float, margin: float) -> Array:
    """Points (N, 2) scaled alike in both directions and centred in a box."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([width - 2 * margin, height - 2 * margin])
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    return (points - (low + high) / 2) * scale + np.array([width, height]) / 2


def radius(share: float) -> float:
    """Radius of a mark by its share of the top of the scale; not by area, which would hide small marks."""
    return _SMALLEST + (_LARGEST - _SMALLEST) * float(np.clip(share, 0, 1))


def bin_of(share: float) -> int:
    """Number of the colour, 0 to 4."""
    return int(np.clip(share * _BINS, 0, _BINS - 1))


def face_charts(key: str, series: Series) -> list[Chart]:
    """The error, and the floor where it was measured; empty without landmarks."""
    face = face_errors(series)
    if face is None:
        return []
    name = f"{series.pipeline} on {series.workload}"
    mean, most = float(face.errors.mean()), face.worst
    place = f"landmark {most}{f' ({part_of(most)})' if part_of(most) else ''}"
    description = f"mean {short(mean)} px, largest {short(float(face.errors[most]))} px at {place}"
    title = f"Landmark error of {name}, reference as truth"
    charts = [Chart(_drawing(f"{key}-error", title, face, face.errors, description), "Error", name, _told(description))]
    if len(face.floor):
        ratio = f"; the error's mean is {short(mean / float(face.floor.mean()))} times that" if face.floor.any() else ""
        description = f"mean {short(float(face.floor.mean()))} px, largest {short(float(face.floor.max()))} px{ratio}"
        title = f"Platform floor on {name}: the reference against itself with other roundings"
        drawing = _drawing(f"{key}-floor", title, face, face.floor, description)
        charts.append(Chart(drawing, "Platform floor", "reference, other roundings", _told(description)))
    return charts


def _told(description: str) -> str:
    return f"{description[0].upper()}{description[1:]}."


def _drawing(key: str, title: str, face: FaceErrors, values: Array, description: str) -> Drawing:
    height = WIDTH
    points = fitted(face.points, WIDTH, height, _MARGIN)
    parts = _outline(points)
    # The large ones first, so that no small one is hidden under them.
    for k in np.argsort(-values, kind="stable"):
        parts.append(_mark(points[k, 0], points[k, 1], float(values[k]) / face.top))
    parts += _legend(face.top, height)
    described = (
        f"{len(points)} landmarks on a face, each a disc whose size and darkness grow with its mean error from 0 to "
        f"{short(face.top)} px: {description}."
    )
    return Drawing(key, title, described, (WIDTH, height + _LEGEND), parts)


def _outline(points: Array) -> list[Shape]:
    if len(points) != 68:
        return []
    parts = []
    for first, last, closed in CURVES:
        some = points[[*range(first, last), *([first] if closed else [])]]
        parts.append(line(some[:, 0], some[:, 1], "outline"))
    return parts


def _mark(x: float, y: float, share: float) -> Shape:
    return disc(x, y, radius(share), f"mark e{bin_of(share)}")


def _legend(top: float, height: int) -> list[Shape]:
    """The scale: a disc at the middle of each colour's range, with the range's ends below."""
    parts, step = [text(WIDTH / 2, height + 40, "mean distance from the reference, px", "x")], 44.0
    left = WIDTH / 2 - _BINS * step / 2
    parts += [_mark(left + (k + 0.5) * step, height + 6, (k + 0.5) / _BINS) for k in range(_BINS)]
    return parts + [text(left + k * step, height + 26, short(top * k / _BINS), "x") for k in range(_BINS + 1)]
