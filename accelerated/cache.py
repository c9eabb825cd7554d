"""Where what is slow to make is kept between runs: TensorRT's engines, Core ML packages.

In the folder that ``AUPARITY_CACHE`` names, or in the user's folder for caches. Everything there can be deleted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "AUPARITY_CACHE"


def cache_folder(kind: str) -> Path:
    """The folder of one kind of files; it is made by whoever writes into it."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named) / kind
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "auparity" / kind
