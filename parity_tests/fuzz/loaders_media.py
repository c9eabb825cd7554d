"""Readers of pictures and videos, through the public functions of `auparity.media`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from auparity.errors import VariantUnavailable
from auparity.media import open_clip, read_image
from auparity.parity_tests.fuzz.loaders import Loader, seeded

WIDTH, HEIGHT, FRAMES = 48, 32, 4


def loaders() -> list[Loader]:
    """All of them."""
    return [
        *(_of_file("picture", suffix, _make_picture, read_image) for suffix in ("png", "jpg", "bmp", "tif", "webp")),
        *(
            _of_file("video", suffix, partial(_make_video, codec=codec), _watch)
            for suffix, codec in (("avi", "MJPG"), ("mp4", "mp4v"), ("webm", "VP80"))
        ),
        Loader("folder of pictures", "bytes", "clip/b.png", _make_folder, lambda f: _watch(f / "clip"), True),
    ]


def _of_file(what: str, suffix: str, make: Callable[[Path], None], read: Callable[[Path], object]) -> Loader:
    name = f"x.{suffix}"
    return Loader(
        f"{what}, {suffix}", "bytes", name, lambda folder: make(folder / name), lambda f: read(f / name), True
    )


def _picture(seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = seeded()
    base = cv2.resize(rng.integers(0, 255, (4, 6, 3), np.uint8), (WIDTH, HEIGHT))
    return np.roll(base, seed, axis=1).astype(np.uint8)


def _make_picture(path: Path) -> None:
    if not cv2.imwrite(str(path), _picture()):
        raise VariantUnavailable(f"OpenCV writes no {path.suffix} here")


def _make_folder(folder: Path) -> None:
    (folder / "clip").mkdir()
    for k, name in enumerate("abc"):
        cv2.imwrite(str(folder / "clip" / f"{name}.png"), _picture(k))


def _make_video(path: Path, codec: str) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise VariantUnavailable(f"OpenCV has no encoder {codec} here")
    for k in range(FRAMES):
        writer.write(_picture(k))
    writer.release()


def _watch(path: Path) -> int:
    """Read a clip to its end."""
    with open_clip(path) as source:
        return sum(1 for _ in source)
