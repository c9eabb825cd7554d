"""The groups of columns in OpenFace's tables (spec 80.1), by which `auparity extract --columns` chooses them."""

from __future__ import annotations

from collections.abc import Collection

#: What the names of each group's columns begin with, in the order of the table.
_BEGINNINGS = {
    "gaze": ("gaze_", "eye_lmk_"),
    "pose": ("pose_",),
    "2d": ("x_", "y_"),
    "3d": ("X_", "Y_", "Z_"),
    "params": ("p_",),
    "aus": ("AU",),
}
GROUPS = tuple(_BEGINNINGS)


def group_of(column: str) -> str | None:
    """The group of a column; None for the first columns, which every table has (frame, confidence, ...)."""
    return next((group for group, beginnings in _BEGINNINGS.items() if column.startswith(beginnings)), None)


def missing_groups(needed: Collection[str], columns: Collection[str]) -> list[str]:
    """The groups that a table has no column of, but that hold columns that are needed."""
    there = {group_of(name) for name in columns}
    missing = {group_of(name) for name in needed if name not in columns}
    return [group for group in GROUPS if group in missing and group not in there]
