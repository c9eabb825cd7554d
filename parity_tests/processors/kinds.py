"""Processors of x86-64 that this one can play: the same chip with instructions switched off, everywhere at once.

Numba compiles for what ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` say, NumPy and OpenBLAS dispatch by variables of
their own, and so does the GNU C library, whose fused multiply-add is software where the processor has none. What stays
the real chip's is its clock, caches and width: a ratio says what the instructions cost, not how fast an old chip is.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from auparity.accelerated.numba.instructions import FEATURES, NAME, X86

#: Features by LLVM's names.
NO_AVX = (
    "64bit", "cmov", "cx16", "cx8", "fxsr", "mmx", "popcnt", "sahf", "sse", "sse2", "sse3", "sse4.1", "sse4.2", "ssse3",
)  # fmt: skip
AVX2 = (
    *NO_AVX, "aes", "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "fsgsbase", "lzcnt", "movbe", "pclmul", "rdrnd",
    "xsave", "xsaveopt",
)  # fmt: skip
#: Instruction sets that NumPy may dispatch to, by its names, newest first (the names changed with NumPy 2.4).
NUMPY_AVX512 = (
    "AVX512_SPR", "AVX512_ICL", "AVX512_CNL", "AVX512_CLX", "AVX512_SKX", "AVX512_KNM", "AVX512_KNL", "AVX512CD",
    "AVX512F", "X86_V4",
)  # fmt: skip
NUMPY_AVX = ("AVX2", "FMA3", "FMA4", "XOP", "F16C", "AVX", "X86_V3")
#: Where other processes of a run are told the same.
VARIABLES = (NAME, FEATURES, "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "GLIBC_TUNABLES")


@dataclass(frozen=True)
class Kind:
    """One processor."""

    name: str
    title: str
    environment: Mapping[str, str]  #: what it is told by; empty for this one as it is

    def of(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment for a process on it: nothing that is there already may say otherwise."""
        kept = {name: value for name, value in environment.items() if name not in VARIABLES}
        return {**kept, **self.environment}


def kinds(present: Mapping[str, bool], dispatched: Mapping[str, bool]) -> list[Kind]:
    """This processor, and those that it can play, the newest first.

    Parameters
    ----------
    present : its features by LLVM's names.
    dispatched : instruction sets for which NumPy has code, and whether this processor has them.
    """
    made = [Kind("native", "this processor", {})]
    if platform.machine().lower() not in X86:
        return made
    if present.get("avx512f") and all(present.get(feature, False) for feature in ("avx2", "fma")):
        made.append(Kind("avx2", "AVX2 and FMA, no AVX-512 (Haswell)", _told("haswell", AVX2, "Haswell", dispatched)))
    if present.get("avx"):
        made.append(Kind("no-avx", "no AVX, no FMA (Nehalem)", _told("nehalem", NO_AVX, "Nehalem", dispatched)))
    return made


def _told(cpu: str, features: tuple[str, ...], blas: str, dispatched: Mapping[str, bool]) -> dict[str, str]:
    without_avx = features is NO_AVX
    off = [*NUMPY_AVX512, *(NUMPY_AVX if without_avx else ())]
    hwcaps = "-AVX512F" + (",-AVX2,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable" if without_avx else "")
    told = {
        NAME: cpu, FEATURES: ",".join(f"+{feature}" for feature in features), "OPENBLAS_CORETYPE": blas,
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={hwcaps}",
    }  # fmt: skip
    # NumPy refuses names that it does not dispatch.
    if names := [name for name in off if dispatched.get(name)]:
        told["NPY_DISABLE_CPU_FEATURES"] = " ".join(names)
    return told


def kinds_here() -> list[Kind]:
    """The processors of this machine; variables that say otherwise are not heeded."""
    from llvmlite import binding

    core = import_module("numpy._core._multiarray_umath")
    if os.environ.keys() & set(VARIABLES):
        dispatched = dict.fromkeys(core.__cpu_dispatch__, True)  # what was switched off is not shown as present
    else:
        dispatched = {name: bool(core.__cpu_features__.get(name)) for name in core.__cpu_dispatch__}
    return kinds(dict(binding.get_host_cpu_features()), dispatched)
