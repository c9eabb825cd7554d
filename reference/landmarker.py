"""What finds and follows the landmarks of faces, above the stages (design 3).

`Landmarker` is the interface: tracking, pose, gaze, analysis and outputs know it and nothing of what is behind it. Each
kind of model has one implementation; that of the constrained local models is in `clm.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.images import Images

Array = npt.NDArray[Any]
Indices = Sequence[int] | npt.NDArray[np.int64]


class Landmarker(Protocol):
    """Finds landmarks from boxes, and follows them. Holds no state of any face.

    `image_index` (K,) says which of the images each face is in, so that several people in one frame, several streams,
    and one face are the same call.
    """

    @property
    def shape(self) -> PDM:
        """The shape model that global and local parameters belong to."""

    @property
    def part_shapes(self) -> Mapping[str, PDM]:
        """Shape models of the parts, by name, in the order of `FaceState.parts`; empty where there are none."""

    def initial(self) -> FaceState:
        """The state of a face that was never seen."""

    def start(
        self,
        images: Images,
        image_index: Indices,
        boxes: Array,
        before: Sequence[FaceState] | None = None,
        *,
        multi_view: bool = True,
    ) -> FaceStates:
        """Landmarks of faces in boxes.

        Parameters
        ----------
        boxes : (K, 4) x, y, w, h px.
        before : the states of the same faces before; None where nothing is known of them.
        multi_view : try several head orientations, where the model has to be told one.

        Returns
        -------
        K states; `accepted` says in which boxes there is a face.
        """

    def place(self, boxes: Array) -> FaceStates:
        """States of new faces in boxes (K, 4) x, y, w, h px, before anything is looked for in an image.

        `follow` may begin with them: it then finds the landmarks of a face whose box is known, without the search that
        `start` makes. The shape is the mean one, upright in the box; `detection_success` is False.
        """

    def follow(self, images: Images, image_index: Indices, states: Sequence[FaceState]) -> FaceStates:
        """Landmarks of faces that were at `states` (K) in the frame before, or were placed there."""
