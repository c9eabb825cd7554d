"""Packages of others that add to auparity: entry points whose import registers what they bring."""

from __future__ import annotations

from importlib.metadata import entry_points


def load_plugins(group: str) -> dict[str, str]:
    """Import every module that installed packages name in an entry-point group.

    Returns
    -------
    Those that could not be imported, with the reason: a broken package of someone else must not take the others, or
    auparity, with it. Whoever calls this shows them.
    """
    broken = {}
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a module of someone else raises when it is imported
            broken[f"{point.name} ({point.value})"] = f"{type(error).__name__}: {error}"
    return broken
