"""What is known of faces between frames, whatever kind of model finds their landmarks.

A `FaceState` is a value of one face; `FaceStates` are K of them, with their arrays side by side. A landmarker may carry
more from frame to frame than what everybody reads here: it makes its states of a class of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


@short_repr
@dataclass(frozen=True, eq=False)
class PartState:
    """Parameters and landmarks of a part of the face that has a model of its own (an eye, the inner face)."""

    params_global: Array  #: (6,)
    params_local: Array  #: (m,)
    landmarks: Array  #: (n, 2) px


@short_repr
@dataclass(frozen=True, eq=False, kw_only=True)
class FaceState:
    """What is known of one face, carried from frame to frame (spec 00)."""

    params_global: Array  #: (6,) scale px/mm, rx, ry, rz rad, tx, ty px
    params_local: Array  #: (m,) mm
    landmarks: Array  #: (68, 2) px
    detection_success: bool  #: the landmarker's own flag: does it believe its landmarks?
    confidence: float  #: 0 to 1
    parts: tuple[PartState, ...] = ()  #: in the order of the landmarker's `part_shapes`
    points: Array | None = None  #: (P, 2) px, the landmarker's own points where they are others than the 68

    def with_shape_of(self, before: Self) -> Self:
        """This state with the shape of an earlier one of the same face: a lost face keeps where it was (spec 50.10)."""
        return replace(
            self, params_global=before.params_global, params_local=before.params_local, landmarks=before.landmarks,
            points=before.points,
        )  # fmt: skip


class FaceStates(Sequence[FaceState]):
    """K faces; index it for single ones.

    Parameters
    ----------
    faces : the states.
    accepted : (K,) whether the search that these states come from says that there is a face. None for the states' own
        flags, which is what it is but for a quirk of OpenFace (spec 50.9).
    """

    def __init__(self, faces: Sequence[FaceState], accepted: Sequence[bool] | None = None) -> None:
        self._faces = tuple(faces)
        flags = [face.detection_success for face in self._faces] if accepted is None else accepted
        self.accepted: Flags = np.array(flags, np.bool_)

    @overload
    def __getitem__(self, index: int) -> FaceState: ...
    @overload
    def __getitem__(self, index: slice) -> FaceStates: ...
    def __getitem__(self, index: int | slice) -> FaceState | FaceStates:
        if isinstance(index, slice):
            return FaceStates(self._faces[index], list(self.accepted[index]))
        return self._faces[index]

    def __len__(self) -> int:
        return len(self._faces)

    def __iter__(self) -> Iterator[FaceState]:
        return iter(self._faces)

    def _stack(self, name: str) -> Array:
        return np.stack([getattr(face, name) for face in self._faces])

    @property
    def landmarks(self) -> Array:
        """(K, 68, 2) px."""
        return self._stack("landmarks")

    @property
    def params_global(self) -> Array:
        """(K, 6)."""
        return self._stack("params_global")

    @property
    def params_local(self) -> Array:
        """(K, m)."""
        return self._stack("params_local")

    @property
    def confidence(self) -> Array:
        """(K,) from 0 to 1."""
        return np.array([face.confidence for face in self._faces])

    @property
    def success(self) -> Flags:
        """(K,) the landmarker's own flags."""
        return np.array([face.detection_success for face in self._faces], np.bool_)
