"""Samples for the AU models: frames of sessions, and images, arranged for each kind of model.

Static models get the features of frames and images unchanged. Dynamic ones are calibrated on every clip (spec 60.7), so
a constant error for a person does not matter: they learn from differences within people, that is from features and
intensities minus the person's means. What they read at rest, and from where on an AU is present, is decided on frames
minus the medians of their session.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.features import ClipFeatures
from auparity.models.synthetic.aus.photos import PhotoFeatures
from auparity.reference.fhog import FEATURES, ORIENTATIONS

Array = npt.NDArray[Any]

HOG_SIZE = 4464
#: FHOG is scaled to unit total variance and geometry to the square of this, so that one regularisation fits both. At 0
#: the models do not look at geometry. It follows rendered faces better than FHOG does and real ones worse: how far an
#: AU moves landmarks, and how a tracker's landmarks err, is not as rendered (docs/real-faces.md).
GEOMETRY_GAIN = 0.0
#: Share of an orientation bin that is moved to its neighbours, and share of a cell in each direction of the face.
BLUR, CELL_BLUR = 0.4, 0.5
#: FHOG has so many rows and columns of cells.
CELLS = 12
#: From this frame of a session on, the running medians are close enough to the final ones to be used as well.
SETTLED = 15


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows for training or judging."""

    features: Array  #: (N, D) float32
    aus: Array  #: (N, 18) intensities
    people: Array  #: (N,) which rows show one person
    photo: Array  #: (N,) bool: from an image, not from a session
    mirrored: Array  #: (N,) bool

    def take(self, rows: Array) -> Samples:
        return Samples(*(getattr(self, field.name)[rows] for field in fields(self)))

    def without(self, means: Array) -> Samples:
        """The same, features without means (D,)."""
        return replace(self, features=(self.features - means).astype(np.float32))

    def __len__(self) -> int:
        return len(self.people)


def _join(parts: list[Samples]) -> Samples:
    return Samples(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Samples)))


def _rows(sessions: list[ClipFeatures], features: list[Array], rows: slice = slice(None)) -> list[Samples]:
    """Chosen rows of sessions with given features. The second half of the sessions are mirror images of the first."""
    count, parts = len(sessions) // 2, []
    for k, (session, values) in enumerate(zip(sessions, features, strict=True)):
        size = len(values)
        flags = np.zeros(size, np.bool_), np.full(size, k >= count)
        parts.append(Samples(values, session.aus[rows], np.full(size, k % count), *flags))
    return parts


def raw_samples(sessions: list[ClipFeatures], photos: PhotoFeatures) -> Samples:
    """For static models: features as they are."""
    people = len(sessions) // 2 + photos.people
    of_photos = Samples(photos.features, photos.aus, people, np.ones(len(people), np.bool_), photos.mirrored)
    return _join([*_rows(sessions, [session.features for session in sessions]), of_photos])


def rest_samples(sessions: list[ClipFeatures]) -> Samples:
    """Without the medians of the session's end; every other frame also without running ones."""
    later = slice(SETTLED, None, 2)
    final = _rows(sessions, [session.features - session.final_medians for session in sessions])
    running = _rows(sessions, [session.features[later] - session.medians[later] for session in sessions], later)
    return _join(final + running)


def within_samples(sessions: list[ClipFeatures], photos: PhotoFeatures) -> Samples:
    """For dynamic models: features and intensities without the means of each session and of each person's images.

    Images of one person differ in pose, light and camera, so models that learn from them, too, look at what an AU
    changes in any light. People of whom there is one image teach nothing.
    """
    samples = raw_samples(sessions, photos)
    person = 2 * samples.people + samples.mirrored
    features, several = centred(samples.features, person)
    aus, _ = centred(samples.aus, person)
    return replace(samples, features=features, aus=aus).take(several)


def centred(values: Array, groups: Array) -> tuple[Array, Array]:
    """Values (N, D) without the means of their groups (N,), and which rows (N,) bool share their group with another."""
    _, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(values[order], begins, axis=0) / sizes[:, None]
    return (values - means[inverse]).astype(values.dtype), sizes[inverse] > 1


def feature_scale(features: Array) -> Array:
    """(D,) factors that bring FHOG to unit total variance, and geometry to the square of its gain."""
    variance = features.var(axis=0)
    scale = np.full(features.shape[1], 1 / np.sqrt(variance[:HOG_SIZE].sum()), np.float32)
    scale[HOG_SIZE:] = GEOMETRY_GAIN / np.sqrt(variance[HOG_SIZE:].sum())
    return scale


def blur(features: Array) -> Array:
    """(N, D) with FHOG blurred over orientations and over neighbouring cells; symmetric and linear.

    Learning from blurred features, and blurring the weights, prefers models whose weights change little from one
    orientation or cell to the next, so that turning a face by a few degrees, or landmarks that place it a few pixels
    beside where they usually do, hardly changes their output.
    """
    return blur_cells(blur_orientations(features))


def blur_orientations(features: Array) -> Array:
    """(N, D) with every orientation bin of FHOG mixed with its two neighbours, on the circle."""
    blurred = features.copy()
    cells = blurred[:, :HOG_SIZE].reshape(len(features), -1, FEATURES)
    for first, count in ((0, 2 * ORIENTATIONS), (2 * ORIENTATIONS, ORIENTATIONS)):
        bins = cells[..., first : first + count].copy()
        neighbours = np.roll(bins, 1, axis=-1) + np.roll(bins, -1, axis=-1)
        cells[..., first : first + count] = (1 - BLUR) * bins + BLUR / 2 * neighbours
    blurred[:, :HOG_SIZE] = cells.reshape(len(features), -1)
    return blurred


def blur_cells(features: Array) -> Array:
    """(N, D) with every cell of FHOG mixed with its neighbours, first down, then across; a border cell has itself for
    the neighbour that is missing."""
    blurred = features.copy()
    cells = blurred[:, :HOG_SIZE].reshape(len(features), CELLS, CELLS, FEATURES)
    before, after = np.maximum(np.arange(CELLS) - 1, 0), np.minimum(np.arange(CELLS) + 1, CELLS - 1)
    for axis in (1, 2):
        neighbours = cells.take(before, axis) + cells.take(after, axis)
        cells = (1 - CELL_BLUR) * cells + CELL_BLUR / 2 * neighbours
    blurred[:, :HOG_SIZE] = cells.reshape(len(features), -1)
    return blurred
