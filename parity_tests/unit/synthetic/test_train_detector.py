"""The detector's training: boxes, crops, and networks that the reference runs as torch does."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.models.synthetic.detector import calibration as detector_calibration
from auparity.models.synthetic.detector import networks as detector_networks
from auparity.models.synthetic.detector import samples
from auparity.models.synthetic.training import detector as train_detector
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.boxes import correct_boxes
from auparity.reference.convnet import forward


def test_openfaces_correction_turns_the_detectors_box_into_the_tight_one():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(50, 250, (20, 68, 2))
    boxes = samples.detector_boxes(landmarks)
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    np.testing.assert_allclose(correct_boxes(boxes), np.concatenate([low, high - low], axis=1), rtol=1e-4)


def test_overlap_and_squares():
    box = np.array([10.0, 10, 20, 20])
    assert samples.overlap(np.array([[10.0, 10, 20, 20], [20, 10, 20, 20], [50, 50, 5, 5]]), box).tolist() == [
        1,
        1 / 3,
        0,
    ]
    assert samples.squared(np.array([[10.0, 10, 20, 30]])).tolist() == [[5, 10, 30, 30]]


def test_a_crop_is_one_pixel_up_and_left_and_black_outside():
    image = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
    (crop,) = samples.cut(image, np.array([[11.0, 6, 23, 23]]), 24)
    np.testing.assert_array_equal(crop, image[5:29, 10:34])
    (edge,) = samples.cut(image, np.array([[-4.0, -4, 23, 23]]), 24)
    assert (edge[:5] == 0).all()
    np.testing.assert_array_equal(edge[5:, 5:], image[:19, :19])
    assert samples.cut(image, np.array([[900.0, 900, 12, 12]]), 12).max() == 0


def test_regression_is_undone_by_the_networks_correction():
    square, face = np.array([[10.0, 20, 40, 40]]), np.array([14.0, 18, 33, 47])
    np.testing.assert_allclose(detector_networks.moved_boxes(square, samples.regression(square, face))[0], face)


@pytest.mark.parametrize("name", sorted(detector_networks.STRUCTURE))
def test_the_reference_runs_a_network_as_torch_does(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net, side = detector_networks.build(name), detector_networks.SIDES[name]
    crops = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    x = detector_networks.inputs_of(crops)
    with torch.no_grad():
        expected = net(x).numpy().reshape(3, -1)
    found = forward(detector_networks.convert(net), x.numpy()).reshape(3, -1)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert found.shape[1] == (16 if name == "onet" else 6)


def test_suppression_keeps_the_best_of_what_overlaps():
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [40, 0, 10, 10]])
    assert detector_networks.suppress(boxes, np.array([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]


def test_a_stopped_training_goes_on_with_the_network_that_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    workspace = Workspace(tmp_path)
    for name in ("pnet", "rnet"):
        net = detector_networks.build(name)
        workspace.save(f"detector_{name}", **{f"w{k:02d}": p.detach().numpy() for k, p in enumerate(net.parameters())})
    asked = []

    def gather(name, *rest):
        asked.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_detector, "_gather", gather)

    class Photos:
        landmarks, images = np.zeros((1, 68, 2)), np.zeros((1, 8, 8, 3), np.uint8)

    with pytest.raises(KeyboardInterrupt):
        train_detector.train(workspace, Photos, Photos, np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 3)), threads=1)
    assert asked == ["onet"]


def test_faces_that_never_reach_onet_do_not_pull_its_threshold_down():
    certain, few_false = [0.999] * 400, [0.02, 0.01]
    limit = detector_calibration.operating_point(certain, few_false, 400)
    assert 0.5 <= limit <= 0.9
    # `true` holds the faces that reach it only; a list of them all, with zeros for the rest, would ask for a limit of 0
    assert detector_calibration.operating_point([0.0] * 4 + certain, few_false, 400) == detector_calibration.LOWEST


def test_onets_threshold_lies_between_faces_and_false_boxes():
    middle = detector_calibration.operating_point([0.95] * 400, [0.6] * 8, 400)
    assert middle == pytest.approx(1 / (1 + (0.05 / 0.95 * 0.4 / 0.6) ** 0.5))
    assert detector_calibration.operating_point([0.9999] * 400, [0.6] * 8, 400) == detector_calibration.HIGHEST
    # Where they cross, the faces pass.
    assert detector_calibration.operating_point([0.7] * 400, [0.8] * 8, 400) == pytest.approx(0.7)
    assert detector_calibration.operating_point([], [], 400) >= detector_calibration.LOWEST


def test_a_shifted_network_gives_the_threshold_to_what_had_the_chosen_probability():
    torch = pytest.importorskip("torch")
    net = detector_networks.build("onet")
    image = np.random.default_rng(2).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    square = np.array([[5.0, 5, 50, 50]])
    before = float(detector_networks.judge(net, image, square, 48)[0][0])
    with torch.no_grad():
        detector_calibration._shift(net, before, 0.7)
    assert float(detector_networks.judge(net, image, square, 48)[0][0]) == pytest.approx(0.7, abs=1e-5)


class Stopped(Exception):
    pass


def test_a_network_stopped_in_the_middle_becomes_what_it_would_have_become(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    count = 2 * train_detector.BATCH
    crops = train_detector.Crops(
        rng.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8),
        rng.integers(-1, 2, count).astype(np.int8),
        rng.normal(0, 0.1, (count, 4)).astype(np.float32),
    )
    whole = train_detector.fit(Workspace(tmp_path / "whole"), "pnet", crops, 5, epochs=4)

    monkeypatch.setattr(train_detector, "CHECKPOINT_SECONDS", 0.0)
    stopped = Workspace(tmp_path / "stopped")
    save, saved = stopped.save, []

    def save_thrice(name, **arrays):
        save(name, **arrays)
        saved.append(name)
        if len(saved) == 3:
            raise Stopped

    monkeypatch.setattr(stopped, "save", save_thrice)
    with pytest.raises(Stopped):
        train_detector.fit(stopped, "pnet", crops, 5, epochs=4)
    again = train_detector.fit(Workspace(stopped.folder), "pnet", crops, 5, epochs=4)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
    assert "resumes at step 3 of 8" in (stopped.folder / "progress.log").read_text()


def test_recall_and_false_boxes_are_counted_over_what_the_reference_finds(monkeypatch):
    landmarks = np.zeros((3, 68, 2), np.float32)
    landmarks[:, :34] = [100, 100]
    landmarks[:, 34:] = [200, 200]
    boxes = [[[100, 100, 100, 100], [100, 100, 99, 100]], [[0, 0, 50, 50]], []]
    calls = iter([np.array(b, np.float32).reshape(-1, 4) for b in [*boxes, [[5, 5, 70, 70]]]])

    class Found:
        def __init__(self, boxes):
            self.boxes = boxes

        def __len__(self):
            return len(self.boxes)

    monkeypatch.setattr(detector_calibration, "detect_faces", lambda image, mtcnn: Found(next(calls)))

    class Photos:
        images, pose = np.zeros((3, 8, 8, 3), np.uint8), np.zeros((3, 6))

    Photos.landmarks = landmarks
    figures = detector_calibration.measure(None, Photos, np.zeros((1, 8, 8, 3), np.uint8), range(3))
    assert figures["recall"] == pytest.approx(1 / 3)
    assert figures["iou"] == pytest.approx(1.0)
    assert figures["false_boxes_per_100"] == 75.0  # the second box on a face, one beside it, one where there is none
    assert figures["faces"] == 3
    assert figures["pictures"] == 4
