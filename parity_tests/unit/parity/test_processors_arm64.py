"""AArch64 under emulation, without an emulator: what is missing, what is made again, and what counts as equal."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata

import numpy as np
import pytest

pytest.importorskip("numba", reason="the extra numba is not installed")

from auparity.errors import AuparityError
from auparity.parity_tests.processors import arm64, arm64_root, comparison, same_work
from auparity.parity_tests.processors.arm64_root import Root, missing

REGISTERED = "enabled\ninterpreter /usr/libexec/qemu\nflags: PF\noffset 0\n"


@pytest.fixture
def able(tmp_path, monkeypatch):
    """What `missing` finds on a machine where nothing is."""
    monkeypatch.setattr(arm64_root.sys, "platform", "linux")
    monkeypatch.setattr(arm64_root.util, "find_spec", lambda name: name)  # environments that uv makes have no pip
    binfmt = tmp_path / "qemu-aarch64"
    binfmt.write_text(REGISTERED)
    return {"binfmt": binfmt, "which": lambda name: f"/usr/bin/{name}", "machine": "x86_64", "user": 0}


def test_nothing_is_missing_where_all_is_there(able):
    assert missing(**able) == []


@pytest.mark.parametrize(
    ("without", "why"),
    [
        ({"user": 1000}, "root's rights"),
        ({"machine": "aarch64"}, "this processor is aarch64"),
        ({"which": lambda name: None if name == "debootstrap" else name}, "apt-get install debootstrap binfmt-support"),
        ({"which": lambda name: None if "qemu" in name else name}, "apt-get install qemu-user-static"),
    ],
)
def test_each_precondition_says_what_to_do(able, without, why):
    (found,) = missing(**able | without)
    assert why in found


@pytest.mark.parametrize("content", [None, REGISTERED.replace("PF", "P"), REGISTERED.replace("enabled", "disabled")])
def test_the_kernel_must_open_the_emulator_before_the_root_hides_it(able, content):
    if content is None:
        able["binfmt"].unlink()
    else:
        able["binfmt"].write_text(content)
    (found,) = missing(**able)
    assert "kernel" in found


def test_other_systems_are_not_asked_further(able, monkeypatch):
    monkeypatch.setattr(arm64_root.sys, "platform", "darwin")
    (found,) = missing(**able)
    assert "darwin" in found


def test_a_machine_that_cannot_says_why_and_skips(monkeypatch, capsys):
    monkeypatch.setattr(arm64, "missing", lambda: ["chroot needs root's rights"])
    assert arm64.main([]) == arm64.EXIT_NOTHING
    assert "chroot needs root's rights" in capsys.readouterr().out


def test_the_root_gets_the_versions_that_are_here():
    assert f"numpy=={np.__version__}" in arm64_root.wanted()

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    with pytest.raises(AuparityError, match="numpy is not installed"):
        arm64_root.wanted(absent)


@pytest.fixture
def commands(monkeypatch):
    """Commands that would make a root; each leaves a folder, and fails where its name is in `broken`."""
    ran, broken = [], set()

    def checked(command, name):
        ran.append(name)
        place = next(word for word in command if word.endswith(("root", "packages")))
        arm64_root.Path(place).mkdir(parents=True, exist_ok=True)
        (arm64_root.Path(place) / "half").touch()
        if name in broken:
            raise AuparityError(f"{name} ended with status 1")

    monkeypatch.setattr(arm64_root, "_checked", checked)
    monkeypatch.setattr(Root, "copy_sources", lambda self: ran.append("sources"))
    (checked.ran, checked.broken) = ran, broken
    return checked


def quiet(text):
    """No progress."""


def test_what_is_done_is_not_done_again(tmp_path, commands):
    root = Root(tmp_path / "root")
    (root.folder / "etc").mkdir(parents=True)
    commands.broken.add("pip")
    with pytest.raises(AuparityError, match="pip"):
        root.make(tell=quiet)
    commands.broken.clear()
    root.make(tell=quiet)
    root.make(tell=quiet)
    assert commands.ran == ["debootstrap", "pip", "pip", "sources", "sources"]


def test_other_versions_are_installed_anew_and_a_broken_base_is_made_anew(tmp_path, commands, monkeypatch):
    root = Root(tmp_path / "root")
    commands.broken.add("debootstrap")
    with pytest.raises(AuparityError, match="debootstrap"):
        root.make(tell=quiet)
    assert (root.folder / "half").is_file()
    commands.broken.clear()
    monkeypatch.setattr(arm64_root, "_mounted", lambda: [str(root.folder / "proc")])
    with pytest.raises(AuparityError, match="umount"):  # deleting would go through it
        root.make(tell=quiet)
    monkeypatch.setattr(arm64_root, "_mounted", lambda: ["/", "/proc"])
    root.make(tell=quiet)
    monkeypatch.setattr(arm64_root, "wanted", lambda: ["numpy==9"])
    root.make(tell=quiet)
    assert commands.ran == ["debootstrap", "debootstrap", "pip", "sources", "pip", "sources"]
    assert root.done() == {"base": "bookworm", "packages": ["numpy==9"]}


def test_programs_of_the_root_get_its_own_environment(tmp_path, monkeypatch):
    seen = []

    def run(command, **options):
        seen.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(arm64_root.subprocess, "run", run)
    assert Root(tmp_path).run(["python3", "-V"]) == 3
    (command,) = seen
    assert command[:3] == ["unshare", "--mount", "sh"]  # what is mounted in there nobody else sees, or has to umount
    assert command[4:8] == [arm64_root.ENTER, str(tmp_path), "/usr/bin/env", "-i"]
    assert command[-2:] == ["python3", "-V"]
    assert "AUPARITY_CACHE=/var/cache/auparity" in command


def test_the_sources_of_the_checkout_are_what_runs_there(tmp_path):
    root = Root(tmp_path)
    root.copy_sources()
    code = tmp_path / arm64_root.CODE
    assert (code / "accelerated/numba/fused.py").is_file()
    assert (code / "auparity/accelerated").resolve() == (code / "accelerated").resolve()
    before = arm64.sources_hash(code)
    (code / "reference/gaze.py").write_text("other")
    assert arm64.sources_hash(code) != before


HEAD = "frame, success, pose_Tx\n"


def folders(tmp_path, ours, theirs):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, tables in ((here, ours), (there, theirs)):
        folder.mkdir()
        for name, text in tables.items():
            (folder / f"{name}.csv").write_text(text)
    return here, there


def test_equal_tables_are_counted_field_by_field(tmp_path):
    table = HEAD + "1, 1, 2.5\n2, 1, 2.6\n"
    (found,) = comparison.compare_tables(*folders(tmp_path, {"a": table}, {"a": table}))
    assert (found.fields, found.differing) == (6, ())
    assert found.sentence == "a.csv: all 6 printed fields equal"


def test_a_printed_digit_that_differs_is_found_and_named(tmp_path):
    ours = HEAD + "1, 1, 2.5\n2, 1, 2.6\n"
    found = comparison.compare_tables(*folders(tmp_path, {"a": ours}, {"a": ours.replace("2.6", "2.60")}))
    assert found[0].differing == ("row 2, pose_Tx: 2.6, not 2.60",)
    (error,) = comparison.errors_of_tables(found)
    assert (error.error, error.problem) == (1.0, comparison.DIFFERENT)


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ({}, "no such table of the other"),
        ({"a": HEAD + "1, 1, 2.5\n", "b": HEAD}, "no such table of this"),
        ({"a": HEAD}, "1 rows, not 0"),
        ({"a": "frame, success, pose_Ty\n1, 1, 2.5\n"}, "the columns"),
        ({"a": HEAD + "1, 1\n"}, "3 fields, not 2"),
    ],
)
def test_tables_that_cannot_be_compared_differ(tmp_path, theirs, why):
    found = comparison.compare_tables(*folders(tmp_path, {"a": HEAD + "1, 1, 2.5\n"}, theirs))
    assert any(why in text for table in found for text in table.differing)


def test_without_tables_nothing_is_equal(tmp_path):
    with pytest.raises(AuparityError, match="no tables"):
        comparison.compare_tables(*folders(tmp_path, {}, {}))


def step(folder, landmarks, success=True):
    folder.mkdir(exist_ok=True)
    content = {"success": success, "landmarks": [float(value).hex() for value in landmarks]}
    (folder / "step.json").write_text(json.dumps(content))


def test_the_step_is_compared_unrounded(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    step(here, [100.0, 0.1])
    step(there, [100.0, 0.1])
    error, same_bits = comparison.step_compared(here, there)
    assert (error.error, error.problem, same_bits) == (0.0, "", True)
    step(there, [np.nextafter(100.0, 0), 0.1])
    error, same_bits = comparison.step_compared(here, there)
    assert error.problem == ""
    assert not same_bits
    step(there, [90.0, 0.1])
    assert comparison.step_compared(here, there)[0].problem == comparison.OUT_OF_TOLERANCE
    step(there, [100.0, 0.1], success=False)
    assert comparison.step_compared(here, there)[0].problem == comparison.OUT_OF_TOLERANCE


def test_stages_out_of_tolerance_are_named(tmp_path):
    figures = [
        {"figure": "embedded: fhog numba: fhog", "error": "0.25", "tolerance": "0.1"},
        {"figure": "networks: point_network numba: network_points", "error": "0.0", "tolerance": "inf"},
        {"figure": "embedded: pdm numba: landmarks", "error": "nan", "tolerance": "0.1"},
    ]
    (tmp_path / "stages.json").write_text(json.dumps(figures))
    errors = comparison.errors_of_stages(tmp_path)
    first = errors[0]
    assert (first.workload, first.stage, first.variant, first.figure) == ("embedded", "fhog", "numba", "fhog")
    assert [bool(error.problem) for error in errors] == [True, False, True]
    assert errors[2].error is None
    text = comparison.stages_text(errors)
    assert text.startswith("stages: 1 of 3 figures of 3 stages within tolerance")
    assert '"fhog" of fhog: 0.25' in text


def test_the_chained_clip_is_the_users_where_there_is_one(tmp_path):
    clip, work = tmp_path / "clip", tmp_path / "work"
    clip.mkdir()
    for number in range(3):
        (clip / f"{number}.png").write_bytes(b"picture")
    images = [np.full((4, 6, 3), number, np.uint8) for number in range(2)]
    suite = same_work.workloads.ParityWorkload("embedded", None, [images] * 5, images, images)
    with pytest.raises(AuparityError, match="holds 3 images"):
        same_work._write_clips(tmp_path / "other", suite, 4, clip)
    same_work._write_clips(work, suite, 2, clip)
    chained = work / "clips" / same_work.CHAINED
    assert [path.read_bytes() for path in sorted(chained.iterdir())] == [b"picture", b"picture"]
    for name in same_work.EXTREMES:
        assert np.array_equal(same_work.read_images(work / "clips" / name, 9), images)
    assert len(same_work.read_images(work / same_work.PHOTOGRAPHS, 1)) == 1


def test_results_of_other_code_or_inputs_are_not_taken_for_these(tmp_path, monkeypatch):
    code, prepared = ["one"], []

    def prepare(work, **inputs):
        work.mkdir(exist_ok=True)
        prepared.append((code[0], inputs["frames"]))

    monkeypatch.setattr(arm64, "sources_hash", lambda folder: code[0])
    monkeypatch.setattr(same_work, "prepare", prepare)
    root, work, here = Root(tmp_path / "root"), tmp_path / "work", tmp_path / "here"
    results = (here, root.folder / arm64.FOUND)

    def kept(frames):
        for folder in results:
            folder.mkdir(parents=True, exist_ok=True)
        arm64._prepare(work, here, root, frames, None, None)
        assert (root.folder / arm64.WORK / "made_of.txt").is_file()
        return [folder.is_dir() for folder in results]

    assert kept(30) == [False, False]
    assert kept(30) == [True, True]
    assert kept(20) == [False, False]
    code[0] = "other"
    assert kept(20) == [False, False]
    assert kept(20) == [True, True]
    assert prepared == [("one", 30), ("one", 20), ("other", 20)]
