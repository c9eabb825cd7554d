"""An object whose arrays are in one block of shared memory, so that processes map them instead of copying them.

Pickle protocol 5 passes the buffers of arrays out of band; they are copied into the block once, and the rest of the
pickle is small enough to send to every process.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any

ALIGNMENT = 64  # bytes; arrays begin on cache lines


@dataclass(frozen=True)
class SharedObject:
    """A pickled object whose array buffers lie in shared memory."""

    pickled: bytes
    block: str
    spans: tuple[tuple[int, int], ...]  #: (offset, bytes) of each buffer

    @classmethod
    def share(cls, value: Any) -> tuple[SharedObject, SharedMemory]:
        """Copy the buffers of `value` to a new block; the caller closes and unlinks it."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        spans, size = [], 0
        for view in views:
            spans.append((size, view.nbytes))
            size += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
        memory = SharedMemory(create=True, size=max(size, 1))
        block = memoryview(memory.buf or b"")
        for view, (offset, length) in zip(views, spans, strict=True):
            block[offset : offset + length] = view
        block.release()
        return cls(pickled, memory.name, tuple(spans)), memory

    def open(self) -> tuple[Any, SharedMemory]:
        """The object, its arrays read-only views of the block, which must stay open as long as it is used."""
        memory = SharedMemory(name=self.block)
        whole = memoryview(memory.buf or b"").toreadonly()
        buffers = [whole[offset : offset + length] for offset, length in self.spans]
        return pickle.loads(self.pickled, buffers=buffers), memory
