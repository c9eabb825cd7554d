"""Constrained local models that begin at a network's points: one fit where a face is new, in place of eleven.

A box says where a face is, not where it looks, so OpenFace fits a new face from eleven head orientations and keeps the
likeliest result (spec 50.9). A network that draws landmarks says both. Its points are explained by the shape model
(CalcParams), and one fit begins there. Everything else is the constrained local model's: the fit, the
parts, the validator that judges the result, and how a face is followed. What is found differs from what eleven fits
find by what a fit depends on its start (docs/networks.md has figures): OpenFace has no such start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from auparity.models.types import FaceModel
from auparity.reference.clm import ClmLandmarker, own_state
from auparity.reference.contracts import check_array
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.images import Images
from auparity.reference.landmarker import Indices
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]


class NetworkStartLandmarker(ClmLandmarker):
    """The landmarker of one `FaceModel` that begins at the points of a network.

    Parameters
    ----------
    model : the face model.
    network : what draws the points; its shape model is that of `model`.
    parameters, numerics, stages : as of `ClmLandmarker`.
    """

    def __init__(
        self,
        model: FaceModel,
        network: NetworkLandmarker,
        parameters: DetectorParameters | None = None,
        numerics: Numerics = FLOAT32,
        stages: Stages | None = None,
    ) -> None:
        super().__init__(model, parameters, numerics, stages)
        self._network = network

    def start(
        self,
        images: Images,
        image_index: Indices,
        boxes: Array,
        before: Sequence[FaceState] | None = None,
        *,
        multi_view: bool = True,
    ) -> FaceStates:
        """Landmarks from face boxes (K, 4) x, y, w, h px: one fit from the network's points of each.

        The fit's windows are those of a new face. Whether there is a face is for the validator to say, not for the
        network. `multi_view` means nothing here: the points tell the orientation. What a fit leaves open is taken from
        `before`, or from the face before in order, as in `ClmLandmarker.start`; a box in which the network has nothing
        to look at is no face.

        Raises
        ------
        ContractError : boxes that are not finite numbers.
        """
        check_array("landmarker", "boxes", boxes, (len(image_index), 4))
        windows = self.detector.parameters.init_windows
        states: list[FaceState] = []
        accepted: list[bool] = []
        state = self.initial()
        for k, (index, seen) in enumerate(
            zip(image_index, self._network.draw(images, image_index, boxes), strict=True)
        ):
            begin = state if before is None else own_state(before[k])
            if seen is None:
                states.append(begin)
                accepted.append(False)
                continue
            begin = replace(begin, params_global=seen.params_global, params_local=seen.params_local)
            state = self.detector.detect(images.derived(self.to_gray, int(index)), begin, windows)
            states.append(state)
            accepted.append(state.detection_success)
        return FaceStates(states, accepted)
