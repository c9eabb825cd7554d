"""MTCNN face detector (spec 20; Zhang et al. 2016, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks"): a pyramid of the image goes through a small fully convolutional network (P-Net) that proposes
boxes, two larger networks (R-Net, O-Net) refine them, and overlapping boxes are suppressed after each step. An image
(H, W, 3) uint8 B,G,R goes in; boxes (K, 4), scores (K,) and five points (K, 5, 2) come out, best score first.

What decides between whole pixels (the grid of proposals, rounding, overlaps) is float32 in the float64 mode too: that
is part of the algorithm, not of its rounding error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import MTCNN, ConvNet
from auparity.reference.boxes import correct_boxes, crop, regress, square, suppress
from auparity.reference.contracts import check_image
from auparity.reference.convnet import RunNetwork, forward
from auparity.reference.elementary import exp, log
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.resampling import resize_bilinear_f32
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
I64 = npt.NDArray[np.int64]

STAGE = "detection"

#: Spec 20, "Defaults".
MIN_FACE = 60  # px
PYRAMID_FACTOR = 0.709
PNET_SUPPORT, PNET_STRIDE = 12, 2  # px
RNET_INPUT, ONET_INPUT = 24, 48  # px
PNET_THRESHOLD, RNET_THRESHOLD, ONET_THRESHOLD = np.float32(0.6), np.float32(0.7), np.float32(0.7)
NMS_SCALE, NMS_PROPOSALS, NMS_REFINED, NMS_FINAL = 0.5, 0.7, 0.7, 0.7
#: Gray level that becomes 0, and the factor, 1/128 (spec 20.2).
INPUT_MEAN, INPUT_FACTOR = 127.5, 0.0078125
#: Outputs of a network: two logits and four of the box; O-Net adds ten of the five points (spec 10.5).
N_BOX_OUTPUTS, N_POINT_OUTPUTS = 6, 16
#: Crops that are shown to a network at once: bounds memory, not results.
CROPS_AT_ONCE = 128


@short_repr
@dataclass(frozen=True, eq=False)
class Face:
    """One detected face."""

    box: Array  #: (4,) x, y, width, height px
    score: float  #: 0 to 1
    points: Array  #: (5, 2) px


@short_repr
@dataclass(frozen=True, eq=False)
class Detections:
    """Faces in one image, best score first; K = 0 when there is none."""

    boxes: Array  #: (K, 4) x, y, width, height px, after the final correction: tight around the 68 landmarks
    scores: Array  #: (K,) face probability of O-Net
    points: Array  #: (K, 5, 2) px: eyes, nose tip, mouth corners (the person's right first); OpenFace uses none of them

    def __len__(self) -> int:
        return len(self.boxes)

    def face(self, index: int) -> Face:
        """One of them."""
        return Face(self.boxes[index], float(self.scores[index]), self.points[index])


@short_repr
@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes on their way through the cascade."""

    boxes: Array  #: (K, 4) x, y, width, height px
    scores: Array  #: (K,)
    regression: Array  #: (K, 4) cx, cy, cw, ch in parts of the box's size
    points: Array  #: (K, 5, 2) px; NaN before O-Net

    def __getitem__(self, index: Any) -> Candidates:
        return Candidates(self.boxes[index], self.scores[index], self.regression[index], self.points[index])

    def at(self, boxes: Array) -> Candidates:
        """The same candidates with other boxes."""
        return Candidates(boxes, self.scores, self.regression, self.points)


@short_repr
@dataclass(frozen=True, eq=False)
class PyramidLevelTrace:
    """P-Net at one level of the pyramid."""

    sigma: float  #: size of the level relative to the image
    input: Array  #: (h, w, 3) normalised, B,G,R
    probability: Array  #: (h', w')
    regression: Array  #: (h', w', 4)


@dataclass(frozen=True, eq=False)
class DetectionTrace:
    """Every intermediate result of one detection, named after the steps of spec 20.5."""

    levels: tuple[PyramidLevelTrace, ...]
    after_scale_nms: Candidates  #: step 1
    into_rnet: Candidates  #: steps 2 and 3
    after_rnet: Candidates  #: steps 4 and 5
    after_onet: Candidates  #: steps 6 and 7
    detections: Detections  #: step 8


def detect_faces(
    image: Array, mtcnn: MTCNN, dtype: npt.DTypeLike = np.float32, run: RunNetwork = forward
) -> Detections:
    """All faces in an image, by a cascade of three networks (Zhang et al., SPL 2016; spec 20).

    Parameters
    ----------
    image : (H, W, 3) uint8 B,G,R, or (H, W) uint8 gray, which is replicated.
    mtcnn : the three networks.
    dtype : float32 as the C++ program computes, or float64.
    run : what runs the networks.

    Returns
    -------
    Detections; empty where no face is found, or where the image is smaller than the smallest face.

    Raises
    ------
    ContractError : another shape or dtype.
    """
    return trace_detection(image, mtcnn, dtype, run).detections


