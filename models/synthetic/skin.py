"""The texture of a head: skin, lips, brows, lashes, hair and beard, painted on the parameter plane of the surface.

A texture is (TEXTURE_HEIGHT, TEXTURE_WIDTH, 3) float32, linear RGB, 0 to 1. What does not depend on the person (masks
of regions, maps of wrinkles) is painted once. Wrinkles deepen with the action units that fold the skin, so they are
maps of their own, mixed in when a frame is shaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.surface import (
    _OUTER_LIP,
    BOTTOM,
    EYE_CENTRE,
    MOUTH_LINE,
    RADIUS,
    RIGHT_BROW,
    TOP,
    _closed,
    lid_contours,
    mirrored,
    opened,
    plane_of,
    step,
)

Array = npt.NDArray[Any]

PIXELS_PER_MM = 2.0
LEFT = -(np.pi * RADIUS + 3)
TEXTURE_WIDTH = int(2 * -LEFT * PIXELS_PER_MM)
TEXTURE_HEIGHT = int((BOTTOM - TOP + 14) * PIXELS_PER_MM)
GAMMA = 2.2

#: Which action units deepen which wrinkles, and by how much at full intensity.
WRINKLES: dict[str, dict[str, float]] = {
    "forehead": {"AU01": 0.45, "AU02": 0.5},
    "frown": {"AU04": 0.75, "AU09": 0.25},
    "crow's feet": {"AU06": 0.7},
    "nose": {"AU09": 0.8},
    "nasolabial": {"AU12": 0.5, "AU10": 0.5, "AU09": 0.3, "AU20": 0.15},
    "chin": {"AU17": 0.8},
    "dimple": {"AU14": 1.1, "AU12": 0.15},
    "under the eye": {"AU06": 0.3, "AU07": 0.75},
    "lips": {"AU23": 0.8, "AU28": 0.25},
}


def to_texture(plane: Array) -> Array:
    """(n, 2) texture pixels of (n, 2) points of the (opened) plane."""
    return (plane - [LEFT, TOP - 7]) * PIXELS_PER_MM


def face_to_texture(xy: Array, lower: Array | None = None) -> Array:
    """Texture pixels of points given by x and y on the front of the head at rest."""
    xy = np.asarray(xy, np.float64)
    plane = plane_of(xy)
    side = plane[:, 1] > MOUTH_LINE if lower is None else lower
    return to_texture(opened(plane, side))


def linear(rgb: tuple[float, float, float] | Array) -> Array:
    """Linear light of sRGB values 0 to 1 (by a plain gamma)."""
    return (np.asarray(rgb, np.float32) ** GAMMA).astype(np.float32)


def noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """Smooth noise of unit variance, features of about `cell` pixels."""
    rows, columns = max(int(height / cell) + 3, 4), max(int(width / cell) + 3, 4)
    small = rng.standard_normal((rows, columns), dtype=np.float32)
    out = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return out * np.float32(1.35)


@dataclass(frozen=True, eq=False)
class Regions:
    """Masks (float32, 0 to 1) on the texture that are the same for everybody."""

    x: Array  #: mm of w at each pixel
    y: Array  #: mm of v
    lips: Array
    lip_line: Array
    shade: Array  #: ambient occlusion, 0 = none
    flush: Array  #: where blood shows
    nostrils: Array
    lashes_up: Array
    lashes_low: Array
    lid_fold: Array
    inner_eye: Array
    beard: Array
    moustache: Array
    wrinkles: Array  #: (H, W, 9) in the order of WRINKLES


def _canvas() -> Array:
    return np.zeros((TEXTURE_HEIGHT, TEXTURE_WIDTH), np.float32)


def _line(
    xy: Array, thickness_mm: float, canvas: Array | None = None, soft: float = 0.4, closed: bool = False
) -> Array:
    """A soft line through face points, drawn at both signs of x by the caller where wanted."""
    out = _canvas() if canvas is None else canvas
    points = np.round(face_to_texture(xy) * 8).astype(np.int32)
    cv2.polylines(out, [points], closed, 1.0, max(1, round(thickness_mm * PIXELS_PER_MM)), cv2.LINE_AA, 3)
    return cv2.GaussianBlur(out, (0, 0), soft * PIXELS_PER_MM)


def _both(xy: Any, thickness: float, soft: float = 0.8) -> Array:
    right = np.asarray(xy, np.float64)
    return np.maximum(_line(right, thickness, soft=soft), _line(mirrored(right), thickness, soft=soft))


def _blob(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    return np.exp(-0.5 * (((np.abs(x) - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)).astype(np.float32)


def _wrinkle_maps() -> Array:
    t = np.linspace(0, 1, 24)
    maps = []
    forehead = [
        _line(np.stack([-46 + 92 * t, y - 5 * np.sin(np.pi * t) + 1.2 * np.sin(9 * t + y)], 1), 1.1, soft=0.9)
        for y in (-68, -76, -84)
    ]
    maps.append(np.max(forehead, axis=0))
    frown = [_both([(5, -47), (6.5, -54), (7.5, -62)], 1.3), _both([(9.5, -52), (11, -57), (12.5, -61)], 0.9)]
    maps.append(np.max(frown, axis=0))
    feet = [_both([(50, -37 + a), (55, -37 + 1.6 * a), (61, -37 + 2.6 * a)], 0.8, 0.6) for a in (-3.2, 0.2, 3.4)]
    maps.append(np.max(feet, axis=0))
    nose = [_both([(0.5, y), (5, y + 1.0), (10, y + 4)], 1.0, 0.7) for y in (-43, -37, -31)]
    maps.append(np.max([*nose, _both([(13, -12), (15.5, -5), (17, 1)], 1.2)], axis=0))
    maps.append(_both([(16, -1), (21, 5), (26, 14), (30, 22), (33, 31)], 1.7, 1.2))
    rng = np.random.default_rng(5)
    chin = _canvas()
    for x, y in rng.uniform([-14, 52], [14, 68], (60, 2)):
        centre = face_to_texture(np.array([[x, y]]))[0]
        cv2.circle(chin, (int(centre[0]), int(centre[1])), 2, 1.0, -1, cv2.LINE_AA)
    maps.append(
        np.maximum(
            cv2.GaussianBlur(chin, (0, 0), 1.2),
            _line(np.stack([-13 + 26 * t, 46.5 - 2.5 * np.sin(np.pi * t)], 1), 1.6, soft=1.0),
        )
    )
    maps.append(_both([(29.5, 23), (31.5, 28), (30, 33)], 2.8, 1.3))
    under = [
        _both([(19, -29.5), (27, -26.5), (36, -26.5), (44, -30)], 1.2, 0.9),
        _both([(20, -26), (28, -22.5), (38, -22.5)], 0.9),
    ]
    maps.append(np.max(under, axis=0))
    lips = [_both([(x, y), (0.93 * x, y + 4.5)], 0.8, 0.5) for x in (2.5, 7, 11.5, 16, 20.5) for y in (14.5, 37.5)]
    maps.append(np.max(lips, axis=0))
    return np.clip(np.stack(maps, -1), 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def regions() -> Regions:
    """The masks, painted once."""
    columns = (np.arange(TEXTURE_WIDTH) / PIXELS_PER_MM + LEFT).astype(np.float32)
    rows = (np.arange(TEXTURE_HEIGHT) / PIXELS_PER_MM + TOP - 7).astype(np.float32)
    x, y = np.meshgrid(columns, rows)
    fill = _canvas()
    outer = _closed([(float(a), float(b)) for a, b in _OUTER_LIP], 8)
    cv2.fillPoly(fill, [np.round(face_to_texture(outer) * 8).astype(np.int32)], 1.0, cv2.LINE_AA, 3)
    lips = cv2.GaussianBlur(fill, (0, 0), 0.7 * PIXELS_PER_MM)
    line = np.linspace(-24, 24, 49)
    edge = np.stack([line, np.full_like(line, MOUTH_LINE)], 1)
    lip_line = _canvas()
    for lower in (False, True):
        points = np.round(face_to_texture(edge, np.full(len(edge), lower)) * 8).astype(np.int32)
        cv2.polylines(lip_line, [points], False, 1.0, 3, cv2.LINE_AA, 3)
    lip_line = cv2.GaussianBlur(lip_line, (0, 0), 0.7 * PIXELS_PER_MM)
    lids = lid_contours()[1]
    upper, under = lids[:7], np.concatenate([lids[6:], lids[:1]])
    fold = upper + np.stack([np.zeros(7), -np.array([0.5, 3.2, 4.4, 4.8, 4.4, 3.4, 1.2])], 1)
    shade = (
        0.30 * _blob(x, y, 30, -45, 13, 4.5)
        + 0.28 * _blob(x, y, 14.5, -40, 4, 6)
        + 0.25 * _blob(x, y, 16.5, 2, 3, 5)
        + 0.30 * _blob(x, y, 0, 11, 9, 3.5)
        + 0.25 * _blob(x, y, 0, 45.5, 13, 3)
        + 0.25 * _blob(x, y, 29, 28, 3, 3)
        + 0.18 * _blob(x, y, 30, -28, 13, 3.5)
        + 0.5 * step((y - 76) / 12)
    )
    nostrils = np.clip(1.5 * _blob(x, y, 6.2, 4.2, 2.6, 1.5), 0, 1)
    flush = _blob(x, y, 40, -5, 15, 13) + 0.8 * _blob(x, y, 0, -6, 9, 8) + 0.4 * _blob(x, y, 0, 62, 15, 8)
    edge_of_beard = 30 - 0.0 * x + 22 * np.clip(1 - np.abs(x) / 62, 0, 1) ** 0.8
    beard = step((y - np.where(np.abs(x) < 75, 8 + 24 * np.clip(1 - np.abs(np.abs(x) - 32) / 60, 0, 1), -25)) / 10)
    beard = beard * step((118 - np.abs(x)) / 12) * (1 - lips)
    beard = np.where((np.abs(x) < 26) & (y < edge_of_beard), np.minimum(beard, step((y - 41) / 4)), beard)
    moustache = np.clip(
        1.3 * np.exp(-0.5 * (np.abs(x) / 20) ** 4) * np.exp(-0.5 * ((y - 11.5 + 0.0 * x) / 4.2) ** 4), 0, 1
    ) * (1 - lips)
    return Regions(
        x=x,
        y=y,
        lips=lips,
        lip_line=np.clip(lip_line, 0, 1),
        shade=shade.astype(np.float32),
        flush=flush,
        nostrils=nostrils,
        lashes_up=_both(upper, 1.1, 0.35),
        lashes_low=_both(under, 0.6, 0.35),
        lid_fold=_both(fold, 0.8, 0.5),
        inner_eye=_both(under, 1.0, 0.5),
        beard=beard.astype(np.float32),
        moustache=moustache.astype(np.float32),
        wrinkles=_wrinkle_maps(),
    )


@dataclass(frozen=True)
class Looks:
    """What a person's skin and hair look like, as numbers; drawn by `Looks.sample`."""

    tone: float  #: 0 light to 1 dark
    warmth: float
    ruddy: float
    blemishes: float
    freckles: float
    lip_red: float
    lipstick: float
    shadow: float  #: eye shadow
    lashes: float
    brow_density: float
    brow_width: float  #: mm
    hair: tuple[float, float, float]  #: sRGB
    hairline: float  #: mm lower than usual
    bald: float
    stubble: float
    beard: float
    moustache: float
    age: float  #: 0 smooth to 1 wrinkled
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Looks:
        """A random person's looks."""
        tone = float(rng.beta(1.1, 1.5))
        made_up, bearded = rng.random() < 0.25, rng.random() < 0.3
        hairs = [
            (0.07, 0.06, 0.05),
            (0.16, 0.10, 0.07),
            (0.30, 0.19, 0.11),
            (0.50, 0.34, 0.18),
            (0.72, 0.58, 0.36),
            (0.45, 0.20, 0.08),
            (0.62, 0.61, 0.60),
            (0.86, 0.85, 0.83),
        ]
        dark = rng.random() < 0.35 + 0.6 * tone
        pick = np.array(hairs[int(rng.integers(0, 2) if dark else rng.integers(0, len(hairs)))])
        hair = tuple(float(c) for c in np.clip(pick * rng.uniform(0.75, 1.25) + rng.normal(0, 0.015, 3), 0.03, 0.95))
        return cls(
            tone=tone,
            warmth=float(rng.normal(0, 1)),
            ruddy=float(rng.uniform(0, 1)),
            blemishes=float(rng.uniform(0, 1)),
            freckles=float(max(0, rng.normal(-0.6, 0.7))),
            lip_red=float(rng.uniform(0.15, 0.9)),
            lipstick=float(rng.uniform(0.3, 1)) if made_up else 0.0,
            shadow=float(rng.uniform(0, 0.7)) if made_up else 0.0,
            lashes=float(rng.uniform(0.25, 1)),
            brow_density=float(rng.uniform(0.25, 1)),
            brow_width=float(rng.uniform(4.0, 8.5)),
            hair=(hair[0], hair[1], hair[2]),
            hairline=float(rng.normal(0, 7)),
            bald=float(rng.random() < 0.1),
            stubble=float(rng.uniform(0, 0.5)) if rng.random() < 0.4 else 0.0,
            beard=float(rng.uniform(0.5, 1)) if bearded and rng.random() < 0.6 else 0.0,
            moustache=float(rng.uniform(0.5, 1)) if bearded else 0.0,
            age=float(rng.uniform(0, 1) ** 1.5),
            seed=int(rng.integers(2**31)),
        )

    def skin_colour(self) -> Array:
        """Linear RGB of the skin's ground."""
        stops = np.array(
            [[0.95, 0.80, 0.72], [0.88, 0.69, 0.57], [0.74, 0.53, 0.40], [0.52, 0.35, 0.26], [0.30, 0.20, 0.155]]
        )
        place = np.linspace(0, 1, len(stops))
        rgb = np.array([np.interp(self.tone, place, stops[:, k]) for k in range(3)])
        rgb = rgb * (1 + 0.03 * self.warmth * np.array([0.6, 0.1, -1.0]))
        return linear(np.clip(rgb, 0.02, 0.98))


