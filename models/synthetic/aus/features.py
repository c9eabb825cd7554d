"""Features of rendered faces with known action units, for training and judging AU models (spec 60.1 to 60.5).

Rendered people are measured by the reference's tracker, shape fit, alignment, FHOG, geometry and running medians; while
there is no landmark model yet, true landmarks with the noise of a tracker are used instead. T frames of a person become
one file of the workspace: features (T, 4702), running medians (T, 4702), truth (T, 18). Two processes work on different
people, and stored results are not made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.clips import Script, make_clip
from auparity.models.synthetic.person import sample_aus
from auparity.models.synthetic.training.processes import run_tasks
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import Picture
from auparity.models.synthetic.weak_perspective import Faces, WeakPerspective, turns
from auparity.models.types import MTCNN, PDM, AUPredictors, FaceModel
from auparity.reference.analysis import FaceDescriber
from auparity.reference.clm import ClmLandmarker
from auparity.reference.detection import Detections, detect_faces
from auparity.reference.fit_shape import fit_shape
from auparity.reference.grayscale import to_gray
from auparity.reference.images import Images
from auparity.reference.landmarks import LandmarkDetector
from auparity.reference.locator import FaceLocator, MtcnnLocator
from auparity.reference.pdm import ShapeModel, euler_from_rotation
from auparity.reference.running_median import geometry_median, hog_median
from auparity.reference.tracking import VideoTracker

Array = npt.NDArray[Any]
I32 = npt.NDArray[np.int32]

#: Noise of true landmarks that replace those of a tracker: shape in standard deviations, turn in rad, place and size as
#: shares of the distance of the outer eye corners and of the scale; half of it stays the same through a clip.
SHAPE_NOISE, TURN_NOISE, PLACE_NOISE, SCALE_NOISE = 0.22, 0.02, 0.008, 0.008
#: Error of the start of a fit in a session, as a multiple of that noise: as much as a face moves between frames.
START_NOISE = 2.0
SESSION_STRIDE = 12  #: frames between those of a session: 0.4 s
DRAWN = 0.6  #: share of a session's frames with expressions drawn at random
#: Error of a true box that replaces that of a detector, as a share of its size.
BOX_NOISE = 0.03


@dataclass(frozen=True, eq=False)
class ClipFeatures:
    """One person's frames that were tracked, in time order."""

    features: Array  #: (T, 4702) float32, FHOG then geometry
    medians: Array  #: (T, 4702) float32, the running medians that the frame is predicted with
    final_medians: Array  #: (4702,) float32, those at the end of the clip
    aus: Array  #: (T, 18) true intensities
    scripted: Array  #: (T,) bool: expressions as a clip shows them, not drawn at random for a session

    @classmethod
    def load(cls, workspace: Workspace, name: str) -> ClipFeatures:
        """A stored clip; AuparityError if there is none."""
        stored = workspace.load(name)
        features, medians = (
            np.concatenate([stored[f"hog{which}"], stored[f"geometry{which}"]], axis=-1).astype(np.float32)
            for which in ("", "_medians")
        )
        return cls(features[:-1], medians[:-1], medians[-1], stored["aus"], stored["scripted"])


@dataclass(frozen=True, eq=False)
class Collection:
    """A set of features to collect, and the models for it.

    A clip is tracked from its beginning, as in the pipeline. A session also shows one person, but its frames are far
    apart in time, and most of them show expressions drawn at random, so the same number of frames has ten times as many
    expressions. In a session the fit starts near the truth in each frame, as a tracker would.
    """

    name: str  #: folder of the workspace for the features
    first_seed: int  #: person k is rendered from first_seed + k
    people: int
    frames: int  #: of each
    sessions: bool
    pdm: PDM  #: of the AU module, as the triangulation
    triangulation: I32
    face: FaceModel | None = None  #: None: true landmarks with noise
    detector: MTCNN | None = None  #: finds the face at the start of a clip; None: the true box with a small error

    def result(self, number: int, *, mirrored: bool = False) -> str:
        """The name under which a person's features are stored."""
        return f"{self.name}/person_{self.first_seed + number}" + ("_mirrored" if mirrored else "")


def collect(workspace: Workspace, wanted: Collection) -> list[ClipFeatures]:
    """Features of rendered people, then, for sessions, of their mirror images; only those that are missing are made."""
    sides = (False, True) if wanted.sessions else (False,)
    names = [wanted.result(k, mirrored=side) for side in sides for k in range(wanted.people)]
    missing = [k for k in range(wanted.people) if not all(workspace.has(name) for name in names[k :: wanted.people])]
    if missing:
        workspace.log(f"{wanted.name}: {len(missing)} of {wanted.people} people, {wanted.frames} frames each, to go")
        run_tasks(workspace, wanted.name, _collect_one, [(workspace, wanted, k) for k in missing])
    return [ClipFeatures.load(workspace, name) for name in names]


