"""CalcParams: the pose and shape that explain given 2D landmarks (spec 30.7), a regularised Gauss-Newton fit.

Used to start the part models, to bring the main model back to what its parts found, and by the AU analyser.
Landmarks (N, n, 2) px in; global parameters (N, 6) and local parameters (N, m) out. A landmark whose x is exactly 0 is
left out: that is how OpenFace says "not given".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import ShapeModel, bounding_box
from auparity.reference.sums import norm

Array = npt.NDArray[Any]

MAX_ITERATIONS = 1000
STEP = 0.75  # damping of every Gauss-Newton step
ENOUGH = 0.999  # an error above this fraction of the last one counts as "not improved"
PATIENCE = 3  # stop at the third "not improved"; the counter never resets


def fit_shape(model: ShapeModel, landmarks: Array) -> tuple[Array, Array]:
    """Fit global (N, 6) and local (N, m) parameters to landmarks (N, n, 2), each face by itself (spec 30.7).

    Raises
    ------
    ContractError : wrong shape, NaN or infinite landmarks, or a face with no landmark given (all x are 0).
    """
    check_array("fit_shape", "landmarks", landmarks, ("N", model.n_points, 2))
    fits = [_fit_one(model, face) for face in landmarks]
    return np.stack([g for g, _ in fits]), np.stack([p for _, p in fits])


def _fit_one(full_model: ShapeModel, landmarks: Array) -> tuple[Array, Array]:
    numerics = full_model.numerics
    given = landmarks[:, 0] != 0
    if not given.any():
        raise ContractError("fit_shape", "landmarks", "at least one landmark with x != 0", "all x are 0")
    model = full_model if given.all() else full_model.subset(given)
    target = numerics.cast(landmarks[given])
    g, p = _start(model, target)
    shape = model.shape_3d(p)
    error = float(numerics.dtype(norm(model.project(g, shape) - target)))
    prior = np.concatenate([np.zeros(6, numerics.dtype), 1 / model.eigenvalues])
    not_improved = 0
    for _ in range(MAX_ITERATIONS):
        shape = model.shape_3d(p)
        residual = (target - model.project(g, shape)).T.reshape(-1)  # x of all points, then y
        jacobian = model.jacobian(g, shape)
        right = numerics.matmul_f64(jacobian.T, residual)
        right[6:] -= prior[6:] * p
        hessian = numerics.matmul(jacobian.T, jacobian) + np.diag(prior)
        delta = numerics.dtype(STEP) * numerics.solve_spd(hessian, right)
        g, p = model.update(g, p, delta)
        # The new pose is tried on the shape of before the update, as the C++ program does: it decides when to stop.
        new_error = float(numerics.dtype(norm(model.project(g, shape) - target)))
        if ENOUGH * error < new_error:
            not_improved += 1
            if not_improved == PATIENCE:
                break
        error = new_error
    return g, p


def _start(model: ShapeModel, target: Array) -> tuple[Array, Array]:
    """Upright mean shape at the scale and centre of the landmarks' box."""
    cast = model.numerics.cast
    x_min, y_min, x_max, y_max = bounding_box(target)
    upright = model.mean.reshape(3, -1).T
    mx_min, my_min, mx_max, my_max = bounding_box(upright[:, :2])
    scale = ((x_max - x_min) / (mx_max - mx_min) + (y_max - y_min) / (my_max - my_min)) / 2
    g = cast([scale, 0, 0, 0, (x_min + x_max) / 2, (y_min + y_max) / 2])
    return g, np.zeros(model.n_modes, model.numerics.dtype)


#: What is built: landmarks (N, n, 2) px to parameters (N, 6), (N, m).
ShapeFitter = Callable[[Array], tuple[Array, Array]]


def build(pdm: PDM, *, numerics: Numerics = FLOAT32) -> ShapeFitter:
    """Stage `fit_shape`."""
    return partial(fit_shape, ShapeModel(pdm, numerics))
