"""The skin of a person: colour, shine, and where freckles, stubble and folds are, for every vertex of the model.

Skin reflects what melanin and blood leave over: its colour is that of pale skin times powers of two fixed ratios, one
for each pigment. Both vary over a face (cheeks, nose, ears, lips and the rims of the eyes have more blood) and in
patches. What is finer than the distance of vertices (pores, freckles, stubble, wrinkles) is made when a pixel is
shaded. Places are found from the model's 68 landmarks, in millimetres on its mean head at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.anatomy import Anatomy
from auparity.models.synthetic.morphable.wrinkles import field, noise_cube

Array = npt.NDArray[Any]

#: Linear RGB of the palest skin, and what full melanin and more blood make of it, as factors.
PALE = np.array([0.80, 0.55, 0.43])
MELANIN = np.array([0.095, 0.060, 0.042])
BLOOD = np.array([0.92, 0.50, 0.52])
LIP_RED = np.array([0.80, 0.42, 0.44])
FLESH = np.array([0.33, 0.075, 0.070])  #: of the mouth
GUM = np.array([0.52, 0.20, 0.19])
#: Columns of the table of vertices.
RED, GREEN, BLUE, SHINE, FRECKLES, STUBBLE, LIPS, OPEN, FOLD = range(9)
COLUMNS = 9

HAIR_COLOURS = np.array(
    [
        [0.010, 0.008, 0.007], [0.022, 0.014, 0.009], [0.055, 0.030, 0.015], [0.11, 0.060, 0.028],
        [0.27, 0.17, 0.075], [0.42, 0.30, 0.16], [0.20, 0.065, 0.022],
    ]
)  # fmt: skip
GREY_HAIR = np.array([0.50, 0.48, 0.46])


@dataclass(frozen=True, eq=False)
class Looks:
    """What decides how a person's skin and hair look."""

    melanin: float  #: 0 to 1
    blood: float
    age: float  #: 0 young to 1 old
    freckles: float
    shine: float
    male: bool
    stubble: float  #: 0 to 1, of shaved or short beard
    hair: Array  #: (3,) linear RGB
    brows: Array  #: (3,)
    lipstick: Array  #: (3,) colour
    lipstick_strength: float
    blush: float
    shadow: Array  #: (3,) eye shadow
    shadow_strength: float
    patches: float  #: contrast of uneven skin
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Looks:
        """Random looks: all skin tones alike often."""
        melanin, age = float(rng.random() ** 1.7), float(rng.beta(1.3, 1.6))
        male = bool(rng.random() < 0.5)
        dark = rng.random() < 0.25 + 0.9 * melanin
        colour = HAIR_COLOURS[int(rng.integers(0, 3) if dark else rng.integers(0, 7))] * rng.uniform(0.75, 1.3)
        grey = float(np.clip((age - 0.5) * 2.6 + rng.normal(0, 0.25), 0, 1)) if rng.random() < 0.7 else 0.0
        hair = colour * (1 - grey) + GREY_HAIR * grey
        brows = (colour * (1 - 0.6 * grey) + 0.5 * GREY_HAIR * 0.6 * grey) * rng.uniform(0.7, 1.3)
        made_up = not male and rng.random() < 0.5
        return cls(
            melanin=melanin,
            blood=float(rng.uniform(0.0, 0.55)),
            age=age,
            freckles=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 * (1 - melanin) + 0.05 else 0.0,
            shine=float(rng.uniform(0.35, 1.25)),
            male=male,
            stubble=float(rng.beta(0.8, 1.2)) if male else 0.0,
            hair=hair,
            brows=brows,
            lipstick=np.array([0.55, 0.05, 0.08]) * rng.uniform(0.4, 1.3, 3) * rng.uniform(0.5, 1.2),
            lipstick_strength=float(rng.uniform(0.2, 0.9)) if made_up else 0.0,
            blush=float(rng.uniform(0, 0.3)) if made_up else 0.0,
            shadow=rng.uniform(0.02, 0.35, 3),
            shadow_strength=float(rng.uniform(0.1, 0.7)) if made_up and rng.random() < 0.6 else 0.0,
            patches=float(rng.uniform(0.01, 0.08)),
            seed=int(rng.integers(1 << 31)),
        )

    def skin(self) -> Array:
        """(3,) linear RGB of plain skin."""
        colour: Array = PALE * MELANIN**self.melanin * BLOOD ** (self.blood * 0.5)
        return colour


def waves(rng: np.random.Generator, places: Array, size: float) -> Array:
    """(n,) a smooth random field of unit variance at places (n, 3) mm, with patches of about `size` mm."""
    shift = rng.uniform(0, 1000, 3)
    return np.asarray(field(noise_cube(), np.ascontiguousarray(places, np.float64), shift, 1 / size), np.float64)


