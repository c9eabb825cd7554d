"""A person made from the model: shape, skin, eyes, hair and what is worn, all that stays from picture to picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable import props, shading, strands, wrinkles
from auparity.models.synthetic.morphable.anatomy import Anatomy, ball
from auparity.models.synthetic.morphable.expressions import ASIDES, FULL, HABIT, ExpressionMap
from auparity.models.synthetic.morphable.marks import Marks
from auparity.models.synthetic.morphable.model_file import MorphableModel, Part
from auparity.models.synthetic.morphable.props import Piece
from auparity.models.synthetic.morphable.scalp_hair import scalp_hair
from auparity.models.synthetic.morphable.skin import BLUE, RED, SHINE, Looks, paint, waves
from auparity.models.synthetic.morphable.strands import Strands
from auparity.models.synthetic.morphable.surface import vertex_normals
from auparity.models.synthetic.surface import step
from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]

#: Standard deviations of identity components; the model's authors find 1 too much variety (README of ICT-FaceKit).
VARIETY = 0.8
GLASSES, HATS, MASKS = 0.20, 0.07, 0.035  #: shares of people who wear them
CLOSURE = 1.05  #: of the eyes' gap that a whole blink closes
#: mm below the landmarks' middle: where the neck begins to turn with the trunk, and where it does wholly.
NECK = (84.0, 145.0)
MOST = 2.2  #: no component is farther out
IRISES = np.array(
    [
        [0.030, 0.012, 0.005],
        [0.075, 0.032, 0.012],
        [0.13, 0.075, 0.028],
        [0.12, 0.14, 0.05],
        [0.13, 0.20, 0.27],
        [0.20, 0.23, 0.24],
    ]
)
MATERIAL_OF = {
    Part.FACE: shading.SKIN, Part.HEAD: shading.SKIN, Part.MOUTH: shading.WET, Part.EYE_SOCKET: shading.WET,
    Part.GUMS: shading.WET, Part.TEETH: shading.WET,
}  # fmt: skip


def neck_share(rest: Array) -> Array:
    """(n,) how much of places (n, 3) at rest turns with the trunk: nothing of the head, all of the shoulders."""
    share: Array = step((rest[:, 1] - NECK[0]) / (NECK[1] - NECK[0])) * step((rest[:, 2] - 12) / 40)
    return share


class HeadModel:
    """A morphable model and what is worked out of it once."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.anatomy = Anatomy.of(model)
        self.marks = Marks(model, self.anatomy)
        self.expressions = ExpressionMap(model.expression_names)
        self.skin = np.ascontiguousarray(model.triangles[np.isin(model.part, (Part.FACE, Part.HEAD))])
        self.material = np.array([MATERIAL_OF[part] for part in Part], np.int8)[model.part]
        self.neck = neck_share(model.neutral)
        self.cube = wrinkles.noise_cube()
        self.places = wrinkles.anchors(model.neutral[model.landmarks])
        parted = np.array([FULL * (name == "AU25") for name in AU_NAMES])
        nothing = np.zeros(len(AU_NAMES))
        strengths = self.expressions.strengths(parted, np.zeros(len(ASIDES)), np.zeros(2), nothing)
        shape = model.neutral + np.tensordot(strengths.astype(np.float32), model.expression, 1)
        blink = np.array([float(name.startswith("eyeBlink")) for name in model.expression_names], np.float32)
        closed = model.neutral + np.tensordot(blink, model.expression, 1)
        #: mm by which the blinking shapes bring the lids together.
        self.closing = max(self.marks.eye_gap(model.neutral) - self.marks.eye_gap(closed), 1.0)
        self.blinking = np.flatnonzero(blink)
        #: mm by which the whole AU25 parts the lips.
        self.parted_by_au25 = max(self.marks.lip_gap(shape) - self.marks.lip_gap(model.neutral), 1.0)


