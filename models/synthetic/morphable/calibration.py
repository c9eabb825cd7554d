"""``auparity dev fit-landmarks --faces MODEL --pdm PDM``: how far the rendered landmarks are from a PDM's convention.

People are drawn with expressions, their 68 landmarks (3D) are brought onto the PDM's mean by eyes and nose, and the PDM
is fitted to each by least squares with its own prior (parameters are normal with the eigenvalues as variances; a
landmark is off by `NOISE` mm). Two figures a landmark follow: the mean difference from the PDM's mean before the fit,
which a convention leaves but also what people do on average, and the residual after it, which the PDM cannot explain.
Distances are mm at the PDM's own scale. `SHIFTS` of marks.py was chosen with them; see docs/embedded.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.models.formats.pdm import read_pdm
from auparity.models.synthetic.morphable.heads import MorphableHeads, morphable_heads
from auparity.models.synthetic.morphable.scene import moment
from auparity.models.synthetic.person import sample_aus
from auparity.models.synthetic.scene import Light, Shot
from auparity.models.synthetic.types import RenderCamera
from auparity.models.types import PDM

Array = npt.NDArray[Any]

NOISE = 1.0  #: mm, standard deviation of a landmark about the PDM
ANCHORS = np.array([*range(27, 31), *range(36, 48)])  #: bridge of the nose and eyes: both conventions agree on them
GROUPS = {
    "contour": range(0, 17), "brows": range(17, 27), "nose": range(27, 36), "eyes": range(36, 48),
    "outer lips": range(48, 60), "inner lips": range(60, 68),
}  # fmt: skip
FIRST_SEED = 9_000_000  #: people of their own: nothing is trained or judged on them


@dataclass(frozen=True, eq=False)
class Fit:
    """Landmarks against a PDM; N faces, mm, in the PDM's axes."""

    differences: Array  #: (N, 68, 3) from the PDM's mean, after alignment
    residuals: Array  #: (N, 68, 3) from the fitted shape
    scale: float  #: PDM units a mm
    pitch: float  #: degrees by which the heads nod against the PDM's mean


def landmarks_of(heads: MorphableHeads, people: int, faces: int) -> Array:
    """(people * faces, 68, 3) mm in head coordinates."""
    camera, still = RenderCamera(1000.0, 0.0, 0.0), np.zeros(3)
    light = Light(np.array([[0, 0, -1.0]]), np.ones((1, 3)), np.ones(3), np.ones(3))
    out = []
    for number in range(people):
        person, rng = heads.person(FIRST_SEED + number), np.random.default_rng([91, number])
        for _ in range(faces):
            shot = Shot(sample_aus(rng), np.zeros(2), still, np.array([0, 0, 800.0]), camera, light, still)
            face = moment(heads.head, person, shot).face
            out.append(heads.head.marks.points_68.points(face) - [0, 0, 800.0])
    return np.stack(out)


def fit(landmarks: Array, pdm: PDM) -> Fit:
    """Align landmarks (N, 68, 3) to a PDM and fit it."""
    mean = pdm.mean.reshape(3, 68).T
    aligned, scales, pitches = [], [], []
    for face in landmarks:
        a, b = face[ANCHORS], mean[ANCHORS]
        u, s, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
        turn = u @ vt
        scale = float(s.sum() / ((a - a.mean(0)) ** 2).sum())
        aligned.append((face - a.mean(0)) @ turn * scale + b.mean(0))
        scales.append(scale)
        pitches.append(np.degrees(np.arctan2(turn[1, 2], turn[1, 1])))
    shapes = np.stack(aligned)
    # Rigid motion and scale go into the fit, too: alignment by a few landmarks leaves some of them.
    rows = (shapes - mean).transpose(0, 2, 1).reshape(len(shapes), -1)
    x, y, z = mean.T
    nil, one = np.zeros(68), np.ones(68)
    rigid = np.stack(
        [
            np.concatenate(c)
            for c in (
                (one, nil, nil),
                (nil, one, nil),
                (nil, nil, one),
                (nil, -z, y),
                (z, nil, -x),
                (-y, x, nil),
                (x, y, z),
            )
        ],
        axis=1,
    )
    basis = np.concatenate([rigid, pdm.components], axis=1)
    prior = np.concatenate([np.zeros(rigid.shape[1]), NOISE**2 / pdm.eigenvalues.ravel()])
    solution = np.linalg.solve(basis.T @ basis + np.diag(prior), basis.T @ rows.T)
    rest = rows - (basis @ solution).T
    return Fit(
        shapes - mean, rest.reshape(-1, 3, 68).transpose(0, 2, 1), float(np.mean(scales)), float(np.mean(pitches))
    )


def report(result: Fit) -> str:
    """The figures as text."""
    lines = [
        f"{len(result.residuals)} faces; {result.scale:.3f} units of the PDM a mm; nod {result.pitch:+.2f} degrees",
        "group        mean difference x y z   rms residual   mean residual x y z (mm)",
    ]
    for name, group in GROUPS.items():
        rows = list(group)
        difference = result.differences[:, rows].mean(axis=(0, 1))
        rest = result.residuals[:, rows]
        lines.append(
            f"{name:12s} {difference[0]:+6.1f} {difference[1]:+6.1f} {difference[2]:+6.1f}   "
            f"{np.sqrt((rest**2).sum(axis=2).mean()):6.2f}         "
            + " ".join(f"{v:+5.2f}" for v in rest.mean(axis=(0, 1)))
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev fit-landmarks", description=__doc__)
    parser.add_argument("--faces", type=Path, metavar="MODEL", help="file of the morphable model (or AUPARITY_FACES)")
    parser.add_argument("--pdm", type=Path, required=True, help="OpenFace's In-the-wild_aligned_PDM_68.txt")
    parser.add_argument("--people", type=int, default=100, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--expressions", type=int, default=4, help="of each person")
    parser.add_argument("--landmarks", action="store_true", help="also every landmark by itself")
    chosen = parser.parse_args(arguments)
    try:
        result = fit(
            landmarks_of(morphable_heads(chosen.faces), chosen.people, chosen.expressions), read_pdm(chosen.pdm)
        )
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(result))
    if chosen.landmarks:
        for k in range(68):
            before, after = result.differences[:, k].mean(axis=0), result.residuals[:, k].mean(axis=0)
            print(f"{k:3d}  " + " ".join(f"{v:+6.1f}" for v in before) + "    " + " ".join(f"{v:+6.2f}" for v in after))
    return 0
