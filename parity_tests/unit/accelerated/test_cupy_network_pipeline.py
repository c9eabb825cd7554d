"""Networks in the pipeline that stays on the device, its kernels run on the host: what RetinaFace finds, what landmark
networks see and draw, fits that begin there, and clips that share a batch."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.accelerated.cupy import crops as device_crops
from auparity.accelerated.cupy import retinaface as device_retinaface
from auparity.accelerated.cupy.face_landmarker import LooksOnDevice, NetworkLandmarkerBatch
from auparity.accelerated.cupy.landmarker import Frames
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.network_start import NetworkStartBatch
from auparity.accelerated.cupy.one_face import OneFace
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.accelerated.gpu_models import unserved_reason
from auparity.errors import VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.types import LandmarkNetwork, NetworkStart
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.suite import device_parity
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.images import Images
from auparity.reference.networks import retinaface
from auparity.reference.networks.crops import Square, StarCrop, box_of_landmarks, mtcnn_box, square_of
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.networks.network_start import NetworkStartLandmarker
from auparity.reference.pdm import ShapeModel
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
CANVAS = (120, 90)
PICTURES = list(render_clip(3_300_000, 2, canvas=CANVAS, face_width=(48.0, 52.0)))
CLIP = [picture.image for picture in PICTURES]


def extent_of(landmarks):
    return np.concatenate([landmarks.min(0), np.ptp(landmarks, axis=0)]).astype(np.float32)[None]


#: RetinaFace's and MTCNN's box of the face in the first frame, px.
OWN_BOX = box_of_landmarks(extent_of(PICTURES[0].truth.landmarks))
BOX = mtcnn_box(OWN_BOX)


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)


@pytest.fixture(scope="module")
def quick():
    """Whole networks run once, not in both orders of threads."""
    return host_device(both_orders=False, strict=True)


def frames_of(device, images):
    stack = np.stack(images)
    gray = np.stack([reference_stages().grayscale()(image) for image in images]).astype(np.uint8)
    return Frames(device.upload(stack), device.upload(gray))


# ---- crops ----------------------------------------------------------------------------------------------------------


def test_squares_are_cut_bit_for_bit(device):
    """Inside the image, beyond each border, beside it, of the side itself, of twice the side, of one pixel."""
    images = np.random.default_rng(7).integers(0, 256, (2, 130, 150, 3), dtype=np.uint8)
    squares = [
        Square(10, 12, 60), Square(-20, -9, 70), Square(100, 90, 90), Square(0, 0, 112), Square(-40, -30, 224),
        Square(30, 20, 1), Square(400, 20, 30), Square(7, 9, 131),
    ]  # fmt: skip
    frame = [0, 1] * 4
    found = device.download(device_crops.cut_crops(device, device.upload(images), frame, squares))
    for index, square, crop in zip(frame, squares, found, strict=True):
        np.testing.assert_array_equal(crop, square.cut(images[index]))


def test_crops_of_star_are_cut_bit_for_bit(device):
    images = np.random.default_rng(8).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    crops = [
        StarCrop(np.float32(3.7), np.float32(-40.3), np.float32(-20.1)),
        StarCrop(np.float32(0.9), np.float32(30.5), np.float32(90.25)),
        StarCrop(np.float32(256), np.float32(-9000), np.float32(-7000)),
        StarCrop(np.float32(1e-6), np.float32(127.5), np.float32(-1e6)),
    ]
    frame = [0, 1, 1, 0]
    found = device.download(device_crops.cut_crops(device, device.upload(images), frame, crops))
    for index, crop, pixels in zip(frame, crops, found, strict=True):
        np.testing.assert_array_equal(pixels, crop.cut(images[index]))


# ---- RetinaFace as locator ------------------------------------------------------------------------------------------


RETINAFACE = random_networks.retinaface()


def test_faces_are_those_that_the_reference_selects(quick):
    """Of one network the same bits in the same order, where half of the anchors take part and one in five is a face."""
    images = np.random.default_rng(9).integers(0, 256, (3, 52, 70, 3), dtype=np.uint8)
    scores = device_retinaface.RetinaFaceDetector(quick, RETINAFACE).network(images).faces
    candidate, shown = (float(value) for value in np.quantile(scores, (0.5, 0.8)))
    selection = retinaface.Selection(candidate=candidate, shown=shown)
    detector = device_retinaface.RetinaFaceDetector(quick, RETINAFACE, selection)
    found = detector.detect(quick.upload(images))
    assert sum(map(len, found)) >= 3
    for image, faces in zip(images, found, strict=True):
        expected = retinaface.find_faces(detector.network, image, selection)
        np.testing.assert_array_equal(faces.boxes, mtcnn_box(expected.boxes))
        np.testing.assert_array_equal(faces.scores, expected.scores)
        np.testing.assert_array_equal(faces.points, expected.points)


def test_anchors_are_picked_in_their_order_and_none_is_missed(device, monkeypatch):
    """With fewer threads than a level has anchors, on outputs of random numbers."""
    monkeypatch.setattr(device_retinaface, "THREADS", 64)
    rng, sizes = np.random.default_rng(2), ((7, 9), (4, 5), (2, 3))
    outputs = [rng.normal(0, 3, (2, 2 * n, *size)).astype(np.float32) for size in sizes for n in (4, 2, 10)]
    detector = device_retinaface.RetinaFaceDetector(device, RETINAFACE)
    monkeypatch.setattr(detector.network, "run", lambda images: [device.upload(each) for each in outputs])
    raw = retinaface.raw_faces([tuple(outputs[k : k + 3]) for k in (0, 3, 6)])
    for k, seen in enumerate(detector._seen(np.zeros((2, 1)))):
        likely = raw.faces[k] > detector.selection.candidate
        picked = np.isin(seen["anchor"], np.flatnonzero(likely))
        np.testing.assert_array_equal(seen["anchor"][picked], np.flatnonzero(likely))
        assert np.abs(raw.faces[k][seen["anchor"][~picked]] - detector.selection.candidate).max(initial=0) < 1e-5
        np.testing.assert_array_equal(seen["box"][picked], raw.boxes[k][likely])
        np.testing.assert_array_equal(seen["points"][picked], raw.points[k][likely])
    for output in outputs[1::3]:
        output[:, ::2] = 50  # nothing is a face
    assert [len(seen) for seen in detector._seen(np.zeros((2, 1)))] == [0, 0]


# ---- landmarks of a network, and fits that begin there --------------------------------------------------------------


class Drawn:
    """Stands for the network of points: draws the mean face in every crop, moved a little by what it sees."""

    def __init__(self, pdm):
        shape = ShapeModel(pdm)
        points = shape.shape_2d(np.array([40, 0, 0, 0, 2000, 2000], np.float32), np.zeros(shape.n_modes, np.float32))
        square = square_of(box_of_landmarks(extent_of(points))[0])
        self._points = ((points - [square.left, square.top]) / square.size).astype(np.float32)

    def __call__(self, crops):
        means = crops.reshape(len(crops), -1).mean(axis=1, dtype=np.float64).astype(np.float32)
        return self._points[None] + (means[:, None, None] - 128) * np.float32(1e-5)


@pytest.fixture
def drawing():
    """The landmarks' network on the device and in the reference, exchanged for one that costs nothing: what is compared
    is everything around it. The networks themselves are in test_cupy_face_networks.py."""
    with pytest.MonkeyPatch.context() as patch:

        def see(self, images, image_index, crops):
            pixels = device_crops.cut_crops(self._device, images, image_index, crops)
            return Drawn(self.shape)(self._device.download(pixels))

        patch.setattr(LooksOnDevice, "see", see)
        yield


NETWORK = LandmarkNetwork(random_networks.pfld(), BUNDLE.face.main.pdm)


def test_a_face_is_found_and_followed_as_by_the_reference(quick, drawing):
    reference = NetworkLandmarker(Drawn(NETWORK.shape), NETWORK.shape)
    batch = NetworkLandmarkerBatch(quick, NETWORK, reference_stages())
    boxes = np.concatenate([BOX, BOX + np.float32([9, -4, 5, 5]), np.float32([[-60, 10, 30, 30]])])
    frame = [0, 1, 1]
    accepted, faces = batch.start(frames_of(quick, CLIP), frame, boxes, None, multi_view=True)
    expected = reference.start(CLIP, frame, boxes)
    assert accepted.tolist() == expected.accepted.tolist() == [True, True, False]
    for _ in range(2):
        np.testing.assert_allclose(quick.download(faces.landmarks), expected.landmarks, atol=1e-4)
        np.testing.assert_allclose(quick.download(faces.params_global), expected.params_global, atol=1e-3)
        np.testing.assert_allclose(quick.download(faces.confidence), expected.confidence, atol=1e-4)
        assert (quick.download(faces.detection_success) != 0).tolist() == expected.success.tolist()
        flags = quick.download(faces.detection_success) != 0
        faces = batch.follow(frames_of(quick, CLIP[::-1]), frame, faces, flags)
        expected = reference.follow(CLIP[::-1], frame, expected)


def test_a_face_of_a_network_does_not_depend_on_the_others(quick, drawing):
    batch, frames = NetworkLandmarkerBatch(quick, NETWORK, reference_stages()), frames_of(quick, CLIP)
    boxes = np.concatenate([BOX + np.float32([9, -4, 5, 5]), BOX])
    _, together = batch.start(frames, [1, 0], boxes, None, multi_view=True)
    _, alone = batch.start(frames, [0], boxes[1:], None, multi_view=True)
    for field in ("params_global", "params_local", "landmarks", "confidence", "detection_success"):
        one, other = (quick.download(getattr(each, field)) for each in (together, alone))
        np.testing.assert_array_equal(one[1:], other)


def test_one_fit_begins_at_the_points_of_a_network(quick, drawing):
    weights = NetworkStart(BUNDLE.face, NETWORK.network)
    batch = NetworkStartBatch(quick, weights, reference_stages())
    network = NetworkLandmarker(Drawn(NETWORK.shape), NETWORK.shape)
    reference = NetworkStartLandmarker(BUNDLE.face, network)
    frames, nothing = frames_of(quick, CLIP), np.float32([[20, 20, 9000, 9000]])  # larger than any crop
    before = batch.initial(2)
    returned, faces = batch.start(frames, [0, 1], np.concatenate([BOX, nothing]), before, multi_view=True)
    boxes = np.concatenate([BOX, nothing])
    expected = reference.start(Images(CLIP), [0, 1], boxes, [reference.initial()] * 2)
    assert returned.tolist() == expected.accepted.tolist()
    assert not returned[1]
    np.testing.assert_allclose(quick.download(faces.landmarks)[0], expected[0].landmarks, atol=0.1)
    np.testing.assert_array_equal(quick.download(faces.params_global)[1], expected[1].params_global)


def test_a_clip_stays_on_the_device_from_retinaface_to_aus(quick, drawing):
    bundle = BUNDLE.with_serving("locator", "retinaface", RETINAFACE).with_serving("landmarker", "pfld", NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        faces = [retinaface.Found(OWN_BOX, np.float32([0.9]), np.zeros((1, 5, 2), np.float32))]
        patch.setattr(device_retinaface.RetinaFaceDetector, "_seen", lambda self, images: faces * len(images))
        patch.setattr(device_retinaface.RetinaFaceDetector, "_faces", lambda self, found, size: found)
        pipeline = DevicePipeline(bundle, quick)
        assert isinstance(pipeline.models, DeviceModels)
        session = pipeline.start_video()
        results = [session.process_frame(image, k / 30) for k, image in enumerate(CLIP)]
        assert isinstance(session.batch.work, OneFace)
        several = pipeline.start_video(faces=2)
        many = [several.process_frame(image, k / 30) for k, image in enumerate(CLIP)]
        (single,) = pipeline.process_image(CLIP[0])
    assert [result.success for result in results] == [True, True]
    assert not results[0].gaze.any()
    np.testing.assert_array_equal(single.landmarks, results[0].landmarks)
    assert [len(faces) for faces in many] == [1, 1]
    landmarker = NetworkLandmarker(Drawn(NETWORK.shape), NETWORK.shape)
    expected = landmarker.start(CLIP, [0], BOX)
    np.testing.assert_allclose(results[0].landmarks, expected[0].landmarks, atol=1e-4)
    np.testing.assert_allclose(
        results[1].landmarks, landmarker.follow(CLIP, [1], list(expected))[0].landmarks, atol=1e-4
    )
    assert single.au_intensity.any()


def test_the_suite_compares_clips_with_embedded_networks(quick):
    frames = [picture.image for picture in render_clip(3_300_000, 2, canvas=(160, 120), face_width=(70.0, 74.0))]
    records = device_parity.networks(quick, device_parity.NETWORKS[0], frames, (2,))
    assert [record.name.rsplit(" ", 1)[1] for record in records] == ["flags", "landmarks_mean", "values_differing"]
    assert all(record.passed for record in records), "\n".join(map(str, records))
    assert records[1].max_error < 0.01  # no crop moved here


def test_models_of_other_packages_are_still_the_processors():
    class Other:
        """A model that the GPU has no kernels for."""

    assert unserved_reason(BUNDLE) is None
    assert unserved_reason(BUNDLE.with_serving("landmarker", "pfld", NETWORK)) is None
    start = NetworkStart(BUNDLE.face, NETWORK.network)
    assert unserved_reason(BUNDLE.with_serving("landmarker", "start", start)) is None

    class Serving:
        """A bundle of such a model."""

        def serving(self, role):
            return Other() if role == "locator" else BUNDLE.serving(role)

    assert "locator for a model of kind Other" in unserved_reason(Serving())
    with pytest.raises(VariantUnavailable, match="Other"):
        DeviceModels(Serving(), host_device())
