"""Core ML ML Programs as they lie on disk: a `.mlpackage` folder goes in, its operations, constants and declarations
come out as plain Python and NumPy values.

A package holds a manifest (which file is the model), the model's specification (a protobuf message) and the weight blob
(arrays behind 64-byte records). Everything is checked while it is read, because otherwise a damaged package would only
cause wrong numbers. The weights themselves cannot be checked, because the format has no checksum.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from auparity.conversion.coreml.log import quiet_log
from auparity.errors import FileFormatError, ModelFormatError, VariantUnavailable
from auparity.json_files import load_json

Array = npt.NDArray[Any]
Shape = tuple[int | None, ...]

#: Specification versions whose operators are known: macOS 12 (opset CoreML5) to macOS 15 (CoreML8).
OLDEST, NEWEST = 6, 9
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_), "STRING": np.dtype(np.str_), "FLOAT16": np.dtype(np.float16),
    "FLOAT32": np.dtype(np.float32), "FLOAT64": np.dtype(np.float64), "DOUBLE": np.dtype(np.float64),
    "INT8": np.dtype(np.int8), "INT16": np.dtype(np.int16), "INT32": np.dtype(np.int32), "INT64": np.dtype(np.int64),
    "UINT8": np.dtype(np.uint8), "UINT16": np.dtype(np.uint16), "UINT32": np.dtype(np.uint32),
}  # fmt: skip
MANIFEST, MODEL_FOLDER = "Manifest.json", "@model_path/"
AGAIN = "The package is damaged; export or copy it again."
_UNIT, _SENTINEL, _BLOB_VERSION = 64, 0xDEADBEEF, 2
#: How arrays are written in the specification, and the kinds of dtype that each may hold.
_STORED = {"floats": "f", "doubles": "f", "ints": "iu", "longInts": "iu", "bools": "b", "strings": "U", "bytes": "fiu"}
_BLOB_DTYPES = {1: "FLOAT16", 2: "FLOAT32", 3: "UINT8", 4: "INT8", 6: "INT16", 7: "UINT16"}


@dataclass(frozen=True)
class Declared:
    """A program's declaration of a value; None is an open dimension or, as the shape, an open rank."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None

    def admits(self, dtype: np.dtype[Any], shape: Sequence[int]) -> bool:
        """Whether an array of this dtype and shape is as declared."""
        same = self.dtype == dtype or self.dtype.kind == dtype.kind == "U"
        return same and (self.shape is None or _agree(self.shape, shape))

    def __str__(self) -> str:
        return form(self.dtype, self.shape)


class Range(NamedTuple):
    """Lengths that a flexible dimension may have, both ends included; None for no upper end."""

    lower: int
    upper: int | None


@dataclass(frozen=True)
class Feature:
    """An input or output: lengths of its dimensions, or the shapes if only some are allowed."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | Range, ...]
    choices: tuple[tuple[int, ...], ...] = ()

    def admits(self, shape: Sequence[int]) -> bool:
        """Whether an array of this shape is allowed."""
        if self.choices:
            return tuple(shape) in self.choices
        return len(shape) == len(self.shape) and all(
            length == allowed if isinstance(allowed, int) else
            allowed.lower <= length and (allowed.upper is None or length <= allowed.upper)
            for length, allowed in zip(shape, self.shape, strict=True)
        )  # fmt: skip

    def __str__(self) -> str:
        if self.choices:
            return f"{self.dtype} {' or '.join(map(str, self.choices))}"
        lengths = (f"{k.lower}..{k.upper or ''}" if isinstance(k, Range) else str(k) for k in self.shape)
        return f"{self.dtype} ({', '.join(lengths)})"


@dataclass(frozen=True)
class Operation:
    """An applied operator: each parameter is a tuple of names of values, or of arrays written inline."""

    type: str
    inputs: Mapping[str, tuple[str | Array, ...]]
    outputs: tuple[Declared, ...]


@dataclass(frozen=True)
class Metadata:
    """The metadata of a package."""

    author: str
    license: str
    short_description: str
    version: str
    user_defined: Mapping[str, str]


@dataclass(frozen=True)
class Parameters:
    """Weights: arrays in the blob, and floating ones of rank 1 and more that are small enough to be written inline."""

    count: int
    bytes: int


@dataclass(frozen=True)
class Content:
    """All of a package; `operations` are in order and without the constants."""

    path: str
    specification_version: int
    opset: str
    metadata: Metadata
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]
    arguments: tuple[Declared, ...]
    results: tuple[Declared, ...]
    constants: Mapping[str, Array]
    operations: tuple[Operation, ...]
    parameters: Parameters


def form(dtype: np.dtype[Any], shape: Sequence[int | None] | None) -> str:
    """Dtype and shape for messages; open dimensions are question marks."""
    kind = "str" if dtype.kind == "U" else str(dtype)
    return (
        f"{kind} of any shape"
        if shape is None
        else f"{kind} ({', '.join('?' if k is None else str(k) for k in shape)})"
    )


def read(path: str | Path) -> Content:
    """Read a package; see `auparity.conversion.mil.interpreter.Program.load` for the errors."""
    return _Reader(Path(path)).content()


def _protobuf() -> tuple[Any, Any]:
    try:
        with quiet_log():
            from coremltools.proto import MIL_pb2, Model_pb2  # loads slowly, hence only where it is needed
    except ImportError as error:
        raise VariantUnavailable(
            f"Core ML packages are read with coremltools ({error}): pip install 'auparity[coreml]'"
        ) from error
    return Model_pb2, MIL_pb2


def _dtype(names: Any, number: int) -> np.dtype[Any] | None:
    """The NumPy type of a number of a protobuf enumeration; None where it has no name or no counterpart."""
    return DTYPES.get(names.Name(number)) if number in names.values() else None


def _agree(first: Sequence[int | None], second: Sequence[int | None]) -> bool:
    return len(first) == len(second) and all(None in (a, b) or a == b for a, b in zip(first, second, strict=True))


class PackageItem(TypedDict):
    """A file or folder of a package, relative to its ``Data``."""

    path: str


class PackageManifest(TypedDict):
    """``Manifest.json``; Core ML's own has further fields."""

    fileFormatVersion: str
    itemInfoEntries: dict[str, PackageItem]
    rootModelIdentifier: str


