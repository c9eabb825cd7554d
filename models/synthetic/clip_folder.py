"""A rendered clip as a folder: its frames as numbered PNG files, with ``truth.csv`` and ``truth.json`` beside them.

`auparity models render` writes it, and `auparity extract` reads it as an image sequence, pixel for pixel. The folder
gets its name when it is complete; an existing folder that was made in the same way is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2

from auparity.errors import AuparityError, ContractError
from auparity.models.synthetic.clips import FPS, make_clip
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.render import DRAWN
from auparity.models.synthetic.truth_file import OF_PEOPLE, TruthMeta, TruthTable, read_truth, write_truth

TRUTH = "truth.csv"
#: The modules that decide what is drawn; any change of their text, also of comments, gives another digest.
_DRAWING = (
    "backdrop", "clips", "deformation", "person", "props", "raster", "render", "scene", "shading", "skin",
    "surface", "types",
)  # fmt: skip


def truth_beside(clip: Path) -> Path:
    """Where the truth of a clip is: in the folder of its frames, or beside a video of it."""
    return clip / TRUTH if clip.is_dir() else clip.with_name(f"{clip.stem}.{TRUTH}")


@lru_cache(maxsize=2)
def renderer_version(*, morphable: bool = False) -> str:
    """A digest (12 hexadecimal digits) of the modules that decide what the clip of a seed looks like.

    morphable: with people of a morphable model, whose file has a checksum of its own.
    """
    digest = hashlib.sha256()
    paths = [Path(__file__).with_name(f"{name}.py") for name in _DRAWING]
    if morphable:
        paths += sorted(Path(__file__).with_name("morphable").glob("*.py"))
    for path in paths:
        digest.update(path.stem.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def generator_of(heads: Heads) -> str:
    """What draws the pictures of these people, as the truth names it."""
    if heads is DRAWN:
        return f"auparity renderer {renderer_version()}"
    return f"auparity renderer {renderer_version(morphable=True)}{OF_PEOPLE}"


def write_clip(
    folder: Path,
    seed: int,
    n_frames: int,
    *,
    canvas: tuple[int, int] = (320, 240),
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    heads: Heads = DRAWN,
) -> TruthTable:
    """Render a clip into a folder, unless the same clip is there; its truth.

    Parameters
    ----------
    canvas : width and height, px.
    overwrite : replace another rendered clip. A folder with anything else in it is never replaced.
    progress : called with (frames done, number of frames).
    heads : where the person comes from.

    Raises
    ------
    AuparityError : the folder holds something else.
    ContractError : no frames, or a canvas too small for a face.
    """
    if n_frames < 1:
        raise ContractError("render", "n_frames", "at least 1", str(n_frames))
    if min(canvas) < 160:
        raise ContractError("render", "canvas", "at least 160 x 160 px, for a face of 105 px and more", str(canvas))
    clip = make_clip(seed, n_frames, canvas=canvas, heads=heads)
    meta = TruthMeta(seed, canvas[0], canvas[1], FPS, clip.camera, generator_of(heads))
    existing = _earlier(folder, meta, n_frames, overwrite)
    if existing is not None:
        return existing
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    truths = []
    for index in range(n_frames):
        picture = clip.frame(index)
        assert picture.truth is not None  # clips show a face in every frame
        _write_png(part / f"{index:06d}.png", picture.image)
        truths.append(picture.truth)
        if progress is not None:
            progress(index + 1, n_frames)
    table = write_truth(part / TRUTH, truths, meta)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(part, folder)
    return table


def _earlier(folder: Path, meta: TruthMeta, n_frames: int, overwrite: bool) -> TruthTable | None:
    """The truth of the same clip, if the folder holds it; None if it may be (re)placed."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / TRUTH).is_file():
        raise AuparityError(
            f"{folder}: exists and is not a rendered clip, so it is left alone. Choose another folder (-o)."
        )
    try:
        table = read_truth(folder / TRUTH)
    except AuparityError:
        if overwrite:  # a damaged clip is replaced like any other
            return None
        raise
    if asdict(table.meta) == asdict(meta) and len(table) == n_frames and len(list(folder.glob("*.png"))) == n_frames:
        return table
    if overwrite:
        return None
    raise AuparityError(
        f"{folder}: holds another clip (seed {table.meta.seed}, {len(table)} frames, {table.meta.generator}). Use "
        "--overwrite to replace it, or another folder (-o)."
    )


def _write_png(path: Path, image: object) -> None:
    if not cv2.imwrite(str(path), image):  # type: ignore[call-overload]
        raise AuparityError(f"{path}: could not be written. Is the disk full?")
