"""A data set whose program was killed, at whatever moment, holds each clip once or cannot be read; the next run ends
what was begun."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from auparity.dataset import store
from auparity.dataset.build import Wish, build
from auparity.dataset.progress import QuietProgress
from auparity.parity_tests.unit.helpers.result_folders import write_result

pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

FIRST = {"a": 0, "b": 1, "c": 2, "d": 3}
SECOND = {"b": 1, "c": 9, "d": 3, "e": 4}
ROWS = 4  # of a clip, and of a file
#: Kills at random moments; more of them take a few seconds each.
KILLS = int(os.environ.get("AUPARITY_DATASET_KILLS", "3"))


class Killed(BaseException):
    """The program ends here."""


class Reaper:
    """Kills the program when it touches names of files for the `at`-th time; nothing that it does later happens."""

    def __init__(self, monkeypatch, at):
        self.count, self.at = 0, at
        for name in ("replace", "link", "unlink", "rmdir", "mkdir"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))

    def wrap(self, function):
        def called(*arguments, **options):
            self.count += 1
            if self.count > self.at:
                raise Killed
            return function(*arguments, **options)

        return called


def make(out, data):
    return build([out], data, Wish(rows=ROWS), QuietProgress())


def state(folder):
    """What a reader of the folder `frames` finds: its rows by clip, with a number of each; None without the folder."""
    if not (folder / "frames").exists():
        return None
    table = parquet.read_table(folder / "frames").sort_by([("clip", "ascending"), ("frame", "ascending")])
    columns = table.select(["clip", "frame", "AU12_r"]).to_pydict()
    return list(zip(*columns.values(), strict=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two output folders, `first` and `second`, and what is made of each without a kill."""
    folder = tmp_path_factory.mktemp("kills")
    for name, clips in (("first", FIRST), ("second", SECOND)):
        for clip, seed in clips.items():
            write_result(folder / name, clip, ROWS, seed=seed)
        make(folder / name, folder / f"{name}-data")
    return folder


@pytest.mark.parametrize("changed", [False, True], ids=["new", "changed"])
def test_at_whatever_change_of_a_name_it_is_killed(tmp_path, place, changed):
    before = state(place / "first-data") if changed else None
    after = state(place / "second-data")
    at, gone = 0, 0
    while True:
        data = tmp_path / f"data-{at}"
        if changed:
            shutil.copytree(place / "first-data", data)
        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            reaper = Reaper(patch, at)
            make(place / "second", data)
        if reaper.count <= at:  # it came to its end
            break
        found = state(data)
        gone += found is None
        assert found in (None, before, after), f"killed at {at}"
        make(place / "second", data)
        assert state(data) == after
        assert {path.name for path in data.iterdir()} == {
            store.LOCK, store.FACTS, "frames", "clips.parquet", "failures.parquet",
        }  # fmt: skip
        assert parquet.read_table(data / "clips.parquet")["clip"].to_pylist() == sorted(SECOND)
        at += 1
    assert at > 15
    if changed:
        assert gone == 1  # between two renames


def test_ctrl_c_between_the_two_renames_leaves_the_earlier_state(tmp_path, place, monkeypatch):
    data, replace = tmp_path / "data", os.replace
    shutil.copytree(place / "first-data", data)

    def interrupted(source, target):
        if target == data / "frames" and source != data / store.OLD:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(place / "second", data)
    assert state(data) == state(place / "first-data")
    monkeypatch.undo()
    make(place / "second", data)
    assert state(data) == state(place / "second-data")


def test_files_that_were_finished_are_not_written_again(tmp_path, place):
    written, data = 0, tmp_path / "data"

    def rows_done(self, rows):
        nonlocal written
        written += rows
        if written == 3 * ROWS:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuietProgress, "rows_done", rows_done)
        with pytest.raises(Killed):
            make(place / "first", data)
        written = 0
        make(place / "first", data)
    assert written == 2 * ROWS  # that of the file in which it was killed, and of the last one
    assert state(data) == state(place / "first-data")


@pytest.mark.skipif(os.name != "posix", reason="kills by signals")
def test_programs_that_are_killed_at_random_moments(tmp_path, place):
    data, generator = tmp_path / "data", random.Random(0)
    before, after = state(place / "first-data"), state(place / "second-data")

    def command(name):
        return [sys.executable, "-m", "auparity", "dataset", str(place / name), "-o", str(data),
                "--rows", str(ROWS), "--quiet"]  # fmt: skip

    began = time.monotonic()
    subprocess.run(command("first"), check=True)
    life = time.monotonic() - began
    for kill in range(KILLS):
        process = subprocess.Popen(command("first" if kill % 2 else "second"))
        with suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0.3, 1.1) * life)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert state(data) in (None, before, after)
    subprocess.run(command("second"), check=True)
    assert state(data) == after