@dataclass(frozen=True, eq=False)
class Person:
    """A person; arrays in head coordinates, mm."""

    looks: Looks
    neutral: Array  #: (V, 3) float32
    eyes: Array  #: (2, 3) centres of the eyeballs
    eye_radius: float
    pupil: float  #: mm
    eye_look: Array  #: (14,) see eye_colour.py
    strands: Strands
    pieces: tuple[Piece, ...]  #: move with the head
    trunk: Piece
    table: Array  #: (V, skin.COLUMNS) of the model's vertices
    lopsided: Array  #: (18,)
    folding: float
    droop: float  #: how far the upper lids hang at rest, as a share of a blink
    blink: float  #: strength of the blinking shapes that closes these eyes
    material: Array  #: (T,) of the model's triangles: clothes cover the foot of the bust

    @classmethod
    def sample(cls, head: HeadModel, seed: int) -> Person:
        """The person of a seed."""
        rng = np.random.default_rng([73, seed])
        model, anatomy = head.model, head.anatomy
        n = np.clip(rng.normal(0, VARIETY, len(model.identity)), -MOST, MOST).astype(np.float32)
        neutral = model.neutral + np.tensordot(n, model.identity, 1)
        looks = Looks.sample(rng)
        eyes, radius = zip(*(ball(e[0] + np.tensordot(n, e[1:], 1)) for e in model.eyeballs), strict=True)
        ragged = 2.5 * waves(rng, anatomy.rest, 9.0) + 2.0 * waves(rng, anatomy.rest, 3.5)
        bald = looks.male and rng.random() < 0.10 + 0.25 * looks.age
        receding = -90.0 if bald else float(rng.normal(0, 7) - 14 * looks.age * looks.male)
        scalp = anatomy.scalp(receding, ragged) if not bald else np.zeros(len(neutral))
        brows, dark_brows = strands.brows(anatomy, head.skin, looks, head.marks.ridges, rng)
        hair = [brows, strands.lashes(head.marks.margins, head.marks.margin_places, anatomy.eyes, looks, rng)]
        hat = props.hat(anatomy, neutral, rng) if rng.random() < HATS else []
        if scalp.max() > 0.5:
            hair.append(scalp_hair(anatomy, head.skin, looks, scalp, rng, under_hat=bool(hat)))
        if looks.male and rng.random() < 0.35 and (grown := strands.beard(anatomy, head.skin, looks, rng)):
            hair.append(grown)
        dark = rng.random() < 0.3 + 0.75 * looks.melanin
        iris = IRISES[int(rng.integers(0, 2) if dark else rng.integers(0, 6))] * rng.uniform(0.7, 1.25)
        pupil = float(rng.uniform(1.4, 2.9))
        white = np.array([0.66, 0.61, 0.57]) * rng.uniform(0.80, 1.0)
        look = np.concatenate([
            iris, iris * 0.25, white, [np.arcsin(props.IRIS_SHARE), np.arcsin(pupil / np.mean(radius))],
            [rng.uniform(0.1, 0.7), rng.uniform(0, 50), 0],
        ])  # fmt: skip
        table, neutral, material = paint(anatomy, looks, scalp, dark_brows), neutral.astype(np.float32), head.material
        grey = rng.uniform(0.02, 0.8) ** 1.4
        cloth = grey * (1 - (saturation := rng.random() ** 1.5)) + saturation * rng.uniform(0.02, 0.8, 3) ** 1.5
        table, neutral, material = _dressed(head, table, neutral, cloth, rng)
        lopsided = np.clip(rng.normal(0, HABIT, len(AU_NAMES)), -0.3, 0.3)
        lopsided[AU_NAMES.index("AU45")] = 0.0  # both eyes close
        return cls(
            looks=looks, neutral=neutral, eyes=np.stack(eyes), eye_radius=float(np.mean(radius)), pupil=pupil,
            eye_look=look.astype(np.float32), strands=Strands.joined(hair),
            pieces=(*hat, *_worn(head, neutral, np.stack(eyes), float(np.mean(radius)), rng)),
            trunk=props.trunk(cloth, rng), table=table, material=material,
            lopsided=lopsided, folding=float(rng.uniform(0.5, 1.5)),
            droop=float(rng.uniform(0, 0.12)),
            blink=float(np.clip(CLOSURE * head.marks.eye_gap(neutral) / head.closing, 0.4, 2)),
        )  # fmt: skip


def _dressed(
    head: HeadModel, table: Array, neutral: Array, cloth: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Skin table, shape and materials with clothes from a neckline down."""
    rest = head.anatomy.rest
    high, deep = rng.uniform(92, 126), rng.uniform(0, 65)
    front = np.clip(-(rest[:, 2] - 112) / 70, 0, 1) * np.exp(-((rest[:, 0] / 60) ** 2))
    under = ~head.anatomy.inside & (rest[:, 1] > high + deep * front)
    worn = under[head.model.triangles].all(axis=1)
    material = np.where(worn, shading.CLOTH, head.material).astype(np.int8)
    covered = np.zeros(len(rest), np.bool_)
    covered[head.model.triangles[worn]] = True
    table = table.copy()
    table[covered, RED : BLUE + 1] = cloth
    table[covered, SHINE] = 0.15
    out = neutral + 3.0 * vertex_normals(neutral, head.model.triangles) * covered[:, None]
    return table, np.asarray(out, np.float32), material


def _worn(head: HeadModel, neutral: Array, eyes: Array, radius: float, rng: np.random.Generator) -> list[Piece]:
    """Glasses or a mask, each now and then."""
    out: list[Piece] = []
    marks = neutral[head.model.landmarks].astype(np.float64)
    if rng.random() < GLASSES:
        out += props.glasses(eyes, radius, rng)
    if rng.random() < MASKS:
        out += props.mask(neutral[~head.anatomy.inside].astype(np.float64), marks, rng)
    return out
