"""``auparity profile``: where the time of a clip goes, and what would help most."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.cli.pipeline_options import add_model_options, open_chosen
from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.benchmarks.profiler import Profile

_DESCRIPTION = """\
Run a clip with a clock around every stage and say where the time goes: milliseconds and share of each stage, how much
faster a frame could become if that stage took no time (Amdahl's bound), and which other variant would help most.
Installed variants are timed on the data of this clip; for others the times come from stored benchmarks of the same kind
of hardware (reports/history). Writes a timeline of three frames (SVG)."""
_EPILOG = """\
examples:
  auparity profile face.mp4 --max-frames 200
  auparity profile frames/ --models embedded --variants reference -o profile.svg

exit status: 0 good, 1 a problem, 2 usage, 130 interrupted"""


def add_parser(subparsers: Any) -> None:
    """Add ``profile`` to the command line."""
    parser = subparsers.add_parser(
        "profile", help="where the time of a clip goes, and what would help", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("clip", type=Path, metavar="VIDEO", help="a video or a folder of frames")
    parser.add_argument("--max-frames", type=int, default=120, metavar="N", help="default: 120")
    add_model_options(parser)
    parser.add_argument("--variants", default="best", metavar="SPEC", help="default: best")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="SVG", help="the timeline; default: NAME.profile.svg in this folder"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity profile``; returns the exit code."""
    if "numpy" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    from auparity.accelerated.choices import parse_spec
    from auparity.accelerated.hardware import hardware_id
    from auparity.accelerated.pipeline import Pipeline
    from auparity.atomic_files import write_text_atomically
    from auparity.benchmarks.profiler import profile
    from auparity.benchmarks.workloads import of_clip
    from auparity.reports.results.stored import history
    from auparity.reports.results.timeline import Bar, timeline

    work = of_clip(arguments.clip, open_chosen(arguments), arguments.max_frames)
    pipeline = Pipeline.of_choices(work.bundle, parse_spec(work.bundle, arguments.variants))
    result = profile(pipeline, work.clips[0], history(hardware_id()), _tell)
    print("\n".join(lines(result, f"{arguments.clip.name}, {work.bundle.meta.name} {work.bundle.short_hash}")))
    path = arguments.output or Path(f"{arguments.clip.stem}.profile.svg")
    bars = [
        [Bar(e.stage, 1000 * (e.start - frame[0].start), 1000 * e.seconds, e.depth) for e in frame]
        for frame in result.timeline
        if frame
    ]
    text = timeline(bars, f"{arguments.clip.name}: stages of {len(bars)} frames")
    try:
        write_text_atomically(path, text)
    except OSError as error:
        raise AuparityError(f"{path}: cannot be written ({error.strerror}); choose another place with -o.") from None
    print(f"\nTimeline: {path}")
    return 0


def lines(result: Profile, title: str) -> list[str]:
    """The profile as text."""
    out = [
        f"{title}: {result.frames} frames, {result.frame_ms:.2f} ms a frame (median {result.median_ms:.2f}), the first "
        f"{result.first_ms:.0f} ms",
        "",
        f"{'stage':16}{'variant':16}{'ms':>9}{'share':>8}{'calls':>7}  if it took no time",
    ]
    out += [
        f"{s.stage:16}{s.variant:16}{s.ms:9.3f}{s.share:8.0%}{s.calls:7.1f}  {s.bound:.2f} times as fast"
        for s in result.stages
    ]
    out.append(f"{'between stages':32}{result.between_ms:9.3f}{result.between_ms / result.frame_ms:8.0%}")
    worst = result.bottleneck
    out += [
        "",
        f"Bottleneck: {worst.stage}. Speeding it up cannot make a frame more than {worst.bound:.2f} times as fast.",
    ]
    if result.alternatives:
        out += ["", "What would help, best first:"]
        out += [
            f"  {o.stage}={o.variant}: {o.gain:.2f} times as fast, {o.frame_ms:.2f} ms a frame ({o.source})"
            for o in result.alternatives
        ]
    else:
        out += ["", "No other variant that is installed, or has a stored benchmark, would be faster."]
    if result.not_tried:
        out += ["", "Not tried:", *(f"  {name}: {why}" for name, why in result.not_tried.items())]
    return out


def _tell(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: {done} of {total}  ", end="\n" if done == total else "", file=sys.stderr)
