"""Which instructions kernels are compiled for: those of this processor, or those that Numba was told.

``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` make Numba compile for another processor of the same kind. The sizes of
register tiles must follow, or the code would be neither this processor's nor the other's. Whoever names a processor
must list its features, too: otherwise Numba keeps this one's (but for the name ``generic``, which has none).
"""

from __future__ import annotations

import os
from functools import lru_cache

from llvmlite import binding

NAME, FEATURES = "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"
X86 = ("x86_64", "amd64", "i386", "i686", "x86")


@lru_cache(maxsize=1)
def features() -> dict[str, bool]:
    """Features by LLVM's names, as Numba decides: told, else the processor's own."""
    told = os.environ.get(FEATURES)
    if told is None and os.environ.get(NAME, "").lower() != "generic":
        return dict(binding.get_host_cpu_features())
    return {word[1:]: word[0] == "+" for word in (told or "").replace(" ", "").split(",") if word[:1] in ("+", "-")}


def has(feature: str) -> bool:
    """Whether kernels may use a feature of x86-64."""
    return features().get(feature, False)


def has_wide_registers() -> bool:
    """Whether there are 32 registers of sixteen floats (AVX-512)."""
    return has("avx512f")


def has_bfloat16_products() -> bool:
    """Whether pairs of bfloat16 are multiplied (AVX512-BF16)."""
    return has("avx512bf16")
