"""The cache of machine code: a file for each specialisation of a kernel.

Code from it is executed, so a file is read only where it is this user's alone (auparity/cache.py) and has the
SHA-256 that it carries; anything else counts as missing and is compiled again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from auparity.accelerated.numba.machine_code import Linked, python_function
from auparity.cache import LOCK, kernels_folder, read_own, write_own
from auparity.cache_upkeep import tidy_daily
from auparity.errors import AuparityError, AuparityWarning, LockHeld
from auparity.models.file_lock import locked

#: What a file begins with; another layout has another one.
MAGIC = b"auparity kernel 1\n"
HASH_BYTES, LENGTH_BYTES = 32, 4


@dataclass(frozen=True)
class Code:
    """One specialisation.

    Parameters
    ----------
    machine_code : object file.
    wrapper, environment, environments : see `machine_code.python_function`.
    """

    machine_code: bytes
    wrapper: str
    environment: str
    environments: dict[str, list[str]]

    def to_bytes(self, key: str) -> bytes:
        """A file of the cache; `key` is what it was made from."""
        about = {"wrapper": self.wrapper, "environment": self.environment, "environments": self.environments}
        head = json.dumps({"key": key, **about}).encode()
        content = len(head).to_bytes(LENGTH_BYTES, "little") + head + self.machine_code
        return MAGIC + hashlib.sha256(content).digest() + content

    @classmethod
    def from_bytes(cls, data: bytes, key: str) -> Code | None:
        """What `to_bytes` wrote; None where it is damaged, or of another key."""
        begin = len(MAGIC) + HASH_BYTES
        content = memoryview(data)[begin:]
        if data[: len(MAGIC)] != MAGIC or hashlib.sha256(content).digest() != data[len(MAGIC) : begin]:
            return None
        length = int.from_bytes(content[:LENGTH_BYTES], "little")
        head = json.loads(bytes(content[LENGTH_BYTES : LENGTH_BYTES + length]))
        if head.pop("key") != key:
            return None
        return cls(bytes(content[LENGTH_BYTES + length :]), **head)


@dataclass(frozen=True)
class Entry:
    """A place in the cache.

    Parameters
    ----------
    name : of the kernel, for people who look into the folder.
    key : everything that the code depends on.
    """

    name: str
    key: str

    @property
    def path(self) -> Path | None:
        """The file, which need not exist; None where nothing is kept."""
        folder = kernels_folder()
        return None if folder is None else folder / f"{self.name}.{hashlib.sha256(self.key.encode()).hexdigest()[:32]}"


def find(entry: Entry) -> Code | None:
    """The code of an entry; None if there is none, or it is damaged, foreign or of another key."""
    content = None if entry.path is None else read_own(entry.path)
    return None if content is None else Code.from_bytes(content, entry.key)


def keep(entry: Entry, code: Code) -> None:
    """Put code into the cache; a disk that is full costs compiling again, not the run."""
    if (path := entry.path) is not None:
        try:
            write_own(path, code.to_bytes(entry.key))
            tidy_daily(path.parent, "numba")
        except OSError as error:
            _warn_unsaved(str(path.parent), error.strerror)


@contextmanager
def making(entry: Entry, patience: float) -> Iterator[None]:
    """Within, no other process makes this entry, where files can be locked.

    The file of the lock is deleted at the end. One that a killed process leaves behind locks nothing.

    Raises
    ------
    LockHeld : another process is at it for longer than `patience` seconds.
    """
    with ExitStack() as stack:
        if (path := entry.path) is not None:
            lock = path.with_name(path.name + LOCK)
            try:
                stack.enter_context(locked(lock, patience=patience))
                stack.callback(_delete, lock)
            except LockHeld:
                raise
            except AuparityError:  # a file system without locks: each process makes its own
                pass
        yield


def _delete(lock: Path) -> None:
    with suppress(OSError):  # Windows deletes no file that is open
        lock.unlink()


def python_function_of(function: Any, code: Code) -> Any:
    """What Python calls for a kernel that means `function`."""
    module, linked = sys.modules[function.__module__], Linked(code.machine_code)
    return python_function(linked, code.wrapper, code.environment, code.environments, module, function.__name__)


@lru_cache(maxsize=1)
def _warn_unsaved(folder: str, why: str | None) -> None:
    warnings.warn(f"Compiled kernels cannot be kept in {folder} ({why}).", AuparityWarning, stacklevel=2)
