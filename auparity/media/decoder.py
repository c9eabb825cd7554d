"""The parent's side of the decoding child: start it, send requests, take its frames, and survive its crashes.

A decoder of untrusted data can crash, or be ended by the system for lack of memory. Then only the input that it was
decoding fails: a `VideoError` names the file and what ended the child, and the next input gets a new child. A child
decodes many inputs, one after the other; an idle child is kept. Decoding runs a few frames ahead of the consumer, so a
clip takes the time of the slower of the two, not of both together.

The child is started as a plain interpreter over pipes, which works in daemonic processes, in notebooks and in scripts
without a main guard, and loads nothing but NumPy and the decoders.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from auparity.errors import VideoError
from auparity.media.names import printable
from auparity.media.readers import Request, VideoRequest
from auparity.media.seeking import SeekPoint, VideoIndex
from auparity.media.shared_block import SharedBlock
from auparity.media.types import Encoding, Frame, Image, Notes, black

#: The environment variable that switches children off, and its value for that.
SWITCH, INLINE = "AUPARITY_DECODE", "inline"
#: Idle children that are kept.
MOST_IDLE = 2
#: Seconds that a child gets to finish its current frame when a clip is closed early.
CLOSE_WITHIN = 2.0
#: Bytes of a crashed child's last messages that are read, characters that are shown.
LAST_WORDS, SHOWN_WORDS = 4096, 200
#: Threads of libraries do not help decoding; each costs address space and start-up time.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from auparity.media.child import main; main(sys.argv[2])"
)

_idle: list[Decoder] = []
_lock = threading.Lock()


def decode_in_child(isolate: bool) -> bool:
    """Whether files are decoded in a child; raises `VideoError` for a setting that does not exist."""
    setting = os.environ.get(SWITCH, "")
    if setting not in ("", INLINE):
        raise VideoError(f"{SWITCH}={setting}: is not known. Set it to {INLINE}, or remove it.")
    return isolate and setting != INLINE


class Decoder:
    """One decoding child."""

    def __init__(self) -> None:
        self.block = SharedBlock()
        self._words: BinaryIO = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        command = [sys.executable, "-c", _START, json.dumps(sys.path), self.block.handle]
        new_session: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if sys.platform == "win32"
            else {"start_new_session": True, "pass_fds": self.block.inherited}
        )
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                env={**os.environ, **_ENVIRONMENT},
                **new_session,
            )
        except (OSError, TypeError) as error:
            self.block.close()
            self._words.close()
            raise VideoError(
                f"the decoding process cannot be started ({error}). Free memory and processes, or set "
                f"{SWITCH}={INLINE} to decode in the calling process."
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._replies = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: the missing reply is handled
            self._requests.write(json.dumps(message).encode("ascii") + b"\n")
            self._requests.flush()

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the child has died."""
        line = self._replies.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def kill(self) -> None:
        self._process.kill()

    def epitaph(self) -> str:
        """What ended the child, and its last message."""
        code = self._process.wait()
        if code < 0:
            try:
                how = f"signal {signal.Signals(-code).name}"
            except ValueError:
                how = f"signal {-code}"
        else:
            how = f"exit status {code}"
        self._words.seek(max(self._words.seek(0, os.SEEK_END) - LAST_WORDS, 0))
        lines = [line for line in self._words.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"{how}; its last message: {printable(lines[-1][:SHOWN_WORDS])}" if lines else how

    def end(self) -> None:
        """End the child at once and free what it held."""
        self.kill()
        self._process.wait()
        self.close_handles()

    def close_handles(self) -> None:
        """Free what this process holds for the child."""
        for stream in (self._requests, self._replies, self._words):
            with contextlib.suppress(OSError):
                stream.close()
        self.block.close()


def acquire() -> Decoder:
    """An idle child, started if there is none; raises `VideoError`."""
    while True:
        with _lock:
            decoder = _idle.pop() if _idle else None
        if decoder is None:
            return Decoder()
        if decoder.alive:
            return decoder
        decoder.end()


def prestart() -> None:
    """Start a child ahead of its first use, so that it loads its libraries while the caller does other things."""
    if decode_in_child(True):
        _release(acquire())


def _release(decoder: Decoder) -> None:
    with _lock:
        if len(_idle) < MOST_IDLE:
            _idle.append(decoder)
            return
    decoder.end()


def end_idle() -> None:
    """End all idle children."""
    with _lock:
        idle = _idle[:]
        _idle.clear()
    for decoder in idle:
        decoder.end()


def _forget_after_fork() -> None:
    """A forked process must not talk to its parent's children."""
    global _lock
    _lock = threading.Lock()
    for decoder in _idle:
        decoder.close_handles()
    _idle.clear()


atexit.register(end_idle)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class RemoteReader:
    """A `Reader` whose work is done by a child."""

    def __init__(self, request: Request) -> None:
        self.notes = Notes()
        self._request = request
        self._next = 0
        self._at_end = False
        self._decoder: Decoder | None = acquire()
        self._owner = os.getpid()
        kind = "video" if isinstance(request, VideoRequest) else "images"
        # Names may be relative to a working folder that this process entered after the child was started.
        self._ask({"open": kind, "request": asdict(request), "folder": os.getcwd()})
        try:
            opened = self._message()["opened"]
        except BaseException:
            self.close()
            raise
        self.fps: float | None = opened["fps"]
        self.n_frames: int | None = opened["n_frames"]
        self.encoding = None if opened["encoding"] is None else Encoding(*opened["encoding"])
        index = opened["index"]
        points = () if index is None else tuple(SeekPoint(*point) for point in index["points"])
        self.index = None if index is None else VideoIndex(index["frames"], points)

    def frames(self, first: int, point: SeekPoint | None = None) -> Generator[Frame]:
        """The frames from number `first` on; may be called once."""
        self._next = first
        self._ask({"read": first, "point": point})
        while "frame" in (message := self._message()):
            place = message["frame"]
            if place["block"] is None:
                image = black(int(place["height"]), int(place["width"]))
            else:
                image = _copied(self._in_use().block, place)
                self._ask({"take": True})
            self._next += 1
            yield Frame(image, float(place["timestamp"]))

    def close(self) -> None:
        """Give the child back; one that is busy gets a moment to finish its frame, or is ended."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return
        if os.getpid() != self._owner:  # a fork of the process that asked
            decoder.close_handles()
            return
        try:
            finished = self._finish(decoder)
        except BaseException:  # Ctrl-C while waiting
            decoder.end()
            raise
        _release(decoder) if finished else decoder.end()

    def _finish(self, decoder: Decoder) -> bool:
        """Whether the child has closed the clip and is free for another."""
        patience = threading.Timer(CLOSE_WITHIN, decoder.kill)
        if not self._at_end:
            patience.start()
        try:
            decoder.send({"close": True})
            while (message := decoder.receive()) is not None:
                if "closed" in message:
                    return True
        finally:
            patience.cancel()
        return False

    def _in_use(self) -> Decoder:
        if self._decoder is None:
            raise VideoError(f"{self._name()}: was closed.")
        return self._decoder

    def _ask(self, message: dict[str, Any]) -> None:
        self._in_use().send(message)

    def _message(self) -> dict[str, Any]:
        """The next message; an error message is raised as `VideoError`."""
        decoder = self._in_use()
        try:
            message = decoder.receive()
        except BaseException:  # Ctrl-C within a message: its rest would be taken for another
            self._decoder = None
            decoder.end()
            raise
        if message is None:
            self._decoder = None
            how = decoder.epitaph()
            decoder.close_handles()
            raise VideoError(
                f"{self._name()}: its decoder crashed ({how}). The file is damaged, or of a kind that the decoder does "
                "not handle; convert it: ffmpeg -i INPUT OUTPUT.mp4"
            )
        if "notes" in message:
            for name, value in message["notes"].items():
                getattr(self.notes, name)[:] = value
        self._at_end = not message.keys() & {"opened", "frame"}
        if "memory" in message:
            raise VideoError(f"{self._name()}: there is not enough memory to decode it.")
        if "error" in message:
            raise VideoError(str(message["error"]))
        return message

    def _name(self) -> str:
        """The name of the file that is being decoded."""
        if isinstance(self._request, VideoRequest):
            return printable(self._request.path)
        paths = self._request.paths
        return printable(paths[min(self._next, len(paths) - 1)])


def _copied(block: SharedBlock, place: dict[str, Any]) -> Image:
    """The frame in its own memory, because its slot is used again."""
    if place["block"] != block.size:
        block.follow(int(place["block"]))
    shape = (int(place["height"]), int(place["width"]), 3)
    return np.ndarray(shape, np.uint8, block.buffer, int(place["offset"])).copy()
