"""The reference compared with the C++ program stage by stage, each on recorded inputs (spec 90.10, first row).

Every function takes a bundle and recordings and returns comparison records; an error is found in the stage that
makes it, independently of earlier stages.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.arrays import ComparisonRecord, compare_arrays
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.fidelity.frame_records import FitRecord, FrameRecord, LandmarkDetection
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.alignment import align_faces
from auparity.reference.detection import detect_faces, trace_detection
from auparity.reference.fhog import fhog
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import GRID_STEP, LandmarkFitter, MeanShiftProblem
from auparity.reference.gaze import gaze_angles, gaze_directions
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.grayscale import to_gray
from auparity.reference.head_pose import Camera, head_pose, landmarks_in_camera
from auparity.reference.landmarks import LandmarkDetector
from auparity.reference.patch_experts import PatchExpertBank
from auparity.reference.pdm import ShapeModel
from auparity.reference.running_median import geometry_median, hog_median, running_medians
from auparity.reference.stage_outputs import pose_entries

Array = npt.NDArray[Any]

#: The source of a recording: (clip, frame), or ("images", file name).
Source = tuple[str, int | str]

CLIPS = ("video01", "default", "lost", "hard")


def all_sources() -> list[Source]:
    """Every recorded frame and image of the CLNF runs."""
    frames: list[Source] = [(clip, k) for clip in CLIPS for k in golden_data.recorded_frames(clip)]
    return frames + [("images", path.name) for path in golden_data.image_paths()]


def random_cen_sources() -> list[Source]:
    """Recorded frames of the CE-CLM run with random experts, on the frames of video01."""
    return [("video01_random_cen", k) for k in golden_data.recorded_frames("video01_random_cen")]


def load(source: Source) -> tuple[Array, FrameRecord]:
    """Image (H, W, 3) and recording of a source."""
    clip, which = source
    if clip == "images":
        return golden_data.load_image(str(which)), golden_data.load_image_record(str(which))
    pixels = "video01" if clip == "video01_random_cen" else clip
    return golden_data.load_frame(pixels, int(which)), golden_data.load_record(clip, int(which))


def gray_of(image: Array) -> Array:
    return to_gray(image[None])[0].astype(np.float32)


def _compare(name: str, golden: list[Any] | Array, candidate: list[Any] | Array) -> ComparisonRecord:
    entry = tolerance("stage", name)
    return compare_arrays(name, np.asarray(golden), np.asarray(candidate), entry.tolerance, share=entry.share)


def check_detection(bundle: Bundle, sources: list[Source]) -> list[ComparisonRecord]:
    """Boxes and scores of images; candidates before and after R-Net where they were recorded."""
    golden, ours = [], []
    for source in sources:
        image, record = load(source)
        if record.detection is not None:
            trace = trace_detection(image, bundle.detector)
            golden += [record.detection.into_rnet, record.detection.after_rnet]
            ours += [np.column_stack([c.boxes, c.scores]) for c in (trace.into_rnet, trace.after_rnet)]
        if record.boxes is not None:
            detections = detect_faces(image, bundle.detector)
            golden.append(record.boxes)
            ours.append(np.column_stack([detections.boxes, detections.scores]))
    # Another number of candidates changes the shape, which fails.
    theirs, mine = np.concatenate(golden), np.concatenate(ours)
    same = theirs.shape == mine.shape
    return [
        _compare("detection_boxes", theirs[:, :4], mine[:, :4] if same else mine),
        _compare("detection_scores", theirs[:, 4], mine[:, 4]),
    ]


class FitChecker:
    """Response maps and fit passes of every recorded fit, main model and parts.

    Two decisions divide numbers into cells: where a patch is sampled (1/32 px) and where the mean-shift kernel is
    centred (0.1 px). On the border of a cell the last bit of a coordinate decides, and two programs do not always
    agree there. So a map, or a fit, that differs by more than rounding must become equal to the recorded one if
    coordinates on a border are moved to its other side; anything else is an error.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.fitters = {"main": LandmarkFitter(bundle.face.main)}
        self.fitters.update({part.name.removesuffix("_28"): LandmarkFitter(part.model) for part in bundle.face.parts})
        self.banks = {
            part: fitter.experts for part, fitter in self.fitters.items() if isinstance(fitter.experts, PatchExpertBank)
        }
        self.map_errors: list[float] = []
        self.maps_explained: list[float] = []  # the same with border decisions reversed
        self.golden: dict[str, list[Array]] = {"g": [], "p": []}
        self.ours: dict[str, list[Array]] = {"g": [], "p": []}
        self.fits = 0
        self.fits_on_border = 0

    def add(self, gray: Array, fit: FitRecord) -> None:
        """Compare one recorded fit: its maps from its input parameters, then both passes on its own maps."""
        fitter = self.fitters[fit.part]
        bank, model = self.banks[fit.part], fitter.shape_model
        responses = bank.response_maps(
            gray[None], fit.pglobal_in[None], fit.plocal_in[None], fit.window, fit.scale_index
        )
        visible = np.flatnonzero(responses.visible[0])
        landmarks = model.shape_2d(fit.pglobal_in, fit.plocal_in)
        maps = responses.maps[0].copy()
        off = []
        for landmark in visible:
            theirs = fit.responses[int(landmark)]
            self.map_errors.append(float(np.abs(maps[landmark] - theirs).max()))
            if self.map_errors[-1] > tolerance("stage", "response_maps").tolerance:
                off.append(int(landmark))
            else:
                self.maps_explained.append(self.map_errors[-1])
            maps[landmark] = theirs
        self._explain_maps(gray, fit, landmarks, off)
        problem = (
            model, maps, responses.visible[0], fit.sim_img_to_ref, fit.sim_ref_to_img, landmarks,
            fit.reg, fit.sigma, fit.sigma, 5, fitter.weights(fit.scale_index, fit.view, fit.weight),
        )  # fmt: skip
        self._pass(problem, (fit.pglobal_in, fit.plocal_in), (fit.pglobal_rigid, fit.plocal_rigid), rigid=True)
        self._pass(problem, (fit.pglobal_rigid, fit.plocal_rigid), (fit.pglobal_out, fit.plocal_out), rigid=False)

    def _explain_maps(self, gray: Array, fit: FitRecord, landmarks: Array, off: list[int]) -> None:
        """Smallest error of the maps in `off` over neighbouring positions, with the recorded similarity."""
        experts = self.banks[fit.part].experts_at(fit.scale_index)
        errors = {landmark: np.inf for landmark in off}
        for dx, dy in itertools.product((0, -1, 1, -2, 2), repeat=2) if off else ():
            moved = landmarks.copy()
            for axis, ulps in enumerate((dx, dy)):
                moved[:, axis] += np.float32(ulps) * np.spacing(landmarks[:, axis])
            maps, _ = experts.responses(gray, moved, fit.sim_ref_to_img, fit.window, fit.view)
            for landmark in off:
                error = float(np.abs(maps[landmark] - fit.responses[landmark]).max())
                errors[landmark] = min(errors[landmark], error)
        self.maps_explained.extend(errors.values())

    def _pass(
        self, problem: tuple[Any, ...], start: tuple[Array, Array], golden: tuple[Array, Array], *, rigid: bool
    ) -> None:
        limits = (tolerance("stage", "fit_global").tolerance, tolerance("stage", "fit_local").tolerance)
        theirs = (pose_entries(golden[0]), golden[1])

        def outcome(flipped: Iterable[Border] = (), seen: list[Border] | None = None) -> tuple[Array, Array]:
            g, p, _ = with_borders(frozenset(flipped), seen)(*problem).optimise(*start, rigid=rigid)
            return pose_entries(g), p

        def excess(mine: tuple[Array, Array]) -> float:
            return max(float(np.abs(a - b).max()) / limit for a, b, limit in zip(theirs, mine, limits, strict=True))

        borders: list[Border] = []
        best = outcome(seen=borders)
        self.fits += 1
        if excess(best) > 1 and borders:
            subsets = (c for size in (1, 2, 3) for c in itertools.combinations(borders[:MAX_BORDERS], size))
            other = min((outcome(c) for c in subsets), key=excess)
            if excess(other) <= 1:
                self.fits_on_border += 1
                best = other
        for k, which in enumerate("gp"):
            self.golden[which].append(theirs[k])
            self.ours[which].append(best[k])

    def records(self) -> list[ComparisonRecord]:
        errors, explained = np.array(self.map_errors), np.array(self.maps_explained)
        return [
            _compare("response_maps_median", np.zeros(1), np.median(errors)[None]),
            _compare("response_maps", np.zeros_like(errors), errors),
            _compare("response_maps_worst", np.zeros_like(errors), errors),
            _compare("response_maps_explained", np.zeros_like(explained), explained),
            _compare("fit_global", np.concatenate(self.golden["g"]), np.concatenate(self.ours["g"])),
            _compare("fit_local", np.concatenate(self.golden["p"]), np.concatenate(self.ours["p"])),
            _compare("fits_on_border", np.zeros(1), np.array([self.fits_on_border / self.fits])),
        ]


