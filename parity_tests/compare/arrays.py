"""Compares a candidate's numbers with those of the reference: one array (`compare_arrays`) or the outputs of a whole
clip (`compare_clips`). A comparison is a record, not a boolean: it has the errors, the place of the largest, the
tolerance and the tolerance that would have passed. Reports and the drift gate use it, and its text alone is enough to
debug. Arrays have any shape; clips have (F, 68, 2) landmarks in px, (F, 17) AU intensities, (F, 18) presences and (F,
6) poses (mm, rad).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.results import INTENSITY_AUS

Array = npt.NDArray[Any]

#: An AU that hardly moves has no meaningful correlation: r is computed only if the standard deviation of the reference
#: is above this.
SMALLEST_STD_FOR_R = 0.1
#: Decimals of an AU intensity in OpenFace's CSV (spec 80).
CSV_AU_DECIMALS = 2


@dataclass(frozen=True)
class ComparisonRecord:
    """The differences of a candidate array from the reference, absolute and in the unit of the array."""

    name: str
    shape: tuple[int, ...]  #: of the reference
    max_error: float  #: infinite if only one side has a NaN or infinity, or shapes differ
    mean_error: float
    median_error: float
    p99_error: float
    worst: tuple[int, ...] | None  #: index of the largest error; None for empty arrays, or if shapes differ
    reference_at_worst: float | None
    candidate_at_worst: float | None
    tolerance: float  #: the tolerance of this comparison
    share: float  #: the part of the values for which the tolerance must hold, 1 for all
    tolerance_needed: float  #: the smallest tolerance that would have passed
    passed: bool
    note: str = ""  #: why the arrays could not be compared

    def __str__(self) -> str:
        if self.note:
            return f"{self.name}: FAILED, {self.note}"
        where = ""
        if self.worst is not None:
            index = ", ".join(str(i) for i in self.worst)
            where = f" at [{index}] (reference {self.reference_at_worst:.9g}, candidate {self.candidate_at_worst:.9g})"
        held = "" if self.share == 1 else f" for {self.share:.4%} of the values"
        verdict = "passed" if self.passed else "FAILED"
        return (
            f"{self.name} {self.shape}: {verdict}, max error {self.max_error:.3g}{where}, "
            f"p99 {self.p99_error:.3g}, median {self.median_error:.3g}, mean {self.mean_error:.3g}; "
            f"tolerance {self.tolerance:.3g}{held}, needed {self.tolerance_needed:.3g}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def absolute_errors(reference: Array, candidate: Array) -> Array:
    """|candidate - reference| in float64; 0 where both are NaN or the same infinity, infinite where only one is."""
    a, b = reference.astype(np.float64), candidate.astype(np.float64)
    with np.errstate(invalid="ignore"):
        errors = np.abs(b - a)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(errors), np.inf, errors))


def compare_arrays(
    name: str, reference: npt.ArrayLike, candidate: npt.ArrayLike, tolerance: float, *, share: float = 1.0
) -> ComparisonRecord:
    """Compare one array with another.

    Parameters
    ----------
    name : of the array, for the text.
    reference, candidate : arrays of one shape, real or boolean.
    tolerance : largest absolute error that passes.
    share : the part of the values, 0 to 1, for which the tolerance must hold: 0.98 means "98 % within tolerance".

    Returns
    -------
    ComparisonRecord. Different shapes give a failed record, empty arrays a passed one.

    Raises
    ------
    ContractError : a tolerance below 0 or a share outside 0..1, which would make the comparison meaningless.
    """
    if not tolerance >= 0:
        raise ContractError("comparison", "tolerance", "a number >= 0", repr(tolerance))
    if not 0 < share <= 1:
        raise ContractError("comparison", "share", "above 0, at most 1", repr(share))
    reference, candidate = np.asarray(reference), np.asarray(candidate)
    if reference.shape != candidate.shape:
        note = f"the candidate's shape is {candidate.shape}, the reference's {reference.shape}"
        return _failed(name, reference.shape, tolerance, share, note)
    if reference.size == 0:
        return ComparisonRecord(name, reference.shape, 0, 0, 0, 0, None, None, None, tolerance, share, 0, True)
    errors = absolute_errors(reference, candidate)
    worst = np.unravel_index(int(np.argmax(errors)), errors.shape)
    in_order = np.sort(errors, axis=None)
    needed = float(in_order[math.ceil(share * errors.size) - 1])
    return ComparisonRecord(
        name=name,
        shape=reference.shape,
        max_error=float(in_order[-1]),
        mean_error=float(errors.mean()),
        median_error=_percentile(in_order, 50),
        p99_error=_percentile(in_order, 99),
        worst=tuple(int(i) for i in worst),
        reference_at_worst=float(reference[worst]),
        candidate_at_worst=float(candidate[worst]),
        tolerance=tolerance,
        share=share,
        tolerance_needed=needed,
        passed=needed <= tolerance,
    )


def _failed(name: str, shape: tuple[int, ...], tolerance: float, share: float, note: str) -> ComparisonRecord:
    inf = math.inf
    return ComparisonRecord(name, shape, inf, inf, inf, inf, None, None, None, tolerance, share, inf, False, note)


def _percentile(in_order: Array, percent: float) -> float:
    """Linear percentile of sorted errors; infinite errors do not become NaN by interpolation."""
    position = percent / 100 * (in_order.size - 1)
    low, high = in_order[math.floor(position)], in_order[math.ceil(position)]
    part = position - math.floor(position)
    return float(low) if low == high or part == 0 else float(low + (high - low) * part)


@dataclass(frozen=True, eq=False)
class ClipRun:
    """The outputs of one program for a clip of F frames; None for outputs that were not computed."""

    returned: Array  #: (F,) bool: the CSV's `success`
    landmarks: Array  #: (F, 68, 2) px
    au_r_online: Array | None = None  #: (F, 17) order of INTENSITY_AUS, as predicted frame by frame
    au_r_offline: Array | None = None  #: (F, 17) after the post-processing of the clip
    au_c_online: Array | None = None  #: (F, 18) order of PRESENCE_AUS
    au_c_offline: Array | None = None  #: (F, 18)
    pose: Array | None = None  #: (F, 6) Tx Ty Tz mm, Rx Ry Rz rad


@dataclass(frozen=True)
class AUAgreement:
    """One AU over a clip."""

    mean_error: float
    max_error: float
    r: float | None  #: Pearson correlation; None if the reference (or the candidate) hardly moves


@dataclass(frozen=True)
class AUComparison:
    """All intensities over a clip."""

    mean_error: float  #: over AUs and frames
    max_error: float
    worst_mean_error: float  #: the largest of the AUs' mean errors
    worst_au: str  #: its AU
    smallest_r: float  #: over the AUs that move; 1 if none does
    smallest_r_au: str  #: its AU; empty if none moves
    per_au: dict[str, AUAgreement]


@dataclass(frozen=True)
class ClipComparison:
    """Two runs over one clip. All figures but flags are of frames in which both succeeded; NaN if there are none."""

    frames: int
    frames_compared: int
    flags_equal: float  #: share of the frames
    landmarks_mean: float  #: px, over frames and landmarks
    landmarks_p99: float
    landmarks_max: float
    landmarks_worst: tuple[int, int] | None  #: frame, landmark
    pose_translation_mean: float | None  #: mm, over axes
    pose_translation_max: float | None
    pose_rotation_mean: float | None  #: rad, over axes
    pose_rotation_max: float | None
    au_online: AUComparison | None
    au_offline: AUComparison | None
    presence_online_equal: float | None  #: share of frames x AUs
    presence_offline_equal: float | None

    def __str__(self) -> str:
        lines = [
            f"{self.frames} frames, success flags equal in {self.flags_equal:.2%}, {self.frames_compared} compared",
            f"landmarks: mean {self.landmarks_mean:.4f}, p99 {self.landmarks_p99:.4f}, max {self.landmarks_max:.4f} px"
            f" (frame, landmark {self.landmarks_worst})",
        ]
        if self.pose_rotation_max is not None:
            lines.append(f"pose: max {self.pose_translation_max:.4f} mm, {self.pose_rotation_max:.6f} rad")
        for kind, au in (("online", self.au_online), ("offline", self.au_offline)):
            if au is not None:
                lines.append(
                    f"AU intensities {kind}: mean {au.mean_error:.4f}, max {au.max_error:.3f}, worst AU's mean "
                    f"{au.worst_mean_error:.4f} ({au.worst_au}), smallest r {au.smallest_r:.4f} ({au.smallest_r_au})"
                )
        for kind, equal in (("online", self.presence_online_equal), ("offline", self.presence_offline_equal)):
            if equal is not None:
                lines.append(f"AU presences {kind}: {equal:.2%} equal")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare_clips(reference: ClipRun, candidate: ClipRun, *, au_decimals: int | None = None) -> ClipComparison:
    """Compare one run over a clip with another, frame by frame.

    Parameters
    ----------
    reference, candidate : runs over the same F frames. Outputs that one of them lacks are not compared.
    au_decimals : round the AU intensities of both before comparing; `CSV_AU_DECIMALS` for figures that are comparable
        with those of two CSV files, None for full precision.

    Raises
    ------
    ContractError : arrays do not have the shapes of `ClipRun`, or have different numbers of frames.
    """
    frames = len(reference.returned)
    for argument, run in (("reference", reference), ("candidate", candidate)):
        _check_run(argument, run, frames)
    flags = reference.returned.astype(bool), candidate.returned.astype(bool)
    both = flags[0] & flags[1]
    distance = np.linalg.norm(candidate.landmarks[both].astype(float) - reference.landmarks[both].astype(float), axis=2)
    empty = distance.size == 0
    worst = None
    if not empty:
        row, landmark = np.unravel_index(int(np.argmax(distance)), distance.shape)
        worst = (int(np.flatnonzero(both)[row]), int(landmark))
    pose = None
    if reference.pose is not None and candidate.pose is not None:
        pose = absolute_errors(reference.pose[both], candidate.pose[both])
    nan = math.nan
    return ClipComparison(
        frames=frames,
        frames_compared=int(both.sum()),
        flags_equal=float((flags[0] == flags[1]).mean()),
        landmarks_mean=nan if empty else float(distance.mean()),
        landmarks_p99=nan if empty else float(np.percentile(distance, 99)),
        landmarks_max=nan if empty else float(distance.max()),
        landmarks_worst=worst,
        pose_translation_mean=_statistic(pose, slice(0, 3), "mean"),
        pose_translation_max=_statistic(pose, slice(0, 3), "max"),
        pose_rotation_mean=_statistic(pose, slice(3, 6), "mean"),
        pose_rotation_max=_statistic(pose, slice(3, 6), "max"),
        au_online=_compare_aus(reference.au_r_online, candidate.au_r_online, both, au_decimals),
        au_offline=_compare_aus(reference.au_r_offline, candidate.au_r_offline, both, au_decimals),
        presence_online_equal=_share_equal(reference.au_c_online, candidate.au_c_online, both),
        presence_offline_equal=_share_equal(reference.au_c_offline, candidate.au_c_offline, both),
    )


def _check_run(argument: str, run: ClipRun, frames: int) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "returned": (frames,), "landmarks": (frames, 68, 2), "au_r_online": (frames, 17), "au_r_offline": (frames, 17),
        "au_c_online": (frames, 18), "au_c_offline": (frames, 18), "pose": (frames, 6),
    }  # fmt: skip
    for name, shape in shapes.items():
        array = getattr(run, name)
        if array is not None and np.shape(array) != shape:
            raise ContractError("comparison", f"{argument}.{name}", f"shape {shape}", f"shape {np.shape(array)}")


def _statistic(errors: Array | None, columns: slice, statistic: Literal["mean", "max"]) -> float | None:
    if errors is None:
        return None
    if errors.shape[0] == 0:
        return math.nan
    return float(getattr(errors[:, columns], statistic)())


def _share_equal(reference: Array | None, candidate: Array | None, frames: Array) -> float | None:
    if reference is None or candidate is None:
        return None
    return float((reference[frames] == candidate[frames]).mean()) if frames.any() else math.nan


def _compare_aus(
    reference: Array | None, candidate: Array | None, frames: Array, decimals: int | None
) -> AUComparison | None:
    if reference is None or candidate is None:
        return None
    a, b = reference[frames].astype(np.float64), candidate[frames].astype(np.float64)
    if decimals is not None:
        a, b = np.round(a, decimals), np.round(b, decimals)
    if not frames.any():
        return AUComparison(math.nan, math.nan, math.nan, "", math.nan, "", {})
    per_au = {name: _au_agreement(a[:, i], b[:, i]) for i, name in enumerate(INTENSITY_AUS)}
    worst = max(per_au, key=lambda name: per_au[name].mean_error)
    correlations = {name: au.r for name, au in per_au.items() if au.r is not None}
    least = min(correlations, key=lambda name: correlations[name], default="")
    errors = absolute_errors(a, b)
    return AUComparison(
        mean_error=float(errors.mean()),
        max_error=float(errors.max()),
        worst_mean_error=per_au[worst].mean_error,
        worst_au=worst,
        smallest_r=correlations[least] if least else 1.0,
        smallest_r_au=least,
        per_au=per_au,
    )


def _au_agreement(reference: Array, candidate: Array) -> AUAgreement:
    errors = absolute_errors(reference, candidate)
    r = None
    if reference.std() > SMALLEST_STD_FOR_R:
        # an AU that is constant in the candidate alone does not follow the reference: no correlation
        r = float(np.corrcoef(reference, candidate)[0, 1]) if candidate.std() > 0 else 0.0
    return AUAgreement(float(errors.mean()), float(errors.max()), r)
