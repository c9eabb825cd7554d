"""Runs CUDA kernels of accelerated/cupy on the host, thread by thread, so that their logic is tested without a GPU."""

from __future__ import annotations

from pathlib import Path

from auparity.accelerated.cupy.sources import FOLDER
from auparity.parity_tests.cuda_on_host.host_device import HostDevice, KernelFault, unavailable_reason

__all__ = ["HostDevice", "KernelFault", "host_device", "unavailable_reason"]


def host_device(folder: Path = FOLDER, both_orders: bool = True, strict: bool = False) -> HostDevice:
    """A `HostDevice` for a test, which is skipped without a compiler."""
    reason = unavailable_reason()
    if reason:
        import pytest  # the command line emulates without pytest

        pytest.skip(reason)
    return HostDevice(folder, both_orders, strict)
