"""The action units of charts and pages: their names (`auparity/tables/columns.py`), and which have an intensity."""

from __future__ import annotations

from auparity.tables.columns import ACTION_UNITS

__all__ = ["ACTION_UNITS", "FULL_INTENSITY", "WITH_INTENSITY"]

#: AU28 has a presence only.
WITH_INTENSITY = tuple(name for name in ACTION_UNITS if name != "AU28")
#: Intensities go from 0 to this.
FULL_INTENSITY = 5.0
