"""Runs the reference pipeline of a bundle on rendered pictures and clips and keeps what it said beside the truth.

Four kinds of tasks, each a function of a few seeds that training never saw, so that any of them can be done by any
process and repeated alone. `faces` names the file of a morphable model whose people they show; None means drawn heads.
The kinds are: tracked clips; detection in photographs and in pictures without a face; whole photographs
(eleven orientations, static AUs); single fits from good and from bad boxes, for the validator. In: a bundle's source
and seeds; out: dictionaries of arrays, which `truth` stores.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.models.synthetic import types as synthetic
from auparity.models.synthetic.clips import FPS, render_clip
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.render import DRAWN, render_background, render_photograph
from auparity.reference.head_pose import Camera
from auparity.reference.hypotheses import MULTI_VIEW, start_state
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import FrameResult
from auparity.reports.truth import metrics

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

#: Seeds from here on are held out; each kind of task has a million of its own, past the clips' that the demo shows.
CLIP_SEEDS, DETECTION_SEEDS, BACKGROUND_SEEDS, PHOTOGRAPH_SEEDS, FIT_SEEDS = (
    3_000_000, 4_000_000, 5_000_000, 6_000_000, 7_000_000,
)  # fmt: skip
#: Detection is asked of what a webcam, an interview or a film still sees.
DETECTION_CANVAS = (640, 480)
DETECTION_WIDTHS = (60.0, 400.0)  # px, frontal face from ear to ear
DETECTION_YAW = 45.0  # degrees
PHOTOGRAPH_CANVAS = (320, 320)
#: Bad boxes: how far beside the face (share of its width) and how much too small or large.
BOX_SHIFT, BOX_SCALE = (0.35, 0.9), (0.6, 1.6)
BAD_BOXES = 2  # for each photograph

LANDMARK_MODELS = ("ceclm", "clnf")
_TRUTH_FIELDS = ("landmarks", "visible", "pose", "gaze", "aus", "eye_landmarks")
_RESULT_FIELDS = ("landmarks", "pose", "gaze", "au_intensity", "au_presence", "eye_landmarks")


def load_bundle(source: str) -> Bundle:
    """The bundle that `--models` names: see `auparity.models.sources`; "DIR:clnf" also names the landmark model."""
    folder, _, landmark_model = source.rpartition(":")
    if folder and landmark_model in LANDMARK_MODELS:
        return open_bundle(folder, landmark_model)
    return open_bundle(source)


@lru_cache(maxsize=1)
def pipeline(source: str) -> ReferencePipeline:
    """The pipeline of this process."""
    return ReferencePipeline(load_bundle(source))


def camera_of(truth: synthetic.Truth) -> Camera:
    """The camera that drew a picture, as the pipeline takes it: pose and gaze are measured as with a calibrated one."""
    camera = truth.camera
    return Camera(camera.focal, camera.focal, camera.centre_x, camera.centre_y)


def heads_of(faces: str | None) -> Heads:
    """Where rendered people come from: drawn heads, or those of the morphable model in a file."""
    if faces is None:
        return DRAWN
    from auparity.models.synthetic.morphable.heads import morphable_heads  # needs Numba and the model's file

    return morphable_heads(faces)


def track_clip(source: str, seed: int, frames: int, faces: str | None = None) -> Arrays:
    """One clip through the tracker: results and truth of every frame (F, ...), AUs after post-processing.

    `seconds` is the pipeline's time for a frame, without the rendering.
    """
    results: list[FrameResult] = []
    truths: list[synthetic.Truth] = []
    session, seconds = None, 0.0
    for index, picture in enumerate(render_clip(seed, frames, heads=heads_of(faces))):
        truth = truth_of(picture)
        start = time.perf_counter()
        session = session or pipeline(source).start_video(camera=camera_of(truth))
        results.append(session.process_frame(picture.image, index / FPS))
        seconds += time.perf_counter() - start
        truths.append(truth)
    if session is None:
        raise AuparityError("a clip of no frames cannot be tracked; ask for at least one.")
    start = time.perf_counter()
    offline = session.finish()
    seconds += time.perf_counter() - start
    arrays = _stacked(results, truths)
    arrays |= {"au_intensity": offline.intensity, "au_presence": offline.presence}
    return arrays | {"seconds": np.array(seconds / len(results))}


def detect_in_photographs(source: str, first_seed: int, count: int, faces: str | None = None) -> Arrays:
    """Boxes (K, 4) and scores (K,) in photographs of one face each and which picture they are of; the faces' boxes and
    what share of each is inside its picture.
    """
    pictures = (
        render_photograph(
            first_seed + k,
            canvas=DETECTION_CANVAS,
            face_width=DETECTION_WIDTHS,
            yaw=DETECTION_YAW,
            heads=heads_of(faces),
        )
        for k in range(count)
    )
    return _detected(source, pictures)


def detect_in_backgrounds(source: str, first_seed: int, count: int, faces: str | None = None) -> Arrays:
    """The same in pictures without a face."""
    return _detected(
        source, (render_background(first_seed + k, DETECTION_CANVAS, heads_of(faces)) for k in range(count))
    )


def measure_photographs(source: str, first_seed: int, count: int, faces: str | None = None) -> Arrays:
    """Photographs measured whole: of the faces found, the one on the true face; zeros and success 0 where none is."""
    results, truths = [], []
    for k in range(count):
        picture = render_photograph(first_seed + k, canvas=PHOTOGRAPH_CANVAS, heads=heads_of(faces))
        truth = truth_of(picture)
        found = pipeline(source).process_image(picture.image, camera=camera_of(truth))
        results.append(on_face(found, truth))
        truths.append(truth)
    return _stacked(results, truths)


def fit_good_and_bad(source: str, first_seed: int, count: int, faces: str | None = None) -> Arrays:
    """Fits from the true box and the nearest starting rotation, from boxes beside the face, in pictures without one.

    `confidence` (K,) of the validator, `error` (K,) of the landmarks (infinite without a face).
    """
    detector = pipeline(source).landmark_detector
    confidence, error = [], []

    def fit(gray: Array, box: Array, rotation: tuple[float, ...], true: Array | None) -> None:
        start = start_state(detector, box.astype(np.float32), rotation, detector.initial_state())
        state = detector.detect(gray, start, detector.parameters.init_windows)
        confidence.append(state.confidence)
        error.append(np.inf if true is None else float(metrics.landmark_errors(state.landmarks[None], true[None])[0]))

    for k in range(count):
        seed = first_seed + k
        rng = np.random.default_rng(seed)
        picture = render_photograph(seed, canvas=PHOTOGRAPH_CANVAS, heads=heads_of(faces))
        truth, gray = truth_of(picture), pipeline(source).clm.to_gray(picture.image)
        nearest = int(np.argmin(np.linalg.norm(np.array(MULTI_VIEW) - truth.pose[3:], axis=1)))
        fit(gray, truth.box, MULTI_VIEW[nearest], truth.landmarks)
        for _ in range(BAD_BOXES):
            fit(gray, _bad_box(truth.box, rng), _any_view(rng), truth.landmarks)
        empty = render_background(seed, PHOTOGRAPH_CANVAS, heads_of(faces))
        fit(pipeline(source).clm.to_gray(empty.image), truth.box, _any_view(rng), None)
    return {"confidence": np.array(confidence), "error": np.array(error)}


def _any_view(rng: np.random.Generator) -> tuple[float, ...]:
    return MULTI_VIEW[int(rng.integers(len(MULTI_VIEW)))]


def _bad_box(box: Array, rng: np.random.Generator) -> Array:
    """A box beside the face and of another size."""
    angle, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(*np.log(BOX_SCALE)))
    shift = rng.uniform(*BOX_SHIFT) * box[2] * np.array([np.cos(angle), np.sin(angle)])
    centre = box[:2] + box[2:] / 2 + shift
    return np.concatenate([centre - scale * box[2:] / 2, scale * box[2:]])


def _detected(source: str, pictures: Any) -> Arrays:
    locator = pipeline(source).locator
    boxes, scores, image, true, inside = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros(0, int)], [], []
    for index, picture in enumerate(pictures):
        (detections,) = locator.locate([picture.image])
        boxes.append(detections.boxes)
        scores.append(detections.scores)
        image.append(np.full(len(detections), index))
        true.append(np.full(4, np.nan) if picture.truth is None else picture.truth.box)
        inside.append(metrics.share_inside(true[-1], (picture.image.shape[1], picture.image.shape[0])))
    return {
        "boxes": np.concatenate(boxes), "scores": np.concatenate(scores), "image": np.concatenate(image),
        "true": np.stack(true), "inside": np.array(inside),
    }  # fmt: skip


def on_face(faces: list[FrameResult], truth: synthetic.Truth) -> FrameResult | None:
    """The face whose landmarks' box overlaps the true one enough, and most."""
    if not faces:
        return None
    low = np.stack([face.landmarks.min(axis=0) for face in faces])
    high = np.stack([face.landmarks.max(axis=0) for face in faces])
    overlap = metrics.iou(np.concatenate([low, high - low], axis=1), truth.box[None])[:, 0]
    best = int(np.argmax(overlap))
    return faces[best] if overlap[best] >= metrics.DETECTION_IOU else None


def _stacked(results: list[FrameResult] | list[FrameResult | None], truths: list[synthetic.Truth]) -> Arrays:
    """Arrays by name; those of the truth begin with ``true_``. Zeros stand for a result that is None."""
    example = next((result for result in results if result is not None), None)
    arrays: Arrays = {f"true_{name}": np.stack([getattr(t, name) for t in truths]) for name in _TRUTH_FIELDS}
    arrays["success"] = np.array([result is not None and result.success for result in results])
    arrays["confidence"] = np.array([0.0 if result is None else result.confidence for result in results])
    for name in _RESULT_FIELDS:
        empty = np.zeros(_shape_of(name) if example is None else getattr(example, name).shape)
        arrays[name] = np.stack([empty if result is None else getattr(result, name) for result in results])
    return arrays


def _shape_of(name: str) -> tuple[int, ...]:
    shapes = {"landmarks": (68, 2), "pose": (6,), "gaze": (2, 3), "eye_landmarks": (2, 28, 2)}
    return shapes.get(name, (17,) if name == "au_intensity" else (18,))


def truth_of(picture: synthetic.Picture) -> synthetic.Truth:
    assert picture.truth is not None  # clips and photographs show a face
    return picture.truth
