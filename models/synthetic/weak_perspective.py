"""Poses and shapes of many faces at once, in float64: fits of a shape model to true landmarks, projection (spec 30).

The reference fits one face after another and follows the C++ program's rounding; training needs thousands of fits from
a known start. A face is scale (N,) px/mm, rotation (N, 3, 3), translation (N, 2) px, local parameters (N, m) mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.warps import mean_shape
from auparity.models.types import PDM
from auparity.reference.pdm import CLAMP_DEVIATIONS, rotation_from_euler

Array = npt.NDArray[Any]

#: Outer corners of the eyes; their distance in the mean shape is what errors are divided by, whatever the pose.
OUTER_CORNERS = (36, 45)
#: Gauss-Newton steps from the true rotation; the last ones move landmarks by less than 0.01 px.
ITERATIONS = 8


@dataclass(frozen=True, eq=False)
class Faces:
    """Parameters of N faces under weak perspective (spec 30.2)."""

    scale: Array  #: (N,) px/mm
    rotation: Array  #: (N, 3, 3)
    translation: Array  #: (N, 2) px
    local: Array  #: (N, m) mm

    def __len__(self) -> int:
        return len(self.scale)

    def take(self, index: Array) -> Faces:
        """The faces of an index array or mask."""
        return Faces(self.scale[index], self.rotation[index], self.translation[index], self.local[index])


class WeakPerspective:
    """A shape model for many faces at once."""

    def __init__(self, pdm: PDM) -> None:
        self.mean = mean_shape(pdm)
        self.modes = pdm.components.reshape(3, pdm.n_points, pdm.n_modes).transpose(1, 0, 2)  # (n, 3, m)
        self.deviations = np.sqrt(pdm.eigenvalues)
        #: mm between the outer corners of the eyes
        self.inter_ocular = float(np.linalg.norm(self.mean[OUTER_CORNERS[0]] - self.mean[OUTER_CORNERS[1]]))

    def shapes(self, local: Array) -> Array:
        """(N, n, 3) mm of local parameters (N, m)."""
        return self.mean + np.einsum("ncm,fm->fnc", self.modes, local, optimize=True)

    def clamp(self, local: Array) -> Array:
        """Local parameters within three standard deviations (spec 30.6)."""
        return np.clip(local, -CLAMP_DEVIATIONS * self.deviations, CLAMP_DEVIATIONS * self.deviations)

    def project(self, faces: Faces) -> Array:
        """(N, n, 2) px."""
        turned = self.shapes(faces.local) @ faces.rotation[:, :2].transpose(0, 2, 1)
        return faces.scale[:, None, None] * turned + faces.translation[:, None]

    def fit(self, landmarks: Array, euler: Array) -> Faces:
        """The regularised least squares of spec 30.7, to landmarks (N, n, 2) px from true rotations (N, 3) rad."""
        faces = self._start(landmarks, rotation_from_euler(euler.astype(np.float64)).astype(np.float64))
        prior = np.concatenate([np.zeros(6), 1 / self.deviations**2])
        for _ in range(ITERATIONS):
            residual = landmarks - self.project(faces)
            jacobian = self._jacobian(faces)
            right = np.einsum("fdk,fd->fk", jacobian, residual.reshape(len(faces), -1), optimize=True)
            right[:, 6:] -= prior[6:] * faces.local
            hessian = jacobian.transpose(0, 2, 1) @ jacobian + np.diag(prior)
            step = np.linalg.solve(hessian, right[..., None])[..., 0]
            faces = Faces(
                faces.scale + step[:, 0], faces.rotation @ turns(step[:, 1:4]), faces.translation + step[:, 4:6],
                faces.local + step[:, 6:],
            )  # fmt: skip
        return faces

    def _start(self, landmarks: Array, rotation: Array) -> Faces:
        """The mean shape in the given rotation, at the least-squares scale and place."""
        count, modes = len(landmarks), self.modes.shape[2]
        flat = self.project(Faces(np.ones(count), rotation, np.zeros((count, 2)), np.zeros((count, modes))))
        centred, target = (points - points.mean(axis=1, keepdims=True) for points in (flat, landmarks))
        scale = (centred * target).sum(axis=(1, 2)) / (centred**2).sum(axis=(1, 2))
        translation = landmarks.mean(axis=1) - scale[:, None] * flat.mean(axis=1)
        return Faces(scale, rotation, translation, np.zeros((count, modes)))

    def _jacobian(self, faces: Faces) -> Array:
        """(N, 2n, 6 + m) by scale, turn on the right, translation and modes; rows x and y of each point in turn."""
        shape, two = self.shapes(faces.local), faces.rotation[:, :2]
        px = faces.scale[:, None, None]
        turned = shape @ two.transpose(0, 2, 1)
        spins = [px * (np.cross(axis, shape) @ two.transpose(0, 2, 1)) for axis in np.eye(3)]
        shifts = [np.broadcast_to(axis, turned.shape) for axis in np.eye(2)]
        modes = px[..., None] * np.einsum("fdc,ncm->fndm", two, self.modes, optimize=True)
        columns = np.concatenate([np.stack([turned, *spins, *shifts], axis=-1), modes], axis=-1)
        return columns.reshape(len(faces), -1, columns.shape[-1])


def turns(vectors: Array) -> Array:
    """(N, 3, 3) rotations by axis-angle vectors (N, 3) rad (Rodrigues' formula)."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    safe = np.where(angle > 1e-9, angle, 1.0)
    return np.eye(3) + np.sin(angle) / safe * cross + (1 - np.cos(angle)) / safe**2 * (cross @ cross)
