"""Which technology suits a machine, why, and what to install: a pure function of the hardware and the variants that
run.

It says what was measured and what was not. Numba was fastest for every network on the processors that were measured, so
it is advised for every machine. If a GPU is advised, the advice includes the command that times it, because
`Pipeline.best` does not choose variants that nobody has measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from auparity.accelerated.hardware import Hardware

#: Oldest NVIDIA drivers that run CUDA 12 and 13 (NVIDIA's table of minor version compatibility), and the extra of each.
CUDA_EXTRAS = ((580, "cuda13"), (525, "cuda12"))
#: The output of nvidia-smi for a GPU: "NVIDIA H200, 580.65.06", older ones "Tesla T4, 450.80.02".
NVIDIA = re.compile(r"(?P<name>.+), (?P<driver>\d+)\.[\d.]+")
OPENVINO = (
    "OpenVINO (extra openvino, variants onnx-openvino) was slower than Numba with the detector's networks and the "
    "validator, on an AMD EPYC; auparity dev runtimes measures both here"
)
#: Stages that are networks, which other devices take over.
NETWORKS = ("detection", "patch_experts", "validation")


@dataclass(frozen=True)
class Advice:
    """The technology that suits a machine best."""

    technology: str  #: "coreml", "cuda", "directml" or "numba"
    because: str
    install: str | None  #: a command that installs what is missing; None if nothing is
    also: tuple[str, ...] = ()  #: further remarks

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        first = f"{self.technology}: {self.because}"
        return [first, *([f"install: {self.install}"] if self.install else []), *self.also]


def advise(machine: Hardware, states: Mapping[str, str | None]) -> Advice:
    """The technology that suits a machine.

    Parameters
    ----------
    states : variants by name, with the reason why they cannot run here, or None if they can.
    """
    system = machine.system.split()[0] if machine.system else ""
    if machine.id.startswith("arm64-apple"):
        return _apple(states)
    if any(_is_nvidia(gpu) for gpu in machine.gpus):
        return _nvidia(machine, states, windows=system == "Windows")
    if system == "Windows" and machine.gpus:
        return _directml(machine, states)
    return _processor(machine, states)


def _is_nvidia(gpu: str) -> bool:
    return "nvidia" in gpu.lower() or NVIDIA.fullmatch(gpu) is not None


def _missing(states: Mapping[str, str | None], *wanted: tuple[str, str]) -> str | None:
    """The command that installs those of the wanted (variant, extra) that cannot run."""
    extras = [extra for variant, extra in wanted if "not installed" in (states.get(variant, "not installed") or "")]
    return f"pip install 'auparity[{','.join(extras)}]'" if extras else None


def _besides(states: Mapping[str, str | None], variant: str) -> tuple[str, ...]:
    """Why a variant cannot run here, unless it is only not installed."""
    why = states.get(variant)
    return () if why is None or "not installed" in why else (f"{variant} cannot run yet: {why}",)


def _timed(variant: str) -> str:
    stages = ",".join(["best", *(f"{stage}={variant}" for stage in NETWORKS)])
    return f"not measured on such a machine yet; auparity bench --variants best --variants {stages} measures it"


def _apple(states: Mapping[str, str | None]) -> Advice:
    because = "Apple Silicon; Core ML runs the networks on its GPU and neural engine, Numba the other stages"
    install = _missing(states, ("numba", "fast"), ("coreml", "coreml"))
    return Advice("coreml", because, install, (*_besides(states, "coreml"), _timed("coreml")))


def _nvidia(machine: Hardware, states: Mapping[str, str | None], *, windows: bool) -> Advice:
    gpu = next(gpu for gpu in machine.gpus if _is_nvidia(gpu))
    match = NVIDIA.fullmatch(gpu)
    driver = int(match["driver"]) if match else None
    also = [_directml_too(states)] if windows else []
    if driver is None:
        extra = "cuda12"
        also.insert(0, "the driver's version is not known (no nvidia-smi): cuda12 needs 525 or newer, cuda13 580")
    else:
        extra = next((extra for oldest, extra in CUDA_EXTRAS if driver >= oldest), "")
    if not extra:
        oldest, needed = CUDA_EXTRAS[-1]
        updated = f"its GPU {gpu} has too old a driver: update it to {oldest} or newer, then extra {needed} supports it"
        base = _processor(machine, states)
        return Advice(base.technology, base.because, base.install, (updated, *also, *base.also))
    because = f"{gpu}; its driver runs CUDA {extra.removeprefix('cuda')}" if match else f"{gpu} has CUDA"
    install = _missing(states, ("numba", "fast"), ("cupy", extra))
    also.append("onnx-cuda runs only the networks: onnxruntime-gpu instead of onnxruntime")
    return Advice("cuda", because, install, (*_besides(states, "cupy"), *also, _timed("onnx-cuda")))


def _directml_too(states: Mapping[str, str | None]) -> str:
    there = states.get("onnx-directml", "not there") is None
    how = "can run" if there else "needs onnxruntime-directml instead of onnxruntime"
    return f"DirectML supports GPUs of every maker on Windows: onnx-directml {how}"


def _directml(machine: Hardware, states: Mapping[str, str | None]) -> Advice:
    because = f"{', '.join(machine.gpus)} on Windows; DirectML runs the networks on it, Numba the other stages"
    numba = _missing(states, ("numba", "numba"))
    swap = "pip uninstall onnxruntime, pip install onnx onnxruntime-directml"
    wanted = [*([numba] if numba else []), *([swap] if states.get("onnx-directml", "not there") is not None else [])]
    return Advice("directml", because, ", ".join(wanted) or None, (_timed("onnx-directml"),))


def _processor(machine: Hardware, states: Mapping[str, str | None]) -> Advice:
    because = f"kernels compiled for this processor ({machine.vectors}), which were fastest for every measured network"
    also = () if "-intel-" not in machine.id else (OPENVINO,)
    return Advice("numba", because, _missing(states, ("numba", "fast")), also)
