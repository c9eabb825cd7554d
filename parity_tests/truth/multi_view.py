"""``auparity dev multi-view``: compares eleven starting orientations of an image with one.

Rendered images that training never saw are measured by the fastest pipeline, once from eleven head orientations
and once from the frontal one alone, as OpenFace's FaceLandmarkImg does by default (spec 50.9). Landmarks are compared
with the known ones by the mean error of the 68 points in percent of the distance of the outer eye corners (that of
300-W), for all photographs and by how far the head is turned and tilted. In: a bundle, a number of photographs; out: a
Markdown table, as in docs/fidelity.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.synthetic.render import render_photograph
from auparity.parity_tests.truth.runs import (
    PHOTOGRAPH_CANVAS,
    PHOTOGRAPH_SEEDS,
    camera_of,
    load_bundle,
    on_face,
    truth_of,
)
from auparity.reference.options import PipelineOptions
from auparity.reports.truth import metrics

Array = npt.NDArray[Any]

#: Bounds in degrees of the groups that the table shows.
YAW, ROLL = (0, 15, 30, 45, 70), (0, 10, 20, 30)


@dataclass(frozen=True, eq=False)
class Measured:
    """Images (P,) in which the detector found the face, measured in both ways."""

    rotation: Array  #: (P, 3) true pitch, yaw, roll in degrees
    success: dict[bool, Array]  #: by `multi_view`: (P,) the fit passed the validator
    errors: dict[bool, Array]  #: by `multi_view`: (P,) percent of the distance of the outer eye corners


def measure(pipeline: Pipeline, photographs: int) -> Measured:
    """Measure that many images in both ways; those in which the face is not detected are left out."""
    rotation: list[Array] = []
    success: dict[bool, list[bool]] = {True: [], False: []}
    errors: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(PHOTOGRAPH_SEEDS, PHOTOGRAPH_SEEDS + photographs):
        picture = render_photograph(seed, canvas=PHOTOGRAPH_CANVAS)
        truth = truth_of(picture)
        ways = {}
        for multi_view in (True, False):
            faces = pipeline.process_image(picture.image, camera=camera_of(truth), multi_view=multi_view)
            # A failed fit may be beside the face, so the face is also chosen by the fit of the other way.
            ways[multi_view] = faces, on_face(faces, truth)
        chosen = next((face for _, face in ways.values() if face is not None), None)
        if chosen is None:
            continue
        rotation.append(np.degrees(truth.pose[3:]))
        for multi_view, (faces, _) in ways.items():
            face = next(face for face in faces if face.face_id == chosen.face_id)
            success[multi_view].append(bool(face.success))
            error = metrics.landmark_errors(face.landmarks[None], truth.landmarks[None])
            errors[multi_view].append(100 * float(error[0]))
    if not rotation:
        raise AuparityError("no face was detected in any photograph; ask for more photographs.")
    arrays = ({way: np.array(values) for way, values in figures.items()} for figures in (success, errors))
    return Measured(np.stack(rotation), *arrays)


def render(measured: Measured) -> str:
    """The Markdown table: a row for all images, then one for each group of yaw and of roll."""
    yaw, roll = np.abs(measured.rotation[:, 1]), np.abs(measured.rotation[:, 2])
    groups = [("all", np.ones(len(yaw), bool))]
    for name, angles, bounds in (("yaw", yaw, YAW), ("roll", roll, ROLL)):
        for low, high in pairwise(bounds):
            groups.append((f"{name} {low} to {high} degrees", (angles >= low) & (angles < high)))
    lines = [
        "| photographs | number | median error, % of outer eye corners: eleven / one | mean | above 10 % "
        "| not accepted by the validator | eleven better / one better by more than 1 % |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(name, measured, rows) for name, rows in groups if rows.any()]
    return "\n".join(lines)


def _row(name: str, measured: Measured, rows: Array) -> str:
    errors = [measured.errors[way][rows] for way in (True, False)]
    refused = [~measured.success[way][rows] for way in (True, False)]
    failed = [values > 100 * metrics.LANDMARK_FAILURE for values in errors]
    gain = errors[1] - errors[0]
    cells = (
        " / ".join(f"{np.median(values):.2f}" for values in errors),
        " / ".join(f"{values.mean():.2f}" for values in errors),
        " / ".join(f"{values.mean():.1%}" for values in failed),
        " / ".join(f"{values.mean():.1%}" for values in refused),
        f"{np.count_nonzero(gain > 1)} / {np.count_nonzero(gain < -1)}",
    )
    return f"| {name} | {rows.sum()} | {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph. The exit status is 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="auparity dev multi-view", description=__doc__)
    parser.add_argument(
        "--models", default="embedded", metavar="SOURCE", help='"embedded" or a folder (default: %(default)s)'
    )
    parser.add_argument("--photographs", type=int, default=1000, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    try:
        pipeline = Pipeline.best(load_bundle(arguments.models), PipelineOptions(device="cpu"))
        table = render(measure(pipeline, arguments.photographs))
        print(f"{pipeline.bundle.meta.name}, {pipeline.bundle.short_hash}\n\n{table}")
    except AuparityError as error:
        print(f"multi_view: error: {error}", file=sys.stderr)
        return 2
    return 0