#: A position in a map on the border of a kernel cell: (number of the mean shift, landmark, axis).
Border = tuple[int, int, int]
#: Distance from a border, in ulps of the largest coordinate, within which a coordinate counts as on it.
BORDER_ULPS = 2
MAX_BORDERS = 8  # all combinations are tried; no fit has had more borders than this


def with_borders(flipped: frozenset[Border], seen: list[Border] | None = None) -> type[MeanShiftProblem]:
    """A `MeanShiftProblem` in which the border positions in `flipped` are moved into the neighbouring kernel cell.

    Mean shifts are numbered over all problems of the returned class; borders that occur are appended to `seen`.
    """
    numbers = itertools.count()

    class Problem(MeanShiftProblem):
        def mean_shifts(self, position: Array) -> Array:
            number, visible = next(numbers), np.flatnonzero(self.visible)
            reach = BORDER_ULPS * float(np.spacing(np.abs(self.base).max()))
            cells = position[visible].astype(np.float64) / GRID_STEP + 0.5
            away = cells - np.rint(cells)
            nudged = position.copy()
            for row, axis in np.argwhere(np.abs(away) < reach / GRID_STEP):
                border = (number, int(visible[row]), int(axis))
                if seen is not None:
                    seen.append(border)
                if border in flipped:
                    nudged[visible[row], axis] -= np.float32(np.copysign(2 * reach, away[row, axis]))
            return super().mean_shifts(nudged)

    return Problem