def _model_file(package: Path) -> Path:
    manifest = package / MANIFEST
    if not manifest.is_file():
        raise ModelFormatError(
            package, None, f"a .mlpackage folder with {MANIFEST}", "none", "Name the package itself."
        )
    try:
        described = load_json(manifest, "the manifest of a package", PackageManifest)
    except FileFormatError as error:
        expected = f"a package manifest: {error.expected}" + (f" at {error.place}" if error.place else "")
        raise ModelFormatError(manifest, None, expected, error.found, AGAIN) from error
    version = described["fileFormatVersion"]
    entries = {name: Path(entry["path"]) for name, entry in described["itemInfoEntries"].items()}
    root = entries.get(described["rootModelIdentifier"])
    if root is None:
        raise ModelFormatError(manifest, None, "a package manifest that names its model", "no name of a model", AGAIN)
    if version != "1.0.0":
        raise ModelFormatError(manifest, None, "package format 1.0.0", repr(version), "Use a newer auparity.")
    for entry in entries.values():
        if entry.is_absolute() or ".." in entry.parts or not os.path.exists(package / "Data" / entry):
            raise ModelFormatError(manifest, None, f"an item Data/{entry.as_posix()} in the package", "none", AGAIN)
    model = package / "Data" / root
    if not os.path.isfile(model):
        raise ModelFormatError(manifest, None, "a model file", f"a folder {root.as_posix()}", AGAIN)
    return model


