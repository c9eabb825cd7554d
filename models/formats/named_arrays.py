"""Weights as a published file names them, and the strict comparison with the names and shapes that a network has.

`torch_file` and `onnx_file` read files into `NamedArrays`; `expect` holds these against a list, so that a file of
another network, or of another version of the same one, is an error that says what is missing and what is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
Shape = tuple[int, ...]

#: Names that an error message lists of each sort.
SHOWN = 4
ADVICE = "Name a file of the network that was asked for, as its authors published it."


@short_repr
@dataclass(frozen=True, eq=False)
class NamedArrays:
    """What a file holds: read-only arrays by name."""

    file: str  #: path, or a label for what was read from memory
    sha256: str  #: of the whole file, 64 hexadecimal digits
    arrays: Mapping[str, Array]
    remarks: Mapping[str, str] = field(default_factory=dict)  #: what else the file says, where it may


def expect(found: NamedArrays, shapes: Mapping[str, Shape], tolerated: Sequence[str] = ()) -> dict[str, F32]:
    """The arrays of a network as float32, in the order of `shapes`.

    Parameters
    ----------
    found : what was read.
    shapes : the names that the network has, and the shape of each.
    tolerated : patterns (``*.num_batches_tracked``) of names that may be there as well, and are left out.

    Raises
    ------
    ModelFormatError : a name is missing, is there and not known, or has another shape; values that are not real
        numbers, or not finite ones.
    """
    missing = [name for name in shapes if name not in found.arrays]
    extra = [name for name in found.arrays if name not in shapes and not _any(name, tolerated)]
    other = [
        f"{name} {_text(found.arrays[name].shape)} in place of {_text(shape)}"
        for name, shape in shapes.items()
        if name in found.arrays and found.arrays[name].shape != shape
    ]
    faults = [("missing", missing), ("not known", extra), ("of another shape", other)]
    if missing or extra or other:
        listed = "; ".join(f"{len(names)} {what} ({_listed(names)})" for what, names in faults if names)
        raise ModelFormatError(found.file, None, f"{len(shapes)} arrays of the names of this network", listed, ADVICE)
    return {name: _as_float32(found, name) for name in shapes}


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name)[1:-1][:100] for name in names[:SHOWN])
    return f"{shown}, ..." if len(names) > SHOWN else shown


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _as_float32(found: NamedArrays, name: str) -> F32:
    values = found.arrays[name]
    if values.dtype.kind != "f":
        raise ModelFormatError(found.file, None, f"real numbers in {name}", f"{values.dtype}", ADVICE)
    with np.errstate(over="ignore"):  # seen as infinite below
        array = np.array(values, np.float32, order="C")
    if not np.isfinite(array).all():
        raise ModelFormatError(found.file, None, f"finite numbers in {name}", "NaN or infinite ones", ADVICE)
    array.flags.writeable = False
    return array
