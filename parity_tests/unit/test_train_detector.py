"""The detector's training: boxes, crops, and networks that the reference runs as torch does."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.models.synthetic import detector_networks, train_detector
from auparity.models.synthetic import detector_samples as samples
from auparity.models.synthetic.workspace import Workspace
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
