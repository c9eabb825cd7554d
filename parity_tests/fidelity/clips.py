"""The reference compared with the C++ program over whole clips (spec 90.10, second and third row).

*One step*: every frame from the recorded state of the frame before, and AUs on recorded landmarks, so that accumulated
differences cannot hide an error. *Chained*: the clip from its first frame to its last from our own state, judged by the
platform floor: the published one, and the one that is measured by running the clip again with perturbed rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.arrays import ClipRun, ComparisonRecord, compare_arrays
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.fidelity.stages import Border, gray_of, with_borders
from auparity.reference.analysis import VideoAnalyser
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import LandmarkFitter, MeanShiftProblem
from auparity.reference.hypotheses import MULTI_VIEW, start_state
from auparity.reference.landmarks import ClmState, LandmarkDetector
from auparity.reference.numerics import FLOAT32, Precision
from auparity.reference.pdm import ShapeModel
from auparity.reference.pipeline import ReferencePipeline

Array = npt.NDArray[Any]

#: Called after every frame with (frames done, number of frames).
Progress = Callable[[int, int], None]


def _quiet(done: int, total: int) -> None:
    """No progress."""


def _one_step(name: str, errors: Array, statistic: Callable[[Array], Any], label: str) -> ComparisonRecord:
    entry = tolerance("one_step", name)
    return compare_arrays(f"{label}: {name}", np.zeros(1), np.array([statistic(errors)]), entry.tolerance)


def one_step_landmarks(
    bundle: Bundle, clip: str, frames: list[int] | None = None, progress: Progress = _quiet
) -> list[ComparisonRecord]:
    """Track each frame from the recorded parameters of the frame before; the largest error of each frame, in px.

    `frames` are the frames to run (default: all that the C++ program tracked instead of detecting anew).
    """
    detector, state = LandmarkDetector(bundle.face), golden_data.load_state(clip)
    tracked = [k for k in range(1, len(state.returned)) if state.returned[k] and state.detection_success[k - 1]]
    chosen = [k for k in tracked if frames is None or k in frames]
    errors = np.zeros(len(chosen))
    for done, k in enumerate(chosen):
        start = replace(
            detector.initial_state(), params_global=state.pglobal[k - 1].copy(), params_local=state.plocal[k - 1].copy()
        )
        state_after = detector.detect(
            gray_of(golden_data.load_frame(clip, k)), start, detector.parameters.track_windows
        )
        errors[done] = np.abs(state_after.landmarks - state.landmarks[k]).max()
        progress(done + 1, len(chosen))
    return [
        _one_step("landmarks_median", errors, np.median, clip),
        _one_step("landmarks_p95", errors, lambda e: np.percentile(e, 95), clip),
        _one_step("landmarks_worst", errors, np.max, clip),
    ]


def aus_on_golden_landmarks(
    bundle: Bundle, clip: str, frames: int | None = None, progress: Progress = _quiet
) -> tuple[list[ComparisonRecord], Array]:
    """The analyser on recorded landmarks and flags; also the largest online error of each frame (F,).

    `frames` is the number of frames; the values after post-processing are compared only over the whole clip.
    """
    state = golden_data.load_state(clip)
    count = len(state.returned) if frames is None else frames
    analyser, model = VideoAnalyser(bundle.video_aus, FLOAT32), ShapeModel(bundle.video_aus.pdm)
    errors, unequal = np.zeros(count), 0
    for k in range(count):
        landmarks, g, p = state.landmarks[k], None, None
        if state.detection_success[k]:
            fitted = fit_shape(model, landmarks[None])
            g, p = fitted[0][0], fitted[1][0]
        intensity, presence = analyser.step(golden_data.load_frame(clip, k), landmarks, g, p)
        errors[k] = np.abs(intensity - state.au_r[k]).max()
        unequal += int(np.count_nonzero(presence != state.au_c[k]))
        progress(k + 1, count)
    records = [
        _one_step("au_online_median", errors, np.median, clip),
        _one_step("au_online_worst", errors, np.max, clip),
        compare_arrays(f"{clip}: presences online that differ", np.zeros(1), np.array([unequal]), 0),
    ]
    if count == len(state.returned):
        offline, golden = analyser.finish(), golden_data.clip_run(clip)
        assert golden.au_r_offline is not None
        assert golden.au_c_offline is not None
        worst = np.abs(offline.intensity - golden.au_r_offline)
        records.append(_one_step("au_offline_worst", worst, np.max, clip))
        differ = np.array([np.count_nonzero(offline.presence != golden.au_c_offline)])
        records.append(compare_arrays(f"{clip}: presences offline that differ", np.zeros(1), differ, 0))
    return records, errors


def run_clip(
    bundle: Bundle, clip: str, precision: Precision, frames: int | None = None, progress: Progress = _quiet
) -> ClipRun:
    """The whole pipeline over a recorded clip (or its first `frames`)."""
    paths = golden_data.clip_frames(clip)[:frames]
    session = ReferencePipeline(bundle, precision=precision).start_video()
    results = []
    for k in range(len(paths)):
        results.append(session.process_frame(golden_data.load_frame(clip, k), 0.0))
        progress(k + 1, len(paths))
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


def check_ce_clm_frames(bundle: Bundle) -> ComparisonRecord:
    """The recorded frames of the CE-CLM run with random experts, end to end, against the printed landmarks."""
    table = golden_data.load_csv("video01_random_cen", "online")
    session = ReferencePipeline(bundle).start_video()
    frames = (golden_data.load_frame("video01", k) for k in range(len(table.values)))
    ours = [session.process_frame(frame, 0.0).landmarks for frame in frames]
    golden = np.stack([table.columns(*(f"{axis}_{i}" for i in range(68))) for axis in "xy"], axis=-1)
    entry = tolerance("chained", "ce_clm_landmarks")
    return compare_arrays("CE-CLM frames end to end: landmarks as printed", golden, np.stack(ours), entry.tolerance)


def check_photographs(bundle: Bundle) -> list[ComparisonRecord]:
    """Every face of every recorded image, end to end.

    Landmarks are compared with the limit twice: unchanged, in all coordinates but a few (`share` of the tolerance); and
    in all coordinates, after a single decision on a border of less than two ulps may have been reversed.
    """
    pipeline = ReferencePipeline(bundle)
    limit = tolerance("photographs", "landmarks_explained").tolerance
    pairs: dict[str, tuple[list[Array], list[Array]]] = {}
    counts: tuple[list[int], list[int]] = ([], [])
    for path in golden_data.image_paths():
        image, record = golden_data.load_image(path.name), golden_data.load_image_record(path.name)
        assert record.boxes is not None
        ours = pipeline.process_image(image)
        counts[0].append(len(record.faces))
        counts[1].append(len(ours))
        for box, theirs, mine in zip(record.boxes, record.faces, ours, strict=False):
            explained = mine.landmarks
            if np.abs(explained - theirs.landmarks).max() > limit:
                explained = _nearest_over_borders(pipeline, image, box[:4], theirs.landmarks)
            for name, a, b in (
                ("landmarks", theirs.landmarks, mine.landmarks),
                ("landmarks_explained", theirs.landmarks, explained),
                ("intensities", theirs.au_r, mine.au_intensity),
                ("presences", theirs.au_c, mine.au_presence),
            ):
                golden, candidate = pairs.setdefault(name, ([], []))
                golden.append(a)
                candidate.append(b)
    records = [compare_arrays("photographs: faces found", counts[0], counts[1], 0)]
    for name, (golden, candidate) in pairs.items():
        entry = tolerance("photographs", name)
        a, b = np.stack(golden), np.stack(candidate)
        records.append(compare_arrays(f"photographs: {name}", a, b, entry.tolerance, share=entry.share))
    return records


def _nearest_over_borders(pipeline: ReferencePipeline, image: Array, box: Array, golden: Array) -> Array:
    """The landmarks nearest to the recorded ones, over fits of the winning hypothesis with one border decision
    reversed.
    """
    detector, gray = pipeline.landmark_detector, gray_of(image)
    own = (detector.main.fitter, *(part.fitter for part in detector.parts))
    fitters = [fitter for fitter in own if isinstance(fitter, LandmarkFitter)]

    def fit(rotation: tuple[float, ...], flipped: frozenset[Border], seen: list[Border] | None = None) -> ClmState:
        problem = with_borders(flipped, seen)
        for fitter in fitters:
            fitter.problem_type = problem
        start = start_state(detector, box, rotation, detector.initial_state())
        return detector.detect(gray, start, detector.parameters.init_windows)

    def distance(landmarks: Array) -> float:
        return float(np.abs(landmarks - golden).max())

    try:
        winner = max(MULTI_VIEW, key=lambda rotation: fit(rotation, frozenset()).likelihood)
        borders: list[Border] = []
        fit(winner, frozenset(), borders)
        return min((fit(winner, frozenset([border])).landmarks for border in borders), key=distance)
    finally:
        for fitter in fitters:
            fitter.problem_type = MeanShiftProblem
