"""The parity of a timed run: its landmarks and AUs compared with the reference, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auparity.parity_tests.compare.tolerances import tolerance
from auparity.reference.results import FrameResult
from auparity.reports.results.records import MeasuredError

WAY = "timed run"


def parity_of_run(
    workload: str,
    pipeline: str,
    precision: str,
    reference: Sequence[Sequence[FrameResult]],
    candidate: Sequence[Sequence[FrameResult]],
) -> list[MeasuredError]:
    """Errors of a run against the reference on the frames that both processed.

    `reference` and `found` hold results by clip, `precision` is the pipeline's class.

    Landmarks mean px, AU intensity mean, and the share of frames whose success differs.
    """
    pairs = [(a, b) for one, other in zip(reference, candidate, strict=True) for a, b in zip(one, other, strict=False)]
    if not pairs:
        return []
    tracked = [(a, b) for a, b in pairs if a.success and b.success]
    figures = {"success_differs": float(np.mean([a.success != b.success for a, b in pairs]))}
    if tracked:
        figures["landmarks_mean"] = float(np.mean([np.abs(a.landmarks - b.landmarks).mean() for a, b in tracked]))
        figures["au_mean"] = float(np.mean([np.abs(a.au_intensity - b.au_intensity).mean() for a, b in tracked]))
    units = {"landmarks_mean": "px", "au_mean": "intensity", "success_differs": "share of frames"}
    errors = []
    for name, value in figures.items():
        entry = tolerance("timed_run", name, precision)
        problem = "" if value <= entry.tolerance else "OUT OF TOLERANCE"
        errors.append(
            MeasuredError(
                workload, WAY, "", pipeline, name, value, entry.tolerance, units[name], entry.reason, problem=problem
            )
        )
    return errors
