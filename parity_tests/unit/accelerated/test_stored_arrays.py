"""Arrays that are kept: the same numbers from the cache, made again where an entry is not whole and ours."""

from __future__ import annotations

import os

import numpy as np
import pytest

from auparity.accelerated import stored_arrays
from auparity.accelerated.stored_arrays import BEGIN, MAGIC, stored_array
from auparity.cache import CACHE_VARIABLE

KEY, NUMBERS = "ab" * 32, np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "numbers"


def made(key=KEY):
    """The array, and whether it was made anew."""
    calls = []
    array = stored_array("numbers", key, lambda: (calls.append(1), NUMBERS.copy())[1])
    assert array.dtype == NUMBERS.dtype
    assert not array.flags.writeable
    np.testing.assert_array_equal(array, NUMBERS)
    return bool(calls)


def test_an_array_is_made_once(folder):
    assert [made(), made(), made("cd" * 32)] == [True, False, True]


@pytest.mark.parametrize("kind", ["empty", "half", "head", "one bit", "garbage", "another key"])
def test_a_damaged_entry_is_made_again_and_replaced(folder, kind):
    made()
    entry = folder / KEY
    good = entry.read_bytes()
    other = {
        "empty": b"",
        "half": good[:-20],
        "head": good[:BEGIN],
        "one bit": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "garbage": MAGIC + os.urandom(1000),
        "another key": good.replace(b"ab" * 32, b"cd" * 32),
    }
    entry.write_bytes(other[kind])
    assert [made(), made()] == [True, False]


def test_an_entry_that_others_may_have_written_is_not_used(folder):
    if not hasattr(os, "getuid"):
        pytest.skip("Windows has no such modes")
    made()
    (folder / KEY).chmod(0o666)
    assert made()


def test_without_a_cache_and_with_a_full_disk_arrays_are_made(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_arrays, "write_own", full)
    assert [made(), made()] == [True, True]
    monkeypatch.setattr(stored_arrays, "cache_folder", lambda kind: None)
    calls = []
    assert stored_array("numbers", KEY, lambda: (calls.append(1), NUMBERS)[1]) is NUMBERS
    assert calls
