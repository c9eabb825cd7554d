"""The device layer: an object that holds arrays and launches kernels, on a GPU through CuPy, or on an emulation.

Kernels are in `.cu` files of this folder. Code that launches them gets a `Device` and does not import CuPy, so that the
same code runs on the emulation of parity_tests/cuda_on_host. All work of a `CudaDevice` is queued on its one stream:
calls return at once and run one after the other on the GPU; only `download` and `synchronize` wait.
"""

from __future__ import annotations

import functools
import math
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.failures import INSTALL, translated, translating
from auparity.accelerated.cupy.launch import check_launch, triple
from auparity.accelerated.cupy.sources import OPTIONS, Define, check_kernel, cubin, define_options, digest
from auparity.cache import cache_folder, intact, seal, write_own
from auparity.errors import VariantUnavailable

Array = npt.NDArray[Any]

#: Dynamic shared memory beyond this must be requested.
SHARED_BYTES_UNASKED = 48 * 1024


class Kernel(Protocol):
    """A compiled `__global__` function."""

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], shared_bytes: int = 0
    ) -> None:
        """Launch it: `grid` blocks of `block` threads, one to three axes each.

        `arguments` are C-contiguous arrays of the device and NumPy scalars of the width that the kernel declares.

        Raises
        ------
        ContractError : an argument of another kind (a Python number has no width), or a launch that no card can do.
        """


