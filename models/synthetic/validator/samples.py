"""Samples for the landmark validator: 60 x 60 faces seen through right and wrong landmarks (spec 50.8).

Landmarks are shapes of the PDM, as in the pipeline: the fit to the true landmarks of a rendered image, moved by a
chosen error; boxes at any place; pictures without a face; faces behind something. The error of the landmarks decides
the bin that the network has to give. `PhotoSet` and backgrounds in; for each view vectors of mask pixels (N, P) and
target positions on the scale of bins (N,) out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.validator.network import BINS
from auparity.models.synthetic.warps import MIRROR_VIEW, VIEWS, all_warps
from auparity.models.synthetic.weak_perspective import Faces, WeakPerspective, turns
from auparity.models.types import PDM, PiecewiseWarp
from auparity.reference.grayscale import to_gray
from auparity.reference.pdm import euler_from_rotation, rotation_from_euler
from auparity.reference.validation import crop_region, warp_to_frame

Array = npt.NDArray[Any]

#: Mean landmark error, as a share of the distance of the outer eye corners, against position on the scale of bins.
#: Bins 0 to 4 count as success: they end at 10 %, from where on a fit counts as a miss (`reports/truth/metrics.py`).
#: With an end at 6 %, where landmarks are visibly off, a network refuses a fifth of the fits that are 4 to 5 % off.
ERROR_KNOTS = (0.0, 0.10, 0.25)
BIN_KNOTS = (0.0, 5.0, BINS - 0.5)
#: Kinds of samples and their shares.
GRADED, MISPLACED, BACKGROUND, COVERED = range(4)
SHARES = (0.72, 0.08, 0.13, 0.07)
#: Share of the graded samples with something in front of a part of the face, which must not matter.
LIGHTLY_COVERED = 0.15
#: Largest moves of a perturbation of full strength: turn (rad), log scale, shift (outer eye distances).
TURN, LOG_SCALE, SHIFT = 0.6, 0.35, 0.35
#: A face must be this large (px between outer eye corners) for right and wrong landmarks to be distinguishable.
SMALLEST = 16.0


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one view. `pixels` are those of the mask, column by column, at zero mean and unit deviation."""

    pixels: Array  #: (N, P) float16
    position: Array  #: (N,) target on the scale of bins, 0 to BINS
    error: Array  #: (N,) share of the outer eye distance; infinite without a face
    kind: Array  #: (N,)

    @classmethod
    def join(cls, parts: list[Samples]) -> Samples:
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def __len__(self) -> int:
        return len(self.error)


def bin_position(error: Array) -> Array:
    """Place on the scale of bins (k to k + 1 is bin k) of landmark errors."""
    return np.interp(error, ERROR_KNOTS, BIN_KNOTS)


def nearest_view(euler: Array) -> npt.NDArray[np.intp]:
    """(N,) the validator's view of head orientations (N, 3) rad (spec 50.8)."""
    centres = np.zeros((len(VIEWS), 3))
    centres[:, 1] = np.radians(VIEWS)
    return np.linalg.norm(euler[:, None] - centres, axis=2).argmin(axis=1)


