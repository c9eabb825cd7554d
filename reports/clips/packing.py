"""Numbers of a page in few bytes: rounded to a step, as differences in time, in planes of bytes, compressed.

Measurements change little from frame to frame, so differences of rounded values fit into a byte or two, most of them
with an upper byte of 0, which zlib then removes. `reports/clips/web/data.js` undoes this in the browser, which has zlib
itself (`DecompressionStream`).
"""

from __future__ import annotations

import base64
import zlib
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Rounded values are kept within this, so that differences fit into 6 bytes, which JavaScript's numbers hold exactly.
LARGEST = 1 << 45
_LEVEL = 9


class Packed(TypedDict):
    """Where an array is in the data of a page."""

    at: int  #: of its first byte, after decompression
    planes: int  #: bytes of each difference; the lowest ones of all differences come first
    count: int  #: rows
    columns: int  #: one after the other
    step: float


class Packer:
    """The arrays of one page."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, values: Array, step: float) -> Packed:
        """Keep values (rows,) or (rows, columns), finite, rounded to multiples of `step`."""
        columns = np.asarray(values, np.float64).reshape(len(values), int(np.prod(values.shape[1:])))
        rounded = np.clip(np.rint(columns / step), -LARGEST, LARGEST).astype(np.int64)
        difference = np.diff(rounded, axis=0, prepend=0).T.ravel()
        unsigned = ((difference << 1) ^ (difference >> 63)).astype("<u8")  # 0, -1, 1, -2, ... as 0, 1, 2, 3, ...
        planes = max(1, -(-int(unsigned.max(initial=0)).bit_length() // 8))
        data = np.ascontiguousarray(unsigned.view(np.uint8).reshape(-1, 8)[:, :planes].T).tobytes()
        packed = Packed(at=self._size, planes=planes, count=len(columns), columns=columns.shape[1], step=step)
        self._parts.append(data)
        self._size += len(data)
        return packed

    def text(self) -> str:
        """All arrays, compressed, in Base64."""
        return base64.b64encode(zlib.compress(b"".join(self._parts), _LEVEL)).decode("ascii")
