"""Little-endian binary records and the "MatBin" matrix (spec 10.1): bounded reading, and writing.

A `BinaryReader` walks over the bytes of one file. It checks every size field against the bytes that are left before
anything is allocated, so that a damaged file raises a `ModelFormatError` with file and offset, and never allocates a
huge array. Matrices come out as read-only arrays (rows, cols), views of the file's bytes where type and alignment
allow.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError, ModelFormatError
from auparity.models.formats.files import StrPath

Array = npt.NDArray[Any]

#: Element types of stored matrices by type code (spec 10.1; the single-channel codes of OpenCV).
DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype("u1"), 4: np.dtype("<i4"), 5: np.dtype("<f4"), 6: np.dtype("<f8")}
TYPE_CODES: dict[np.dtype[Any], int] = {dtype: code for code, dtype in DTYPES.items()}
MATRIX_HEAD = 12  # bytes: rows, cols, type
ADVICE = "The file is damaged or of another version; fetch it again."

WRITER = "model file writer"  # stage name in a ContractError

_I32 = struct.Struct("<i")
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")
_HEAD = struct.Struct("<3i")


class BinaryReader:
    """Reads one file's bytes from front to back.

    Attributes
    ----------
    label : path or name of the file, for errors.
    offset : bytes read so far.
    """

    def __init__(self, data: bytes, label: StrPath) -> None:
        self._data = data
        self.label = os.fspath(label)
        self.offset = 0

    @property
    def left(self) -> int:
        return len(self._data) - self.offset

    def fail(self, expected: str, found: str, offset: int | None = None) -> NoReturn:
        """Raise ModelFormatError at `offset` (default: here)."""
        raise ModelFormatError(self.label, self.offset if offset is None else offset, expected, found, ADVICE)

    def _need(self, size: int, what: str) -> None:
        if size > self.left:
            self.fail(f"{what} ({size} bytes)", f"the end of the file after {self.left} bytes")

    def i32(self, what: str) -> int:
        self._need(4, what)
        value: int = _I32.unpack_from(self._data, self.offset)[0]
        self.offset += 4
        return value

    def f32(self, what: str) -> float:
        """A finite float32."""
        return self._real(_F32, what)

    def f64(self, what: str) -> float:
        """A finite float64."""
        return self._real(_F64, what)

    def _real(self, form: struct.Struct, what: str) -> float:
        self._need(form.size, what)
        value: float = form.unpack_from(self._data, self.offset)[0]
        if not math.isfinite(value):
            self.fail(f"a finite number ({what})", f"{value}")
        self.offset += form.size
        return value

    def tag(self, what: str, expected: int) -> None:
        """An int32 that must have one value."""
        start = self.offset
        value = self.i32(what)
        if value != expected:
            self.fail(f"{what} {expected}", f"{value}", start)

    def count(self, what: str, item_size: int, minimum: int = 1) -> int:
        """An int32 number of items to come, each of at least `item_size` bytes."""
        start = self.offset
        value = self.i32(what)
        if value < minimum:
            self.fail(f"{what} of at least {minimum}", f"{value}", start)
        if value * item_size > self.left:
            self.fail(f"{what} that fits into the {self.left} bytes left", f"{value}", start)
        return value

    def matrix(
        self, what: str, dtype: npt.DTypeLike | None = None, shape: tuple[int | None, int | None] = (None, None)
    ) -> Array:
        """A MatBin record as read-only array (rows, cols).

        Parameters
        ----------
        what : name for errors.
        dtype : wanted type; None keeps the stored one. Real numbers are not turned into integers.
        shape : rows and columns wanted; None for any number, 0 included.

        Raises
        ------
        ModelFormatError : sizes, type code, shape or values (NaN, infinite) do not fit.
        """
        start = self.offset
        rows, cols, element = self._matrix_head(what, shape)
        array = np.ndarray((rows, cols), element, self._data, self.offset)
        self.offset += rows * cols * element.itemsize
        return self._as(array, dtype, what, start)

    def _matrix_head(self, what: str, shape: tuple[int | None, int | None]) -> tuple[int, int, np.dtype[Any]]:
        """Rows, columns and element type, after checking that the elements are inside the file."""
        start = self.offset
        self._need(MATRIX_HEAD, f"the head of {what}")
        rows, cols, code = _HEAD.unpack_from(self._data, start)
        self.offset += MATRIX_HEAD
        element = DTYPES.get(code)
        if element is None:
            self.fail(f"type code 0, 4, 5 or 6 of {what}", f"{code}", start + 8)
        if rows < 0 or cols < 0 or rows * cols * element.itemsize > self.left:
            self.fail(f"{what} that fits into the {self.left} bytes left", f"{rows} x {cols} of {element}", start)
        if shape[0] not in (None, rows) or shape[1] not in (None, cols):
            wanted = " x ".join("any" if n is None else str(n) for n in shape)
            self.fail(f"{what} of {wanted}", f"{rows} x {cols}", start)
        return rows, cols, element

    def matrices(self, what: str, count: int, dtype: npt.DTypeLike, before: tuple[tuple[str, str], ...] = ()) -> Array:
        """`count` >= 1 records of one MatBin each, all of the first one's shape and type, read at once.

        Parameters
        ----------
        what, dtype : as in `matrix`.
        before : (name, NumPy type) of scalars that stand before the matrix in each record.

        Returns
        -------
        A structured array (count,) with the fields of `before` and ``matrix`` of shape (rows, cols), read-only.
        """
        start = self.offset
        lead = np.dtype(list(before)).itemsize
        self._need(lead + MATRIX_HEAD, what)
        self.offset += lead
        rows, cols, element = self._matrix_head(what, (None, None))
        self.offset = start
        if rows * cols == 0:
            self.fail(f"{what} with at least one element", f"{rows} x {cols}", start + lead)
        record = np.dtype([*before, ("head", "<i4", (3,)), ("matrix", element, (rows, cols))])
        self._need(record.itemsize * count, f"{count} records of {what}")
        table = np.frombuffer(self._data, record, count, start)
        self.offset += record.itemsize * count
        odd = np.flatnonzero((table["head"] != table["head"][0]).any(axis=1))
        if odd.size:
            k = int(odd[0])
            where = start + k * record.itemsize + lead
            self.fail(f"{what} with rows, cols, type {table['head'][0].tolist()} like the first",
                      f"{table['head'][k].tolist()}", where)  # fmt: skip
        for name, _ in before:
            if not np.isfinite(table[name]).all():
                self.fail(f"finite numbers ({name} of {what})", "NaN or infinite", start)
        out = np.empty(count, [*before, ("matrix", np.dtype(dtype), (rows, cols))])
        for name, _ in before:
            out[name] = table[name]
        out["matrix"] = self._as(table["matrix"], dtype, what, start)
        return out

    def _as(self, array: Array, dtype: npt.DTypeLike | None, what: str, start: int) -> Array:
        """`array` aligned, finite, read-only and of the wanted type."""
        wanted = array.dtype if dtype is None else np.dtype(dtype)
        if wanted.kind in "iu" and array.dtype.kind == "f":
            self.fail(f"{what} of whole numbers (type code 0 or 4)", f"real numbers ({array.dtype})", start)
        with np.errstate(over="ignore", invalid="ignore"):  # detected as infinite or NaN below
            array = array.astype(wanted, copy=not array.flags.aligned or not array.flags.c_contiguous)
            # min and max propagate NaN and infinity, and need no temporary array, which np.isfinite would.
            if wanted.kind == "f" and array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
                self.fail(f"finite numbers in {what}", "NaN or infinite", start)
        array.flags.writeable = False
        return array

    def end(self) -> None:
        """Raise ModelFormatError if anything follows the last record."""
        if self.left:
            self.fail("the end of the file", f"{self.left} more bytes")


class BinaryWriter:
    """Collects records; `getvalue` joins them. Arrays must have the type that the file stores: nothing is cast."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def i32(self, *values: int) -> None:
        self._parts.append(struct.pack(f"<{len(values)}i", *values))

    def f32(self, *values: float) -> None:
        self._parts.append(struct.pack(f"<{len(values)}f", *values))

    def f64(self, *values: float) -> None:
        self._parts.append(struct.pack(f"<{len(values)}d", *values))

    def matrix(self, what: str, array: Array, dtype: npt.DTypeLike | None = None) -> None:
        """A MatBin record of a 2-D array.

        Raises
        ------
        ContractError : not 2-D, not of type `dtype` (None: any that has a type code), or NaN or infinite values.
        """
        stored = array.dtype.newbyteorder("<")
        fits = stored in TYPE_CODES if dtype is None else array.dtype == np.dtype(dtype)
        if array.ndim != 2 or not fits:
            expected = f"a matrix of {'uint8, int32, float32 or float64' if dtype is None else np.dtype(dtype).name}"
            raise ContractError(WRITER, what, expected, f"shape {array.shape}, dtype {array.dtype}")
        if not np.isfinite(array).all():
            raise ContractError(WRITER, what, "finite values", "NaN or infinite ones")
        self._parts.append(_HEAD.pack(*array.shape, TYPE_CODES[stored]))
        self._parts.append(array.astype(stored, copy=False).tobytes())

    def column(self, what: str, array: Array, dtype: npt.DTypeLike) -> None:
        """A MatBin record of a 1-D array as one column."""
        self.matrix(what, array.reshape(-1, 1), dtype)

    def row(self, what: str, array: Array, dtype: npt.DTypeLike) -> None:
        """A MatBin record of a 1-D array as one row."""
        self.matrix(what, array.reshape(1, -1), dtype)

    def getvalue(self) -> bytes:
        return b"".join(self._parts)
