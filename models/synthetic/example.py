"""The example clip that comes with auparity: a rendered person of the morphable model, with the truth.

The model's file is not part of auparity, so what `write_clip` draws for everybody are drawn heads, which the embedded
models were not made for. This clip shows what they were made for, without the file. It is one zip file beside the
embedded models: an H.264 video, and the truth as `truth_file` writes it. `make_example` renders it anew.
"""

from __future__ import annotations

import zipfile
from fractions import Fraction
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import atomic_file, write_bytes_atomically
from auparity.errors import AuparityError
from auparity.models import embedded
from auparity.models.synthetic.clip_folder import generator_of, truth_beside
from auparity.models.synthetic.clips import FPS, make_clip
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.truth_file import TruthMeta, TruthTable, read_truth, write_truth

Array = npt.NDArray[Any]

FILE, VIDEO = "example.zip", "clip.mp4"
#: Nothing was trained on this seed, whose face nothing covers.
SEED, FRAMES, CANVAS = 7, 180, (480, 360)
#: Of x264: 0 keeps every pixel, and from about 18 on nobody sees what is lost.
QUALITY = 17


def example_path() -> Path:
    """The file of the example."""
    return Path(str(resources.files(embedded.__name__) / FILE))


def write_example(folder: Path) -> tuple[Path, TruthTable]:
    """Write the video and, beside it, its truth into a folder; the video's path, and the truth.

    Files of these names that differ are replaced, each whole.

    Raises
    ------
    AuparityError : the folder is a file, or the installed example is damaged.
    OSError : a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise AuparityError(f"{folder} is not a folder. Name another one.")
    try:
        with zipfile.ZipFile(example_path()) as stored:
            contents = {path.name: stored.read(path.name) for path in _files(folder)}
    except Exception as error:  # bytes from outside: `zipfile` and `lzma` promise no type of error
        raise AuparityError(f"{example_path()} is damaged ({error}). Reinstall auparity.") from error
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_bytes_atomically(folder / name, data)
    video, table, _ = _files(folder)
    return video, read_truth(table)


def _files(folder: Path) -> tuple[Path, Path, Path]:
    """Video, truth and its description."""
    video = folder / VIDEO
    table = truth_beside(video)
    return video, table, table.with_suffix(".json")


def make_example(
    path: Path, heads: Heads, *, seed: int = SEED, frames: int = FRAMES, canvas: tuple[int, int] = CANVAS
) -> None:
    """Render the example, as it comes with auparity, into a file.

    heads : the people of the morphable model.
    """
    clip = make_clip(seed, frames, canvas=canvas, heads=heads)
    meta = TruthMeta(seed, canvas[0], canvas[1], FPS, clip.camera, generator_of(heads))
    pictures = [clip.frame(k) for k in range(frames)]
    with TemporaryDirectory() as temporary:
        files = _files(Path(temporary))
        _encode(files[0], [picture.image for picture in pictures], canvas)
        write_truth(files[1], [picture.truth for picture in pictures if picture.truth is not None], meta)
        with atomic_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_LZMA) as stored:
            for file in files:
                stored.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_LZMA)


def _encode(path: Path, images: list[Array], size: tuple[int, int]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(FPS).limit_denominator())
        stream.width, stream.height = size
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(QUALITY), "preset": "veryslow"}
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")))
        container.mux(stream.encode(None))
