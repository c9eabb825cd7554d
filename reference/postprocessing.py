"""Post-processing of a whole clip's AUs (spec 60.7, steps 2 to 5): each intensity gets the person's zero, the clamp to
0 to 5 and a moving average of 3 frames; each presence a majority vote of 7 frames. Raw predictions (T, 17) and (T, 18)
in time order with the success flags (T,) in, `OfflineAUs` out. Step 1, re-prediction with the final medians, is the
analyser's (`analysis`). Frames are neighbours by index; timestamps play no part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.action_units import clamp_intensity
from auparity.reference.contracts import check_array
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]

STAGE = "postprocessing"

INTENSITY_WINDOW = 3  # frames
PRESENCE_WINDOW = 7  # frames


def intensity_offsets(raw_intensity: F64, success: Bool, cutoffs: F64) -> F64:
    """What each AU (17,) reads on the neutral face: a quantile of its successful frames (spec 60.7 step 2).

    Parameters
    ----------
    raw_intensity : (T, 17). success : (T,) bool.
    cutoffs : (17,) quantiles from 0 to 1; NaN for an AU that is not calibrated, whose offset is 0.
    """
    ordered = np.sort(raw_intensity[success], axis=0)
    offsets = np.zeros(len(cutoffs))
    if len(ordered):
        for k in np.flatnonzero(~np.isnan(cutoffs)):
            offsets[k] = ordered[int(len(ordered) * cutoffs[k]), k]
    return offsets


def moving_average(series: F64, window: int) -> F64:
    """Centred moving average over the frames of (T, K), odd window; frames without a full window are unchanged."""
    smooth = series.copy()
    if len(series) < window:
        return smooth
    half = window // 2
    total = np.zeros((len(series) - 2 * half, *series.shape[1:]))
    for shift in range(window):
        total += series[shift : shift + len(total)]
    smooth[half : half + len(total)] = total / window
    return smooth


def postprocess(raw_intensity: Array, raw_presence: Array, success: Bool, cutoffs: F64 | None = None) -> OfflineAUs:
    """Calibrate, clamp and smooth the AUs of a clip (spec 60.7 steps 2 to 5).

    Parameters
    ----------
    raw_intensity : (T, 17) as re-predicted, not clamped; raw_presence : (T, 18), 0 or 1. T may be 0.
    success : (T,) bool, whether the AUs of the frame were computed.
    cutoffs : (17,) of `ActionUnitModels.cutoffs`; None when only static models are used (no calibration).

    Returns
    -------
    OfflineAUs : intensities 0 to 5, presences 0 or 1. A failed frame next to successful ones takes part in the moving
    average as 0 and is overwritten by it, so it can obtain values other than 0; so the C++ program.
    """
    frames = len(raw_intensity)
    success = np.asarray(success)
    if success.shape != (frames,) or success.dtype != np.bool_:
        raise ContractError(
            STAGE, "success", f"shape ({frames},), dtype bool", f"shape {success.shape}, dtype {success.dtype}"
        )
    if frames == 0:
        return OfflineAUs(np.zeros((0, len(INTENSITY_AUS))), np.zeros((0, len(PRESENCE_AUS))))
    check_array(STAGE, "raw_intensity", raw_intensity, ("T", len(INTENSITY_AUS)))
    check_array(STAGE, "raw_presence", raw_presence, (frames, len(PRESENCE_AUS)))
    raw = raw_intensity.astype(np.float64)
    offsets = np.zeros(len(INTENSITY_AUS)) if cutoffs is None else intensity_offsets(raw, success, cutoffs)
    intensity = np.where(success[:, None], clamp_intensity(raw - offsets), 0.0)
    presence = np.where(success[:, None], raw_presence, 0.0)
    votes = moving_average(presence, PRESENCE_WINDOW)
    half = PRESENCE_WINDOW // 2
    if frames >= PRESENCE_WINDOW:
        presence[half : frames - half] = votes[half : frames - half] >= 0.5
    return OfflineAUs(moving_average(intensity, INTENSITY_WINDOW), presence)
