"""The parity of the very run that was timed: landmarks and AUs beside the golden's, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auparity.parity_tests.tolerances import tolerance
from auparity.reference.results import FrameResult
from auparity.reports.records import Error

WAY = "timed run"


def parity_of_run(
    workload: str,
    pipeline: str,
    precision: str,
    golden: Sequence[Sequence[FrameResult]],
    found: Sequence[Sequence[FrameResult]],
) -> list[Error]:
    """Errors of a run against the golden on the frames that both were given.

    `golden` and `found` hold results by clip, `precision` is the pipeline's class.

    Landmarks mean px, AU intensity mean, and the share of frames whose success differs.
    """
    pairs = [(a, b) for one, other in zip(golden, found, strict=True) for a, b in zip(one, other, strict=False)]
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
            Error(workload, WAY, "", pipeline, name, value, entry.tolerance, units[name], entry.reason, problem=problem)
        )
    return errors
