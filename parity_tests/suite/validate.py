"""One call that says whether an accelerated pipeline may be used: its speed, and its agreement with the reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.processor import ProcessorPipeline
from auparity.accelerated.registry import Variant, registry
from auparity.errors import ContractError
from auparity.parity_tests.compare.arrays import ClipRun, ComparisonRecord
from auparity.parity_tests.suite.clip_parity import PERTURBED, judge_run
from auparity.parity_tests.suite.platform_floor import Judgement
from auparity.parity_tests.suite.stage_capture import Capture, capture
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reference.contracts import check_image
from auparity.reference.pipeline import ReferencePipeline, StagedPipeline
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import VideoPipeline

Array = npt.NDArray[Any]

#: Frames of one pipeline in a turn, so that other work of the machine affects both.
TURN = 5
SHORTEST = 5  # frames; correlations over fewer are meaningless
#: Frames whose calls of stages are compared, and calls of a stage and part that are kept.
STAGE_FRAMES, STAGE_CALLS = 2, 6


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
    stages: tuple[ComparisonRecord, ...]  #: stages on equal inputs, of pipelines that are made of stages
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
        missed = [f"  {found}" for found in self.judgements if not found.passed]
        missed += [f"  {found}" for found in self.stages if not found.passed]
        return "\n".join([*lines, *missed])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _r(correlation: float | None) -> str:
    return "(still)" if correlation is None else f"{correlation:.4f}"


def validate_acceleration(
    reference: VideoPipeline, candidate: VideoPipeline, frames: Sequence[Array]
) -> AccelerationReport:
    """Run both over the same frames in turns and compare the candidate with the platform floor of these frames.

    Stages are also compared one by one on the inputs that the reference's have in the first frames, because whole clips
    hide some errors: the running medians of the AUs take away what is wrong in every frame alike.

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
    stages = _stages_of(candidate, frames)
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
        stages=stages,
        passed=all(judgement.passed for judgement in judgements) and all(record.passed for record in stages),
    )


def _stages_of(candidate: VideoPipeline, frames: Sequence[Array]) -> tuple[ComparisonRecord, ...]:
    """Each stage of the candidate on captured inputs of the reference's; nothing for a pipeline that has no stages."""
    made = candidate.backend if isinstance(candidate, Pipeline) else candidate
    staged = made.staged if isinstance(made, ProcessorPipeline) else made
    if not isinstance(staged, StagedPipeline):
        return ()
    taken = capture(candidate.bundle, [frames[:STAGE_FRAMES]], [], most=STAGE_CALLS)
    variants = [_variant(candidate, staged, stage) for stage in taken.calls]
    return tuple(record for variant in variants if _serves(variant, taken) for record in check_stage(variant, taken))


def _variant(candidate: VideoPipeline, staged: StagedPipeline, stage: str) -> Variant:
    """The candidate's own stage, held to the class of the variant that it is made of."""
    build, name = getattr(staged.stages, stage), candidate.variants.get(stage)
    if name is None:
        return Variant(stage, "candidate", build, precision=candidate.precision)  # type: ignore[arg-type]
    return replace(registry().get(stage, name), build=build)


def _serves(variant: Variant, taken: Capture) -> bool:
    """Whether it computes these models; where it does not the pipeline takes the reference's stage."""
    return any(variant.unavailable_reason(call.parts[:1]) is None for call in taken.calls[variant.stage])


def _run_in_turns(
    pipelines: Sequence[VideoPipeline], frames: Sequence[Array]
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
