"""Stages in JAX, compiled once by XLA, on the processor; ``jax-cuda`` by name only. Registers the variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.registry import from_module, variant


def _on_cuda(module: str) -> Callable[..., Any]:
    build = from_module(module)
    return lambda *parts: build(*parts, "cuda")


def _unavailable_reason() -> str | None:
    answer: str | None = from_module(f"{__name__}.device", "unavailable_reason")("cuda")
    return answer


for _stage in ("fit_shape", "patch_experts", "action_units"):
    _module = f"{__name__}.{_stage}"
    variant(_stage, "jax", requires=("jax",), extra="jax", rank=10)(from_module(_module))
    variant(_stage, "jax-cuda", requires=("jax",), extra="jax", rank=-1, devices=("cuda",), check=_unavailable_reason)(
        _on_cuda(_module)
    )
