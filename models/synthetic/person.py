"""A person to render: identity, texture, eyes, glasses, hair; and expressions drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic import props
from auparity.models.synthetic.deformation import FULL, IDENTITY, head_shape
from auparity.models.synthetic.props import Mesh
from auparity.models.synthetic.raster import vertex_normals
from auparity.models.synthetic.skin import Looks, linear, paint, to_texture
from auparity.models.synthetic.surface import EYE_CENTRE, RADIUS, step
from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]

MAX_DEVIATIONS = 2.3  #: identity coefficients are cut there, so that no mode turns a face inside out
#: Expressions that faces really make: action units that come together (Ekman and Friesen's prototypes).
PROTOTYPES = (
    ("AU06", "AU12"),
    ("AU06", "AU12", "AU25"),
    ("AU06", "AU12", "AU25", "AU26"),
    ("AU01", "AU02", "AU05", "AU25", "AU26"),
    ("AU04", "AU05", "AU07", "AU23"),
    ("AU01", "AU04", "AU15"),
    ("AU01", "AU04", "AU15", "AU17"),
    ("AU09", "AU10", "AU25"),
    ("AU04", "AU07", "AU09", "AU17"),
    ("AU01", "AU02", "AU04", "AU05", "AU20", "AU25"),
    ("AU12", "AU14"),
    ("AU10", "AU14"),
    ("AU04", "AU07"),
    ("AU01", "AU02"),
    ("AU15", "AU17"),
    ("AU17", "AU23"),
    ("AU25", "AU26"),
    ("AU45",),
    ("AU28",),
)
#: Action units of which a face does not do both: the first wins.
EXCLUSIVE = (
    ("AU28", ("AU25", "AU26", "AU23", "AU10", "AU17", "AU20")),
    ("AU26", ("AU17", "AU23")),
    ("AU45", ("AU05",)),
    ("AU12", ("AU15",)),
    ("AU23", ("AU20", "AU25")),
    ("AU17", ("AU25",)),
)


#: Intensity of parted lips that one of the dropped jaw brings.
JAW_PARTS_LIPS = 0.8


@dataclass(frozen=True, eq=False)
class Person:
    """Everything about a person that does not change from frame to frame."""

    identity: Array  #: (K,) coefficients
    looks: Looks
    neutral: Array  #: (V, 3) head at rest, mm
    texture: Array
    wrinkling: float  #: how deep the skin folds
    eyes: Array  #: (2, 3) centres of the eyeballs
    iris: Array  #: (3,) linear RGB
    pupil: float  #: radius, mm
    mouth: tuple[Mesh, Mesh, Mesh, Mesh]
    teeth: float  #: brightness
    sockets: tuple[Mesh, Mesh]
    ears: tuple[Mesh, Mesh]
    extras: tuple[Mesh, ...]  #: hair and glasses, moving with the head
    frame: Array  #: (3,) linear RGB of the glasses
    cloth: Array  #: (3,) linear RGB
    gloss: float  #: strength of the skin's highlight

    @classmethod
    def sample(cls, seed: int) -> Person:
        """The person of a seed."""
        rng = np.random.default_rng([7, seed])
        head = head_shape()
        identity = np.clip(rng.standard_normal(len(IDENTITY)), -MAX_DEVIATIONS, MAX_DEVIATIONS)
        looks = Looks.sample(rng)
        texture, hair = paint(looks)
        neutral = head.neutral(identity) + _hair_volume(head.neutral(identity), hair, float(rng.uniform(2, 15)))
        rest, rows = head.surface.rest, head.surface
        shift = (neutral - rest)[rows.lids].mean(axis=1)
        eyes = np.stack([EYE_CENTRE * [-1, 1, 1], EYE_CENTRE]) + shift
        lips = neutral[rows.landmarks[[62, 66]]].mean(axis=0)
        moved = lips - rest[rows.landmarks[[62, 66]]].mean(axis=0)
        mouth = tuple(_moved(mesh, np.array([moved[0], moved[1], 0])) for mesh in props.teeth_and_mouth(float(lips[2])))
        ears = tuple(_moved(props.ear(side), _ear_place(neutral, side)) for side in (-1, 1))
        extras: list[Mesh] = []
        if rng.random() < 0.4 and not looks.bald:
            extras.append(props.hanging_hair(float(rng.uniform(20, 130)), rng))
        if rng.random() < 0.22:
            bridge = (neutral - rest)[rows.landmarks[[27, 28]]].mean(axis=0)
            extras += [_moved(mesh, bridge) for mesh in props.glasses(rng)]
        irises = [
            (0.20, 0.11, 0.05),
            (0.33, 0.20, 0.09),
            (0.36, 0.46, 0.55),
            (0.30, 0.42, 0.30),
            (0.42, 0.40, 0.36),
            (0.25, 0.38, 0.60),
        ]
        dark = rng.random() < 0.3 + 0.7 * looks.tone
        iris = np.array(irises[int(rng.integers(0, 2) if dark else rng.integers(0, 6))]) * rng.uniform(0.7, 1.2)
        return cls(
            identity=identity,
            looks=looks,
            neutral=neutral,
            texture=texture,
            wrinkling=0.45 + 0.75 * looks.age,
            eyes=eyes,
            iris=linear(iris),
            pupil=float(rng.uniform(1.6, 3.0)),
            mouth=(mouth[0], mouth[1], mouth[2], mouth[3]),
            teeth=float(rng.uniform(0.6, 0.92)),
            sockets=(_moved(props.socket(-1), eyes[0]), _moved(props.socket(1), eyes[1])),
            ears=(ears[0], ears[1]),
            extras=tuple(extras),
            frame=linear(rng.uniform(0.02, 0.5) * np.ones(3) * rng.uniform(0.4, 1, 3)),
            cloth=linear(rng.uniform(0.05, 0.95, 3)),
            gloss=float(rng.uniform(0.02, 0.28)),
        )


def _moved(mesh: Mesh, by: Array) -> Mesh:
    return Mesh(mesh.vertices + by, mesh.triangles, mesh.material, mesh.uv)


def _hair_volume(neutral: Array, hair: Array, height: float) -> Array:
    """(V, 3) mm by which the hair on the skull lifts the surface; never where there are landmarks."""
    surface = head_shape().surface
    cells = np.round(to_texture(surface.plane)).astype(int).clip(0, [hair.shape[1] - 1, hair.shape[0] - 1])
    cover = cv2.GaussianBlur(hair, (0, 0), 7)[cells[:, 1], cells[:, 0]]
    theta, v = np.abs(surface.plane[:, 0]) / RADIUS, surface.plane[:, 1]
    clear = np.maximum(step((theta - 1.62) / 0.35), step((-68 - v) / 14))
    return vertex_normals(neutral, surface.triangles) * (height * cover * clear)[:, None]


def _ear_place(neutral: Array, side: int) -> Array:
    """Where the ear is on this head: at the surface, a little behind its middle."""
    wanted = np.array([side * 74.0, -12.0, 62.0])
    scaled = np.abs(head_shape().surface.rest - wanted).sum(axis=1)
    return neutral[int(np.argmin(scaled))] + [side * 1.0, 0, 0]


def sample_aus(rng: np.random.Generator, calm: float = 0.15) -> Array:
    """(18,) random intensities: a prototype or single action units, some more at random, or a face at rest."""
    aus = np.zeros(len(AU_NAMES))
    if rng.random() < calm:
        return aus
    names = set(PROTOTYPES[int(rng.integers(len(PROTOTYPES)))]) if rng.random() < 0.5 else set()
    names |= {name for name in AU_NAMES if rng.random() < 0.16}
    strength = rng.uniform(0.5, FULL)
    for name in sorted(names):  # sets have no order that a seed decides
        aus[AU_NAMES.index(name)] = np.clip(
            strength * rng.uniform(0.5, 1.4) if rng.random() < 0.6 else rng.uniform(0.3, FULL), 0, FULL
        )
    return reconcile(aus)


def reconcile(aus: Array) -> Array:
    """Intensities (..., 18) without combinations that a face cannot show."""
    out = aus.copy()
    for winner, losers in EXCLUSIVE:
        # What the winner does, the losers cannot do: they fade out over its first intensity.
        fade = np.clip(1 - out[..., AU_NAMES.index(winner)], 0, 1)
        for loser in losers:
            out[..., AU_NAMES.index(loser)] *= fade
    # A jaw that drops parts the lips: FACS scores both.
    parted, jaw = AU_NAMES.index("AU25"), AU_NAMES.index("AU26")
    out[..., parted] = np.maximum(out[..., parted], JAW_PARTS_LIPS * out[..., jaw])
    return out
