"""An episode: one AU of one person, present from an onset to an offset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Episode:
    """One AU of one person, present from `onset` to `onset + duration`."""

    onset: float  #: s
    duration: float  #: s
    au: str
    person: int | None  #: `person_id`, or the slot where there is none; None in clips of one face
    mean: float  #: intensity over the usable rows, 0 to 5; NaN for AUs without one
    peak: float  #: largest intensity
    peak_time: float  #: s

    @property
    def offset(self) -> float:
        """Its end, s."""
        return self.onset + self.duration
