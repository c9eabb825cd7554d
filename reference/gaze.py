"""Gaze: where each eye looks, from the iris and a model of the eyeball (spec 70.4, 70.5; Wood et al., ICCV 2015).

The pupil is seen on a ray from the camera; where the ray enters a sphere of 12 mm about the eyeball's centre, the pupil
is, and the line from the centre through it is the gaze. Face 3D landmarks (N, 68, 3) mm, eye 3D landmarks (N, 2, 28, 3)
mm and head rotations (N, 3) rad in; unit vectors (N, 2, 3) and angles (N, 2) rad out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import rotation_from_euler
from auparity.reference.sums import in_order
from auparity.reference.trigonometry import arctan2

Array = npt.NDArray[Any]

EYEBALL_RADIUS = 12.0  # mm
#: From the middle between the eye's corners to the eyeball's centre, in the head's frame, mm.
CORNERS_TO_CENTRE = (0.0, -3.5, 7.0)
IRIS_POINTS = 8  # the first points of an eye model
#: Corners of the left and of the right eye among the 68 landmarks.
EYE_CORNERS = ((36, 39), (42, 45))


def gaze_directions(face_3d: Array, eyes_3d: Array, head_euler: Array, numerics: Numerics = FLOAT32) -> Array:
    """Unit gaze vectors (N, 2, 3) in camera space: left eye, right eye (spec 70.4)."""
    check_array("gaze", "face_3d", face_3d, ("N", 68, 3))
    check_array("gaze", "eyes_3d", eyes_3d, (face_3d.shape[0], 2, 28, 3))
    check_array("gaze", "head_euler", head_euler, (face_3d.shape[0], 3))
    dtype = face_3d.dtype
    gaze = np.zeros((face_3d.shape[0], 2, 3), dtype)
    for k, rotation in enumerate(rotation_from_euler(head_euler, numerics)):
        offset = in_order(rotation * np.array(CORNERS_TO_CENTRE, dtype))
        for eye, (a, b) in enumerate(EYE_CORNERS):
            pupil = in_order(eyes_3d[k, eye, :IRIS_POINTS], axis=0) / dtype.type(IRIS_POINTS)
            ray = pupil / np.sqrt(in_order(pupil * pupil))
            centre = (face_3d[k, a] + face_3d[k, b]) / 2 + offset
            direction = ray_sphere_intersection(ray, centre) - centre
            gaze[k, eye] = direction / np.sqrt(in_order(direction * direction))
    return gaze


def ray_sphere_intersection(ray: Array, centre: Array) -> Array:
    """Nearer intersection (3,) of the ray t * d from the origin with the eyeball; (0, 0, -1) when it misses."""
    b = -2 * in_order(ray * centre)
    c = in_order(centre * centre) - ray.dtype.type(EYEBALL_RADIUS * EYEBALL_RADIUS)
    discriminant = b * b - 4 * c
    if discriminant < 0:
        return np.array([0, 0, -1], ray.dtype)
    return ray * ((-b - np.sqrt(discriminant)) / 2)


def gaze_angles(gaze: Array) -> Array:
    """Angles (N, 2) in rad of the mean of both eyes' vectors (N, 2, 3): left-right, up-down (spec 70.5)."""
    check_array("gaze", "gaze", gaze, ("N", 2, 3))
    mean = (gaze[:, 0] + gaze[:, 1]) / 2
    return arctan2(mean[:, :2], -mean[:, 2:]).astype(gaze.dtype)


#: What is built: face (N, 68, 3) mm, eyes (N, 2, 28, 3) mm, head rotation (N, 3) rad to unit vectors (N, 2, 3) and
#: angles (N, 2) rad.
Gaze = Callable[[Array, Array, Array], tuple[Array, Array]]


def build(*, numerics: Numerics = FLOAT32) -> Gaze:
    """Stage `gaze`."""

    def gaze(face_3d: Array, eyes_3d: Array, head_euler: Array) -> tuple[Array, Array]:
        directions = gaze_directions(face_3d, eyes_3d, head_euler, numerics)
        return directions, gaze_angles(directions)

    return gaze