class Blob:
    """A weight blob. All its records are checked, so that any damage outside the numbers is detected."""

    def __init__(self, path: Path) -> None:
        if not os.path.isfile(path):
            raise ModelFormatError(path, None, "the weight blob that the model refers to", "no such file", AGAIN)
        self._path, self._bytes = path, path.read_bytes()
        if len(self._bytes) < _UNIT:
            raise self._wrong(0, f"a header of {_UNIT} bytes", f"{len(self._bytes)} bytes")
        count, version = struct.unpack_from("<II", self._bytes)
        if version != _BLOB_VERSION or any(self._bytes[8:_UNIT]):
            raise self._wrong(0, f"a header of blob version {_BLOB_VERSION}", f"version {version} or unknown fields")
        #: Offset of a record to dtype code, offset and length of its array.
        self._records = {at: (code, start, size) for at, code, start, size in self._walk()}
        if len(self._records) != count:
            raise self._wrong(0, f"{count} arrays as the header says", f"{len(self._records)}")

    def _wrong(self, offset: int, expected: str, found: str) -> ModelFormatError:
        return ModelFormatError(self._path, offset, expected, found, AGAIN)

    def _walk(self) -> Iterator[tuple[int, int, int, int]]:
        at, total = _UNIT, len(self._bytes)
        while at < total:
            if at + _UNIT > total:
                raise self._wrong(at, f"a record of {_UNIT} bytes", f"the end after {total - at}")
            sentinel, code, size, start, padding = struct.unpack_from("<IIQQQ", self._bytes, at)
            if sentinel != _SENTINEL or start != at + _UNIT or padding or any(self._bytes[at + 32 : at + _UNIT]):
                raise self._wrong(at, "the record of an array", "something else")
            if start + size > total:
                raise self._wrong(start, f"{size} bytes of weights", f"the end after {total - start}")
            yield at, code, start, size
            at = start + -(-size // _UNIT) * _UNIT

    def array(self, offset: int, declared: Declared) -> Array:
        """The array of the record at an offset; its dtype and length must be the declared ones."""
        if offset not in self._records:
            raise self._wrong(offset, f"the record of {declared.name!r}", "none")
        code, start, size = self._records[offset]
        dtype = DTYPES.get(_BLOB_DTYPES.get(code, ""))
        shape = [length for length in declared.shape or () if length is not None]
        expected = int(np.prod(shape, dtype=np.int64)) * declared.dtype.itemsize
        if dtype != declared.dtype or size != expected:
            raise self._wrong(offset, f"{expected} bytes of {declared}", f"{size} bytes of {dtype or f'type {code}'}")
        count = size // declared.dtype.itemsize
        return np.frombuffer(self._bytes, declared.dtype.newbyteorder("<"), count, start).reshape(shape)


class _Reader:
    def __init__(self, package: Path) -> None:
        self._package = package
        self._file = _model_file(package)
        model_pb2, self._mil = _protobuf()
        self._model = model_pb2.Model()
        try:
            self._model.ParseFromString(self._file.read_bytes())
        except Exception as error:  # without importing protobuf for its error class
            raise ModelFormatError(self._file, None, "a Core ML model", f"damage: {error}", AGAIN) from error
        self._blobs: dict[str, Blob] = {}

    def _wrong(self, expected: str, found: str, advice: str = AGAIN) -> ModelFormatError:
        return ModelFormatError(self._file, None, expected, found, advice)

    def content(self) -> Content:
        model = self._model
        version, kind = model.specificationVersion, model.WhichOneof("Type")
        if version > NEWEST:
            raise self._wrong(f"a specification version up to {NEWEST}", str(version), "Export for macOS 15 or older.")
        if kind != "mlProgram" or version < OLDEST:
            raise self._wrong("an ML Program", f"{kind or 'no model'}, version {version}", "Export to ML Program.")
        functions = list(model.mlProgram.functions.items())
        if len(functions) != 1 or len(model.description.functions) > 1:
            names = ", ".join(sorted(name for name, _ in functions)) or "none"
            raise self._wrong("a program of one function", names, "Export each function to a package of its own.")
        function = functions[0][1]
        if function.opset not in function.block_specializations:
            raise self._wrong(f"a block for opset {function.opset}", "none")
        block = function.block_specializations[function.opset]
        arguments = tuple(self._declared(entry.name, entry.type) for entry in function.inputs)
        constants, operations, stored = {}, [], []
        by_name = {argument.name: argument for argument in arguments}
        for entry in block.operations:
            outputs = tuple(self._declared(output.name, output.type) for output in entry.outputs)
            inputs = {k: tuple(self._bound(b) for b in v.arguments) for k, v in entry.inputs.items()}
            missing = {name for names in inputs.values() for name in names if isinstance(name, str)} - set(by_name)
            again = {output.name for output in outputs} & set(by_name)
            if missing or again:
                fault = f"{', '.join(sorted(missing))} used before" if missing else f"{', '.join(sorted(again))} twice"
                raise self._wrong(f"values made once, before use ({entry.type})", fault)
            by_name |= {output.name: output for output in outputs}
            if entry.type != "const":
                operations.append(Operation(entry.type, inputs, outputs))
                continue
            value = entry.attributes.get("val")
            if value is None or len(outputs) != 1:
                raise self._wrong("constants with a value", f"none for {[output.name for output in outputs]}")
            array = constants[outputs[0].name] = self._value(value, outputs[0])
            if value.WhichOneof("value") == "blobFileValue" or (array.dtype.kind == "f" and array.ndim):
                stored.append(array)
        if unmade := set(block.outputs) - set(by_name):
            raise self._wrong("outputs that an operation makes", f"none for {', '.join(sorted(unmade))}")
        results = tuple(by_name[name] for name in block.outputs)
        return Content(
            str(self._package), version, function.opset, self._metadata(), self._features("input", arguments),
            self._features("output", results), arguments, results, constants, tuple(operations),
            Parameters(sum(array.size for array in stored), sum(array.nbytes for array in stored)),
        )  # fmt: skip

    def _metadata(self) -> Metadata:
        metadata = self._model.description.metadata
        user = dict(metadata.userDefined)
        return Metadata(metadata.author, metadata.license, metadata.shortDescription, metadata.versionString, user)

    def _declared(self, name: str, kind: Any) -> Declared:
        tensor = kind.tensorType
        dtype = _dtype(self._mil.DataType, tensor.dataType)
        open_rank = tensor.rank < 0 or any(d.unknown.variadic for d in tensor.dimensions)
        whole = open_rank or tensor.rank == len(tensor.dimensions)
        if kind.WhichOneof("type") != "tensorType" or dtype is None or not whole:
            found = " ".join(str(kind).split())[:100]
            raise self._wrong(f"a tensor of a known type for {name!r}", found, "Export it otherwise.")
        shape = [d.constant.size if d.WhichOneof("dimension") == "constant" else None for d in tensor.dimensions]
        return Declared(name, dtype, None if open_rank else tuple(shape))

    def _bound(self, binding: Any) -> str | Array:
        if binding.WhichOneof("binding") == "name":
            return str(binding.name)
        return self._value(binding.value, self._declared("a value in place", binding.value.type))

    def _value(self, value: Any, output: Declared) -> Array:
        declared = self._declared(output.name, value.type)
        shape = tuple(length for length in declared.shape or () if length is not None)
        if shape != declared.shape or not output.admits(declared.dtype, shape):
            raise self._wrong(f"{output} for constant {output.name!r}", str(declared))
        if value.WhichOneof("value") == "blobFileValue":
            return self._blob(value.blobFileValue.fileName).array(value.blobFileValue.offset, declared)
        tensor = value.immediateValue.tensor
        stored = tensor.WhichOneof("value")
        try:
            if declared.dtype.kind not in _STORED.get(stored, ""):
                raise ValueError(f"an array written as {stored or 'nothing known'}")
            values = getattr(tensor, stored).values
            if stored == "bytes":
                return np.frombuffer(values, declared.dtype.newbyteorder("<")).reshape(shape)
            return np.array(list(values), declared.dtype).reshape(shape)
        except (ValueError, OverflowError) as error:
            raise self._wrong(f"{declared} for constant {output.name!r}", str(error)) from error

    def _blob(self, name: str) -> Blob:
        if name not in self._blobs:
            inside = Path(name.removeprefix(MODEL_FOLDER))
            if not name.startswith(MODEL_FOLDER) or inside.is_absolute() or ".." in inside.parts:
                raise self._wrong(f"weights under {MODEL_FOLDER}", name)
            self._blobs[name] = Blob(self._file.parent / inside)
        return self._blobs[name]

    def _features(self, side: str, declared: Sequence[Declared]) -> tuple[Feature, ...]:
        """Inputs or outputs as the interface of the model describes them; they must fit the program's declarations."""
        described = {entry.name: entry for entry in getattr(self._model.description, side)}
        if set(described) != {value.name for value in declared}:
            raise self._wrong(f"{side}s {sorted(value.name for value in declared)}", f"{sorted(described)} described")
        return tuple(self._feature(side, value, described[value.name].type) for value in declared)

    def _feature(self, side: str, value: Declared, kind: Any) -> Feature:
        if kind.WhichOneof("Type") != "multiArrayType":
            raise self._wrong(f"arrays for {side} {value.name!r}", str(kind.WhichOneof("Type")), "Export to arrays.")
        array_type = kind.multiArrayType
        dtype = _dtype(array_type.ArrayDataType, array_type.dataType)
        choices = tuple(tuple(entry.shape) for entry in array_type.enumeratedShapes.shapes)
        shape: tuple[int | Range, ...] = tuple(array_type.shape)
        if array_type.WhichOneof("ShapeFlexibility") == "shapeRange":
            pairs = [(int(k.lowerBound), int(k.upperBound)) for k in array_type.shapeRange.sizeRanges]
            shape = tuple(a if a == b else Range(a, None if b < 0 else b) for a, b in pairs)
        elif choices:
            shape = tuple(k[0] if len(set(k)) == 1 else Range(min(k), max(k)) for k in zip(*choices, strict=True))
        elif not shape and value.shape:  # outputs of flexible shape are described without one
            shape = tuple(Range(0, None) if k is None else k for k in value.shape)
        lengths = [k if isinstance(k, int) else None for k in shape]
        if dtype != value.dtype or not (value.shape is None or _agree(lengths, value.shape)):
            found = form(np.dtype(dtype), lengths) if dtype else "another type"
            raise self._wrong(f"{side} {value.name!r} to be {value}", f"{found} described")
        return Feature(value.name, value.dtype, shape, choices)
