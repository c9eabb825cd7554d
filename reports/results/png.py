"""The main charts of some runs as PNG files, for places that show neither HTML nor SVG.

`Results` in, pictures out, drawn with OpenCV: how many times as fast as the reference every pipeline is (logarithmic
axis), the share of its tolerance that the worst figure of every stage and variant uses, and the landmark error on a
face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reports.results.face import face_errors
from auparity.reports.results.figures import REFERENCE, failed_because, golden_ratio, matrix, share_used
from auparity.reports.results.records import Results, Series

Image = npt.NDArray[np.uint8]
WHITE, INK, FAINT, GRID = (255, 255, 255), (40, 40, 40), (110, 110, 110), (220, 220, 220)
GOOD, BAD, SPEED = (150, 110, 40), (40, 40, 200), (150, 110, 40)  # B, G, R
FONT, SMALL, LARGE = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0.7
WIDTH, LABELS, RIGHT, ROW, TOP, BOTTOM = 1000, 380, 120, 28, 60, 56
#: Smallest drawn share of a tolerance, because figures that are equal to the bit have no logarithm.
LEAST_SHARE = 1e-4


def write_plots(results: Sequence[Results], folder: Path) -> list[Path]:
    """Write those pictures for which there are data.

    Raises
    ------
    AuparityError : a file cannot be written.
    """
    made: list[tuple[str, Image]] = []
    speeds = [
        (f"{speed.workload}: {speed.pipeline}", ratio, False)
        for run in results
        for speed in run.speeds
        if speed.pipeline != REFERENCE and (ratio := golden_ratio(speed, run)[0]) is not None
    ]
    if speeds:
        made.append(("speed", bars("Times as fast as the reference", "times (logarithmic)", speeds, least=1.0)))
    cells_by_variant = matrix(results)
    shares = [
        (f"{stage} {variant}", share_used(cell.worst), bool(failed_because(cell.worst)))
        for (stage, variant), cell in cells_by_variant.cells.items()
        if cell.worst is not None
    ]
    finite = [(name, value, bad) for name, value, bad in shares if value is not None and math.isfinite(value)]
    if finite:
        title = "Worst figure of each stage: share of its tolerance"
        made.append(
            ("parity", bars(title, "share of the tolerance (logarithmic; 1 is the limit)", finite, LEAST_SHARE, 1.0))
        )
    for k, series in enumerate(one for run in results for one in run.series):
        if (drawn := face(series)) is not None:
            made.append((f"landmarks-{k + 1}", drawn))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, image in made:
        path = folder / f"{name}.png"
        if not cv2.imwrite(str(path), image):
            raise AuparityError(f"{path}: cannot be written; choose another place with -o.")
        paths.append(path)
    return paths


def bars(
    title: str, unit: str, values: Sequence[tuple[str, float, bool]], least: float, limit: float | None = None
) -> Image:
    """Horizontal bars on a logarithmic axis.

    Parameters
    ----------
    values : name, value, and whether it is bad.
    least : where the axis begins; smaller values are drawn as this and labelled as they are.
    limit : a line across, None for none.
    """
    height = TOP + ROW * len(values) + BOTTOM
    image = np.full((height, WIDTH, 3), 255, np.uint8)
    largest = max([value for _, value, _ in values] + [limit or 0.0, least * 10])
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(largest))
    span = WIDTH - LABELS - RIGHT

    def x(value: float) -> int:
        return LABELS + round(span * (math.log10(max(value, least)) - low) / (high - low))

    write(image, title, (16, 32), LARGE, INK)
    bottom = TOP + ROW * len(values)
    for power in range(low, high + 1):
        at = x(10.0**power)
        cv2.line(image, (at, TOP - 6), (at, bottom), GRID, 1)
        write(image, f"{10.0**power:g}", (at - 4 * len(f"{10.0**power:g}"), bottom + 20), SMALL, FAINT)
    write(image, unit, (LABELS, bottom + 44), SMALL, FAINT)
    for k, (name, value, bad) in enumerate(values):
        y = TOP + ROW * k
        shown = name if len(name) <= 40 else name[:39] + "~"
        write(image, shown, (16, y + 18), SMALL, INK)
        end = max(x(value), LABELS + 2)
        cv2.rectangle(image, (LABELS, y + 4), (end, y + ROW - 6), BAD if bad else GOOD, -1)
        write(image, f"{value:.3g}" + (" FAILED" if bad else ""), (end + 6, y + 18), SMALL, BAD if bad else INK)
    if limit is not None:
        cv2.line(image, (x(limit), TOP - 6), (x(limit), bottom), BAD, 2)
    return image


def face(series: Series) -> Image | None:
    """The mean landmarks, each as large as its mean error; None where the series has none."""
    face_figures = face_errors(series)
    if face_figures is None:
        return None
    image = np.full((640, 640, 3), 255, np.uint8)
    points = np.asarray(series.face, np.float64)
    low, size = points.min(axis=0), float(np.ptp(points, axis=0).max()) or 1.0
    places = (points - low) / size * 460 + 90
    errors = np.asarray(series.landmark_error, np.float64)
    largest = float(errors.max()) or 1.0
    for (px, py), error in zip(places, errors, strict=True):
        share = float(error) / largest
        colour: Any = tuple(int(GOOD[c] + (BAD[c] - GOOD[c]) * share) for c in range(3))
        cv2.circle(image, (round(px), round(py)), max(2, round(14 * share)), colour, -1, cv2.LINE_AA)
    write(image, f"{series.workload}, {series.pipeline}", (16, 30), LARGE, INK)
    write(
        image,
        f"mean distance from the reference, px: mean {errors.mean():.3g}, largest {largest:.3g}",
        (16, 58),
        SMALL,
        FAINT,
    )
    cv2.circle(image, (40, 606), 14, BAD, -1, cv2.LINE_AA)
    write(image, f"{largest:.3g} px", (64, 612), SMALL, INK)
    cv2.circle(image, (200, 606), 7, tuple((GOOD[c] + BAD[c]) // 2 for c in range(3)), -1, cv2.LINE_AA)
    write(image, f"{largest / 2:.3g} px", (224, 612), SMALL, INK)
    return image


def write(image: Image, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int]) -> None:
    """Text whose baseline begins at a point; characters that the font lacks become question marks."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, at, FONT, scale, colour, 1, cv2.LINE_AA)
