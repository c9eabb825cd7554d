"""Landmarks by a model of your own: the mean shape, laid into the face's box and moved with the picture.

A toy, but a whole one: pose, gaze, alignment and action units follow from what it returns, as from any landmarker.

    [project.entry-points."auparity.models"]
    mean-shape = "my_package.landmarker"
"""

from dataclasses import dataclass

import cv2
import numpy as np

from auparity.models.consistency import register_kind
from auparity.models.types import PDM
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.model_families import landmarker


@dataclass(frozen=True, eq=False)
class MeanShape:
    """The weights."""

    pdm: PDM


@dataclass(frozen=True, eq=False, kw_only=True)
class Followed(FaceState):
    """What this landmarker carries from frame to frame: the picture in which it last saw the face, None before."""

    seen: np.ndarray | None


class MeanShapeLandmarker:
    def __init__(self, weights, stages, numerics):
        self.shape, self.part_shapes, self.numerics = weights.pdm, {}, numerics
        self.pdm, self.to_gray = stages.pdm(weights.pdm), stages.grayscale()

    def initial(self):
        return self._state(np.array([1, 0, 0, 0, 0, 0]), None, success=False)

    def start(self, images, image_index, boxes, before=None, *, multi_view=True):
        return self.follow(images, image_index, self.place(boxes))

    def place(self, boxes):
        zeros = self.numerics.cast(np.zeros(self.shape.n_modes))
        upright = self.numerics.cast(np.zeros(3))
        boxed = [self.pdm.params_from_box(box, zeros, upright) for box in boxes]
        return FaceStates([self._state(params, None, success=False) for params in boxed])

    def follow(self, images, image_index, states):
        faces = []
        for index, state in zip(image_index, states, strict=True):
            gray = images.derived(self.to_gray, index)
            moved = (0, 0)  # where nothing was seen before
            if state.seen is not None:
                moved, _ = cv2.phaseCorrelate(state.seen.astype(np.float64), gray.astype(np.float64))
            params = state.params_global + self.numerics.cast([0, 0, 0, 0, *moved])
            faces.append(self._state(params, gray))
        return FaceStates(faces)

    def _state(self, params_global, seen, success=True):
        g, p = self.numerics.cast(params_global), self.numerics.cast(np.zeros(self.shape.n_modes))
        return Followed(
            params_global=g,
            params_local=p,
            landmarks=self.pdm.shape_2d(g, p),
            detection_success=success,
            confidence=float(success),
            seen=seen,
        )


@landmarker(MeanShape)
def build(weights, stages, numerics, parameters):
    return MeanShapeLandmarker(weights, stages, numerics)


register_kind(MeanShape)