def _collect_one(workspace: Workspace, wanted: Collection, number: int) -> None:
    seed, frames = wanted.first_seed + number, wanted.frames
    rng = np.random.default_rng([37, seed])
    clip = make_clip(seed, frames * (SESSION_STRIDE if wanted.sessions else 1), heads=workspace.heads())
    drawn = rng.random(frames) < (DRAWN if wanted.sessions else 0.0)
    if wanted.sessions:
        clip = replace(clip, script=session_script(clip.script, drawn, rng))
    pictures = (clip.frame(k) for k in range(frames))
    if wanted.face is None:
        landmarks = _noisy(pictures, wanted.pdm, rng)
    elif wanted.sessions:
        landmarks = _fitted(pictures, wanted.face, wanted.pdm, rng)
    else:
        landmarks = _tracked(pictures, wanted.face, wanted.detector, rng)
    tracked = list(landmarks)
    for name, seen in (
        (wanted.result(number), tracked),
        (wanted.result(number, mirrored=True), map(mirrored, tracked)),
    ):
        if wanted.sessions or seen is tracked:
            described = describe_clip(iter(seen), wanted.pdm, wanted.triangulation)
            workspace.save(name, **described, scripted=~drawn[described["index"]])


def mirrored(tracked: tuple[Picture, Array | None]) -> tuple[Picture, Array | None]:
    """A picture and its landmarks, mirrored: another face that need not be rendered.

    Of the truth only the landmarks and the action units, which are the same on both sides, are valid afterwards.
    """
    picture, landmarks = tracked
    if picture.truth is None or landmarks is None:
        return tracked
    flip = np.array([[-1, 1], [picture.image.shape[1] - 1, 0]], np.float32)
    truth = replace(picture.truth, landmarks=picture.truth.landmarks[MIRROR_68] * flip[0] + flip[1])
    image = np.ascontiguousarray(picture.image[:, ::-1])
    return Picture(image, truth), (landmarks[MIRROR_68] * flip[0] + flip[1]).astype(np.float32)


def session_script(script: Script, drawn: Array, rng: np.random.Generator) -> Script:
    """Every SESSION_STRIDE-th frame of a script; frames `drawn` (T,) bool show expressions drawn at random."""
    rows = slice(None, None, SESSION_STRIDE)
    aus = script.aus[rows].copy()
    for k in np.flatnonzero(drawn):
        aus[k] = sample_aus(rng)
    return Script(aus, script.gaze[rows], script.rotation[rows], script.offset[rows])


def describe_clip(tracked: Iterator[tuple[Picture, Array | None]], pdm: PDM, triangulation: I32) -> dict[str, Array]:
    """The stored arrays of a clip, from its pictures and their landmarks (68, 2) (None: not tracked).

    Failed frames are left out, and "index" lists the others. Descriptors and medians have one more row, which holds the
    medians at the end of the clip.
    """
    describer = FaceDescriber(AUPredictors((), pdm, triangulation))
    shape_model = ShapeModel(pdm)
    medians = (hog_median(), geometry_median())
    rows: list[tuple[Array, ...]] = []
    kept: list[int] = []
    for index, (picture, landmarks) in enumerate(tracked):
        if landmarks is None or picture.truth is None:
            for median, values in zip(medians, describer.describe_no_face(), strict=True):
                median.step(values, False)
            continue
        g, p = fit_shape(shape_model, landmarks[None])
        described = describer.describe(picture.image, landmarks, g[0], p[0])
        running = [median.step(values, True) for median, values in zip(medians, described, strict=True)]
        kept.append(index)
        rows.append((*described, *running, landmarks, picture.truth.landmarks, picture.truth.aus))
    width = (4464, 3 * pdm.n_points + pdm.n_modes)
    # A clip that was never tracked leaves no rows: nothing to learn from.
    nothing = [np.zeros((0, n)) for n in (*width, *width)] + [np.zeros((0, 68, 2))] * 2 + [np.zeros((0, 18))]
    columns = [np.stack(column) for column in zip(*rows, strict=True)] if rows else nothing
    hog, geometry, hog_running, geometry_running, success, truth, aus = columns
    last = [m.median[None] if len(m.median) else np.zeros((1, n)) for m, n in zip(medians, width, strict=True)]
    return {
        "hog": np.concatenate([hog, last[0]]).astype(np.float16),
        "geometry": np.concatenate([geometry, last[1]]).astype(np.float32),
        "hog_medians": np.concatenate([hog_running, last[0]]).astype(np.float16),
        "geometry_medians": np.concatenate([geometry_running, last[1]]).astype(np.float32),
        "landmarks": success.astype(np.float32),
        "true_landmarks": truth.astype(np.float32),
        "aus": aus.astype(np.float32),
        "index": np.array(kept, np.int64),
    }


