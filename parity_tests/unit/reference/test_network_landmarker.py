"""Networks as locator and landmarker: what is believed, what is followed, and that a whole pipeline runs with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.types import PFLD, STAR, LandmarkNetwork
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.images import Images
from auparity.reference.model_families import landmarker_of, locator_of
from auparity.reference.networks.crops import box_of_landmarks, mtcnn_box, square_of, star_crop_of
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.networks.face_locator import RetinaFaceLocator
from auparity.reference.networks.retinaface import RawFaces, priors
from auparity.reference.networks.wflw import to_68
from auparity.reference.numerics import FLOAT64
from auparity.reference.pdm import ShapeModel
from auparity.reference.pipeline import ReferencePipeline

BUNDLE = Bundle.embedded(networks=False)
PDM = BUNDLE.face.main.pdm
RNG = np.random.default_rng(9)
IMAGE = RNG.integers(0, 256, (240, 320, 3)).astype(np.uint8)
IMAGES = Images([IMAGE])


def mean_face() -> np.ndarray:
    """The mean shape where a crop of its own landmarks' box has it, (68, 2) in parts of the crop."""
    shape = ShapeModel(PDM)
    points = shape.shape_2d(np.array([40, 0, 0, 0, 2000, 2000], np.float32), np.zeros(shape.n_modes, np.float32))
    extent = np.concatenate([points.min(0), np.ptp(points, axis=0)])
    square = square_of(box_of_landmarks(extent[None])[0])
    return (points - [square.left, square.top]) / square.size


FACE = mean_face()


class Sees:
    """A network that says the same of every crop, and counts its calls."""

    def __init__(self, *points):
        self.points, self.calls, self.crops = list(points), 0, []

    def __call__(self, crops):
        said = self.points[min(self.calls, len(self.points) - 1)]
        self.calls += 1
        self.crops.append(crops)
        return np.repeat(said[None].astype(np.float32), len(crops), axis=0)


BOX = np.array([[100.0, 80, 70, 60]], np.float32)
NO_FACE = RNG.uniform(0, 1, (68, 2))


def test_a_new_face_is_looked_at_twice_and_believed_where_it_stays():
    network = Sees(FACE)
    states = NetworkLandmarker(network, PDM).start(IMAGES, [0], BOX)
    assert network.calls == 2
    assert network.crops[0].shape == (1, 112, 112, 3)
    assert states.accepted.tolist() == [True]
    assert states[0].confidence > 0.9
    centre = states[0].landmarks.min(0) + np.ptp(states[0].landmarks, axis=0) / 2
    # Crops are of whole pixels, and this mean face has other proportions than the measured boxes.
    assert np.abs(centre - [135, 110]).max() < 5
    assert states[0].points is None
    assert np.abs(states[0].params_local).max() < 1.0
    fitted = ShapeModel(PDM).shape_2d(states[0].params_global, states[0].params_local)
    assert np.abs(fitted - states[0].landmarks).max() < 0.1


def test_points_that_move_between_two_looks_are_no_face():
    moved = FACE + [0.12, 0]
    landmarker = NetworkLandmarker(Sees(FACE, moved), PDM)
    state = landmarker.start(IMAGES, [0], BOX)[0]
    assert not state.detection_success
    assert state.confidence < 0.5


def test_a_followed_face_is_looked_at_once_where_its_landmarks_were():
    network = Sees(FACE)
    landmarker = NetworkLandmarker(network, PDM)
    before = landmarker.start(IMAGES, [0], BOX)
    network.calls = 0
    after = landmarker.follow(IMAGES, [0], before)
    assert network.calls == 1
    assert after.success.tolist() == [True]
    assert np.abs(after.landmarks - before.landmarks).max() < 3


def test_a_shape_that_is_no_face_is_looked_at_again_and_then_not_believed():
    landmarker = NetworkLandmarker(Sees(NO_FACE, NO_FACE + 0.2), PDM)
    state = landmarker.follow(IMAGES, [0], landmarker.place(BOX))[0]
    assert not state.detection_success
    network = Sees(NO_FACE, FACE, FACE)
    NetworkLandmarker(network, PDM).follow(IMAGES, [0], landmarker.place(BOX))
    assert network.calls == 2


