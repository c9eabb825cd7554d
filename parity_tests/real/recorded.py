"""Recordings of OpenFace on clips and photographs: its own tables, and the pictures that they are of.

In a folder, for each clip NAME:

- ``clips/NAME/`` with the frames, and ``golden/NAME/offline.csv`` or ``.csv.gz``, the table of FeatureExtraction, or
- ``golden/NAME/multi.csv`` or ``.csv.gz``, the table of FaceLandmarkVidMulti, where several people are in the clip;

and photographs in ``clips/images/`` with a record ``golden/images/FILE.npz`` of each (`frame_records.py`). Landmarks
are in px, in tables with one decimal; angles in rad, intensities 0 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import FileFormatError
from auparity.media import images_in
from auparity.parity_tests.fidelity.frame_records import read_record
from auparity.parity_tests.fidelity.recordings import Table, read_table
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

Array = npt.NDArray[Any]

IMAGES = "images"
TABLES = ("offline.csv.gz", "offline.csv")
SEVERAL_TABLES = ("multi.csv.gz", "multi.csv")
ROTATIONS, GAZE_ANGLES = ("pose_Rx", "pose_Ry", "pose_Rz"), ("gaze_angle_x", "gaze_angle_y")


@dataclass(frozen=True, eq=False)
class RecordedClip:
    """A clip of one face: F frames as FeatureExtraction measured them, AUs after post-processing."""

    name: str
    frames: tuple[Path, ...]
    tracked: Array  #: (F,) bool: the table's `success`
    landmarks: Array  #: (F, 68, 2) px
    rotation: Array  #: (F, 3) rad: pitch, yaw, roll
    gaze_angles: Array  #: (F, 2) rad
    au_intensity: Array  #: (F, 17) in the order of INTENSITY_AUS
    au_presence: Array  #: (F, 18) in the order of PRESENCE_AUS


@dataclass(frozen=True, eq=False)
class RecordedFaces:
    """Pictures with any number of faces: photographs, or the frames of a clip of several people. R faces in all, AUs of
    the static models."""

    name: str
    kind: Literal["photographs", "clip of several"]
    frames: tuple[Path, ...]
    picture: Array  #: (R,) which picture a face is in
    landmarks: Array  #: (R, 68, 2) px
    au_intensity: Array  #: (R, 17)


Recorded = RecordedClip | RecordedFaces


def find_recordings(folder: Path) -> dict[str, Recorded]:
    """All recordings of a folder by name: clips of one face, clips of several, photographs.

    Raises
    ------
    FileFormatError : a table or a record is damaged, or does not belong to the pictures.
    """
    names = sorted(path.name for path in (folder / "golden").iterdir() if (folder / "clips" / path.name).is_dir())
    clips: dict[str, Recorded] = {}
    several: dict[str, Recorded] = {}
    for name in names:
        frames = tuple(images_in(folder / "clips" / name))
        if table := _first(folder / "golden" / name, TABLES):
            clips[name] = _clip(name, frames, table)
        elif table := _first(folder / "golden" / name, SEVERAL_TABLES):
            several[name] = _several(name, frames, table)
    photographs = _photographs(folder) if IMAGES in names else None
    return clips | several | ({IMAGES: photographs} if photographs else {})


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _clip(name: str, frames: tuple[Path, ...], path: Path) -> RecordedClip:
    table = _table(path)
    if len(table.values) != len(frames):
        raise FileFormatError(path, "", f"a row for each of the {len(frames)} frames", f"{len(table.values)} rows")
    return RecordedClip(
        name=name,
        frames=frames,
        tracked=_columns(path, table, ["success"])[:, 0] == 1,
        landmarks=_landmarks(path, table),
        rotation=_columns(path, table, ROTATIONS),
        gaze_angles=_columns(path, table, GAZE_ANGLES),
        au_intensity=_columns(path, table, [f"{name}_r" for name in INTENSITY_AUS]),
        au_presence=_columns(path, table, [f"{name}_c" for name in PRESENCE_AUS]),
    )


def _several(name: str, frames: tuple[Path, ...], path: Path) -> RecordedFaces:
    table = _table(path)
    frame, success = _columns(path, table, ["frame", "success"]).T
    if len(frame) and not (frame.min() >= 1 and frame.max() <= len(frames)):
        raise FileFormatError(path, "frame", f"numbers from 1 to {len(frames)}", f"{frame.min():g} to {frame.max():g}")
    good = success == 1
    intensities = _columns(path, table, [f"{name}_r" for name in INTENSITY_AUS])
    landmarks = _landmarks(path, table)
    picture = frame.astype(np.int64) - 1
    return RecordedFaces(name, "clip of several", frames, picture[good], landmarks[good], intensities[good])


def _photographs(folder: Path) -> RecordedFaces | None:
    """The photographs that have a record; None where there is none."""
    paths: list[Path] = []
    picture, landmarks, intensities = [], [], []
    for path in images_in(folder / "clips" / IMAGES):
        record = folder / "golden" / IMAGES / f"{path.name}.npz"
        if not record.is_file():
            continue
        try:
            faces = read_record(record).faces
        except Exception as error:  # bytes from outside: NumPy and `zipfile` promise no type of error
            raise FileFormatError(record, "", "a record of a photograph", f"{type(error).__name__}: {error}") from error
        for face in faces:
            if face.success:
                picture.append(len(paths))
                landmarks.append(face.landmarks)
                intensities.append(face.au_r)
        paths.append(path)
    if not paths:
        return None
    return RecordedFaces(
        IMAGES, "photographs", tuple(paths), np.array(picture, np.int64),
        np.array(landmarks, np.float64).reshape(-1, 68, 2), np.array(intensities, np.float64).reshape(-1, 17),
    )  # fmt: skip


def _table(path: Path) -> Table:
    try:
        return read_table(path)
    except (OSError, EOFError, ValueError) as error:
        raise FileFormatError(path, "", "a table of OpenFace", f"{type(error).__name__}: {error}") from error


def _columns(path: Path, table: Table, names: Any) -> Array:
    missing = [name for name in names if name not in table.header]
    if missing:
        advice = "Record the clip with all groups of columns."
        raise FileFormatError(path, "", f"a column {missing[0]!r}", f"{len(table.header)} others", advice)
    return table.columns(*names)


def _landmarks(path: Path, table: Table) -> Array:
    return np.stack([_columns(path, table, [f"{axis}_{i}" for i in range(68)]) for axis in "xy"], axis=-1)
