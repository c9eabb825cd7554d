"""Arrays that take long to compute, kept in the cache by everything that they are computed from, and mapped from there.

An entry that is damaged, belongs to another user, or is of another layout counts as missing. Mapped arrays are
read-only, and processes on one machine share their memory.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.cache import cache_folder, map_own, write_own
from auparity.cache_upkeep import tidy_daily

Array = npt.NDArray[Any]

MAGIC = b"auparity array 1\n"
#: Where numbers begin in a file: there is room for the head before them, and arrays are aligned to lines of the cache.
BEGIN = 512


def stored_array(kind: str, key: str, make: Callable[[], Array]) -> Array:
    """What `make` returns, from the cache if it was made under this key before.

    Parameters
    ----------
    kind : folder of the cache.
    key : hexadecimal digest of everything that the array depends on, the code that computes it included.
    make : returns a C-contiguous array of numbers.
    """
    folder = cache_folder(kind)
    if folder is None:
        return make()
    path = folder / key
    mapped = map_own(path)
    array = None if mapped is None else _array_in(mapped, key)
    if array is not None:
        return array
    made = np.ascontiguousarray(make())
    numbers = made.tobytes()
    about = {"key": key, "dtype": made.dtype.str, "shape": made.shape, "crc32": zlib.crc32(numbers)}
    head = MAGIC + json.dumps(about).encode()
    with suppress(OSError):  # a disk that is full costs computing again, not the run
        write_own(path, head.ljust(BEGIN) + numbers)
        tidy_daily(folder, kind)
    made.flags.writeable = False  # as the array that the next run maps
    return made


def _array_in(entry: memoryview, key: str) -> Array | None:
    """The array of an entry; None if it is damaged or of another key."""
    if entry[: len(MAGIC)] != MAGIC:
        return None
    try:
        about = json.loads(bytes(entry[len(MAGIC) : BEGIN]))
    except ValueError:
        return None
    numbers = entry[BEGIN:]
    if about.get("key") != key or zlib.crc32(numbers) != about.get("crc32"):
        return None
    return np.frombuffer(numbers, np.dtype(about["dtype"])).reshape(about["shape"])
