"""Text model files: tokens with their offsets, the "MatText" matrix (spec 10.1), and comment lines.

A `TextReader` walks over the bytes of one file. Numbers are parsed to the nearest float64 (correctly rounded), so a
matrix that is written with enough digits is read back bit for bit. Matrices come out read-only, (rows, cols).
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.models.formats.binary import ADVICE
from auparity.models.formats.files import StrPath

Array = npt.NDArray[Any]

#: Element types by type code; uint8 (0) is read character by character in C++ and appears in no model file.
TEXT_DTYPES: dict[int, type[np.generic]] = {4: np.int32, 5: np.float32, 6: np.float64}
SHIPPED_DECIMALS = 6  # digits after the point in OpenFace's own text matrices

_TOKEN = re.compile(rb"\S+")
_INTEGER = re.compile(rb"[+-]?[0-9]{1,10}")  # ten digits hold every int32
_REAL = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SKIPPED = b"#\n\r "
_I32 = np.iinfo(np.int32)


class TextReader:
    """Reads one text file's bytes from front to back; attributes as in `BinaryReader`."""

    def __init__(self, data: bytes, label: StrPath) -> None:
        self._data = data
        self.label = os.fspath(label)
        self.offset = 0

    def fail(self, expected: str, found: str, offset: int | None = None) -> NoReturn:
        """Raise ModelFormatError at `offset` (default: here)."""
        raise ModelFormatError(self.label, self.offset if offset is None else offset, expected, found, ADVICE)

    def skip_comments(self) -> None:
        """Skip whole lines while the next character is '#', newline, carriage return or space (spec 10.1, "(C)")."""
        while self._data[self.offset : self.offset + 1] and self._data[self.offset] in _SKIPPED:
            newline = self._data.find(b"\n", self.offset)
            self.offset = len(self._data) if newline < 0 else newline + 1

    def _tokens(self, count: int, what: str) -> list[tuple[int, bytes]]:
        if 2 * count - 1 > len(self._data) - self.offset:  # a digit each and a space between
            self.fail(f"{what} ({count} numbers)", f"the end of the file after {len(self._data) - self.offset} bytes")
        tokens: list[tuple[int, bytes]] = []
        position = self.offset
        for _ in range(count):
            match = _TOKEN.search(self._data, position)
            if match is None:
                self.fail(f"{what} ({count} numbers)", f"the end of the file after {len(tokens)} of them")
            position = match.end()
            tokens.append((match.start(), match.group()))
        self.offset = position
        return tokens

    def _integer(self, token: tuple[int, bytes], what: str) -> int:
        where, text = token
        if not _INTEGER.fullmatch(text) or not _I32.min <= int(text) <= _I32.max:
            self.fail(f"{what} (a 32-bit integer)", _shown(text), where)
        return int(text)

    def _real(self, token: tuple[int, bytes], what: str) -> float:
        where, text = token
        value = float(text) if _REAL.fullmatch(text) else math.nan
        if not math.isfinite(value):
            self.fail(f"{what} (a finite number)", _shown(text), where)
        return value

    def integer(self, what: str, minimum: int = 0) -> int:
        token = self._tokens(1, what)[0]
        value = self._integer(token, what)
        if value < minimum:
            self.fail(f"{what} of at least {minimum}", f"{value}", token[0])
        return value

    def reals(self, what: str) -> npt.NDArray[np.float64]:
        """All numbers up to the end of the file."""
        tokens = [(m.start(), m.group()) for m in _TOKEN.finditer(self._data, self.offset)]
        self.offset = len(self._data)
        return _frozen(np.array([self._real(token, what) for token in tokens], np.float64))

    def matrix(self, what: str, dtype: npt.DTypeLike | None = None) -> Array:
        """A MatText record as read-only array (rows, cols).

        `dtype` is the wanted type, None for the stored one. Real numbers are not turned into integers.

        Raises
        ------
        ModelFormatError : sizes, type code or numbers do not fit.
        """
        start = self.offset
        rows, cols = (self.integer(f"number of {name} of {what}") for name in ("rows", "columns"))
        code = self.integer(f"type code of {what}")
        if code not in TEXT_DTYPES:
            self.fail(f"type code 4, 5 or 6 of {what}", f"{code}", start)
        stored = np.dtype(TEXT_DTYPES[code])
        wanted = stored if dtype is None else np.dtype(dtype)
        if wanted.kind == "i" and stored.kind == "f":
            self.fail(f"{what} of whole numbers (type code 4)", f"type code {code}", start)
        tokens = self._tokens(rows * cols, what) if rows * cols else []
        parse = self._integer if stored.kind == "i" else self._real
        values = np.array([parse(token, what) for token in tokens], np.int32 if stored.kind == "i" else np.float64)
        with np.errstate(over="ignore"):  # beyond float32: detected as infinite below
            values = values.astype(stored).astype(wanted).reshape(rows, cols)
        if not np.isfinite(values).all():
            self.fail(f"numbers in the range of {stored} in {what}", "a larger one", start)
        return _frozen(values)

    def end(self) -> None:
        """Raise ModelFormatError if more than white space and comment lines follow."""
        self.skip_comments()
        match = _TOKEN.search(self._data, self.offset)
        if match is not None:
            self.fail("the end of the file", _shown(match.group()), match.start())


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("ascii", "backslashreplace"))


def format_reals(values: Array, decimals: int = SHIPPED_DECIMALS) -> list[str]:
    """Numbers as text that reads back to the same float64: with `decimals` digits if that is exact for all of them."""
    plain = [f"{value:.{decimals}f}" for value in values.ravel().tolist()]
    exact = np.array_equal(np.array([float(text) for text in plain]).view(np.int64), values.ravel().view(np.int64))
    return plain if exact else [repr(value) for value in values.ravel().tolist()]


def format_matrix(array: Array) -> bytes:
    """A MatText record of an int32 or float64 array (rows, cols): the head on three lines, then one line a row."""
    rows, cols = array.shape
    if array.dtype.kind == "i":
        code, items = 4, [str(value) for value in array.ravel().tolist()]
    else:
        code, items = 6, format_reals(np.ascontiguousarray(array, np.float64))
    lines = [str(rows), str(cols), str(code)]
    lines += ["".join(f"{item} " for item in items[r * cols : (r + 1) * cols]) for r in range(rows)]
    return ("\n".join(lines) + "\n").encode("ascii")


def parse_matrix(data: bytes, label: StrPath) -> Array:
    """A file of one MatText, such as haarAlign.txt; stored type, (rows, cols)."""
    reader = TextReader(data, label)
    reader.skip_comments()
    matrix = reader.matrix("matrix")
    reader.end()
    return matrix
