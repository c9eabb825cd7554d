"""Which face is followed in a clip where one is wanted: a choice among the faces that the locator finds.

The tracker of one face looks for a face at the start of a clip, while nothing is found, and after failures (spec
50.10). OpenFace then takes the widest box (spec 20.10). A `FaceChoice` takes another one; nothing else changes. This is
an addition of ours. A `PersonChoice` names somebody whom only the whole clip identifies (`persons.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.detection import Detections, Face

Array = npt.NDArray[Any]
#: x and y of the top left corner, width and height, in px of the frame.
Box = tuple[float, float, float, float]
Rule = Literal["largest", "central", "box"]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True)
class FaceChoice:
    """A rule that picks one of several detections.

    Parameters
    ----------
    rule : "largest": the box of the largest area. "central": the box whose centre is nearest to that of the image.
        "box": the box that overlaps most with `box`; while the tracker stays with a face, with where this face was.
    box : of the rule "box" alone: x, y, w, h px in the frame, w and h above 0.

    Raises
    ------
    ContractError : the rule is none of these; `box` is missing, is not four finite numbers or has no area, or belongs
        to another rule.
    """

    rule: Rule
    box: Box | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ContractError("pipeline", "face", f"one of {', '.join(RULES)}", repr(self.rule))
        if (self.box is None) != (self.rule != "box"):
            raise ContractError("pipeline", "face", 'a box with the rule "box" and with no other', repr(self))
        if self.box is not None:
            object.__setattr__(self, "box", _checked_box(self.box))

    def __str__(self) -> str:
        """As on the command line; two choices are equal if their texts are."""
        return self.rule if self.box is None else f"box:{','.join(_shortest(value) for value in self.box)}"

    def select(self, detections: Detections, image_shape: tuple[int, ...], last: Array | None = None) -> Face | None:
        """The face to follow.

        Parameters
        ----------
        detections : the faces of one image; boxes without width or height are none.
        image_shape : (H, W, ...) px.
        last : (4,) x, y, w, h px: where the face was that is looked for again; None for a new one. Only the rule "box"
            looks at it.

        Returns
        -------
        None if there is no face, or none that overlaps. Of equals the first, which has the best score.
        """
        boxes = np.asarray(detections.boxes, np.float64).reshape(-1, 4)
        merit = self._merit(boxes, image_shape, last)
        merit[(boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)] = -np.inf
        if len(merit) == 0 or np.max(merit) == -np.inf:
            return None
        return detections.face(int(np.argmax(merit)))

    def _merit(self, boxes: Array, image_shape: tuple[int, ...], last: Array | None) -> Array:
        """(K,) float64: the highest is chosen; minus infinity for faces that are not eligible."""
        if self.box is not None:
            shares = overlaps(boxes, np.asarray(self.box if last is None else last, np.float64))
            return np.where(shares > 0, shares, -np.inf)
        if self.rule == "largest":
            return boxes[:, 2] * boxes[:, 3]
        centre = np.array([image_shape[1], image_shape[0]], np.float64) / 2
        return -np.hypot(*(boxes[:, :2] + boxes[:, 2:] / 2 - centre).T)


@dataclass(frozen=True)
class PersonChoice:
    """One person of a clip of several, by the number that following all faces gives them.

    Parameters
    ----------
    person_id : from 0, as of `persons.person_ids` where all faces are followed.

    Raises
    ------
    ContractError : it is not a whole number of at least 0.
    """

    person_id: int

    def __post_init__(self) -> None:
        if isinstance(self.person_id, bool) or not isinstance(self.person_id, int) or self.person_id < 0:
            raise ContractError("pipeline", "person_id", "a whole number of at least 0", repr(self.person_id))

    def __str__(self) -> str:
        return f"track:{self.person_id}"


def overlaps(boxes: Array, with_box: Array) -> Array:
    """Intersection over union, 0 to 1, of each of the boxes (K, 4) x, y, w, h px with one (4,); (K,) float64."""
    low = np.maximum(boxes[:, :2], with_box[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], with_box[:2] + with_box[2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    union = boxes[:, 2] * boxes[:, 3] + with_box[2] * with_box[3] - common
    return np.divide(common, union, out=np.zeros(len(boxes)), where=union > 0)


def box_around(landmarks: Array) -> Array:
    """(4,) x, y, w, h px float64: the box around landmarks (n, 2) px."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float64)


def _checked_box(box: Any) -> Box:
    expected = "four finite numbers x, y, w, h in px, with w and h above 0"
    try:
        x, y, width, height = (float(value) for value in box)
    except (TypeError, ValueError) as error:
        raise ContractError("pipeline", "face", expected, repr(box)) from error
    if not (all(math.isfinite(value) for value in (x, y, width, height)) and width > 0 and height > 0):
        raise ContractError("pipeline", "face", expected, repr(box))
    return x, y, width, height


def _shortest(value: float) -> str:
    """The shortest decimal that is read as this number, without ".0"."""
    return repr(value).removesuffix(".0")
