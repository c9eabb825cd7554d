"""The stage records of one frame of the C++ program, as dataclasses: face detector, fits of the main model and its
parts, validator, AU half, model state, faces of an image. Arrays in a record file are in the order in which they were
computed, and a suffix `#k` counts occurrences of that *name*, not hypotheses of the fit, so fits are grouped in file
order: each `pglobal_in` begins one. Points are (n, 2) px, parameters as (6,) and (m,), images as (H, W, 3) in B,G,R
order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Part = Literal["main", "inner", "left_eye", "right_eye"]

MAIN_POINTS, INNER_POINTS, EYE_POINTS = 68, 51, 28

_OCCURRENCE = re.compile(r"#\d+$")
_FIT_NAME = re.compile(r"m(\d+)\.s(\d+)\.w(\d+)\.(.+)")


def points(flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., 2n) of an x block and a y block -> (..., n, 2)."""
    return np.ascontiguousarray(np.swapaxes(flat.reshape(*flat.shape[:-1], 2, -1), -1, -2))


def in_csv_order(values: npt.NDArray[Any], names: list[str], order: tuple[str, ...]) -> npt.NDArray[Any]:
    """AU columns (..., len(names)) in the order of `order`."""
    plain = [name.removesuffix("_r").removesuffix("_c") for name in names]
    return np.ascontiguousarray(values[..., [plain.index(name) for name in order]])


@dataclass(frozen=True, eq=False)
class PyramidLevel:
    """P-Net at one level of the pyramid."""

    input: F32  #: (h, w, 3) normalised, B,G,R: recorded *before* the channels are reversed
    probability: F32  #: (h', w')
    regression: F32  #: (h', w', 4) cx, cy, cw, ch


@dataclass(frozen=True, eq=False)
class DetectionRecord:
    """One run of the face detector; boxes are rows of x, y, w, h px and score."""

    levels: tuple[PyramidLevel, ...]  #: empty in `three_faces`
    after_pnet_scale_nms: F32  #: (K, 5) spec 20.5 step 1
    into_rnet: F32  #: (K, 5) after steps 2 and 3, with P-Net's score
    after_rnet: F32  #: (K, 5) after step 5, with R-Net's score


@dataclass(frozen=True, eq=False)
class FitRecord:
    """One scale of one fit (spec 50.2), of the main model or a part; n points, m modes, window w."""

    part: Part
    scale_index: int
    window: int
    pglobal_in: F32  #: (6,)
    plocal_in: F32  #: (m,)
    responses: Mapping[int, F32]  #: landmark -> (w, w); for landmarks invisible in `view` absent or stale
    sim_img_to_ref: F32  #: (2, 2)
    sim_ref_to_img: F32  #: (2, 2)
    view: int
    reg: float
    sigma: float
    weight: float
    pglobal_rigid: F32  #: (6,) after the rigid stage
    plocal_rigid: F32  #: (m,)
    pglobal_out: F32  #: (6,) after the non-rigid stage
    plocal_out: F32  #: (m,)
    lhoods: F32  #: (n,), or (0,): stale or empty where spec 50.2.5 computes none
    model_likelihood: float  #: stale, or -10, where spec 50.2.5 computes none

    @property
    def n_points(self) -> int:
        return {"main": MAIN_POINTS, "inner": INNER_POINTS}.get(self.part, EYE_POINTS)


@dataclass(frozen=True, eq=False)
class LandmarkDetection:
    """One hypothesis, or one tracking step (spec 50.6): its fits and the validator's result.

    The first stage of CE-CLM hypotheses (spec 50.9) runs one scale without validation; the second stage,
    which continues it, belongs to the same detection.
    """

    fits: tuple[FitRecord, ...]
    certainty: float | None  #: None if the validator was not called (the fit failed)
    landmarks_final: F32 | None  #: (68, 2) px, after the parts; None as above

    def of(self, part: Part) -> tuple[FitRecord, ...]:
        """The fits of one part, coarse scale first."""
        return tuple(fit for fit in self.fits if fit.part == part)


