"""Networks that find landmarks in one look, as a `Landmarker`.

A crop follows from the face's box, and the box of the next frame from the last landmarks. The network's 68 points are
the landmarks (of 98 points 68 are made, wflw.py); the shape model's parameters are fitted to them (CalcParams), and
pose, alignment and action units follow as from any landmarks. They are an approximation of OpenFace's (docs/networks.md
has what they do to action units).

Networks say nothing of whether there is a face, and draw one where there is none. Two things tell, both measured on
photographs and frames with faces and without (`auparity.parity_tests.golden.test_networks`):

- The shape model explains the points of a face better. This costs nothing, and is asked of every frame.
- A second look, at the crop that the first points give, finds a face where it was; what was no face moves. It is taken
  of every new face, whose points are those of the second look, and of a followed one when its shape is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.images import Images
from auparity.reference.landmarker import Indices
from auparity.reference.networks.crops import CropOf, Square, StarCrop, box_of_landmarks, box_of_mtcnn, square_of
from auparity.reference.networks.wflw import N_POINTS, Brows, to_68
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import bounding_box
from auparity.reference.stages import Stages, reference_stages
from auparity.reference.sums import mean, total

Array = npt.NDArray[Any]

STAGE = "landmarker"

#: Root mean square distance between points and the shape model's, and mean distance between the points of two looks,
#: both relative to the root of width times height of the landmarks. Of 94 faces none was above 0.0061 and 0.021; of 190
#: places without a face 4 in 5 were above the first, and all but 3 above the second.
LARGEST_MISFIT, LARGEST_MOVE = 0.0065, 0.04
#: Part of the landmarks that must lie in the image.
INSIDE = 0.5
#: Confidence at the limits above; it falls from 1 to 0 at twice the limits. It is no probability.
BELIEVED = 0.5

#: The network: crops (K, side, side, 3) uint8 BGR to points (K, P, 2) in the units of its crop.
RunPoints = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class _Look:
    """What one look at a face found."""

    points: Array  #: (P, 2) px, the network's own
    landmarks: Array  #: (68, 2) px


class NetworkLandmarker:
    """The landmarker of one network.

    Parameters
    ----------
    run : the network.
    shape : the shape model of 68 points.
    crop_of : the rule by which its crops are cut (`crops.crop_rule_of`).
    brows : of 98 points, which make the 68.
    compatible : the peers' points of faces that reach over the border (`crops.Square.to_image`).
    numerics : working precision.
    stages : implementations of the stages; None for the reference's own in this precision.
    """

    def __init__(
        self,
        run: RunPoints,
        shape: PDM,
        *,
        crop_of: CropOf = square_of,
        brows: Brows = "middle",
        compatible: bool = False,
        numerics: Numerics = FLOAT32,
        stages: Stages | None = None,
    ) -> None:
        stages = stages or reference_stages(numerics)
        self._run, self._shape, self._brows, self._compatible = run, shape, brows, compatible
        self._crop_of = crop_of
        self._numerics = numerics
        self._pdm, self._fit_shape = stages.pdm(shape), stages.fit_shape(shape)

    @property
    def shape(self) -> PDM:
        return self._shape

    @property
    def part_shapes(self) -> Mapping[str, PDM]:
        """None: there are no eye models, and so no gaze."""
        return {}

    def initial(self) -> FaceState:
        """The mean shape at scale 1; everything else 0."""
        return self._placed(self._numerics.cast([1, 0, 0, 0, 0, 0]))

    def place(self, boxes: Array) -> FaceStates:
        """The mean shape upright in each box.

        Raises
        ------
        ContractError : boxes that are not (K, 4) finite numbers.
        """
        check_array(STAGE, "boxes", boxes, ("K", 4))
        zeros, upright = self._numerics.cast(np.zeros(self._shape.n_modes)), self._numerics.cast(np.zeros(3))
        return FaceStates([self._placed(self._pdm.params_from_box(box, zeros, upright)) for box in boxes])

    def start(
        self,
        images: Images,
        image_index: Indices,
        boxes: Array,
        before: Sequence[FaceState] | None = None,
        *,
        multi_view: bool = True,
    ) -> FaceStates:
        """Landmarks of faces in boxes (K, 4) x, y, w, h px, as MTCNN has them, from two looks.

        `multi_view` means nothing here: no orientation has to be told. A box without area keeps the state `before`.

        Raises
        ------
        ContractError : boxes that are not finite numbers.
        """
        check_array(STAGE, "boxes", boxes, (len(image_index), 4))
        states = self._initial_or(before, len(boxes))
        first = self._look(images, image_index, box_of_mtcnn(self._numerics.cast(boxes)))
        second = self._look_again(images, image_index, first)
        moves = [_moved(then, now) if then and now else None for then, now in zip(first, second, strict=True)]
        seen = [now if then else None for then, now in zip(first, second, strict=True)]
        found = self._believed(images, image_index, seen, moves)
        return FaceStates([_lost(state) if now is None else now for state, now in zip(states, found, strict=True)])

    def draw(self, images: Images, image_index: Indices, boxes: Array) -> list[FaceState | None]:
        """What the network draws in boxes (K, 4) of MTCNN's, face or not, from one look; None where there is nothing to
        look at."""
        looks = self._look(images, image_index, box_of_mtcnn(self._numerics.cast(boxes)))
        return self._believed(images, image_index, looks, [None] * len(looks))

    def follow(self, images: Images, image_index: Indices, states: Sequence[FaceState]) -> FaceStates:
        """Landmarks in the boxes of the last ones, from one look, and from a second one where the first is in doubt."""
        looks = self._look(images, image_index, _boxes_of([state.landmarks for state in states]))
        found = self._believed(images, image_index, looks, [None] * len(looks))
        doubtful = [
            (k, look)
            for k, (look, now) in enumerate(zip(looks, found, strict=True))
            if look and now and not now.detection_success and _is_inside(look.landmarks, images[int(image_index[k])])
        ]
        index = [int(image_index[k]) for k, _ in doubtful]
        again = self._look_again(images, index, [look for _, look in doubtful])
        moves = [_moved(look, now) if now else None for (_, look), now in zip(doubtful, again, strict=True)]
        for (k, _), now in zip(doubtful, self._believed(images, index, again, moves), strict=True):
            found[k] = found[k] if now is None else now
        return FaceStates([_lost(state) if now is None else now for state, now in zip(states, found, strict=True)])

    def _look(self, images: Images, image_index: Indices, boxes: Array) -> list[_Look | None]:
        """One look at each face in RetinaFace's boxes (K, 4); None where there is nothing to look at."""
        crops = [self._crop_of(box) for box in boxes]
        seen = [k for k, crop in enumerate(crops) if crop is not None]
        result: list[_Look | None] = [None] * len(crops)
        if not seen:
            return result
        cut = [crop for crop in crops if crop is not None]
        for k, points in zip(seen, self.see(images, [int(image_index[k]) for k in seen], cut), strict=True):
            crop, image = crops[k], images[int(image_index[k])]
            if isinstance(crop, Square):
                in_image = crop.to_image(points, image, compatible=self._compatible)
            else:
                assert crop is not None
                in_image = crop.to_image(points)
            landmarks = to_68(in_image, self._brows) if len(in_image) == N_POINTS else in_image
            result[k] = _Look(in_image, landmarks) if np.isfinite(landmarks).all() else None
        return result

    def see(self, images: Images, image_index: Indices, crops: Sequence[Square | StarCrop]) -> Array:
        """The points (K, P, 2) that the network draws in some parts of images, in the units of its crops."""
        return self._run(np.stack([crop.cut(images[int(k)]) for k, crop in zip(image_index, crops, strict=True)]))

    def _look_again(self, images: Images, image_index: Indices, looks: Sequence[_Look | None]) -> list[_Look | None]:
        """A second look at each face, in the box of the points of the first."""
        seen = [k for k, look in enumerate(looks) if look is not None]
        result: list[_Look | None] = [None] * len(looks)
        boxes = _boxes_of([look.landmarks for look in looks if look is not None])
        again = self._look(images, [int(image_index[k]) for k in seen], boxes)
        for k, look in zip(seen, again, strict=True):
            result[k] = look
        return result

    def _believed(
        self, images: Images, image_index: Indices, looks: Sequence[_Look | None], moves: Sequence[float | None]
    ) -> list[FaceState | None]:  # fmt: skip
        """The states of looks; each is believed for what it moved by, and for its shape where it was the only one."""
        seen = [look for look in looks if look is not None]
        explained: Iterator[tuple[Array, Array]] = iter(())
        if seen:
            explained = zip(*self._fit_shape(np.stack([look.landmarks for look in seen])), strict=True)
        return [
            None if look is None else self._state(images[int(index)], look, move, *next(explained))
            for index, look, move in zip(image_index, looks, moves, strict=True)
        ]

    def _state(
        self, image: Array, look: _Look, move: float | None, params_global: Array, params_local: Array
    ) -> FaceState:  # fmt: skip
        """The state of a look, which the shape model explains by these parameters."""
        if move is None:
            offsets = (self._pdm.shape_2d(params_global, params_local) - look.landmarks).astype(np.float64)
            misfit = float(np.sqrt(mean(total(offsets * offsets))))
            doubt = misfit / _size(look.landmarks) / LARGEST_MISFIT
        else:
            doubt = move / LARGEST_MOVE
        confidence = max(0.0, 1 - doubt * (1 - BELIEVED)) if _is_inside(look.landmarks, image) else 0.0
        return FaceState(
            params_global=params_global,
            params_local=params_local,
            landmarks=look.landmarks,
            detection_success=confidence >= BELIEVED,
            confidence=confidence,
            points=look.points if len(look.points) != len(look.landmarks) else None,
        )

    def _placed(self, params_global: Array) -> FaceState:
        params_local = self._numerics.cast(np.zeros(self._shape.n_modes))
        return FaceState(
            params_global=params_global,
            params_local=params_local,
            landmarks=self._pdm.shape_2d(params_global, params_local),
            detection_success=False,
            confidence=0.0,
        )

    def _initial_or(self, before: Sequence[FaceState] | None, count: int) -> Sequence[FaceState]:
        return [self.initial()] * count if before is None else before


