"""Failures of a GPU as errors that say what to do: no driver, no memory, a lost device.

CuPy's exceptions are recognised by name and status, so that this module needs no CuPy. Statuses are those of CUDA's
runtime and driver, which have the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from auparity.errors import AuparityError, DeviceError, VariantUnavailable

INSTALL = (
    "pip install 'auparity[cuda12]' for NVIDIA drivers from 525 on, 'auparity[cuda13]' from 580 on (only one of them)"
)
GIB = 2.0**30

OUT_OF_MEMORY = {2}
INSUFFICIENT_DRIVER = {35, 803}  # older than the runtime; of another version than the kernel module
NO_DEVICE = {100, 101}
WITHOUT_CODE = {209, 218, 222}  # no kernel image, invalid PTX, PTX of a later version
INITIALISED_BEFORE_FORK = {3}
#: After these nothing works in the process any more, because the context or the device is lost.
LOST = {
    46, 214, 220, 700, 702, 703, 709, 710, 714, 715, 716, 717, 718, 719, 802, 999,
}  # fmt: skip


def translated(error: BaseException, free: int | None = None) -> AuparityError | None:
    """The auparity error for an error of CuPy or CUDA; None for anything else.

    Parameters
    ----------
    error : what was raised. free : bytes free on the device when it was, where known.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, ImportError) and "cupy" in f"{error.name} {error}":
        return VariantUnavailable(f"CuPy cannot be imported ({error}): {INSTALL}")
    if "OutOfMemoryError" in names:
        return _out_of_memory(getattr(error, "_size", None), free)
    if names & {"CUDARuntimeError", "CUDADriverError"}:
        return _of_status(int(getattr(error, "status", -1)), str(error), free)
    if names & {"CompileException", "NVRTCError"}:
        return DeviceError(
            f"a CUDA kernel could not be compiled for this GPU: {_first_lines(error)}. A GPU newer than the installed "
            f"CUDA libraries needs newer ones: {INSTALL}"
        )
    if isinstance(error, RuntimeError) and "CuPy failed to load" in str(error):
        return VariantUnavailable(f"{_first_lines(error)}. CUDA's libraries come with the extras: {INSTALL}")
    return None


@contextmanager
def translating(free_bytes: Callable[[], int | None] = lambda: None) -> Iterator[None]:
    """Convert errors of CuPy and CUDA into auparity's; `free_bytes` is called when memory ran out."""
    try:
        yield
    except AuparityError:
        raise
    except Exception as error:
        ours = translated(error, free_bytes() if _is_memory(error) else None)
        if ours is None:
            raise
        raise ours from error


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or getattr(error, "status", None) in OUT_OF_MEMORY


def _out_of_memory(asked: int | None, free: int | None) -> DeviceError:
    wanted = "more memory than there is" if asked is None else f"{asked / GIB:.3f} GiB more"
    left = "" if free is None else f"; {free / GIB:.3f} GiB are free"
    return DeviceError(
        f"the GPU is out of memory: {wanted} was requested{left}. Use fewer streams or smaller batches, or end what "
        "else uses the GPU (nvidia-smi lists it)."
    )


def _of_status(status: int, text: str, free: int | None) -> AuparityError:
    if status in OUT_OF_MEMORY:
        return _out_of_memory(None, free)
    if status in INSUFFICIENT_DRIVER:
        return VariantUnavailable(f"the NVIDIA driver is missing or too old for the installed CuPy ({text}): {INSTALL}")
    if status in NO_DEVICE:
        return VariantUnavailable(f"no such NVIDIA GPU ({text}): nvidia-smi lists the GPUs")
    if status in WITHOUT_CODE:
        return VariantUnavailable(f"the kernels cannot be loaded on this GPU ({text}): {INSTALL}")
    if status in INITIALISED_BEFORE_FORK:
        return DeviceError(
            f"CUDA cannot start in this process ({text}): it was started before the process was forked. Start worker "
            "processes by 'spawn', or use the GPU in one process."
        )
    if status in LOST:
        return DeviceError(
            f"the GPU stopped working for this process ({text}). Results already written are kept; start again."
        )
    return DeviceError(f"the GPU refused a call ({text}). Results already written are kept.")


def _first_lines(error: BaseException, count: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:count])
