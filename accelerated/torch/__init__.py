"""Stages in PyTorch: the same code serves the CPU, CUDA and MPS. Registers the variants."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

for _stage in ("calc_params", "patch_experts", "action_units"):
    variant(_stage, "torch", requires=("torch",), extra="torch", rank=20)(from_module(f"{__name__}.{_stage}"))
