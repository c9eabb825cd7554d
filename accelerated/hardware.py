"""What this machine has: processor, vector instructions, memory, BLAS, accelerators. Asked, never assumed.

`hardware_id` names machines whose floating-point results should agree: the key of accuracy baselines.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

#: Vector instruction sets that change how our kernels compute, best first: (name, flags that must all be there).
X86_VECTORS = (
    ("avx512bf16", {"avx512f", "avx512bw", "avx512_bf16"}),
    ("avx512", {"avx512f", "avx512bw"}),
    ("avx2", {"avx2", "fma"}),
    ("sse2", set[str]()),
)
ARM_VECTORS = (("bf16", {"bf16"}), ("neon", set[str]()))
#: Packages whose versions can move numbers or speed.
PACKAGES = (
    "numpy", "opencv-python-headless", "numba", "llvmlite", "onnx", "onnxruntime", "torch", "jax", "openvino",
    "cupy-cuda12x", "cupy-cuda13x", "coremltools",
)  # fmt: skip
#: Where Windows keeps its graphics adapters.
DISPLAY_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Hardware:
    """One machine."""

    id: str  #: architecture-vendor-vectors
    system: str
    cpu: str
    cores: int  #: that this process may use
    vectors: str
    memory_gib: float | None
    blas: str
    threads: dict[str, str]  #: environment variables that limit threads, those that are set
    gpus: tuple[str, ...]  #: names; empty when none was found
    python: str
    packages: dict[str, str]
    blas_loaded: tuple[str, ...] = ()  #: each BLAS that is loaded, with its version, kernel and threads

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@lru_cache(maxsize=1)
def hardware() -> Hardware:
    """This machine, asked once."""
    return Hardware(
        id=hardware_id(),
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_name(),
        cores=usable_cores(),
        vectors=_vectors(),
        memory_gib=_memory_gib(),
        blas=blas(),
        blas_loaded=blas_loaded(),
        threads={name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        gpus=_gpus(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages=_packages(),
    )


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def hardware_id() -> str:
    """Architecture, maker and vector instructions, e.g. ``x86_64-amd-avx512``: such machines should agree."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)
    return "-".join([machine, _vendor(), _vectors()])


def blas() -> str:
    """The BLAS behind NumPy's matrix products: Accelerate, OpenBLAS, MKL or what NumPy calls it, with its version."""
    build = _numpy_config().get("Build Dependencies", {}).get("blas", {})
    name, version = str(build.get("name", "unknown")), str(build.get("version", ""))
    titles = {"accelerate": "Accelerate", "scipy-openblas": "OpenBLAS", "openblas": "OpenBLAS", "mkl": "MKL"}
    return f"{titles.get(name.lower(), name)} {version}".strip()


def blas_loaded() -> tuple[str, ...]:
    """Every BLAS in this process with version, kernel (on which its bits depend) and threads; empty where none says."""
    from threadpoolctl import threadpool_info

    loaded = (each for each in threadpool_info() if each["user_api"] == "blas")
    return tuple(
        f"{each['internal_api']} {each['version'] or '?'}, kernel {each.get('architecture') or '?'}, "
        f"{each['num_threads']} threads"
        for each in loaded
    )


def _numpy_config() -> dict[str, Any]:
    """How NumPy was built; empty where it does not know (a build of one's own)."""
    try:
        return dict(np.show_config(mode="dicts"))
    except (TypeError, KeyError, AttributeError, ImportError):
        return {}


@lru_cache(maxsize=1)
def _cpu_fields() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor; empty on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:  # not there, or not for everybody to read
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _sysctl(name: str) -> str | None:
    """A value of macOS's sysctl; None elsewhere and where it is not known."""
    return _output_of("sysctl", "-n", name) if platform.system() == "Darwin" else None


def _output_of(*command: str) -> str | None:
    """What a tool of the system prints; None where there is no such tool, or it fails or hangs."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _cpu_name() -> str:
    return _cpu_fields().get("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or "unknown"


def _vendor() -> str:
    description = f"{_cpu_fields().get('vendor_id', '')} {_cpu_name()}".lower()
    for vendor in ("amd", "intel", "apple", "ampere"):
        if vendor in description:
            return vendor
    return "arm" if "arm" in platform.machine().lower() or "aarch64" in platform.machine().lower() else "unknown"


@lru_cache(maxsize=1)
def _vectors() -> str:
    flags = set((_cpu_fields().get("flags") or _cpu_fields().get("Features") or "").lower().split())
    if not flags:
        # Other systems: what NumPy found when it chose its own kernels.
        simd = _numpy_config().get("SIMD Extensions", {})
        names = {str(name).lower() for key in ("baseline", "found") for name in simd.get(key, ())}
        flags = names | ({"fma"} if "fma3" in names else set()) | ({"avx512bw"} if "avx512_skx" in names else set())
    arm = platform.machine().lower() in {"arm64", "aarch64"}
    return next(name for name, needed in (ARM_VECTORS if arm else X86_VECTORS) if needed <= flags)


def _memory_gib() -> float | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    return None


def _gpus() -> tuple[str, ...]:
    """NVIDIA GPUs by the driver's own tool ("name, driver"), others of Windows by its registry, Apple's by the
    processor's name. None of this loads a framework."""
    if listing := _output_of("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"):
        return tuple(line.strip() for line in listing.splitlines() if line.strip())
    if sys.platform == "win32":
        import winreg

        return display_adapters(winreg)
    return (f"{_cpu_name()} (Metal)",) if _vendor() == "apple" else ()


def display_adapters(winreg: Any) -> tuple[str, ...]:
    """Names of a Windows machine's graphics adapters, by the registry; Microsoft's substitutes are none.

    Parameters
    ----------
    winreg : the standard library's module, which there is on Windows only. Not run on Windows yet.
    """
    named = []
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, DISPLAY_ADAPTERS) as adapters:
            for index in range(winreg.QueryInfoKey(adapters)[0]):
                try:
                    with winreg.OpenKey(adapters, winreg.EnumKey(adapters, index)) as adapter:
                        named.append(str(winreg.QueryValueEx(adapter, "DriverDesc")[0]))
                except OSError:  # a key of another kind, or one that only administrators may read
                    continue
    except OSError:  # no such class: a server without display
        return ()
    return tuple(dict.fromkeys(name for name in named if not name.startswith("Microsoft ")))


def _packages() -> dict[str, str]:
    from importlib import metadata

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
