"""``auparity dev seen-landmarks --models DIR --faces MODEL``: what OpenFace's models find in rendered clips.

A bundle, with compiled variants where there are any, tracks and measures clips of a morphable model's people, and its
results are compared with the truth. Landmarks: median offset of every group (mm, the distance of the outer eye corners
taken as 90 mm, turned by the head's roll) over frames that look ahead and are tracked well: a convention shows there, a
lost face does not. Action units: correlation within each clip in which the AU moves, because OpenFace measures
differences within people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.synthetic.clips import FPS, render_clip
from auparity.models.synthetic.morphable.calibration import GROUPS
from auparity.models.synthetic.types import AU_NAMES
from auparity.parity_tests.truth.runs import camera_of, heads_of, load_bundle, truth_of
from auparity.reference.results import INTENSITY_AUS

Array = npt.NDArray[Any]

FIRST_SEED = 9_400_000  #: nothing was chosen on these clips
EYES_MM = 90.0  #: between the outer corners of the eyes, of OpenFace's PDM
AHEAD, WELL = np.radians(20), 6.0  #: frames for offsets: yaw below this, and mean distance (mm) below this
MOVES = 0.4  #: standard deviation of an AU's truth in a clip from which on it counts
LEAST_FRAMES = 60


def measure(pipeline: Pipeline, faces: str, seed: int, frames: int) -> dict[str, Array]:
    """Offsets (F, 68, 2) mm, distances (F,) %, yaw (F,), AUs found and true (F, 17) of the tracked frames of a clip."""
    found, truths, session = [], [], None
    for index, picture in enumerate(render_clip(seed, frames, heads=heads_of(faces))):
        truths.append(truth_of(picture))
        session = session or pipeline.start_video(camera=camera_of(truths[-1]))
        found.append(session.process_frame(picture.image, index / FPS))
    if session is None:
        raise AuparityError("a clip of no frames cannot be tracked; ask for at least one.")
    tracked = np.array([result.success for result in found])
    intensity = np.asarray(session.finish().intensity)[tracked]
    columns = [AU_NAMES.index(name) for name in INTENSITY_AUS]
    rows = np.flatnonzero(tracked)
    true = np.stack([truths[k].aus[columns] for k in rows]) if len(rows) else np.zeros((0, len(columns)))
    offsets = np.zeros((len(rows), 68, 2))
    for n, k in enumerate(rows):
        truth, roll = truths[k].landmarks, truths[k].pose[5]
        turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
        unit = float(np.linalg.norm(truth[36] - truth[45]))
        offsets[n] = (found[k].landmarks - truth) @ turn.T / unit * EYES_MM
    distances = np.linalg.norm(offsets, axis=2).mean(axis=1) / EYES_MM * 100
    yaw = np.array([truths[k].pose[4] for k in rows])
    return {"offsets": offsets, "distances": distances, "yaw": yaw, "found": intensity, "true": true,
            "share": np.array(tracked.mean())}  # fmt: skip


def report(clips: list[dict[str, Array]]) -> str:
    """The figures as text."""
    shares = [float(clip["share"]) for clip in clips]
    middle = [float(np.median(clip["distances"])) for clip in clips if len(clip["distances"])]
    steady = sum(share > 0.95 for share in shares)
    lines = [
        f"{len(clips)} clips; tracked {np.mean(shares):.1%} of the frames ({steady} clips above 95 %)",
        f"median distance of a clip, % of the outer eye corners: {np.median(middle):.2f} "
        f"({min(middle):.2f} to {max(middle):.2f})",
        "group         offset across (outwards), down (mm)",
    ]
    offsets = np.concatenate([clip["offsets"] for clip in clips])
    ahead = np.abs(np.concatenate([clip["yaw"] for clip in clips])) < AHEAD
    well = np.linalg.norm(offsets, axis=2).mean(axis=1) < WELL
    middles = np.median(offsets[ahead & well], axis=0)
    for name, group in GROUPS.items():
        rows = np.array(list(group))
        outwards = np.where(np.isin(rows, LEFT), -1, np.where(np.isin(rows, MIDDLE), 0, 1)) * middles[rows, 0]
        lines.append(f"{name:12s} {outwards.mean():+6.2f} {middles[rows, 1].mean():+6.2f}")
    lines.append("AU     clips in which it moves   mean r within them")
    for k, name in enumerate(INTENSITY_AUS):
        values = [
            _within(clip["true"][:, k], clip["found"][:, k]) for clip in clips if len(clip["true"]) >= LEAST_FRAMES
        ]
        moving = [value for value in values if value is not None]
        lines.append(f"{name}   {len(moving):3d}   " + (f"{np.mean(moving):+.2f}" if moving else "-"))
    return "\n".join(lines)


#: Landmarks on the left of the picture, and in the middle.
LEFT = (*range(8), *range(17, 22), 31, 32, *range(36, 42), 48, 49, 50, 58, 59, 60, 61, 67)
MIDDLE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)


def _within(true: Array, found: Array) -> float | None:
    if true.std() < MOVES or not np.isfinite(found).all() or found.std() == 0:
        return None
    return float(np.corrcoef(true, found)[0, 1])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev seen-landmarks", description=__doc__)
    parser.add_argument("--models", required=True, metavar="SOURCE", help="OpenFace's models: DIR or DIR:clnf")
    parser.add_argument("--faces", type=Path, required=True, metavar="MODEL", help="file of the morphable model")
    parser.add_argument("--clips", type=int, default=12, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--frames", type=int, default=120, help="of each clip")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, metavar="N", help="of the first clip (%(default)s)"
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    try:
        pipeline = Pipeline.best(load_bundle(chosen.models))
        clips = []
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.clips):
            clips.append(measure(pipeline, str(chosen.faces), seed, chosen.frames))
            print(f"clip {seed}: tracked {float(clips[-1]['share']):.0%}", file=sys.stderr, flush=True)
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(clips))
    return 0
