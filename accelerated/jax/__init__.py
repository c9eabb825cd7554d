"""Stages in JAX, compiled once by XLA, on the processor; ``jax-cuda`` by name only. Registers the variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.registry import from_module, variant


def _on_cuda(module: str) -> Callable[..., Any]:
    build = from_module(module)
    return lambda *parts: build(*parts, "cuda")


def _why_not() -> str | None:
    answer: str | None = from_module(f"{__name__}.device", "why_not")("cuda")
    return answer


for _stage in ("calc_params", "patch_experts", "action_units"):
    _module = f"{__name__}.{_stage}"
    variant(_stage, "jax", requires=("jax",), extra="jax", rank=10)(from_module(_module))
    variant(_stage, "jax-cuda", requires=("jax",), extra="jax", rank=-1, devices=("cuda",), check=_why_not)(
        _on_cuda(_module)
    )
