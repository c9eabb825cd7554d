"""The decoding child: a small interpreter that decodes for its parent and passes frames through shared memory.

It reads requests as JSON lines from its standard input and answers in JSON lines on its standard output:

| parent | child |
|---|---|
| `{"open": "video" or "images", "request": {...}, "folder": ...}` | `{"opened": {"fps": ..., "n_frames": ..., ...}}` |
| `{"read": first, "point": null or [...]}` | frames from number `first` on |
| `{"take": true}` after each frame, which frees its slot | `{"frame": {...}}`, a few ahead; then `{"end": true}` |
| `{"close": true}` at any time | `{"closed": true}`, the last message of a request |

Frames without pixels (`VideoRequest.pixels`) have a size and no place in the memory, and are not taken.
`{"error": text}` stands for a `VideoError` and comes instead of the next frame. Every message carries `notes` where
they have grown. The standard error stream is a file: decoders complain there (`complaints.py`).

The child always ends with its parent: its standard input ends, or (while other processes hold that open) another
process has become its parent. Only the parent handles Ctrl-C in a terminal.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from auparity.errors import VideoError
from auparity.media import memory_limit
from auparity.media.complaints import Complaints, StderrComplaints
from auparity.media.readers import ImagesRequest, Reader, Request, VideoRequest, open_reader
from auparity.media.seeking import SeekPoint
from auparity.media.shared_block import SharedBlock
from auparity.media.types import Image, Notes

#: Seconds between two checks of who the parent is.
WATCH_PARENT = 0.5
#: Memory for frames that the parent has not taken yet, and how many there may be at most.
RING_BYTES, MOST_SLOTS = 128 << 20, 6


def main(handle: str) -> None:
    """Serve the parent until it ends; `handle` attaches to the shared block."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not mix with the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory_limit.enable()
    _log_to_stderr()
    inbox = _Inbox(sys.stdin.buffer)
    with SharedBlock(handle) as block:
        ring, complaints = _Ring(block), StderrComplaints()
        try:
            while True:
                _serve(inbox.next_request(), inbox, ring, _Replies(replies), complaints)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)  # without finalisation, because threads of decoders may still run


def _log_to_stderr() -> None:
    """Let FFmpeg write its messages in C; in Python they would need the interpreter in the decoder's threads."""
    import av.logging

    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.ERROR)


class _Inbox:
    """Messages of the parent, read by a separate thread; the process ends when the parent does."""

    def __init__(self, stream: BinaryIO) -> None:
        self._requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[tuple[int, SeekPoint | None] | None] = queue.SimpleQueue()
        self.taken = threading.Semaphore(0)
        self.closing = threading.Event()
        threading.Thread(target=self._listen, args=(stream,), daemon=True).start()
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()

    def next_request(self) -> dict[str, Any]:
        return self._requests.get()

    def first_frame(self) -> tuple[int, SeekPoint | None] | None:
        """The frame from which the parent reads on, and where decoding begins; None if it closes the clip instead."""
        return self._reads.get()

    def reset(self) -> None:
        """Discard messages about the request that has been closed."""
        self.closing.wait()
        self.closing.clear()
        while self.taken.acquire(blocking=False):
            pass
        while not self._reads.empty():
            self._reads.get()

    def _listen(self, stream: BinaryIO) -> None:
        for line in stream:
            message = json.loads(line)
            if "open" in message:
                self._requests.put(message)
            elif "read" in message:
                point = message["point"]
                self._reads.put((int(message["read"]), None if point is None else SeekPoint(*point)))
            elif "close" in message:
                self._reads.put(None)
                self.taken.release()
                self.closing.set()
            else:
                self.taken.release()
        os._exit(0)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_PARENT)
    os._exit(0)


class _Replies:
    """Messages to the parent about one request; new notes are sent with the next message."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.notes = Notes()
        self._told = asdict(Notes())

    def send(self, message: dict[str, Any]) -> None:
        notes = asdict(self.notes)
        if notes != self._told:
            self._told = notes
            message = {**message, "notes": notes}
        self._stream.write(json.dumps(message).encode("ascii") + b"\n")
        self._stream.flush()


class _Ring:
    """Slots for frames in the shared block, used in turn."""

    def __init__(self, block: SharedBlock) -> None:
        self._block = block
        self._slot_bytes, self._slots, self._next = 0, 0, 0
        self._in_use = 0

    def put(self, image: Image, wait: Callable[[], bool]) -> dict[str, Any] | None:
        """Copy the image into a free slot and return its place; None if `wait` says that it is no longer wanted."""
        if image.nbytes > self._slot_bytes:
            if not self.drain(wait):
                return None
            self._slot_bytes = image.nbytes
            self._slots = max(1, min(MOST_SLOTS, RING_BYTES // image.nbytes))
            self._block.resize(self._slots * self._slot_bytes)
        while self._in_use >= self._slots:
            if not wait():
                return None
            self._in_use -= 1
        offset = self._next * self._slot_bytes
        self._next = (self._next + 1) % self._slots
        self._in_use += 1
        height, width, _ = image.shape
        np.copyto(np.ndarray(image.shape, np.uint8, self._block.buffer, offset), image)
        return {"offset": offset, "height": height, "width": width, "block": self._block.size}

    def drain(self, wait: Callable[[], bool]) -> bool:
        """Wait until no frame is in use; False where `put` returns None."""
        while self._in_use:
            if not wait():
                return False
            self._in_use -= 1
        self._next = 0
        return True

    def reset(self) -> None:
        self._in_use = self._next = 0


def _serve(message: dict[str, Any], inbox: _Inbox, ring: _Ring, replies: _Replies, complaints: Complaints) -> None:
    """Answer one request, up to "closed"."""

    def wait() -> bool:
        inbox.taken.acquire()
        return not inbox.closing.is_set()

    try:
        os.chdir(message["folder"])
        reader = open_reader(_request(message), complaints)
        replies.notes = reader.notes
        index = None if reader.index is None else asdict(reader.index)
        opened = {"fps": reader.fps, "n_frames": reader.n_frames, "encoding": reader.encoding, "index": index}
        replies.send({"opened": opened})
        try:
            if (place := inbox.first_frame()) is not None:
                _send_frames(reader, *place, inbox, ring, replies, wait)
        finally:
            reader.close()
        replies.send({"end": True})
    except VideoError as error:
        replies.send({"error": str(error)})
    except MemoryError:
        replies.send({"memory": True})
    inbox.reset()
    ring.reset()
    replies.send({"closed": True})


def _send_frames(
    reader: Reader, first: int, point: SeekPoint | None, inbox: _Inbox, ring: _Ring, replies: _Replies,
    wait: Callable[[], bool],
) -> None:  # fmt: skip
    with closing(reader.frames(first, point)) as frames:
        for frame in frames:
            if inbox.closing.is_set():
                return
            has_pixels = any(frame.image.strides)
            place = ring.put(frame.image, wait) if has_pixels else _size_of(frame.image)
            if place is None:
                return
            replies.send({"frame": {**place, "timestamp": frame.timestamp}})


def _size_of(image: Image) -> dict[str, Any]:
    return {"block": None, "height": image.shape[0], "width": image.shape[1]}


def _request(message: dict[str, Any]) -> Request:
    kind = VideoRequest if message["open"] == "video" else ImagesRequest
    return kind(**message["request"])
