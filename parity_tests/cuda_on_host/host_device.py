"""`HostDevice`: runs the CUDA sources on the host, compiled by g++, and detects errors that a GPU does not report.

A launch works on copies of its arrays between guard zones, and is done twice: with threads and blocks in rising order,
then in falling order with other bytes in the guard zones and in shared memory. It is an error if a guard zone is
written, if the two results differ (races of threads, reads of uninitialised memory, reads beyond an array), if threads
wait for others that never arrive, or if an argument has another type than the kernel declares. Shared memory is
poisoned. Not detected: accesses within another array or more than a guard zone away, and the GPU's own exp and sin.
"""

from __future__ import annotations

import ctypes
import functools
import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.launch import check_launch, triple
from auparity.accelerated.cupy.sources import (
    FOLDER,
    Define,
    check_kernel,
    define_options,
    digest,
    kernel_names,
    source_text,
)
from auparity.parity_tests.cuda_on_host.strict_arrays import DeviceArray, StrictNumpy

Array = npt.NDArray[Any]

HERE = Path(__file__).resolve().parent
FLAGS = (
    "-O2", "-ffp-contract=off", "-std=c++17", "-fPIC", "-shared", "-fno-strict-aliasing", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
)  # fmt: skip
GUARD = 4096  # bytes on either side of an array
ALIGNMENT = 256  # of CUDA's allocations
#: Bytes of guard zones and of fresh shared memory: as float one is NaN, the other a number.
FILLS = (0xFF, 0x5B)


class KernelFault(AssertionError):
    """A kernel did something that is an error on a GPU, whether or not a GPU reports it."""


def unavailable_reason() -> str | None:
    """Why kernels cannot be compiled for the host here; None when they can."""
    return None if shutil.which("g++") else "needs g++ to compile the CUDA sources for the host"


class _Done:
    """An event; all work is finished at once."""

    def synchronize(self) -> None:
        """It is done."""


class HostDevice:
    """A `Device` of accelerated/cupy/device.py that needs no GPU.

    Parameters
    ----------
    folder : where the sources are. both_orders : launch twice and compare; False for kernels whose results may depend
        on the order of threads, and where time matters more. strict : arrays are `DeviceArray`s, which do
        not mix with arrays of the host, as in CuPy; otherwise they are NumPy's own.
    """

    name = "host (emulated)"

    def __init__(self, folder: Path = FOLDER, both_orders: bool = True, strict: bool = False) -> None:
        self._folder, self._both_orders, self._strict = folder, both_orders, strict
        self.xp: Any = StrictNumpy() if strict else np
        self._kernels: dict[Any, HostKernel] = {}

    def kernel(self, source: str, name: str, **defines: Define) -> HostKernel:
        key = (source, name, tuple(sorted(defines.items())))
        if key not in self._kernels:
            check_kernel(source, name, self._folder)
            library = _loaded(compiled(source, define_options(defines), self._folder))
            self._kernels[key] = HostKernel(library, f"{source}.cu: {name}", name, self._both_orders, self._strict)
        return self._kernels[key]

    def upload(self, array: Any) -> Any:
        if isinstance(array, DeviceArray):
            raise TypeError("this array is already on the device")
        return self._given(np.array(array, order="C", copy=True))

    def download(self, array: Any, out: Array | None = None) -> Array:
        if isinstance(array, DeviceArray) != self._strict:
            raise TypeError("this array is not on the device")
        if out is None:
            return np.array(self._taken(array))
        np.copyto(out, self._taken(array))
        return out

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        out = np.empty(shape, dtype)
        out.reshape(-1).view(np.uint8).fill(FILLS[0])
        return self._given(out)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> Any:
        return self._given(np.zeros(shape, dtype))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        return np.empty(shape, dtype)

    def _given(self, array: Array) -> Any:
        return DeviceArray(array) if self._strict else array

    def _taken(self, array: Any) -> Array:
        return array.host if self._strict else array

    def active(self) -> AbstractContextManager[None]:
        return nullcontext()

    def synchronize(self) -> None:
        """Do nothing: all work is finished."""

    def copy_aside(self, target: Any, source: Array, after: Any = None) -> _Done:
        np.copyto(self._taken(target), source)
        return _Done()

    def mark(self) -> _Done:
        return _Done()

    def wait_for(self, mark: _Done) -> None:
        """It is done."""


