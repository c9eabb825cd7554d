"""The CUDA sources of this folder: their text, the options that they mean the same under, and what a cache must know.

Products and sums are fused only where a source says so (`__fmaf_rn`, `__fma_rn`), as in the reference pipeline. CuPy's
`RawModule` adds ``-ftz=true`` when it compiles, which would flush the smallest numbers to zero; therefore we compile
ourselves and hand it the binary.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from auparity.errors import ContractError, DeviceError

FOLDER = Path(__file__).resolve().parent
#: For NVRTC and nvcc alike. No fast-math: divisions and roots are rounded correctly, denormals are kept.
OPTIONS = ("-std=c++17", "--fmad=false")

_KERNEL = re.compile(
    r"__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)

Define = int | float | str


def source_names(folder: Path = FOLDER) -> list[str]:
    """Names of the `.cu` files, without the ending."""
    return sorted(path.stem for path in folder.glob("*.cu"))


def source_text(source: str, folder: Path = FOLDER) -> str:
    """The text of SOURCE.cu.

    Raises
    ------
    ContractError : there is no such source.
    """
    path = folder / f"{source}.cu"
    if not path.is_file():
        raise ContractError("device", "source", f"one of {', '.join(source_names(folder))}", repr(source))
    return path.read_text(encoding="utf-8")


def kernel_names(text: str) -> list[str]:
    """The `__global__` functions of a source."""
    return _KERNEL.findall(text)


def example_defines(text: str) -> tuple[str, ...]:
    """The ``-DNAME=VALUE`` that a source's comments give as an example of what its launcher defines."""
    lines = (line for line in text.splitlines() if line.lstrip().startswith("//"))
    return tuple(word for line in lines for word in line.split() if word.startswith("-D"))


def cubin(nvrtc: Any, source: str, options: tuple[str, ...], capability: str, folder: Path = FOLDER) -> bytes:
    """Compile SOURCE.cu for GPUs of a compute capability, such as "90"; needs no GPU.

    Parameters
    ----------
    nvrtc : `cupy.cuda.nvrtc`. options : `OPTIONS` and defines.

    Raises
    ------
    DeviceError : the compiler does not know the GPU, or refuses the source; with its messages.
    """
    program = nvrtc.createProgram(source_text(source, folder), f"{source}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, f"-arch=sm_{capability}", f"-I{FOLDER}"))
        binary: bytes = nvrtc.getCUBIN(program)
        return binary
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program).strip()
        raise DeviceError(
            f"{source}.cu could not be compiled for compute capability {capability} by NVRTC {nvrtc.getVersion()}: "
            f"{error} {log[:2000]} A GPU that it does not know needs newer CUDA libraries (auparity[cuda13])."
        ) from error
    finally:
        nvrtc.destroyProgram(program)


def check_kernel(source: str, name: str, folder: Path = FOLDER) -> None:
    """Raises ContractError when SOURCE.cu has no kernel of that name."""
    names = kernel_names(source_text(source, folder))
    if name not in names:
        raise ContractError("device", "name", f"a kernel of {source}.cu: {', '.join(names)}", repr(name))


def define_options(defines: dict[str, Define]) -> tuple[str, ...]:
    """``-DNAME=VALUE`` in the order of the names; floats are double literals, exact to the last bit."""
    return tuple(f"-D{key}={_literal(value)}" for key, value in sorted(defines.items()))


def _literal(value: Define) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else repr(value)


def digest(source: str, options: tuple[str, ...], folder: Path = FOLDER) -> str:
    """SHA-256 over a source, all headers that it may include, and the options."""
    state = hashlib.sha256()
    for path in (folder / f"{source}.cu", *sorted(folder.glob("*.cuh"))):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    state.update("\0".join(options).encode())
    return state.hexdigest()
