"""Stages whose networks run in ONNX Runtime, on graphs from `auparity.conversion`, by provider; registers them.

The CPU variants are measured and have a rank; the others are used only when named (``detection=onnx-cuda``), because
nobody has measured them yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.registry import from_module, variant

_REQUIRES = ("onnx", "onnxruntime")
#: Provider's name to device and class of tolerances, as in providers.py, without importing it here.
_OTHERS = {
    "onnx-tensorrt": ("cuda", "float32"),
    "onnx-cuda": ("cuda", "float32"),
    "onnx-directml": ("directml", "float32"),
    "onnx-coreml": ("coreml", "float16"),
    "onnx-openvino": ("cpu", "float32"),
}


def _on(module: str, provider: str) -> Callable[..., Any]:
    build = from_module(module)
    return lambda *parts: build(*parts, provider)


def _unavailable_reason(provider: str) -> Callable[[], str | None]:
    ask = from_module(f"{__name__}.providers", "unavailable_reason")
    return lambda: ask(provider)


_MODULES = {stage: stage for stage in ("detection", "validation", "action_units", "patch_experts")}
_MODULES |= {"face_network": "networks", "point_network": "networks"}
for _stage, _name in _MODULES.items():
    _module = f"{__name__}.{_name}"
    _unsupported_reason = from_module(_module, "unsupported_reason") if _stage == "patch_experts" else None
    _about = {"requires": _REQUIRES, "extra": "onnx", "unsupported_reason": _unsupported_reason}
    variant(_stage, "onnx", rank=30, **_about)(from_module(_module))
    for _name, (_device, _precision) in _OTHERS.items():
        _more = {"devices": (_device,), "precision": _precision, "check": _unavailable_reason(_name)}
        variant(_stage, _name, rank=-1, **_about, **_more)(_on(_module, _name))
