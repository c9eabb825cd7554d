"""Whatever is named or found is measured, refused or reported: nothing is left out silently."""

from __future__ import annotations

import os

import pytest

from auparity.extraction.inputs import Input, find_inputs, printable
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images, write_video


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def short(inputs: list[Input]) -> list[tuple[str, str]]:
    return [(item.kind, str(item.path)) for item in inputs]


def test_files_are_clips_or_photographs_by_their_content(place):
    write_video(place / "a.avi", 2).rename(place / "a.png")
    write_images(place / "clip", 1)
    (place / "clip" / "000.png").rename(place / "b.avi")
    (place / "c").write_bytes((place / "b.avi").read_bytes())
    assert short(find_inputs(["a.png", "b.avi", "c"])) == [
        ("clip", "a.png"),
        ("photograph", "b.avi"),
        ("photograph", "c"),
    ]


def test_a_folder_of_images_is_one_clip_or_photographs(place):
    write_images(place / "clip", 2)
    assert find_inputs(["clip"]) == [Input("clip", place.__class__("clip"))]
    found = find_inputs(["clip"], photographs=True)
    assert short(found) == [("photograph", "clip/000.png"), ("photograph", "clip/001.png")]
    assert {str(item.root) for item in found} == {"clip"}


def test_a_folder_of_videos_is_not_taken_for_its_stray_pictures(place):
    write_images(place / "session", 2)
    write_video(place / "session" / "a.avi", 2)
    (found,) = find_inputs(["session"])
    assert found.kind == "problem"
    assert "holds 1 videos (a.avi) beside 2 images. Add --recursive" in found.problem
    assert short(find_inputs(["session"], recursive=True)) == [("clip", "session/a.avi"), ("notice", "session")]
    assert "left out" in find_inputs(["session"], recursive=True)[1].problem
    kinds = [item.kind for item in find_inputs(["session"], photographs=True)]
    assert kinds == ["photograph", "photograph", "notice"]


def test_a_recursive_search_finds_all_clips_and_keeps_where_they_lay(place):
    for name in ("sub-01", "sub-02"):
        (place / "data" / name).mkdir(parents=True)
        write_video(place / "data" / name / "face.avi", 2)
    write_images(place / "data" / "frames", 2)
    (place / "data" / "notes.txt").write_text("x")
    found = find_inputs(["data"], recursive=True)
    assert short(found) == [
        ("clip", "data/frames"),
        ("clip", "data/sub-01/face.avi"),
        ("clip", "data/sub-02/face.avi"),
    ]
    assert {str(item.root) for item in found} == {"data"}
    assert [item.kind for item in find_inputs(["data"], recursive=True, photographs=True)].count("photograph") == 2


def test_a_named_folder_of_images_or_of_videos_alone_is_no_problem_to_a_recursive_search(place):
    write_images(place / "images", 1)
    (place / "videos").mkdir()
    write_video(place / "videos" / "a.avi", 2)
    assert short(find_inputs(["images"], recursive=True)) == [("clip", "images")]
    assert short(find_inputs(["videos"], recursive=True)) == [("clip", "videos/a.avi")]


def test_folders_below_are_mentioned(place):
    write_images(place / "a" / "b", 1)
    (found,) = find_inputs(["a"])
    assert (found.kind, "add --recursive" in found.problem) == ("problem", True)
    write_images(place / "a", 1)
    assert [item.kind for item in find_inputs(["a"])] == ["clip", "notice"]


def test_a_folder_of_nothing_is_a_problem(place):
    (place / "empty").mkdir()
    (place / "empty" / "table.csv").write_text("x")
    for recursive in (False, True):
        (found,) = find_inputs(["empty"], recursive=recursive)
        assert (found.kind, found.problem) == ("problem", "empty: holds no images or videos.")


def test_a_folder_may_be_called_like_a_file(place):
    write_images(place / "x.csv", 2)
    assert short(find_inputs(["x.csv"])) == [("clip", "x.csv")]


def test_hidden_and_system_files_are_no_complaint(place):
    write_images(place / "clip", 1)
    for name in (".DS_Store", "Thumbs.db", "._000.png", "labels.csv", "meta.json", "README.md"):
        (place / "clip" / name).write_bytes(b"x")
    (place / "clip" / "__MACOSX").mkdir()
    assert [item.kind for item in find_inputs(["clip"], recursive=True)] == ["clip"]


