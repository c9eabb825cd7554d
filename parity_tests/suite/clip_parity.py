"""A pipeline of variants against the reference over whole clips: one step and chained.

*One step*: every frame from the reference state of the frame before. *Chained*: the clip from the candidate's own
state, judged by the platform floor of the same clip, which is measured by running the reference with perturbed
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.arrays import (
    ClipComparison,
    ClipRun,
    ComparisonRecord,
    compare_arrays,
    compare_clips,
)
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.suite.platform_floor import GATE_ERRORS, Judgement, PlatformFloor, floor_factor, judge
from auparity.reference.face_states import FaceState
from auparity.reference.numerics import Precision
from auparity.reference.pipeline import ReferencePipeline, StagedPipeline, VideoSession
from auparity.reference.video_pipeline import VideoPipeline

Array = npt.NDArray[Any]
#: Called after every frame with (what is running, frames done, number of frames).
Progress = Callable[[str, int, int], None]

PERTURBED: tuple[Precision, ...] = ("perturbed", "perturbed-2", "perturbed-3")


def quiet(name: str, done: int, total: int) -> None:
    """No progress."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip with its reference run and the perturbed runs of the reference."""

    name: str
    frames: Sequence[Array]
    reference: ClipRun
    perturbed_runs: Sequence[ClipRun]  #: equally correct runs that round elsewhere
    states: Sequence[FaceState]  #: the reference tracker's, after every frame


def run_frames(
    pipeline: VideoPipeline,
    frames: Sequence[Array],
    name: str = "",
    progress: Progress = quiet,
    states: list[FaceState] | None = None,
) -> ClipRun:
    """Run a pipeline over frames (H, W, 3) uint8; the tracker's state after every frame is added to `states`."""
    session, results = pipeline.start_video(), []
    for index, image in enumerate(frames):
        results.append(session.process_frame(image, index / 30))
        if states is not None:
            assert isinstance(session, VideoSession)  # the reference's; others keep their state elsewhere
            states.append(session.tracker.state)
        progress(name, index + 1, len(frames))
    offline = session.finish()
    return ClipRun(
        returned=np.array([r.success for r in results]),
        landmarks=np.stack([r.landmarks for r in results]),
        au_r_online=np.stack([r.au_intensity for r in results]),
        au_r_offline=offline.intensity,
        au_c_online=np.stack([r.au_presence for r in results]),
        au_c_offline=offline.presence,
        pose=np.stack([r.pose for r in results]),
    )


def prepare(name: str, bundle: Bundle, frames: Sequence[Array], progress: Progress = quiet) -> Clip:
    """Run the reference and its perturbed versions over a clip."""
    states: list[FaceState] = []
    reference = run_frames(ReferencePipeline(bundle), frames, f"{name}: reference", progress, states)
    perturbed_runs = [
        run_frames(ReferencePipeline(bundle, precision=p), frames, f"{name}: {p}", progress) for p in PERTURBED
    ]
    return Clip(name, frames, reference, perturbed_runs, states)


def floor_of(runs: Sequence[ClipRun]) -> PlatformFloor:
    """The platform floor of a clip from the reference run over it and its perturbed runs.

    All pairs are used, also of perturbed runs, because one pair is a small sample of the effect of rounding.
    """
    return PlatformFloor.worst_of([PlatformFloor.measured(compare_clips(a, b)) for a, b in combinations(runs, 2)])


def judge_run(
    run: ClipRun, reference: ClipRun, perturbed_runs: Sequence[ClipRun]
) -> tuple[ClipComparison, list[Judgement]]:
    """A run over a clip against the reference, and its figures against the clip's floor.

    The calibration of the worst AU gives one number for each clip, and a correct program may be on any side of the
    reference: pairs of programs differ by anything between half the floor and the floor. Therefore the mean of the
    distances from the reference and from each perturbed run is used; a wrong program is far from all of them.
    """
    comparison = compare_clips(reference, run)
    offline = [compare_clips(other, run).au_offline for other in (reference, *perturbed_runs)]
    worst = [figures.worst_mean_error for figures in offline if figures is not None]
    worst_mean = float(np.mean(worst)) if worst else None
    factor = floor_factor(comparison.frames_compared)
    return comparison, judge(comparison, floor_of([reference, *perturbed_runs]), factor, GATE_ERRORS, worst_mean)


def judge_class(comparison: ClipComparison, precision: str) -> list[Judgement]:
    """A run's figures against the stated class of a reduced precision, instead of the floor of rounding alone."""
    offline = comparison.au_offline
    values = {
        "success flags equal": comparison.flags_equal,
        "landmarks mean": comparison.landmarks_mean,
        "au offline mean": None if offline is None else offline.mean_error,
    }
    judgements = []
    for name, value in values.items():
        if value is None:
            continue
        limit = tolerance("chained", name.replace(" ", "_"), precision).tolerance
        agreement = name.startswith("success")
        limit = 1 - limit if agreement else limit
        judgements.append(Judgement(name, value, limit, limit, value >= limit if agreement else value <= limit))
    return judgements


def one_step(pipeline: StagedPipeline, clip: Clip, precision: str = "float32") -> list[ComparisonRecord]:
    """Largest landmark error of every tracked frame, each from the reference state of the frame before."""
    detector, errors = pipeline.landmark_detector, []
    for k in range(1, len(clip.frames)):
        before, after = clip.states[k - 1], clip.states[k]
        if not (before.detection_success and after.detection_success):
            continue
        start = replace(detector.initial_state(), params_global=before.params_global, params_local=before.params_local)
        found = detector.detect(pipeline.clm.to_gray(clip.frames[k]), start, detector.parameters.track_windows)
        errors.append(float(np.abs(found.landmarks - after.landmarks).max()))
    return one_step_records(errors, clip.name, precision)


def one_step_records(errors: Sequence[float], name: str, precision: str = "float32") -> list[ComparisonRecord]:
    """Median, 95th percentile and maximum of the frames' largest landmark errors, each with its tolerance."""
    values = np.array(errors)
    figures: tuple[tuple[str, Callable[[Array], Any]], ...] = (
        ("landmarks_median", np.median), ("landmarks_p95", lambda e: np.percentile(e, 95)), ("landmarks_worst", np.max),
    )  # fmt: skip
    return [
        compare_arrays(
            f"{name}: one step {figure}", np.zeros(1), np.array([statistic(values)]),
            tolerance("one_step", figure, precision).tolerance,
        )
        for figure, statistic in figures
        if len(values)
    ]  # fmt: skip


def chained(
    pipeline: VideoPipeline, clip: Clip, progress: Progress = quiet, precision: str = "float32"
) -> tuple[ClipComparison, list[Judgement], ClipRun]:
    """The clip from the candidate's own state; every figure against the clip's floor, or against its class."""
    run = run_frames(pipeline, clip.frames, f"{clip.name}: candidate", progress)
    if precision == "float32":
        comparison, judgements = judge_run(run, clip.reference, clip.perturbed_runs)
    else:
        comparison = compare_clips(clip.reference, run)
        judgements = judge_class(comparison, precision)
    return comparison, judgements, run
