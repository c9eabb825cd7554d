"""`CudaDevice` asks CuPy for the right things, and errors of a GPU say what to do. CuPy is a stand-in that records."""

from __future__ import annotations

import re
import sys
import types
from contextlib import nullcontext

import numpy as np
import pytest

from auparity.accelerated.cupy import device as device_module
from auparity.accelerated.cupy.device import CudaDevice, unavailable_reason
from auparity.accelerated.cupy.failures import translated
from auparity.errors import ContractError, DeviceError, VariantUnavailable


class CUDARuntimeError(RuntimeError):
    """Stands in for CuPy's, which is recognised by its name."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    _size = 3 * 2**30


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OutOfMemoryError("Out of memory"), DeviceError, r"3\.000 GiB more was requested; 0\.500 GiB are free.*fewer"),
        (CUDARuntimeError(2, "cudaErrorMemoryAllocation"), DeviceError, "out of memory"),
        (CUDARuntimeError(35, "cudaErrorInsufficientDriver"), VariantUnavailable, "cuda12.*525.*cuda13.*580"),
        (CUDARuntimeError(100, "cudaErrorNoDevice"), VariantUnavailable, "nvidia-smi"),
        (CUDARuntimeError(700, "cudaErrorIllegalAddress"), DeviceError, "already written are kept; start again"),
        (CUDARuntimeError(214, "cudaErrorECCUncorrectable"), DeviceError, "already written are kept; start again"),
        (CUDARuntimeError(3, "cudaErrorInitializationError"), DeviceError, "spawn"),
        (CUDARuntimeError(1, "cudaErrorInvalidValue"), DeviceError, "cudaErrorInvalidValue"),
        (ImportError("No module named 'cupy'", name="cupy"), VariantUnavailable, "cuda12"),
        (RuntimeError("CuPy failed to load libnvrtc.so.13"), VariantUnavailable, "libnvrtc"),
    ],
)
def test_errors_of_a_gpu_say_what_to_do(error, kind, says):
    ours = translated(error, free=2**29)
    assert type(ours) is kind
    assert re.search(says, str(ours))


def test_errors_of_others_stay_theirs():
    assert translated(ValueError("x")) is None
    assert translated(ImportError("No module named 'scipy'", name="scipy")) is None


# ---- the device, with a stand-in for CuPy ---------------------------------------------------------------------------


class Memory:
    """An array of the stand-in."""

    def __init__(self, shape, dtype) -> None:
        self.host = np.zeros(shape, dtype)
        self.shape, self.dtype, self.flags = self.host.shape, self.host.dtype, self.host.flags

    def set(self, array, stream) -> None:
        assert array.flags.c_contiguous
        self.host[...] = array

    def get(self, stream, out=None):
        return self.host if out is None else np.copyto(out, self.host) or out


class FakeCupy(types.ModuleType):
    """Records launches and compilations; what CudaDevice calls has CuPy's names and signatures."""

    __version__ = "14"
    ndarray = Memory

    def __init__(self) -> None:
        super().__init__("cupy")
        self.launches: list = []
        self.compiled: list = []
        self.loaded: list = []
        self.fails: Exception | None = None
        runtime = types.SimpleNamespace(
            getDeviceProperties=lambda index: {"name": b"NVIDIA Test", "major": 9, "minor": 0},
            memGetInfo=lambda: (2**30, 2**33), driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000,
            getDeviceCount=lambda: 0,
        )  # fmt: skip
        nvrtc = types.SimpleNamespace(
            getVersion=lambda: (13, 0), createProgram=lambda source, name, headers, names: (source, name),
            compileProgram=lambda program, options: self.compiled.append((program[1], options)),
            getCUBIN=lambda program: b"binary", destroyProgram=lambda program: None, NVRTCError=NVRTCError,
            getProgramLog=lambda program: "line 3: oops",
        )  # fmt: skip
        self.cuda = types.SimpleNamespace(
            Device=lambda index: nullcontext(), runtime=runtime, nvrtc=nvrtc, is_available=lambda: True,
            Stream=lambda non_blocking: FakeStream(), Event=FakeEvent,
            alloc_pinned_memory=lambda size: bytearray(size),
        )  # fmt: skip

    def get_default_memory_pool(self):
        return types.SimpleNamespace(free_bytes=lambda: 2**29)

    def RawModule(self, *, path):
        self.loaded.append(path)
        return types.SimpleNamespace(get_function=lambda name: FakeFunction(self, name))

    def empty(self, shape, dtype):
        if self.fails:
            raise self.fails
        return Memory(shape, dtype)

    zeros = empty


class NVRTCError(RuntimeError):
    """Stands in for CuPy's."""


class FakeStream:
    def __init__(self) -> None:
        self.entered = 0
        self.order: list = []

    def __enter__(self):
        self.entered += 1
        return self

    def wait_event(self, event):
        self.order.append(("waits for", event))

    def __exit__(self, *_):
        return None

    def synchronize(self):
        return None


class FakeEvent:
    def __init__(self, disable_timing) -> None:
        assert disable_timing

    def record(self, stream):
        stream.order.append(("records", self))

    def synchronize(self):
        return None


class FakeFunction:
    def __init__(self, cupy, name) -> None:
        self.cupy, self.name, self.max_dynamic_shared_size_bytes = cupy, name, 48 * 1024

    def __call__(self, grid, block, arguments, *, shared_mem):
        self.cupy.launches.append((self.name, grid, block, len(arguments), shared_mem))


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setenv("AUPARITY_CACHE", str(tmp_path))
    return fake


