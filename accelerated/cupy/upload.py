"""Frames on their way up: page-locked memory and copies beside the work, two of each, so that neither waits.

While the device works on one set of frames, the next is gathered in page-locked memory and copied by the GPU's copy
engine; the work that needs it waits for that copy alone. Bytes are all that goes up: height * width * 3 a frame.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device

Array = npt.NDArray[Any]

SLOTS = 2


@dataclass(eq=False)
class _Slot:
    """A buffer on each side."""

    host: Array
    device: Any
    copied: Any = None  #: when the last copy from `host` is done
    read: Any = None  #: when the last work on `device` is done


@dataclass(frozen=True, eq=False)
class Uploaded:
    """Frames that have been sent."""

    slot: _Slot
    count: int


class FrameUploader:
    """Uploads up to `rows` frames (H, W, 3) uint8 at a time. `begin` may run on another thread than the work.

    At most two sets of frames are under way: `release` one before a third is begun.
    """

    def __init__(self, device: Device, rows: int, shape: tuple[int, ...]) -> None:
        self._device = device
        sizes = (rows, *shape)
        self._slots = [_Slot(device.pinned(sizes, np.uint8), device.empty(sizes, np.uint8)) for _ in range(SLOTS)]
        self._free = threading.Semaphore(SLOTS)
        self._turn, self._lock = 0, threading.Lock()

    def begin(self, images: Sequence[Array]) -> Uploaded:
        """Send frames; returns when they are in page-locked memory, not when they are up."""
        self._free.acquire()
        try:
            return self._send(images)
        except BaseException:
            self._free.release()
            raise

    def _send(self, images: Sequence[Array]) -> Uploaded:
        with self._lock:
            slot = self._slots[self._turn]
            self._turn = (self._turn + 1) % SLOTS
        if slot.copied is not None:
            slot.copied.synchronize()  # of two turns ago: done long since
        for row, image in enumerate(images):
            np.copyto(slot.host[row], image)
        count = len(images)
        slot.copied = self._device.copy_aside(slot.device[:count], slot.host[:count], after=slot.read)
        return Uploaded(slot, count)

    def take(self, uploaded: Uploaded) -> Any:
        """The frames (K, H, W, 3) on the device, for work that is launched after this."""
        self._device.wait_for(uploaded.slot.copied)
        return uploaded.slot.device[: uploaded.count]

    def release(self, uploaded: Uploaded) -> None:
        """The work that reads the frames has been launched, or never will be."""
        try:
            uploaded.slot.read = self._device.mark()
        finally:
            self._free.release()
