"""Draws the measurements of one face onto a picture: landmarks, eyes, box, head axes and gaze, with the truth.

A row of a `ResultTable` and a display scale in, marks on a (H, W, 3) uint8 BGR canvas out. Marks are drawn with
fractions of a pixel, because a landmark that is a third of a pixel off should not look like one that is right. The head
axes and the gaze are drawn in parallel projection with the scale of the fitted shape; nothing is computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.reports.clips.table import NOBODY, ResultTable

Array = npt.NDArray[Any]
Colour = tuple[int, int, int]

#: Blue, green, red. Teal and fuchsia stay apart for every kind of colour vision; the axes are also told by direction.
MEASURED: Colour = (191, 212, 45)
TRUTH: Colour = (249, 121, 232)
GAZE: Colour = (120, 232, 255)
AXIS_RIGHT: Colour = (113, 113, 248)
AXIS_UP: Colour = (128, 222, 74)
AXIS_FORWARD: Colour = (250, 165, 96)
LOST: Colour = (150, 150, 150)
SHADE: Colour = (20, 20, 20)

#: Curves through the 68 landmarks: first, past the last, closed.
CURVES = (
    (0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False), (36, 42, True), (42, 48, True),
    (48, 60, True), (60, 68, True),
)  # fmt: skip
#: The same for the 28 landmarks of an eye: rim of the iris, lids.
EYE_CURVES = ((0, 8, True), (8, 20, True))
IRIS_POINTS = 8
NOSE_TIP = 30
AXIS_LENGTH, GAZE_LENGTH = 55.0, 45.0  # mm
#: Eyes narrower than this on the canvas (px) have no room for 28 marks: their curves are left out.
SMALLEST_EYE = 14.0

_SHIFT = 4  # fractional bits of coordinates
_ONE = 1 << _SHIFT
#: The corners of a regular polygon that passes for a circle.
_CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)
#: Radius of dots as a share of the face's smaller side, and the sides (px) beyond which dots do not shrink or grow.
_DOT_SHARE, _DOT_FACES = 0.009, (110.0, 420.0)
#: Faces from this side on (px) have lines twice as wide.
_LARGE_FACE = 340.0
#: Font scale of a number as a share of the face's smaller side, and the sides (px) beyond which it stays as it is.
_TAG_SHARE, _TAG_FACES = 0.0065, (80.0, 200.0)
#: Opacity of curves, through which the picture is seen.
_CURVE_OPACITY = 0.55


@dataclass(frozen=True)
class Display:
    """How a picture is shown: magnified by `scale`."""

    scale: float

    def points(self, points: Array) -> Array:
        """Points (..., 2) of the picture on the canvas; centres of pixels stay centres (pixel 0 spans -0.5 to 0.5)."""
        return (np.asarray(points, np.float64) + 0.5) * self.scale - 0.5


@dataclass(frozen=True)
class Mark:
    """How a face is told from the other faces of a picture."""

    number: int
    colour: Colour

    @property
    def text(self) -> str:
        return "?" if self.number == NOBODY else str(self.number)


def draw_face(
    canvas: Array, table: ResultTable, row: int, display: Display, truth: Array | None = None, mark: Mark | None = None
) -> None:
    """Draw the face of one row onto a canvas that shows the picture at `display.scale`; in place.

    Parameters
    ----------
    canvas : (H, W, 3) uint8 BGR.
    truth : (68, 2) true landmarks in px of the picture, drawn as rings into which the dots should fall.
    mark : of several people, whose face it is: its number stands above the box, which has its colour.
    """
    landmarks, tracked = table.landmarks, bool(table.success[row])
    assert landmarks is not None  # read_result_table asks for them
    colour = LOST if not tracked else MEASURED if mark is None else mark.colour
    points = display.points(landmarks[row])
    side = float(np.ptp(points, axis=0).min())
    radius, line = _DOT_SHARE * float(np.clip(side, *_DOT_FACES)), 1 if side < _LARGE_FACE else 2
    if truth is not None:
        for point in display.points(truth):
            _ring(canvas, point, radius + 2 * line, TRUTH, line)
    eyes = None if table.eye_landmarks is None else display.points(table.eye_landmarks[row])
    _draw_curves(canvas, points, eyes, colour, line)
    for point in points:
        _dot(canvas, point, radius, colour)
    if mark is not None:
        _tag(canvas, points, mark.text, colour)
    if not tracked:
        return
    _corners(canvas, points, colour, line)
    _draw_axes(canvas, table, row, points[NOSE_TIP], display, line)
    if eyes is not None:
        _draw_gaze(canvas, table, row, eyes, display, line)


def _draw_curves(canvas: Array, points: Array, eyes: Array | None, colour: Colour, line: int) -> None:
    veil = canvas.copy()
    for first, last, closed in CURVES:
        # If the detailed eyes below are known, they are drawn instead of the coarse ones.
        if eyes is None or first not in (36, 42):
            _curve(veil, points[first:last], closed, colour, line)
    for eye in eyes if eyes is not None else ():
        if np.ptp(eye[8:20, 0]) >= SMALLEST_EYE:
            for first, last, closed in EYE_CURVES:
                _curve(veil, eye[first:last], closed, GAZE if first == 0 else colour, line)
    cv2.addWeighted(veil, _CURVE_OPACITY, canvas, 1 - _CURVE_OPACITY, 0, dst=canvas)


def _draw_axes(canvas: Array, table: ResultTable, row: int, origin: Array, display: Display, line: int) -> None:
    """The head's right-hand (of the picture), upward and forward directions, the one that points away first."""
    params = table.params_global
    if params is None or params[row, 0] <= 0:
        return
    rotation = rotation_matrix(params[row, 1:4] if table.pose is None else table.pose[row, 3:])
    length = AXIS_LENGTH * params[row, 0] * display.scale
    axes = [(rotation[:, 0], AXIS_RIGHT), (-rotation[:, 1], AXIS_UP), (-rotation[:, 2], AXIS_FORWARD)]
    for axis, colour in sorted(axes, key=lambda item: -item[0][2]):
        _arrow(canvas, origin, origin + length * axis[:2], colour, 2 * line)


