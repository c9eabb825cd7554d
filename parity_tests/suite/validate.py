"""One call that says whether an accelerated pipeline may be used: its speed, and its agreement with the reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.parity_tests.compare.arrays import ClipRun
from auparity.parity_tests.suite.clip_parity import PERTURBED, judge_run
from auparity.parity_tests.suite.platform_floor import Judgement
from auparity.reference.contracts import check_image
from auparity.reference.pipeline import ReferencePipeline, StagedPipeline
from auparity.reference.results import FrameResult

Array = npt.NDArray[Any]

#: Frames of one pipeline in a turn, so that other work of the machine affects both.
TURN = 5
SHORTEST = 5  # frames; correlations over fewer are meaningless


@dataclass(frozen=True)
class AccelerationReport:
    """The result of `validate_acceleration`."""

    frames: int
    speed_up: float  #: time of the reference divided by time of the candidate, without the first frame
    reference_ms: float  #: a frame, mean, first frame left out
    candidate_ms: float
    flags_equal: float  #: share of the frames with equal success
    landmarks_mean: float  #: px
    landmarks_p99: float
    landmarks_max: float
    au_mean_error: dict[str, float]  #: intensities after post-processing
    au_correlation: dict[str, float | None]  #: None for an AU that hardly moves in these frames
    judgements: tuple[Judgement, ...]  #: every figure against 1.25 times the platform floor of these frames
    passed: bool

    def __str__(self) -> str:
        verdict = "PASSED" if self.passed else "FAILED"
        lines = [
            f"{verdict}: {self.speed_up:.1f} times as fast, {self.candidate_ms:.2f} ms a frame against "
            f"{self.reference_ms:.1f} ({self.frames} frames)",
            f"success equal in {self.flags_equal:.1%}; landmarks mean {self.landmarks_mean:.4f}, p99 "
            f"{self.landmarks_p99:.4f}, max {self.landmarks_max:.4f} px",
            "AU intensities, mean error and r: "
            + ", ".join(
                f"{name} {error:.3f} {_r(self.au_correlation[name])}" for name, error in self.au_mean_error.items()
            ),
        ]
        return "\n".join([*lines, *(f"  {judgement}" for judgement in self.judgements if not judgement.passed)])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _r(correlation: float | None) -> str:
    return "(still)" if correlation is None else f"{correlation:.4f}"


def validate_acceleration(
    reference: StagedPipeline, candidate: StagedPipeline, frames: Sequence[Array]
) -> AccelerationReport:
    """Run both over the same frames in turns and compare the candidate with the platform floor of these frames.

    Parameters
    ----------
    reference : usually `ReferencePipeline(bundle)`.
    candidate : e.g. `Pipeline.best(bundle)`, on the same bundle.
    frames : images (H, W, 3) uint8 of one clip, in order; the floor is measured on them with perturbed
        precisions of the reference, so this takes about three times as long as the reference alone.

    Raises
    ------
    ContractError : pipelines have different bundles, there are fewer than five frames, or images are invalid.
    """
    if reference.bundle.content_hash != candidate.bundle.content_hash:
        expected = f"the reference's bundle, {reference.bundle.short_hash}"
        raise ContractError("validate", "candidate", expected, candidate.bundle.short_hash)
    if len(frames) < SHORTEST:
        raise ContractError("validate", "frames", f"at least {SHORTEST}", str(len(frames)))
    for image in frames:
        check_image("validate", image)
    candidate.start_video().process_frame(frames[0], 0.0)  # compiles, packs weights
    perturbed_runs = [ReferencePipeline(reference.bundle, precision=precision) for precision in PERTURBED]
    runs, times = _run_in_turns([reference, candidate, *perturbed_runs], frames)
    golden, ours, *perturbed = runs
    comparison, judgements = judge_run(ours, golden, perturbed)
    per_au = comparison.au_offline.per_au if comparison.au_offline else {}
    reference_ms, candidate_ms = (1000 * float(np.mean(times[k][1:])) for k in (0, 1))
    return AccelerationReport(
        frames=len(frames),
        speed_up=reference_ms / candidate_ms,
        reference_ms=reference_ms,
        candidate_ms=candidate_ms,
        flags_equal=comparison.flags_equal,
        landmarks_mean=comparison.landmarks_mean,
        landmarks_p99=comparison.landmarks_p99,
        landmarks_max=comparison.landmarks_max,
        au_mean_error={name: au.mean_error for name, au in per_au.items()},
        au_correlation={name: au.r for name, au in per_au.items()},
        judgements=tuple(judgements),
        passed=all(judgement.passed for judgement in judgements),
    )


def _run_in_turns(
    pipelines: Sequence[StagedPipeline], frames: Sequence[Array]
) -> tuple[list[ClipRun], list[list[float]]]:
    """Run every pipeline over all frames, a few at a time; the runs and seconds a frame."""
    sessions = [pipeline.start_video() for pipeline in pipelines]
    results: list[list[FrameResult]] = [[] for _ in pipelines]
    times: list[list[float]] = [[] for _ in pipelines]
    for first in range(0, len(frames), TURN):
        for k, session in enumerate(sessions):
            for index in range(first, min(first + TURN, len(frames))):
                start = time.perf_counter()
                results[k].append(session.process_frame(frames[index], index / 30))
                times[k].append(time.perf_counter() - start)
    runs = []
    for session, run in zip(sessions, results, strict=True):
        offline = session.finish()
        runs.append(
            ClipRun(
                returned=np.array([r.success for r in run]), landmarks=np.stack([r.landmarks for r in run]),
                au_r_online=np.stack([r.au_intensity for r in run]), au_r_offline=offline.intensity,
                au_c_online=np.stack([r.au_presence for r in run]), au_c_offline=offline.presence,
                pose=np.stack([r.pose for r in run]),
            )
        )  # fmt: skip
    return runs, times
