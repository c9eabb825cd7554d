"""The names that integrators of OpenFace ports know, as a thin face over the registry.

Nothing is computed here: every class calls a registered variant, and gives what that variant gives, bit for bit. Areas
of interest are gray (w + 10, w + 10) float32 arrays, 0 to 255, upright and at the experts' scale (spec 40.4), e.g.
19 x 19 for maps of 9 x 9; landmarks are 0 to 67; scales are the models', usually 0.25, 0.35, 0.5 and (CE-CLM) 1.0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.detectors import benchmark_detector as benchmark_detector
from auparity.accelerated.pipeline import Pipeline, default_bundle
from auparity.accelerated.registry import registry
from auparity.errors import AuparityError, ContractError, VariantUnavailable
from auparity.models.sources import open_bundle
from auparity.models.types import AUPredictors, LandmarkModel
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle
    from auparity.reference.results import FrameResult

Array = npt.NDArray[Any]

STAGE = "patch_experts"


class PatchExpertBackend:
    """Patch experts by landmark, view and scale, through one variant of the stage `patch_experts`.

    Parameters
    ----------
    name : the variant, e.g. "numba", "onnx", "torch" or "reference".

    Raises
    ------
    VariantUnavailable : it cannot run here, with the reason.
    """

    def __init__(self, name: str) -> None:
        self.variant = registry().get(STAGE, name)
        why = self.variant.unavailable_reason()
        if why:
            raise VariantUnavailable(f"backend {name!r}: {why}")
        self.name = name
        self._stage: Any = None
        self._scales: list[float] = []

    def load_models(
        self, directory: str | os.PathLike[str] | None = None, scales: Sequence[float] | None = None
    ) -> None:
        """Load the experts of the face model in a folder of OpenFace's models.

        Parameters
        ----------
        directory : the folder, as of `auparity extract --models`; None for OpenFace's models where they are installed,
            else the embedded ones.
        scales : those that will be asked for; None for all.

        Raises
        ------
        ModelFormatError : no such models. ContractError : a scale that they do not have.
        VariantUnavailable : the variant does not serve these experts.
        """
        bundle = default_bundle() if directory is None else open_bundle(os.fspath(directory))
        self.load_bundle(bundle, scales)

    def load_bundle(self, bundle: Bundle, scales: Sequence[float] | None = None) -> None:
        """The same from a bundle."""
        model: LandmarkModel = bundle.face.main
        why = self.variant.unavailable_reason((model,))
        if why:
            raise VariantUnavailable(f"backend {self.name!r} cannot serve {bundle.meta.name}: {why}")
        stage = self.variant.build(model)
        if not hasattr(stage, "area_responses"):  # of another package; ours are held to the protocol by a test
            raise VariantUnavailable(f"backend {self.name!r} has no method area_responses (see PatchExpertStage)")
        available = [float(scale) for scale in stage.scales]
        missing = sorted(set(scales or ()) - set(available))
        if missing:
            raise ContractError(STAGE, "scales", f"among {available}", str(missing))
        self._stage, self._scales = stage, available

    def response(self, area_of_interest: Array, landmark_idx: int, scale: float, view: int = 0) -> Array:
        """The response map (w, w) float32 of one landmark in its area (w + 10, w + 10); view 0 is frontal."""
        area = np.asarray(area_of_interest, np.float32)
        if area.ndim != 2:
            raise ContractError(STAGE, "area_of_interest", "(w + 10, w + 10)", f"shape {area.shape}")
        return self._responses(area[None], np.array([landmark_idx]), scale, view)[0]

    def batch_response(
        self,
        areas_of_interest: Sequence[Array],
        landmark_indices: Sequence[int],
        scales: Sequence[float],
        view: int = 0,
    ) -> list[Array]:
        """Response maps of many areas, in their order; equal to `response` one by one."""
        if not len(areas_of_interest) == len(landmark_indices) == len(scales):
            got = f"{len(areas_of_interest)}, {len(landmark_indices)} and {len(scales)}"
            raise ContractError(STAGE, "areas_of_interest, landmark_indices, scales", "equally many", got)
        groups: dict[tuple[float, tuple[int, ...]], list[int]] = {}
        areas = [np.asarray(area, np.float32) for area in areas_of_interest]
        for k, (area, scale) in enumerate(zip(areas, scales, strict=True)):
            groups.setdefault((float(scale), area.shape), []).append(k)
        maps: list[Array] = [np.zeros((0, 0), np.float32)] * len(areas)
        for (scale, _), members in groups.items():
            landmarks = np.array([landmark_indices[k] for k in members])
            responses = self._responses(np.stack([areas[k] for k in members]), landmarks, scale, view)
            for k, one in zip(members, responses, strict=True):
                maps[k] = one
        return maps

    def _responses(self, areas: Array, landmarks: Array, scale: float, view: int) -> Array:
        if self._stage is None:
            raise AuparityError("no models yet: call load_models() first")
        if float(scale) not in self._scales:
            raise ContractError(STAGE, "scale", f"one of {self._scales}", str(scale))
        responses: Array = self._stage.area_responses(areas, landmarks, self._scales.index(float(scale)), view)
        return responses


def available_backends(model: LandmarkModel | None = None) -> dict[str, str | None]:
    """Patch-expert variants by name, with why they cannot run here (on a model); None for those that can.

    The fastest come first; after the reference stand those that nobody has measured yet.
    """
    ranked = sorted(registry().of_stage(STAGE).values(), key=lambda variant: -variant.rank)
    return {v.name: v.unavailable_reason() if model is None else v.unavailable_reason((model,)) for v in ranked}


def select_best_backend(*, bundle: Bundle | None = None, verbose: bool = False) -> PatchExpertBackend:
    """The fastest measured float32 patch-expert variant that runs here on a bundle's face model, its models loaded.

    Parameters
    ----------
    bundle : None for OpenFace's models where they are installed, else the embedded ones.
    verbose : print what was chosen and why not the others.
    """
    bundle = bundle or default_bundle()
    states = available_backends(bundle.face.main)
    able = [name for name, why in states.items() if why is None and registry().get(STAGE, name).precision == "float32"]
    backend = PatchExpertBackend(able[0])
    backend.load_bundle(bundle)
    if verbose:
        for name, why in states.items():
            print(f"{name}: {'chosen' if name == able[0] else why or 'runs here too'}")
    return backend


@dataclass(frozen=True)
class BackendTiming:
    """Milliseconds of one area through one backend."""

    name: str
    milliseconds: float  #: best of the iterations
    largest_difference: float  #: from the reference's map


def benchmark_backends(patch: Array, iterations: int = 100, bundle: Bundle | None = None) -> list[BackendTiming]:
    """Every backend that runs here on one area (w + 10, w + 10) of landmark 30 (the nose tip), the fastest first.

    A first impression only: in a pipeline all landmarks go through at once (`auparity bench`).
    """
    bundle = bundle or default_bundle()
    reference = PatchExpertBackend("reference")
    reference.load_bundle(bundle)
    scale = float(bundle.face.main.experts[0].scale)
    expected, timings = reference.response(patch, 30, scale), []
    for name, why in available_backends(bundle.face.main).items():
        if why is not None:
            continue
        backend, best = PatchExpertBackend(name), float("inf")
        backend.load_bundle(bundle)
        response = backend.response(patch, 30, scale)
        for _ in range(max(iterations, 1)):
            start = time.perf_counter()
            backend.response(patch, 30, scale)
            best = min(best, time.perf_counter() - start)
        timings.append(BackendTiming(name, 1000 * best, float(np.abs(response - expected).max())))
    return sorted(timings, key=lambda timing: timing.milliseconds)


class BatchedAUPredictor:
    """All AU models in one product: ``BatchedAUPredictor(models).predict_all(full_vector, running_median)``.

    Parameters
    ----------
    models : the AU models of a bundle, `bundle.video_aus` or `bundle.image_aus`; None for the default bundle's.
    """

    def __init__(self, models: AUPredictors | None = None) -> None:
        self._predictors = models if models is not None else default_bundle().video_aus
        self._stage = registry().get("action_units", "batched").build(self._predictors)
        self._split = (
            self._stage.reference.n_features - 3 * self._predictors.pdm.n_points - self._predictors.pdm.n_modes
        )

    def predict_all(self, full_vector: Array, running_median: Array | None = None) -> dict[str, float]:
        """Raw intensities ("AU01_r", ...) and presences ("AU01_c", ...) of a feature vector (4702,): FHOG, geometry.

        Parameters
        ----------
        running_median : (4702,), the person's neutral face so far; needed by dynamic models.
        """
        pieces = [self._cut(full_vector)] + ([] if running_median is None else [self._cut(running_median)])
        intensity, presence = self._stage.predict(*(part for piece in pieces for part in piece))
        values = {f"{name}_r": float(v) for name, v in zip(INTENSITY_AUS, intensity[0], strict=True)}
        return values | {f"{name}_c": float(v) for name, v in zip(PRESENCE_AUS, presence[0], strict=True)}

    def _cut(self, vector: Array) -> tuple[Array, Array]:
        flat = np.asarray(vector, np.float64).reshape(1, -1)
        return flat[:, : self._split], flat[:, self._split :]


class AcceleratedAUPipeline:
    """Landmarks and AUs of one video, frame by frame: `Pipeline.best` with a clip begun."""

    def __init__(self, bundle: Bundle | None = None) -> None:
        self.pipeline = Pipeline.best(bundle)
        self.reset()

    def reset(self) -> None:
        """Begin another video."""
        self._session = self.pipeline.start_video()
        self._frames = 0

    def process_frame(self, frame: Array, timestamp: float | None = None) -> dict[str, Any]:
        """One frame (H, W, 3) uint8 BGR: "success", "landmarks" (68, 2) px, "aus" (name to raw intensity), "presences",
        "pose" and "result", the whole `FrameResult`. `timestamp` in seconds; None counts frames at 30 a second.
        """
        seconds = self._frames / 30 if timestamp is None else timestamp
        result: FrameResult = self._session.process_frame(frame, seconds)
        self._frames += 1
        return {
            "success": result.success,
            "landmarks": result.landmarks,
            "aus": dict(zip(INTENSITY_AUS, map(float, result.au_intensity), strict=True)),
            "presences": dict(zip(PRESENCE_AUS, map(float, result.au_presence), strict=True)),
            "pose": result.pose,
            "result": result,
        }

    def finish(self) -> dict[str, Array]:
        """AUs of all frames after post-processing: name to (T,) intensities, 0 to 5."""
        offline = self._session.finish()
        return dict(zip(INTENSITY_AUS, offline.intensity.T, strict=True))
