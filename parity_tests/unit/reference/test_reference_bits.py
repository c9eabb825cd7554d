"""The reference computes the same bits on every machine: whatever the BLAS kernel, the number of its threads, the
instruction sets that NumPy and the C library use, and the machine on which the hashes below were recorded."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from functools import cache

import pytest

#: Recorded once on x86-64; a change of the reference's arithmetic, or of the embedded models, records them anew:
#: python -m auparity.parity_tests.unit.helpers.reference_bits
RECORDED = {
    "exp and log": "fc7ccb13d5728e7d",
    "trigonometry": "864027865479a664",
    "sums": "a778275c824aa619",
    "products": "ad75d8045988d6f1",
    "inverses": "606fb1c68b5326c2",
    "numerics float32": "e27617f609ef64e2",
    "numerics float64": "0d318b3a7210f50f",
    "numerics perturbed": "8531db9b9ef2dfb3",
    "numerics perturbed-2": "9388721dca49f78c",
    "numerics perturbed-3": "5c2b184aa611691c",
    "ccnf": "3291be353ee43b01",
    "network": "a1155c529c4447a6",
    "face-api": "00eba71f18d531a7",
    "photograph": "db77659774736c27",
    "clip": "5618b2f608836746",
    "after the clip": "ad5b5c93770cd9bb",
    "a perturbed fit": "abccb945cf431908",
}

ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def features() -> dict[str, bool]:
    """The instruction sets for which this NumPy has code of its own, and whether this processor has them."""
    from numpy._core import _multiarray_umath as core

    return {name: bool(core.__cpu_features__.get(name)) for name in core.__cpu_dispatch__}


def has_avx512() -> bool:
    return any(present for name, present in features().items() if name in ("AVX512_SKX", "X86_V4"))


def run(**environment: str) -> dict[str, object]:
    """The hashes of a process of its own, and which BLAS NumPy has there."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", *THREADS)}
    done = subprocess.run(
        [sys.executable, "-m", "auparity.parity_tests.unit.helpers.reference_bits"],
        env=inherited | dict.fromkeys(THREADS, "1") | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def plain() -> dict[str, object]:
    """As this machine computes by itself, with two threads."""
    return run(**dict.fromkeys(THREADS, "2"))


def test_the_reference_computes_the_recorded_bits():
    assert plain()["hashes"] == RECORDED


@pytest.mark.parametrize("kernel", ["Haswell", "SkylakeX", "Zen", "Prescott"])
def test_no_blas_kernel_changes_a_bit(kernel):
    if not ON_X86:
        pytest.skip(f"the kernel {kernel} is for x86-64, this is {platform.machine()}")
    if kernel == "SkylakeX" and not has_avx512():
        pytest.skip("the kernel SkylakeX needs AVX-512, which this processor does not have")
    if plain()["blas"] != "openblas":
        pytest.skip(f"only OpenBLAS can be told which kernel to use; NumPy's BLAS is {plain()['blas'] or 'unknown'}")
    assert run(OPENBLAS_CORETYPE=kernel)["hashes"] == plain()["hashes"]


def switched_off(level: str) -> list[str]:
    """Names of the instruction sets that NumPy is to do without: AVX-512, or everything beyond its baseline."""
    present = [name for name, is_here in features().items() if is_here]
    return [name for name in present if level == "baseline" or name.startswith("AVX512") or name == "X86_V4"]


@pytest.mark.parametrize("level", ["AVX-512", "baseline"])
def test_no_instruction_set_of_numpy_changes_a_bit(level):
    names = switched_off(level)
    if not names:
        pytest.skip(f"this processor has nothing of {level} to switch off, or this NumPy no code for it")
    assert run(NPY_DISABLE_CPU_FEATURES=" ".join(names))["hashes"] == plain()["hashes"]


def test_no_instruction_set_of_the_c_library_changes_a_bit():
    if platform.libc_ver()[0] != "glibc" or not ON_X86:
        pytest.skip("only the GNU C library on x86-64 can be told to do without AVX2 and fused multiply-adds")
    found = run(GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F,-AVX2_Usable,-FMA_Usable")
    assert found["hashes"] == plain()["hashes"]
