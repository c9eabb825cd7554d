"""``auparity dev several-faces``: what several faces in a frame cost, of rendered pictures of 1, 2 and 4 people.

All pictures have one size, and faces are looked for in every eighth frame however many are followed, as with ``--faces
all``. The one-face program (`start_video()`) measures the pictures of one person as well. Frames are in memory before a
clock starts. A round takes every case once; ratios are of one round, so that other work on the machine affects both
sides, and medians are over the rounds. CPU time is that of all threads of the process.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.one_thread import one_blas_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.sources import open_bundle
from auparity.models.synthetic.clips import FPS
from auparity.models.synthetic.groups import make_group, render_group, still_scene
from auparity.reference.many_faces import LOCATE_EVERY
from auparity.reference.options import PipelineOptions

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]

SEED = 8_500_000
PEOPLE = (1, 2, 4)
FRAMES = 3 * LOCATE_EVERY  #: of each clip, of which the first `LOCATE_EVERY` are not timed
CROWD, CROWD_CANVAS = 12, (1280, 720)  #: people in the photograph, and its size in px


@dataclass
class Cost:
    """One case: what it took in each round, for a frame or an image."""

    name: str
    faces: float  #: measured, mean of the timed frames
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def clip(people: int) -> list[Array]:
    """Pictures (H, W, 3) uint8 BGR of people who stand still."""
    return [picture.image for picture in render_group(make_group(still_scene(people, FRAMES), SEED))]


def crowd(people: int) -> Array:
    """A photograph (H, W, 3) uint8 BGR of so many people, of one size whatever their number."""
    return make_group(still_scene(people, 1, CROWD_CANVAS), SEED).frame(0).image


def measure(pipeline: Pipeline, rounds: int, progress: Progress) -> list[Cost]:
    """Times of all cases: first those of a frame of a clip, then those of a photograph, each led by one face."""
    images: dict[int, list[Array]] = {}
    for done, people in enumerate(PEOPLE, 1):
        images[people] = clip(people)
        progress("pictures of several people", done, len(PEOPLE))
    photographs = {1: crowd(1), CROWD: crowd(CROWD)}
    cases: list[tuple[str, Callable[[], tuple[float, float, float]]]] = [
        (f"clip, {people} {_faces(people)}", partial(_clip, pipeline, images[people], "all")) for people in PEOPLE
    ]
    cases.append(("clip, 1 face, the one-face program", partial(_clip, pipeline, images[PEOPLE[0]], None)))
    cases += [
        (f"photograph, {people} {_faces(people)}", partial(_photograph, pipeline, image))
        for people, image in photographs.items()
    ]
    costs: list[Cost] = []
    for number in range(-1, rounds):  # the first round warms up
        for k, (name, run) in enumerate(cases):
            wall, cpu, faces = run()
            if number < 0:
                costs.append(Cost(name, faces))
            else:
                costs[k].wall_ms.append(1000 * wall)
                costs[k].cpu_ms.append(1000 * cpu)
        progress("rounds of the cost", number + 2, rounds + 1)
    return costs


def _faces(people: int) -> str:
    return "face" if people == 1 else "faces"


def _clip(pipeline: Pipeline, images: Sequence[Array], faces: Any) -> tuple[float, float, float]:
    """Seconds of wall and CPU time of a frame, and faces measured in it, over the frames after the first ones."""
    session: Any = pipeline.start_video(faces=faces)
    for index in range(LOCATE_EVERY):
        session.process_frame(images[index], index / FPS)
    found = 0
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(LOCATE_EVERY, len(images)):
        result = session.process_frame(images[index], index / FPS)
        found += sum(face.success for face in (result if isinstance(result, list) else [result]))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    frames = len(images) - LOCATE_EVERY
    return wall / frames, cpu / frames, found / frames


def _photograph(pipeline: Pipeline, image: Array) -> tuple[float, float, float]:
    """The same of one image, measured from eleven orientations a face."""
    wall, cpu = time.perf_counter(), time.process_time()
    faces = pipeline.process_image(image)
    return time.perf_counter() - wall, time.process_time() - cpu, float(len(faces))


def render(costs: Sequence[Cost]) -> str:
    """The Markdown table: medians, and ratios to the first case of the same kind (clip or photograph)."""
    lines = [
        "| case | faces measured | ms, wall | ms, CPU | times the first, wall | times the first, CPU |",
        "|---|---|---|---|---|---|",
    ]
    first: dict[str, Cost] = {}
    for cost in costs:
        base = first.setdefault(cost.name.split(",")[0], cost)
        cells = (
            f"{cost.faces:.3g}",
            f"{statistics.median(cost.wall_ms):.1f}",
            f"{statistics.median(cost.cpu_ms):.1f}",
            _ratio(cost.wall_ms, base.wall_ms),
            _ratio(cost.cpu_ms, base.cpu_ms),
        )
        lines.append(f"| {cost.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(times: Sequence[float], base: Sequence[float]) -> str:
    return f"{float(np.median(np.array(times) / np.array(base))):.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="auparity dev several-faces", description=__doc__)
    parser.add_argument("--models", default="embedded", metavar="SOURCE", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error("--rounds: at least 1")
    try:
        bundle = open_bundle(chosen.models)
        with one_blas_thread():
            pipeline = Pipeline.best(bundle, PipelineOptions(device="cpu"))
            costs = measure(pipeline, chosen.rounds, _report)
    except AuparityError as error:
        print(f"several-faces: error: {error}", file=sys.stderr)
        return 2
    print(f"{bundle.meta.name}, {bundle.short_hash}\n\n{render(costs)}")
    return 0


def _report(what: str, done: int, of: int) -> None:
    print(f"  {what}: {done} of {of}", file=sys.stderr, flush=True)
