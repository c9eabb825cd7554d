"""Peak memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_mib() -> float | None:
    """Largest resident size so far in MiB; None if the system does not report it (Windows)."""
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux `getrusage` starts with the size of the process that started this one
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), None)
        if line is not None:
            return round(int(line.split()[1]) / 2**10, 1)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes there, KiB elsewhere