def test_a_kernel_is_compiled_once_for_this_gpu_and_kept_on_disk(cupy, tmp_path):
    gpu = CudaDevice()
    assert (gpu.name, gpu.capability) == ("NVIDIA Test", "90")
    single = gpu.kernel("geometry", "geometry", PARAMETER="float")
    assert gpu.kernel("geometry", "geometry", PARAMETER="float") is single
    gpu.kernel("geometry", "geometry", PARAMETER="double")
    assert [name for name, _ in cupy.compiled] == ["geometry.cu"] * 2
    options = cupy.compiled[0][1]
    assert {"--fmad=false", "-arch=sm_90", "-DPARAMETER=float"} <= set(options)
    assert not any("ftz" in option or "fast" in option for option in options)
    kept = list(tmp_path.glob("cuda/auparity-*.cubin"))
    assert len(kept) == 2
    CudaDevice().kernel("geometry", "geometry", PARAMETER="float")
    assert len(cupy.compiled) == 2
    assert len(cupy.loaded) == 3
    for path in kept:
        path.write_bytes(b"another binary")
    CudaDevice().kernel("geometry", "geometry", PARAMETER="float")
    assert len(cupy.compiled) == 3


def test_without_a_cache_kernels_are_compiled_for_the_process(cupy, monkeypatch):
    monkeypatch.setattr(device_module, "cache_folder", lambda kind: None)
    CudaDevice().kernel("geometry", "geometry", PARAMETER="float")
    assert len(cupy.loaded) == 1


def test_a_source_that_the_compiler_refuses_shows_its_messages(cupy):
    def refuse(program, options):
        raise NVRTCError("NVRTC_ERROR_COMPILATION")

    cupy.cuda.nvrtc.compileProgram = refuse
    with pytest.raises(DeviceError, match=r"geometry\.cu.*90.*line 3: oops"):
        CudaDevice().kernel("geometry", "geometry", PARAMETER="float")


def test_launches_are_checked_and_may_have_much_shared_memory(cupy):
    gpu = CudaDevice()
    kernel = gpu.kernel("geometry", "geometry", PARAMETER="float")
    there = gpu.upload(np.arange(6.0).reshape(2, 3).T)
    assert np.array_equal(gpu.download(there), np.arange(6.0).reshape(2, 3).T)
    kernel((2,), (32, 2), (there, np.int32(1)))
    kernel((2,), (32,), (there,), shared_bytes=60_000)
    assert cupy.launches == [("geometry", (2, 1, 1), (32, 2, 1), 2, 0), ("geometry", (2, 1, 1), (32, 1, 1), 1, 60_000)]
    for wrong in (np.zeros(3), 1, 1.0):
        with pytest.raises(ContractError, match=r"arguments\[0\]"):
            kernel((1,), (1,), (wrong,))


def test_memory_is_told_and_pinned(cupy):
    gpu = CudaDevice()
    assert gpu.memory() == (2**30 + 2**29, 2**33)
    pinned = gpu.pinned((3, 4), np.float32)
    assert (pinned.shape, pinned.dtype, pinned.flags.writeable) == ((3, 4), np.float32, True)
    assert gpu.download(gpu.zeros((3, 4), np.float32), out=pinned) is pinned


def test_running_out_of_memory_says_how_much_was_free(cupy):
    gpu = CudaDevice()
    cupy.fails = OutOfMemoryError("Out of memory")
    with pytest.raises(DeviceError, match=r"3\.000 GiB more was requested; 1\.500 GiB are free"):
        gpu.empty(3, np.float32)
    cupy.cuda.runtime.memGetInfo = lambda: (_ for _ in ()).throw(CUDARuntimeError(700, "cudaErrorIllegalAddress"))
    with pytest.raises(DeviceError, match=r"was requested\. Use fewer"):
        gpu.empty(3, np.float32)


def test_a_process_has_one_shared_device_for_a_gpu(cupy, monkeypatch):
    device_module._of_process.cache_clear()
    try:
        mine = device_module.shared_device()
        assert device_module.shared_device() is mine
        monkeypatch.setattr("os.getpid", lambda: -1)
        assert device_module.shared_device() is not mine
    finally:
        device_module._of_process.cache_clear()


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (0, "no NVIDIA driver"),
        (12040, r"supports CUDA 12\.4.*needs 13\.0.*cuda12"),
        (13010, "no NVIDIA GPU is visible"),
    ],
)
def test_why_there_is_no_gpu(cupy, driver, says):
    assert unavailable_reason() is None
    cupy.cuda.is_available = lambda: False
    cupy.cuda.runtime.driverGetVersion = lambda: driver
    assert re.search(says, unavailable_reason())


def test_a_frames_launches_enter_the_device_once(cupy):
    one, other = CudaDevice(0), CudaDevice(1)
    with one.active():
        for _ in range(3):
            one.empty(4, np.float32)
        assert one.stream.entered == 1
        with other.active():
            one.empty(4, np.float32)  # back from another GPU: entered anew
            other.empty(4, np.float32)
        assert (one.stream.entered, other.stream.entered) == (2, 1)
        one.empty(4, np.float32)
    assert one.stream.entered == 2
    one.empty(4, np.float32)
    assert one.stream.entered == 3


def test_copies_run_beside_the_work_and_each_waits_for_the_other(cupy):
    device = CudaDevice()
    target, source = device.empty((2, 3), np.uint8), device.pinned((2, 3), np.uint8)
    source[...] = 7
    read = device.mark()
    copied = device.copy_aside(target, source, after=read)
    device.wait_for(copied)
    assert (target.host == 7).all()
    assert device.stream.order == [("records", read), ("waits for", copied)]
    assert device._side is not device.stream
    assert device._side.order == [("waits for", read), ("records", copied)]
