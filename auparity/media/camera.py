"""Cameras, read with OpenCV in the calling process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from auparity.errors import VideoError
from auparity.media.types import Closing, Frame, Image


class CameraStream(Closing):
    """A camera; time stamps are seconds since its first frame.

    Parameters
    ----------
    size : width and height in px that are asked of it; None for what it gives by itself. A camera that gives another
        size is used all the same, with a warning.

    Raises
    ------
    VideoError : it cannot be opened.
    """

    kind = "camera"
    live = True
    timestamps = "clock"
    n_frames: int | None = None
    size_bytes: int | None = None
    fps: float | None = None

    def __init__(
        self, index: int, *, size: tuple[int, int] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        import cv2

        self.path = f"camera:{index}"
        self.name = f"camera{index}_{time.strftime('%Y%m%d-%H%M%S')}"
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.damaged_frames: list[int] = []
        self._clock = clock
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise VideoError(
                f"camera {index}: cannot be opened. Check that it is connected, that no other program uses it and that "
                "this one may; cameras are numbered from 0."
            )
        if size is not None:
            self._ask_for(size)

    def __iter__(self) -> Iterator[Frame]:
        start: float | None = None
        while (image := self._next_image()) is not None:
            now = self._clock()
            start = now if start is None else start
            yield Frame(image, now - start)
        raise VideoError(f"{self.path}: gives no more frames; it was disconnected or taken by another program.")

    def close(self) -> None:
        self._capture.release()

    def _ask_for(self, size: tuple[int, int]) -> None:
        import cv2

        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        for side, pixels in zip(sides, size, strict=True):
            self._capture.set(side, pixels)
        given = tuple(int(self._capture.get(side)) for side in sides)
        if given != size:
            self.warnings.append(f"{self.path}: was asked for {size[0]}x{size[1]} pixels, gives {given[0]}x{given[1]}")

    def _next_image(self) -> Image | None:
        """The next frame as (H, W, 3) uint8 BGR, or None at the end."""
        import cv2

        try:
            good, image = self._capture.read()
        except cv2.error as error:
            raise VideoError(f"{self.path}: decoding failed ({error.err}).") from error
        if not good:
            return None
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise VideoError(f"{self.path}: gives {image.dtype} {image.shape}, not 8-bit colour.")
        return np.ascontiguousarray(image)