def check_fits(bundle: Bundle, sources: list[Source]) -> list[ComparisonRecord]:
    """Response maps from recorded parameters, and fit passes on recorded maps."""
    checker = FitChecker(bundle)
    for source in sources:
        image, record = load(source)
        gray = gray_of(image)
        for fit in record.fits:
            checker.add(gray, fit)
    return checker.records()


def check_validation(bundle: Bundle, sources: list[Source]) -> list[ComparisonRecord]:
    """Confidence of every recorded hypothesis at its final landmarks."""
    detector = LandmarkDetector(bundle.face)
    golden, ours = [], []
    for source in sources:
        image, record = load(source)
        gray = gray_of(image)
        for hypothesis in record.landmark_detections:
            if hypothesis.certainty is None or hypothesis.landmarks_final is None:
                continue
            orientation = _orientation(detector, hypothesis)
            confidence = detector.validator.confidence(gray[None], hypothesis.landmarks_final[None], orientation[None])
            golden.append(hypothesis.certainty)
            ours.append(float(confidence[0]))
    return [_compare("validation", golden, ours)]


def _orientation(detector: LandmarkDetector, hypothesis: LandmarkDetection) -> Array:
    """Euler angles (3,) that the validator got: of the main fit, or of CalcParams on the landmarks of the parts."""
    last = hypothesis.of("main")[-1]
    main = detector.main.shape
    landmarks = main.shape_2d(last.pglobal_out, last.plocal_out)
    ran = False
    for part, own in zip(detector.part_models, detector.parts, strict=True):
        for fit in (f for f in hypothesis.fits if f.part == part.name.removesuffix("_28")):
            ran = True
            points = own.shape.shape_2d(fit.pglobal_out, fit.plocal_out)
            landmarks[part.mapping[:, 0]] = points[part.mapping[:, 1]]
    return detector.main.fit_shape(landmarks[None])[0][0, 1:4] if ran else last.pglobal_out[1:4]


def _faces(sources: list[Source]) -> Iterator[tuple[Array, FrameRecord, Array]]:
    """Image, recording and final landmarks of the frames and images in which a face was analysed."""
    for source in sources:
        image, record = load(source)
        if record.analysis is None or record.analysis.pglobal is None:
            continue
        landmarks = record.state.landmarks if record.state is not None else record.faces[0].landmarks
        yield image, record, landmarks


