"""Inputs for the checks of the analysis half's graphs, and the reference's results for them (spec 60.3, 60.6).

These are module-level functions, not closures, because they are sent to other processes with the catalogue's items.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import AUPredictors
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.alignment import SIZE
from auparity.reference.fhog import fhog

Array = npt.NDArray[Any]


def descriptors(length: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Features and running medians (3, length)."""
    hog = rng.uniform(0, 0.4, (3, length))  # the range of FHOG features
    return hog, hog * rng.uniform(0.8, 1.2, (3, length))


def values(predictors: AUPredictors, features: Array, medians: Array) -> Array:
    """Intensities and presences before their threshold, (N, 35)."""
    models, rows = ActionUnitModels(predictors), []
    for part in (models.intensity, models.presence):
        centred = features[:, None] - part.means[None] - medians[:, None] * part.dynamic[None, :, None]
        rows.append((centred * part.weights[None]).sum(axis=2) + part.biases)
    return np.concatenate(rows, axis=1)


def aligned_faces(rng: np.random.Generator) -> tuple[Array, ...]:
    """(4, 112, 112, 3) uint8 with close decisions: noise, noise of few levels, where channels and directions tie, waves
    in colours, and the same in gray, where channels tie everywhere."""
    y, x = np.mgrid[:SIZE, :SIZE, :1][:2]
    turns = rng.uniform(-8, 8, (2, 6, 3)) * 2 * np.pi / SIZE  # of six waves a channel, down and to the right
    waves = np.sum([np.sin(down * y + right * x) for down, right in zip(*turns, strict=True)], axis=0)
    coloured = 127 + 20 * waves
    gray = np.repeat(coloured[..., :1], 3, axis=-1)
    levels, noise = (rng.integers(0, count, (SIZE, SIZE, 3)) for count in (3, 256))
    return (np.stack([noise, levels, coloured, gray]).clip(0, 255).astype(np.uint8),)


def photographs(geometry: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Aligned faces, and geometry descriptors (4, geometry) in mm."""
    (faces,) = aligned_faces(rng)
    return faces, rng.normal(0, 5, (len(faces), geometry))


def described(faces: Array) -> Array:
    """FHOG features (N, 4464)."""
    return fhog(faces)


def analysed(predictors: AUPredictors, faces: Array, geometry: Array) -> tuple[Array, Array]:
    """FHOG features and the values of static AU models (N, 35)."""
    hog = fhog(faces)
    features = np.concatenate([hog, geometry], axis=1)
    return hog, values(predictors, features, np.zeros_like(features))
