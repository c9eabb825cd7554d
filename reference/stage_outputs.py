"""The result of each stage as named arrays, by which the parity suite compares, judges and reports it.

The names are those of `parity_tests/tolerances.toml`. What a comparison makes of an array (the worst pixel of a map,
the share of values that may differ) is the suite's business, not the stage's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.detection import Detections
from auparity.reference.fitting import Fit
from auparity.reference.networks.retinaface import RawFaces
from auparity.reference.patch_experts import ResponseMaps
from auparity.reference.pdm import rotation_from_euler

Array = npt.NDArray[Any]
Outputs = Callable[[Any], dict[str, Array]]


def one_array(name: str) -> Outputs:
    """Of a stage that gives a single array."""
    return lambda result: {name: np.asarray(result)}


def of_maps(maps: ResponseMaps) -> dict[str, Array]:
    """Maps (V, w, w) of the landmarks that are visible, and what was decided before they were computed."""
    return {
        "similarity": np.stack([maps.img_to_ref, maps.ref_to_img]),
        "decisions": np.column_stack([maps.visible, maps.view]),
        "response_maps": maps.maps[maps.visible],
    }


def of_fits(fits: Sequence[Fit]) -> dict[str, Array]:
    """Landmarks (N, n, 2) px; likelihoods (N,), 0 where a fit computed none."""
    return {
        "fit_landmarks": np.stack([fit.landmarks for fit in fits]),
        "fit_likelihood": np.array([0.0 if fit.likelihood is None else fit.likelihood for fit in fits]),
        "decisions": np.array([[fit.view, fit.success, fit.likelihood is None] for fit in fits], float),
    }


def pose_entries(params_global: Array) -> Array:
    """Global parameters (6,) as scale, rotation matrix and translation (12,).

    Hypotheses look up to 90 degrees aside, where Euler angles are degenerate: there one ulp of the rotation is 1e-4 rad
    of two angles that cancel.
    """
    rotation = rotation_from_euler(params_global[1:4])
    return np.concatenate([params_global[:1], rotation.ravel(), params_global[4:]])


def of_shape(parameters: tuple[Array, Array]) -> dict[str, Array]:
    """Poses (N, 12), see `pose_entries`, and local parameters (N, m)."""
    rows = [pose_entries(row) for row in np.asarray(parameters[0], np.float32)]
    return {"fit_shape_global": np.stack(rows), "fit_shape_local": parameters[1]}


def of_detections(detections: Detections) -> dict[str, Array]:
    return {"detection_boxes": detections.boxes, "detection_scores": detections.scores}


def of_action_units(values: tuple[Array, Array]) -> dict[str, Array]:
    return {"action_units": values[0], "action_units_presence": values[1]}


def of_gaze(directions_and_angles: tuple[Array, Array]) -> dict[str, Array]:
    return {"gaze": np.concatenate([np.ravel(array) for array in directions_and_angles])}


def of_raw_faces(raw: RawFaces) -> dict[str, Array]:
    """Of every anchor: what is said of box and points, and the probability of a face."""
    return {
        "network_boxes": np.concatenate([raw.boxes, raw.points], axis=-1),
        "network_faces": raw.faces,
    }


def of_points(points: Array) -> dict[str, Array]:
    """Points (N, P, 2) in units of the crop."""
    return {"network_points": points}
