"""Time stamps of video frames: the container's presentation times, or OpenFace's rule frame number / rate.

Presentation times are seconds since the first frame. Times that cannot be used are repaired, so that times always
increase: a missing time becomes one frame after the previous one; a time that is less than a frame before the previous
one becomes half a frame after it; if the clock jumps back further (joined recordings), all later times are shifted so
that the next one is one frame later. The number of repairs is reported, and also the largest difference between the two
kinds of times if it exceeds half a frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from auparity.media.types import Timestamps


@dataclass
class Clock:
    """Time stamps of the frames of one video, to be called for frames in order."""

    mode: Timestamps
    fps: float  #: of the rule frame number / rate
    _index: int = 0
    _zero: Fraction | None = None  # presentation time that counts as 0; moves where the container's clock jumps back
    _last: float = 0.0
    _repaired: list[int] = field(default_factory=list)
    _difference: float = 0.0
    _where: int = 0

    def stamp(self, presentation: Fraction | None) -> float:
        """The time stamp in seconds of the next frame, whose presentation time is None if the container states none."""
        by_rule = self._index / self.fps
        by_container = self._increasing(presentation)
        if abs(by_container - by_rule) > self._difference:
            self._difference, self._where = abs(by_container - by_rule), self._index
        self._index += 1
        return by_container if self.mode == "container" else by_rule

    def begin_at(self, index: int, zero: Fraction) -> None:
        """Go on as if the frames before number `index` had been there; `zero` is the presentation time of frame 0."""
        self._index, self._zero = index, zero

    def warnings(self) -> list[str]:
        """Warnings about the times of the whole video."""
        warnings = []
        if self._index and len(self._repaired) == self._index:
            warnings.append(f"the file states no times; the time stamps are frame number / {self.fps:.6g}")
        elif self._repaired:
            warnings.append(
                f"{len(self._repaired)} time stamps of the container were missing or did not increase (the first at "
                f"frame {self._repaired[0]}); they were set from those before"
            )
        if self._difference > 0.5 / self.fps:
            kept = "container's" if self.mode == "container" else "latter, as OpenFace has them"
            warnings.append(
                f"the container's times and frame number / {self.fps:.6g} differ by up to {self._difference:.3f} s (at "
                f"frame {self._where}); the time stamps are the {kept}"
            )
        return warnings

    def _increasing(self, presentation: Fraction | None) -> float:
        frame = 1.0 / self.fps
        if presentation is not None and self._zero is None:
            self._zero = presentation - Fraction(self._last + frame if self._index else 0.0)
        if self._index == 0:
            if presentation is None:
                self._repaired.append(0)
            return 0.0
        if presentation is None or self._zero is None:
            self._last = self._repair(self._last + frame)
            return self._last
        seconds = float(presentation - self._zero)
        if seconds <= self._last - frame:
            self._zero = presentation - Fraction(self._last + frame)
            seconds = self._repair(self._last + frame)
        elif seconds <= self._last:
            seconds = self._repair(self._last + frame / 2)
        self._last = seconds
        return seconds

    def _repair(self, seconds: float) -> float:
        self._repaired.append(self._index)
        return seconds
