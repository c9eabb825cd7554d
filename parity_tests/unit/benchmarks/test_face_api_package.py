"""`auparity dev face-api`: its table, from a program that answers in place of Node.js, and what goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from auparity.benchmarks.peers import face_api_package
from auparity.benchmarks.peers.face_api_package import NETWORKS, PACKAGE
from auparity.cli import main
from auparity.errors import AuparityError, VariantUnavailable
from auparity.parity_tests.unit.helpers import random_networks, tensorflow_js_files

FACE = Path(random_networks.__file__).with_name("rendered_face.png")
#: Answers that every point is in the middle of its square, and keeps what it was asked.
ANSWERS = """\
import json, shutil, sys
_, folder, asked, answered = sys.argv[1:]
squares = json.load(open(asked))["squares"]
shutil.copy(asked, folder + "/kept.json")
json.dump([[[0.5, 0.5]] * 68 for _ in squares], open(answered, "w"))
"""


@pytest.fixture
def package(tmp_path):
    """A folder as npm makes it, with random weights."""
    folder = tmp_path / "node_modules" / PACKAGE / "model"
    folder.mkdir(parents=True)
    for name, (_, manifest) in NETWORKS.items():
        path = Path(tensorflow_js_files.face_api(folder, manifest.removesuffix(".json"), tiny=name == "tiny"))
        assert path.name == manifest
    return tmp_path / "node_modules"


def program(tmp_path: Path, text: str) -> str:
    (tmp_path / "node").write_text(f"#!{sys.executable}\n{text}")
    (tmp_path / "node").chmod(0o755)
    return str(tmp_path / "node")


def run(package: Path, node: str) -> int:
    words = ["--package", str(package), "--node", node, "--models", "embedded", str(FACE)]
    return face_api_package.main(words)


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
def test_the_table_has_both_networks_and_what_the_package_sees(package, tmp_path, capsys):
    assert run(package, program(tmp_path, ANSWERS)) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("1 faces")
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["face-api", "face-api", "tiny", "tiny"]
    assert all(float(cell) > 0 for row in rows[2:] for cell in row.split("|")[3:5])
    asked = (package / "kept.json").read_text()
    assert '"network": "faceLandmark68TinyNet"' in asked


@pytest.mark.skipif(sys.platform == "win32", reason="a script is no program there")
@pytest.mark.parametrize("text", ["import sys; sys.exit('no such module')", "print('nothing is answered')"])
def test_a_program_that_fails_is_an_error_with_its_words(package, tmp_path, text):
    with pytest.raises(AuparityError, match=r"cannot run the package in .*: (no such module)?$"):
        run(package, program(tmp_path, text))


def test_without_node_it_says_where_it_is(package):
    with pytest.raises(VariantUnavailable, match="nodejs"):
        run(package, "no-such-program")


def test_a_folder_without_the_package_names_what_is_missing(tmp_path, capsys):
    assert main(["dev", "face-api", "--package", str(tmp_path), "--models", "embedded", str(FACE)]) == 1
    assert NETWORKS["face-api"][1] in capsys.readouterr().err


def test_images_without_a_face_are_an_error(package, tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(AuparityError, match="no face"):
        face_api_package.main(["--package", str(package), "--models", "embedded", str(tmp_path / "empty.png")])
