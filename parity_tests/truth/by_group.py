"""``auparity dev truth-groups --faces MODEL``: how well a bundle measures rendered people of one group and another.

Pictures of people of the morphable model that no training has seen, one picture of each person, measured whole. The
renderer draws skin, age, sex, light, turn and size independently of each other, so what differs between two groups is
what the group does and not who else is in it. Skin is grouped by the individual typology angle (ITA) of its colour,
age by the renderer's own measure of it (wrinkles, folds, grey hair), light by the mean brightness of the face in the
picture. With ``--page docs/model-card.md`` the table goes into the documentation. What is finished is kept under
``--work``, so that the same command resumes an interrupted run.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.networks.chosen import description_of
from auparity.models.synthetic.clip_folder import renderer_version
from auparity.models.synthetic.render import PICTURES_OF_A_PERSON, render_photograph
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import AU_NAMES
from auparity.parity_tests.fidelity import page as fidelity_page
from auparity.parity_tests.fidelity.run import environment
from auparity.parity_tests.truth.run import Task, code_version, run
from auparity.parity_tests.truth.runs import Arrays, camera_of, heads_of, load_bundle, on_face, truth_of
from auparity.reference.options import PipelineOptions
from auparity.reference.results import INTENSITY_AUS
from auparity.reports.truth import metrics

Array = npt.NDArray[Any]

FIRST_SEED = 9_600_000  #: no training and no other run has these people
PICTURES, IN_A_TASK = 1500, 50
CANVAS, YAW = (320, 320), 60.0
#: CIE 1931 XYZ of linear sRGB, relative to its white (IEC 61966-2-1).
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(axis=1)
#: What each group's name stands for: array, and bounds from which and up to which it reaches.
Group = tuple[str, str, float, float]
GROUPS: dict[str, tuple[Group, ...]] = {
    "skin (ITA)": (
        ("light, over 41°", "ita", 41, 91), ("intermediate, 28 to 41°", "ita", 28, 41),
        ("tan, 10 to 28°", "ita", 10, 28), ("brown, -30 to 10°", "ita", -30, 10), ("dark, under -30°", "ita", -91, -30),
    ),
    "age, as drawn": (("young", "age", 0, 1 / 3), ("between", "age", 1 / 3, 2 / 3), ("old", "age", 2 / 3, 1.01)),
    "sex, as drawn": (("female", "male", 0, 0.5), ("male", "male", 0.5, 1.5)),
    "light: the face's mean brightness": (
        ("dark, under 60 of 255", "brightness", 0, 60), ("60 to 120", "brightness", 60, 120),
        ("bright, over 120", "brightness", 120, 256),
    ),
    "yaw": (("0 to 20°", "yaw", 0, 20), ("20 to 40°", "yaw", 20, 40), ("40 to 60°", "yaw", 40, 61)),
    "width of the landmarks' box": (
        ("under 80 px", "width", 0, 80), ("80 to 140 px", "width", 80, 140), ("over 140 px", "width", 140, 1000),
    ),
}  # fmt: skip


def typology_angle(linear_rgb: Array) -> float:
    """Individual typology angle in degrees of a colour (3,) of linear sRGB: large for light skin, negative for dark.

    arctan((L* - 50) / b*) in CIE L*a*b* (Chardon, Cretois, Hourseau, "Skin colour typology and suntanning pathways",
    International Journal of Cosmetic Science, 1991).
    """
    _, y, z = ((1 / 3 * (29 / 6) ** 2 * t + 4 / 29) if t < (6 / 29) ** 3 else t ** (1 / 3)
               for t in XYZ @ np.asarray(linear_rgb, np.float64) / WHITE)  # fmt: skip
    return math.degrees(math.atan2(116 * y - 16 - 50, 200 * (y - z)))


@lru_cache(maxsize=1)
def _pipeline(source: str) -> Pipeline:
    return Pipeline.best(load_bundle(source), PipelineOptions(device="cpu"))


def measure(source: str, first_seed: int, count: int, faces: str | None = None) -> Arrays:
    """Pictures of `count` people from seed `first_seed` on: what they are, and how well they were measured.

    `error` is the landmark error as a share of the distance of the outer eye corners, `au_error` the mean absolute
    error of 17 intensities by the static models; both NaN where no face was accepted at the true place.
    """
    heads = heads_of(faces)
    columns = [AU_NAMES.index(name) for name in INTENSITY_AUS]
    rows: list[tuple[float, ...]] = []
    for seed in range(first_seed, first_seed + count):
        picture = render_photograph(seed * PICTURES_OF_A_PERSON, canvas=CANVAS, yaw=YAW, heads=heads)
        truth, looks = truth_of(picture), heads.person(seed).looks
        width, inside = truth.box[2], metrics.share_inside(truth.box, CANVAS)
        found = _pipeline(source).process_image(picture.image, camera=camera_of(truth))
        face = on_face(found, truth)
        error = au_error = math.nan
        if face is not None and face.success:
            error = float(metrics.landmark_errors(face.landmarks[None], truth.landmarks[None])[0])
            au_error = float(np.abs(face.au_intensity - truth.aus[columns]).mean())
        rows.append((
            typology_angle(looks.skin()), looks.age, looks.male, _brightness(picture.image, truth.box),
            abs(math.degrees(truth.pose[4])), width, inside, face is not None, error, au_error,
        ))  # fmt: skip
    names = ("ita", "age", "male", "brightness", "yaw", "width", "inside", "found", "error", "au_error")
    return dict(zip(names, np.array(rows, np.float64).T, strict=True))


def _brightness(image: Array, box: Array) -> float:
    """Mean of all pixels and colours in a box, 0 to 255."""
    left, top = np.maximum(np.floor(box[:2]).astype(int), 0)
    right, bottom = np.ceil(box[:2] + box[2:]).astype(int)
    return float(image[top:bottom, left:right].mean())


def table(arrays: Arrays) -> list[str]:
    """Lines of the table: a row for everybody and one for each group, faces cut by the picture's edge left out."""
    whole = arrays["inside"] >= metrics.WHOLE_FACE
    lines = [
        "| people | pictures | accepted | landmark error, mean | of these above 10 % | AU error |",
        "|---|---|---|---|---|---|",
        _row("all", arrays, whole),
    ]
    for title, groups in GROUPS.items():
        for name, of, low, high in groups:
            rows = whole & (arrays[of] >= low) & (arrays[of] < high)
            if rows.any():
                lines.append(_row(f"{title}: {name}", arrays, rows))
    return lines