def trace_detection(
    image: Array, mtcnn: MTCNN, dtype: npt.DTypeLike = np.float32, run: RunNetwork = forward
) -> DetectionTrace:
    """`detect_faces` with everything that it computes on the way."""
    colour = _as_colour(image).astype(dtype)
    levels = tuple(_propose(colour, sigma, mtcnn.pnet, run) for sigma in pyramid_scales(*colour.shape[:2]))
    per_level = [_suppressed(proposals(level), NMS_SCALE) for level in levels]
    after_scale_nms = _concatenate([_no_candidates(dtype), *per_level])
    proposed = _suppressed(after_scale_nms, NMS_PROPOSALS)
    into_rnet = proposed.at(square(regress(proposed.boxes, proposed.regression)))
    refined = _suppressed(_ask(mtcnn.rnet, RNET_INPUT, RNET_THRESHOLD, colour, into_rnet, run), NMS_REFINED)
    after_rnet = refined.at(square(regress(refined.boxes, refined.regression)))
    kept = _ask(mtcnn.onet, ONET_INPUT, ONET_THRESHOLD, colour, after_rnet, run)
    final = kept.at(regress(kept.boxes, kept.regression, add_one=True))
    after_onet = _suppressed(final, NMS_FINAL, minimum=True)
    detections = Detections(correct_boxes(after_onet.boxes), after_onet.scores, after_onet.points)
    return DetectionTrace(levels, after_scale_nms, into_rnet, after_rnet, after_onet, detections)


def select_face(detections: Detections, preference: tuple[float, float] | None = None) -> Face | None:
    """The face to track in a video: the widest, or the one nearest to a given point (spec 20.10).

    Parameters
    ----------
    detections : the faces of one image.
    preference : a point (x, y) px, or None.

    Returns
    -------
    The widest box (the first wins ties) or, with a preference point, the box whose centre is nearest to it; None
    without faces.
    """
    if len(detections) == 0:
        return None
    boxes = detections.boxes
    if preference is None:
        return detections.face(int(np.argmax(boxes[:, 2])))
    centres = boxes[:, :2].astype(np.float32) + boxes[:, 2:].astype(np.float32) / np.float32(2)
    offsets = centres - np.asarray(preference, np.float32)
    squares = offsets * offsets
    return detections.face(int(np.argmin(np.sqrt(squares[:, 0] + squares[:, 1]))))


def pyramid_scales(height: int, width: int) -> list[float]:
    """Sizes of the pyramid's levels relative to the image (spec 20.2); none when the image is too small for a face."""
    count = math.floor(log(MIN_FACE / min(height, width)) / log(PYRAMID_FACTOR)) + 1
    # Correctly rounded powers: pow() is the C library's.
    return [PNET_SUPPORT / MIN_FACE * float(Fraction(PYRAMID_FACTOR) ** i) for i in range(count)]


def proposals(level: PyramidLevelTrace) -> Candidates:
    """Boxes where P-Net sees a face, column after column (spec 20.4)."""
    x, y = np.nonzero(level.probability.T >= PNET_THRESHOLD)  # columns outer, rows inner
    dtype = level.probability.dtype
    sigma = np.float32(level.sigma)

    def corner(position: I64, offset: int) -> Array:
        return np.asarray(np.trunc((PNET_STRIDE * position + offset).astype(np.float32) / sigma))

    x1, y1 = corner(x, 1), corner(y, 1)
    x2, y2 = corner(x, PNET_SUPPORT), corner(y, PNET_SUPPORT)
    boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=-1).astype(dtype)
    return Candidates(boxes, level.probability[y, x], level.regression[y, x], _no_points(len(x), dtype))


def _as_colour(image: Array) -> Array:
    if isinstance(image, np.ndarray) and image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    return check_image(STAGE, image)


def _normalise(image: Array) -> Array:
    normalised: Array = (image - image.dtype.type(INPUT_MEAN)) * image.dtype.type(INPUT_FACTOR)
    return normalised


def _to_maps(images: Array) -> Array:
    """Images (N, h, w, 3) B,G,R -> maps (N, 3, h, w) R,G,B (spec 20.2)."""
    return np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2))


