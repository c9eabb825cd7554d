"""Any variant of any stage against the reference, on captured inputs of a reference run.

Results are separated into named arrays, each with its tolerance in `tolerances.toml`. Arrays that a decision on the
border of a cell can change (response maps one 1/32 px cell apart, fits across a 0.1 px kernel cell) are judged by
median, share and worst case, as in spec 90.10; all other arrays must be within tolerance in every value.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.registry import Variant
from auparity.errors import ContractError
from auparity.parity_tests.compare.arrays import ComparisonRecord, compare_arrays
from auparity.parity_tests.compare.tolerances import is_stated, tolerance
from auparity.parity_tests.fidelity.stages import pose_entries
from auparity.parity_tests.suite.stage_capture import Call, Capture, play
from auparity.reference.fitting import Fit

Array = npt.NDArray[Any]
#: Named arrays of a result and of the reference; names are those of `tolerances.toml`.
Pair = tuple[Array, Array]


def _maps(reference: Any, ours: Any) -> dict[str, Pair]:
    visible = reference.visible
    errors = (
        np.abs(reference.maps - ours.maps).max(axis=(2, 3))[visible]
        if reference.maps.shape == ours.maps.shape
        else None
    )
    pairs = {
        "similarity": (
            np.stack([reference.img_to_ref, reference.ref_to_img]),
            np.stack([ours.img_to_ref, ours.ref_to_img]),
        ),
        "decisions": (np.column_stack([visible, reference.view]), np.column_stack([ours.visible, ours.view])),
    }
    zero = np.zeros(0) if errors is None else np.zeros_like(errors)
    return pairs | {"response_maps": (zero, np.full(1, np.inf) if errors is None else errors)}


def _fits(reference: Sequence[Fit], ours: Sequence[Fit]) -> dict[str, Pair]:
    def decisions(fits: Sequence[Fit]) -> Array:
        return np.array([[fit.view, fit.success, fit.likelihood is None] for fit in fits], float)

    errors = [np.abs(a.landmarks - b.landmarks).max() for a, b in zip(reference, ours, strict=True)]
    likelihoods = [
        (a.likelihood, b.likelihood) for a, b in zip(reference, ours, strict=True) if a.likelihood is not None
    ]
    both = np.array([[np.nan if v is None else v for v in pair] for pair in likelihoods]).reshape(-1, 2)
    return {
        "fit_landmarks": (np.zeros(len(errors)), np.array(errors)),
        "fit_likelihood": (both[:, 0], both[:, 1]),
        "decisions": (decisions(reference), decisions(ours)),
    }


def _parameters(reference: Any, ours: Any) -> dict[str, Pair]:
    # As rotation matrices, because Euler angles are degenerate near 90 degrees.
    g = tuple(np.stack([pose_entries(row) for row in np.asarray(side[0], np.float32)]) for side in (reference, ours))
    return {"fit_shape_global": (g[0], g[1]), "fit_shape_local": (reference[1], ours[1])}


def _aligned(reference: Any, ours: Any) -> dict[str, Pair]:
    if reference.shape != ours.shape:
        return {"alignment": (reference, ours)}
    differ = np.count_nonzero(reference != ours, axis=(1, 2, 3))
    return {"alignment": (reference, ours), "alignment_values": (np.zeros(len(differ)), differ)}


def _single(name: str) -> Callable[[Any, Any], dict[str, Pair]]:
    return lambda reference, ours: {name: (reference, ours)}


#: The function that separates the result of each stage.
OUTPUTS: dict[str, Callable[[Any, Any], dict[str, Pair]]] = {
    "grayscale": _single("grayscale"),
    "detection": lambda a, b: {"detection_boxes": (a.boxes, b.boxes), "detection_scores": (a.scores, b.scores)},
    "pdm": _single("pdm"),
    "patch_experts": _maps,
    "fitting": _fits,
    "validation": _single("validation"),
    "fit_shape": _parameters,
    "alignment": _aligned,
    "fhog": _single("fhog"),
    "geometry": _single("geometry"),
    "running_median": _single("running_median"),
    "action_units": lambda a, b: {"action_units": (a[0], b[0]), "action_units_presence": (a[1], b[1])},
    "head_pose": _single("head_pose"),
    "gaze": lambda reference, ours: _gaze(reference, ours),
}  # fmt: skip
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


def _instance(call: Call) -> int:
    return call.instance


def _gaze(reference: Any, ours: Any) -> dict[str, Pair]:
    both = tuple(np.concatenate([np.ravel(array) for array in side]) for side in (reference, ours))
    return {"gaze": (both[0], both[1])}


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
            for name, pair in OUTPUTS[variant.stage](call.result, play(call, stage)).items():
                pairs[name].append((np.asarray(pair[0]), np.asarray(pair[1])))
    return [record for name, pair_of_arrays in pairs.items() for record in _records(variant, name, pair_of_arrays)]


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
