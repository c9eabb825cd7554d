"""The CUDA sources compile wherever a compiler is found, and the emulation tells right kernels from wrong ones."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from auparity.accelerated.cupy.failures import translated
from auparity.accelerated.cupy.launch import MOST_SHARED_BYTES
from auparity.accelerated.cupy.sources import (
    FOLDER,
    OPTIONS,
    cubin,
    define_options,
    digest,
    example_defines,
    source_names,
    source_text,
)
from auparity.errors import ContractError
from auparity.parity_tests.cuda_on_host import KernelFault, host_device
from auparity.parity_tests.cuda_on_host.host_device import compiled

#: The oldest architecture of CUDA 13, and that of data centres.
ARCHITECTURES = ("75", "90")


@pytest.mark.parametrize("source", source_names())
def test_a_source_compiles_for_the_host_without_warnings(source):
    host_device()
    assert compiled(source, example_defines(source_text(source))).is_file()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", source_names())
def test_nvcc_compiles_a_source_without_warnings(source, architecture, tmp_path):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc to compile for GPUs")
    command = [
        nvcc, "-cubin", f"-arch=sm_{architecture}", *OPTIONS, "-Werror", "all-warnings",
        *example_defines(source_text(source)), "-o", str(tmp_path / "out.cubin"), str(FOLDER / f"{source}.cu"),
    ]  # fmt: skip
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", source_names())
def test_nvrtc_compiles_a_source_as_the_device_asks_it_to(source):
    """NVRTC is what CuPy has; unlike nvcc it has no standard headers."""
    nvrtc = pytest.importorskip("cupy", reason="needs CuPy for NVRTC").cuda.nvrtc
    try:
        nvrtc.getVersion()
    except Exception as error:
        if translated(error) is None:
            raise
        pytest.skip(f"needs CUDA's libraries: {error}")
    assert cubin(nvrtc, source, (*OPTIONS, *example_defines(source_text(source))), "90")


def test_defines_are_exact_and_part_of_what_is_cached():
    assert define_options({"B": 0.1, "A": 3, "C": "0.2f", "D": True}) == ("-DA=3", "-DB=0.1", "-DC=0.2f", "-DD=1")
    assert digest("fhog", ("-DA=1",)) != digest("fhog", ("-DA=2",))


# ---- the emulation --------------------------------------------------------------------------------------------------

KERNELS = r"""
#include "common.cuh"
extern "C" __global__ void __launch_bounds__(256) block_sum(const float* values, int n, float* sums) {
    __shared__ float parts[256];
    const int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    parts[t] = i < n ? values[i] : 0.0f;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (t < half) parts[t] += parts[t + half];
        __syncthreads();
    }
    if (t == 0) sums[blockIdx.x] = parts[0];
}
extern "C" __global__ void warp_sum(const double* values, double* sums, unsigned* odd) {
    double value = values[threadIdx.x];
    const unsigned ballot = __ballot_sync(0xffffffffu, threadIdx.x % 2);
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
    value = __shfl_sync(0xffffffffu, value, 0);
    sums[threadIdx.x] = value;
    if (threadIdx.x % 32 == 0) odd[threadIdx.x / 32] = ballot;
}
extern "C" __global__ void lanes(int* below, int* above, int* across) {
    const int t = threadIdx.x;
    below[t] = __shfl_up_sync(0xffffffffu, t, 1, 8);
    above[t] = __shfl_down_sync(0xffffffffu, t, 1, 8);
    across[t] = __shfl_xor_sync(0xffffffffu, t, 3);
}
extern "C" __global__ void half_warps(int* out) {
    const unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    if (threadIdx.x < 16) out[threadIdx.x] = __any_sync(mask, threadIdx.x == 3);
    else out[threadIdx.x] = __all_sync(mask, threadIdx.x != 20);
}
extern "C" __global__ void tally(const int* values, int* counts, int* largest, int* first) {
    atomicAdd(counts + values[threadIdx.x], 1);
    atomicMax(largest, values[threadIdx.x]);
    atomicCAS(first, -1, 7);
}
extern "C" __global__ void reverse(const u8* values, u8* out) {
    DYNAMIC_SHARED(u8, buffer);
    buffer[threadIdx.x] = values[threadIdx.x];
    const int many = __syncthreads_count(threadIdx.x < 5);
    out[threadIdx.x] = buffer[blockDim.x - 1 - threadIdx.x] + u8(many - 5);
}
extern "C" __global__ void indices(int* out) {
    const int t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const int b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    out[b * blockDim.x * blockDim.y * blockDim.z + t] = b * 1000 + t;
}
extern "C" __global__ void rounding(const float* x, int* out) {
    out[0] = __float2int_rd(x[0]); out[1] = __float2int_rn(x[0]); out[2] = __float2int_rz(x[0]);
    out[3] = __float2int_rz(x[1]); out[4] = __fmaf_rn(x[2], x[2], -x[3]) != x[2] * x[2] - x[3];
}
extern "C" __global__ void some_wait(int* x) {
    if (threadIdx.x < 5) __syncthreads();
    x[threadIdx.x] = 1;
}
extern "C" __global__ void wait_apart(int* x) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    x[threadIdx.x] = 1;
}
extern "C" __global__ void half_a_warp(int* x) {
    if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
}
extern "C" __global__ void beyond(int* x, int n) { x[n] = 1; }
extern "C" __global__ void reads_beyond(const int* x, int n, int* out) { out[0] = x[n]; }
extern "C" __global__ void no_barrier(int* out) {
    __shared__ int values[64];
    values[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}
extern "C" __global__ void never_written(float* out) {
    __shared__ float sum;
    if (threadIdx.x == 1) out[0] = sum;
}
extern "C" __global__ void too_much_shared(int* out) {
    DYNAMIC_SHARED(int, buffer);
    buffer[4] = 1;
    out[0] = buffer[0] * 0;
}
extern "C" __global__ void deep(int* out) {
    volatile int local[50000];
    for (int i = 0; i < 50000; ++i) local[i] = i;
    out[threadIdx.x % 2] = local[out[0]];
}
"""


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "small.cu").write_text(KERNELS, encoding="utf-8")
    return host_device(folder)


def i32(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int32)


def test_blocks_add_up_in_shared_memory(device):
    values, sums = np.arange(1000, dtype=np.float32), device.empty(4, np.float32)
    device.kernel("small", "block_sum")((4,), (256,), (values, np.int32(900), sums))
    wanted = np.where(np.arange(1024) < 900, np.arange(1024), 0).reshape(4, 256).sum(axis=1)
    assert sums.tolist() == wanted.tolist()


def test_warps_add_up_from_lane_to_lane(device):
    values, sums, odd = np.arange(64.0), np.empty(64), np.empty(2, np.uint32)
    device.kernel("small", "warp_sum")((1,), (64,), (values, sums, odd))
    assert sums.tolist() == [sum(range(32))] * 32 + [sum(range(32, 64))] * 32
    assert odd.tolist() == [0xAAAAAAAA] * 2


def test_shuffles_stay_within_their_width(device):
    below, above, across = i32(32), i32(32), i32(32)
    device.kernel("small", "lanes")((1,), (32,), (below, above, across))
    t = np.arange(32)
    assert np.array_equal(below, np.where(t % 8 == 0, t, t - 1))
    assert np.array_equal(above, np.where(t % 8 == 7, t, t + 1))
    assert np.array_equal(across, t ^ 3)


def test_parts_of_a_warp_vote_apart(device):
    out = i32(32)
    device.kernel("small", "half_warps")((1,), (32,), (out,))
    assert out.tolist() == [1] * 16 + [0] * 16


def test_atomics_return_and_change(device):
    values = np.random.default_rng(0).integers(0, 10, 200).astype(np.int32)
    counts, largest, first = i32(10), i32(1), np.array([-1], np.int32)
    device.kernel("small", "tally")((1,), (200,), (values, counts, largest, first))
    assert np.array_equal(counts, np.bincount(values, minlength=10))
    assert (largest[0], first[0]) == (values.max(), 7)


def test_dynamic_shared_memory_and_counting_barriers(device):
    values, out = np.arange(40, dtype=np.uint8), np.zeros(40, np.uint8)
    device.kernel("small", "reverse")((1,), (40,), (values, out), shared_bytes=40)
    assert np.array_equal(out, values[::-1])


def test_grids_and_blocks_have_three_axes(device):
    out = i32(24, 30)
    device.kernel("small", "indices")((2, 3, 4), (5, 3, 2), (out,))
    assert np.array_equal(out, np.arange(24)[:, None] * 1000 + np.arange(30))


def test_numbers_are_rounded_as_asked_and_fused_only_there(device):
    x = np.array([-1.5, 1e20, 1 + 2**-12, 1 + 2**-11], np.float32)
    out = i32(5)
    device.kernel("small", "rounding")((1,), (1,), (x, out))
    assert out.tolist() == [-2, -2, -1, 2**31 - 1, 1]


FAULTS = {
    "some_wait": ("thread 0 waits at a barrier .* while thread 5 has ended", (i32(64),)),
    "wait_apart": ("waits at a barrier .* while thread 32 waits at a barrier", (i32(64),)),
    "half_a_warp": ("thread 0 waits in a warp function .* while thread 16 has ended", (i32(64),)),
    "beyond": (r"writes 1 bytes behind arguments\[0\]", (i32(8), np.int32(8))),
    "reads_beyond": (r"arguments\[2\]\[0\] depends on", (i32(8), np.int32(8), i32(1))),
    "no_barrier": (r"arguments\[0\]\[.*\] depends on the order", (i32(64),)),
    "never_written": (r"depends on .* uninitialised memory", (np.zeros(1, np.float32),)),
    "too_much_shared": ("writes beyond its 16 bytes of dynamic shared memory", (i32(1),)),
    "deep": ("local arrays overflow the stack", (i32(2),)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_named(device, name):
    reason, arguments = FAULTS[name]
    with pytest.raises(KernelFault, match=f"small.cu: {name}.*{reason}"):
        device.kernel("small", name)((1,), (64,), arguments, shared_bytes=16)


def test_adjacent_arrays_of_one_allocation_are_guarded_from_each_other(device):
    whole = i32(16)
    with pytest.raises(KernelFault, match="behind"):
        device.kernel("small", "beyond")((1,), (1,), (whole[:8], np.int32(8)))
    assert not whole.any()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((np.zeros(4, np.float64), np.int32(4), np.zeros(1, np.float32)), "array of f4 declared, array of f8 given"),
        ((np.zeros(4, np.float32), np.int64(4), np.zeros(1, np.float32)), "number of i4 declared, number of i8 given"),
        ((np.zeros(4, np.float32), 4, np.zeros(1, np.float32)), "NumPy scalar, got a int"),
        ((np.zeros(8, np.float32)[::2], np.int32(4), np.zeros(1, np.float32)), "C-contiguous"),
        ((np.zeros(4, np.float32), np.int32(4)), "3 parameters, got 2"),
    ],
)
def test_arguments_must_be_what_the_kernel_declares(device, arguments, error):
    with pytest.raises((KernelFault, ContractError), match=error):
        device.kernel("small", "block_sum")((1,), (256,), arguments)


def test_a_launch_that_no_card_can_do_is_refused(device):
    kernel, x = device.kernel("small", "indices"), i32(1)
    for grid, block, shared in [((0,), (1,), 0), ((1,), (2048,), 0), ((1, 65536), (1,), 0), ((1,), (32, 33), 0)]:
        with pytest.raises(ContractError):
            kernel(grid, block, (x,), shared)
    with pytest.raises(ContractError):
        kernel((1,), (1,), (x,), MOST_SHARED_BYTES + 1)


def test_an_unknown_source_or_kernel_is_named(device):
    with pytest.raises(ContractError, match="small"):
        device.kernel("absent", "x")
    with pytest.raises(ContractError, match="block_sum"):
        device.kernel("small", "absent")


# ---- arrays of the device and of the host ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict():
    return host_device(strict=True)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda device, xp, there, here: there + here,
        lambda device, xp, there, here: xp.where(there > 0, there, here),
        lambda device, xp, there, here: xp.concatenate([there, here]),
        lambda device, xp, there, here: np.asarray(there),
        lambda device, xp, there, here: np.concatenate([there, there]),
        lambda device, xp, there, here: there.__setitem__(slice(None), here),
        lambda device, xp, there, here: device.download(here),
        lambda device, xp, there, here: device.upload(there),
    ],
)
def test_a_forgotten_upload_or_download_is_an_error_as_on_a_gpu(strict, mixed):
    with pytest.raises(TypeError):
        mixed(strict, strict.xp, strict.upload(np.arange(3.0)), np.arange(3.0))


def test_arrays_of_the_device_compute_as_others_do(strict):
    xp, values = strict.xp, np.arange(6, dtype=np.float32).reshape(2, 3)
    there = strict.upload(values)
    there[0] = 7
    values[0] = 7
    results = {
        "arithmetic": (there * np.float32(2) - there, values),
        "functions": (
            xp.where(there > 4, there, np.float32(0)).sum(axis=1),
            np.where(values > 4, values, 0).sum(axis=1),
        ),
        "made": (xp.concatenate([xp.zeros(2), xp.arange(3)]), np.concatenate([np.zeros(2), np.arange(3)])),
        "chosen": (there[strict.upload(np.array([1, 0]))], values[[1, 0]]),
    }
    for name, (ours, reference) in results.items():
        assert np.array_equal(strict.download(ours), reference), name
    assert float(there[1, 2]) == 5
    assert (len(there), there.shape, there.dtype) == (2, (2, 3), np.float32)


def test_every_function_that_is_asked_of_xp_is_in_cupy():
    cupy = pytest.importorskip("cupy")
    for path in sorted(FOLDER.glob("*.py")):
        for name in re.findall(r"\bxp\.(\w+)", path.read_text(encoding="utf-8")):
            assert hasattr(cupy, name), f"{path.name}: CuPy has no {name}"
