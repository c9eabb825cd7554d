"""Fitting a landmark model to an image: regularised, non-uniform landmark mean-shift (spec 50.1 to 50.5).

NU-RLMS (Saragih, Lucey, Cohn, IJCV 2011; Baltrusaitis, Robinson, Morency, ICCVW 2013) climbs the response maps of all
landmarks at once: every landmark is drawn to the mean shift of its own map, and a Gauss-Newton step finds the face
parameters that follow best, shape regularised by its eigenvalues. One scale runs a rigid pass and then a full one on
the same maps. Gray images (N, H, W) and initial parameters (N, 6), (N, m) in; parameters, landmarks (N, n, 2) and
likelihoods out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import LandmarkModel
from auparity.reference import sums
from auparity.reference.contracts import check_array
from auparity.reference.elementary import exp, log, log2
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.patch_experts import PatchExpertBank, PatchExpertStage
from auparity.reference.pdm import ShapeModel
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]

CONVERGED = 0.01  # L2 px over all landmarks; a smaller move ends the iterations (spec 50.3 a)
GRID_STEP = 0.1  # px; the mean-shift kernel is centred on multiples of it (spec 50.5)
INVISIBLE_LIKELIHOOD = -1e8  # of a landmark that the view does not show (spec 50.3)
INITIAL_LIKELIHOOD = -10.0  # of a model that was never fitted (spec 00)
SMALLEST_SCALE = 0.25  # px/mm; the fit of a smaller face fails (spec 50.2 step 6)
LIKELIHOOD_SCALE = 0.30  # px/mm; below it every scale computes the likelihood (spec 50.2 step 5)


@dataclass(frozen=True)
class FittingParameters:
    """How a landmark model is fitted (spec 50.1). `windows` has one entry for each scale; 0 skips the scale."""

    windows: tuple[int, ...] = (11, 9, 7, 5)
    iterations: int = 5
    sigma: float = 1.5
    reg_factor: float = 25.0
    weight_factor: float = 0.0
    refine_parameters: bool = True

    def at_scale(self, patch_scale: float) -> tuple[float, float, float]:
        """(regularisation, sigma, weight factor) at an experts' scale (spec 50.2 step 2)."""
        if not self.refine_parameters:
            return self.reg_factor, self.sigma, self.weight_factor
        octaves = log2(patch_scale / 0.25)
        reg = self.reg_factor - 15 * octaves
        schedule = (reg if reg > 0 else 0.001, self.sigma + 0.25 * octaves, self.weight_factor * (1 + 2 * octaves))
        reg, sigma, weight = (float(np.float32(value)) for value in schedule)  # kept in float32 (spec 90.1)
        return reg, sigma, weight


@short_repr
@dataclass(frozen=True, eq=False)
class Fit:
    """Outcome of fitting one face."""

    params_global: Array  #: (6,)
    params_local: Array  #: (m,)
    landmarks: Array  #: (n, 2) px
    likelihood: float | None  #: model likelihood of the last scale that computed one; None when none did
    landmark_likelihoods: Array | None  #: (n,), likewise
    view: int  #: experts' view of the last scale run
    success: bool  #: False when the face became too small


class FittingStage(Protocol):
    """Stage `fitting`, built from a `LandmarkModel` and its patch experts: NU-RLMS (spec 50.1 to 50.5)."""

    def fit(self, gray: Array, params_global: Array, params_local: Array, parameters: FittingParameters) -> list[Fit]:
        """Gray (N, H, W), starting parameters (N, 6), (N, m) to one `Fit` each."""


