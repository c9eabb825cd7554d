"""`auparity detect` and `auparity landmarks`, and networks in the other commands."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from auparity.cli import main
from auparity.cli.repeat_commands import _networks
from auparity.parity_tests.unit.helpers import random_networks, torch_files
from auparity.reports.clips.page_parts import facts_of

FACE = Path(random_networks.__file__).with_name("rendered_face.png")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for name in ("retinaface", "pfld"):
        weights = getattr(random_networks, name)().tensors.by_name()
        (folder / f"{name}.pth").write_bytes(torch_files.new_file(weights))
    return folder


@pytest.fixture
def folder(tmp_path):
    shutil.copy(FACE, tmp_path / "a.png")
    shutil.copy(FACE, tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"no image")
    return tmp_path


def test_faces_of_a_folder_as_one_document(folder, capsys):
    target = folder / "out" / "boxes.json"
    assert main(["detect", str(folder), "--models", "embedded", "-o", str(target)]) == 1
    said = capsys.readouterr()
    assert "c.jpg" in said.err
    assert "[1/3]" in said.err
    assert said.out == ""
    document = json.loads(target.read_text())
    assert [Path(image["path"]).name for image in document["images"]] == ["a.png", "b.png"]
    assert [Path(problem["path"]).name for problem in document["problems"]] == ["c.jpg"]
    image = document["images"][0]
    assert image["sha256"] == hashlib.sha256(FACE.read_bytes()).hexdigest()
    (face,) = image["faces"]
    x, y, width, height = face["box"]
    assert 0 < x < x + width < image["width"]
    assert 0 < y < y + height < image["height"]
    assert 0.7 < face["score"] <= 1
    assert np.array(face["points"]).shape == (5, 2)
    assert len(face["own_box"]) == 4
    assert document["used"]["detector"].startswith("RetinaFace, embedded")
    assert main(["detect", str(FACE), "--models", "embedded", "--detector", "mtcnn", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "own_box" not in document["images"][0]["faces"][0]
    assert document["used"]["detector"] == "mtcnn"


def test_landmarks_on_standard_output(folder, capsys):
    assert main(["landmarks", str(folder / "[ab].png"), "--models", "embedded", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    document = json.loads(said.out)
    assert len(document["images"]) == 2
    (face,) = document["images"][0]["faces"]
    assert face["success"]
    assert face["points"] == face["landmarks"]
    assert np.array(face["landmarks"]).shape == (68, 2)
    x, y, width, height = face["box"]
    inside = (np.array(face["landmarks"]) >= [x - width / 4, y - height / 4]).all()
    assert inside
    assert 0.5 < face["confidence"] <= 1


def test_networks_are_named_with_their_files(folder, networks, capsys):
    words = ["landmarks", str(folder / "a.png"), "--models", "embedded", "--landmarks", str(networks / "pfld.pth")]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "approximation" in said.err
    document = json.loads(said.out)
    assert document["networks"]["landmarks"]["network"] == "PFLD"
    assert len(document["networks"]["landmarks"]["sha256"]) == 64
    assert len(document["images"][0]["faces"]) == 1
    assert "approximation" in document["notices"][0]
    assert (
        main(["detect", str(folder / "a.png"), "--models", "embedded", "--detector", str(networks / "pfld.pth")]) == 1
    )
    assert "takes RetinaFace" in capsys.readouterr().err
    found = ["detect", str(folder / "a.png"), "--models", "embedded", "--detector", str(networks / "retinaface.pth")]
    assert main([*found, "--quiet"]) == 0
    for face in json.loads(capsys.readouterr().out)["images"][0]["faces"]:  # random weights draw whatever they like
        assert len(face["own_box"]) == 4


def test_what_is_no_image_is_said(folder, capsys):
    (folder / "film.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(40))
    assert main(["detect", str(folder / "film.mp4"), "--models", "embedded", "--quiet"]) == 1
    assert "auparity extract" in capsys.readouterr().err
    assert main(["detect", str(folder / "a.png"), "--models", "embedded", "-o", str(folder)]) == 1
    assert "is a directory" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["detect"])


def test_an_extraction_by_networks_says_so_in_its_sidecar_and_page(folder, networks, capsys):
    words = ["extract", str(folder / "a.png"), "--models", "embedded", "-o", str(folder / "out")]
    assert main([*words, "--start", str(networks / "pfld.pth")]) == 0
    sidecar = json.loads((folder / "out" / "a.csv.json").read_text())
    assert sidecar["bundle"]["source"]["start"]["network"] == "PFLD"
    assert "eleven" in sidecar["warnings"][0]
    assert main([*words, "--landmarks", str(networks / "pfld.pth")]) == 1  # made with other models
    assert main([*words, "--landmarks", str(networks / "pfld.pth"), "--overwrite", "--quiet"]) == 0
    assert "approximation" in capsys.readouterr().err
    sidecar = json.loads((folder / "out" / "a.csv.json").read_text())
    assert any("approximation" in warning for warning in sidecar["warnings"])
    network = dict(facts_of(sidecar))["landmarks found by"]
    assert sidecar["bundle"]["source"]["landmarks"]["sha256"] in network
    assert "never parity" in network
    assert _networks(sidecar["bundle"]["source"], embedded=True) == " --landmarks pfld.pth"


@pytest.mark.parametrize(
    ("options", "again"),
    [
        ([], ""),
        (["--detector", "retinaface", "--start", "pfld"], ""),
        (["--detector", "mtcnn"], " --detector mtcnn"),
        (["--start", "none"], " --start none"),
        (["--detector", "mtcnn", "--start", "none"], " --detector mtcnn --start none"),
        (["--start", "star"], " --start star"),
        (["--landmarks", "star"], " --landmarks star"),
    ],
)
def test_a_page_repeats_the_networks_of_a_table(options, again, folder):
    words = ["extract", str(folder / "a.png"), "--models", "embedded", "-o", str(folder / "out"), "--quiet"]
    assert main([*words, *options]) == 0
    sidecar = json.loads((folder / "out" / "a.csv.json").read_text())
    assert _networks(sidecar["bundle"]["source"], embedded=True) == again


def test_other_models_have_no_usual_networks():
    assert _networks({}, embedded=False) == ""
    network = {"network": "RetinaFace", "file": "/models/mine.pth", "sha256": "0" * 64}
    assert _networks({"detector": network}, embedded=False) == " --detector mine.pth"


@pytest.mark.parametrize("option", [["--wild"], ["--iterations", "3"], ["--sigma", "1"], ["--no-validate"]])
def test_options_of_local_models_are_refused_with_a_network(option, folder, networks, capsys):
    words = ["extract", str(folder / "a.png"), "--models", "embedded", "-o", str(folder / "out")]
    assert main([*words, "--landmarks", str(networks / "pfld.pth"), *option]) == 1
    assert "choose --landmarks ceclm or clnf" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_the_older_spelling_means_the_same(folder, networks):
    from auparity.cli import build_parser

    for spelling in ("--landmarks", "--landmark-model"):
        assert build_parser().parse_args(["extract", "a.png", spelling, "clnf"]).landmarks == "clnf"


def test_doctor_says_what_finds_faces_and_landmarks(networks, capsys):
    words = ["doctor", "--models", "embedded", "--detector", str(networks / "retinaface.pth")]
    words += ["--landmarks", str(networks / "pfld.pth")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "never parity" in said
    assert str(networks / "retinaface.pth") in said
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundle"]["landmarks"]["network"] == "PFLD"