def _lost(state: FaceState) -> FaceState:
    """A state with nothing of its own to say: where it was, not believed."""
    return FaceState(
        params_global=state.params_global, params_local=state.params_local, landmarks=state.landmarks,
        detection_success=False, confidence=0.0, points=state.points,
    )  # fmt: skip


def _boxes_of(landmarks: Sequence[Array]) -> Array:
    """RetinaFace's boxes (K, 4) of faces with these landmarks."""
    return box_of_landmarks(np.stack([_extent(face) for face in landmarks])) if landmarks else np.zeros((0, 4))


def _extent(landmarks: Array) -> Array:
    """(4,) x, y, w, h px around landmarks (n, 2)."""
    x_min, y_min, x_max, y_max = bounding_box(landmarks)
    return np.array([x_min, y_min, x_max - x_min, y_max - y_min], landmarks.dtype)


def _size(landmarks: Array) -> float:
    """Root of width times height, px; never 0."""
    _, _, width, height = _extent(landmarks).astype(np.float64)
    return max(float(np.sqrt(width * height)), float(np.finfo(np.float32).tiny))


def _moved(first: _Look, second: _Look) -> float:
    """Mean distance between the landmarks of two looks, relative to their size."""
    offsets = (second.landmarks - first.landmarks).astype(np.float64)
    return float(mean(np.sqrt(total(offsets * offsets)))) / _size(second.landmarks)


def _is_inside(landmarks: Array, image: Array) -> bool:
    """Whether enough landmarks lie in the image."""
    limits = np.array(image.shape[1::-1]) - 1
    return bool(((landmarks >= 0) & (landmarks <= limits)).all(axis=1).mean() >= INSIDE)
