"""Action units to expression shapes: which of the model's shapes an AU of intensity 0 to 5 is made of.

The shapes are ARKit's, which were drawn after FACS (Ekman, Friesen and Hager 2002). An intensity is FACS's letter as a
number, A = 1 to E = 5, and a shape at full strength is the most that a face does, so a shape's strength is intensity /
5 times the weight in `SHAPES`. Weights of more than one shape for an AU describe its appearance changes in the manual.
What is not symmetric in a face is drawn per person (`Asymmetry`). Movements that are no AU of OpenFace's (lips that
pucker and funnel as in speech, a jaw to the side) are `ASIDES`, drawn beside the AUs and not part of the truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]

FULL = 5.0
#: AU -> shapes at intensity 5. A name without _L or _R means both sides of a shape that has sides.
SHAPES: dict[str, dict[str, float]] = {
    "AU01": {"browInnerUp": 1.0},
    "AU02": {"browOuterUp": 1.0},
    "AU04": {"browDown": 1.0},
    "AU05": {"eyeWide": 1.0},
    "AU06": {"cheekSquint": 0.55, "cheekRaiser": 0.55, "eyeSquint": 0.25},
    "AU07": {"eyeSquint": 1.0, "eyeBlink": 0.10},
    "AU09": {"noseSneer": 1.0, "browDown": 0.25},
    "AU10": {"mouthUpperUp": 1.0, "noseSneer": 0.10},
    "AU12": {"mouthSmile": 0.95},
    "AU14": {"mouthDimple": 1.0},
    "AU15": {"mouthFrown": 1.0},
    "AU17": {"mouthShrugLower": 0.9, "mouthShrugUpper": 0.25},
    "AU20": {"mouthStretch": 0.9},
    "AU23": {"mouthPress": 0.7, "mouthRollUpper": 0.25, "mouthRollLower": 0.25, "mouthPucker": 0.15},
    "AU25": {"mouthLowerDown": 0.75, "mouthUpperUp": 0.20, "jawOpen": 0.10},
    "AU26": {"jawOpen": 0.65},
    "AU28": {"mouthRollUpper": 0.85, "mouthRollLower": 0.85},
    "AU45": {"eyeBlink": 1.0},
}
#: Movements beside the 18 AUs -> shapes at strength 1.
ASIDES: dict[str, dict[str, float]] = {
    "pucker": {"mouthPucker": 0.8},
    "funnel": {"mouthFunnel": 0.8},
    "jaw to the left": {"jawLeft": 0.6, "mouthLeft": 0.15},
    "jaw to the right": {"jawRight": 0.6, "mouthRight": 0.15},
    "mouth to the left": {"mouthLeft": 0.45},
    "mouth to the right": {"mouthRight": 0.45},
    "jaw forward": {"jawForward": 0.7},
    "puffed cheeks": {"cheekPuff": 0.7},
}
#: The eye turns by so much (rad) where a shape that follows the gaze with the lids is at full strength.
LOOK_FULL = 0.75
#: Standard deviations of what one side does more than the other: of a person's habit in an AU, and of its moments.
HABIT, MOMENT = 0.10, 0.05
#: Lips stay together while the jaw drops as long as AU25 is below this share of AU26.
PARTED = 0.8


class ExpressionMap:
    """Strengths of a model's shapes from action units.

    Parameters
    ----------
    names : of the model's shapes. Shapes that it lacks are left out.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._index = {name: k for k, name in enumerate(names)}
        self._aus = np.zeros((len(AU_NAMES), len(names)))
        self._side = np.array([-1.0 if n.endswith("_R") else 1.0 if n.endswith("_L") else 0.0 for n in names])
        for k, au in enumerate(AU_NAMES):
            self._add(self._aus[k], SHAPES[au])
        self._asides = np.zeros((len(ASIDES), len(names)))
        for k, shapes in enumerate(ASIDES.values()):
            self._add(self._asides[k], shapes)

    def _add(self, row: Array, shapes: dict[str, float]) -> None:
        for name, weight in shapes.items():
            for full in (name, f"{name}_L", f"{name}_R"):
                if full in self._index:
                    row[self._index[full]] += weight

    def strengths(self, aus: Array, asides: Array, gaze: Array, lopsided: Array) -> Array:
        """(E,) strengths of all shapes.

        Parameters
        ----------
        aus : (18,) intensities. asides : strengths of ASIDES, 0 to 1. gaze : (2,) yaw and pitch in the head, rad.
        lopsided : (18,) how much more the side on the right of the picture does, as a share.
        """
        sides = 1 + lopsided[:, None] * self._side
        out = (aus[:, None] / FULL * sides * self._aus).sum(axis=0) + asides @ self._asides
        jaw, parted = aus[AU_NAMES.index("AU26")], aus[AU_NAMES.index("AU25")]
        if "mouthClose" in self._index and jaw > 0:
            together = np.clip(1 - parted / (PARTED * jaw), 0, 1)
            out[self._index["mouthClose"]] += together * SHAPES["AU26"]["jawOpen"] * jaw / FULL
        self._look(out, gaze, aus[AU_NAMES.index("AU45")] / FULL)
        limit: Array = np.clip(out, 0, 1.1)
        return limit

    def _look(self, out: Array, gaze: Array, closed: float) -> None:
        """Lids follow the eyes while they are open; yaw is positive to the left of the picture, pitch upwards."""
        yaw, pitch = gaze / LOOK_FULL * (1 - np.clip(closed, 0, 1))
        for name, value in (
            ("eyeLookUp_L", pitch), ("eyeLookUp_R", pitch), ("eyeLookDown_L", -pitch), ("eyeLookDown_R", -pitch),
            ("eyeLookOut_R", yaw), ("eyeLookIn_L", yaw), ("eyeLookIn_R", -yaw), ("eyeLookOut_L", -yaw),
        ):  # fmt: skip
            if name in self._index:
                out[self._index[name]] += max(value, 0.0)


def sample_asides(rng: np.random.Generator) -> Array:
    """Random strengths of ASIDES: mostly none, sometimes one."""
    out = np.zeros(len(ASIDES))
    if rng.random() < 0.25:
        out[int(rng.integers(len(ASIDES)))] = rng.uniform(0.15, 1.0)
    return out
