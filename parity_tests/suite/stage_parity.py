"""Any variant of any stage against the reference, on captured inputs of a reference run.

Results are separated into named arrays, each with its tolerance in `tolerances.toml`. Arrays that a decision on the
border of a cell can change (response maps one 1/32 px cell apart, fits across a 0.1 px kernel cell) are judged by
median, share and worst case, as in spec 90.10; all other arrays must be within tolerance in every value.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.registry import Variant
from auparity.errors import ContractError
from auparity.models.types import STAR
from auparity.parity_tests.compare.arrays import ComparisonRecord, compare_arrays
from auparity.parity_tests.compare.tolerances import is_stated, tolerance
from auparity.parity_tests.suite.stage_capture import Call, Capture, play
from auparity.reference.stages import StageSpec, stage_table

Array = npt.NDArray[Any]
#: A named array of the reference's result, and of ours.
Pair = tuple[Array, Array]


def _worst_of_each(reference: Array, ours: Array) -> Pair:
    """The largest difference in each map, or each fit: one map off by much must not hide among its pixels."""
    if reference.shape != ours.shape or not reference.size:
        return reference, ours
    worst = np.abs(reference - ours).max(axis=tuple(range(1, reference.ndim)))
    return np.zeros_like(worst), worst


def _differing_values(reference: Array, ours: Array) -> Pair:
    """The number of values of each image that differ at all."""
    if reference.shape != ours.shape:
        return reference, ours
    differ = np.count_nonzero(reference != ours, axis=tuple(range(1, reference.ndim)))
    return np.zeros(len(differ)), differ


#: Arrays that are not compared value by value: the figures they make, each with what it looks at.
DERIVED: dict[str, dict[str, Callable[[Array, Array], Pair]]] = {
    "response_maps": {"response_maps": _worst_of_each},
    "fit_landmarks": {"fit_landmarks": _worst_of_each},
    "alignment": {"alignment": lambda reference, ours: (reference, ours), "alignment_values": _differing_values},
}
#: Figures of which a few samples may cross a cell: judged by these statistics, under these names.
STATISTICS: dict[str, tuple[tuple[str, Callable[[Array], Array]], ...]] = {
    "response_maps": (
        ("response_maps_median", lambda e: np.median(e)[None]),
        ("response_maps", lambda e: e),
        ("response_maps_worst", lambda e: e),
    ),
    "fit_landmarks": (
        ("fit_landmarks_median", lambda e: np.median(e)[None]),
        ("fit_landmarks_p95", lambda e: np.percentile(e, 95)[None]),
        ("fit_landmarks_worst", lambda e: e),
    ),
}


#: Figures that have another name, and another tolerance, where the stage is of these models: points of heat maps.
OF_MODELS: dict[tuple[str, type], str] = {("network_points", STAR): "network_points_of_maps"}


def _instance(call: Call) -> int:
    return call.instance


def _figures(spec: StageSpec, call: Call, ours: Any) -> Iterator[tuple[str, Pair]]:
    """Every figure of one call, with the arrays that it is computed from."""
    theirs = spec.outputs(ours)
    for name, expected in spec.outputs(call.result).items():
        own = OF_MODELS.get((name, type(call.parts[0]))) if call.parts else None
        if own:
            yield own, (np.asarray(expected), np.asarray(theirs[name]))
            continue
        for figure, look in DERIVED.get(name, {name: lambda a, b: (a, b)}).items():
            yield figure, look(np.asarray(expected), np.asarray(theirs[name]))


def check_stage(variant: Variant, taken: Capture) -> list[ComparisonRecord]:
    """One record for each named array of a stage's results, over all recorded calls.

    Raises
    ------
    ContractError : no call of the stage was captured, so nothing would be verified.
    """
    calls = taken.calls.get(variant.stage, [])
    served = [call for call in calls if variant.unavailable_reason(call.parts[:1]) is None]
    if not served:
        raise ContractError("stage parity", "capture", f"calls of {variant.stage} that {variant.name} supports", "none")
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for _, group in itertools.groupby(sorted(served, key=_instance), key=_instance):
        stage = None
        for call in group:
            stage = stage if stage is not None else variant.build(*call.parts)
            for name, pair in _figures(stage_table()[variant.stage], call, play(call, stage)):
                pairs[name].append(pair)
    return [record for name, found in pairs.items() for record in _records(variant, name, found)]


def _records(variant: Variant, name: str, pairs: list[Pair]) -> list[ComparisonRecord]:
    label = f"{variant.stage} {variant.name}"
    wrong = next(((a.shape, b.shape) for a, b in pairs if a.shape != b.shape), None)
    if wrong is not None:
        entry = tolerance("stage", STATISTICS[name][-1][0] if name in STATISTICS else name, variant.precision)
        return [compare_arrays(f"{label}: {name}", np.zeros(wrong[0]), np.zeros(wrong[1]), entry.tolerance)]
    reference, ours = (np.concatenate([pair[k].reshape(-1).astype(np.float64) for pair in pairs]) for k in (0, 1))
    records = []
    figures = list(STATISTICS.get(name, ((name, None),)))
    if name not in STATISTICS and is_stated("stage", f"{name}_worst", variant.precision):
        figures.append((f"{name}_worst", None))  # the limit of the values that a share leaves out
    for figure, statistic in figures:
        entry = tolerance("stage", figure, variant.precision)
        a, b = (reference, ours) if statistic is None else (np.zeros(1), np.zeros(1))
        if statistic is not None:
            b = np.asarray(statistic(ours)) if len(ours) else np.zeros(0)
            a = np.zeros_like(b)
        records.append(compare_arrays(f"{label}: {figure}", a, b, entry.tolerance, share=entry.share))
    return records
