"""ONNX Runtime's execution providers: their names, packages, devices and settings.

ONNX Runtime only warns about a provider that it cannot load and computes on the CPU instead; here it is an
error, with its remedy, if a requested provider is not used. `unavailable_reason` asks the installed package without
loading anything; a missing library or driver is found when the first session is made (session.py).

Settings keep float32: no TF32, no half precision. Core ML chooses its device by itself and computes in
float16 on the neural engine, so it has the float16 class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from auparity.accelerated.registry import Device, PrecisionClass
from auparity.cache import LOCK, cache_folder, discard, entries, intact, seal
from auparity.models.file_lock import locked


@dataclass(frozen=True)
class Provider:
    """One execution provider."""

    name: str  #: name of our variants
    execution: str  #: ONNX Runtime's name of it
    package: str  #: distribution of ONNX Runtime that has it; only one can be installed in an environment
    device: Device
    precision: PrecisionClass = "float32"
    options: dict[str, str] = field(default_factory=dict)
    needs: str = ""  #: further requirements
    beside: tuple[str, ...] = ()  #: providers for operators that this one cannot compute

    def settings(self) -> list[tuple[str, dict[str, str]]]:
        """Providers and options in the order in which ONNX Runtime tries them."""
        options = dict(self.options)
        if self.name == TENSORRT and (folder := cache_folder(ENGINES)) is not None:
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
        return [(self.execution, options), *((name, _OPTIONS_BESIDE.get(name, {})) for name in self.beside)]

    def unavailable_reason(self) -> str | None:
        """Why it cannot run here, and what to do; None when the installed ONNX Runtime has it."""
        import onnxruntime

        if self.execution in onnxruntime.get_available_providers():
            return None
        needs = f"needs {self.needs}" if self.needs else ""
        if self.package != CPU.package:
            swap = f"uninstall onnxruntime and install {self.package}, one of them per environment"
            needs = f"{swap}; {needs}" if needs else swap
        return f"this ONNX Runtime has no {self.execution}: {needs}"


TENSORRT = "onnx-tensorrt"
#: Folder of engines, which take minutes to build.
ENGINES = "tensorrt-engines"
_CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
_OPTIONS_BESIDE: dict[str, dict[str, Any]] = {"CUDAExecutionProvider": _CUDA_OPTIONS}

CPU = Provider("onnx", "CPUExecutionProvider", "onnxruntime", "cpu")
#: In order of preference where several can run.
PROVIDERS: tuple[Provider, ...] = (
    Provider(
        TENSORRT, "TensorrtExecutionProvider", "onnxruntime-gpu", "cuda",
        options={"trt_fp16_enable": "0"}, needs="TensorRT 10, CUDA and cuDNN",
        beside=("CUDAExecutionProvider",),
    ),
    Provider(
        "onnx-cuda", "CUDAExecutionProvider", "onnxruntime-gpu", "cuda", options=_CUDA_OPTIONS, needs="CUDA and cuDNN"
    ),
    Provider("onnx-directml", "DmlExecutionProvider", "onnxruntime-directml", "directml", needs="Windows 10 or newer"),
    Provider(
        "onnx-coreml", "CoreMLExecutionProvider", "onnxruntime", "coreml", "float16",
        options={"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}, needs="macOS 13 or newer",
    ),
    Provider(
        "onnx-openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino", "cpu",
        options={"device_type": "CPU", "precision": "FP32", "num_of_threads": "1"},
    ),
    CPU,
)  # fmt: skip
BY_NAME = {provider.name: provider for provider in PROVIDERS}


def unavailable_reason(name: str) -> str | None:
    """`Provider.unavailable_reason` by name."""
    return BY_NAME[name].unavailable_reason()


@contextmanager
def kept_engines(name: str) -> Iterator[None]:
    """A context for making sessions of a provider. Damaged engines and those of other users are deleted before, because
    TensorRT loads every engine in its folder; new ones are sealed after."""
    folder = cache_folder(ENGINES) if name == TENSORRT else None
    if folder is None:
        yield
        return
    with locked(folder / LOCK):  # processes that start together need the same engines
        for path in entries(folder):
            if not intact(path):
                discard(path)
        yield
        for path in entries(folder):
            if not intact(path):
                seal(path)
