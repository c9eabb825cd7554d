"""What is deleted from the cache: what was not used for long, the least recently used of too many, and leftovers."""

from __future__ import annotations

import os
import time

import pytest

from auparity import cache, cache_upkeep
from auparity.cache import CACHE_VARIABLE, DAY, NUMBA_VARIABLE, cache_folder, intact, map_own, read_own, seal, write_own
from auparity.cache_upkeep import UNUSED_DAYS, kept, tidy, tidy_daily
from auparity.cli import main
from auparity.errors import AuparityError
from auparity.models.compiled import compiled
from auparity.models.file_lock import take


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of compiled kernels of an empty cache."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(NUMBA_VARIABLE, raising=False)
    return cache_folder("numba")


def put(folder, name, *, days, size=100):
    """An entry that was last used some days ago."""
    write_own(folder / name, bytes(size))
    date(folder / name, days)
    return folder / name


def date(path, days):
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_nothing_has_used_for_long_is_deleted_and_what_was_used_stays(folder):
    put(folder, "old", days=UNUSED_DAYS + 1)
    put(folder, "recent", days=UNUSED_DAYS - 1)
    put(folder, "new", days=0)
    assert [entry.path.name for entry in tidy(folder, 10_000)] == ["old"]
    assert names(folder) == ["new", "recent"]


@pytest.mark.parametrize("read", [read_own, map_own])
def test_reading_an_entry_is_using_it(folder, read):
    path = put(folder, "entry", days=UNUSED_DAYS + 1)
    assert bytes(read(path)) == bytes(100)
    assert tidy(folder, 10_000) == []
    assert time.time() - path.stat().st_mtime < DAY


def test_an_entry_is_dated_once_a_day_and_no_more(folder):
    path = put(folder, "entry", days=0.5)
    before = path.stat().st_mtime_ns
    read_own(path)
    assert path.stat().st_mtime_ns == before


def test_of_too_many_the_least_recently_used_go_but_none_that_was_used_within_a_day(folder):
    for days in (5, 4, 3, 0.5, 0):
        put(folder, f"{days} days", days=days, size=1000)
    assert [entry.path.name for entry in tidy(folder, 3000)] == ["5 days", "4 days"]
    assert [entry.path.name for entry in tidy(folder, 0)] == ["3 days"]
    assert names(folder) == ["0 days", "0.5 days"]


def test_a_sealed_entry_goes_with_its_seal_and_is_used_when_either_is(folder):
    for name in ("used", "unused"):
        (folder / name).mkdir()
        write_own(folder / name / "part", bytes(10))
        seal(folder / name)
        for path in (folder / name / "part", folder / name, folder / f"{name}.sha256"):
            date(path, 100)
    assert intact(folder / "used")
    assert [entry.path.name for entry in tidy(folder, 10_000)] == ["unused"]
    assert names(folder) == ["used", "used.sha256"]


def test_what_killed_processes_left_behind_is_deleted_after_a_day(folder):
    for name in (f"{cache.UNFINISHED}x", "kernel.lock", "gone.sha256"):
        put(folder, name, days=2)
        put(folder, f"{cache.UNFINISHED}{name}", days=0.5)
    assert kept(folder) == []
    tidy(folder, 10_000)
    assert all(name.startswith(cache.UNFINISHED) for name in names(folder))
    assert len(names(folder)) == 3


def test_a_lock_that_is_deleted_while_it_is_held_locks_the_next_file_of_its_name(folder):
    """`take` looks whether what it locked is still there."""
    lock = folder / "kernel.lock"
    with take(lock):
        date(lock, 2)
        tidy(folder, 10_000)
        assert not lock.exists()
        with take(lock), pytest.raises(AuparityError, match=r"holds kernel\.lock"):
            take(lock)


def test_a_folder_is_looked_through_once_a_day_by_whoever_adds_something(folder, monkeypatch):
    put(folder, "first", days=100)
    tidy_daily(folder, "numba")
    put(folder, "second", days=100)
    tidy_daily(folder, "numba")
    assert [entry.path.name for entry in kept(folder)] == ["second"]
    date(folder / cache_upkeep.LOOKED_THROUGH, 2)
    tidy_daily(folder, "numba")
    assert kept(folder) == []


def test_an_entry_that_cannot_be_deleted_stays_and_nothing_fails(folder, monkeypatch):
    def refused(path):
        raise PermissionError(13, "in use")

    put(folder, "entry", days=100)
    monkeypatch.setattr(cache_upkeep, "discard", refused)
    assert tidy(folder, 10_000) == []
    assert names(folder) == ["entry"]


def test_other_kinds_are_looked_through_when_they_get_an_entry(folder):
    """Bundles of folders that are gone would stay forever otherwise."""
    bundles = cache_folder("bundles")
    put(bundles, "of a folder that is gone", days=100)

    class Contents:
        content_hash = ""

    contents = compiled("recipe", lambda: Contents)
    assert contents is Contents
    assert len(kept(bundles)) == 1


def test_the_command_lists_prunes_and_clears(folder, capsys):
    put(folder, "old", days=100, size=1 << 20)
    put(folder, "new", days=3)
    put(cache_folder("bundles"), "one", days=0)
    assert main(["cache", "list"]) == 0
    shown = capsys.readouterr().out
    assert f"{folder.parent} (AUPARITY_CACHE names it)" in shown
    assert "numba            2 entries, 1.0 MiB       last used 3 days ago     compiled kernels" in shown
    assert main(["cache", "prune"]) == 0
    assert capsys.readouterr().out == "1 entry, 1.0 MiB deleted.\n"
    assert main(["cache", "prune", "--days", "2"]) == 0
    assert names(folder) == []
    put(folder, "another", days=0)
    assert main(["cache", "clear", "bundles"]) == 0
    assert names(folder) == ["another"]
    assert main(["cache", "clear"]) == 0
    assert names(folder) == []


def test_a_kind_that_is_not_there_is_named(folder, capsys):
    assert main(["cache", "clear", "kernels"]) == 1
    assert "the cache has no kernels; it has numba." in capsys.readouterr().err


def test_days_are_not_negative(folder, capsys):
    with pytest.raises(SystemExit):
        main(["cache", "prune", "--days", "-1"])
