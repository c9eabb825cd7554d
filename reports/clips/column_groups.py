"""Which groups of OpenFace's columns (spec 80.1) a table would have to have for what is asked of it."""

from __future__ import annotations

from collections.abc import Collection

from auparity.tables.columns import GROUPS, group_of


def missing_groups(needed: Collection[str], columns: Collection[str]) -> list[str]:
    """The groups that a table has no column of, but that hold columns that are needed."""
    there = {group_of(name) for name in columns}
    missing = {group_of(name) for name in needed if name not in columns}
    return [group for group in GROUPS if group in missing and group not in there]
