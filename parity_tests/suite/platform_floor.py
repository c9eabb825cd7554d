"""Judges a run over a whole clip by the *platform floor* (spec 90.10): how far a correct program differs from itself if
only its rounding changes. No chained run can be required to come closer; an error in the algorithm exceeds it by a
multiple. A floor is measured for the clip at hand (`PlatformFloor.measured` on the reference and its
perturbed run), or is the published one of the C++ program compiled with and without FMA and AVX. In: `ClipComparison`;
out: one `Judgement` a figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from auparity.errors import ContractError
from auparity.parity_tests.compare.arrays import ClipComparison
from auparity.reference.results import PRESENCE_AUS

#: A chained float32 run stays within this multiple of the floor (spec 90.10).
FLOOR_FACTOR = 1.25
#: The part of it that is sampling error of a clip of this number of frames; shorter clips have more.
SAMPLING_PART, SAMPLING_FRAMES = 0.2, 80
#: Number of standard errors by which figures with a known sampling error (counts, correlations) may exceed their limit
#: in a gate over many clips: with one, the nine figures of a clip would cause a false alarm every other time.
GATE_ERRORS = 2.0


def floor_factor(frames: int) -> float:
    """The multiple of a floor measured on a number of frames, within which a run on these frames must stay.

    It is 1.25 from 80 frames on; below, its sampling part is proportional to one over the root of the number.
    """
    return FLOOR_FACTOR + SAMPLING_PART * (math.sqrt(max(SAMPLING_FRAMES / max(frames, 1), 1.0)) - 1)


@dataclass(frozen=True)
class PlatformFloor:
    """The figures by which a chained run is judged; None for figures that were not measured."""

    landmarks_mean: float  #: px
    landmarks_p99: float  #: px
    au_online_mean: float | None  #: intensity, over frames and AUs
    au_offline_mean: float | None
    au_offline_worst_mean: float | None  #: the worst AU's mean
    smallest_r_online: float | None
    smallest_r_offline: float | None
    presence_equal: float | None  #: share of frames x AUs, after post-processing if that is known
    presences: int | None = None  #: frames x AUs of a measured floor, whose few differences are a sample

    @classmethod
    def measured(cls, comparison: ClipComparison) -> PlatformFloor:
        """The floor of a clip from two equally correct runs over it."""
        online, offline = comparison.au_online, comparison.au_offline
        presence = comparison.presence_offline_equal
        return cls(
            landmarks_mean=comparison.landmarks_mean,
            landmarks_p99=comparison.landmarks_p99,
            au_online_mean=online.mean_error if online else None,
            au_offline_mean=offline.mean_error if offline else None,
            au_offline_worst_mean=offline.worst_mean_error if offline else None,
            smallest_r_online=online.smallest_r if online else None,
            smallest_r_offline=offline.smallest_r if offline else None,
            presence_equal=comparison.presence_online_equal if presence is None else presence,
            presences=comparison.frames_compared * len(PRESENCE_AUS),
        )

    @classmethod
    def worst_of(cls, floors: Sequence[PlatformFloor]) -> PlatformFloor:
        """The widest of several measured floors, figure by figure: one pair over a short clip is a small sample."""
        figures: dict[str, float | None] = {}
        for name in asdict(floors[0]):
            values = [value for floor in floors if (value := getattr(floor, name)) is not None]
            widest = min if _is_agreement(name) else max
            figures[name] = widest(values) if values else None
        return cls(**figures)  # type: ignore[arg-type]


def _is_agreement(figure: str) -> bool:
    """Figures whose best value is 1 rather than 0."""
    return figure.startswith(("smallest_r", "presence"))


#: The C++ program against itself, compiled with and without FMA and AVX, by reference clip (spec 90.10).
PUBLISHED_FLOORS = {
    "video01": PlatformFloor(0.0072, 0.046, 0.025, 0.007, 0.022, 0.986, 0.995, 0.994),
    "default": PlatformFloor(0.0168, 0.106, 0.026, 0.007, 0.019, 0.987, 0.991, 0.993),
    "lost": PlatformFloor(0.0065, 0.051, 0.024, 0.007, 0.024, 0.984, 0.984, 0.998),
}


@dataclass(frozen=True)
class Judgement:
    """One figure of a run against its limit."""

    figure: str
    value: float
    floor: float
    limit: float
    passed: bool

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return f"{self.figure}: {verdict}, {self.value:.5g} (limit {self.limit:.5g}, floor {self.floor:.5g})"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def judge(
    comparison: ClipComparison,
    floor: PlatformFloor,
    factor: float = FLOOR_FACTOR,
    standard_errors: float = 1.0,
    worst_mean: float | None = None,
) -> list[Judgement]:
    """Every figure of a run that the floor has, against `factor` times the floor.

    Errors are limited by factor * floor. Agreements (r, equal presences) are limited by their distance from 1, so that
    "1.25 times the floor" means the same for them. Success flags must be equal in every frame. A figure that the floor
    has and the run lacks is NaN, and fails: a figure that was not measured has not passed. `worst_mean` replaces the
    worst AU's mean offline error if that is known from more than one comparison.

    Raises
    ------
    ContractError : a factor below 1, which not even the floor itself would pass.
    """
    if not factor >= 1:
        raise ContractError("platform floor", "factor", "a number >= 1", repr(factor))
    flags = comparison.flags_equal
    judgements = [Judgement("success flags equal", flags, 1.0, 1.0, flags == 1.0)]
    ours = PlatformFloor.measured(comparison)
    if worst_mean is not None:
        ours = replace(ours, au_offline_worst_mean=worst_mean)
    for name, value in asdict(floor).items():
        if value is None or name == "presences":
            continue
        got = getattr(ours, name)
        got = float("nan") if got is None else got
        limit = 1 - factor * (1 - value) if _is_agreement(name) else factor * value
        if name.startswith("smallest_r") and comparison.frames_compared > 1:
            # Standard error of a correlation over this number of frames: the figure of the floor is one sample of it.
            limit -= standard_errors * (1 - value**2) / math.sqrt(comparison.frames_compared - 1)
        if name == "presence_equal" and floor.presences:
            # Differing presences are counted events: a floor of n of them is known to within sqrt(n), and one of 0 to
            # within one.
            limit -= standard_errors * math.sqrt(max((1 - value) * floor.presences, 1.0)) / floor.presences
        passed = got >= limit if _is_agreement(name) else got <= limit
        judgements.append(Judgement(name.replace("_", " "), got, value, limit, passed))
    return judgements


def failures(judgements: list[Judgement]) -> str:
    """The failed ones as text, one a line; empty when all passed."""
    return "\n".join(str(judgement) for judgement in judgements if not judgement.passed)
