"""The panel beside the picture of an overlay video: frame number, confidence, and a bar for every AU with an intensity.

A row of a `ResultTable` in, a (H, W, 3) uint8 BGR panel out. It is drawn twice as large and averaged down, which makes
OpenCV's line fonts legible at small sizes. Parts that do not change are drawn once.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.overlay_face import LOST, MEASURED, TRUTH, Colour
from auparity.reports.clips.table import ResultTable

Array = npt.NDArray[Any]

#: Size at scale 1, px; the panel grows with the picture.
WIDTH, HEIGHT = 360, 480
BACKGROUND: Colour = (30, 25, 22)
TRACK: Colour = (56, 49, 45)
TEXT: Colour = (232, 228, 224)
FAINT: Colour = (160, 152, 146)

_SUPERSAMPLING = 2
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT = 22.0  # px of a capital letter at font scale 1
#: Layout in px at scale 1.
MARGIN, LETTER = 16, 9.0
_TOP, _ROW = 62, 22.4
_BAR_LEFT, _BAR_RIGHT, _VALUE_RIGHT, _DOT = 198, 296, 328, 342
BAR_HALF = 5


class PanelCanvas:
    """A panel `height` px high, whose width follows, and what draws bars and text on it in px of scale 1."""

    def __init__(self, height: int) -> None:
        self._scale = height / HEIGHT
        self._k = self._scale * _SUPERSAMPLING
        self.height, self.width = height, 2 * round(WIDTH * self._scale / 2)

    def _empty(self) -> Array:
        """A canvas without anything on it, magnified."""
        return np.full((self.height * _SUPERSAMPLING, self.width * _SUPERSAMPLING, 3), BACKGROUND, np.uint8)

    def _reduced(self, canvas: Array) -> Array:
        """(H, W, 3) of a magnified canvas."""
        return cv2.resize(canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)

    def _bar_at(self, canvas: Array, left: float, right: float, y: float, colour: Colour) -> None:
        low, high = self._pixel(left, y - BAR_HALF), self._pixel(right, y + BAR_HALF)
        cv2.rectangle(canvas, low, high, colour, -1)

    def _disc(self, canvas: Array, x: float, y: float, radius: float, colour: Colour) -> None:
        cv2.circle(canvas, self._pixel(x, y), round(radius * self._k), colour, -1, cv2.LINE_AA)

    def _text(
        self, canvas: Array, text: str, x: float, y: float, colour: Colour, letter: float, *, right: bool = False
    ) -> float:
        """Text of capital letters `letter` px high with its base line at y; the x at which it ends (or starts)."""
        scale, width = letter * self._k / _FONT_HEIGHT, self._stroke
        extent = self._extent(text, scale)
        left, base = self._pixel(x, y)
        cv2.putText(canvas, text, (left - extent * right, base), _FONT, scale, colour, width, cv2.LINE_AA)
        return x if right else x + extent / self._k

    def _text_width(self, text: str, letter: float) -> float:
        return self._extent(text, letter * self._k / _FONT_HEIGHT) / self._k

    def _extent(self, text: str, scale: float) -> int:
        """Width in px of the magnified canvas."""
        return cv2.getTextSize(text, _FONT, scale, self._stroke)[0][0]

    @property
    def _stroke(self) -> int:
        return max(1, round(0.55 * self._k))

    def _pixel(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._k), round(y * self._k)


class Panel(PanelCanvas):
    """The panel of one table.

    `whole` is False for a table that holds the rows of one frame only, with `show` for those of the next frame.
    """

    def __init__(
        self, table: ResultTable, height: int, *, fps: float, truth: dict[str, Array] | None = None, whole: bool = True
    ) -> None:
        self._truth, self._fps, self._whole = truth or {}, fps, whole
        super().__init__(height)
        self.show(table)
        self._base = self._draw_base()

    def show(self, table: ResultTable) -> None:
        """Draw rows of this table, which has the same columns, from now on."""
        self._table = table
        self._intensity, self._presence = table.aus("r"), table.aus("c")
        self._seconds = table.seconds(self._fps)

    def draw(self, row: int | None) -> Array:
        """(H, W, 3) uint8 BGR of one row; with None, of a frame that has none."""
        canvas = self._base.copy()
        if row is not None:
            self._draw_row(canvas, row)
        return self._reduced(canvas)

    def _draw_row(self, canvas: Array, row: int) -> None:
        good = bool(self._table.success[row])
        frames = self._table.columns.get("frame")
        number = row + 1 if frames is None else int(frames[row])
        of = f" of {len(self._table)}" if self._whole else ""
        self._text(canvas, f"frame {number}{of}", MARGIN, 26, TEXT, 10.5)
        self._text(canvas, f"{self._seconds[row]:.2f} s", WIDTH - MARGIN, 26, TEXT, 10.5, right=True)
        state = "face tracked" if good else "no face tracked"
        confidence = self._table.columns.get("confidence")
        if confidence is not None:
            state += f", confidence {confidence[row]:.2f}"
        self._disc(canvas, MARGIN + 4, 42, 4, MEASURED if good else LOST)
        self._text(canvas, state, MARGIN + 16, 46.5, TEXT if good else LOST, LETTER)
        for index, name in enumerate(self._intensity):
            self._row(canvas, index, name, row, good)

    def _draw_base(self) -> Array:
        canvas = self._empty()
        for index, name in enumerate(self._intensity):
            y = self._row_centre(index)
            self._text(canvas, name, MARGIN, y + 4.5, TEXT, LETTER)
            self._text(canvas, ACTION_UNITS.get(name, ""), MARGIN + 42, y + 4.5, FAINT, LETTER)
            self._bar(canvas, y, FULL_INTENSITY, TRACK)
        y = HEIGHT - 15
        self._bar_at(canvas, MARGIN, MARGIN + 18, y, MEASURED)
        end = self._text(canvas, "measured, 0 to 5", MARGIN + 25, y + 4, FAINT, 8.0)
        if self._truth:
            self._tick(canvas, end + 18, y)
            end = self._text(canvas, "truth (rings, ticks)", end + 25, y + 4, FAINT, 8.0)
        if self._presence:
            self._disc(canvas, end + 20, y, 4, MEASURED)
            self._text(canvas, "present", end + 29, y + 4, FAINT, 8.0)
        return canvas

    def _row(self, canvas: Array, index: int, name: str, row: int, good: bool) -> None:
        y, value = self._row_centre(index), float(self._intensity[name][row])
        colour = MEASURED if good else LOST
        if value > 0:
            self._bar(canvas, y, min(value, FULL_INTENSITY), colour)
        if name in self._truth and row < len(self._truth[name]):
            true = float(np.clip(self._truth[name][row], 0, FULL_INTENSITY))
            self._tick(canvas, _BAR_LEFT + true / FULL_INTENSITY * (_BAR_RIGHT - _BAR_LEFT), y)
        self._text(canvas, f"{value:.1f}", _VALUE_RIGHT, y + 4.5, TEXT if good else LOST, LETTER, right=True)
        if name in self._presence and self._presence[name][row] >= 0.5:
            self._disc(canvas, _DOT, y, 4, colour)

    def _row_centre(self, index: int) -> float:
        return _TOP + (index + 0.5) * _ROW

    def _bar(self, canvas: Array, y: float, value: float, colour: Colour) -> None:
        self._bar_at(canvas, _BAR_LEFT, _BAR_LEFT + value / FULL_INTENSITY * (_BAR_RIGHT - _BAR_LEFT), y, colour)

    def _tick(self, canvas: Array, x: float, y: float) -> None:
        low, high = self._pixel(x - 1.2, y - BAR_HALF - 2.5), self._pixel(x + 1.2, y + BAR_HALF + 2.5)
        cv2.rectangle(canvas, low, high, TRUTH, -1)