class Sampler:
    """Draws samples from images and backgrounds with the shapes of one PDM."""

    def __init__(self, pdm: PDM) -> None:
        self.model = WeakPerspective(pdm)
        self.warps = all_warps(pdm)
        self.corners = [np.unique(warp.triangles) for warp in self.warps]

    def draw(self, photos: PhotoSet, chosen: Array, backgrounds: Array, each: int, seed: int) -> list[Samples]:
        """Samples of the four views that look straight ahead or to the left, in the order of `VIEWS`.

        Parameters
        ----------
        photos : rendered images. chosen : (M,) which of them.
        backgrounds : (K, H, W) uint8 gray pictures without a face.
        each : number of samples from each image.
        """
        rng = np.random.default_rng([29, seed])
        landmarks = np.asarray(photos.landmarks[chosen], np.float64)
        truth = self.model.fit(landmarks, np.asarray(photos.pose[chosen, 3:]))
        large = truth.scale * self.model.inter_ocular >= SMALLEST
        source = np.repeat(np.flatnonzero(large), each)
        kind = rng.choice(len(SHARES), len(source), p=SHARES)
        faces = self._candidates(rng, truth.take(source), landmarks[source], kind)
        projected = self.model.project(faces).astype(np.float32)
        view = nearest_view(euler_from_rotation(faces.rotation).astype(np.float64))
        error = self._errors(projected, landmarks[source], truth.scale[source], view)
        error[np.isin(kind, (BACKGROUND, COVERED))] = np.inf
        bags: list[list[Samples]] = [[] for _ in range(4)]
        for photo in np.unique(source):
            gray = to_gray(np.asarray(photos.images[chosen[photo]])[None])[0]
            for k in np.flatnonzero(source == photo):
                image = self._picture(rng, gray, landmarks[photo], int(kind[k]), backgrounds)
                pixels = self._look(image, projected[k], int(view[k]))
                if pixels is not None:
                    row = slice(k, k + 1)
                    target = bin_position(error[row])
                    base = min(int(view[k]), MIRROR_VIEW[view[k]])
                    bags[base].append(Samples(pixels[None], target, error[row], kind[row]))
        return [Samples.join(bag) for bag in bags]

    def _candidates(self, rng: np.random.Generator, truth: Faces, landmarks: Array, kind: Array) -> Faces:
        """The shape parameters of each sample."""
        moved = self._graded(rng, truth, landmarks)
        placed = self._anywhere(rng, truth)
        away = np.isin(kind, (MISPLACED, BACKGROUND))
        pick = [
            np.where(away.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in ((getattr(placed, f.name), getattr(moved, f.name)) for f in fields(Faces))
        ]
        return Faces(*pick)

    def _graded(self, rng: np.random.Generator, truth: Faces, landmarks: Array) -> Faces:
        """True parameters moved in a random direction, such that errors of every size are equally frequent."""
        count = len(truth)
        position = rng.uniform(0, BINS, count)
        wanted = np.interp(position, BIN_KNOTS, ERROR_KNOTS)
        # Some or all of shape, turn, scale and shift are wrong, by random shares.
        share = rng.exponential(1.0, (count, 4)) * (rng.random((count, 4)) < 0.55)
        share[share.sum(axis=1) == 0] = 0.5
        share /= share.max(axis=1, keepdims=True)
        noise = rng.standard_normal(truth.local.shape) * self.model.deviations
        # A part of the shape noise removes expression and identity, because a failed fit tends to the mean shape.
        noise = np.where(rng.random((count, 1)) < 0.25, -truth.local, noise)
        turn, log_scale = rng.normal(0, TURN, (count, 3)), rng.normal(0, LOG_SCALE, count)
        shift = rng.normal(0, SHIFT, (count, 2)) * (truth.scale * self.model.inter_ocular)[:, None]

        def move(strength: Array) -> Faces:
            amount = share * strength[:, None]
            return Faces(
                truth.scale * np.exp(amount[:, 2] * log_scale),
                truth.rotation @ turns(amount[:, 1:2] * turn),
                truth.translation + amount[:, 3:4] * shift,
                self.model.clamp(truth.local + amount[:, :1] * noise),
            )

        low, high = np.zeros(count), np.full(count, 4.0)
        for _ in range(12):  # bisection: to a thousandth of the range
            middle = (low + high) / 2
            distance = np.linalg.norm(self.model.project(move(middle)) - landmarks, axis=2).mean(axis=1)
            below = distance / (truth.scale * self.model.inter_ocular) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return move(low)

    def _anywhere(self, rng: np.random.Generator, truth: Faces) -> Faces:
        """Shapes of any pose and a size like the face's, at any place of a picture."""
        count = len(truth)
        euler = np.stack([rng.normal(0, 0.2, count), rng.uniform(-1.3, 1.3, count), rng.normal(0, 0.3, count)], axis=1)
        frontal = rng.random(count) < 0.4
        euler[frontal, 1] *= 0.15
        scale = truth.scale * np.exp(rng.uniform(-1.0, 0.7, count))
        local = rng.standard_normal(truth.local.shape) * self.model.deviations * rng.uniform(0, 1, (count, 1))
        place = truth.translation * rng.uniform(-0.2, 1.6, (count, 2)) + rng.uniform(0, 120, (count, 2))
        return Faces(scale, rotation_from_euler(euler).astype(np.float64), place, local)

    def _errors(self, projected: Array, landmarks: Array, scale: Array, view: Array) -> Array:
        """(N,) mean error of the landmarks that the view shows."""
        distance = np.linalg.norm(projected - landmarks, axis=2)
        seen = np.stack([distance[k, self.corners[v]].mean() for k, v in enumerate(view)])
        return seen / (scale * self.model.inter_ocular)

    def _picture(self, rng: np.random.Generator, gray: Array, landmarks: Array, kind: int, backgrounds: Array) -> Array:
        """The gray picture of a sample: the image, the image with something in front of its face, or no face at all."""
        if kind == BACKGROUND:
            return backgrounds[rng.integers(len(backgrounds))]
        if kind == COVERED:
            return _cover(rng, gray, landmarks, backgrounds, rng.uniform(0.85, 1.2, 2))
        if kind == GRADED and rng.random() < LIGHTLY_COVERED:
            return _cover(rng, gray, landmarks, backgrounds, rng.uniform(0.15, 0.4, 2))
        return gray

    def _look(self, gray: Array, landmarks: Array, view: int) -> Array | None:
        """(P,) float16 normalised pixels that the validator would see; None if the landmarks left the picture."""
        if VIEWS[view] > 0:
            gray, view = gray[:, ::-1], MIRROR_VIEW[view]
            landmarks = landmarks[MIRROR_68] * [-1, 1] + [gray.shape[1] - 1, 0]
        region, origin = crop_region(gray, landmarks)
        if region is None:
            return None
        inside = (landmarks - origin).astype(np.float32)
        return frame_vector(warp_to_frame(region.astype(np.float32), inside, self.warps[view]), self.warps[view])


def frame_vector(frame: Array, warp: PiecewiseWarp) -> Array:
    """(P,) float16 mask pixels of a frame, column by column, at zero mean and unit deviation (spec 50.8 step 3)."""
    values = frame.T[np.nonzero(warp.mask.T)].astype(np.float64)
    deviation = values.std()
    normalised: Array = ((values - values.mean()) / (deviation if deviation != 0 else 1.0)).astype(np.float16)
    return normalised


def _cover(rng: np.random.Generator, gray: Array, landmarks: Array, backgrounds: Array, size: Array) -> Array:
    """The picture with a piece of a background over the face; size (2,): its width and height, in those of the face."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    half = (high - low) * size / 2
    slack = np.abs((high - low) / 2 - half)
    middle = (low + high) / 2 + rng.uniform(-1, 1, 2) * (slack if (size < 0.8).all() else 0.05 * (high - low))
    (x0, y0), (x1, y1) = (np.clip(v, 0, gray.shape[::-1]).astype(int) for v in (middle - half, middle + half))
    patch = backgrounds[rng.integers(len(backgrounds))]
    if patch.shape[0] < y1 - y0 or patch.shape[1] < x1 - x0:
        return patch
    top, left = rng.integers(patch.shape[0] - (y1 - y0) + 1), rng.integers(patch.shape[1] - (x1 - x0) + 1)
    covered = gray.copy()
    covered[y0:y1, x0:x1] = patch[top : top + y1 - y0, left : left + x1 - x0]
    return covered
