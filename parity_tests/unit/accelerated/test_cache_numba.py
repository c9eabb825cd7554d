"""What is kept of compiled kernels: used where it is whole, ours and of the same sources; else compiled again."""

from __future__ import annotations

import os
import types

import pytest

pytest.importorskip("numba")

from numba.core.dispatcher import Dispatcher

from auparity.accelerated.cache import CACHE_VARIABLE, NUMBA_VARIABLE
from auparity.accelerated.numba import compile as compile_module
from auparity.accelerated.numba.compile import MAGIC, Entries, constants_hash, kernel, sources_hash

FACTOR = 2.0


def twice(x):
    return FACTOR * x


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.delenv(NUMBA_VARIABLE, raising=False)
    return tmp_path / "numba"


def run() -> Dispatcher:
    """The kernel, in a dispatcher that knows nothing yet."""
    dispatcher = kernel(twice)
    assert dispatcher(3.0) == 6.0
    return dispatcher


def from_cache(dispatcher) -> bool:
    return sum(dispatcher.stats.cache_hits.values()) == 1


def test_a_kernel_is_compiled_once_and_kept(folder):
    assert not from_cache(run())
    (entry,) = folder.iterdir()
    assert entry.name.startswith("test_cache_numba.twice")
    assert from_cache(run())


def damage(kind, content):
    return {
        "empty": b"",
        "truncated": content[:-1],
        "half": content[: len(content) // 2],
        "a head alone": content[: len(MAGIC)],
        "one bit": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
        "one bit of the hash": content[: len(MAGIC)] + bytes([content[len(MAGIC)] ^ 1]) + content[len(MAGIC) + 1 :],
        "garbage": os.urandom(len(content)),
        "garbage behind a head": MAGIC + os.urandom(5000),
        "another layout": b"auparity numba 0\n" + content[len(MAGIC) :],
        "more": content + b"x",
    }[kind]


@pytest.mark.parametrize(
    "kind",
    ["empty", "truncated", "half", "a head alone", "one bit", "one bit of the hash", "garbage",
     "garbage behind a head", "another layout", "more"],
)  # fmt: skip
def test_a_damaged_entry_is_compiled_again_and_replaced(folder, kind):
    run()
    (entry,) = folder.iterdir()
    good = entry.read_bytes()
    entry.write_bytes(damage(kind, good))
    assert not from_cache(run())
    assert from_cache(run())


def test_a_pickle_that_others_could_have_written_is_not_even_read(folder):
    if not hasattr(os, "getuid"):
        pytest.skip("Windows has no such modes")
    run()
    (entry,) = folder.iterdir()
    entry.chmod(0o666)
    assert not from_cache(run())
    assert entry.stat().st_mode & 0o777 == 0o600
    if os.getuid() == 0:
        os.chown(entry, 12345, 12345)
        assert not from_cache(run())


def test_an_entry_of_another_kernel_under_the_same_name_is_not_taken(folder):
    entries = Entries("name")
    entries.save("key", "data")
    assert entries.load("key") == "data"
    assert entries.load("other") is None
    os.rename(entries._path("key"), entries._path("other"))
    assert entries.load("other") is None
    entries.save("key", "data")
    entries.flush()
    assert entries.load("key") is None


@pytest.mark.parametrize("what", ["sources", "constant", "version"])
def test_what_the_code_depends_on_is_part_of_its_key(folder, monkeypatch, what):
    run()
    if what == "sources":
        monkeypatch.setattr(compile_module, "sources_hash", lambda: "others")
    elif what == "version":
        monkeypatch.setattr(compile_module.llvmlite, "__version__", "0.0")
    else:
        monkeypatch.setitem(globals(), "FACTOR", 3.0)
        assert kernel(twice)(3.0) == 9.0
        return
    assert not from_cache(run())


def test_constants_of_called_kernels_closures_and_modules_count():
    module = types.ModuleType("module")
    module.LIMIT = 5

    def hash_of(inner_factor, limit, held):
        module.LIMIT = limit
        names = {"INNER": inner_factor, "module": module, "kernel": kernel}
        exec("@kernel\ndef inner(x):\n    return INNER * x", names)
        exec("def outer(x):\n    return inner(x) + module.LIMIT", names)
        captured = held

        def closure(x):
            return captured + x

        return constants_hash(names["outer"]), constants_hash(closure)

    base = hash_of(1.0, 5, 7)
    assert hash_of(1.0, 5, 7) == base
    assert hash_of(2.0, 5, 7)[0] != base[0]
    assert hash_of(1.0, 6, 7)[0] != base[0]
    assert hash_of(1.0, 5, 8)[1] != base[1]


def test_a_full_disk_costs_the_next_start_and_not_this_run(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compile_module, "write_own", full)
    compile_module._warn_unsaved.cache_clear()
    with pytest.warns(UserWarning, match="No space left"):
        run()


def test_without_a_cache_kernels_are_compiled_for_this_run(monkeypatch):
    monkeypatch.setattr(compile_module, "kernels_folder", lambda: None)
    assert not from_cache(run())


def test_the_hash_of_the_sources_covers_this_folder():
    assert len(sources_hash()) == 64
