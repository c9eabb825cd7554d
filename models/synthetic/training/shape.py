"""The point distribution models, face and eyes: PCA of the renderer's landmarks after Procrustes alignment.

Cootes et al. (1995), "Active shape models", section 3, in three dimensions and without scaling: modes are in mm.
The eye on the left of the picture and the mirrored eye on the right are trained together; the right one is the mirror
image of the left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.scene import rotation_matrix
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import PDM

Array = npt.NDArray[Any]

FACE_MODES = 34
EYE_MODES = 10
#: Least variance of a mode (mm^2): its inverse is the regulariser of the fit, which must be representable in float32.
LEAST_VARIANCE = 1e-3
#: Landmark k of a face seen in a mirror is landmark MIRROR_68[k] of the face.
MIRROR_68 = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36]
    + [41, 40, *range(54, 47, -1), 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
#: The same for an eye: iris ring (from its left, clockwise), lids (from the left corner, clockwise), pupil ring.
MIRROR_28 = np.concatenate([(4 - np.arange(8)) % 8, 8 + (6 - np.arange(12)) % 12, 20 + (2 - np.arange(8)) % 8])
PDM_NAMES = ("pdm", "pdm_left_eye", "pdm_right_eye")


def in_head(photos: PhotoSet, points: Array) -> Array:
    """(N, n, 3) points of camera space in the head's own axes, origin where the pose's is."""
    turns = np.stack([rotation_matrix(pose[3:]) for pose in np.asarray(photos.pose, np.float64)])
    return (np.asarray(points, np.float64) - photos.pose[:, None, :3]) @ turns


def procrustes(shapes: Array, rounds: int = 4) -> Array:
    """(N, n, 3) shapes, centred and turned onto their mean (Kabsch 1976); scale is kept."""
    aligned = shapes - shapes.mean(axis=1, keepdims=True)
    axes = aligned.mean(axis=0)  # the first mean keeps the head's own axes
    mean = axes
    for _ in range(rounds):
        u, _, vt = np.linalg.svd(np.einsum("nij,ik->njk", aligned, mean))
        sign = np.ones((len(shapes), 1, 3))
        sign[:, 0, 2] = np.sign(np.linalg.det(u @ vt))
        aligned = aligned @ ((u * sign) @ vt)
        mean = aligned.mean(axis=0)
        u, _, vt = np.linalg.svd(mean.T @ axes)  # keeps the axes from drifting between rounds
        aligned = aligned @ (u @ vt)
        mean = aligned.mean(axis=0)
    return aligned


def principal_modes(shapes: Array, modes: int) -> PDM:
    """The PDM of aligned shapes (N, n, 3): mean, first `modes` eigenvectors of the covariance, eigenvalues."""
    rows = shapes.transpose(0, 2, 1).reshape(len(shapes), -1)  # x block, y block, z block
    mean = rows.mean(axis=0)
    _, singular, vt = np.linalg.svd(rows - mean, full_matrices=False)
    variance = singular**2 / (len(rows) - 1)
    # The bundle stores float16; the model is rounded here, so that everything later is trained on the stored values.
    components = vt[:modes].T
    components *= np.where(np.abs(components).max(axis=0) == components.max(axis=0), 1, -1)
    return PDM(
        mean.astype(np.float32).astype(np.float64),
        components.astype(np.float32).astype(np.float64),
        np.maximum(variance[:modes], LEAST_VARIANCE).astype(np.float32).astype(np.float64),
    )


def mirror_pdm(pdm: PDM, mirror: Array) -> PDM:
    """The PDM of the mirror images."""
    order = (np.arange(3)[:, None] * pdm.n_points + mirror).ravel()
    sign = np.repeat([-1.0, 1.0, 1.0], pdm.n_points)
    return PDM(pdm.mean[order] * sign, pdm.components[order] * sign[:, None], pdm.eigenvalues.copy())


def residual(pdm: PDM, shapes: Array) -> float:
    """Root mean square distance (mm) of aligned shapes (N, n, 3) from the model's subspace."""
    rows = shapes.transpose(0, 2, 1).reshape(len(shapes), -1) - pdm.mean
    rest = rows - (rows @ pdm.components) @ pdm.components.T
    return float(np.sqrt((rest**2).sum(axis=1).mean() / pdm.n_points))


def train(workspace: Workspace, photos: PhotoSet, validation: PhotoSet) -> None:
    """Make the three PDMs and report how far unseen faces are from them."""
    if all(workspace.has(name) for name in PDM_NAMES):
        return
    faces = procrustes(in_head(photos, photos.landmarks_3d))
    # Both halves of the training set: a face and its mirror image are equally likely.
    both = np.concatenate([faces, faces[:, MIRROR_68] * [-1, 1, 1]])
    face = principal_modes(procrustes(both), FACE_MODES)
    eyes = in_head(photos, photos.eye_landmarks_3d.reshape(len(photos), 56, 3)).reshape(-1, 2, 28, 3)
    left = np.concatenate([eyes[:, 0], eyes[:, 1, MIRROR_28] * [-1, 1, 1]])
    eye = principal_modes(procrustes(left), EYE_MODES)
    for name, pdm in zip(PDM_NAMES, (face, eye, mirror_pdm(eye, MIRROR_28)), strict=True):
        workspace.save(name, mean=pdm.mean, components=pdm.components, eigenvalues=pdm.eigenvalues)
    unseen = procrustes(in_head(validation, validation.landmarks_3d))
    u, _, vt = np.linalg.svd(np.einsum("nij,ik->njk", unseen, face.mean.reshape(3, -1).T))
    workspace.report(
        "pdm",
        modes=FACE_MODES,
        eigenvalues_mm2=face.eigenvalues.tolist(),
        rms_mm_unseen=residual(face, unseen @ (u @ vt)),
    )
    workspace.log(f"pdm: unseen faces are {workspace.figures()['pdm']['rms_mm_unseen']:.2f} mm from the model")


def load_pdm(workspace: Workspace, name: str) -> PDM:
    """A trained PDM; one of PDM_NAMES."""
    return PDM(**workspace.load(name))
