"""Reads weights of TensorFlow.js: a manifest (.json) and the files of numbers beside it that it names.

A manifest is a list of groups. A group lists its weights (name, shape and type, each right after the last) and the
files that hold their numbers, one after the other. Numbers are float32, or whole numbers of one or two bytes q that
mean q * scale + min; this is computed in float64 and rounded once, as TensorFlow.js does.

Nothing in a manifest is trusted: files are named without folders, each once, and hold exactly the bytes of the weights,
which is checked before they are read.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, NoReturn, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from auparity.errors import FileFormatError, ModelFormatError
from auparity.json_files import parse_json, read_bounded
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.named_arrays import NamedArrays

Array = npt.NDArray[Any]
#: Gives the content of a file that a manifest names, which must have so many bytes or fewer.
ReadPart = Callable[[str, int], bytes]

MAX_MANIFEST = 4 * 2**20
MAX_BYTES = 2 * 2**30  #: of all weights of a manifest
MAX_AXES = 8
TYPES = {"float32": "<f4", "uint8": "|u1", "uint16": "<u2"}
ADVICE = "Name the manifest (.json) of a TensorFlow.js model, with the files of its weights beside it."


class Quantization(TypedDict):
    """How stored whole numbers are read: times `scale`, plus `min`."""

    dtype: Literal["uint8", "uint16"]
    scale: float
    min: float


class Weight(TypedDict):
    """One array of a manifest."""

    name: str
    shape: list[int]
    dtype: Literal["float32"]
    quantization: NotRequired[Quantization]


class Group(TypedDict):
    """Weights, and the files that hold their numbers."""

    weights: list[Weight]
    paths: list[str]


@dataclass(frozen=True)
class Content:
    """A manifest with its numbers: `data` holds those of every weight, one after the other."""

    label: str
    weights: tuple[Weight, ...]
    data: bytes

    def arrays(self) -> NamedArrays:
        """The weights by name, as float32; `sha256` is that of the numbers as they are stored."""
        arrays, at = {}, 0
        for weight in self.weights:
            end = at + _bytes_of(weight)
            arrays[weight["name"]] = _array(weight, self.data[at:end])
            at = end
        return NamedArrays(self.label, hashlib.sha256(self.data).hexdigest(), arrays)

    def manifest(self, name: str) -> bytes:
        """A manifest of the same weights whose numbers are all in one file of this name."""
        return json.dumps([{"weights": self.weights, "paths": [name]}], separators=(",", ":")).encode()


def read_tensorflow_js(path: StrPath) -> NamedArrays:
    """The weights of a manifest by name, as float32.

    `sha256` is that of the files of numbers, one after the other.

    Raises
    ------
    ModelFormatError : a file is missing, damaged, too large or too small, or something in it is not supported.
    """
    return read_content(path).arrays()


def read_content(path: StrPath) -> Content:
    """The manifest at a path with its numbers; errors as of `read_tensorflow_js`."""
    folder = Path(path).parent

    def read_part(name: str, most: int) -> bytes:
        file = folder / name
        if os.path.isfile(file) and os.path.getsize(file) > most:  # False for names that no file can have
            _fail(str(file), f"at most {most} bytes", f"{os.path.getsize(file)}")
        return read_bytes(file, named_by=path)

    try:
        data = read_bounded(path, "a manifest", max_bytes=MAX_MANIFEST)
    except FileFormatError as error:
        raise ModelFormatError(path, None, error.expected, error.found, ADVICE) from error
    return parse_content(data, read_part, path)


def parse_content(manifest: bytes, read_part: ReadPart, label: StrPath) -> Content:
    """`read_content` of a manifest's text; `read_part` gives the files that it names."""
    label = str(label)
    try:
        groups = parse_json(manifest, label, "a manifest of TensorFlow.js", list[Group], max_bytes=MAX_MANIFEST)
    except FileFormatError as error:
        place = f"{label}, at {error.place}" if error.place else label
        raise ModelFormatError(place, None, error.expected, error.found, ADVICE) from error
    weights = tuple(weight for group in groups for weight in group["weights"])
    paths = [name for group in groups for name in group["paths"]]
    for what, names in (("weights", [weight["name"] for weight in weights]), ("files", paths)):
        if not names or len(set(names)) != len(names):
            _fail(label, f"{what} of different names", f"{len(names)} of {len(set(names))} names")
    total = sum(_checked_bytes_of(weight, label) for weight in weights)
    if total > MAX_BYTES:
        _fail(label, f"weights of at most {MAX_BYTES} bytes", f"{total}")
    for name in paths:
        if PureWindowsPath(name).name != name or name in (".", ".."):  # also what only Windows takes for a folder
            _fail(label, "names of files without folders", ascii(name)[:100])
    return Content(label, weights, b"".join(_group(group, read_part, label) for group in groups))


def _group(group: Group, read_part: ReadPart, label: str) -> bytes:
    """The numbers of a group, all of them and no more."""
    left, parts = sum(_bytes_of(weight) for weight in group["weights"]), []
    for name in group["paths"]:
        parts.append(read_part(name, left))
        left -= len(parts[-1])
    if left:
        names = ", ".join(ascii(name)[1:-1][:60] for name in group["paths"][:3])
        _fail(label, f"{left} more bytes" if left > 0 else f"{-left} bytes fewer", f"the end of {names}")
    return b"".join(parts)


def _checked_bytes_of(weight: Weight, label: str) -> int:
    """Bytes of a weight whose shape makes sense."""
    if len(weight["shape"]) > MAX_AXES or any(size < 1 for size in weight["shape"]):
        _fail(f"{label}, {ascii(weight['name'])[1:-1][:100]}", f"up to {MAX_AXES} sizes from 1 on", "other ones")
    return _bytes_of(weight)


def _bytes_of(weight: Weight) -> int:
    return math.prod(weight["shape"]) * np.dtype(_stored_as(weight)).itemsize


def _stored_as(weight: Weight) -> str:
    """The type of a weight's numbers in its file."""
    return TYPES[weight["quantization"]["dtype"] if "quantization" in weight else weight["dtype"]]


def _array(weight: Weight, data: bytes) -> Array:
    values = np.frombuffer(data, _stored_as(weight))
    if "quantization" in weight:
        how = weight["quantization"]
        with np.errstate(over="ignore"):  # whoever uses the weights refuses infinite ones
            values = (values.astype(np.float64) * how["scale"] + how["min"]).astype(np.float32)
    values = values.reshape(weight["shape"])
    values.flags.writeable = False
    return values


def _fail(label: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(label, None, expected, found, ADVICE)
