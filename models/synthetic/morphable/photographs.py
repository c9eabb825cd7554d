"""Backgrounds from photographs: parts of the public-domain pictures without people that scikit-image installs.

Where scikit-image is not installed, backgrounds are drawn. Nothing in the pictures is a face (of scikit-image's
pictures the two of people are left out), and none is kept: they are cut, turned, recoloured and blurred behind a
rendered head.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.backdrop import background as drawn_background

Array = npt.NDArray[Any]

#: Files of scikit-image's data folder: things, animals, surfaces and the sky.
PICTURES = (
    "coffee.png", "chelsea.png", "brick.png", "grass.png", "gravel.png", "rocket.jpg", "clock_motion.png",
    "ihc.png", "moon.png", "hubble_deep_field.jpg", "retina.jpg",
)  # fmt: skip
SHARE = 0.5  #: of backgrounds that are photographs, where there are any
SMALLEST = 0.25  #: part of a picture that is shown, along its shorter side


@lru_cache(maxsize=1)
def pictures() -> tuple[Array, ...]:
    """(h, w, 3) uint8 BGR of every picture that is installed."""
    if find_spec("skimage") is None:
        return ()
    folder = Path(str(import_module("skimage.data").__file__)).parent
    found = (cv2.imread(str(folder / name), cv2.IMREAD_COLOR) for name in PICTURES if (folder / name).is_file())
    return tuple(np.asarray(picture) for picture in found if picture is not None)


def background(rng: np.random.Generator, height: int, width: int) -> Array:
    """(H, W, 3) float32 BGR, 0 to 1; a photograph, or a drawn one."""
    chance, seed = rng.random(), int(rng.integers(1 << 31))
    if chance > SHARE or not pictures():
        return drawn_background(np.random.default_rng([89, seed]), height, width)
    rng = np.random.default_rng([89, seed])
    picture = pictures()[int(rng.integers(len(pictures())))]
    side = min(picture.shape[0] / height, picture.shape[1] / width) * rng.uniform(SMALLEST, 1.0)
    rows, columns = max(int(side * height), 8), max(int(side * width), 8)
    top, left = int(rng.integers(picture.shape[0] - rows + 1)), int(rng.integers(picture.shape[1] - columns + 1))
    part = picture[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    shown: Array = (
        cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    if rng.random() < 0.6:  # lenses blur what is far behind a face
        shown = cv2.GaussianBlur(shown, (0, 0), float(rng.uniform(0.6, 6.0)))
    tint = np.exp(rng.normal(0, 0.12, 3)) * rng.uniform(0.5, 1.25)
    return np.asarray(np.clip(shown * tint, 0, 1), np.float32)
