"""Reads the constants of an OpenVINO model (.xml with its .bin), in the order of the layers; the graph is not run.

Exporters have usually folded norms into the convolutions before them, and names of their own: what a network makes of
the constants, it makes of their order (`networks.folded`). float16 weights come as they are.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.named_arrays import NamedArrays

Array = npt.NDArray[Any]

MAX_XML = 16 * 2**20
MAX_AXES = 8
TYPES = {"f16": "<f2", "f32": "<f4", "f64": "<f8", "i32": "<i4", "i64": "<i8", "u8": "|u1"}
ADVICE = "Name the .xml file of an OpenVINO model, with its .bin file beside it."


def read_openvino(path: StrPath) -> NamedArrays:
    """The constants of a model by the names of their layers, in the order of the file.

    `sha256` is that of the .bin file, in which the weights are.

    Raises
    ------
    ModelFormatError : a file is missing, damaged or too large, or a constant lies outside it.
    """
    weights = Path(path).with_suffix(".bin")
    return parse_openvino(read_bytes(path), read_bytes(weights, named_by=path), path)


def parse_openvino(xml: bytes, weights: bytes, label: StrPath) -> NamedArrays:
    """`read_openvino` of the content of both files."""
    label = str(label)
    if len(xml) > MAX_XML:
        _fail(label, f"at most {MAX_XML} bytes of XML", f"{len(xml)}")
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        _fail(label, "XML without definitions of its own", "a document type")
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # also of an encoding that nobody knows
        raise ModelFormatError(label, None, "XML", str(error)[:100], ADVICE) from error
    arrays: dict[str, Array] = {}
    for layer in root.iterfind("./layers/layer"):
        if layer.get("type") == "Const":
            name, data = layer.get("name", ""), layer.find("data")
            if name in arrays or data is None:
                _fail(label, "constants of different names, with data", ascii(name)[:100])
            arrays[name] = _constant(data.attrib, weights, f"{label}, {ascii(name)[1:-1][:100]}")
    if not arrays:
        _fail(label, "constants", "none")
    return NamedArrays(label, hashlib.sha256(weights).hexdigest(), arrays)


def _fail(label: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(label, None, expected, found, ADVICE)


def _constant(data: dict[str, str], weights: bytes, label: str) -> Array:
    shape = tuple(_size(text, label) for text in data.get("shape", "").split(",") if text.strip())
    kind, offset = data.get("element_type", ""), _size(data.get("offset", ""), label)
    if kind not in TYPES or len(shape) > MAX_AXES:
        _fail(label, f"up to {MAX_AXES} sizes of {', '.join(TYPES)}", ascii(f"{len(shape)} of {kind}")[:60])
    dtype = np.dtype(TYPES[kind])
    count = math.prod(shape)
    if not count or offset + count * dtype.itemsize > len(weights):
        _fail(label, f"a constant inside the {len(weights)} bytes of weights", f"{count} numbers at {offset}")
    return np.frombuffer(weights, dtype, count, offset).reshape(shape)


def _size(text: str, label: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        _fail(label, "a whole number from 0 on", ascii(text)[:40])
    return int(text)
