"""Stages in PyTorch: the same code for CPU, CUDA and MPS. Registers the variants.

``torch-cuda`` and ``torch-mps`` are used only when named, because neither has been run yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.registry import Device, PrecisionClass, from_module, variant


def _on(module: str, device: str) -> Callable[..., Any]:
    build = from_module(module)
    return lambda *parts: build(*parts, device)


def _unavailable_reason(device: str) -> Callable[[], str | None]:
    ask = from_module(f"{__name__}.device", "unavailable_reason")
    return lambda: ask(device)


_GPUS: tuple[Device, ...] = ("cuda", "mps")
_MODULES = {stage: stage for stage in ("fit_shape", "patch_experts", "action_units")}
_MODULES |= {"face_network": "networks", "point_network": "networks"}
for _stage, _name in _MODULES.items():
    _module = f"{__name__}.{_name}"
    variant(_stage, "torch", requires=("torch",), extra="torch", rank=20)(from_module(_module))
    for _device in _GPUS:
        # AU values are float64 in the specification, and MPS has none.
        _class: PrecisionClass = "float32-only" if (_device, _stage) == ("mps", "action_units") else "float32"
        variant(
            _stage, f"torch-{_device}", requires=("torch",), extra="torch", rank=-1, devices=(_device,),
            precision=_class, check=_unavailable_reason(_device),
        )(_on(_module, _device))  # fmt: skip