def _draw_gaze(canvas: Array, table: ResultTable, row: int, eyes: Array, display: Display, line: int) -> None:
    gaze, params = table.gaze, table.params_global
    if gaze is None or params is None or not gaze[row].any():
        return
    length = GAZE_LENGTH * params[row, 0] * display.scale
    for eye, direction in zip(eyes, gaze[row], strict=True):
        pupil = eye[:IRIS_POINTS].mean(axis=0)
        _arrow(canvas, pupil, pupil + length * direction[:2], GAZE, 2 * line)


def rotation_matrix(euler: Array) -> Array:
    """(..., 3, 3) = Rx Ry Rz of Euler angles (..., 3) rad (spec 30.1)."""
    x, y, z = (np.zeros((*euler.shape[:-1], 3, 3)) for _ in range(3))
    for turn, axis, (a, b) in zip((x, y, z), range(3), ((1, 2), (2, 0), (0, 1)), strict=True):
        cosine, sine = np.cos(euler[..., axis]), np.sin(euler[..., axis])
        turn[..., axis, axis] = 1
        turn[..., a, a] = turn[..., b, b] = cosine
        turn[..., a, b], turn[..., b, a] = -sine, sine
    rotation: Array = x @ y @ z
    return rotation


def _fixed(point: Sequence[float] | Array) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates, kept within their range."""
    x, y = _fixed_path(np.asarray(point)).tolist()
    return x, y


def _fixed_path(points: Array) -> Array:
    """The same of points (..., 2), int32."""
    return np.clip(np.rint(points * _ONE), -(2**24), 2**24).astype(np.int32)


def _dot(canvas: Array, point: Array, radius: float, colour: Colour) -> None:
    _disc(canvas, point, radius + 1, SHADE)
    _disc(canvas, point, radius, colour)


def _disc(canvas: Array, point: Array, radius: float, colour: Colour) -> None:
    """A disc about a point; OpenCV's own small circles come out as diamonds."""
    cv2.fillConvexPoly(canvas, _fixed_path(point + radius * _CIRCLE), colour, cv2.LINE_AA, _SHIFT)


def _ring(canvas: Array, point: Array, radius: float, colour: Colour, width: int) -> None:
    _curve(canvas, point + radius * _CIRCLE, True, colour, width)


def _curve(canvas: Array, points: Array, closed: bool, colour: Colour, width: int) -> None:
    cv2.polylines(canvas, [_fixed_path(points)], closed, colour, width, cv2.LINE_AA, _SHIFT)


def _arrow(canvas: Array, start: Array, end: Array, colour: Colour, width: int) -> None:
    """An arrow with a dark edge; its head has the same size whatever its length, and shrinks to nothing with it."""
    length = float(np.linalg.norm(end - start))
    if length < 1:
        return
    along = (end - start) / length
    head = min(5.0 * width, 0.5 * length)
    across = np.array([-along[1], along[0]]) * head * 0.45
    tip = np.array([_fixed(end), _fixed(end - along * head + across), _fixed(end - along * head - across)], np.int32)
    neck = _fixed(end - along * head * 0.8)
    for ink, extra in ((SHADE, 2), (colour, 0)):
        cv2.line(canvas, _fixed(start), neck, ink, width + extra, cv2.LINE_AA, _SHIFT)
        if extra:
            cv2.polylines(canvas, [tip], True, ink, extra, cv2.LINE_AA, _SHIFT)
        else:
            cv2.fillPoly(canvas, [tip], ink, cv2.LINE_AA, _SHIFT)


def _corners(canvas: Array, points: Array, colour: Colour, line: int) -> None:
    """The corners of the box tight around the landmarks: the whole box would hide too much of the face."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin, arm = 4.0 * line, 0.12 * float((high - low).min())
    low, high = low - margin, high + margin
    for x, step_x in ((low[0], arm), (high[0], -arm)):
        for y, step_y in ((low[1], arm), (high[1], -arm)):
            path = np.array([_fixed((x + step_x, y)), _fixed((x, y)), _fixed((x, y + step_y))], np.int32)
            cv2.polylines(canvas, [path], False, colour, 2 * line, cv2.LINE_AA, _SHIFT)


def _tag(canvas: Array, points: Array, text: str, colour: Colour) -> None:
    """Text on a plate above the left end of the face, kept inside the picture."""
    side = float(np.clip(np.ptp(points, axis=0).min(), *_TAG_FACES))
    scale = side * _TAG_SHARE
    thickness = max(1, round(2 * scale))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    pad = round(0.4 * height)
    plate = np.array([max(width, height) + 2 * pad, height + 2 * pad])
    low = points.min(axis=0) - [4, plate[1] + 8]
    x, y = np.clip(np.rint(low), 0, np.maximum([canvas.shape[1], canvas.shape[0]] - plate, 0)).astype(int).tolist()
    cv2.rectangle(canvas, (x, y), (x + int(plate[0]) - 1, y + int(plate[1]) - 1), colour, -1)
    start = x + (int(plate[0]) - width) // 2, y + pad + height
    cv2.putText(canvas, text, start, cv2.FONT_HERSHEY_SIMPLEX, scale, SHADE, thickness, cv2.LINE_AA)
