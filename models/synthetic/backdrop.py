"""What is behind a face and what a camera does to the picture: procedural backgrounds, blur, noise, JPEG, exposure.

Backgrounds are pictures of nothing in particular that have the statistics that fool detectors: gradients, smooth noise
of every scale (1/f), edges, blobs of skin colour, stripes, tiles, furniture-like boxes, discs, text-like scribbles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    if rng.random() < 0.25:  # skin and wood
        base = np.array([0.35, 0.5, 0.75]) * rng.uniform(0.4, 1.25)
    else:
        grey = rng.uniform(0.05, 0.95)
        base = grey + rng.normal(0, 0.14, 3)
    b, g, r = np.clip(base, 0, 1).tolist()
    return (b, g, r)


def _fractal(rng: np.random.Generator, height: int, width: int) -> Array:
    """1/f noise, (H, W, 3), mean 0."""
    out = np.zeros((height, width, 3), np.float32)
    cell, strength = float(max(height, width)) / 2, 0.2
    slope = rng.uniform(0.5, 0.85)
    colourful = rng.uniform(0, 0.5) ** 2
    while cell > 1.5:
        rows, columns = int(height / cell) + 3, int(width / cell) + 3
        small = rng.standard_normal((rows, columns, 3), dtype=np.float32)
        small = (1 - colourful) * small[..., :1] + colourful * small
        layer = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        out += np.float32(strength) * layer
        cell, strength = cell / 2, strength * slope
    return out


def _things(rng: np.random.Generator, canvas: Array) -> None:
    """Draw edges, boxes, discs, stripes and scribbles on a BGR canvas."""
    height, width = canvas.shape[:2]
    for _ in range(int(rng.integers(0, 14))):
        kind = rng.integers(0, 6)
        x, y = int(rng.integers(-20, width + 20)), int(rng.integers(-20, height + 20))
        w, h = (int(v) for v in rng.integers(6, max(8, int(0.7 * width)), 2))
        colour = _colour(rng)
        if kind == 0:
            box = cv2.boxPoints(((float(x), float(y)), (float(w), float(h)), float(rng.uniform(-25, 25))))
            cv2.fillConvexPoly(canvas, np.round(box * 8).astype(np.int32), colour, cv2.LINE_AA, 3)
        elif kind == 1:
            cv2.ellipse(canvas, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.line(
                canvas, (x, y), (x + w, y + int(rng.integers(-h, h))), colour, int(rng.integers(1, 9)), cv2.LINE_AA
            )
        elif kind == 3:
            pitch = int(rng.integers(4, 24))
            for k in range(0, w, pitch):
                cv2.line(canvas, (x + k, y), (x + k, y + h), colour, max(1, pitch // 3), cv2.LINE_AA)
        elif kind == 4:
            points = np.cumsum(rng.normal(0, rng.uniform(2, 12), (40, 2)), axis=0) + [x, y]
            cv2.polylines(
                canvas, [np.round(points * 8).astype(np.int32)], False, colour, int(rng.integers(1, 4)), cv2.LINE_AA, 3
            )
        else:  # eyes and mouths look like discs in pairs: a detector must learn that they do not make a face
            for dx in (0, int(rng.integers(8, 60))):
                cv2.circle(canvas, (x + dx, y), int(rng.integers(2, 16)), colour, -1, cv2.LINE_AA)


def background(rng: np.random.Generator, height: int, width: int) -> Array:
    """(H, W, 3) float32 BGR, 0 to 1."""
    top, bottom = np.array(_colour(rng)), np.array(_colour(rng))
    ramp = np.linspace(0, 1, height)[:, None, None]
    canvas = np.ascontiguousarray(
        np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).astype(np.float32)
    )
    if rng.random() < 0.75:
        canvas += np.float32(rng.uniform(0.1, 0.8)) * _fractal(rng, height, width)
    _things(rng, canvas)
    if rng.random() < 0.6:
        sigma = float(rng.uniform(0.5, 5))
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma), np.float32)
        if rng.random() < 0.5:
            _things(rng, canvas)
    if rng.random() < 0.5:
        canvas += np.float32(rng.uniform(0.1, 0.5)) * 0.3 * _fractal(rng, height, width)
    return np.clip(canvas, 0, 1)


@dataclass(frozen=True, eq=False)
class Film:
    """What a camera makes of a picture: blur, motion, exposure, grain, JPEG."""

    blur: float  #: px
    motion: tuple[float, float]  #: length px, direction degrees; length below 3: none
    gain: Array  #: (3,) exposure and white balance, BGR
    gamma: float
    grey: bool
    grain: float
    quality: int  #: of the JPEG; above 100: none

    @classmethod
    def sample(cls, rng: np.random.Generator, face_width: float, strength: float = 1.0) -> Film:
        """Random faults; strength 0 is a perfect camera."""
        return cls(
            blur=float(rng.uniform(0.4, 0.4 + face_width / 130)) if rng.random() < 0.5 * strength else 0.0,
            motion=(
                float(rng.uniform(0.01, 0.035) * face_width) if rng.random() < 0.1 * strength else 0.0,
                float(rng.uniform(0, 180)),
            ),
            gain=(1 + strength * rng.normal(0, 0.12)) * (1 + strength * rng.normal(0, 0.05, 3)),
            gamma=float(np.exp(strength * rng.normal(0, 0.15))),
            grey=bool(rng.random() < 0.06 * strength),
            grain=float(strength * rng.uniform(0, 0.035)),
            quality=int(rng.uniform(45, 96)) if rng.random() < 0.6 * strength else 101,
        )

    def expose(self, image: Array, rng: np.random.Generator) -> Array:
        """(H, W, 3) float32 BGR 0 to 1 -> uint8; `rng` draws the grain."""
        out: Array = cv2.GaussianBlur(image, (0, 0), self.blur) if self.blur else image
        length = int(self.motion[0])
        if length >= 3:
            kernel: Array = np.zeros((length, length), np.float32)
            kernel[length // 2] = 1.0 / length
            turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), self.motion[1], 1)
            kernel = cv2.warpAffine(kernel, turn, (length, length))
            weights = np.asarray(kernel / max(float(kernel.sum()), 1e-6), np.float32)
            out = cv2.filter2D(out, -1, weights)
        out = np.clip(out * self.gain.astype(np.float32), 0, 1) ** np.float32(self.gamma)
        if self.grey:
            out = np.repeat(out.mean(axis=2, keepdims=True), 3, axis=2)
        out = out + np.float32(self.grain) * rng.standard_normal(out.shape, dtype=np.float32)
        pixels: Array = np.clip(out * 255 + 0.5, 0, 255).astype(np.uint8)
        if self.quality <= 100:
            coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
            pixels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
        return pixels
