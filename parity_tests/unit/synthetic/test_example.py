"""The example clip: what is installed can be measured and has its truth, and it can be made again."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from auparity.cli import main
from auparity.errors import AuparityError
from auparity.media import open_clip
from auparity.models.synthetic import example
from auparity.models.synthetic.render import DRAWN
from auparity.models.synthetic.truth_file import OF_PEOPLE


def test_the_installed_example_is_a_person_with_truth(tmp_path):
    video, truth = example.write_example(tmp_path / "made" / "here")
    with open_clip(video) as source:
        frames = [frame.image for frame in source]
    assert len(frames) == len(truth) == example.FRAMES
    assert frames[0].shape == (example.CANVAS[1], example.CANVAS[0], 3)
    assert truth.meta.generator.endswith(OF_PEOPLE)
    assert (truth.landmarks[..., 0] > 0).all()
    assert (truth.landmarks[..., 0] < example.CANVAS[0]).all()
    assert (truth.aus.max(axis=0) > 1).sum() >= 8  # so many action units move
    assert np.ptp(truth.pose[:, 4]) > np.radians(10)
    assert example.example_path().stat().st_size < 1 << 20
    assert sorted(path.name for path in video.parent.iterdir()) == ["clip.mp4", "clip.truth.csv", "clip.truth.json"]


def test_the_command_says_how_to_measure_it_and_the_page_has_its_truth(tmp_path, capsys):
    assert main(["models", "example", "-o", str(tmp_path)]) == 0
    words = capsys.readouterr().out.split("Next: auparity ")[1].split()
    assert main([*words, "--models", "embedded", "--max-frames", "8", "--quiet"]) == 0
    rows = (tmp_path / "clip.csv").read_text().splitlines()
    assert len(rows) == 9
    truth = (tmp_path / "clip.truth.csv").read_text().splitlines()
    (tmp_path / "clip.truth.csv").write_text("\n".join(truth[:9]) + "\n")
    described = json.loads((tmp_path / "clip.truth.json").read_text())
    (tmp_path / "clip.truth.json").write_text(json.dumps(described | {"frames": 8}))
    assert main(["report", str(tmp_path / "clip.csv")]) == 0
    page = (tmp_path / "clip.html").read_text(encoding="utf-8")
    assert "Measured against the truth" in page
    assert "auparity models example -o ." in page
    assert "a drawn head is new" not in page
    for words in (
        ["summary", str(tmp_path)],
        ["report", str(tmp_path)],
    ):  # of the folder: the truth is no table of theirs
        assert main(words) == 0
    assert "clip.truth" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_it_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(example, "example_path", lambda: tmp_path / "new.zip")
    example.make_example(tmp_path / "new.zip", DRAWN, frames=3, canvas=(160, 160))
    assert [path.name for path in tmp_path.iterdir()] == ["new.zip"]
    video, truth = example.write_example(tmp_path / "out")
    with open_clip(video) as source:
        frames = [frame.image for frame in source]
    assert len(frames) == len(truth) == 3
    assert frames[0].shape == (160, 160, 3)
    assert not truth.meta.generator.endswith(OF_PEOPLE)


@pytest.mark.parametrize("damage", [b"", b"PK no zip", None])
def test_a_damaged_example_is_said(damage, tmp_path, monkeypatch):
    path = tmp_path / "example.zip"
    if damage is None:
        with zipfile.ZipFile(path, "w") as stored:
            stored.writestr("clip.mp4", b"")
    else:
        path.write_bytes(damage)
    monkeypatch.setattr(example, "example_path", lambda: path)
    with pytest.raises(AuparityError, match="Reinstall auparity"):
        example.write_example(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AuparityError, match="is not a folder"):
        example.write_example(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
