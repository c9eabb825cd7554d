"""The bundle that comes with auparity: small, whole, exportable, and good enough on a face that training never saw."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import auparity
from auparity.cli import main
from auparity.models import archive, embedded, store
from auparity.models.bundle import Bundle
from auparity.models.sources import EMBEDDED_NOTICE, is_embedded, open_bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.hypotheses import start_state
from auparity.reference.landmarks import LandmarkDetector
from auparity.reference.patch_experts import PatchExpertBank
from auparity.reference.pdm import ShapeModel
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

PAGE = Path(auparity.__file__).resolve().parents[1] / "docs" / "embedded.md"
LIMIT = 12_000_000  # bytes: what a repository can carry without complaint


@pytest.fixture(scope="module")
def frames():
    return list(render_clip(3_300_000, 4))


def test_the_file_is_small_whole_and_the_one_that_the_documentation_names():
    bundle = Bundle.embedded(networks=False)
    assert embedded.path().stat().st_size < LIMIT
    assert bundle.content_hash == archive.stored_hash(embedded.path())
    assert Bundle.embedded(networks=False) is bundle, "read once"
    if PAGE.is_file():
        assert bundle.content_hash in PAGE.read_text(encoding="utf-8")


def test_it_is_read_only_when_asked_for():
    code = (
        "from auparity import Bundle; from auparity.models import bundle; print(bundle._embedded.cache_info().currsize)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "0"


def test_it_is_a_whole_pipeline():
    bundle = Bundle.embedded(networks=False)
    face = bundle.face
    assert (face.main.pdm.n_points, face.main.pdm.n_modes) == (68, 34)
    assert [e.scale for e in face.main.experts] == [0.25, 0.35, 0.5, 1.0]
    assert all(len(e.view_centres) == 7 for e in face.main.experts)
    assert face.main.early_termination is not None
    assert [part.name for part in face.parts] == ["left_eye_28", "right_eye_28"]
    for predictors in (bundle.video_aus, bundle.image_aus):
        names = {
            task: sorted(m.au_names[0] for m in predictors.models if m.task == task)
            for task in ("intensity", "presence")
        }
        assert names == {"intensity": sorted(INTENSITY_AUS), "presence": sorted(PRESENCE_AUS)}
    kinds = {(m.task, m.dynamic) for m in bundle.video_aus.models}
    assert kinds == {("intensity", True), ("presence", True), ("presence", False)}
    assert not any(m.dynamic for m in bundle.image_aus.models)


def test_it_finds_and_follows_a_face(frames):
    session = ReferencePipeline(Bundle.embedded(networks=False)).start_video()
    for index, picture in enumerate(frames):
        result = session.process_frame(picture.image, timestamp=index / 30)
        assert result.success
        eyes = np.linalg.norm(picture.truth.landmarks[36] - picture.truth.landmarks[45])
        assert np.linalg.norm(result.landmarks - picture.truth.landmarks, axis=1).mean() / eyes < 0.06


def test_export_writes_what_reads_back_with_the_same_hash(tmp_path, capsys):
    assert main(["models", "export", str(tmp_path / "out"), "--format", "openface"]) == 0
    bundle = Bundle.embedded(networks=False)
    assert bundle.content_hash in capsys.readouterr().out
    again = Bundle.from_openface(tmp_path / "out")
    assert again.content_hash == bundle.content_hash
    assert again.meta.name == "embedded"
    assert main(["models", "export", str(tmp_path / "out")]) == 1
    assert "--force" in capsys.readouterr().err
    assert main(["models", "export", str(tmp_path / "out"), "--force"]) == 0


def test_widened_experts_respond_as_before(frames):
    bundle = Bundle.embedded(networks=False)
    wide = bundle.widen()
    assert wide.content_hash != bundle.content_hash
    gray = ReferencePipeline(bundle).clm.to_gray(frames[0].image)
    detector = LandmarkDetector(bundle.face)
    for yaw in (0.0, -0.5, 1.2):
        state = start_state(detector, frames[0].truth.box, (0.0, yaw, 0.0), detector.initial_state())
        for scale, window in ((0, 5), (2, 5)):
            maps = [
                PatchExpertBank(b.face.main, ShapeModel(b.face.main.pdm)).response_maps(
                    gray[None], state.params_global[None], state.params_local[None], window, scale
                ).maps
                for b in (bundle, wide)
            ]  # fmt: skip
            np.testing.assert_allclose(maps[1], maps[0], atol=1e-5)


def test_it_is_the_default_where_openfaces_models_are_not_and_says_so(tmp_path, monkeypatch, capsys, frames):
    import cv2

    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path / "nothing"))
    assert is_embedded(open_bundle())
    cv2.imwrite(str(tmp_path / "face.png"), frames[0].image)
    assert main(["extract", str(tmp_path / "face.png"), "-o", str(tmp_path / "out")]) == 0
    assert EMBEDDED_NOTICE in capsys.readouterr().err
    assert Bundle.embedded().content_hash in (tmp_path / "out" / "face.csv.json").read_text(encoding="utf-8")


def test_verify_and_list_know_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path))
    assert main(["models", "verify", "embedded"]) == 0
    assert Bundle.embedded(networks=False).content_hash in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert Bundle.embedded(networks=False).short_hash in capsys.readouterr().out
