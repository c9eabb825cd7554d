"""What the scripts of a clip's page draw: the frames, and for each person the measurements, landmarks and charts.

Tables in, a JSON document and packed arrays out (see `packing`). Frames stand on one grid: the frames in which anybody
has a row, and those before and after every gap. Measurements are rounded as OpenFace's tables are; landmarks to a
quarter of a pixel, and of long clips only those of every n-th frame, between which the page interpolates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.figures import TruthFigures
from auparity.reports.clips.overlay_face import AXIS_LENGTH, GAZE_LENGTH, IRIS_POINTS, NOSE_TIP, rotation_matrix
from auparity.reports.clips.packing import Packed, Packer
from auparity.reports.clips.table import ResultTable
from auparity.reports.page_text import number, percent
from auparity.reports.truth.targets import targets

Array = npt.NDArray[Any]

#: Faces of a page that are drawn from landmarks of their own; of more, every n-th frame's landmarks are kept.
MOST_FACES = 12_000
#: Landmarks are rounded to this many px, or to this share of the face's side where that is more.
LANDMARK_STEP, LANDMARK_SHARE = 0.25, 1 / 800
DEGREE = np.degrees(0.001)  #: tables have angles in thousandths of a radian
#: Charts of angles: channel, name, what it says, columns.
ANGLES = (
    ("pitch", "Pitch", "head up and down", "pose_Rx"),
    ("yaw", "Yaw", "head left and right", "pose_Ry"),
    ("roll", "Roll", "head to the shoulder", "pose_Rz"),
    ("gaze_x", "Gaze across", "left and right", "gaze_angle_x"),
    ("gaze_y", "Gaze down", "up and down", "gaze_angle_y"),
)
_HEAD = 3  # of these are of the head


@dataclass(frozen=True, eq=False)
class Subject:
    """A face whose measurements a page shows."""

    number: int | None  #: None for the only one
    name: str
    colours: tuple[str, str]  #: of marks and of lines on white, as CSS
    table: ResultTable  #: own rows, in order of time
    places: Array  #: (rows,) on the grid
    truth: ResultTable | None = None
    figures: TruthFigures | None = None


def clip_data(
    name: str, subjects: Sequence[Subject], frames: Array, seconds: Array, size: tuple[int, int] | None
) -> tuple[dict[str, Any], str]:
    """The document of a page, ready for JSON, and its arrays as text.

    Parameters
    ----------
    frames : (G,) numbers of the grid's frames, from 1.
    seconds : (G,) their times.
    name : of the clip, by which files that the page saves are called.
    size : width and height of the pictures in px; None for one that holds all landmarks.
    """
    packer = Packer()
    every = max(1, -(-sum(len(subject.table) for subject in subjects) // MOST_FACES))
    document = {
        "frames": packer.add(frames, 1),
        "seconds": packer.add(seconds, 0.001),
        "name": name,
        "size": size or _extent(subjects),
        "people": [_person(packer, subject, every) for subject in subjects],
        "charts": _charts(subjects),
        "full": FULL_INTENSITY,
    }
    return document, packer.text()


def _extent(subjects: Sequence[Subject]) -> tuple[int, int]:
    """A size in px that holds all landmarks."""
    tables = [subject.table.columns for subject in subjects]
    sides = [
        max(
            (float(columns[f"{axis}_{k}"].max()) for columns in tables for k in range(68) if f"{axis}_{k}" in columns),
            default=0,
        )
        for axis in "xy"
    ]
    width, height = (max(round(1.05 * side), 1) for side in sides)
    return (width, height) if max(sides) > 0 else (4, 3)


def _person(packer: Packer, subject: Subject, every: int) -> dict[str, Any]:
    start = int(subject.places[0])
    count = int(subject.places[-1]) + 1 - start
    # A frame without a row repeats the row before it, which costs nothing; its state says that there is none.
    row = np.zeros(count, int)
    row[subject.places - start] = np.arange(len(subject.places))
    row = np.maximum.accumulate(row)
    there = np.zeros(count, int)
    there[subject.places - start] = 1
    state = there * (1 + subject.table.success[row])
    channels = {"state": packer.add(state, 1)}
    channels |= {
        name: packer.add(values[row], step) for name, (values, step) in _channels(subject.table, subject).items()
    }
    kept = row[::every]
    points, layout = _points(subject.table.rows(kept))
    side = np.median(np.ptp(points[:, :136].reshape(-1, 68, 2), axis=1).min(axis=1)) if layout else 0
    step = max(LANDMARK_STEP, float(np.round(side * LANDMARK_SHARE, 3)))
    return {
        "number": subject.number,
        "name": subject.name,
        "colours": subject.colours,
        "start": start,
        "count": count,
        "channels": channels,
        "notes": _notes(subject),
        "points": {
            "every": every, "layout": layout, "values": packer.add(points, step) if layout else None,
            "truth": _true_points(packer, subject, kept, step),
        },
    }  # fmt: skip


def _channels(table: ResultTable, subject: Subject) -> dict[str, tuple[Array, float]]:
    """Values (rows,) and their steps by name."""
    found: dict[str, tuple[Array, float]] = {}
    if "confidence" in table.columns:
        found["confidence"] = table.columns["confidence"], 0.01
    found |= {f"{name}_r": (values, 0.01) for name, values in table.aus("r").items()}
    found |= {f"{name}_c": (values >= 0.5, 1) for name, values in table.aus("c").items()}
    found |= _angles(table, "")
    if subject.figures is not None:
        found["error"] = 100 * np.nan_to_num(subject.figures.landmark_errors), 0.01
    if subject.truth is not None:
        found |= {f"true.{name}_r": (values, 0.01) for name, values in subject.truth.aus("r").items()}
        found |= _angles(subject.truth, "true.")
    return found


def _angles(table: ResultTable, prefix: str) -> dict[str, tuple[Array, float]]:
    there = [(name, column) for name, _, _, column in ANGLES if column in table.columns]
    return {prefix + name: (np.degrees(table.columns[column]), DEGREE) for name, column in there}


def _points(table: ResultTable) -> tuple[Array, dict[str, list[int]]]:
    """(rows, 2 P) px: landmarks, eyes, ends of the head's axes and of the gaze; first and past the last point by name.

    The axes go from the tip of the nose to the right of the picture, upwards and forwards, in parallel projection with
    the scale of the fitted shape; the gaze from the pupils.
    """
    landmarks, eyes, params = table.landmarks, table.eye_landmarks, table.params_global
    if landmarks is None:
        return np.zeros((len(table), 0)), {}
    parts, layout = [landmarks], {"face": [0, 68]}
    if eyes is not None:
        parts.append(eyes.reshape(len(table), -1, 2))
        layout["eyes"] = [68, 124]
    if params is not None:
        scale = np.maximum(params[:, :1, None], 0)
        rotation = rotation_matrix(params[:, 1:4] if table.pose is None else table.pose[:, 3:])
        axes = np.stack([rotation[:, :2, 0], -rotation[:, :2, 1], -rotation[:, :2, 2]], axis=1)
        first = sum(part.shape[1] for part in parts)
        parts.append(landmarks[:, NOSE_TIP : NOSE_TIP + 1] + AXIS_LENGTH * scale * axes)
        layout["axes"] = [first, first + 3]
        if eyes is not None and table.gaze is not None:
            pupils = eyes[:, :, :IRIS_POINTS].mean(axis=2)
            parts.append(pupils + GAZE_LENGTH * scale * table.gaze[:, :, :2])
            layout["gaze"] = [first + 3, first + 5]
    return np.concatenate(parts, axis=1).reshape(len(table), -1), layout


def _true_points(packer: Packer, subject: Subject, kept: Array, step: float) -> Packed | None:
    landmarks = None if subject.truth is None else subject.truth.landmarks
    return None if landmarks is None else packer.add(landmarks[kept].reshape(len(kept), -1), step)


def _charts(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """What each chart shows: everything that any of the tables has a column for."""
    columns = dict.fromkeys(name for subject in subjects for name in _channels(subject.table, subject))
    aus = dict.fromkeys(name[:-2] for name in columns if name.startswith("AU"))
    charts: list[dict[str, Any]] = [
        {
            "channel": f"{name}_r" if f"{name}_r" in columns else None,
            "strip": f"{name}_c" if f"{name}_c" in columns else None,
            "name": name, "title": ACTION_UNITS.get(name, ""), "kind": "au", "unit": "intensity", "decimals": 2,
        }
        for name in sorted(aus)
    ]  # fmt: skip
    charts += [
        {
            "channel": channel, "strip": None, "name": name, "title": title,
            "kind": "head" if k < _HEAD else "gaze", "unit": "degrees", "decimals": 1,
        }
        for k, (channel, name, title, _) in enumerate(ANGLES)
        if channel in columns
    ]  # fmt: skip
    if "error" in columns:
        limit = 100 * targets()["landmark_error"].limit
        charts.append({
            "channel": "error", "strip": None, "name": "Landmark error",
            "title": "mean of 68, of the inter-ocular distance", "kind": "error", "unit": "percent", "decimals": 2,
            "limit": limit,
        })  # fmt: skip
    for chart in charts:
        chart["truth"] = f"true.{chart['channel']}" if f"true.{chart['channel']}" in columns else None
    return charts


def _notes(subject: Subject) -> dict[str, str]:
    """What each chart's heading says of this face, by the chart's name."""
    table, figures, good = subject.table, subject.figures, subject.table.success
    presence = table.aus("c")
    notes = {}
    for name, values in table.aus("r").items():
        compared = None if figures is None else figures.intensities.get(name)
        notes[name] = f"largest {values[good].max():.1f}" if good.any() else "no face"
        if compared is not None:
            notes[name] = f"r {number(compared.r)}, MAE {number(compared.mae)}"
    for name, values in presence.items():
        share = f"present in {percent(float((values[good] >= 0.5).mean()))}" if good.any() else "no face"
        notes[name] = share if name not in notes else f"{notes[name]}, {share}" if good.any() else "no face"
    if figures is not None and figures.axis_errors is not None:
        for (_, name, _, _), error in zip(ANGLES, figures.axis_errors, strict=False):
            notes[name] = f"off by {error:.1f}\N{DEGREE SIGN} on average"
    if figures is not None:
        landmarks = figures.landmarks
        notes["Landmark error"] = ", ".join(
            f"{name} {percent(value)}"
            for name, value in (
                ("mean", landmarks.mean),
                ("median", landmarks.median),
                ("95th percentile", landmarks.p95),
            )
        )
    return notes
