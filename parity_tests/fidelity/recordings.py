"""Finds and reads the recordings of the C++ program: frames of clips, images, the official CSV files, the state of
every frame, and (frame_records.py) the records of every stage inside chosen frames. They are not part of the project:
they are in the folder that the environment variable AUPARITY_SHARED names, or in `<repository>/../shared`;
`require_shared` skips a test with the reason if there is neither. Images are (H, W, 3) uint8 B,G,R, points (n, 2) px.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from auparity.parity_tests.compare.arrays import ClipRun
from auparity.parity_tests.fidelity.frame_records import (
    AnalysisRecord,
    DetectionRecord,
    FaceRecord,
    FitRecord,
    FrameRecord,
    LandmarkDetection,
    ModelState,
    PyramidLevel,
    in_csv_order,
    points,
    read_record,
)
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

__all__ = [
    "AnalysisRecord", "ClipState", "DetectionRecord", "FaceRecord", "FitRecord", "FrameRecord", "LandmarkDetection",
    "ModelState", "PyramidLevel", "Table", "clip_frames", "clip_run", "image_paths", "load_csv", "load_frame",
    "load_image", "load_image_record", "load_record", "load_state", "read_record", "read_table", "recorded_frames",
    "require_shared", "shared_dir",
]  # fmt: skip

SHARED_VARIABLE = "AUPARITY_SHARED"
#: The CE-CLM recording with random experts was made on the frames of the clip in its name.
RANDOM_CEN_SUFFIX = "_random_cen"


def shared_dir() -> Path | None:
    """The folder with `golden/`, `clips/` and `openface/`; None if there is none.

    AUPARITY_SHARED has precedence; if it names no such folder, this is an error, and no other folder is tried.
    """
    named = os.environ.get(SHARED_VARIABLE)
    if named:
        folder = Path(named).resolve()
        if not (folder / "golden").is_dir():
            raise FileNotFoundError(f"{SHARED_VARIABLE} is {named!r}, which holds no folder 'golden'.")
        return folder
    folder = Path(__file__).resolve().parents[3] / "shared"
    return folder if (folder / "golden").is_dir() else None


def require_shared() -> Path:
    """The shared folder; skips the calling test (or module) with a reason if it is absent."""
    folder = shared_dir()
    if folder is None:
        import pytest

        pytest.skip(
            f"no recordings: neither ../shared beside the repository nor {SHARED_VARIABLE} exists",
            allow_module_level=True,
        )
    return folder


def clip_frames(clip: str) -> list[Path]:
    """The JPEG frames of a clip ("video01", "default", "lost", "hard", "video01_random_cen"), in time order."""
    folder = require_shared() / "clips" / clip.removesuffix(RANDOM_CEN_SUFFIX)
    frames = sorted(folder.glob("*.jpg"))
    if not frames:
        raise FileNotFoundError(f"no JPEG frames in {folder}")
    return frames


def image_paths() -> list[Path]:
    """The recorded images, sorted by name."""
    return clip_frames("images")


def _imread(path: Path) -> U8:
    import cv2

    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(f"{path} cannot be decoded as an image")
    return np.asarray(image, dtype=np.uint8)


def load_frame(clip: str, k: int) -> U8:
    """Frame k (from 0) of a clip, (H, W, 3) uint8 B,G,R."""
    return _imread(clip_frames(clip)[k])


def load_image(name: str) -> U8:
    """An image, e.g. "sample1.jpg", (H, W, 3) uint8 B,G,R."""
    return _imread(require_shared() / "clips" / "images" / name)


class Table(NamedTuple):
    """A CSV file: column names, and rows x columns float64 (NaN where a cell is not a number)."""

    header: list[str]
    values: F64

    def columns(self, *names: str) -> F64:
        """(rows, len(names)) of the named columns."""
        index = {name: i for i, name in enumerate(self.header)}
        return self.values[:, [index[name] for name in names]]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:  # the frame_name column holds text, or nothing
        return float("nan")


def read_table(path: Path) -> Table:
    """A CSV file, compressed by gzip if its name ends so; ValueError where rows are of different lengths."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"))))
    header = [name.strip() for name in rows[0]] if rows else []
    values = np.array([[_number(cell) for cell in row] for row in rows[1:]])
    return Table(header, values.reshape(len(rows[1:]), len(header)))


