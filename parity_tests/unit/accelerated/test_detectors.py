"""RetinaFace under the names of integrators: the first backend that runs here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auparity.accelerated import detectors
from auparity.accelerated.registry import registry
from auparity.errors import AuparityError, ContractError, VideoError
from auparity.models.networks.published import Published
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.networks.retinaface import RetinaFaceNetwork, find_faces


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    return path


def holding(monkeypatch, network):
    monkeypatch.setattr(detectors, "read_network", lambda path: Published(network, str(path), "0" * 64))


def test_backends_are_tried_in_the_integrators_order():
    states = detectors.detector_backends(random_networks.retinaface())
    assert [*states] == [name for name in detectors.ORDER if name in registry().of_stage("face_network")]
    assert states["reference"] is None
    name, detect, passed = detectors.best_detector(random_networks.retinaface())
    assert name == next(each for each, why in states.items() if why is None)
    before = [*states][: [*states].index(name)]
    assert passed == {each: states[each] for each in before}
    image = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    expected = find_faces(RetinaFaceNetwork(random_networks.retinaface()), image)
    assert len(detect(image).boxes) == len(expected.boxes)


def test_a_backend_that_cannot_run_is_passed_over_with_its_reason(monkeypatch):
    monkeypatch.setattr(
        detectors, "detector_backends", lambda weights: {"coreml": "needs macOS", "reference": None}
    )  # fmt: skip
    name, _, passed = detectors.best_detector(random_networks.retinaface())
    assert (name, passed) == ("reference", {"coreml": "needs macOS"})


def test_a_detector_is_timed_on_an_image(monkeypatch, picture):
    holding(monkeypatch, random_networks.retinaface())
    timing = detectors.benchmark_detector(picture, "mine.pth", 3)
    assert 0 < timing.best_milliseconds <= timing.milliseconds
    assert timing.frames_per_second == pytest.approx(1000 / timing.milliseconds)
    assert timing.faces >= 0


def test_what_cannot_be_timed_is_refused(monkeypatch, picture, tmp_path):
    holding(monkeypatch, random_networks.pfld())
    with pytest.raises(AuparityError, match=r"mine\.pth: holds PFLD, which finds no faces"):
        detectors.benchmark_detector(picture, "mine.pth")
    with pytest.raises(ContractError, match="num_iterations"):
        detectors.benchmark_detector(picture, "mine.pth", 0)
    with pytest.raises(VideoError):
        detectors.benchmark_detector(tmp_path / "none.png", "mine.pth")
