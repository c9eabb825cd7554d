"""A video (or image) with the measurements drawn over it, and bars of the AUs beside it.

Frames and the table made from them in, a WebM file out that browsers play as it is. Pictures narrower than 640 px are
magnified, those wider than 1280 px reduced, so that marks and text are legible on all; see `overlay_face` and
`overlay_panel` for what is drawn.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.atomic_files import atomic_file, write_bytes_atomically
from auparity.errors import AuparityError, VariantUnavailable, VideoError
from auparity.reports.clips.overlay_face import Display, draw_face
from auparity.reports.clips.overlay_panel import BACKGROUND, HEIGHT, Panel, PanelCanvas
from auparity.reports.clips.table import ResultTable, read_result_table

Array = npt.NDArray[Any]

#: Widths in px between which a picture is shown unscaled.
NARROWEST, WIDEST = 640, 1280
#: Largest height (px) of a shown picture, for videos of telephones held upright.
HIGHEST = 960
#: VP8 in WebM: every browser plays it, and OpenCV's own FFmpeg writes it, three times real time.
CODEC, SUFFIX = "VP80", ".webm"
ASSUMED_FPS = 30.0
POSTER_QUALITY = 88  # of JPEG


class Sheet:
    """A picture at a legible size with a panel beside it.

    Parameters
    ----------
    size : (width, height) of the pictures in px.
    panel : `panel_height(size)` px high.
    """

    def __init__(self, size: tuple[int, int], panel: PanelCanvas) -> None:
        self._picture, self._panel_size = size, (panel.width, panel.height)
        self._shown, self._display = _shown(*size)
        columns = self._shown[0] + panel.width
        self.size = columns + columns % 2, panel.height

    def _resized(self, image: Array, frame: int) -> Array:
        """A copy of the picture of frame `frame`, counted from 1, to draw on; VideoError if it has another size."""
        if image.shape[1::-1] != self._picture:
            raise VideoError(f"frame {frame}: is {image.shape[1::-1]} px, the first one was {self._picture}.")
        return _resized(image, self._shown)

    def _beside(self, shown: Array, panel: Array) -> Array:
        canvas = np.full((self.size[1], self.size[0], 3), BACKGROUND, np.uint8)
        top = (self.size[1] - self._shown[1]) // 2
        canvas[top : top + self._shown[1], : self._shown[0]] = shown
        canvas[:, self._shown[0] : self._shown[0] + self._panel_size[0]] = panel
        return canvas


def panel_height(size: tuple[int, int]) -> int:
    """Height in px of the panel beside pictures of (width, height) px.

    A panel lower than its own height would be illegible: low pictures get a margin instead.
    """
    tall = max(_shown(*size)[0][1], HEIGHT)
    return tall + tall % 2


class Overlay(Sheet):
    """Draws the frames of one table.

    Parameters
    ----------
    table : as `read_result_table` gives it.
    size : (width, height) of the pictures in px.
    truth : the table of ``truth.csv``; its landmarks and AUs are drawn beside ours.
    whole : False where the table has the rows of one frame only; `draw_frame` takes those of the next.
    """

    def __init__(
        self, table: ResultTable, size: tuple[int, int], *, fps: float = ASSUMED_FPS, truth: ResultTable | None = None,
        whole: bool = True,
    ) -> None:  # fmt: skip
        self.table = table
        self._truth = None if truth is None else truth.landmarks
        true_aus = None if truth is None else truth.aus("r")
        self.panel = Panel(table, panel_height(size), fps=fps, truth=true_aus, whole=whole)
        super().__init__(size, self.panel)

    def draw(self, image: Array, row: int) -> Array:
        """The picture of one row with marks and panel: (H, W, 3) uint8 BGR of the overlay's size.

        Raises
        ------
        VideoError : the picture has another size than the first.
        """
        shown = self._resized(image, row + 1)
        truth = self._truth[row] if self._truth is not None and row < len(self._truth) else None
        draw_face(shown, self.table, row, self._display, truth)
        return self._beside(shown, self.panel.draw(row))

    def draw_frame(self, image: Array, table: ResultTable) -> Array:
        """The picture of a frame with every face of `table`, which holds its rows; the panel shows the first one."""
        self.table = table
        self.panel.show(table)
        shown = _resized(image, self._shown)
        for row in range(len(table)):
            draw_face(shown, table, row, self._display)
        return self._beside(shown, self.panel.draw(0 if len(table) else None))


def write_overlay(
    frames: Iterable[Array],
    csv: Path,
    out_path: Path,
    truth: Path | None = None,
    *,
    fps: float | None = None,
) -> int:
    """Draw a clip's table over its frames and write a WebM video; the number of frames written.

    Parameters
    ----------
    frames : (H, W, 3) uint8 BGR, one for each row of the table, in order; frames past the last row are left out.
    csv : the table.
    out_path : the video; it appears under this name only when it is whole.
    truth : ``truth.csv`` of a rendered clip.

    Raises
    ------
    AuparityError : a table cannot be read, is of images, or has more rows than there are frames.
    VariantUnavailable : OpenCV has no VP8 encoder here.
    """
    table = read_result_table(csv)
    if table.photograph:
        raise AuparityError(f"{csv}: is the table of an image; overlay videos are made of clips.")
    if not len(table):
        raise AuparityError(f"{csv}: has no rows to draw.")
    rate, true = fps or ASSUMED_FPS, None if truth is None else read_result_table(truth)

    def drawn() -> Iterator[Array]:
        overlay, row = None, 0
        for row, image in enumerate(_first(frames, len(table)), 1):
            if overlay is None:
                overlay = Overlay(table, (image.shape[1], image.shape[0]), fps=rate, truth=true)
            yield overlay.draw(image, row - 1)
        if row < len(table):
            raise AuparityError(f"{csv}: has {len(table)} rows, but the clip gave {row} frames; it is another clip's.")

    return write_video(drawn(), out_path, rate)


def write_video(pictures: Iterable[Array], out_path: Path, fps: float) -> int:
    """Write pictures (H, W, 3) uint8 BGR of one size as a WebM video, atomically; how many there were.

    Raises
    ------
    VariantUnavailable : OpenCV has no VP8 encoder here.
    """
    writer, count = None, 0
    with atomic_file(out_path, suffix=SUFFIX) as part:
        try:
            for picture in pictures:
                count += 1
                if writer is None:
                    writer = open_webm(part, fps, (picture.shape[1], picture.shape[0]))
                writer.write(picture)
        finally:
            if writer is not None:
                writer.release()
    return count


def write_photograph(image: Array, csv: Path, out_path: Path) -> int:
    """Draw every face of an image's table onto it and write a JPEG; the number of faces.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR.

    Raises
    ------
    AuparityError : the table cannot be read or is of a clip.
    """
    table = read_result_table(csv)
    if not table.photograph:
        raise AuparityError(f"{csv}: is the table of a clip; draw it with write_overlay.")
    write_bytes_atomically(out_path, photograph_jpeg(image, table))
    return len(table)


def photograph_jpeg(image: Array, table: ResultTable) -> bytes:
    """A JPEG of an image (H, W, 3) uint8 BGR with every face of its table drawn onto it."""
    size, display = _shown(image.shape[1], image.shape[0])
    canvas = _resized(image, size)
    for row in range(len(table)):
        draw_face(canvas, table, row, display)
    return jpeg(canvas)


def _shown(width: int, height: int) -> tuple[tuple[int, int], Display]:
    """The size in px at which a picture is shown, and the display that draws on it."""
    scale = min(min(max(width, NARROWEST), WIDEST) / width, HIGHEST / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return size, Display(size[0] / width)


def _resized(image: Array, size: tuple[int, int]) -> Array:
    """A copy of this size; enlarged smoothly, reduced without aliasing."""
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if size[0] > image.shape[1] else cv2.INTER_AREA)


def jpeg(image: Array) -> bytes:
    """A picture as a JPEG file."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY])
    assert good  # encoding to memory an array of the right type does not fail
    return data.tobytes()


def _first(frames: Iterable[Array], count: int) -> Iterator[Array]:
    for _, image in zip(range(count), frames, strict=False):
        yield image


def open_webm(path: Path, fps: float, size: tuple[int, int]) -> cv2.VideoWriter:
    """A writer of VP8 in WebM, to a file whose name ends in ``.webm``; VariantUnavailable without that encoder."""
    with _captured_stderr() as messages:
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODEC), fps, size)
    if not writer.isOpened():
        raise VariantUnavailable(
            f"OpenCV cannot write VP8 video here ({' '.join(messages) or 'it gives no reason'}). "
            "pip install --force-reinstall opencv-python-headless brings one that can."
        )
    return writer


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """What C code writes to standard error inside the block, as lines.

    For every WebM file OpenCV prints a remark about a tag that the format does not have, which looks like an error. Its
    output is kept for the message of a real error.
    """
    messages: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield messages
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            messages += file.read().decode("utf-8", "replace").splitlines()
