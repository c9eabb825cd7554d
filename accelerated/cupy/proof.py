"""Whether the GPU pipeline has proven itself here: the parity suite's verdict on this GPU, driver and these kernels.

`Pipeline.best` takes the GPU only where the suite has passed on it (``auparity parity --technology cupy``), because a
wrong number from a fast pipeline is worth less than a right one from a slow one. A verdict is a small file in the
folder for caches, under a name made of all that could change the numbers; another driver or auparity asks anew, and so
does a file that is not whole or not ours.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auparity.accelerated.cache import CACHE_VARIABLE, cache_folder, cache_root, intact, seal, write_own
from auparity.accelerated.cupy.device import CudaDevice, shared_device, unavailable_reason
from auparity.accelerated.cupy.sources import FOLDER
from auparity.errors import AuparityError

COMMAND = "auparity parity --technology cupy"


def conditions(device: CudaDevice) -> dict[str, Any]:
    """What the numbers may depend on."""
    runtime = device.xp.cuda.runtime
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*")):
        if path.suffix in (".py", ".cu", ".cuh"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "gpu": device.name, "capability": device.capability, "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(), "cupy": device.xp.__version__, "sources": digest.hexdigest(),
    }  # fmt: skip


def _file(found: dict[str, Any]) -> Path | None:
    """Where the verdict on these conditions is kept; None where nothing is."""
    name = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_folder("proofs")
    return None if folder is None else folder / f"cupy-{name}.json"


def record(device: CudaDevice) -> Path:
    """Remember that the suite passed on a device.

    Raises
    ------
    AuparityError : it cannot be kept.
    """
    found = conditions(device)
    path = _file(found)
    if path is None:
        raise AuparityError(f"That {device.name} passed cannot be kept: {cache_root()}. Set {CACHE_VARIABLE}.")
    content = found | {"passed": datetime.now(UTC).isoformat(timespec="seconds"), "command": COMMAND}
    try:
        write_own(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
        seal(path)
    except OSError as error:
        raise AuparityError(f"That {device.name} passed cannot be kept in {path.parent}: {error}.") from error
    return path


def not_chosen_reason() -> str | None:
    """Why `Pipeline.best` leaves the GPU alone; None when it takes it."""
    if why := unavailable_reason():
        return why
    device = shared_device()
    path = _file(conditions(device))
    if path is not None and intact(path):
        return None
    return f"{device.name} has not passed the parity suite here yet: {COMMAND} (then it is chosen)"
