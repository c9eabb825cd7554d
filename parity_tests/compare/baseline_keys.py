"""The key of a baseline: everything besides the code on which a measured error depends.

A key names the technology and its version, the instruction set or the GPU, and the BLAS with its version and kernel
if the variant uses matrix products of NumPy. The reference is not part of the key, because it has the same bits
everywhere. Two machines with the same key should measure the same errors; a machine with another key has no baseline
until one is recorded.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata
from pathlib import Path

import threadpoolctl

from auparity.accelerated.hardware import hardware
from auparity.accelerated.registry import EMULATED, TECHNOLOGIES

#: The pipeline that stays on a GPU is of CuPy's kernels.
ALIASES = {"gpu": "cupy"}
#: Parts of the names of variants that compute on a GPU.
ON_GPU = ("gpu", "cupy", "cuda", "tensorrt", "mps", "directml")


def technology_of(variant: str) -> str:
    """The technology of a variant's name, or those of a pipeline in order ("batched+numba"): the name of the file."""
    parts = (part.removesuffix(EMULATED).split("-")[0] for part in variant.split("+"))
    return "+".join(sorted({ALIASES.get(part, part) for part in parts}))


@cache
def baseline_key(variant: str) -> str:
    """The key of a variant's figures here, e.g. ``numba 0.68.1, OpenBLAS 0.3.31 Haswell, x86_64 avx2``."""
    names = sorted(variant.split("+"))
    technologies = technology_of(variant).split("+")
    emulated = any(name.endswith(EMULATED) for name in names)
    parts = [_versioned(technology) for technology in technologies]
    if emulated:
        parts.append("emulated")
    if emulated or any(name not in TECHNOLOGIES or TECHNOLOGIES[name].uses_blas for name in technologies):
        parts.append(blas_kernel())
    architecture = hardware().id.split("-")[0]
    parts.append(f"{architecture} {hardware().vectors}{_told(technologies)}")
    if not emulated and any(word in ON_GPU for name in names for word in name.split("-")):
        parts += [gpu.split(",")[0] for gpu in hardware().gpus[:1]]
    return ", ".join(parts)


def _told(technologies: list[str]) -> str:
    """What Numba is told to compile for in place of this processor (docs/testing.md)."""
    told = [os.environ[name] for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES") if name in os.environ]
    return f" told {told[0]}" if told and "numba" in technologies else ""


def _versioned(technology: str) -> str:
    """A technology with the version of what it computes with; one of another package by its name alone."""
    for distribution in TECHNOLOGIES[technology].distributions if technology in TECHNOLOGIES else ():
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        return f"{technology} {version}" if distribution == technology else f"{technology} by {distribution} {version}"
    return technology


@cache
def blas_kernel() -> str:
    """NumPy's BLAS with version and kernel, as it was loaded; other packages may have brought one of their own."""
    libraries = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    of_numpy = [library for library in libraries if Path(library["filepath"]).parent.name.startswith("numpy")]
    if not (of_numpy or libraries):
        return hardware().blas  # one that threadpoolctl does not know, such as Apple's Accelerate
    library = (of_numpy or libraries)[0]
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS"}.get(library["internal_api"], library["internal_api"])
    return " ".join(filter(None, (name, library["version"] or "", library.get("architecture") or "")))