@dataclass
class Region:
    """Memory of some arguments of a launch, and its copy between guard zones."""

    start: int
    stop: int
    members: list[int]  # numbers of the arguments

    def __post_init__(self) -> None:
        self._buffer = np.empty(self.stop - self.start + 2 * GUARD + ALIGNMENT, np.uint8)
        first = GUARD + -(self._buffer.ctypes.data + GUARD) % ALIGNMENT
        last = first + self.stop - self.start
        self.copy = self._buffer[first:last]
        self.address = self._buffer.ctypes.data + first
        self.guards = self._buffer[first - GUARD : first], self._buffer[last : last + GUARD]

    @property
    def original(self) -> Array:
        return np.ctypeslib.as_array((ctypes.c_uint8 * (self.stop - self.start)).from_address(self.start))

    def prepare(self, byte: int) -> None:
        for guard in self.guards:
            guard.fill(byte)
        self.copy[:] = self.original


def regions(arguments: tuple[Any, ...]) -> list[Region]:
    """One place for each array, or for several that share memory."""
    spans = sorted((a.ctypes.data, a.ctypes.data + a.nbytes, k) for k, a in enumerate(arguments) if _is_array(a))
    merged: list[tuple[int, int, list[int]]] = []
    for start, stop, number in spans:
        if merged and start < merged[-1][1]:
            before = merged.pop()
            merged.append((before[0], max(stop, before[1]), [*before[2], number]))
        else:
            merged.append((start, stop, [number]))
    return [Region(*span) for span in merged]


class HostKernel:
    """A kernel compiled for the host."""

    def __init__(self, library: ctypes.PyDLL, label: str, name: str, both_orders: bool, strict: bool) -> None:
        self._label, self._both_orders, self._strict = label, both_orders, strict
        self._launch = getattr(library, f"cuda_on_host_launch_{name}")
        self._launch.restype = ctypes.c_char_p
        signature = getattr(library, f"cuda_on_host_signature_{name}")
        signature.restype = ctypes.c_char_p
        self._parameters: list[str] = signature().decode().split()

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], shared_bytes: int = 0
    ) -> None:
        check_launch(self._label, grid, block, arguments, shared_bytes, DeviceArray if self._strict else np.ndarray)
        arguments = tuple(a.host if isinstance(a, DeviceArray) else a for a in arguments)
        self._check_types(arguments)
        places = regions(arguments)
        values = [np.asarray(a) for a in arguments]
        for place in places:
            for k in place.members:
                values[k] = np.array(place.address + arguments[k].ctypes.data - place.start, np.uint64)
        pointers = (ctypes.c_void_p * max(1, len(values)))(*(value.ctypes.data for value in values))
        shape = (ctypes.c_uint * 6)(*triple(grid), *triple(block))
        changed = [p for p in places if not all(self._parameters[k].startswith("c") for k in p.members)]
        results = []
        for backwards, byte in tuple(enumerate(FILLS))[: 2 if self._both_orders else 1]:
            for place in places:
                place.prepare(byte)
            problem = self._launch(shape, ctypes.c_size_t(shared_bytes), pointers, backwards, byte)
            if problem:
                raise KernelFault(f"{self._label}: {problem.decode()}")
            self._check_guards(arguments, places, byte)
            results.append([place.copy.copy() for place in changed])
        if self._both_orders:
            self._compare(arguments, changed, *results)
        for place in changed:
            place.original[:] = place.copy

    def _check_types(self, arguments: tuple[Any, ...]) -> None:
        if len(arguments) != len(self._parameters):
            raise KernelFault(f"{self._label}: has {len(self._parameters)} parameters, got {len(arguments)} arguments")
        for number, (argument, declared) in enumerate(zip(arguments, self._parameters, strict=True)):
            got = f"{argument.dtype.kind}{argument.dtype.itemsize}"
            pointer = declared[0] in "pc"
            wanted = declared[1:] if pointer else declared
            if pointer != _is_array(argument) or (wanted != got and not wanted.startswith("V")):
                what = "array" if _is_array(argument) else "number"
                raise KernelFault(
                    f"{self._label}, arguments[{number}]: {'array' if pointer else 'number'} of {wanted} declared, "
                    f"{what} of {got} given"
                )
            if declared[0] == "p" and not argument.flags.writeable:
                raise KernelFault(f"{self._label}, arguments[{number}]: a constant array where the kernel may write")

    def _check_guards(self, arguments: tuple[Any, ...], places: list[Region], byte: int) -> None:
        for place in places:
            for side, guard in zip(("before", "behind"), place.guards, strict=True):
                wrong = np.flatnonzero(guard != byte)
                if wrong.size:
                    distance = GUARD - wrong[-1] if side == "before" else wrong[0] + 1
                    raise KernelFault(
                        f"{self._label}: writes {distance} bytes {side} arguments{place.members}, "
                        f"shape {arguments[place.members[0]].shape}"
                    )

    def _compare(self, arguments: tuple[Any, ...], places: list[Region], one: list[Array], two: list[Array]) -> None:
        for place, a, b in zip(places, one, two, strict=True):
            wrong = np.flatnonzero(a != b)
            if wrong.size:
                number = next(k for k in place.members if _holds(arguments[k], place.start + int(wrong[0])))
                array = arguments[number]
                at = (place.start + int(wrong[0]) - array.ctypes.data) // array.itemsize
                raise KernelFault(
                    f"{self._label}: arguments[{number}]{list(map(int, np.unravel_index(at, array.shape)))} depends on "
                    "the order in which threads run, on uninitialised memory, or on memory beyond an array"
                )


