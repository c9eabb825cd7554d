"""Stages in JAX: compiled once by XLA, on whatever device JAX runs. Registers the variants."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

for _stage in ("calc_params", "patch_experts", "action_units"):
    variant(_stage, "jax", requires=("jax",), extra="jax", rank=10)(from_module(f"{__name__}.{_stage}"))
