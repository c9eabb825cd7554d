"""An NVIDIA GPU and its memory, through CuPy or PyTorch, whichever is installed and sees a GPU.

TensorRT has no arrays of its own: it takes addresses of device memory and a stream. This module has what it needs to
run an engine once, and describes the GPU. No NVIDIA machine has run it yet.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import VariantUnavailable

Array = npt.NDArray[Any]


class Gpu(Protocol):
    """An NVIDIA GPU and its memory."""

    name: str
    capability: str  #: compute capability, e.g. "9.0"
    stream: int  #: handle of the stream on which work is queued

    def upload(self, array: Array) -> Any:
        """An array of the GPU; it must be kept while its address is in use."""

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """An uninitialised array of the GPU."""

    def address(self, array: Any) -> int:
        """The address of an array of the GPU."""

    def download(self, array: Any) -> Array:
        """Copy an array to the host, after all work on the stream."""


class CupyGpu:
    """The current device of CuPy."""

    def __init__(self) -> None:
        import cupy

        if not cupy.cuda.is_available():
            raise VariantUnavailable("CuPy sees no GPU (or a driver that is too old for its CUDA)")
        self._cupy, device = cupy, cupy.cuda.Device()
        self.name = cupy.cuda.runtime.getDeviceProperties(device.id)["name"].decode()
        self.capability = ".".join([device.compute_capability[:-1], device.compute_capability[-1]])
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self.stream: int = self._stream.ptr

    def upload(self, array: Array) -> Any:
        """As `Gpu` says."""
        made = self._cupy.asarray(np.ascontiguousarray(array))
        self._cupy.cuda.Device().synchronize()
        return made

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """As `Gpu` says."""
        return self._cupy.empty(shape, dtype)

    def address(self, array: Any) -> int:
        """As `Gpu` says."""
        return int(array.data.ptr)

    def download(self, array: Any) -> Array:
        """As `Gpu` says."""
        self._stream.synchronize()
        return np.asarray(self._cupy.asnumpy(array))


class TorchGpu:
    """The current CUDA device of PyTorch."""

    def __init__(self) -> None:
        import torch

        if not torch.cuda.is_available():
            raise VariantUnavailable("PyTorch sees no GPU (a build without CUDA, or too old a driver)")
        self._torch = torch
        self.name = torch.cuda.get_device_name()
        self.capability = ".".join(map(str, torch.cuda.get_device_capability()))
        self._stream = torch.cuda.Stream()
        self.stream: int = self._stream.cuda_stream

    def upload(self, array: Array) -> Any:
        """As `Gpu` says."""
        made = self._torch.from_numpy(np.array(array, order="C")).cuda()
        self._torch.cuda.synchronize()
        return made

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """As `Gpu` says."""
        kind = self._torch.from_numpy(np.empty(0, dtype)).dtype
        return self._torch.empty(shape, dtype=kind, device="cuda")

    def address(self, array: Any) -> int:
        """As `Gpu` says."""
        return int(array.data_ptr())

    def download(self, array: Any) -> Array:
        """As `Gpu` says."""
        self._stream.synchronize()
        return np.asarray(array.cpu().numpy())


@lru_cache(maxsize=1)
def gpu() -> Gpu:
    """The GPU, through CuPy or PyTorch.

    Raises
    ------
    VariantUnavailable : neither is installed, or neither sees a GPU.
    """
    reasons = []
    for make in (CupyGpu, TorchGpu):
        try:
            return make()
        except ModuleNotFoundError as error:
            reasons.append(f"{error.name} is not installed")
        except (ImportError, OSError) as error:
            reasons.append(f"{make.__name__.removesuffix('Gpu')} does not load ({str(error).strip().splitlines()[0]})")
        except VariantUnavailable as error:
            reasons.append(str(error))
    raise VariantUnavailable(
        f"TensorRT needs an NVIDIA GPU, whose memory comes from CuPy or PyTorch: {'; '.join(reasons)}. "
        "pip install 'auparity[cuda12]' (drivers from 525 on), 'auparity[cuda13]' (from 580 on) or 'auparity[torch]'"
    )
