"""Episodes: when an AU is present, from its onset to its offset, for each person.

A frame lasts until the next one; the last before a gap lasts one step. Rows that cannot be used end an episode.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.tables.arrow import arrow_table, data_frame
from auparity.tables.episode import Episode
from auparity.tables.episode_files.write import write_episodes
from auparity.tables.timeline import GAP, ROUNDING, Timeline

Array = npt.NDArray[Any]


class Episodes(Sequence[Episode]):
    """Episodes in order of onset, then person, then AU."""

    def __init__(self, episodes: Collection[Episode]) -> None:
        self._episodes = sorted(episodes, key=lambda e: (e.onset, -1 if e.person is None else e.person, e.au))

    def __len__(self) -> int:
        return len(self._episodes)

    @overload
    def __getitem__(self, index: int) -> Episode: ...
    @overload
    def __getitem__(self, index: slice) -> Episodes: ...
    def __getitem__(self, index: int | slice) -> Episode | Episodes:
        return Episodes(self._episodes[index]) if isinstance(index, slice) else self._episodes[index]

    def __iter__(self) -> Iterator[Episode]:
        return iter(self._episodes)

    def __repr__(self) -> str:
        aus = sorted({episode.au for episode in self})
        return f"<Episodes: {len(self)} of {', '.join(aus) or 'no AU'}; .to_dataframe(), .write('episodes.eaf')>"

    @property
    def columns(self) -> dict[str, Array]:
        """Name to (E,); without the column ``person`` where there is one face."""
        names = [field.name for field in fields(Episode)]
        if not any(episode.person is not None for episode in self):
            names.remove("person")
        return {name: np.array([getattr(episode, name) for episode in self], _TYPES.get(name, float)) for name in names}

    def to_dataframe(self) -> Any:
        """A `pandas.DataFrame` with a row for each episode; raises `VariantUnavailable` without pandas."""
        return data_frame(self.columns)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule protocol."""
        return arrow_table(self.columns).__arrow_c_stream__(requested_schema)

    def write(self, path: str | Path, *, media: str | Path | None = None) -> list[Path]:
        """Write them as the suffix says: .eaf (ELAN), .srt, .vtt (WebVTT), .tsv (BIDS events, with a .json beside it).

        Parameters
        ----------
        media : the video that they are of, which ELAN then opens; other formats do not name one.

        Returns
        -------
        The files that were written; those of these names are replaced.

        Raises
        ------
        AuparityError : there is no such format. WriteError : it cannot be written.
        """
        return write_episodes(Path(path), list(self), None if media is None else Path(media))


_TYPES: dict[str, Any] = {"au": "U8", "person": np.int32}


def find_episodes(
    timeline: Timeline,
    aus: Collection[str] | None = None,
    *,
    threshold: float | None = None,
    min_duration: float = 0.0,
    join: float = 0.0,
) -> Episodes:
    """When AUs are present.

    Parameters
    ----------
    aus : which AUs, None for all of the table.
    threshold : an AU is present where its intensity is at least this; None for where its presence is 1. AU28 has no
        intensity.
    min_duration : s; shorter episodes are left out.
    join : s; episodes of an AU and person with no more than this between them become one.

    Raises
    ------
    AuparityError : the table has no such AU; a duration is negative.
    """
    for what, value in (("min_duration", min_duration), ("join", join)):
        if not (np.isfinite(value) and value >= 0):
            raise AuparityError(f"{what} is {value}; it has to be at least 0 s.")
    ending = "_c" if threshold is None else "_r"
    found: list[Episode] = []
    names = _aus_of(timeline, ending, aus)
    for person, places in timeline.people():
        seconds = timeline.seconds[places]
        ends = _ends(seconds, timeline.step)
        usable = timeline.usable[places]
        for au in names:
            values = timeline.columns[f"{au}{ending}"][places]
            with np.errstate(invalid="ignore"):  # NaN is not present
                active = usable & (values >= (0.5 if threshold is None else threshold))
            intensity = timeline.columns.get(f"{au}_r")
            of_rows = np.full(len(places), np.nan) if intensity is None else np.where(usable, intensity[places], np.nan)
            for first, last in _joined(_runs(active, seconds, ends), seconds, ends, join):
                onset, duration = float(seconds[first]), float(ends[last] - seconds[first])
                if duration >= min_duration - ROUNDING:
                    rows = slice(first, last + 1)
                    found.append(Episode(onset, duration, au, person, *_intensity(of_rows[rows], seconds[rows])))
    return Episodes(found)


def _aus_of(timeline: Timeline, ending: str, wanted: Collection[str] | None) -> list[str]:
    there = [name.removesuffix(ending) for name in timeline.columns if name.startswith("AU") and name.endswith(ending)]
    chosen = there if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    missing = [name for name in chosen if name not in there]
    if missing or not there:
        kind = "presence" if ending == "_c" else "intensity"
        raise AuparityError(f"the table has no {kind} of {missing[0] if missing else 'any AU'}.")
    return chosen


def _ends(seconds: Array, step: float) -> Array:
    """(R,) when each row ends: with the next one, or after a step where that is not its neighbour."""
    following = np.append(seconds[1:], np.inf)
    return np.where(following - seconds <= GAP * step + 2 * ROUNDING, following, seconds + step)


def _runs(active: Array, seconds: Array, ends: Array) -> list[tuple[int, int]]:
    """First and last row of each run of active rows without a gap in time."""
    places = np.flatnonzero(active)
    if not len(places):
        return []
    apart = (np.diff(places) > 1) | (seconds[places[1:]] > ends[places[:-1]] + ROUNDING)
    cuts = np.flatnonzero(apart)
    firsts = places[np.concatenate([[0], cuts + 1])]
    lasts = places[np.concatenate([cuts, [len(places) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _joined(runs: list[tuple[int, int]], seconds: Array, ends: Array, join: float) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for first, last in runs:
        if out and seconds[first] - ends[out[-1][1]] <= join + ROUNDING and join > 0:
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def _intensity(values: Array, seconds: Array) -> tuple[float, float, float]:
    """Mean, peak and time of the peak; NaN if there are none."""
    if np.isnan(values).all():
        return np.nan, np.nan, np.nan
    peak = int(np.nanargmax(values))
    return float(np.nanmean(values)), float(values[peak]), float(seconds[peak])
