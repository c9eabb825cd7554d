"""The eye as it is painted: pupil, iris with fibres and a dark rim, and the white with its veins."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.compiled import kernel
from auparity.models.synthetic.morphable.wrinkles import noise

Array = npt.NDArray[Any]


@kernel(fastmath=True)
def eye_colour(pixel: Array, values: Array, eyes: Array, cube: Array) -> None:
    """Write colour and openness into a gathered pixel (shading.py).

    values[6:8] hold the angle from the axis of gaze (rad), split in two directions, values[16] how far down the eye a
    place is seen from the upper lid. eyes (14,): iris colour, outer ring's colour, white, angles of iris and pupil,
    redness of the white, a number that fibres depend on, and spare.
    """
    x, y = values[6], values[7]
    angle, turn = math.sqrt(x * x + y * y), math.atan2(y, x)
    iris_edge, pupil_edge = eyes[9], eyes[10]
    share = min(max((angle - pupil_edge) / (iris_edge - pupil_edge), np.float32(0)), np.float32(1))
    fibre = noise(
        cube, np.float32(9) * math.cos(turn) + eyes[12], np.float32(9) * math.sin(turn), share * np.float32(2.5)
    )
    vein = noise(cube, x * 16 + eyes[12], y * 16, np.float32(40))
    thread = max(1 - abs(vein) * np.float32(3.5), np.float32(0)) * min(
        max(angle - np.float32(0.6), np.float32(0)) * 3, np.float32(1)
    )
    edge = min(max((angle - iris_edge) / np.float32(0.045) + np.float32(0.5), np.float32(0)), np.float32(1))
    black = min(max((pupil_edge - angle) / np.float32(0.03) + np.float32(0.5), np.float32(0)), np.float32(1))
    rim = min(max((share - np.float32(0.72)) / np.float32(0.28), np.float32(0)), np.float32(1))
    inner = 1 - min(max(share / np.float32(0.4), np.float32(0)), np.float32(1))
    for c in range(3):
        iris = eyes[c] * (1 + np.float32(0.28) * fibre) * (1 + np.float32(0.35) * inner)
        iris = iris * (1 - rim) + eyes[3 + c] * rim
        iris = max(iris, np.float32(0.002))
        white = eyes[6 + c]
        if c > 0:
            white *= 1 - eyes[11] * (
                np.float32(0.35) * thread
                + np.float32(0.25) * min(max(angle - np.float32(0.75), np.float32(0)) * 2, np.float32(1))
            )
        colour = iris * (1 - edge) + white * edge
        pixel[6 + c] = colour * (1 - black) + np.float32(0.003) * black
    pixel[9] = np.float32(1.0)
