"""NumPy alone, with work that the reference does one by one put into single products. Registers the variants."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

variant("action_units", "batched", rank=40)(from_module(f"{__name__}.action_units"))
