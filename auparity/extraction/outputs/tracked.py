"""The overlay video while a clip is measured (``--tracked``), and the overlay of an image.

The AUs in it are those of the frame at hand, before post-processing; `auparity report` draws the final ones.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from auparity.extraction.outputs.files import VIDEO_PART, PartFile
from auparity.extraction.tables import row_values
from auparity.fingerprints import fingerprint_of_file
from auparity.media import Image
from auparity.reference.results import FrameResult
from auparity.reports.clips.overlay import ASSUMED_FPS, Overlay, open_webm, photograph_jpeg
from auparity.reports.clips.table import ResultTable
from auparity.tables.columns import COLUMNS, Layout


class TrackedVideo:
    """``NAME.tracked.webm``: every frame with its measurements drawn over it."""

    def __init__(self, target: Path, fps: float | None) -> None:
        self._part = PartFile(target, VIDEO_PART)
        self._target, self._fps = target, fps or ASSUMED_FPS
        self._overlay: Overlay | None = None
        self._writer: cv2.VideoWriter | None = None
        self._frames = 0

    def append(self, image: Image, results: list[FrameResult]) -> None:
        table = _table(self._target, results, "clip")
        if self._overlay is None or self._writer is None:
            self._overlay = Overlay(table, (image.shape[1], image.shape[0]), fps=self._fps, whole=False)
            if os.name == "nt":  # where FFmpeg cannot write to an open file; elsewhere it stays open for its lock
                self._part.keep()
            self._writer = open_webm(self._part.path, self._fps, self._overlay.size)
        self._writer.write(self._overlay.draw_frame(image, table))
        self._frames += 1

    def finish(self, n_rows: int) -> dict[str, Any]:
        self._release()
        frames = _frames_in(self._part.path) if self._frames else 0
        if frames != self._frames:
            # OpenCV does not say when a frame cannot be written.
            raise OSError(f"{self._frames} frames were written, but {frames} are in the file; the disk may be full")
        return {"frames": frames, "sha256": fingerprint_of_file(self._part.path).sha256}

    def put(self, target: Path) -> None:
        self._part.put(target)

    def keep(self) -> None:
        self._release()
        self._part.keep()

    def discard(self) -> None:
        self._release()
        self._part.discard()

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.release()
            self._writer = None


class TrackedImage:
    """``NAME.tracked.jpg``: an image with every face drawn onto it."""

    def __init__(self, target: Path) -> None:
        self._part, self._target = PartFile(target), target

    def append(self, image: Image, results: list[FrameResult]) -> None:
        self._part.file.write(photograph_jpeg(image, _table(self._target, results, "photograph")))
        self._part.file.flush()

    def finish(self, n_rows: int) -> dict[str, Any]:
        return {"sha256": fingerprint_of_file(self._part.path).sha256}

    def put(self, target: Path) -> None:
        self._part.put(target)

    def keep(self) -> None:
        self._part.keep()

    def discard(self) -> None:
        self._part.discard()


def _table(path: Path, results: list[FrameResult], layout: Layout) -> ResultTable:
    """The rows of one frame as a table, with all columns whatever the table on disk has."""
    rows = np.array([row_values(result, layout) for result in results], np.float64)
    rows = rows.reshape(len(results), len(COLUMNS[layout]))  # also where there are none
    columns = {column.name: rows[:, k] for k, column in enumerate(COLUMNS[layout])}
    return ResultTable(path, layout == "photograph", columns)


def _frames_in(path: Path) -> int:
    """The number of frames of a video file, without decoding them; OSError where it cannot be read."""
    import av

    try:
        with av.open(str(path)) as container:
            return sum(1 for packet in container.demux(video=0) if packet.size)
    except av.FFmpegError as error:
        raise OSError(f"it cannot be read back: {error.strerror}; the disk may be full") from error
