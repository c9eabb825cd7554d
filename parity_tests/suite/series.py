"""A chained run beside the reference as series for reports: AUs over time, errors by landmark, and their floors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.parity_tests.compare.arrays import ClipRun
from auparity.parity_tests.suite.clip_parity import Clip
from auparity.reference.results import INTENSITY_AUS
from auparity.reports.results.records import Series

Array = npt.NDArray[Any]
FPS = 30.0


def clip_series(clip: Clip, pipeline: str, run: ClipRun) -> Series:
    """The runs of candidate and reference over a clip, with as many digits as a chart shows."""
    both = np.asarray(clip.reference.returned & run.returned, bool)
    reference, ours = _intensities(clip.reference), _intensities(run)
    perturbed_runs = clip.perturbed_runs
    floor = (
        np.max([_landmark_error(clip.reference, perturbed, both) for perturbed in perturbed_runs], axis=0)
        if perturbed_runs
        else np.zeros(0)
    )
    moved = (
        [np.abs(reference - _intensities(perturbed))[both].mean(axis=0) for perturbed in perturbed_runs]
        if both.any()
        else []
    )
    return Series(
        workload=clip.name,
        pipeline=pipeline,
        seconds=[round(k / FPS, 3) for k in range(len(both))],
        tracked=[bool(value) for value in both],
        reference=_by_name(reference),
        candidate=_by_name(ours),
        face=_rounded(clip.reference.landmarks[both].mean(axis=0) if both.any() else np.zeros((0, 2)), 2),
        landmark_error=_rounded(_landmark_error(clip.reference, run, both), 5),
        landmark_floor=_rounded(floor, 5),
        au_floor=dict(zip(INTENSITY_AUS, _rounded(np.max(moved, axis=0), 5), strict=True)) if moved else {},
    )


def _intensities(run: ClipRun) -> Array:
    """AU intensities (F, 17), after post-processing if the run has it."""
    return np.asarray(run.au_r_online if run.au_r_offline is None else run.au_r_offline)


def _landmark_error(a: ClipRun, b: ClipRun, both: Array) -> Array:
    """Mean distance of each landmark over the frames, (68,) px."""
    if not both.any():
        return np.zeros(0)
    return np.asarray(np.linalg.norm(a.landmarks[both] - b.landmarks[both], axis=2).mean(axis=0))


def _by_name(values: Array) -> dict[str, list[float]]:
    return {name: _rounded(values[:, k], 4) for k, name in enumerate(INTENSITY_AUS)}


def _rounded(values: Array, digits: int) -> Any:
    return np.round(np.asarray(values, np.float64), digits).tolist()