def paint(anatomy: Anatomy, looks: Looks, scalp: Array, brows: Array) -> Array:
    """(V, COLUMNS) float32 of all vertices of the model; `scalp`, `brows`: (V,) how much of a vertex is under hair."""
    rng = np.random.default_rng([71, looks.seed])
    rest, region = anatomy.rest, anatomy.regions
    blood = looks.blood * (
        0.35 + 0.5 * region["cheeks"] + 0.6 * region["nose tip"] + 0.7 * region["ears"] + 0.2 * region["chin"]
        + 0.4 * region["eye rims"] + 0.3 * region["nostrils"]
    ) + looks.blush * region["cheeks"] * 1.3  # fmt: skip
    blood += looks.patches * (1.2 * waves(rng, rest, 30.0) + 0.5 * waves(rng, rest, 9.0))
    melanin = looks.melanin + looks.patches * (0.6 * waves(rng, rest, 40.0) + 0.2 * waves(rng, rest, 7.0))
    melanin = melanin + (0.02 + 0.09 * rng.random()) * region["under the eyes"] + 0.05 * region["eye rims"]
    melanin = melanin - 0.04 * region["forehead"]
    colour = PALE * MELANIN ** np.clip(melanin, 0, 1.1)[:, None] * BLOOD ** np.clip(blood, -0.3, 2)[:, None]
    lips = LIP_RED * (PALE * MELANIN ** (0.62 * looks.melanin + 0.03)) * (0.85 + 0.3 * rng.random())
    lips = lips * (1 - looks.lipstick_strength) + looks.lipstick * looks.lipstick_strength
    red = region["lips"][:, None] * (0.55 + 0.4 * rng.random() + 0.05 * (looks.lipstick_strength > 0))
    colour = colour * (1 - red) + lips * red
    shadow = (looks.shadow_strength * region["upper lids"])[:, None]
    colour = colour * (1 - shadow) + looks.shadow * shadow
    colour = colour * (1 - brows[:, None]) + 1.3 * looks.brows * brows[:, None]
    cover = scalp[:, None]
    colour = colour * (1 - cover) + (0.7 * looks.hair + 0.05 * looks.skin()) * cover
    _insides(anatomy, colour, rng)
    table = np.zeros((len(rest), COLUMNS), np.float32)
    table[:, RED : BLUE + 1] = np.clip(colour, 0.002, 0.95)
    shine = 0.5 + 0.6 * region["nose tip"] + 0.45 * region["forehead"] + 0.3 * region["cheeks"] + 0.2 * region["chin"]
    table[:, SHINE] = looks.shine * (shine + 1.2 * region["lips"] * (1 + looks.lipstick_strength)) * (1 - 0.8 * scalp)
    table[:, FRECKLES] = looks.freckles * (region["cheeks"] + 0.8 * region["nose tip"] + 0.5 * region["forehead"] + 0.1)
    table[:, STUBBLE] = looks.stubble * region["beard"]
    table[:, LIPS] = region["lips"]
    table[:, OPEN] = anatomy.open
    table[:, FOLD] = anatomy.fold
    inside = anatomy.inside
    table[inside, FRECKLES] = table[inside, STUBBLE] = 0
    deep = np.clip(anatomy.rest[inside, 2] - anatomy.lip_front, 0, None)
    behind_lips = anatomy.mouth[inside] | anatomy.gums[inside] | anatomy.teeth[inside]
    # The mouth is closed where openness is measured; open, light falls in from the front.
    table[inside, OPEN] = np.where(behind_lips, 0.10 + 0.75 * np.exp(-deep / 16), 0.5)
    table[inside, SHINE] = 1.2
    table[inside, FOLD] = 99.0
    return table


def _insides(anatomy: Anatomy, colour: Array, rng: np.random.Generator) -> None:
    """Colours of the mouth's inside, the eye sockets, gums, tongue and teeth, in place."""
    depth = np.clip((anatomy.rest[:, 2] - anatomy.lip_front) / 45.0, 0, 1)[:, None]
    colour[anatomy.mouth] = (FLESH * (1 - 0.5 * depth))[anatomy.mouth]
    colour[anatomy.sockets] = np.array([0.50, 0.20, 0.17]) * (0.6 + 0.4 * rng.random())
    colour[anatomy.gums] = (GUM * (1 - 0.4 * depth))[anatomy.gums]
    bright = rng.uniform(0.45, 0.80) * np.array([1.0, rng.uniform(0.88, 0.97), rng.uniform(0.66, 0.88)])
    colour[anatomy.teeth] = (bright * (1 - 0.5 * depth))[anatomy.teeth]