def brow_half_width(t: Array, width: float) -> Array:
    """Half the height (mm) of a brow of a given width, at `t` from 0 (inner end) to 1: it tapers outwards."""
    return np.asarray(0.5 * width * np.interp(t, [0, 0.15, 0.6, 1], [0.8, 1, 0.85, 0.3]))


def _strokes(rng: np.random.Generator, looks: Looks) -> Array:
    """Coverage of the brows, hair by hair."""
    out = _canvas()
    count = int(70 + 150 * looks.brow_density)
    for sign in (-1, 1):
        ridge = np.array(RIGHT_BROW) * [sign, 1]
        t = np.sort(rng.uniform(0, 1, count))
        knots = np.linspace(0, 1, len(ridge))
        x, y = np.interp(t, knots, ridge[:, 0]), np.interp(t, knots, ridge[:, 1])
        # The landmarks run along the brow's middle.
        half = brow_half_width(t, looks.brow_width)
        y = y + half * rng.uniform(-1, 1, count)
        lean = np.interp(t, [0, 0.3, 1], [0.9, 0.35, -0.15])
        length = rng.uniform(3.0, 5.5, count)
        start = face_to_texture(np.stack([x, y], 1))
        end = start + np.stack([sign * length * (1 - 0.6 * lean), -length * lean], 1) * PIXELS_PER_MM
        for a, b in zip(np.round(start * 8).astype(int).tolist(), np.round(end * 8).astype(int).tolist(), strict=True):
            cv2.line(out, a, b, 0.75, 1, cv2.LINE_AA, 3)
    soft = cv2.GaussianBlur(out, (0, 0), 0.9 * PIXELS_PER_MM)
    return np.clip(0.65 * out + 0.9 * soft, 0, 1) * np.float32(0.35 + 0.65 * looks.brow_density)


