"""Stages whose networks run in ONNX Runtime on the CPU, on graphs from `auparity.conversion`; registers them."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

_ABOUT = {"requires": ("onnx", "onnxruntime"), "extra": "onnx", "rank": 30}

for _stage in ("detection", "validation", "action_units"):
    variant(_stage, "onnx", **_ABOUT)(from_module(f"{__name__}.{_stage}"))
_experts = f"{__name__}.patch_experts"
variant("patch_experts", "onnx", serves=from_module(_experts, "serves"), **_ABOUT)(from_module(_experts))
