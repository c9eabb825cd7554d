"""Registers the variant; imports nothing that it would need to run."""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

variant("geometry", "example", rank=-1, provider="auparity-example-backend")(from_module("auparity_example.geometry"))