def hair_coverage(looks: Looks, rng: np.random.Generator) -> Array:
    """Where the scalp's hair covers the head, 0 to 1."""
    r = regions()
    theta = np.abs(r.x) / RADIUS
    line = np.interp(
        theta, [0, 0.55, 0.85, 1.05, 1.25, 1.42, 1.6, 1.9, 2.3, np.pi], [-97, -96, -88, -74, -50, -20, -38, 10, 42, 46]
    )
    rugged = 4 * noise(rng, TEXTURE_HEIGHT, TEXTURE_WIDTH, 14) + 2.0 * noise(rng, TEXTURE_HEIGHT, TEXTURE_WIDTH, 4)
    line = (
        line
        + looks.hairline * np.interp(theta, [0, 1, 1.3], [1, 0.6, 0])
        - 70 * looks.bald * np.interp(theta, [0, 1.2, 1.7], [1, 0.6, 0.1])
    )
    return step((line + rugged - r.y) / 6 + 0.5).astype(np.float32)


def paint(looks: Looks) -> tuple[Array, Array]:
    """The texture of a person, and where hair covers the skull, (H, W) 0 to 1."""
    rng = np.random.default_rng(looks.seed)
    r, shape = regions(), (TEXTURE_HEIGHT, TEXTURE_WIDTH)
    ground = looks.skin_colour()
    mottle = (
        0.05 * noise(rng, *shape, 60)
        + 0.03 * noise(rng, *shape, 18)
        + (0.015 + 0.03 * looks.blemishes) * noise(rng, *shape, 4)
    )
    pores = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02 + 0.03 * looks.blemishes)
    shade = 1 - 0.75 * r.shade
    out = ground * ((1 + mottle + pores) * shade)[..., None]
    red = 0.28 * looks.ruddy * (r.flush * (1 + 0.3 * noise(rng, *shape, 10)))[..., None]
    out = out * (1 + red * np.array([0.35, -0.5, -0.45], np.float32))
    if looks.freckles > 0:
        spots = step((noise(rng, *shape, 2.6) - 1.6) / 0.5) * np.clip(r.flush * 1.5, 0, 1)
        out = out * (1 - 0.35 * min(looks.freckles, 1) * spots)[..., None]
    for _ in range(int(rng.integers(0, 5))):
        cx, cy, size = rng.uniform(-65, 65), rng.uniform(-90, 70), rng.uniform(0.6, 1.6)
        out = out * (1 - 0.6 * _blob(r.x - cx, r.y, 0, cy, size, size))[..., None]
    lip_colour = ground * np.array([0.95, 0.62, 0.62], np.float32) * (1 - 0.25 * looks.lip_red)
    if looks.lipstick:
        lip_colour = linear((rng.uniform(0.5, 0.85), rng.uniform(0.05, 0.3), rng.uniform(0.12, 0.35)))
    lip_alpha = r.lips * np.float32(max(0.35 + 0.5 * looks.lip_red, looks.lipstick))
    lip_grain = 1 + 0.07 * cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (1, 9), 0, sigmaY=3) * 2
    out = _mix(out, lip_colour * lip_grain[..., None], lip_alpha)
    out = _mix(out, ground * np.float32(0.10), 0.75 * r.lip_line)
    out = _mix(out, ground * np.float32(0.05), 0.85 * r.nostrils)
    if looks.shadow:
        tint = linear(tuple(rng.uniform(0.15, 0.6, 3)))
        out = _mix(out, tint, looks.shadow * 0.8 * np.clip(_blob(r.x, r.y, EYE_CENTRE[0], -44.5, 11, 3), 0, 1))
    out = _mix(out, ground * np.float32(0.45), 0.55 * r.lid_fold)
    out = _mix(out, linear((0.75, 0.45, 0.42)) * np.float32(1 - 0.6 * looks.tone), 0.35 * r.inner_eye)
    dark = linear(looks.hair) * np.float32(0.5)
    out = _mix(out, linear((0.05, 0.04, 0.04)), np.clip((0.45 + 0.75 * looks.lashes) * r.lashes_up, 0, 1))
    out = _mix(out, linear((0.08, 0.06, 0.06)), 0.5 * looks.lashes * r.lashes_low)
    out = _mix(out, dark, 0.9 * _strokes(rng, looks))
    strand = _strands(rng)
    coat = linear(looks.hair) * (0.75 + 0.45 * strand)[..., None]
    furry = np.clip(
        looks.beard * r.beard * (0.8 + 0.35 * strand) + looks.moustache * r.moustache * (0.75 + 0.4 * strand), 0, 1
    )
    grain = (rng.random(shape, dtype=np.float32) > 0.55).astype(np.float32)
    out = _mix(out, dark, looks.stubble * np.clip(r.beard + r.moustache, 0, 1) * (0.25 + 0.55 * grain))
    out = _mix(out, coat * np.float32(0.75), furry * 0.93)
    hair = hair_coverage(looks, rng)
    return np.clip(_mix(out, coat, hair), 0.003, 0.98).astype(np.float32), hair


def _strands(rng: np.random.Generator) -> Array:
    """Streaks that run down the head, about 0 to 1."""
    fine = cv2.GaussianBlur(
        rng.standard_normal((TEXTURE_HEIGHT, TEXTURE_WIDTH), dtype=np.float32), (3, 31), 0.8, sigmaY=9
    )
    return np.clip(0.5 + 1.6 * fine + 0.18 * noise(rng, TEXTURE_HEIGHT, TEXTURE_WIDTH, 25), 0, 1.3)


def _mix(below: Array, above: Array, alpha: Any) -> Array:
    a = np.asarray(alpha, np.float32)[..., None]
    return below + a * (above - below)
