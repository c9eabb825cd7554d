"""``auparity models render|example``: write a rendered face clip with its ground truth."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.models.synthetic.heads import Heads
    from auparity.models.synthetic.truth_file import TruthTable

#: Training never uses this seed or larger ones.
HELD_OUT_SEED = 3_000_000
DEFAULT_FRAMES = 300
SMALLEST, LARGEST = 160, 4096  # px, sides of a frame
TWO_SECONDS = 2.0


def add_render(commands: Any) -> None:
    """Add ``render`` to the commands of ``auparity models``."""
    parser = commands.add_parser(
        "render",
        help="render a clip of a face with known truth",
        description="Write a rendered clip as PNG files with truth.csv (OpenFace's columns) and truth.json. "
        "The same seed gives the same clip; an existing clip is kept.",
    )
    parser.add_argument(
        "--seed", type=int, default=HELD_OUT_SEED, help="which clip (default: %(default)s, never trained on)"
    )
    parser.add_argument(
        "--frames", type=int, default=DEFAULT_FRAMES, metavar="N", help="at 30 a second (default: %(default)s)"
    )
    parser.add_argument("--size", type=_size, default=(320, 240), metavar="WxH", help="pixels (default: 320x240)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the clip")
    parser.add_argument(
        "--faces", type=Path, metavar="MODEL", help="show a person of this morphable model (docs/embedded.md)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another rendered clip in that folder")
    parser.set_defaults(run=run_render)


def add_example(commands: Any) -> None:
    """Add ``example`` to the commands of ``auparity models``."""
    parser = commands.add_parser(
        "example",
        help="write the clip that comes with auparity: a rendered person with known truth",
        description="Write clip.mp4, six seconds of a rendered person, and its truth: clip.truth.csv (OpenFace's "
        "columns) and clip.truth.json. Files of these names are replaced.",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.set_defaults(run=run_example)


def run_example(arguments: argparse.Namespace) -> int:
    """``auparity models example``."""
    from auparity.models.synthetic.example import write_example

    video, table = write_example(arguments.output)
    _tell(video, table, "its truth is beside it")
    return 0


def run_render(arguments: argparse.Namespace) -> int:
    """``auparity models render``."""
    from auparity.models.synthetic.clip_folder import TRUTH, write_clip
    from auparity.models.synthetic.render import DRAWN

    if arguments.frames < 1:
        raise AuparityError(f"--frames {arguments.frames}: a clip has at least one frame.")
    if arguments.seed < 0:
        raise AuparityError(f"--seed {arguments.seed}: seeds are whole numbers from 0.")
    heads: Heads = DRAWN
    if arguments.faces is not None:
        from auparity.models.synthetic.morphable.heads import morphable_heads  # needs Numba and the model's file

        heads = morphable_heads(arguments.faces)
    last_report = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last_report
        if time.monotonic() - last_report > TWO_SECONDS:
            last_report = time.monotonic()
            print(f"  {done} of {total} frames", file=sys.stderr, flush=True)

    table = write_clip(
        arguments.output, arguments.seed, arguments.frames,
        canvas=arguments.size, overwrite=arguments.overwrite, progress=progress, heads=heads,
    )  # fmt: skip
    _tell(arguments.output, table, f"truth in {TRUTH}")
    return 0


def _tell(clip: Path, table: TruthTable, where: str) -> None:
    """What was written, and the command that measures it."""
    camera, folder = table.meta.camera, clip.parent
    print(f"{clip}: {len(table)} frames of {table.meta.width}x{table.meta.height} px, {where}")
    print(
        f"Next: auparity extract {clip} --fx {camera.focal:.3f} --cx {camera.centre_x:g} --cy {camera.centre_y:g} -o "
        f"{folder}"
    )


def _size(text: str) -> tuple[int, int]:
    """WxH in px."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 320x240")
    size = int(width), int(height)
    if not all(SMALLEST <= side <= LARGEST for side in size):
        raise argparse.ArgumentTypeError(f"{text!r}: sides are {SMALLEST} to {LARGEST} px")
    return size
