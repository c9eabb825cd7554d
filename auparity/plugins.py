"""Packages of others that add to auparity: entry points whose import registers what they bring."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def load_plugins(group: str) -> dict[str, str]:
    """Import every module that installed packages name in an entry-point group.

    Returns
    -------
    Those that could not be imported, with the reason: a broken package of someone else must not take the others, or
    auparity, with it. Whoever calls this shows them.
    """
    if not _named(group):
        return {}
    from importlib.metadata import entry_points

    broken: dict[str, str] = {}
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a module of someone else raises when it is imported
            broken[f"{point.name} ({point.value})"] = f"{type(error).__name__}: {error}"
    return broken


def _named(group: str) -> bool:
    """Whether an installed package may have entry points of a group; `importlib.metadata` takes ten times as long."""
    for folder in sys.path:
        if not os.path.isdir(folder or "."):
            if os.path.exists(folder):  # an archive of packages
                return True
            continue
        with suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info", ".egg")) and _names(entry, group):
                    return True
    return False


def _names(entry: os.DirEntry[str], group: str) -> bool:
    """Whether the text of a package's entry points has the group's name in it."""
    if entry.name.endswith(".egg"):
        return True
    try:
        with open(os.path.join(entry.path, "entry_points.txt"), "rb") as file:
            return group.encode() in file.read()
    except OSError:  # it has none
        return False
