"""Modes of running a Core ML package: its precision, Core ML or the interpreter, and why a mode cannot run here."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from typing import Literal

from auparity.accelerated.registry import EMULATED

#: What has not been verified when packages were interpreted.
NOT_RUN = "its packages were interpreted in NumPy, Core ML has not run them; on a Mac: nox -s parity-coreml"
#: The macOS version of our packages' deployment target.
MACOS = (13, 0)


@dataclass(frozen=True)
class Mode:
    """A mode of running packages; its name is that of the variants."""

    name: str
    precision: Literal["float32", "float16"]
    emulated: bool

    def unavailable_reason(self) -> str | None:
        """Why packages cannot be run in this mode here; None if they can."""
        if self.emulated:
            return None
        if platform.system() != "Darwin":
            return (
                "Core ML is part of macOS; elsewhere the same packages can be interpreted, slowly: "
                f"{self.name}{EMULATED}, or --emulate-coreml"
            )
        version = platform.mac_ver()[0]
        numbers = tuple(int(word) for word in version.split(".")[:2] if word.isdigit())
        if numbers < MACOS:
            return f"the packages need macOS {MACOS[0]} or newer, this is {version or 'unknown'}"
        return None


MODES = {
    mode.name: mode
    for mode in (
        Mode("coreml", "float32", False),
        Mode("coreml-float16", "float16", False),
        Mode("coreml" + EMULATED, "float32", True),
        Mode("coreml-float16" + EMULATED, "float16", True),
    )
}


def emulated(spec: str) -> str:
    """Variants as a command line names them, with Core ML's replaced by those that interpret the same packages."""
    names = "|".join(sorted((name for name in MODES if not MODES[name].emulated), key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({names})(?![\w-])", rf"\1{EMULATED}", spec)
