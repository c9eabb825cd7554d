"""``auparity dev persons``: errors of ``person_id`` on rendered clips of several people.

Clips of two to ten people who cross, leave and come back (`models/synthetic/groups.py`) are measured by the fastest
pipeline with as many slots as there are faces, as ``auparity extract --faces all`` does, and compared with the true
people (`identities.py` says how).
In: a bundle, names of clips, seeds; out: Markdown tables and, with ``--output``, a JSON file, which is written after
each clip. The same command resumes an interrupted run, and clips that the file has are not measured again
(`persons_file.py`). The exit status is 0 whatever the errors are.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from auparity.accelerated.one_thread import one_blas_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.synthetic.clips import FPS
from auparity.models.synthetic.groups import SCENES, GroupPicture, Scene, make_group
from auparity.parity_tests.truth.identities import (
    FoundFace,
    Frame,
    TrueFace,
    evaluate,
    numbers_of_people,
    total,
)
from auparity.parity_tests.truth.persons_file import ClipFigures, FiguresFile, measuring_code
from auparity.parity_tests.truth.progress import Progress, reporter
from auparity.parity_tests.truth.runs import load_bundle
from auparity.reference.head_pose import Camera
from auparity.reference.options import PipelineOptions
from auparity.reference.persons import NOBODY
from auparity.reference.results import FrameResult

#: No training and no other measurement has these seeds.
SEEDS = 8_000_000


def measure(pipeline: Pipeline, name: str, scene: Scene, seed: int, progress: Progress) -> ClipFigures:
    """Render a clip, measure it and compare its persons with the true people."""
    group = make_group(scene, seed)
    intrinsics = group.camera
    camera = Camera(intrinsics.focal, intrinsics.focal, intrinsics.centre_x, intrinsics.centre_y)
    session = pipeline.start_video(camera=camera, faces="all")
    truths: list[list[TrueFace]] = []
    results: list[list[FrameResult]] = []
    for index in range(len(group)):
        picture = group.frame(index)
        results.append(session.process_frame(picture.image, index / FPS))
        truths.append(true_faces(picture))
        progress(f"{name}, seed {seed}, frames", index + 1, len(group))
    stretches = session.finish()
    session.close()
    person = {(each.face_id, int(frame)): each.person_id for each in stretches for frame in each.frames}
    frames = [
        Frame(
            true,
            # Rows that the landmarker itself calls failed say nothing about anybody.
            [FoundFace(person[face.face_id, index], face.landmarks) for face in faces if face.success],
        )
        for index, (true, faces) in enumerate(zip(truths, results, strict=True))
    ]
    followed = sum(each.person_id != NOBODY for each in stretches)
    return ClipFigures(name, seed, followed, evaluate(frames), numbers_of_people(frames))


def true_faces(picture: GroupPicture) -> list[TrueFace]:
    """The people of a picture as `identities` takes them."""
    return [TrueFace(seen.identity, seen.landmarks, seen.share) for seen in picture.people]


def render(clips: Sequence[ClipFigures]) -> str:
    """The Markdown table: a row for each kind of clip. Counts are sums over its seeds, shares are means and, in
    brackets, the lowest and the highest."""
    lines = [
        "| clips | frames | faces to be found | found | lost: partly hidden / fast / other | rows on no face "
        "| stretches | persons / people | switches | merges | rows with the person's own number | IDF1 "
        "| IDF1 with right numbers |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(clip.scene for clip in clips):
        of_scene = [clip for clip in clips if clip.scene == name]
        each = [clip.identities for clip in of_scene]
        sums = total(each)
        other = sums.true_rows - sums.found_rows - sums.lost_hidden - sums.lost_fast
        what = SCENES[name].what if name in SCENES else name
        cells = (
            f"{len(of_scene)}: {what} (`{name}`)", str(sums.frames), str(sums.true_rows),
            _percent([clip.found_share for clip in each]), f"{sums.lost_hidden} / {sums.lost_fast} / {other}",
            str(sums.false_rows), str(sum(clip.stretches for clip in of_scene)), f"{sums.persons} / {sums.people}",
            str(sums.switches), str(sums.merges), _percent([clip.own_share for clip in each]),
            _percent([clip.idf1 for clip in each]), _percent([clip.best_idf1 for clip in each]),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(shares: Sequence[float | None]) -> str:
    """Mean and range of the shares that there are."""
    percents = [100 * share for share in shares if share is not None]
    if not percents:
        return "–"
    spread = f" ({min(percents):.1f} to {max(percents):.1f})" if len(percents) > 1 else ""
    return f"{statistics.fmean(percents):.1f} %{spread}"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph. The exit status is 2 when nothing could be measured."""
    arguments = _parser().parse_args(argv)
    try:
        return _measure(arguments)
    except AuparityError as error:
        print(f"persons: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = "the same command resumes" if arguments.output else "nothing is kept without --output"
        print(f"persons: interrupted; {kept}.", file=sys.stderr)
        return 130


def _measure(arguments: argparse.Namespace) -> int:
    unknown = [name for name in arguments.clips if name not in SCENES]
    if unknown:
        raise AuparityError(f"no clip {unknown[0]!r}; there are {', '.join(SCENES)}.")
    bundle = load_bundle(arguments.models)
    progress = reporter()
    with one_blas_thread():
        pipeline = Pipeline.best(bundle, PipelineOptions(device="cpu"))
        settings = {
            "models": bundle.meta.name, "hash": bundle.content_hash, "variants": dict(pipeline.variants),
            "code": measuring_code(),
        }  # fmt: skip
        file = FiguresFile(arguments.output, settings)
        clips = _clips(pipeline, arguments, file, progress)
    print(f"{bundle.meta.name}, {bundle.short_hash}")
    if clips:
        print(f"\n{render(clips)}")
    return 0


def _clips(
    pipeline: Pipeline, arguments: argparse.Namespace, file: FiguresFile, progress: Progress
) -> list[ClipFigures]:
    """The figures of all clips that were asked for, all kinds of a seed before the next seed."""
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    asked = [(name, seed) for seed in seeds for name in dict.fromkeys(arguments.clips)]
    missing = [clip for clip in asked if clip not in file.clips]
    if len(missing) < len(asked):
        print(f"  {len(asked) - len(missing)} of {len(asked)} clips are in {arguments.output}", file=sys.stderr)
    for done, (name, seed) in enumerate(missing, 1):
        file.add(measure(pipeline, name, SCENES[name], seed, progress))
        progress("clips", done, len(missing))
    return sorted((file.clips[clip] for clip in asked), key=lambda clip: arguments.clips.index(clip.scene))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auparity dev persons", description=__doc__)
    parser.add_argument(
        "--models", default="embedded", metavar="SOURCE", help='"embedded" or a folder (default: %(default)s)'
    )
    parser.add_argument(
        "--clips", nargs="*", default=list(SCENES), metavar="NAME", help=f"of {', '.join(SCENES)} (default: all)"
    )
    parser.add_argument("--seeds", type=_count, default=1, metavar="N", help="clips of each kind (default: 1)")
    parser.add_argument(
        "--first-seed",
        type=_count,
        default=SEEDS,
        metavar="S",
        help="the first clip of each kind (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="JSON file, written after each clip; clips that it has are not measured again",
    )
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