@lru_cache(maxsize=8)
def load_csv(clip: str, kind: Literal["online", "offline", "multi"]) -> Table:
    """The official CSV of a clip: "online" before the post-processing of AUs, "offline" after it; "multi" is that of
    the program for several faces (`several`), which processes nothing at the end."""
    return read_table(require_shared() / "golden" / clip / f"{kind}.csv.gz")


@dataclass(frozen=True, eq=False)
class ClipState:
    """Every frame of a clip in full precision (F frames)."""

    returned: npt.NDArray[np.bool_]  #: (F,) what the tracker returned: the CSV's `success`
    detection_success: npt.NDArray[np.bool_]  #: (F,) the model's own flag
    certainty: F32  #: (F,)
    likelihood: F32  #: (F,) model likelihood
    view: npt.NDArray[np.int32]  #: (F,) of the last scale of the last hypothesis run
    pglobal: F32  #: (F, 6)
    plocal: F32  #: (F, 34)
    landmarks: F32  #: (F, 68, 2) px
    au_r: F64  #: (F, 17) as predicted online, order of INTENSITY_AUS; 0 on failed frames
    au_c: F64  #: (F, 18) order of PRESENCE_AUS
    pose: F32  #: (F, 6) Tx Ty Tz mm, Rx Ry Rz rad
    gaze: F32  #: (F, 2, 3) left, right eye
    gaze_angles: F32  #: (F, 2) rad
    eye_pglobal: F32  #: (F, 2, 6)
    eye_plocal: F32  #: (F, 2, 10)
    eye_landmarks: F32  #: (F, 2, 28, 2) px


@lru_cache(maxsize=8)
def load_state(clip: str) -> ClipState:
    """`golden/<clip>/state.npz`, reshaped and with AUs in CSV order."""
    with np.load(require_shared() / "golden" / clip / "state.npz") as z:
        direct = ("returned", "detection_success", "certainty", "likelihood", "view", "pglobal", "plocal", "pose")
        return ClipState(
            **{name: z[name] for name in (*direct, "eye_pglobal", "eye_plocal")},
            landmarks=points(z["landmarks"]),
            au_r=in_csv_order(z["au_r"], list(z["au_r_names"]), INTENSITY_AUS),
            au_c=in_csv_order(z["au_c"], list(z["au_c_names"]), PRESENCE_AUS),
            gaze=z["gaze"][:, :6].reshape(-1, 2, 3),
            gaze_angles=z["gaze"][:, 6:],
            eye_landmarks=points(z["eye_landmarks"]),
        )


def clip_run(clip: str) -> ClipRun:
    """The C++ program's outputs for a clip, for `compare_clips`: online in full precision, offline as printed."""
    state, offline = load_state(clip), load_csv(clip, "offline")
    return ClipRun(
        returned=state.returned,
        landmarks=state.landmarks,
        au_r_online=state.au_r,
        au_r_offline=offline.columns(*(f"{name}_r" for name in INTENSITY_AUS)),
        au_c_online=state.au_c,
        au_c_offline=offline.columns(*(f"{name}_c" for name in PRESENCE_AUS)),
        pose=state.pose,
    )


def recorded_frames(clip: str) -> list[int]:
    """The frames (from 0) of a clip that have stage records."""
    folder = require_shared() / "golden" / clip / "frames"
    return sorted(int(path.stem.removeprefix("f")) for path in folder.glob("f*.npz"))


@lru_cache(maxsize=16)
def load_record(clip: str, k: int) -> FrameRecord:
    """The stage records of frame k (from 0) of a clip."""
    return read_record(require_shared() / "golden" / clip / "frames" / f"f{k:04d}.npz")


@lru_cache(maxsize=8)
def load_image_record(name: str) -> FrameRecord:
    """The stage records of an image, e.g. "sample1.jpg"."""
    return read_record(require_shared() / "golden" / "images" / f"{name}.npz")
