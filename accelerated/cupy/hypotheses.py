"""Landmark detection from face boxes, all starting rotations of all faces at once (reference/hypotheses.py; spec 50.9).

The reference tries rotation after rotation; here they are one batch, and the host, which gets a likelihood and a view
of each, makes the same choices in the same order, the three quirks among them. With early termination that computes
starts which the reference would not have come to: they change nothing, as the first above its cut-off is taken.
Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.landmarks import DetectorBatch, FacesBatch, take
from auparity.errors import ContractError
from auparity.models.types import EarlyTermination
from auparity.reference.contracts import check_array
from auparity.reference.hypotheses import FINALISTS, FRONTAL, MULTI_VIEW
from auparity.reference.numerics import FLOAT32
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the host is told of a batch of fits."""

    likelihood: Array
    has_likelihood: Array
    view: Array
    success: Array

    @classmethod
    def of(cls, detector: DetectorBatch, faces: FacesBatch) -> _Seen:
        xp = detector.device.xp
        asked = (faces.likelihood, faces.has_likelihood, faces.view, faces.detection_success, faces.finite)
        # In one piece; whole numbers are exact in float32.
        told = detector.device.download(xp.stack([array.astype(np.float32) for array in asked]))
        refuse_unfinite(told[4])
        return cls(told[0], told[1] != 0, told[2].astype(int), told[3] != 0)


def refuse_unfinite(finite: Array) -> None:
    """Raise `ContractError` where response maps led to parameters that are no numbers, as the reference does."""
    if not finite.all():
        raise ContractError("fitting", "response_maps", "finite values", "maps that lead to parameters of no value")


def detect_in_boxes(
    detector: DetectorBatch, gray: Any, frame: Sequence[int], boxes: Array, likelihood: Sequence[float], *,
    multi_view: bool,
) -> tuple[npt.NDArray[np.bool_], FacesBatch]:  # fmt: skip
    """Detect landmarks in face boxes (spec 50.9 "DetectLandmarksInImage").

    Parameters
    ----------
    gray : (S, H, W) uint8 on the device. frame : which image each box lies in.
    boxes : (F, 4) x, y, w, h in px, widths above 0, on the host.
    likelihood : (F,) of the state that each box is looked at from. It counts where a fit computes none, which takes a
        face of less than 0.3 px/mm, smaller than the detector finds; that the reference hands it on from face to face
        of a photograph is left out for that reason.

    Returns
    -------
    (returned, faces) : what the C++ function returns (F,), which is not always `detection_success`.

    Raises
    ------
    ContractError : boxes that are not finite numbers.
    """
    check_array("hypotheses", "boxes", boxes, (len(frame), 4))
    rotations = MULTI_VIEW if multi_view else FRONTAL
    starts = _starts(detector, boxes, rotations)
    if detector.early_termination is None:
        return _best_of_all(detector, gray, frame, starts, likelihood, len(rotations))
    return _early_terminated(detector, detector.early_termination, gray, frame, starts, likelihood, len(rotations))


def _starts(detector: DetectorBatch, boxes: Array, rotations: Sequence[Sequence[float]]) -> FacesBatch:
    """The mean shape filling each box at each rotation: F * R faces, the rotations of a box side by side."""
    model = ShapeModel(detector.pdm, FLOAT32)
    zeros = np.zeros(model.n_modes, np.float32)
    g = [model.params_from_box(box, zeros, FLOAT32.cast(rotation)) for box in boxes for rotation in rotations]
    return replace(detector.initial(len(g)), params_global=detector.device.upload(np.stack(g).astype(np.float32)))


def _frames(detector: DetectorBatch, frame: Sequence[int], each: int) -> Any:
    return detector.device.upload(np.repeat(np.asarray(frame, np.int32), each))