def test_a_doubtful_shape_that_stays_where_it_is_is_believed():
    """An expression that the shape model has not seen: only the second look can tell."""
    odd = FACE.copy()
    odd[48:68:3] += [0.02, 0.03]
    extent = np.concatenate([odd.min(0), np.ptp(odd, axis=0)])
    assert np.allclose(extent, np.concatenate([FACE.min(0), np.ptp(FACE, axis=0)]), atol=0.01)
    network = Sees(odd)
    landmarker = NetworkLandmarker(network, PDM)
    state = landmarker.follow(IMAGES, [0], landmarker.place(BOX))[0]
    assert network.calls == 2
    assert state.detection_success


def test_a_face_that_left_the_image_is_not_believed():
    landmarker = NetworkLandmarker(Sees(FACE), PDM)
    half = landmarker.start(IMAGES, [0], np.array([[-25.0, 80, 70, 60]], np.float32))
    gone = landmarker.start(IMAGES, [0], np.array([[-50.0, 80, 70, 60]], np.float32))
    assert half.success.tolist() == [True]
    assert gone.success.tolist() == [False]
    assert gone[0].confidence == 0


def test_a_box_without_area_keeps_what_was_there():
    landmarker = NetworkLandmarker(Sees(FACE), PDM)
    before = landmarker.start(IMAGES, [0], BOX)
    empty = np.array([[10.0, 10, 0, 0]], np.float32)
    kept = landmarker.start(IMAGES, [0], empty, list(before))[0]
    assert np.array_equal(kept.landmarks, before[0].landmarks)
    assert (kept.detection_success, kept.confidence) == (False, 0)
    assert not landmarker.start(IMAGES, [0], empty)[0].detection_success
    with pytest.raises(ContractError, match="boxes"):
        landmarker.start(IMAGES, [0], np.full((1, 4), np.nan))


def test_faces_of_several_images_are_one_call_and_none_are_none():
    network = Sees(FACE)
    landmarker = NetworkLandmarker(network, PDM)
    other = IMAGE[::-1].copy()
    boxes = np.concatenate([BOX, BOX + [[20, 10, 0, 0]], [[0, 0, 0, 0]]]).astype(np.float32)
    states = landmarker.start(Images([IMAGE, other]), [1, 0, 0], boxes)
    assert network.crops[0].shape[0] == 2
    assert states.success.tolist() == [True, True, False]
    alone = landmarker.start(Images([other]), [0], boxes[:1])
    assert np.array_equal(states[0].landmarks, alone[0].landmarks)
    assert len(landmarker.start(IMAGES, [], boxes[:0])) == len(landmarker.follow(IMAGES, [], [])) == 0


def test_of_98_points_the_68_are_made_and_all_are_kept():
    points = RNG.uniform(-0.5, 0.5, (98, 2))
    landmarker = NetworkLandmarker(Sees(points), PDM, crop_of=star_crop_of, brows="edge")
    state = landmarker.start(IMAGES, [0], BOX)[0]
    assert state.points.shape == (98, 2)
    assert np.array_equal(state.landmarks, to_68(state.points, "edge"))


def test_compatible_points_of_a_face_over_the_border_are_those_of_other_programs():
    box = np.array([[-20.0, 80, 50, 140]], np.float32)
    right, theirs = (
        NetworkLandmarker(Sees(FACE), PDM, compatible=flag)._look(IMAGES, [0], box)[0].landmarks
        for flag in (False, True)
    )
    square = square_of(box[0])
    assert square.left < 0
    assert np.allclose(theirs[:, 0], FACE[:, 0] * (square.size + square.left), atol=1e-3)
    assert np.allclose(right[:, 0], FACE[:, 0] * square.size + square.left, atol=1e-3)


