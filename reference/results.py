"""What the pipeline says of one face in one frame (spec 00, 70, 80), as the CSV writer and the tests read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

#: The 17 AUs with an intensity and the 18 with a presence, in CSV order (spec 60.6).
INTENSITY_AUS = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU45",
)  # fmt: skip
PRESENCE_AUS = (
    "AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12",
    "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU28", "AU45",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One face in one frame. Pixels for 2D, millimetres in camera space for 3D, radians for angles."""

    index: int  #: frame index from 0 (the CSV's `frame` is index + 1)
    #: 0 in videos of one face, the number of the slot in videos of several; index of the detected face in photographs
    face_id: int
    timestamp: float  #: seconds
    success: bool  #: what the tracker returned (CSV column `success`, spec 50.11)
    detection_success: bool  #: the model's own flag (spec 50.10); decides whether AUs are computed
    confidence: float  #: confidence of the landmark validator, 0 to 1
    landmarks: Array  #: (68, 2) px
    landmarks_3d: Array  #: (68, 3) mm
    params_global: Array  #: (6,) scale px/mm, rx, ry, rz rad, tx, ty px
    params_local: Array  #: (34,) mm
    pose: Array  #: (6,) Tx, Ty, Tz mm, Rx, Ry, Rz rad
    eye_landmarks: Array  #: (2, 28, 2) px: left eye, right eye; zeros without eye models
    eye_landmarks_3d: Array  #: (2, 28, 3) mm
    gaze: Array  #: (2, 3) unit vectors: left eye, right eye; zeros on failed frames
    gaze_angles: Array  #: (2,) rad
    au_intensity: Array  #: (17,) in the order of INTENSITY_AUS; of dynamic models as predicted online, not clamped
    au_presence: Array  #: (18,) in the order of PRESENCE_AUS, 0 or 1

    @property
    def aus(self) -> dict[str, float]:
        """Intensities by name: ``result.aus["AU12"]``."""
        return dict(zip(INTENSITY_AUS, map(float, self.au_intensity), strict=True))

    @property
    def presences(self) -> dict[str, bool]:
        """Presences by name."""
        return {name: bool(value) for name, value in zip(PRESENCE_AUS, self.au_presence, strict=True)}

    def __repr__(self) -> str:
        state = f"confidence {self.confidence:.2f}" if self.success else "no face"
        return f"<FrameResult {self.index} at {self.timestamp:.3f} s, face {self.face_id}: {state}>"


@dataclass(frozen=True, eq=False)
class OfflineAUs:
    """The AUs of a whole clip after re-prediction, calibration and smoothing (spec 60.7)."""

    intensity: Array  #: (T, 17), 0 to 5
    presence: Array  #: (T, 18), 0 or 1

    def __getitem__(self, name: str) -> Array:
        """Intensities (T,) of an AU by name: ``aus["AU12"]``."""
        if name not in INTENSITY_AUS:
            raise KeyError(f"{name!r} is none of {', '.join(INTENSITY_AUS)}")
        return self.intensity[:, INTENSITY_AUS.index(name)]

    def presence_of(self, name: str) -> Array:
        """Presences (T,) of an AU by name."""
        if name not in PRESENCE_AUS:
            raise KeyError(f"{name!r} is none of {', '.join(PRESENCE_AUS)}")
        return self.presence[:, PRESENCE_AUS.index(name)]

    def __repr__(self) -> str:
        return f"<OfflineAUs of {len(self.intensity)} frames: ['AU12'], presence_of('AU28')>"
