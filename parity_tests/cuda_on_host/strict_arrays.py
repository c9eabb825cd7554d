"""NumPy arrays that behave like CuPy's: they do not mix with arrays of the host, and are never downloaded implicitly.

With `numpy` as the emulation's `xp`, a forgotten upload or download is not detected. With `StrictNumpy` it raises a
TypeError, as on a GPU: arithmetic of an array of the device with one of the host, a NumPy function of one, `np.asarray`
of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

Array = npt.NDArray[Any]

#: Functions of CuPy that upload arrays of the host.
UPLOADING = {"array", "asarray", "ascontiguousarray", "asanyarray"}
#: Attributes and methods that CuPy's arrays also have.
SHARED = {
    "shape", "dtype", "ndim", "size", "nbytes", "itemsize", "flags", "strides", "T",
    "reshape", "astype", "copy", "ravel", "transpose", "view", "fill", "squeeze", "take", "swapaxes", "flatten",
    "sum", "prod", "max", "min", "mean", "any", "all", "argmax", "argmin", "argsort", "cumsum", "nonzero", "clip",
    "repeat", "item", "tolist", "sort", "round", "dot",
}  # fmt: skip


class DeviceArray(NDArrayOperatorsMixin):
    """An array on the emulated device; `host` is its memory, which only the device may touch."""

    def __init__(self, host: Array) -> None:
        self.host = host

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("an array of the device is not converted implicitly: download it")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return _call(getattr(ufunc, method), inputs, options)

    def __array_function__(self, function: Any, _: Any, inputs: Any, options: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given an array of the device: use the function of xp")

    def __getattr__(self, name: str) -> Any:
        if name not in SHARED:
            raise AttributeError(f"arrays of a device have no {name!r} here")
        attribute = getattr(self.host, name)
        if not callable(attribute):
            return _wrapped(attribute)
        return lambda *inputs, **options: _call(attribute, inputs, options)

    def __getitem__(self, index: Any) -> Any:
        taken = self.host[_opened(index)]
        return DeviceArray(np.asarray(taken))  # also of one element: an array without axes, as in CuPy

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[_opened(index)] = _of_device(value)

    def __len__(self) -> int:
        return len(self.host)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __float__(self) -> float:
        return float(self.host)

    def __index__(self) -> int:
        return self.host.__index__()

    def __repr__(self) -> str:
        return f"on the device: {self.host!r}"


class StrictNumpy:
    """Functions of NumPy on arrays of the device, and only on those."""

    ndarray = DeviceArray

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(np, name)
        if isinstance(attribute, type) or not callable(attribute):
            return attribute
        opened: Callable[[Any], Any] = _opened if name in UPLOADING else _of_device

        def call(*inputs: Any, **options: Any) -> Any:
            return _call(attribute, inputs, options, opened)

        return call


def _opened(value: Any) -> Any:
    """The memory of arrays of the device, also within tuples and lists."""
    if isinstance(value, DeviceArray):
        return value.host
    if isinstance(value, tuple | list):
        return type(value)(_opened(each) for each in value)
    return value


def _of_device(value: Any) -> Any:
    """The same; TypeError for arrays of the host."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"an array of the host, shape {value.shape}, where one of the device is needed: upload it")
    if isinstance(value, tuple | list):
        return type(value)(_of_device(each) for each in value)
    return _opened(value)


def _call(function: Callable[..., Any], inputs: Any, options: Any, opened: Callable[[Any], Any] = _of_device) -> Any:
    result = function(*(opened(each) for each in inputs), **{key: opened(each) for key, each in options.items()})
    return _wrapped(result)


def _wrapped(result: Any) -> Any:
    if isinstance(result, np.ndarray):
        return DeviceArray(result)
    if isinstance(result, np.generic):
        return DeviceArray(np.asarray(result))  # sums and the like stay on the device
    if isinstance(result, tuple | list) and any(isinstance(each, np.ndarray) for each in result):
        return type(result)(_wrapped(each) for each in result)
    return result
