"""The CUDA variants on the host: ``auparity parity --variant auparity.parity_tests.cuda_on_host.variants``.

This verifies the arithmetic of the kernels on the inputs of a reference run without a GPU. It says nothing about speed.
"""

from __future__ import annotations

import dataclasses
import functools
from importlib import import_module
from typing import Any

from auparity.accelerated.cupy import MODULES
from auparity.accelerated.registry import EMULATED, Variant, registry
from auparity.parity_tests.cuda_on_host.host_device import HostDevice, unavailable_reason

TECHNOLOGY = "cupy"
NOT_RUN = "its kernels were run thread by thread on the host, no GPU has run them; on one: nox -s parity-cupy"


@functools.cache
def _device() -> HostDevice:
    return HostDevice(both_orders=False)  # unit tests check both orders


def _build(stage: str, *parts: Any) -> Any:
    module = import_module(f"auparity.accelerated.{TECHNOLOGY}.{MODULES[stage]}")
    return module.build(*parts, device=_device())


def variants() -> list[Variant]:
    """A variant for each registered CUDA variant, named "cupy-emulated"."""
    return [
        dataclasses.replace(
            variant,
            name=TECHNOLOGY + EMULATED,
            build=functools.partial(_build, variant.stage),
            requires=(),
            extra=None,
            devices=("cpu",),
            not_run=NOT_RUN,
            check=unavailable_reason,
        )
        for variant in registry()
        if variant.name == TECHNOLOGY
    ]
