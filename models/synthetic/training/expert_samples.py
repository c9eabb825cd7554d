"""Patches for patch experts: the pixels at and around a landmark, at a scale and in a view (spec 40).

A picture is warped once into the reference frame of a scale (the similarity of spec 40.3, from true shapes with a small
error), and patches are cut there at whole pixels around every landmark, so the distance of each patch from its landmark
is known to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.scene import rotation_matrix
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_28, MIRROR_68, in_head
from auparity.reference.grayscale import to_gray

Array = npt.NDArray[Any]

SUPPORT = 11  #: px, side of a patch
HALF = SUPPORT // 2
#: Standard deviations of the similarity's error while fitting; rotation in degrees by scale, as measured in fits.
SCALE_ERROR = 0.06
ROTATION_ERROR = {0.25: 9.0, 0.35: 6.5, 0.5: 5.2, 1.0: 4.8}


@dataclass(frozen=True, eq=False)
class Faces:
    """Grey pictures with true shapes; mirrored pictures are included like any others."""

    photos: PhotoSet
    rows: Array  #: (M,) which picture
    mirrored: Array  #: (M,) bool
    landmarks: Array  #: (M, n, 2) px in the picture, or in its mirror image
    shapes: Array  #: (M, n, 2) x and y in the head's own axes, mm
    visible: Array  #: (M, n)
    rotations: Array  #: (M, 3) rx, ry, rz relative to the line of sight

    def gray(self, index: int) -> Array:
        """(H, W) float32."""
        gray = to_gray(np.asarray(self.photos.images[self.rows[index]])[None])[0].astype(np.float32)
        return np.ascontiguousarray(gray[:, ::-1]) if self.mirrored[index] else gray

    def take(self, index: Array) -> Faces:
        return Faces(
            self.photos,
            self.rows[index],
            self.mirrored[index],
            self.landmarks[index],
            self.shapes[index],
            self.visible[index],
            self.rotations[index],
        )


def apparent_rotations(photos: PhotoSet) -> Array:
    """(N, 3) rotations relative to the line of sight, which is the pose under weak perspective."""
    out = np.zeros((len(photos), 3))
    for k, pose in enumerate(np.asarray(photos.pose, np.float64)):
        x, y, z = pose[:3] / np.linalg.norm(pose[:3])
        axis = np.array([y, -x, 0.0])  # turns the line of sight onto the camera's axis
        turn, _ = cv2.Rodrigues(axis / max(float(np.hypot(x, y)), 1e-12) * np.arctan2(np.hypot(x, y), z))
        r = np.asarray(turn) @ rotation_matrix(pose[3:])
        out[k] = np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(np.clip(r[0, 2], -1, 1)), np.arctan2(-r[0, 1], r[0, 0])
    return out


def _both_ways(photos: PhotoSet, landmarks: Array, shapes: Array, visible: Array, rotations: Array) -> Faces:
    """Pictures and their mirror images; the arrays hold the mirror images' values in their second half already."""
    count = len(photos)
    return Faces(
        photos,
        np.tile(np.arange(count), 2),
        np.repeat([False, True], count),
        landmarks,
        shapes,
        visible,
        np.concatenate([rotations, rotations * [1, -1, -1]]),
    )


def faces_of(photos: PhotoSet) -> Faces:
    """The 68 landmarks of all pictures and of their mirror images."""
    width = photos.images.shape[2]
    shapes = in_head(photos, photos.landmarks_3d)[..., :2]
    landmarks, visible = np.asarray(photos.landmarks, np.float64), np.asarray(photos.visible)
    flipped = landmarks[:, MIRROR_68] * [-1, 1] + [width - 1, 0]
    return _both_ways(
        photos,
        np.concatenate([landmarks, flipped]),
        np.concatenate([shapes, shapes[:, MIRROR_68] * [-1, 1]]),
        np.concatenate([visible, visible[:, MIRROR_68]]),
        apparent_rotations(photos),
    )