def test_unknown_files_among_images_are_mentioned(place):
    write_images(place / "clip", 1)
    (place / "clip" / "model.bin").write_bytes(b"x" * 50)
    clip, notice = find_inputs(["clip"])
    assert (clip.kind, notice.kind) == ("clip", "notice")
    assert "model.bin" in notice.problem


def test_missing_names_and_broken_links_are_problems(place):
    (place / "gone.mp4").symlink_to("nowhere.mp4")
    missing, broken = find_inputs(["nothing.mp4", "gone.mp4"])
    assert missing == Input("problem", missing.path, None, "nothing.mp4: does not exist.")
    assert broken.problem == "gone.mp4: is a broken link to nowhere.mp4."
    (place / "data").mkdir()
    (place / "data" / "gone.mp4").symlink_to("nowhere.mp4")
    (place / "data" / "empty.avi").touch()
    assert [item.kind for item in find_inputs(["data"])] == ["problem", "problem"]


def test_two_links_to_one_file_are_two_inputs_and_one_name_twice_is_one(place):
    write_video(place / "a.avi", 2)
    (place / "b.avi").symlink_to("a.avi")
    assert short(find_inputs(["a.avi", "b.avi", "./a.avi"])) == [("clip", "a.avi"), ("clip", "b.avi")]


def test_loops_of_links_end_in_a_problem(place):
    (place / "loop").symlink_to("loop")
    (place / "data" / "sub").mkdir(parents=True)
    (place / "data" / "sub" / "up").symlink_to(place / "data")
    write_video(place / "data" / "sub" / "a.avi", 2)
    assert find_inputs(["loop"])[0].kind == "problem"
    found = find_inputs(["data"], recursive=True)
    assert short(found) == [("clip", "data/sub/a.avi"), ("problem", "data/sub/up")]
    assert "a link to a folder that it lies in" in found[1].problem


def test_a_folder_that_is_linked_twice_is_measured_once_and_said_so(place):
    for level in range(12):  # each folder holds the next one twice: 4,096 ways to the clip
        (place / f"{level}").mkdir()
        for name in ("left", "right"):
            (place / f"{level}" / name).symlink_to(place / f"{level + 1}")
    write_images(place / "12", 1)
    found = find_inputs(["0"], recursive=True)
    assert [item.kind for item in found].count("clip") == 1
    assert "is the same folder as" in next(item.problem for item in found if item.kind == "notice")


def test_wildcards_are_expanded_where_the_shell_did_not(place):
    for name in ("b.avi", "a.avi", "[1].avi"):
        write_video(place / name, 2)
    assert short(find_inputs(["?.avi"])) == [("clip", "a.avi"), ("clip", "b.avi")]
    assert short(find_inputs(["[1].avi"])) == [("clip", "[1].avi")]  # a file of that very name
    (nothing,) = find_inputs(["*.mp4"])
    assert (nothing.kind, nothing.problem) == ("problem", "*.mp4: no file matches.")
    assert "--recursive" in find_inputs(["**/*.avi"])[0].problem


@pytest.mark.parametrize("name", ["-x.avi", "clip%03d.avi", "10:30.avi", "a\x1b[31m.avi", "a\nb.avi", "caf\udce9.avi"])
def test_odd_names_are_inputs_like_others(place, name):
    try:
        write_video(place / "plain.avi", 2).rename(place / name)
    except OSError:
        pytest.skip("this file system does not take the name")
    assert [item.kind for item in find_inputs([name])] == ["clip"]
    os.truncate(name, 0)
    (found,) = find_inputs([name])
    assert found.problem == f"{printable(name)}: is empty (0 bytes). Copy it again from its source."
    assert found.problem.isprintable()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("Gesicht_ä_顔.mp4", "Gesicht_ä_顔.mp4"),
        ("a\x1b[2J.mp4", r"a\x1b[2J.mp4"),
        ("two\nlines", r"two\nlines"),
        ("caf\udce9", r"caf\udce9"),
        ("right\u202eto left", r"right\u202eto left"),
    ],
)
def test_names_are_made_safe_to_print(name, shown):
    assert printable(name) == shown


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a folder that may not be read")
def test_a_folder_that_may_not_be_read_is_a_problem(place):
    (place / "locked").mkdir(mode=0)
    assert "cannot be listed" in find_inputs(["locked"])[0].problem
