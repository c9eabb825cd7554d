"""A rendered clip on disk: the same seed gives the same files, and nobody's files are overwritten."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from auparity.cli.render import add_render
from auparity.errors import AuparityError, ContractError
from auparity.media import open_clip
from auparity.models.synthetic.clip_folder import renderer_version, write_clip
from auparity.models.synthetic.clips import make_clip
from auparity.models.synthetic.truth_file import read_truth


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "clip"
    write_clip(folder, 7, 3, canvas=(200, 160))
    return folder


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_render(parser.add_subparsers())
    parsed = parser.parse_args(["render", *map(str, arguments)])
    return parsed.run(parsed)


def test_extraction_sees_the_very_pixels_that_were_rendered(clip):
    made = make_clip(7, 3, canvas=(200, 160))
    with open_clip(clip) as source:
        frames = [frame.image for frame in source]
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2], made.frame(2).image)


def test_the_truth_lies_with_the_frames(clip):
    table = read_truth(clip / "truth.csv")
    expected = make_clip(7, 3, canvas=(200, 160)).frame(1).truth
    np.testing.assert_allclose(table.landmarks[1], expected.landmarks, atol=1e-6)
    assert (table.meta.seed, table.meta.width, table.meta.height) == (7, 200, 160)
    assert renderer_version() in table.meta.generator


def test_the_same_clip_is_kept(clip):
    before = (clip / "000001.png").stat().st_mtime_ns
    assert len(write_clip(clip, 7, 3, canvas=(200, 160), overwrite=True)) == 3
    assert (clip / "000001.png").stat().st_mtime_ns == before


def test_another_clip_is_replaced_only_when_asked(clip, tmp_path):
    write_clip(tmp_path / "clip", 8, 2, canvas=(160, 160))
    with pytest.raises(AuparityError, match=r"holds another clip \(seed 8, 2 frames.*--overwrite"):
        write_clip(tmp_path / "clip", 8, 1, canvas=(160, 160))
    write_clip(tmp_path / "clip", 8, 1, canvas=(160, 160), overwrite=True)
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == ["000000.png", "truth.csv", "truth.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


def test_a_folder_of_someone_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(AuparityError, match="is not a rendered clip, so it is left alone"):
        write_clip(tmp_path, 7, 1, overwrite=True)
    assert (tmp_path / "thesis.txt").is_file()


@pytest.mark.parametrize("arguments", [{"n_frames": 0}, {"n_frames": 1, "canvas": (100, 300)}])
def test_impossible_clips_are_refused(tmp_path, arguments):
    with pytest.raises(ContractError):
        write_clip(tmp_path / "clip", 7, **arguments)


def test_the_command_says_what_to_do_next(tmp_path, capsys):
    assert run("--seed", 9, "--frames", 1, "--size", "160x160", "-o", tmp_path / "clip") == 0
    said = capsys.readouterr().out
    camera = read_truth(tmp_path / "clip" / "truth.csv").meta.camera
    assert f"auparity extract {tmp_path / 'clip'} --fx {camera.focal:.3f} --cx 80 --cy 80" in said


@pytest.mark.parametrize("size", ["320", "axb", "10x10", "320x99999"])
def test_sizes_that_are_none_end_with_the_usage(size, tmp_path, capsys):
    with pytest.raises(SystemExit) as raised:
        run("--size", size, "-o", tmp_path)
    assert raised.value.code == 2


@pytest.mark.parametrize("option", [("--frames", 0), ("--seed", -1)])
def test_other_impossible_options_are_errors(option, tmp_path):
    with pytest.raises(AuparityError, match=option[0]):
        run(*option, "-o", tmp_path / "clip")
