"""Measurements at equal steps in time, so that clips of different frame rates, or with gaps, can be compared.

Times are multiples of 1 / rate from 0, the same for everybody in the table. Only usable rows count, and nothing is
made up for frames that have none: where neighbours in time are missing, measurements are NaN and success is 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.tables.columns import column_of
from auparity.tables.rows import is_presence
from auparity.tables.timeline import GAP, ROUNDING, Timeline

Array = npt.NDArray[Any]

How = Literal["auto", "linear", "nearest", "mean"]
HOW = ("auto", "linear", "nearest", "mean")
#: Rows of a resampled table, at most: a table of an hour at 1 kHz has fewer.
MAX_ROWS = 10_000_000
#: Columns that are made anew.
_FRAME, _TIME, _SUCCESS = "frame", "timestamp", "success"


def resample(timeline: Timeline, rate: float, how: How = "auto") -> dict[str, Array]:
    """Columns (S,) at `rate` samples a second, in order of time, and of persons within a moment.

    Parameters
    ----------
    rate : samples a second, Hz.
    how : "linear" between the two rows around a moment, if they are neighbours; "nearest" row, at most one step away;
        "mean" of the rows in the interval of 1 / rate around it. "auto" is "mean" where the rate is lower than that of
        the table, else "linear". Angles are interpolated and averaged on the circle. Presences are those of the nearest
        row, and with "mean" the share of rows in which the AU is present.

    Returns
    -------
    The columns of the table. ``frame`` counts the samples from 1, so a time is (frame - 1) / rate; whose face it is
    stays. Rows of nobody (`person_id` -1) are left out.

    Raises
    ------
    AuparityError : the rate is not above 0, or gives more rows than make sense; `how` is none of these.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise AuparityError(f"the rate is {rate}; it has to be above 0 Hz.")
    if how not in HOW:
        raise AuparityError(f"how is {how!r}; it is one of {', '.join(HOW)}.")
    if how == "auto":
        how = "mean" if rate * timeline.step < 1 - 1e-3 else "linear"  # the same rate is no lower one
    parts = []
    for _, places in timeline.people():
        if len(places):
            parts.append(_resample_person(timeline, places, rate, how))
    if not parts:
        return {name: values[:0] for name, values in timeline.columns.items()}
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(joined[_FRAME], kind="stable")
    return {name: values[order] for name, values in joined.items()}


def _resample_person(timeline: Timeline, places: Array, rate: float, how: str) -> dict[str, Array]:
    seconds = timeline.seconds[places]
    first, last = np.ceil((seconds[0] - ROUNDING) * rate), np.floor((seconds[-1] + ROUNDING) * rate)
    if last - first > MAX_ROWS:
        raise AuparityError(f"{rate} Hz gives {last - first:.0f} rows; at most {MAX_ROWS} are made.")
    samples = np.arange(first, last + 1) + 0.0  # no negative zero
    used = places[timeline.usable[places]]
    if how == "mean":
        pick: _Neighbours | _Intervals = _Intervals(timeline.seconds[used], samples, rate)
    else:
        pick = _Neighbours(timeline.seconds[used], samples / rate, timeline.step, how)
    out: dict[str, Array] = {}
    for name, values in timeline.columns.items():
        if name == _FRAME:
            out[name] = samples + 1
        elif name == _TIME:
            out[name] = samples / rate
        elif name == _SUCCESS:
            out[name] = pick.found.astype(np.float64)
        elif name in ("face_id", "person_id"):
            out[name] = values[places][_nearest(seconds, samples / rate)]
        else:
            out[name] = pick.values(name, values[used].astype(np.float64))
    out.setdefault(_FRAME, samples + 1)
    out.setdefault(_TIME, samples / rate)
    return out


def _nearest(seconds: Array, moments: Array) -> Array:
    """(S,) the row nearest to each moment; of two that are as near the earlier one."""
    after = np.searchsorted(seconds, moments).clip(1, max(len(seconds) - 1, 1))
    if len(seconds) < 2:
        return np.zeros(len(moments), np.intp)
    before = after - 1
    return np.where(moments - seconds[before] <= seconds[after] - moments, before, after)


class _Neighbours:
    """The rows around each of S moments, and how near the moment is to them."""

    def __init__(self, seconds: Array, moments: Array, step: float, how: str) -> None:
        if not len(seconds):
            self.found = np.zeros(len(moments), bool)
            return
        self._nearest = _nearest(seconds, moments)
        distance = np.abs(seconds[self._nearest] - moments)
        self._linear = how == "linear"
        self.found = distance <= (ROUNDING if self._linear else step + ROUNDING)
        self._before = self._after = self._nearest
        self._weight = np.zeros(len(moments))
        if self._linear and len(seconds) > 1:
            after = np.searchsorted(seconds, moments, side="right").clip(1, len(seconds) - 1)
            before = after - 1
            length = seconds[after] - seconds[before]
            within = (moments >= seconds[before]) & (moments <= seconds[after]) & (length <= GAP * step + 2 * ROUNDING)
            within &= length > 0
            self.found |= within
            self._before = np.where(within, before, self._nearest)
            self._after = np.where(within, after, self._nearest)
            self._weight = np.where(within, (moments - seconds[before]) / np.where(length > 0, length, 1), 0.0)

    def values(self, name: str, values: Array) -> Array:
        """(S,) of a column (R,); NaN where nothing is near enough."""
        out = np.full(len(self.found), np.nan)
        if not len(values):
            return out
        if is_presence(name) or not self._linear:
            found = values[self._nearest]
        else:
            difference = values[self._after] - values[self._before]
            found = values[self._before] + self._weight * (_short_way(difference) if _is_angle(name) else difference)
        return np.where(self.found, found, out)


class _Intervals:
    """The rows in the interval of 1 / rate around each of S moments."""

    def __init__(self, seconds: Array, samples: Array, rate: float) -> None:
        # The tolerance keeps rounded times of a border in one interval, whichever side they were rounded to.
        self._sample = np.floor((seconds + ROUNDING) * rate + 0.5) - samples[0] if len(samples) else np.empty(0)
        self._inside = (self._sample >= 0) & (self._sample < len(samples))
        self._sample = self._sample[self._inside].astype(np.intp)
        self._counts = np.bincount(self._sample, minlength=len(samples))
        self.found = self._counts > 0

    def values(self, name: str, values: Array) -> Array:
        """(S,) the means of a column (R,); NaN where there is no row."""
        inside = values[self._inside[: len(values)]]
        if _is_angle(name):
            angles = np.arctan2(self._mean(np.sin(inside)), self._mean(np.cos(inside)))
            return np.where(self.found, angles, np.nan)
        return np.where(self.found, self._mean(inside), np.nan)

    def _mean(self, values: Array) -> Array:
        sums = np.bincount(self._sample, values, minlength=len(self._counts))
        return sums / np.maximum(self._counts, 1)


def _is_angle(name: str) -> bool:
    column = column_of(name)
    return column is not None and column.unit == "rad"


def _short_way(angles: Array) -> Array:
    """Differences of angles, rad, from -pi to pi; those that are there already stay as they are, bit for bit."""
    return np.where(np.abs(angles) <= np.pi, angles, (angles + np.pi) % (2 * np.pi) - np.pi)
