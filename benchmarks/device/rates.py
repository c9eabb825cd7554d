"""The best rates of a GPU, measured with every benchmark on it: matrix products, copies, the link to the host, and the
time to launch a kernel from Python. Also its names and versions, for the result file.

Every figure is the best of some repeats, waiting for the device before and after. Products are float32. A GPU may round
their factors to TF32 by default, so the error of the product is checked before its time is used.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.accelerated.cupy.grayscale import to_gray
from auparity.benchmarks.device.floors import Work
from auparity.errors import AuparityError

GIB = 2.0**30
SIZE = 8192  # of the square matrices: 1.1 TFLOP
COPY = 1 << 30  # bytes, far beyond any cache
LINK = 1 << 27  # bytes
LAUNCHES = 500
#: Largest error of a product of numbers from 0 to 1, relative to its largest value. Sums of 256 products in float32 are
#: within 1e-6; with factors of TF32 (ten bits behind the point) they are 1e-4 off.
CHECKED, MOST_ERROR = 256, 2e-5


@dataclass(frozen=True)
class Rates:
    """The measured rates."""

    gflops: float  #: float32 matrix product, GFLOP/s
    copy_gbs: float  #: copy within the device's memory, bytes read and written, GB/s
    up_gbs: float  #: host to device from page-locked memory, GB/s
    down_gbs: float  #: device to host into page-locked memory, GB/s
    pageable_up_gbs: float  #: host to device from an ordinary array, GB/s
    launch_us: float  #: of a small kernel, called from Python one after another

    def seconds(self, work: Work) -> float:
        """The least time in ms that some work takes."""
        return max(
            work.flop / self.gflops, work.moved / self.copy_gbs, work.up / self.up_gbs, work.down / self.down_gbs
        ) / 1e9  # fmt: skip

    def as_dict(self) -> dict[str, float]:
        """The rates as facts of the machine in a result file."""
        named = {
            "float32 matrix product, TFLOP/s": self.gflops / 1e3, "copy, GB/s": self.copy_gbs, "up, GB/s": self.up_gbs,
            "down, GB/s": self.down_gbs, "up from pageable memory, GB/s": self.pageable_up_gbs,
            "launch from Python, us": self.launch_us,
        }  # fmt: skip
        return {name: float(f"{value:.4g}") for name, value in named.items()}


def measure_rates(
    device: Any, *, size: int = SIZE, copy: int = COPY, link: int = LINK, launches: int = LAUNCHES, repeats: int = 8
) -> Rates:
    """Rates of a device (`accelerated.cupy.device.Device` with `pinned`).

    Raises
    ------
    AuparityError : matrix products are not float32. DeviceError : no memory for 2 * `copy` or three matrices.
    """
    with device.active():
        refuse_tf32(device)
        gflops = 2.0 * size**3 / _best(device, _product(device, size), repeats) / 1e9
        copied = 2.0 * copy / _best(device, _copy(device, copy), repeats) / 1e9
        locked, ordinary = device.pinned((link,), np.uint8), np.ones(link, np.uint8)
        locked[:] = 1
        up = link / _best(device, lambda: device.upload(locked), repeats) / 1e9
        pageable = link / _best(device, lambda: device.upload(ordinary), repeats) / 1e9
        there = device.upload(locked)
        down = link / _best(device, lambda: device.download(there, locked), repeats) / 1e9
        small = device.zeros((1, 1, 4, 3), np.uint8)
        many = _best(device, lambda: [to_gray(device, small) for _ in range(launches)], repeats)
    return Rates(gflops, copied, up, down, pageable, 1e6 * many / launches)


def refuse_tf32(device: Any) -> None:
    """Raise `AuparityError` if float32 products are rounded more coarsely than float32."""
    rng = np.random.default_rng(0)
    a, b = (rng.random((CHECKED, CHECKED), np.float32) for _ in range(2))
    product = device.download(device.xp.matmul(device.upload(a), device.upload(b)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    error = float(np.abs(product - exact).max() / exact.max())
    if error > MOST_ERROR:
        raise AuparityError(
            f"matrix products on {device.name} are off by {error:.1e}, float32 is within {MOST_ERROR:.0e}: unset "
            "CUPY_TF32, or set NVIDIA_TF32_OVERRIDE=0."
        )


def _product(device: Any, size: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    part = rng.random((size, min(size, 256)), np.float32)
    a, b = (device.upload(np.tile(part, (1, -(-size // part.shape[1])))[:, :size]) for _ in range(2))
    out = device.empty((size, size), np.float32)
    return lambda: device.xp.matmul(a, b, out=out)


def _copy(device: Any, size: int) -> Callable[[], Any]:
    source, target = device.zeros(size, np.uint8), device.empty(size, np.uint8)
    return lambda: device.xp.copyto(target, source)


def _best(device: Any, work: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest repeat, after one repeat of warm-up."""
    best = float("inf")
    for number in range(repeats + 1):
        device.synchronize()
        start = time.perf_counter()
        work()
        device.synchronize()
        if number:
            best = min(best, time.perf_counter() - start)
    return best


def gpu_facts(device: Any) -> dict[str, Any]:
    """Facts about the device for the result file; for a device that is not a GPU only its name. The version of the
    driver and the names of all GPUs are among the facts of the machine (accelerated/hardware.py)."""
    facts: dict[str, Any] = {"gpu_used": device.name}
    cuda = getattr(device.xp, "cuda", None)
    if cuda is not None:
        driver, runtime = cuda.runtime.driverGetVersion(), cuda.runtime.runtimeGetVersion()
        facts |= {
            "gpu_compute_capability": f"{device.capability[:-1]}.{device.capability[-1]}",
            "gpu_driver_serves_cuda": _version(driver), "cuda_runtime": _version(runtime),
            "cupy": str(device.xp.__version__), "gpu_memory_gib": round(device.memory()[1] / GIB, 1),
        }  # fmt: skip
    return facts


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def held_mib(device: Any) -> float | None:
    """Peak MiB of the device's memory used by arrays since `release`; None if it is not counted.

    Neither the CUDA context (a few hundred MiB) nor the code of kernels is in it.
    """
    pool = getattr(device.xp, "get_default_memory_pool", None)
    return None if pool is None else round(pool().total_bytes() / 2**20, 1)


def release(device: Any) -> None:
    """Free unused memory, so that later measurements neither lack it nor count it."""
    gc.collect()
    pool = getattr(device.xp, "get_default_memory_pool", None)
    if pool is not None:
        with device.active():
            device.synchronize()
            pool().free_all_blocks()
