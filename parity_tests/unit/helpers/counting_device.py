"""A device that counts launches, for tests that say how many a stage takes."""

from __future__ import annotations

from typing import Any

from auparity.accelerated.cupy.device import Device


class CountingDevice:
    """`Device` with everything of another one; `launches` so far."""

    def __init__(self, device: Device) -> None:
        self._device, self.launches = device, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def kernel(self, source: str, name: str, **defines: Any) -> Any:
        made = self._device.kernel(source, name, **defines)

        def launch(*arguments: Any, **named: Any) -> None:
            self.launches += 1
            made(*arguments, **named)

        return launch