@dataclass(frozen=True, eq=False)
class AnalysisRecord:
    """The AU half of one frame (`fa.*`)."""

    aligned: U8  #: (112, 112, 3) B,G,R
    hog: F64  #: (4464,) float32 values
    geom: F64  #: (238,)
    view: int
    hog_median: F64 | None  #: (4464,); None for images
    geom_median: F64 | None  #: (238,); None for images
    pglobal: F64 | None  #: (6,) of CalcParams, float32 values; None on failed frames
    plocal: F64 | None  #: (34,) of CalcParams, float32 values; None on failed frames


@dataclass(frozen=True, eq=False)
class ModelState:
    """The main model after a frame."""

    landmarks: F32  #: (68, 2) px
    pglobal: F32  #: (6,)
    plocal: F32  #: (34,)


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One face of an image: multi-view fit and static AU models."""

    success: bool
    certainty: float
    landmarks: F32  #: (68, 2) px
    pglobal: F32  #: (6,)
    plocal: F32  #: (34,)
    au_r: F32  #: (17,) clamped, order of INTENSITY_AUS
    au_c: F32  #: (18,) order of PRESENCE_AUS


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """All recordings of one frame or image."""

    name: str
    fits: tuple[FitRecord, ...]  #: in the order computed
    landmark_detections: tuple[LandmarkDetection, ...]  #: the same fits, grouped
    detection: DetectionRecord | None
    fits_before_detection: int  #: how many of `fits` ran before the face detector
    analysis: AnalysisRecord | None
    state: ModelState | None  #: None for images
    boxes: F32 | None  #: (K, 5) x, y, w, h, score after the final correction; images only
    faces: tuple[FaceRecord, ...]  #: images only


@dataclass(eq=False)
class _Sorter:
    """Reads a record file in file order and assigns its arrays."""

    fits: list[FitRecord] = field(default_factory=list)
    detections: list[LandmarkDetection] = field(default_factory=list)
    fits_before_detection: int = 0
    _open: dict[str, Any] = field(default_factory=dict)
    _open_key: tuple[int, int, int] | None = None
    _group: list[FitRecord] = field(default_factory=list)
    _certainty: float | None = None
    _eye: Part = "right_eye"  # so that the first eye is the left one

    def walk(self, arrays: Iterator[tuple[str, npt.NDArray[Any]]]) -> None:
        for name, array in arrays:
            plain = _OCCURRENCE.sub("", name)
            match = _FIT_NAME.fullmatch(plain)
            if match:
                self._fit_array((int(match[1]), int(match[2]), int(match[3])), match[4], array, name)
                continue
            self._close_fit()
            if plain == "m68.certainty":
                self._certainty = float(array.item())
            elif plain == "m68.landmarks_final":
                self._close_detection(points(array.ravel()))
            elif plain == "mtcnn.boxes_after_rnet":
                self._close_detection(None)
                self.fits_before_detection = len(self.fits)
        self._close_fit()
        self._close_detection(None)

    def _fit_array(self, key: tuple[int, int, int], what: str, array: npt.NDArray[Any], name: str) -> None:
        if what == "pglobal_in":
            self._close_fit()
            self._open_key = key
        elif key != self._open_key or what in self._open:
            raise ValueError(f"{name} does not belong to the current fit, {self._open_key}")
        self._open[what] = array

    def _close_fit(self) -> None:
        if self._open_key is None:
            return
        points, scale, window = self._open_key
        if points == EYE_POINTS and scale == 0:  # the eyes take turns, each with all its scales
            self._eye = "left_eye" if self._eye == "right_eye" else "right_eye"
        parts: dict[int, Part] = {MAIN_POINTS: "main", INNER_POINTS: "inner", EYE_POINTS: self._eye}
        fit = _fit_record(parts[points], scale, window, self._open)
        if fit.part == "main" and self._group:
            last = self._group[-1]
            if last.part != "main" or fit.scale_index <= last.scale_index:
                self._close_detection(None)
        self.fits.append(fit)
        self._group.append(fit)
        self._open, self._open_key = {}, None

    def _close_detection(self, landmarks: F32 | None) -> None:
        if self._group:
            self.detections.append(LandmarkDetection(tuple(self._group), self._certainty, landmarks))
        self._group, self._certainty = [], None


def _fit_record(part: Part, scale: int, window: int, arrays: dict[str, npt.NDArray[Any]]) -> FitRecord:
    flat = ("pglobal_in", "plocal_in", "pglobal_rigid", "plocal_rigid", "pglobal_out", "plocal_out", "lhoods")
    reg, sigma, weight = (float(v) for v in arrays["reg_sigma_weight"].ravel())
    prefix = "response."
    return FitRecord(
        part=part,
        scale_index=scale,
        window=window,
        **{name: arrays[name].ravel() for name in flat},
        responses={int(n.removeprefix(prefix)): a for n, a in arrays.items() if n.startswith(prefix)},
        sim_img_to_ref=arrays["sim_img_to_ref"],
        sim_ref_to_img=arrays["sim_ref_to_img"],
        view=int(arrays["view"].item()),
        reg=reg,
        sigma=sigma,
        weight=weight,
        model_likelihood=float(arrays["model_likelihood"].item()),
    )


def _detection_record(z: Mapping[str, npt.NDArray[Any]]) -> DetectionRecord | None:
    if "mtcnn.boxes_after_rnet" not in z:
        return None
    if "mtcnn.boxes_after_rnet#1" in z:
        raise ValueError("two runs of the face detector in one record; one was expected")
    levels: list[PyramidLevel] = []
    while (key := f"mtcnn.pnet.in.{len(levels)}") in z:
        i = len(levels)
        image = z[key]
        regression = np.stack([z[f"mtcnn.pnet.reg{c}.{i}"] for c in range(4)], axis=-1)
        levels.append(PyramidLevel(image.reshape(image.shape[0], -1, 3), z[f"mtcnn.pnet.prob.{i}"], regression))
    names = ("boxes_after_pnet_scale_nms", "boxes_into_rnet", "boxes_after_rnet")
    return DetectionRecord(tuple(levels), *(z[f"mtcnn.{name}"].reshape(-1, 5) for name in names))


def _analysis_record(z: Mapping[str, npt.NDArray[Any]]) -> AnalysisRecord | None:
    if "fa.aligned" not in z:
        return None
    optional = ("hog_median", "geom_median", "pglobal", "plocal")
    return AnalysisRecord(
        aligned=z["fa.aligned"],
        hog=z["fa.hog"].ravel(),
        geom=z["fa.geom"].ravel(),
        view=int(z["fa.view"].item()),
        **{name: z[f"fa.{name}"].ravel() if f"fa.{name}" in z else None for name in optional},
    )


def _face_record(z: Mapping[str, npt.NDArray[Any]], k: int) -> FaceRecord:
    def aus(kind: str, order: tuple[str, ...]) -> npt.NDArray[Any]:
        prefix = f"face{k}.AU_{kind}:"
        key = next(name for name in z if name.startswith(prefix))
        return in_csv_order(z[key].ravel(), key.removeprefix(prefix).rstrip(",").split(","), order)

    return FaceRecord(
        success=bool(z[f"face{k}.success"].item()),
        certainty=float(z[f"face{k}.certainty"].item()),
        landmarks=points(z[f"face{k}.landmarks"].ravel()),
        pglobal=z[f"face{k}.pglobal"].ravel(),
        plocal=z[f"face{k}.plocal"].ravel(),
        au_r=aus("r", INTENSITY_AUS),
        au_c=aus("c", PRESENCE_AUS),
    )


def read_record(path: Path) -> FrameRecord:
    """A stage-record file, `golden/<clip>/frames/fNNNN.npz` or `golden/images/<file name>.npz`."""
    with np.load(path) as file:
        z = {name: file[name] for name in file.files}  # in file order
    sorter = _Sorter()
    sorter.walk(iter(z.items()))
    state = None
    if "model.landmarks" in z:
        state = ModelState(points(z["model.landmarks"].ravel()), z["model.pglobal"].ravel(), z["model.plocal"].ravel())
    n_faces = 0
    while f"face{n_faces}.success" in z:
        n_faces += 1
    return FrameRecord(
        name=path.stem,
        fits=tuple(sorter.fits),
        landmark_detections=tuple(sorter.detections),
        detection=_detection_record(z),
        fits_before_detection=sorter.fits_before_detection,
        analysis=_analysis_record(z),
        state=state,
        boxes=z["boxes"].reshape(-1, 5) if "boxes" in z else None,
        faces=tuple(_face_record(z, k) for k in range(n_faces)),
    )
