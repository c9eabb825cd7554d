"""The overlay video of a clip of several people: every face with its number and colour, and everybody's AUs beside it.

The table and the clip's frames in, a WebM video of all frames out. The panel has a column for each person, always at
the same place, and a row for each AU.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.overlay import ASSUMED_FPS, Sheet, panel_height, write_video
from auparity.reports.clips.overlay_face import LOST, SHADE, Colour, Mark, draw_face
from auparity.reports.clips.overlay_panel import FAINT, LETTER, MARGIN, TEXT, TRACK, WIDTH, PanelCanvas
from auparity.reports.clips.people import Clock, colours_of, numbers_of
from auparity.reports.clips.table import ResultTable, read_result_table

Array = npt.NDArray[Any]

#: Columns that a panel has room for; of more people it shows those of the frame.
MOST_COLUMNS = 12
#: The names of AUs are written out where there are no more columns than this.
NAMED_COLUMNS = 4
#: Layout in px at scale 1: heads of the columns, bottom of the last row, and left ends of the columns.
_HEADS, _TOP, _BOTTOM, _RIGHT = 70.0, 82.0, 452.0, WIDTH - MARGIN
_LEFT_NAMED, _LEFT_SHORT = 196.0, 62.0


class PeoplePanel(PanelCanvas):
    """The panel of a clip of people with these numbers and colours."""

    def __init__(self, marks: Sequence[Mark], aus: Sequence[str], height: int) -> None:
        super().__init__(height)
        self._marks, self._aus = tuple(marks), tuple(aus)
        self._left = _LEFT_NAMED if len(marks) <= NAMED_COLUMNS else _LEFT_SHORT
        self._width = (_RIGHT - self._left) / min(max(len(marks), 1), MOST_COLUMNS)
        self._row_height = (_BOTTOM - _TOP) / max(len(aus), 17)

    def draw(self, frame: int, seconds: float, rows: ResultTable) -> Array:
        """(H, W, 3) uint8 BGR of frame `frame`, counted from 1, which has these rows."""
        canvas = self._empty()
        row_of = {} if rows.persons is None else {int(number): row for row, number in enumerate(rows.persons)}
        marks, there = self._marks, int(rows.success.sum())
        if len(marks) > MOST_COLUMNS:
            marks = tuple(mark for mark in marks if mark.number in row_of)[:MOST_COLUMNS]
        shown = f", {len(marks)} of them here" if there > len(marks) else ""
        self._text(canvas, f"frame {frame}", MARGIN, 26, TEXT, 10.5)
        self._text(canvas, f"{seconds:.2f} s", WIDTH - MARGIN, 26, TEXT, 10.5, right=True)
        self._text(canvas, f"{there} of {len(self._marks)} tracked{shown}", MARGIN, 46.5, TEXT, LETTER)
        for index, name in enumerate(self._aus):
            self._text(canvas, name, MARGIN, self._centre(index) + 4.5, TEXT, LETTER)
            if self._left == _LEFT_NAMED:
                title = ACTION_UNITS.get(name, "")
                self._text(canvas, title, MARGIN + 42, self._centre(index) + 4.5, FAINT, LETTER)
        for column, mark in enumerate(marks):
            self._column(canvas, column, mark, rows, row_of.get(mark.number))
        if self._aus:
            self._text(canvas, "bars: intensity, 0 to 5", MARGIN, 470, FAINT, 8.0)
        return self._reduced(canvas)

    def _column(self, canvas: Array, column: int, mark: Mark, rows: ResultTable, row: int | None) -> None:
        """The number of a person, and the bars of a frame; only the number, faint, of somebody who is not there."""
        left = self._left + column * self._width
        right = left + self._width - max(3.0, 0.12 * self._width)
        tracked = row is not None and bool(rows.success[row])
        colour = mark.colour if tracked else LOST
        low, high = self._pixel(left, _HEADS - 9), self._pixel(right, _HEADS + 8)
        cv2.rectangle(canvas, low, high, colour if row is not None else TRACK, -1)
        text = mark.text
        letter = min(LETTER, 1.35 * (right - left) / max(len(text), 2))
        width = self._text_width(text, letter)
        self._text(
            canvas,
            text,
            (left + right - width) / 2,
            _HEADS + 0.5 * letter - 0.5,
            FAINT if row is None else SHADE,
            letter,
        )
        if row is None:
            return
        for index, name in enumerate(self._aus):
            value = float(np.clip(rows.columns[f"{name}_r"][row], 0, FULL_INTENSITY)) / FULL_INTENSITY
            self._bar_at(canvas, left, right, self._centre(index), TRACK)
            if value > 0:
                self._bar_at(canvas, left, left + value * (right - left), self._centre(index), colour)

    def _centre(self, index: int) -> float:
        return _TOP + (index + 0.5) * self._row_height


class PeopleOverlay(Sheet):
    """Draws the frames of a table of several people.

    Parameters
    ----------
    table : with `persons`, and rows.
    size : (width, height) of the pictures in px.
    """

    def __init__(self, table: ResultTable, size: tuple[int, int], *, fps: float = ASSUMED_FPS) -> None:
        self._clock = Clock(table, fps)
        self._marks = {
            number: Mark(number, _bgr(colours_of(place)[0])) for place, number in enumerate(numbers_of(table))
        }
        self.panel = PeoplePanel(tuple(self._marks.values()), tuple(table.aus("r")), panel_height(size))
        super().__init__(size, self.panel)

    def draw(self, image: Array, frame: int, rows: ResultTable) -> Array:
        """The picture of frame `frame`, counted from 1, with its rows: (H, W, 3) uint8 BGR of the overlay's size.

        Raises
        ------
        VideoError : the picture has another size than the first.
        """
        shown = self._resized(image, frame)
        assert rows.persons is not None
        for row in np.argsort(rows.success, kind="stable"):  # faces that are tracked on top
            number = int(rows.persons[row])
            draw_face(shown, rows, row, self._display, mark=self._marks.get(number, Mark(number, LOST)))
        seconds = float(self._clock.at(np.array([frame - 1]))[0])
        return self._beside(shown, self.panel.draw(frame, seconds, rows))


def write_people_overlay(
    frames: Iterable[Array],
    csv: Path,
    out_path: Path,
    *,
    count: int | None = None,
    fps: float | None = None,
) -> int:
    """Draw a table of several people over the frames of its clip and write a WebM video; the number of its frames.

    Parameters
    ----------
    frames : (H, W, 3) uint8 BGR, all of the clip: those without a row, too.
    csv : the table.
    out_path : the video; it appears under this name only when it is whole.
    count : frames that were measured; None for all that the clip has.

    Raises
    ------
    AuparityError : the table cannot be read, or has rows of frames that the clip does not have.
    VariantUnavailable : OpenCV has no VP8 encoder here.
    """
    table, rate = read_result_table(csv), fps or ASSUMED_FPS
    numbers_of(table)  # checks the numbers of frames, too
    at = table.columns["frame"].astype(int) - 1
    order = np.argsort(at, kind="stable")
    last = int(at.max())

    def drawn() -> Iterator[Array]:
        overlay, frame = None, -1
        for frame, image in enumerate(frames):
            if frame == count:
                break
            if overlay is None:
                overlay = PeopleOverlay(table, (image.shape[1], image.shape[0]), fps=rate)
            own = order[slice(*np.searchsorted(at, [frame, frame + 1], sorter=order))]
            yield overlay.draw(image, frame + 1, table.rows(own))
        seen = frame if frame == count else frame + 1
        if seen <= last:
            raise AuparityError(
                f"{csv}: has rows of frame {last + 1}, but the clip gave {seen} frames; it is another clip's."
            )

    return write_video(drawn(), out_path, rate)


def _bgr(colour: str) -> Colour:
    """A CSS colour #rrggbb in OpenCV's order."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return blue, green, red