class LandmarkFitter:
    """Fits one landmark model (face, inner face or eye). Holds no state of any face.

    Parameters
    ----------
    model : the landmark model.
    experts : what computes its response maps; None for the reference's own.
    """

    def __init__(
        self, model: LandmarkModel, numerics: Numerics = FLOAT32, experts: PatchExpertStage | None = None
    ) -> None:
        self.numerics = numerics
        self.shape_model = ShapeModel(model.pdm, numerics)
        self.experts = experts or PatchExpertBank(model, self.shape_model)
        self.confidences = [np.array([[p.confidence for p in view] for view in e.patches]) for e in model.experts]
        self.problem_type = MeanShiftProblem  # the parity suite puts a subclass here that asks "what if"

    def fit(self, gray: Array, params_global: Array, params_local: Array, parameters: FittingParameters) -> list[Fit]:
        """Fit each image by itself, coarse to fine (spec 50.2).

        Parameters
        ----------
        gray : (N, H, W) in the working dtype, 0 to 255.
        params_global, params_local : (N, 6), (N, m) starting points.

        Raises
        ------
        ContractError : arrays that do not fit, fewer windows than scales.
        """
        check_array("fitting", "gray", gray, ("N", "H", "W"), self.numerics.dtype)
        check_array("fitting", "params_global", params_global, (gray.shape[0], 6), self.numerics.dtype)
        check_array(
            "fitting", "params_local", params_local, (gray.shape[0], self.shape_model.n_modes), self.numerics.dtype
        )
        if len(parameters.windows) < len(self.experts.scales):
            expected = f"a window size for each of {len(self.experts.scales)} scales"
            raise ContractError("fitting", "windows", expected, str(parameters.windows))
        return [
            self._fit_one(image, g, p, parameters)
            for image, g, p in zip(gray, params_global, params_local, strict=True)
        ]

    def _fit_one(self, gray: Array, g: Array, p: Array, parameters: FittingParameters) -> Fit:
        scales, windows = self.experts.scales, parameters.windows[: len(self.experts.scales)]
        likelihood: float | None = None
        per_landmark: Array | None = None
        view, success = 0, True
        kernel_sigmas: dict[int, float] = {}
        for k, window in enumerate(windows):
            if window == 0:
                continue
            reg, sigma, weight_factor = parameters.at_scale(scales[min(k, 2)])
            # OpenFace tabulates the mean-shift kernel once for each window size: the first sigma stays (spec 50.5).
            kernel_sigma = kernel_sigmas.setdefault(window, sigma)
            maps = self.experts.response_maps(gray[None], g[None], p[None], window, k)
            view = int(maps.view[0])
            problem = self.problem_type(
                self.shape_model, maps.maps[0], maps.visible[0], maps.img_to_ref[0], maps.ref_to_img[0],
                self.shape_model.shape_2d(g, p), reg, sigma, kernel_sigma, parameters.iterations,
                self.weights(k, view, weight_factor),
            )  # fmt: skip
            g, p, _ = problem.optimise(g, p, rigid=True)
            rigid_scale = float(g[0])
            g, p, position = problem.optimise(g, p, rigid=False)
            is_last = k == len(windows) - 1 or windows[k + 1] == 0
            if is_last or rigid_scale < LIKELIHOOD_SCALE:
                likelihood, per_landmark = problem.likelihoods(position)
            if g[0] < SMALLEST_SCALE:
                success = False
                break
        landmarks = self.shape_model.shape_2d(g, p)
        return Fit(g, p, landmarks, likelihood, per_landmark, view, success)

    def weights(self, scale_index: int, view: int, weight_factor: float) -> Array | None:
        """Diagonal weights (2n,), or None for the identity (spec 50.4)."""
        if weight_factor <= 0:
            return None
        # Empty records have no confidence (NaN); nobody reads it, their landmarks are invisible in this view.
        confidence = np.nan_to_num(self.numerics.cast(self.confidences[scale_index][view]))
        return np.tile(confidence * self.numerics.dtype(weight_factor), 2)


