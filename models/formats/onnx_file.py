"""Reads the weights of an ONNX file by name: its initialisers. Needs the `onnx` package; the graph is not run.

The file is parsed by the package's protocol buffers, which never allocate more than the file holds; each array is then
checked against its stated shape before it is made. Weights in files beside it (external data) are refused.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError, VariantUnavailable
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.named_arrays import NamedArrays

Array = npt.NDArray[Any]

MAX_FILE = 2 * 2**30  # protocol buffers hold no more
ADVICE = "Name an ONNX file that holds its own weights."
NEEDED = "reading .onnx files needs the onnx package: pip install 'auparity[onnx]'."


def read_onnx(path: StrPath) -> NamedArrays:
    """The initialisers of a file by name.

    Raises
    ------
    VariantUnavailable : the `onnx` package is not installed.
    ModelFormatError : the file is missing, damaged, or keeps its weights elsewhere.
    """
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    if size >= MAX_FILE:
        raise ModelFormatError(path, None, f"a file of less than {MAX_FILE} bytes", f"{size} bytes", ADVICE)
    return parse_onnx(read_bytes(path), path)


def parse_onnx(data: bytes, label: StrPath) -> NamedArrays:
    """`read_onnx` of a file's content."""
    model, label = parse_model(data, label), str(label)
    if not all(isinstance(tensor.name, str) for tensor in model.graph.initializer):  # bytes that are no UTF-8
        _fail(label, "names in UTF-8", "other ones")
    arrays = {tensor.name: _as_array(tensor, label) for tensor in model.graph.initializer}
    if len(arrays) != len(model.graph.initializer):
        _fail(label, "every name once", "two initialisers of one name")
    if not arrays:
        _fail(label, "initialisers", "none")
    return NamedArrays(label, hashlib.sha256(data).hexdigest(), arrays)


def parse_model(data: bytes, label: StrPath) -> Any:
    """The file's `onnx.ModelProto`; errors as of `read_onnx`."""
    try:
        import onnx
    except ImportError as missing:
        raise VariantUnavailable(NEEDED) from missing
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # bytes from outside: the package promises no type of error
        raise ModelFormatError(label, None, "an ONNX file", f"{type(error).__name__}: {error}", ADVICE) from error
    return model


def _fail(label: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(label, None, expected, found, ADVICE)


def _as_array(tensor: Any, label: str) -> Array:
    from onnx import TensorProto, helper, numpy_helper

    place = f"{label}, {ascii(tensor.name)[1:-1][:100]}"
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data or tensor.HasField("segment"):
        _fail(place, "numbers inside the file", "ones elsewhere")
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        _fail(place, "sizes from 0 on", f"{shape[:8]}")
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, ValueError, TypeError):
        dtype = np.dtype(object)
    if dtype.kind not in "fiub":
        _fail(place, "numbers", f"data type {tensor.data_type}")
    if tensor.raw_data and len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
        _fail(place, f"{math.prod(shape)} numbers of {dtype.itemsize} bytes", f"{len(tensor.raw_data)} bytes")
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:  # a count that does not fit its shape; the package promises no type of error
        raise ModelFormatError(place, None, "an array", f"{type(error).__name__}: {error}"[:200], ADVICE) from error
    array.flags.writeable = False
    return array