def _is_array(argument: Any) -> bool:
    return isinstance(argument, np.ndarray)


def _holds(array: Array, address: int) -> bool:
    return array.ctypes.data <= address < array.ctypes.data + array.nbytes


def compiled(source: str, defines: tuple[str, ...], folder: Path = FOLDER) -> Path:
    """The shared library of SOURCE.cu, from the cache in the temporary folder or into it.

    Raises
    ------
    KernelFault : g++ refuses the source; with its messages.
    """
    names = kernel_names(source_text(source, folder))
    # Defines come after the headers of the emulation, which may use the same names.
    defined = [f"#define {' '.join(option.removeprefix('-D').split('=', 1))}" for option in defines]
    entries = [f"CUDA_ON_HOST_KERNEL({name})" for name in names]
    unit = "\n".join(['#include "cuda_on_host.h"', *defined, f'#include "{source}.cu"', *entries, ""])
    headers = b"".join(path.read_bytes() for path in (*sorted(HERE.glob("*.h")), *sorted(FOLDER.glob("*.cuh"))))
    key = hashlib.sha256(digest(source, (*FLAGS, _compiler_version(), unit), folder).encode() + headers)
    cache = Path(tempfile.gettempdir()) / f"auparity-cuda-on-host-{getpass.getuser()}"
    library = cache / f"{source}-{key.hexdigest()[:32]}.so"
    if not library.is_file():
        cache.mkdir(mode=0o700, exist_ok=True)
        includes = (f"-I{HERE}", f"-I{folder}", f"-I{FOLDER}")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            made = Path(scratch) / "made.so"
            command = ["g++", *FLAGS, *includes, "-x", "c++", "-", "-o", str(made)]
            done = subprocess.run(command, input=unit, text=True, capture_output=True, check=False)
            if done.returncode:
                raise KernelFault(f"{source}.cu does not compile for the host:\n{done.stderr}")
            os.replace(made, library)  # atomically: several test processes may compile the same
    return library


@functools.cache
def _compiler_version() -> str:
    return subprocess.run(["g++", "--version"], text=True, capture_output=True, check=True).stdout.splitlines()[0]


@functools.cache
def _loaded(library: Path) -> ctypes.PyDLL:
    # PyDLL keeps the interpreter's lock during a launch, because the emulation has one global state.
    return ctypes.PyDLL(str(library))