def check_analysis(bundle: Bundle, sources: list[Source]) -> list[ComparisonRecord]:
    """CalcParams, alignment, FHOG and geometry, each from the recorded output of the stage before it."""
    model = ShapeModel(bundle.video_aus.pdm)
    rows: dict[str, tuple[list[Array], list[Array]]] = {}

    def add(name: str, golden: Array, ours: Array) -> None:
        pair = rows.setdefault(name, ([], []))
        pair[0].append(golden)
        pair[1].append(ours)

    for image, record, landmarks in _faces(sources):
        fa = record.analysis
        assert fa is not None
        assert fa.pglobal is not None
        assert fa.plocal is not None
        g, p = fit_shape(model, landmarks[None])
        add("fit_shape_global", fa.pglobal, g[0])
        add("fit_shape_local", fa.plocal, p[0])
        golden_g = fa.pglobal.astype(np.float32)[None]
        aus = bundle.image_aus if record.state is None else bundle.video_aus
        aligned = align_faces(image[None], landmarks[None], golden_g, aus.pdm, aus.triangulation)[0]
        levels = fa.aligned.astype(int)
        add("alignment", levels, aligned.astype(int))
        add("alignment_values", np.zeros(1), np.array([np.count_nonzero(levels - aligned.astype(int))]))
        add("fhog", fa.hog, fhog(fa.aligned[None])[0])
        add("geometry", fa.geom, geometry_descriptor(fa.plocal.astype(np.float32)[None], aus.pdm)[0])
    return [_compare(name, np.stack(golden), np.stack(ours)) for name, (golden, ours) in rows.items()]


def check_prediction(bundle: Bundle) -> list[ComparisonRecord]:
    """Running medians over the first recorded frames; AU values on recorded descriptors and medians."""
    models = ActionUnitModels(bundle.video_aus)
    medians: tuple[list[Array], list[Array]] = ([], [])
    values: tuple[list[Array], list[Array]] = ([], [])
    presences: tuple[list[Array], list[Array]] = ([], [])
    for clip in ("video01", "default"):
        state = golden_data.load_state(clip)
        frames = golden_data.recorded_frames(clip)
        recorded = {k: golden_data.load_record(clip, k).analysis for k in frames}
        in_order = [recorded[k] for k in range(6)]
        success = np.ones(len(in_order), np.bool_)
        for name, state_machine in (("hog", hog_median()), ("geom", geometry_median())):
            ours = running_medians(np.stack([getattr(fa, name) for fa in in_order]), success, state_machine)
            medians[0].append(np.stack([getattr(fa, f"{name}_median") for fa in in_order]).ravel())
            medians[1].append(ours.ravel())
        for k, fa in recorded.items():
            assert fa is not None
            arrays = (fa.hog, fa.geom, fa.hog_median, fa.geom_median)
            intensity, presence = models.predict(*(np.asarray(a)[None] for a in arrays))
            values[0].append(state.au_r[k])
            values[1].append(intensity[0])
            presences[0].append(state.au_c[k])
            presences[1].append(presence[0])
    return [
        _compare("running_median", np.concatenate(medians[0]), np.concatenate(medians[1])),
        _compare("action_units", np.stack(values[0]), np.stack(values[1])),
        _compare("action_units_presence", np.stack(presences[0]), np.stack(presences[1])),
    ]


def check_pose_and_gaze(bundle: Bundle, clips: tuple[str, ...] = CLIPS) -> list[ComparisonRecord]:
    """Head pose and gaze on the recorded states of all successful frames."""
    main, parts = ShapeModel(bundle.face.main.pdm), {part.name: part.model.pdm for part in bundle.face.parts}
    eyes = [ShapeModel(parts[name]) for name in ("left_eye_28", "right_eye_28")]
    poses: tuple[list[Array], list[Array]] = ([], [])
    gazes: tuple[list[Array], list[Array]] = ([], [])
    for clip in clips:
        state, ok = golden_data.load_state(clip), golden_data.load_state(clip).returned
        height, width = golden_data.load_frame(clip, 0).shape[:2]
        camera = Camera.for_image(width, height)
        face = (state.pglobal[ok], state.plocal[ok], state.landmarks[ok])
        pose = head_pose(main, *face, camera)
        face_3d = landmarks_in_camera(main, *face, camera)
        eyes_3d = [
            landmarks_in_camera(
                model, state.eye_pglobal[ok, k], state.eye_plocal[ok, k], state.eye_landmarks[ok, k], camera
            )
            for k, model in enumerate(eyes)
        ]
        gaze = gaze_directions(face_3d, np.stack(eyes_3d, axis=1), pose[:, 3:])
        poses[0].append(state.pose[ok])
        poses[1].append(pose)
        gazes[0].append(np.concatenate([state.gaze[ok].reshape(-1), state.gaze_angles[ok].reshape(-1)]))
        gazes[1].append(np.concatenate([gaze.reshape(-1), gaze_angles(gaze).reshape(-1)]))
    return [
        _compare("head_pose", np.concatenate(poses[0]), np.concatenate(poses[1])),
        _compare("gaze", np.concatenate(gazes[0]), np.concatenate(gazes[1])),
    ]