def _best_of_all(
    detector: DetectorBatch, gray: Any, frame: Sequence[int], starts: FacesBatch, likelihood: Sequence[float],
    count: int,
) -> tuple[npt.NDArray[np.bool_], FacesBatch]:  # fmt: skip
    """Every rotation fitted in full; the largest model likelihood wins, the first among equals."""
    faces = detector.detect(gray, _frames(detector, frame, count), starts, detector.parameters.init_windows)
    seen = _Seen.of(detector, faces)
    picked = [_best(seen, range(k * count, (k + 1) * count), before) for k, before in enumerate(likelihood)]
    chosen, found = [row for row, _ in picked], [best for _, best in picked]
    faces = replace(
        take(faces, detector.device.upload(np.array(chosen))),
        likelihood=detector.device.upload(np.array(found, np.float32)),
    )
    return seen.success[chosen], faces


def _best(seen: _Seen, rows: Iterable[int], before: float) -> tuple[int, float]:
    """Row of the largest likelihood, the first among equals; fits that computed none have that of the one before."""
    best, largest = -1, 0.0
    for row in rows:
        before = float(seen.likelihood[row]) if seen.has_likelihood[row] else before
        if best < 0 or before > largest:
            best, largest = row, before
    return best, largest


def _early_terminated(
    detector: DetectorBatch, early: EarlyTermination, gray: Any, frame: Sequence[int], starts: FacesBatch,
    likelihood: Sequence[float], count: int,
) -> tuple[npt.NDArray[np.bool_], FacesBatch]:  # fmt: skip
    """Coarsest scale first: what scores above its view's cut-off is finished at once, otherwise the three best are."""
    windows, device = detector.parameters.init_windows, detector.device
    coarse, rest = (windows[0], *(0 for _ in windows[1:])), (0, *windows[1:])
    frames = _frames(detector, frame, count)
    faces = detector.detect(gray, frames, starts, coarse, refine_parts=False, validate=False)
    seen = _Seen.of(detector, faces)
    picked = [_chosen(early, seen, k * count, count, before) for k, before in enumerate(likelihood)]
    jobs, befores = [rows for rows, _ in picked], [before for _, before in picked]
    flat = [row for rows in jobs for row in rows]
    chosen = take(faces, device.upload(np.array(flat)))
    # Quirk 1: recorded shapes share memory with the live one, which the next hypothesis sets to zero; only the last
    # keeps what it fitted. Where a start was finished at once, none was recorded.
    kept = np.array([len(rows) == 1 or row % count == count - 1 for rows in jobs for row in rows], np.float32)
    chosen = replace(chosen, params_local=chosen.params_local * device.upload(kept)[:, None])
    owners = np.repeat(np.arange(len(jobs)), [len(rows) for rows in jobs])
    finished = detector.detect(gray, device.upload(np.asarray(frame, np.int32)[owners]), chosen, rest)
    return _finalists(detector, finished, jobs, befores)


def _chosen(early: EarlyTermination, seen: _Seen, first: int, count: int, before: float) -> tuple[list[int], float]:
    """Rows that the second stage finishes, and the likelihood of the state at that moment."""
    scored: list[tuple[float, int]] = []
    for row in range(first, first + count):
        before = float(seen.likelihood[row]) if seen.has_likelihood[row] else before
        view = int(seen.view[row])
        score = before * early.weights[view] + early.biases[view]
        if score > early.cutoffs[view]:
            return [row], before
        scored.append((score, row))
    scored.sort(key=lambda pair: pair[0], reverse=True)
    return [row for _, row in scored[:FINALISTS]], before


def _finalists(
    detector: DetectorBatch, faces: FacesBatch, jobs: Sequence[Sequence[int]], befores: Sequence[float]
) -> tuple[npt.NDArray[np.bool_], FacesBatch]:
    """Of each face's finished hypotheses the best, with the flag and confidence of the last (quirks 2 and 3)."""
    seen, chosen, last, found, row = _Seen.of(detector, faces), [], [], [], 0
    for rows, before in zip(jobs, befores, strict=True):
        best, best_likelihood = _best(seen, range(row, row + len(rows)), before)
        row += len(rows)
        chosen.append(best)
        last.append(row - 1)
        found.append(best_likelihood)
    device = detector.device
    confidence = faces.confidence[device.upload(np.array(last))]
    faces = replace(
        take(faces, device.upload(np.array(chosen))), confidence=confidence,
        likelihood=device.upload(np.array(found, np.float32)),
    )  # fmt: skip
    return seen.success[last], faces