def _face_probability(outputs: Array, working: npt.DTypeLike) -> Array:
    """p = 1 / (1 + exp(o0 - o1)) of outputs (N, C, ...), computed in the dtype `working` (spec 20.3).

    The exponential itself is of the outputs' dtype. P-Net's map is computed in it throughout; R-Net's and O-Net's
    single values in float64 and rounded at the end. That decides among candidates of nearly 1: rounding 1 + exp(...)
    to float32 makes ties, and the last of equals would win (frame 43 of the reference clip `lost`).
    """
    with np.errstate(over="ignore"):  # exp overflows to infinity: probability 0
        exponential = exp(outputs[:, 0] - outputs[:, 1]).astype(outputs.dtype).astype(working)
    return (1 / (1 + exponential)).astype(outputs.dtype)


def _propose(image: Array, sigma: float, pnet: ConvNet, run: RunNetwork) -> PyramidLevelTrace:
    """P-Net on one level of the pyramid of an image (H, W, 3) float (spec 20.2, 20.3)."""
    height, width = (math.ceil(length * sigma) for length in image.shape[:2])
    level = _normalise(resize_bilinear_f32(image, (height, width), image.dtype.type))
    outputs = run(pnet, _to_maps(level[None]), image.dtype)
    if outputs.ndim == 2:  # the smallest level: P-Net's maps are single pixels
        outputs = outputs[:, :, None, None]
    if outputs.shape[1] < N_BOX_OUTPUTS:
        raise ContractError(STAGE, "mtcnn.pnet", f"{N_BOX_OUTPUTS} output maps", f"{outputs.shape[1]}")
    return PyramidLevelTrace(
        sigma, level, _face_probability(outputs, outputs.dtype)[0], outputs[0, 2:N_BOX_OUTPUTS].transpose(1, 2, 0)
    )


def _ask(
    net: ConvNet, side: int, threshold: np.float32, image: Array, candidates: Candidates, run: RunNetwork
) -> Candidates:
    """Show the crops of candidates to R-Net or O-Net and keep those that it takes for faces (spec 20.5, 4 and 6)."""
    crops = [crop(image, box) for box in candidates.boxes]
    inside = np.array([i for i, c in enumerate(crops) if c is not None], np.int64)
    dtype = image.dtype.type
    inputs = [_normalise(resize_bilinear_f32(c, (side, side), dtype)) for c in crops if c is not None]
    if not inputs:
        return candidates[inside]
    batches = (np.stack(inputs[i : i + CROPS_AT_ONCE]) for i in range(0, len(inputs), CROPS_AT_ONCE))
    outputs = np.concatenate([run(net, _to_maps(batch), dtype) for batch in batches])
    if outputs.shape[1] < N_BOX_OUTPUTS:
        raise ContractError(STAGE, "mtcnn", f"networks with {N_BOX_OUTPUTS} outputs", f"{outputs.shape[1]}")
    scores = _face_probability(outputs, np.float64)
    boxes = candidates.boxes[inside]
    points = _decode_points(outputs, boxes) if outputs.shape[1] >= N_POINT_OUTPUTS else _no_points(len(boxes), dtype)
    return Candidates(boxes, scores, outputs[:, 2:N_BOX_OUTPUTS], points)[scores >= threshold]


def _decode_points(outputs: Array, boxes: Array) -> Array:
    """O-Net's outputs 6..15, five x and then five y in parts of the squared box, as (K, 5, 2) px.

    OpenFace reads none of them, so there is no reference value: the order was seen on photographs.
    """
    fractions = outputs[:, N_BOX_OUTPUTS:N_POINT_OUTPUTS].reshape(-1, 2, 5).swapaxes(1, 2)
    points: Array = boxes[:, None, :2] + fractions * boxes[:, None, 2:]
    return points


def _suppressed(candidates: Candidates, threshold: float, minimum: bool = False) -> Candidates:
    return candidates[suppress(candidates.boxes, candidates.scores, threshold, minimum)]


def _no_points(count: int, dtype: npt.DTypeLike) -> Array:
    return np.full((count, 5, 2), np.nan, dtype)


def _no_candidates(dtype: npt.DTypeLike) -> Candidates:
    return Candidates(np.zeros((0, 4), dtype), np.zeros(0, dtype), np.zeros((0, 4), dtype), _no_points(0, dtype))


def _concatenate(parts: list[Candidates]) -> Candidates:
    return Candidates(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("boxes", "scores", "regression", "points"))
    )


#: What is built: (H, W, 3) uint8 BGR to `Detections`.
FaceDetector = Callable[[Array], Detections]


def build(mtcnn: MTCNN, *, numerics: Numerics = FLOAT32) -> FaceDetector:
    """Stage `detection`."""
    return lambda image: detect_faces(image, mtcnn, numerics.dtype)
