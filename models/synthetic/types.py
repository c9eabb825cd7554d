"""What the renderer says of a picture: the truth that training learns from and that metrics are held against.

Pixels as in the pipeline's output: x right, y down, the centre of the top left pixel is (0, 0). Millimetres in camera
space: x right, y down, z away from the camera. "Left eye" is the one on the left of the picture, as in OpenFace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: The 18 AUs that the renderer moves, in the order of OpenFace's CSV: 17 with an intensity, and AU28 (presence only).
AU_NAMES = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU28", "AU45",
)  # fmt: skip
#: An AU counts as present from this intensity on: FACS level A, a trace, starts there.
PRESENCE_FROM = 1.0


@dataclass(frozen=True, eq=False)
class RenderCamera:
    """A pinhole camera looking along +z (px)."""

    focal: float
    centre_x: float
    centre_y: float


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one picture with one face."""

    landmarks: Array  #: (68, 2) px
    landmarks_3d: Array  #: (68, 3) mm, camera space
    visible: Array  #: (68,) bool: not hidden by the head itself
    eye_landmarks: Array  #: (2, 28, 2) px, left eye and right eye, in the order of OpenFace's eye models
    eye_landmarks_3d: Array  #: (2, 28, 3) mm, camera space
    pose: Array  #: (6,) Tx, Ty, Tz of the head's origin in mm; rx, ry, rz rad, R = Rx Ry Rz (spec 30.1, 70)
    gaze: Array  #: (2, 3) unit vectors in camera space, left eye and right eye
    aus: Array  #: (18,) intensities 0 to 5 in the order of AU_NAMES
    camera: RenderCamera
    points_98: Array  #: (98, 2) px, the landmarks of WFLW (points_98.py)

    @property
    def box(self) -> Array:
        """(4,) x, y, width, height of the box tight around the 68 landmarks, px."""
        low, high = self.landmarks.min(axis=0), self.landmarks.max(axis=0)
        return np.concatenate([low, high - low])


@dataclass(frozen=True, eq=False)
class Picture:
    """A rendered picture and its truth; `truth` is None for a picture without a face."""

    image: Array  #: (H, W, 3) uint8 BGR
    truth: Truth | None
