"""Constrained local models (CLNF, CE-CLM) as a `Landmarker`: hypotheses where a face is new, one fit where it is known.

OpenFace's landmark detection (Baltrusaitis, Zadeh, Lim, Morency, FG 2018; spec 50.6 to 50.10) behind the interface that
every kind of landmark model has. Each face is fitted by itself: the compiled fits take a face at a time too, so a batch
of them would gain nothing on a processor. Fits that do not depend on each other may be done side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy.typing as npt

from auparity.models.types import PDM, FaceModel
from auparity.reference.contracts import check_array
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.grayscale import ToGray
from auparity.reference.hypotheses import FRONTAL, detect_in_box, start_state
from auparity.reference.images import Images
from auparity.reference.landmarker import Indices
from auparity.reference.landmarks import ClmState, DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.stages import Stages, reference_stages

Array = npt.NDArray[Any]


class ClmLandmarker:
    """The landmarker of one `FaceModel`: main model, part models, validator.

    Parameters
    ----------
    model : the face model.
    parameters : settings; None for those of OpenFace's command-line programs.
    numerics : working precision.
    stages : implementations of the stages; None for the reference's own in this precision.
    """

    def __init__(
        self,
        model: FaceModel,
        parameters: DetectorParameters | None = None,
        numerics: Numerics = FLOAT32,
        stages: Stages | None = None,
    ) -> None:
        stages = stages or reference_stages(numerics)
        self.detector = LandmarkDetector(model, parameters, numerics, stages)
        self.to_gray: ToGray = stages.grayscale()
        self._model = model

    @property
    def shape(self) -> PDM:
        return self._model.main.pdm

    @property
    def part_shapes(self) -> Mapping[str, PDM]:
        return {part.name: part.model.pdm for part in self._model.parts}

    def initial(self) -> ClmState:
        """Scale 1, everything else 0 (spec 00)."""
        return self.detector.initial_state()

    def start(
        self,
        images: Images,
        image_index: Indices,
        boxes: Array,
        before: Sequence[FaceState] | None = None,
        *,
        multi_view: bool = True,
    ) -> FaceStates:
        """Landmarks from face boxes, from eleven head orientations or the frontal one alone (spec 50.9).

        A fit of a very small face computes no likelihood, and a box without width is no face: what is then missing is
        taken from `before`. Without it faces are looked at in order, as OpenFace does with the faces of a picture, and
        take it from the face before them.

        Raises
        ------
        ContractError : boxes that are not finite numbers.
        """
        check_array("landmarker", "boxes", boxes, (len(image_index), 4))
        states: list[FaceState] = []
        accepted: list[bool] = []
        state = self.initial()
        for k, (index, box) in enumerate(zip(image_index, boxes, strict=True)):
            gray = images.derived(self.to_gray, int(index))
            start = state if before is None else own_state(before[k])
            found, state = detect_in_box(self.detector, gray, box, start, multi_view=multi_view)
            states.append(state)
            accepted.append(found)
        return FaceStates(states, accepted)

    def place(self, boxes: Array) -> FaceStates:
        """The mean shape upright in each box, everything else as in a state that was reset (spec 85.2 step 3b).

        Raises
        ------
        ContractError : boxes that are not (K, 4) finite numbers.
        """
        check_array("landmarker", "boxes", boxes, ("K", 4))
        states, shape = [], self.detector.main.shape
        for box in boxes:
            state = start_state(self.detector, box, FRONTAL[0], self.initial())
            states.append(replace(state, landmarks=shape.shape_2d(state.params_global, state.params_local)))
        return FaceStates(states)

    def follow(self, images: Images, image_index: Indices, states: Sequence[FaceState]) -> FaceStates:
        """Fit from where the faces were: in small windows after a success, in large ones after a failure (50.10)."""
        parameters, tasks = self.detector.parameters, []
        for index, state in zip(image_index, states, strict=True):
            windows = parameters.track_windows if state.detection_success else parameters.init_windows
            gray = images.derived(self.to_gray, int(index))
            tasks.append(partial(self.detector.detect, gray, own_state(state), windows))
        return FaceStates(self.detector.side_by_side(tasks))


def own_state(state: FaceState) -> ClmState:
    """A state of this landmarker's; those of others lack what it carries."""
    if not isinstance(state, ClmState):
        raise TypeError(f"a state of a constrained local model is needed, not a {type(state).__name__}")
    return state
