"""The parity suite's verdict on the GPU pipeline, for this GPU and driver and these kernels.

`Pipeline.best` uses the GPU only if the suite has passed on it (``auparity parity --technology cupy``), because a wrong
number from a fast pipeline is worth less than a right one from a slow one. A verdict is a small file in the cache,
whose name is made of everything that could change the numbers. Another driver or version of auparity needs a new
verdict, and so does a file that is damaged or belongs to another user.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auparity.accelerated.cupy.device import CudaDevice, shared_device, unavailable_reason
from auparity.accelerated.cupy.sources import FOLDER
from auparity.cache import CACHE_VARIABLE, cache_folder, cache_root, intact, seal, write_own
from auparity.errors import AuparityError

COMMAND = "auparity parity --technology cupy"


def conditions(device: CudaDevice) -> dict[str, Any]:
    """The conditions on which the numbers may depend."""
    runtime = device.xp.cuda.runtime
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*")):
        if path.suffix in (".py", ".cu", ".cuh"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "gpu": device.name, "capability": device.capability, "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(), "cupy": device.xp.__version__, "sources": digest.hexdigest(),
    }  # fmt: skip


def _file(facts: dict[str, Any]) -> Path | None:
    """The file of the verdict on these conditions; None if nothing is kept."""
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_folder("proofs")
    return None if folder is None else folder / f"cupy-{name}.json"


def record(device: CudaDevice) -> Path:
    """Remember that the suite passed on a device.

    Raises
    ------
    AuparityError : the verdict cannot be stored.
    """
    facts = conditions(device)
    path = _file(facts)
    if path is None:
        raise AuparityError(f"The verdict on {device.name} cannot be stored: {cache_root()}. Set {CACHE_VARIABLE}.")
    content = facts | {"passed": datetime.now(UTC).isoformat(timespec="seconds"), "command": COMMAND}
    try:
        write_own(path, (json.dumps(content, indent=1) + "\n").encode("utf-8"))
        seal(path)
    except OSError as error:
        raise AuparityError(f"The verdict on {device.name} cannot be stored in {path.parent}: {error}.") from error
    return path


def not_chosen_reason() -> str | None:
    """Why `Pipeline.best` does not use the GPU; None if it does."""
    if why := unavailable_reason():
        return why
    device = shared_device()
    path = _file(conditions(device))
    if path is not None and intact(path):
        return None
    return f"{device.name} has not passed the parity suite here yet: {COMMAND} (then it is chosen)"