@dataclass(frozen=True, eq=False)
class MeanShiftProblem:
    """The fit of one face to the response maps of one scale (spec 50.3)."""

    model: ShapeModel
    maps: Array  #: (n, w, w)
    visible: Array  #: (n,) bool
    img_to_ref: Array  #: (2, 2)
    ref_to_img: Array  #: (2, 2)
    base: Array  #: (n, 2) landmarks around which the maps were computed
    reg: float
    sigma: float
    kernel_sigma: float  #: sigma of the tabulated kernel; differs from `sigma` only in quirk 50.5
    iterations: int
    weights: Array | None = None  #: (2n,) diagonal, None = identity

    def optimise(self, g: Array, p: Array, *, rigid: bool) -> tuple[Array, Array, Array]:
        """Up to `iterations` Gauss-Newton steps; returns g, p and the last positions (n, 2) inside the maps."""
        numerics, model = self.model.numerics, self.model
        prior = np.zeros(6 if rigid else 6 + model.n_modes, numerics.dtype)
        if not rigid:
            prior[6:] = numerics.dtype(self.reg) / model.eigenvalues
        rows = np.concatenate([self.visible, self.visible])
        position, previous = np.zeros_like(self.base), None
        for _ in range(self.iterations):
            shape = model.shape_3d(p)
            current = model.project(g, shape)
            if previous is not None and sums.norm(current - previous) < CONVERGED:
                break
            previous = current
            position = self.positions(current)
            shift = numerics.matmul_f64(self.mean_shifts(position), self.ref_to_img.T).T.reshape(-1)
            jacobian = model.rigid_jacobian(g, shape) if rigid else model.jacobian(g, shape)
            jacobian = jacobian * rows[:, None]
            weighted = jacobian.T if self._unweighted(rigid) else (jacobian * self.weights[:, None]).T  # type: ignore[index]
            right = numerics.matmul_f64(weighted, shift)
            right[6:] -= prior[6:] * p[: len(prior) - 6]
            hessian = numerics.matmul(weighted, jacobian) + np.diag(prior)
            g, p = model.update(g, p, numerics.solve_spd(hessian, right))
            p = model.clamp(p)
        return g, p, position

    def _unweighted(self, rigid: bool) -> bool:
        """The full pass skips weights whose trace happens to be that of the identity (spec 50.4)."""
        if self.weights is None:
            return True
        return not rigid and float(sums.total(self.weights.astype(np.float64))) == len(self.weights)

    def positions(self, landmarks: Array) -> Array:
        """Where landmarks (n, 2) in px stand inside their maps: (n, 2) of (column, row)."""
        offsets = self.model.numerics.matmul_f64(landmarks - self.base, self.img_to_ref.T)
        return offsets + self.model.numerics.dtype((self.maps.shape[1] - 1) // 2)

    def mean_shifts(self, position: Array) -> Array:
        """Mean shift (n, 2) of each landmark in reference-frame pixels; 0 where invisible (spec 50.5)."""
        dtype = self.model.numerics.dtype
        window, step = self.maps.shape[1], dtype(np.float32(GRID_STEP))
        clamped = np.clip(position[self.visible], dtype(0), dtype(window) - step)
        # The kernel is centred on the nearest grid point, the shift is measured from the place itself.
        cells = np.trunc((clamped / step).astype(np.float64) + 0.5)
        centre = (step * cells.astype(dtype)).astype(dtype)
        places = np.arange(window, dtype=dtype)
        away = centre[:, :, None] - places  # (visible, 2, w): x and y parts of the distance
        x, y = away[:, 0, None, :], away[:, 1, :, None]
        exponent = dtype(-0.5 / (self.kernel_sigma * self.kernel_sigma)) * self.model.numerics.fma(x, x, y * y)
        kernel = exp(exponent).astype(dtype)
        mass = self.maps[self.visible] * kernel
        total, mean = self._moments(mass)
        shifts = np.zeros_like(position)
        # An all-zero map pulls nowhere (the C++ program divides 0 by 0 there).
        alive = total > 0
        moved = np.zeros_like(clamped)
        moved[alive] = mean[alive] / total[alive, None] - clamped[alive]
        shifts[self.visible] = moved
        return shifts

    def _moments(self, mass: Array) -> tuple[Array, Array]:
        """Sums (k,) and first moments (k, 2) of maps (k, w, w), added up pixel by pixel as the C++ program does."""
        numerics, window = self.model.numerics, mass.shape[1]
        if numerics.perturbed:
            places = np.arange(window, dtype=mass.dtype)
            terms = np.stack([mass, mass * places, mass * places[:, None]])
            zeroth, *first = sums.total(terms.reshape(3, len(mass), -1))
            return zeroth, np.stack(first, axis=1)
        # In raster order; the moments by fused multiply-adds.
        total = np.add.accumulate(mass.reshape(len(mass), -1), axis=1)[:, -1]
        mean = np.zeros((len(mass), 2), mass.dtype)
        for row in range(window):
            for column in range(window):
                mean = numerics.fma(mass[:, row, column, None], np.array([column, row], mass.dtype), mean)
        return total, mean

    def likelihoods(self, position: Array) -> tuple[float, Array]:
        """Model likelihood and landmark likelihoods (n,) at positions (n, 2) inside the maps (spec 50.3)."""
        dtype = self.model.numerics.dtype
        places = np.arange(self.maps.shape[1])
        squared = np.square(position.astype(np.float64)[:, :, None] - places)
        kernel = exp(-0.5 * (squared[:, 1, :, None] + squared[:, 0, None, :]) / (self.sigma * self.sigma))
        density = sums.total((self.maps * kernel).reshape(len(self.maps), -1))
        per_landmark = np.where(self.visible, density, INVISIBLE_LIKELIHOOD).astype(dtype)
        mean_log = sums.mean(log(density[self.visible] + 1e-8))
        return float(dtype(mean_log)), per_landmark


def build(model: LandmarkModel, experts: PatchExpertStage, *, numerics: Numerics = FLOAT32) -> FittingStage:
    """Stage `fitting`."""
    return LandmarkFitter(model, numerics, experts)