def left_eyes_of(photos: PhotoSet) -> Faces:
    """The 28 landmarks of the eye on the left, and of the mirrored eye on the right."""
    width, count = photos.images.shape[2], len(photos)
    eyes = np.asarray(photos.eye_landmarks, np.float64)
    shapes = in_head(photos, photos.eye_landmarks_3d.reshape(count, 56, 3)).reshape(count, 2, 28, 3)[..., :2]
    flipped = eyes[:, 1, MIRROR_28] * [-1, 1] + [width - 1, 0]
    return _both_ways(
        photos,
        np.concatenate([eyes[:, 0], flipped]),
        np.concatenate([shapes[:, 0], shapes[:, 1, MIRROR_28] * [-1, 1]]),
        np.ones((2 * count, 28), bool),
        apparent_rotations(photos),
    )


def similarity(image_shape: Array, reference_shape: Array) -> complex:
    """Scale and rotation from image to reference offsets as one complex number (spec 40.3)."""
    source = (image_shape - image_shape.mean(axis=0)) @ [1, 1j]
    target = (reference_shape - reference_shape.mean(axis=0)) @ [1, 1j]
    turn = np.vdot(source, target)
    return complex(turn / abs(turn) * np.linalg.norm(target) / np.linalg.norm(source))


@dataclass(frozen=True, eq=False)
class Patches:
    """Raw patches of every landmark."""

    pixels: Array  #: (n, M * K, 121) uint8, column-major inside a patch (spec 40.6)
    distance: Array  #: (n, M * K) px of the reference frame from the patch's centre to the landmark


def collect(faces: Faces, scale: float, reach: float, per_landmark: int, seed: int) -> Patches:
    """Patches of all landmarks in all faces.

    Parameters
    ----------
    scale : of the expert, px/mm.
    reach : largest distance (px) of patches from the landmark in x and in y; a third of them are close to it.
    per_landmark : patches of each landmark in each face.
    """
    rng = np.random.default_rng([29, seed])
    count, points = faces.landmarks.shape[:2]
    pixels = np.zeros((points, count * per_landmark, SUPPORT * SUPPORT), np.uint8)
    distance = np.zeros((points, count * per_landmark), np.float32)
    grid = np.indices((SUPPORT, SUPPORT)).reshape(2, -1) - HALF
    column, row = grid[0], grid[1]  # the row varies faster: patches are column-major
    margin = int(reach) + HALF + 3
    for k in range(count):
        forward = similarity(faces.landmarks[k], scale * faces.shapes[k])
        forward *= np.exp(rng.normal(0, SCALE_ERROR) + 1j * np.radians(rng.normal(0, ROTATION_ERROR.get(scale, 4.0))))
        placed = (faces.landmarks[k] @ [1, 1j]) * forward
        low = complex(placed.real.min() - margin, placed.imag.min() - margin)
        size = (int(np.ptp(placed.real)) + 2 * margin + 2, int(np.ptp(placed.imag)) + 2 * margin + 2)
        back, corner = 1 / forward, low / forward
        matrix = np.array([[back.real, -back.imag, corner.real], [back.imag, back.real, corner.imag]])
        warped = cv2.warpAffine(faces.gray(k), matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        local = np.stack([placed.real - low.real, placed.imag - low.imag], axis=1)
        near = per_landmark // 3
        offsets = np.concatenate(
            [rng.normal(0, 0.9, (points, near, 2)), rng.uniform(-reach, reach, (points, per_landmark - near, 2))],
            axis=1,
        )
        centres = np.round(local[:, None] + offsets).astype(np.int64)
        here = slice(k * per_landmark, (k + 1) * per_landmark)
        distance[:, here] = np.linalg.norm(centres - local[:, None], axis=2)
        x, y = centres[..., 0].clip(HALF, size[0] - HALF - 1), centres[..., 1].clip(HALF, size[1] - HALF - 1)
        cut = np.asarray(warped)[y[..., None] + row, x[..., None] + column]
        pixels[:, here] = np.clip(cut + 0.5, 0, 255).astype(np.uint8)
    return Patches(pixels, distance)
