"""The rows of a table in order of time, person by person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError

Array = npt.NDArray[Any]

#: Two rows of a person that are farther apart than so many steps are not neighbours: there are frames between them.
GAP = 1.5
#: Seconds by which the times of a CSV are rounded: they have three decimals.
ROUNDING = 0.0005


@dataclass(frozen=True, eq=False)
class Timeline:
    """R rows of any number of people.

    Parameters
    ----------
    columns : name to (R,).
    seconds : (R,) time of each row.
    persons : (R,) whose face it is, negative for nobody; None for one face.
    usable : (R,) bool: its measurements can be used.
    step : seconds from one frame to the next: the median.
    """

    columns: Mapping[str, Array]
    seconds: Array
    persons: Array | None
    usable: Array
    step: float

    @classmethod
    def of(
        cls, columns: Mapping[str, Array], seconds: Array, persons: Array | None, usable: Array, fps: float | None
    ) -> Timeline:
        """One whose step is that of its times, or 1 / `fps` where there is only one moment.

        Raises
        ------
        AuparityError : there are rows, but only of one moment, and no `fps`.
        """
        moments = np.unique(seconds)
        if len(moments) > 1:
            step = float(np.median(np.diff(moments)))
        elif fps is not None or not len(moments):
            step = 1 / (fps or 1.0)
        else:
            raise AuparityError("all rows are of one moment: give the frames a second (fps, --fps).")
        return cls(columns, seconds, persons, usable, step)

    def people(self) -> Iterator[tuple[int | None, Array]]:
        """Each person, None for the one face of a table of one, with the places of their rows in order of time."""
        order = np.argsort(self.seconds, kind="stable")
        if self.persons is None:
            yield None, order
            return
        for person in np.unique(self.persons[self.persons >= 0]):
            yield int(person), order[self.persons[order] == person]