def _row(name: str, arrays: Arrays, rows: Array) -> str:
    errors, au_errors = arrays["error"][rows], arrays["au_error"][rows]
    measured = np.isfinite(errors)
    count, taken = len(errors), int(measured.sum())
    low, high = wilson(taken, count)
    accepted = f"{taken / count:.1%} ({low:.1%} to {high:.1%})"
    failed = "–" if not taken else f"{(errors[measured] > metrics.LANDMARK_FAILURE).mean():.1%}"
    return (
        f"| {name} | {count} | {accepted} | {_mean(100 * errors[measured], 2, ' %')} | {failed} "
        f"| {_mean(au_errors[measured], 2)} |"
    )


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Bounds of a share with a confidence of 95 % (Wilson, "Probable inference", JASA 1927)."""
    z, p = 1.96, hits / of
    middle, half = p + z**2 / (2 * of), z * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    return max((middle - half) / (1 + z**2 / of), 0.0), min((middle + half) / (1 + z**2 / of), 1.0)


def _mean(values: Array, digits: int, unit: str = "") -> str:
    """A mean with the half-width of its 95 % interval."""
    if len(values) < 2:
        return "–"
    return f"{values.mean():.{digits}f} ± {1.96 * values.std(ddof=1) / math.sqrt(len(values)):.{digits}f}{unit}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph."""
    parser = argparse.ArgumentParser(prog="auparity dev truth-groups", description=__doc__)
    parser.add_argument("--models", default="embedded", metavar="SOURCE", help="default: %(default)s")
    parser.add_argument(
        "--faces", type=Path, required=True, metavar="MODEL", help="file of the morphable model (docs/embedded.md)"
    )
    parser.add_argument("--pictures", type=int, default=PICTURES, metavar="N", help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes (default: up to 2)")
    parser.add_argument("--page", type=Path, help="page whose figures are replaced, e.g. docs/model-card.md")
    parser.add_argument("--work", type=Path, default=Path("results/truth-groups"), help="where finished tasks are kept")
    chosen = parser.parse_args(argv)
    try:
        text = _measured(chosen)
        print(text)
        if chosen.page is not None:
            fidelity_page.replace_figures(chosen.page, text)
    except AuparityError as error:
        print(f"truth-groups: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("truth-groups: interrupted; the same command resumes.", file=sys.stderr)
        return 130
    return 0


def _measured(chosen: argparse.Namespace) -> str:
    bundle = load_bundle(chosen.models)
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    version = f"{bundle.short_hash}-{code_version(chosen.faces)}-{own}"
    tasks = [
        Task(f"people_{first}_{min(IN_A_TASK, chosen.pictures - first)}", "people", measure, FIRST_SEED + first,
             min(IN_A_TASK, chosen.pictures - first))
        for first in range(0, chosen.pictures, IN_A_TASK)
    ]  # fmt: skip
    parts = run(chosen.models, tasks, Workspace(chosen.work / version, chosen.faces), chosen.jobs, str(chosen.faces))
    arrays = {name: np.concatenate([part[name] for part in parts["people"]]) for name in parts["people"][0]}
    described = environment(bundle) | description_of(bundle) | {"renderer": renderer_version(morphable=True)}
    said = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in described.items())
    command = f"auparity dev truth-groups --faces MODEL --models {chosen.models} --pictures {chosen.pictures}"
    return "\n".join([f"Measured by `{command}`: {said}.", "", *table(arrays)]) + "\n"