def test_boxes_of_the_locator_are_those_of_mtcnn():
    def network(pictures):
        count = len(priors(*pictures.shape[1:3]))
        scores = np.zeros((1, count), np.float32)
        scores[0, [101, 900]] = [0.7, 0.9]
        return RawFaces(np.zeros((1, count, 4), np.float32), scores, np.zeros((1, count, 10), np.float32))

    (found,) = RetinaFaceLocator(network).locate([IMAGE])
    assert found.scores.tolist() == np.float32([0.9, 0.7]).tolist()
    own = priors(240, 320)[[900, 101]] * [320, 240, 320, 240]
    corners = np.concatenate([own[:, :2] - own[:, 2:] / 2, own[:, :2] + own[:, 2:] / 2], axis=1)
    assert np.allclose(found.boxes, mtcnn_box(corners), atol=1e-3)
    assert found.points.shape == (2, 5, 2)
    with pytest.raises(ContractError, match="image"):
        RetinaFaceLocator(network).locate([np.zeros((4, 4), np.uint8)])


def always(points: np.ndarray) -> PFLD:
    """Random weights whose last layer says the same of every crop."""
    weights = random_networks.pfld().tensors
    arrays = random_networks.with_arrays(weights, fc__weight=np.zeros((136, 176)), fc__bias=points.ravel())
    return PFLD(arrays)


def sees_squares() -> object:
    """Random weights, but for heads that say "a face" of every anchor of 64 px, 51 px to the right and below it."""
    weights = random_networks.retinaface()
    heads: dict[str, np.ndarray] = {}
    for level in range(3):
        bias = {"Class": [4.0, -4.0] * 2, "Bbox": [0.0] * 8, "Landmark": [0.0] * 20}
        if level == 1:
            bias |= {"Class": [-4.0, 4.0, 4.0, -4.0], "Bbox": [8.0, 8.0, 0.0, 0.0] * 2}
        for head, values in bias.items():
            name = f"{head}Head__{level}__conv1x1"
            heads |= {f"{name}__weight": np.zeros((len(values), 64, 1, 1)), f"{name}__bias": np.array(values)}
    return dataclasses.replace(weights, tensors=random_networks.with_arrays(weights.tensors, **heads))


def bundle(network) -> Bundle:
    return BUNDLE.with_serving("locator", "retinaface", sees_squares()).with_serving(
        "landmarker", "points", LandmarkNetwork(network, PDM)
    )


def test_a_pipeline_of_networks_measures_images_and_clips_to_the_end():
    small = IMAGE[:112, :112].copy()
    pipeline = ReferencePipeline(bundle(always(FACE)))
    faces = pipeline.process_image(small)
    assert len(faces) > 1
    assert all(np.isfinite(face.au_intensity).all() and np.isfinite(face.pose).all() for face in faces)
    session = pipeline.start_video()
    results = [session.process_frame(small, k / 30) for k in range(3)]
    assert all(result.success for result in results)
    assert results[0].landmarks.shape == (68, 2)
    assert len(session.finish().intensity) == 3
    lists = pipeline.start_video(faces=2).process_frame(small, 0.0)
    assert lists


def test_random_weights_find_no_face_that_is_believed():
    state = landmarker_of(bundle(random_networks.pfld())).start(IMAGES, [0], BOX)[0]
    assert not state.detection_success


@pytest.mark.parametrize(
    "network",
    [random_networks.mobilefacenet(), random_networks.face_api(), random_networks.star(98, 9, 1)],
    ids=["mobilefacenet", "face-api", "star"],
)
def test_every_kind_of_network_is_built_from_a_bundle(network):
    made = bundle(network)
    landmarker = landmarker_of(made)
    state = landmarker.start(IMAGES, [0], BOX)[0]
    assert state.landmarks.shape == (68, 2)
    assert (state.points is not None) == isinstance(network, STAR)
    assert isinstance(locator_of(made), RetinaFaceLocator)


def test_the_float64_mode_computes_in_float64():
    box = np.array([[101.3, 80.7, 71.3, 61.2]])  # no corner or side near a whole pixel, to which crops are cut
    state = landmarker_of(bundle(always(FACE)), numerics=FLOAT64).start(IMAGES, [0], box)[0]
    assert state.landmarks.dtype == np.float64
    single = landmarker_of(bundle(always(FACE))).start(IMAGES, [0], box.astype(np.float32))[0]
    assert single.landmarks.dtype == np.float32
    assert np.abs(state.landmarks - single.landmarks).max() < 1e-3