def _tracked(
    pictures: Iterator[Picture], face: FaceModel, detector: MTCNN | None, rng: np.random.Generator
) -> Iterator[tuple[Picture, Array | None]]:
    """Pictures with the landmarks that the tracker finds."""
    locator: FaceLocator = _TruthLocator(rng) if detector is None else MtcnnLocator(lambda i: detect_faces(i, detector))
    tracker = VideoTracker(locator, ClmLandmarker(face))
    for picture in pictures:
        if isinstance(locator, _TruthLocator):
            locator.picture = picture
        tracker.track(picture.image)
        yield picture, tracker.state.landmarks if tracker.state.detection_success else None


class _TruthLocator:
    """Boxes near the true ones, for the picture that is being looked at."""

    picture: Picture

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        truth = self.picture.truth
        if truth is None:
            return [Detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))]
        box = truth.box + self._rng.normal(0, BOX_NOISE, 4) * np.tile(truth.box[2:], 2)
        return [Detections(box[None], np.ones(1), np.zeros((1, 5, 2)))]


def _fitted(
    pictures: Iterator[Picture], face: FaceModel, pdm: PDM, rng: np.random.Generator
) -> Iterator[tuple[Picture, Array | None]]:
    """Pictures with the landmarks that a fit finds from near the truth, with the windows of tracking."""
    fitter = FitNearTruth(face, pdm, rng)
    for picture in pictures:
        truth = picture.truth
        yield picture, None if truth is None else fitter.landmarks(picture.image, truth.landmarks, truth.pose)


class FitNearTruth:
    """Landmarks as a tracker would find them that had followed the face up to the frame before."""

    def __init__(self, face: FaceModel, pdm: PDM, rng: np.random.Generator) -> None:
        self.model, self.rng = WeakPerspective(pdm), rng
        self.detector = LandmarkDetector(face)

    def landmarks(self, image: Array, true_landmarks: Array, pose: Array) -> Array | None:
        """(68, 2) px, or None if the validator rejects them."""
        truth = self.model.fit(true_landmarks[None].astype(np.float64), pose[None, 3:])
        noise = START_NOISE * self.rng.standard_normal((1, noise_size(self.model)))
        start = with_noise(self.model, truth, noise)
        euler = euler_from_rotation(start.rotation)[0]
        state = replace(
            self.detector.initial_state(),
            params_global=np.concatenate([start.scale, euler, start.translation[0]]).astype(np.float32),
            params_local=start.local[0].astype(np.float32),
        )
        gray = to_gray(image[None])[0].astype(np.float32)
        state = self.detector.detect(gray, state, self.detector.parameters.track_windows)
        return state.landmarks if state.detection_success else None


def _noisy(pictures: Iterator[Picture], pdm: PDM, rng: np.random.Generator) -> Iterator[tuple[Picture, Array | None]]:
    """Pictures with shapes of the PDM near the true landmarks."""
    model = WeakPerspective(pdm)
    lasting = rng.standard_normal(noise_size(model))
    for picture in pictures:
        if picture.truth is None:
            yield picture, None
            continue
        faces = model.fit(picture.truth.landmarks[None], picture.truth.pose[None, 3:])
        noise = (lasting + rng.standard_normal(len(lasting))) / np.sqrt(2)
        yield picture, model.project(with_noise(model, faces, noise[None]))[0].astype(np.float32)


def noise_size(model: WeakPerspective) -> int:
    """Standard normal numbers for one face, as `with_noise` takes them."""
    return 6 + len(model.deviations)


def with_noise(model: WeakPerspective, faces: Faces, noise: Array) -> Faces:
    """Faces as a tracker would find them, moved by standard normal numbers (N, 6 + m)."""
    px = (faces.scale * model.inter_ocular)[:, None]
    return Faces(
        faces.scale * np.exp(SCALE_NOISE * noise[:, 0]),
        faces.rotation @ turns(TURN_NOISE * noise[:, 1:4]),
        faces.translation + PLACE_NOISE * noise[:, 4:6] * px,
        model.clamp(faces.local + SHAPE_NOISE * noise[:, 6:] * model.deviations),
    )
