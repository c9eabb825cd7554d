"""What cameras and rooms do to a crop of a face, at random: exposure, white balance, grey pictures, blur, grain, JPEG,
and things that stand in front of it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def expose(image: Array, rng: np.random.Generator) -> Array:
    """A picture (H, W, 3) uint8 as another camera might have taken it."""
    gain = np.exp(rng.normal(0, 0.22) + rng.normal(0, 0.06, 3))
    out: Array = image.astype(np.float32) * gain + rng.normal(0, 14)
    if rng.random() < 0.15:
        out = np.repeat(out @ np.array([[0.114], [0.587], [0.299]], np.float32), 3, axis=2)
    if rng.random() < 0.2:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.3:
        out = out + rng.normal(0, rng.uniform(1, 8), out.shape)
    exposed: Array = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        _, coded = cv2.imencode(".jpg", exposed, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))])
        exposed = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return exposed


def occlude(image: Array, rng: np.random.Generator) -> None:
    """Put a plain or a noisy rectangle into a picture (H, W, 3) uint8, at most two fifths as wide and as high."""
    height, width = image.shape[:2]
    h, w = (int(length * rng.uniform(0.08, 0.4)) for length in (height, width))
    top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
    patch = np.full((h, w, 3), rng.integers(0, 256, 3), np.float32)
    if rng.random() < 0.5:
        patch += rng.normal(0, 30, patch.shape)
    image[top : top + h, left : left + w] = np.clip(patch, 0, 255)
