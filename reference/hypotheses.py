"""Landmark detection from a face box: several head orientations tried, the best kept (spec 50.9).

A box says where a face is, not where it looks. With `multi_view` the fit is started at eleven rotations and the result
of the largest likelihood wins. Models with early-termination data (CE-CLM) first try the coarsest scale only: a start
that scores above its view's cut-off is finished at once, otherwise the three best are. One gray image (H, W), one box
(x, y, w, h) px and the state before in; what the C++ program returns and the state after out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import EarlyTermination
from auparity.reference.contracts import check_array
from auparity.reference.landmarks import ClmState, LandmarkDetector

Array = npt.NDArray[Any]

FRONTAL = ((0.0, 0.0, 0.0),)
#: Starting rotations (rx, ry, rz) in rad, in order (spec 50.9).
MULTI_VIEW = (
    (0.0, 0.0, 0.0),
    (0.0, -0.5236, 0.0),
    (0.0, 0.5236, 0.0),
    (0.0, -0.96, 0.0),
    (0.0, 0.96, 0.0),
    (0.0, 0.0, 0.5236),
    (0.0, 0.0, -0.5236),
    (0.0, -1.57, 0.0),
    (0.0, 1.57, 0.0),
    (0.0, -1.22, 0.698),
    (0.0, 1.22, -0.698),
)
FINALISTS = 3  # hypotheses that the second stage finishes


@dataclass(frozen=True, eq=False)
class _Scored:
    score: float
    params_global: Array
    params_local: Array


def detect_in_box(
    detector: LandmarkDetector, gray: Array, box: Array, state: ClmState, *, multi_view: bool
) -> tuple[bool, ClmState]:
    """Fit a face in a box from several head orientations, and keep the likeliest fit (spec 50.9).

    Parameters
    ----------
    gray : (H, W) in the working dtype, 0 to 255.
    box : (4,) x, y, w, h in px; a width of 0 means no face.

    Returns
    -------
    (returned, state) : what the C++ function returns, which is not always `state.detection_success`.

    Raises
    ------
    ContractError : a box that is not four finite numbers.
    """
    check_array("hypotheses", "box", box, (4,))
    if box[2] <= 0:
        return False, state
    rotations = MULTI_VIEW if multi_view else FRONTAL
    if detector.early_termination is None:
        return _best_of_all(detector, gray, box, state, rotations)
    return _early_terminated(detector, detector.early_termination, gray, box, state, rotations)


def start_state(detector: LandmarkDetector, box: Array, rotation: tuple[float, ...], state: ClmState) -> ClmState:
    """`state` with the mean shape filling a box (4,) px at a rotation (rx, ry, rz) rad: where a hypothesis begins."""
    model = detector.main.shape
    zeros = np.zeros(model.n_modes, detector.numerics.dtype)
    g = model.params_from_box(box, zeros, detector.numerics.cast(rotation))
    return replace(state, params_global=g, params_local=zeros)


def _best_of_all(
    detector: LandmarkDetector, gray: Array, box: Array, state: ClmState, rotations: tuple[tuple[float, ...], ...]
) -> tuple[bool, ClmState]:
    """Every rotation fitted in full; the largest model likelihood wins, the first among equals."""
    starts = [start_state(detector, box, rotation, state) for rotation in rotations]
    best = _likeliest(_fits(detector, gray, starts, state, detector.parameters.init_windows))
    return best.detection_success, best


def _likeliest(states: Sequence[ClmState]) -> ClmState:
    """The state of the largest model likelihood, the first among equals; likelihoods that are not numbers never win."""
    best = states[0]
    for state in states[1:]:
        if state.likelihood > best.likelihood:
            best = state
    return best


#: Stands for a likelihood that a fit may leave as it was.
_OF_BEFORE = float("nan")


def _fits(
    detector: LandmarkDetector, gray: Array, starts: Sequence[ClmState], before: ClmState, windows: tuple[int, ...],
    **options: bool,
) -> list[ClmState]:  # fmt: skip
    """A fit from each start, in order.

    The C++ program does one after the other in one state, and a fit of a very small face computes no likelihoods: then
    those of the fit before stay, for the first one those of `before`. Nothing else reaches the next fit, so they may be
    done side by side.
    """
    unknown = [replace(start, likelihood=_OF_BEFORE) for start in starts]
    fits = detector.side_by_side([partial(detector.detect, gray, start, windows, **options) for start in unknown])
    states = []
    for state in fits:
        if state.likelihood is _OF_BEFORE:
            state = replace(state, likelihood=before.likelihood, landmark_likelihoods=before.landmark_likelihoods)
        states.append(state)
        before = state
    return states


def _early_terminated(
    detector: LandmarkDetector,
    early: EarlyTermination,
    gray: Array,
    box: Array,
    state: ClmState,
    rotations: tuple[tuple[float, ...], ...],
) -> tuple[bool, ClmState]:
    """Coarsest scale first; see the module's first paragraph. Three quirks of the C++ program are kept on purpose."""
    windows = detector.parameters.init_windows
    coarse, rest = (windows[0], *(0 for _ in windows[1:])), (0, *windows[1:])
    scored: list[_Scored] = []
    for some in _rounds(rotations, detector.side_by_side.at_once):
        starts = [start_state(detector, box, rotation, state) for rotation in some]
        fits = _fits(detector, gray, starts, state, coarse, refine_parts=False, validate=False)
        for state in fits:
            score = state.likelihood * early.weights[state.view] + early.biases[state.view]
            if score > early.cutoffs[state.view]:
                state = detector.detect(gray, state, rest)
                return state.detection_success, state
            scored.append(_Scored(score, state.params_global, state.params_local))
    # Quirk 1: recorded shapes share memory with the live one, which the next hypothesis sets to zero; only the
    # last keeps what it fitted.
    scored = [replace(s, params_local=np.zeros_like(s.params_local)) for s in scored[:-1]] + scored[-1:]
    scored.sort(key=lambda s: s.score, reverse=True)
    starts = [replace(state, params_global=s.params_global, params_local=s.params_local) for s in scored[:FINALISTS]]
    finished = _fits(detector, gray, starts, state, rest)
    # Quirks 2 and 3: the returned flag and the confidence are those of the last candidate, not of the best.
    last = finished[-1]
    return last.detection_success, replace(_likeliest(finished), confidence=last.confidence)


def _rounds(rotations: tuple[tuple[float, ...], ...], at_once: int) -> list[tuple[tuple[float, ...], ...]]:
    """The first rotation alone, since it mostly convinces, and then as many as are fitted at the same time."""
    return [rotations[:1], *(rotations[k : k + at_once] for k in range(1, len(rotations), at_once))]
