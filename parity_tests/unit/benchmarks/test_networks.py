"""`auparity dev networks`: its figures, and a run to the end."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from auparity.benchmarks import networks
from auparity.benchmarks.networks import Measured
from auparity.cli import main
from auparity.errors import VideoError
from auparity.media import read_image
from auparity.models.bundle import Bundle
from auparity.parity_tests.unit.helpers import random_networks, torch_files
from auparity.reference.clm import ClmLandmarker

FACE = Path(random_networks.__file__).with_name("rendered_face.png")


def test_a_run_with_random_networks_ends_with_both_tables(tmp_path, capsys):
    for name in ("retinaface", "pfld"):
        weights = getattr(random_networks, name)().tensors.by_name()
        (tmp_path / f"{name}.pth").write_bytes(torch_files.new_file(weights))
    clip = tmp_path / "clip"
    clip.mkdir()
    for k in range(2):
        shutil.copy(FACE, clip / f"{k}.png")
    words = ["dev", "networks", str(FACE), str(clip), "--models", "embedded", "--detector", "mtcnn"]
    assert main([*words, "--network", str(tmp_path / "pfld.pth"), "--images", "1"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows[1].startswith(f"| {'photographs'} (1) | 1 |")
    assert rows[2].startswith("| clip (1) | 1 |")
    assert rows[4].startswith("| pfld.pth | clip | ")
    assert rows[5].startswith("| fits from pfld.pth | clip | ")
    with pytest.raises(VideoError, match="nothing_here"):
        networks.main([str(tmp_path / "nothing_here"), "--network", "pfld"])


def test_faces_are_compared_with_the_nearest_one():
    state = ClmLandmarker(Bundle.embedded(networks=False).face).place(np.array([[50, 60, 80, 90]], np.float32))[0]
    far = dataclasses.replace(state, landmarks=state.landmarks + 500)
    near = dataclasses.replace(state, landmarks=state.landmarks + np.float32([3, 4]), likelihood=state.likelihood + 2)
    ((px, share, gained),) = networks._pairs([state, far], [near])
    assert px == pytest.approx(5, abs=1e-4)
    eyes = np.linalg.norm(state.landmarks[36] - state.landmarks[45])
    assert share == pytest.approx(500 / eyes, rel=1e-5)
    assert gained == pytest.approx(2)
    assert list(networks._pairs([state], [])) == []


def test_a_row_has_distance_error_correlation_and_agreement():
    frames, rng = 20, np.random.default_rng(1)
    landmarks = np.zeros((frames, 68, 2))
    landmarks[:, 45] = [100, 0]
    intensity = np.zeros((frames, 17))
    intensity[:, 3] = rng.uniform(0, 5, frames)
    presence = np.zeros((frames, 18))
    truth = Measured(landmarks, np.ones(frames, bool), intensity, presence)
    shifted = Measured(landmarks + [2, 0], np.arange(frames) > 0, intensity + 0.5, presence.copy())
    shifted.presence[:, 0] = 1
    row = networks._row("pfld", "clip", truth, shifted)
    assert row == f"| pfld | clip | 19 of 20 | 2.00 | 0.500 | 1.00 of 1 | {100 * 17 / 18:.1f} % |"
    lost = dataclasses.replace(shifted, success=np.zeros(frames, bool))
    assert "nothing to compare" in networks._row("pfld", "clip", truth, lost)


def test_images_are_read_anew_each_time():
    assert np.array_equal(networks._reading(FACE)(), read_image(FACE))
