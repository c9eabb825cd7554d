"""NumPy variants that compute in single products what the reference computes one by one. Registers the variants."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

variant("action_units", "batched", rank=40)(from_module(f"{__name__}.action_units"))
