"""The figures of one extracted clip, against its truth where that is known.

Two tables in (the result, and ``truth.csv`` of a rendered clip), one `ClipFigures` out. Landmark, pose and gaze errors
are those of the frames in which the face was tracked; AUs are those of the table, that is, after post-processing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reports.clips.table import ResultTable
from auparity.reports.truth import metrics
from auparity.reports.truth.targets import AU_CORRELATION, TargetResult, judge, targets

Array = npt.NDArray[Any]

#: An AU is truly present from this intensity on: FACS level A, a trace.
PRESENCE_FROM = 1.0
#: AUs with an intensity.
N_AUS = 17
#: An AU that stays below this intensity in the truth has nothing for a correlation to follow.
LEAST_RANGE = 0.25


@dataclass(frozen=True, eq=False)
class TruthFigures:
    """A clip of F frames against its truth; NaN in frames without a face."""

    landmark_errors: Array  #: (F,) share of the inter-ocular distance
    landmarks: metrics.LandmarkFigures
    rotation_errors: Array | None  #: (F,) degrees
    axis_errors: Array | None  #: (3,) degrees, means: pitch, yaw, roll
    translation_error: float | None  #: mm, mean
    gaze_error: float | None  #: degrees, mean over both eyes
    moving: tuple[str, ...]  #: the AUs that move in the truth of this clip
    intensities: dict[str, metrics.IntensityFigures]  #: of moving AUs; `r` is None for the others
    presences: dict[str, metrics.PresenceFigures]
    verdicts: list[TargetResult]

    @property
    def aus_following(self) -> int:
        """How many of the moving AUs the measured intensities follow."""
        return _following(self.intensities, self.moving)


def truth_figures(table: ResultTable, truth: ResultTable) -> TruthFigures:
    """Compare a clip's table with its truth.

    Raises
    ------
    AuparityError : the tables are not of the same clip.
    """
    if len(table) != len(truth):
        raise AuparityError(
            f"{table.path} has {len(table)} frames, its truth {truth.path} {len(truth)}: they are of different clips, "
            "or the extraction was stopped. Extract the clip again with --overwrite."
        )
    good = table.success
    measured, true = table.landmarks, truth.landmarks
    assert measured is not None  # both checked on reading
    assert true is not None
    errors = np.where(good, metrics.landmark_errors(measured, true), np.nan)
    landmarks = metrics.landmark_figures(errors, good)
    rotation, axes, translation = _pose(table, truth, good)
    values = {"landmark_error": landmarks.mean, "landmark_failures": landmarks.failures}
    if rotation is not None:
        values["pose_error"] = _mean(rotation)
    intensities, moving = _intensities(table, truth, good)
    if len(intensities) == N_AUS:
        # The target allows three of the 17 AUs to fail; an AU that rests in this clip does not count as one of them.
        values["aus_correlated"] = float(N_AUS - len(moving) + _following(intensities, moving))
    return TruthFigures(
        landmark_errors=errors,
        landmarks=landmarks,
        rotation_errors=rotation,
        axis_errors=axes,
        translation_error=translation,
        gaze_error=_gaze(table, truth, good),
        moving=moving,
        intensities=intensities,
        presences=_presences(table, truth, good),
        verdicts=judge(values),
    )


def _pose(table: ResultTable, truth: ResultTable, good: Array) -> tuple[Array | None, Array | None, float | None]:
    measured, true = table.pose, truth.pose
    if measured is None or true is None:
        return None, None, None
    rotation = np.where(good, metrics.rotation_errors(measured[:, 3:], true[:, 3:]), np.nan)
    axes = metrics.axis_errors(measured[good, 3:], true[good, 3:])
    distance = np.linalg.norm(measured[good, :3] - true[good, :3], axis=1)
    return rotation, (axes.mean(axis=0) if len(axes) else None), _mean(distance)


def _gaze(table: ResultTable, truth: ResultTable, good: Array) -> float | None:
    if table.gaze is None or truth.gaze is None:
        return None
    return _mean(metrics.gaze_errors(table.gaze[good], truth.gaze[good]))


def _intensities(
    table: ResultTable, truth: ResultTable, good: Array
) -> tuple[dict[str, metrics.IntensityFigures], tuple[str, ...]]:
    """Figures by AU, and the AUs that move."""
    measured, true = table.aus("r"), truth.aus("r")
    figures, moving = {}, []
    for name in measured:
        if name not in true:
            continue
        entry = metrics.intensity_figures(name, measured[name][good], true[name][good], PRESENCE_FROM)
        moves = bool(good.any() and np.ptp(true[name][good]) >= LEAST_RANGE)
        figures[name] = entry if moves else replace(entry, r=None)
        if moves:
            moving.append(name)
    return figures, tuple(moving)


def _following(intensities: dict[str, metrics.IntensityFigures], moving: Sequence[str]) -> int:
    limit = targets()[AU_CORRELATION]
    return sum(limit.reached(intensities[name].r) for name in moving)


def _presences(table: ResultTable, truth: ResultTable, good: Array) -> dict[str, metrics.PresenceFigures]:
    measured, true = table.aus("c"), truth.aus("r")
    return {
        name: metrics.presence_figures(name, measured[name][good] >= 0.5, true[name][good] >= PRESENCE_FROM)
        for name in measured
        if name in true
    }


def _mean(values: Array | Sequence[float]) -> float | None:
    """Mean of the values that are not None."""
    finite = np.asarray(values)[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