class Device(Protocol):
    """Where kernels run. Functions of `xp` work on its arrays, within `active()`."""

    name: str
    #: cupy, or numpy for the emulation: the same array functions.
    xp: Any

    def kernel(self, source: str, name: str, **defines: Define) -> Kernel:
        """A `__global__` function of accelerated/cupy/SOURCE.cu, compiled once per set of #defines and kept."""

    def upload(self, array: Array) -> Any:
        """A contiguous copy on the device."""

    def download(self, array: Any) -> Array:
        """A copy on the host; waits for the work before it."""

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """An array on the device with any content."""

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        """An array of zeros on the device."""

    def active(self) -> Any:
        """Context within which functions of `xp` work on this device and its stream, and raise auparity's errors."""

    def synchronize(self) -> None:
        """Wait until everything is done."""

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An array on the host from which copies run beside the work."""

    def copy_aside(self, target: Any, source: Array, after: Any = None) -> Any:
        """Copy `pinned` memory into an array of the device beside the work there; gives what `wait_for` takes.

        `after` is a `mark` that the copy must wait for.
        """

    def mark(self) -> Any:
        """A mark in the order of the work, with a method `synchronize` by which the host waits for it."""

    def wait_for(self, mark: Any) -> None:
        """Let the work that follows wait for a mark or a copy."""


class CudaKernel:
    """A kernel on the GPU, bound to its device."""

    def __init__(self, device: CudaDevice, name: str, function: Any) -> None:
        self._device, self._name, self._function = device, name, function
        self._shared_bytes = SHARED_BYTES_UNASKED  # the limit of a launch so far

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], shared_bytes: int = 0
    ) -> None:
        check_launch(self._name, grid, block, arguments, shared_bytes, self._device.xp.ndarray)
        with self._device.active():
            if shared_bytes > self._shared_bytes:
                self._function.max_dynamic_shared_size_bytes = self._shared_bytes = shared_bytes
            self._function(triple(grid), triple(block), arguments, shared_mem=shared_bytes)


#: The device whose context a thread is in; CUDA keeps the same.
_current = threading.local()
ALREADY: AbstractContextManager[None] = nullcontext()


class CudaDevice:
    """One GPU and one stream of it, through CuPy.

    Parameters
    ----------
    index : number of the GPU, as CUDA counts. stream : a `cupy.cuda.Stream` to work on; made where None.

    Raises
    ------
    VariantUnavailable : there is no CuPy or no GPU, or the driver is too old for CuPy's CUDA.
    DeviceError : the GPU does not respond.
    """

    def __init__(self, index: int = 0, stream: Any = None) -> None:
        with translating():
            import cupy

            self.xp = cupy
            self.index = index
            self._device = cupy.cuda.Device(index)
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            self.name = properties["name"].decode()
            self.capability = f"{properties['major']}{properties['minor']}"
            with self._device:
                self.stream = cupy.cuda.Stream(non_blocking=True) if stream is None else stream
        self._modules: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._kernels: dict[tuple[Any, ...], CudaKernel] = {}
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        self._side: Any = None  # stream of copies, made with the first

    def active(self) -> AbstractContextManager[None]:
        """Make device and stream the current ones; cheap if they already are, as for the launches of a frame."""
        return ALREADY if getattr(_current, "device", None) is self else self._entered()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        before = getattr(_current, "device", None)
        with translating(self._free_bytes), self._device, self.stream:
            _current.device = self
            try:
                yield
            finally:
                _current.device = before

    def kernel(self, source: str, name: str, **defines: Define) -> CudaKernel:
        """See `Device`; compiled binaries are kept in the cache (auparity/cache.py)."""
        key = (source, name, *sorted(defines.items()))
        if key not in self._kernels:
            check_kernel(source, name)
            options = (*OPTIONS, *define_options(defines))
            with self.active():
                if (source, options) not in self._modules:
                    self._modules[source, options] = self._module(source, options)
                self._kernels[key] = CudaKernel(self, name, self._modules[source, options].get_function(name))
        return self._kernels[key]

    def upload(self, array: Array) -> Any:
        """See `Device`. From `pinned` memory the copy runs beside the host, which must not change the memory."""
        with self.active():
            copy = self.xp.empty(array.shape, array.dtype)
            copy.set(np.ascontiguousarray(array), stream=self.stream)
            return copy

    def download(self, array: Any, out: Array | None = None) -> Array:
        """See `Device`; `out` may be `pinned` memory of that shape and dtype."""
        with self.active():
            host: Array = array.get(stream=self.stream, out=out)
            return host

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        with self.active():
            return self.xp.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        with self.active():
            return self.xp.zeros(shape, dtype)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """An array in page-locked host memory, from and to which copies run at full speed beside the host."""
        dtype = np.dtype(dtype)
        with self.active():
            memory = self.xp.cuda.alloc_pinned_memory(max(1, math.prod(shape) * dtype.itemsize))
            return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)

    def synchronize(self) -> None:
        with self.active():
            self.stream.synchronize()

    def copy_aside(self, target: Any, source: Array, after: Any = None) -> Any:
        """See `Device`; the copy has a stream of its own."""
        with self.active():
            if self._side is None:
                self._side = self.xp.cuda.Stream(non_blocking=True)
            if after is not None:
                self._side.wait_event(after)
            target.set(source, stream=self._side)
            event = self.xp.cuda.Event(disable_timing=True)
            event.record(self._side)
            return event

    def mark(self) -> Any:
        """See `Device`."""
        with self.active():
            event = self.xp.cuda.Event(disable_timing=True)
            event.record(self.stream)
            return event

    def wait_for(self, mark: Any) -> None:
        """See `Device`."""
        with self.active():
            self.stream.wait_event(mark)

    def memory(self) -> tuple[int, int]:
        """Bytes free, counting those that CuPy holds for reuse, and bytes in all."""
        with self.active():
            return self._memory()

    def _memory(self) -> tuple[int, int]:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return free + self.xp.get_default_memory_pool().free_bytes(), total

    def _free_bytes(self) -> int | None:
        try:
            return self._memory()[0]
        except Exception as error:
            if translated(error) is None:
                raise
            return None  # a failing device may not answer

    def _module(self, source: str, options: tuple[str, ...]) -> Any:
        """The compiled source, from the cache or into it."""
        nvrtc = self.xp.cuda.nvrtc
        made_by = (self.capability, str(nvrtc.getVersion()))
        path = self._folder() / f"auparity-{digest(source, (*options, *made_by))}.cubin"
        if not intact(path):
            # Processes that start together compile the same sources; each puts the same file there, whole.
            write_own(path, cubin(nvrtc, source, options, self.capability))
            seal(path)
        return self.xp.RawModule(path=str(path))

    def _folder(self) -> Path:
        """Of compiled binaries: the cache, or one of this object's own where nothing is kept."""
        if (folder := cache_folder("cuda")) is not None:
            return folder
        if self._own_folder is None:
            self._own_folder = tempfile.TemporaryDirectory(prefix="auparity-")
        return Path(self._own_folder.name)


def shared_device(index: int = 0) -> CudaDevice:
    """The one `CudaDevice` of a GPU that the stages of this process share.

    Raises
    ------
    VariantUnavailable, DeviceError : as of `CudaDevice`.
    """
    return _of_process(index, os.getpid())


@functools.cache
def _of_process(index: int, process: int) -> CudaDevice:
    return CudaDevice(index)  # a forked process must not use what its parent has opened


def unavailable_reason() -> str | None:
    """Why no CUDA kernel can run here, and what to do about it; None when one can. Cheap."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy cannot be imported ({error}): {INSTALL}"
    if cupy.cuda.is_available():
        return None
    runtime = cupy.cuda.runtime
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return "no NVIDIA driver is installed, or it does not respond (nvidia-smi says more)"
    if driver < needed // 1000 * 1000:
        return f"the driver supports CUDA {_version(driver)}, the installed CuPy needs {_version(needed)}: {INSTALL}"
    try:
        runtime.getDeviceCount()
    except Exception as error:
        ours = translated(error)
        return str(ours) if isinstance(ours, VariantUnavailable) else f"CUDA does not start: {error}"
    return "no NVIDIA GPU is visible (nvidia-smi lists them; CUDA_VISIBLE_DEVICES hides them)"


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
