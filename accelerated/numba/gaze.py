"""Gaze (spec 70.4, 70.5): eyes and head to unit vectors (N, 2, 3) and angles (N, 2), one kernel in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import batch_of, check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.linear import rotation_from_euler
from auparity.accelerated.numba.pdm import as_kernels_take
from auparity.reference import gaze as reference

Array = npt.NDArray[Any]

STAGE = "gaze"
OFFSET = np.array(reference.CORNERS_TO_CENTRE, np.float32)
CORNERS = np.array(reference.EYE_CORNERS, np.int64)
RADIUS2 = np.float32(reference.EYEBALL_RADIUS**2)
IRIS_POINTS = reference.IRIS_POINTS


@kernel
def _dot(a: Array, b: Array) -> np.float32:
    return (a[0] * b[0] + a[1] * b[1]) + a[2] * b[2]


@kernel
def _unit(vector: Array) -> None:
    length = np.float32(math.sqrt(_dot(vector, vector)))
    for k in range(3):
        vector[k] /= length


@kernel
def _gaze(faces: Array, eyes: Array, euler: Array, offset_in_head: Array, corners: Array) -> tuple[Array, Array]:
    count = faces.shape[0]
    gaze, angles = np.zeros((count, 2, 3), np.float32), np.zeros((count, 2), np.float32)
    ray, centre, direction = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    two, four = np.float32(2), np.float32(4)
    for n in range(count):
        r = rotation_from_euler(euler[n, 0], euler[n, 1], euler[n, 2])
        for eye in range(2):
            for k in range(3):
                total = np.float32(0)
                for i in range(IRIS_POINTS):
                    total += eyes[n, eye, i, k]
                ray[k] = total / np.float32(IRIS_POINTS)
                middle = (faces[n, corners[eye, 0], k] + faces[n, corners[eye, 1], k]) / two
                centre[k] = middle + _dot(r[k], offset_in_head)
            _unit(ray)
            b = -two * _dot(ray, centre)
            discriminant = b * b - four * (_dot(centre, centre) - RADIUS2)
            if discriminant < 0:  # the ray misses the eyeball
                direction[0], direction[1], direction[2] = np.float32(0), np.float32(0), np.float32(-1)
            else:
                factor = (-b - np.float32(math.sqrt(discriminant))) / two
                for k in range(3):
                    direction[k] = ray[k] * factor
            for k in range(3):
                direction[k] -= centre[k]
            _unit(direction)
            gaze[n, eye] = direction
        x, y, z = (
            (gaze[n, 0, 0] + gaze[n, 1, 0]) / two, (gaze[n, 0, 1] + gaze[n, 1, 1]) / two,
            (gaze[n, 0, 2] + gaze[n, 1, 2]) / two,
        )  # fmt: skip
        angles[n, 0] = np.float32(math.atan2(x, -z))
        angles[n, 1] = np.float32(math.atan2(y, -z))
    return gaze, angles


def gaze(face_3d: Array, eyes_3d: Array, head_euler: Array) -> tuple[Array, Array]:
    """Unit vectors (N, 2, 3) and angles (N, 2) rad of faces (N, 68, 3), eyes (N, 2, 28, 3) mm, head (N, 3) rad."""
    count = batch_of(STAGE, "face_3d", face_3d, 68, 3)
    check_small(STAGE, "face_3d", face_3d, (count, 68, 3), None)
    check_small(STAGE, "eyes_3d", eyes_3d, (count, 2, 28, 3), None)
    check_small(STAGE, "head_euler", head_euler, (count, 3), None)
    arrays = (as_kernels_take(values) for values in (face_3d, eyes_3d, head_euler))
    directions: tuple[Array, Array] = _gaze(*arrays, OFFSET, CORNERS)
    return directions


def build() -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Stage `gaze`."""
    return gaze
