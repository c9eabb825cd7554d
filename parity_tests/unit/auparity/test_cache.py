"""The cache: where it is when there is no home, that it is private, and that a damaged or foreign entry is none."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from auparity import cache
from auparity.cache import (
    CACHE_VARIABLE,
    NUMBA_VARIABLE,
    cache_folder,
    cache_root,
    discard,
    intact,
    kernels_folder,
    own_name,
    read_own,
    seal,
    write_own,
)
from auparity.errors import AuparityWarning

needs_modes = pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such owners and modes")
needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files to another user"
)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A user with a home, a named cache and a temporary folder, below a folder of the test."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "named"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path / "temporary"))
    for name in ("XDG_CACHE_HOME", NUMBA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    cache._root.cache_clear()
    cache._warn_once.cache_clear()
    yield tmp_path
    cache._root.cache_clear()


def blocked(path):
    """A path below a file, where nobody can make a folder, root neither."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return str(path / "below")


def test_the_named_folder_comes_first_then_the_users_then_a_temporary_one_then_none(machine, monkeypatch):
    assert cache_root().path == machine / "named"
    monkeypatch.setenv(CACHE_VARIABLE, blocked(machine / "file"))
    with pytest.warns(AuparityWarning, match=r"file/below is not used: it cannot be written to"):
        assert cache_root().path == machine / "home" / ".cache" / "auparity"
    monkeypatch.setenv("HOME", blocked(machine / "no-home"))
    with pytest.warns(AuparityWarning, match=r"no-home.*temporary"):
        assert cache_root().path == machine / "temporary" / own_name()
    monkeypatch.setattr(cache.tempfile, "tempdir", blocked(machine / "no-temporary"))
    with pytest.warns(AuparityWarning, match="compiled at every start"):
        assert cache_root().path is None
    assert cache_folder("numba") is None


def test_without_a_named_folder_and_a_home_the_temporary_one_is_expected_to_be_said(machine, monkeypatch):
    monkeypatch.delenv(CACHE_VARIABLE)

    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.Path, "home", nobody)
    assert cache_root().path == machine / "temporary" / own_name()
    assert "temporary" in str(cache_root())


def test_it_is_said_once(machine, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, blocked(machine / "file"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            cache_folder("numba")
            cache_folder("cuda")
    assert len(caught) == 1


@needs_modes
def test_what_is_made_is_for_this_user_alone(machine):
    before = os.umask(0)
    try:
        folder = cache_folder("numba")
        write_own(folder / "entry", b"x")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert (folder / "entry").stat().st_mode & 0o777 == 0o600


@needs_modes
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722, 0o1777])
def test_a_folder_that_others_may_write_to_is_not_used(machine, mode):
    (machine / "named").mkdir()
    (machine / "named").chmod(mode)
    with pytest.warns(AuparityWarning, match="others may write to it.*chmod go-w.*code that is executed"):
        assert cache_root().path == machine / "home" / ".cache" / "auparity"


@needs_modes
def test_neither_is_one_kind_s_folder(machine):
    folder = cache_folder("numba")
    folder.chmod(0o777)
    with pytest.warns(AuparityWarning, match="others may write to it"):
        assert cache_folder("numba") is None
    assert cache_folder("cuda") is not None


@needs_root
def test_a_folder_of_another_user_is_not_used(machine):
    (machine / "named").mkdir(mode=0o700)
    os.chown(machine / "named", 12345, 12345)
    with pytest.warns(AuparityWarning, match="it belongs to user 12345, not to 0"):
        assert cache_root().path == machine / "home" / ".cache" / "auparity"


@needs_root
def test_a_link_that_another_user_left_in_the_temporary_folder_is_not_followed(machine, monkeypatch):
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("HOME", blocked(machine / "no-home"))
    (machine / "mine").mkdir(mode=0o700)
    link = machine / "temporary" / own_name()
    link.symlink_to(machine / "mine")
    os.lchown(link, 12345, 12345)
    with pytest.warns(AuparityWarning, match="belongs to user 12345"):
        assert cache_root().path is None


def test_numba_s_own_variable_is_respected_with_a_private_folder_below(machine, monkeypatch):
    (machine / "shared").mkdir()
    (machine / "shared").chmod(0o777)
    monkeypatch.setenv(NUMBA_VARIABLE, str(machine / "shared"))
    assert kernels_folder() == machine / "shared" / own_name()
    monkeypatch.setenv(NUMBA_VARIABLE, blocked(machine / "file"))
    with pytest.warns(AuparityWarning, match="cannot be written"):
        assert kernels_folder() == machine / "named" / "numba"


@pytest.fixture(params=["file", "folder"])
def entry(request, tmp_path):
    path = tmp_path / "cache" / "entry"
    path.parent.mkdir(mode=0o700)
    if request.param == "file":
        write_own(path, b"content")
    else:
        (path / "deep").mkdir(parents=True, mode=0o700)
        write_own(path / "deep" / "part", b"content")
        write_own(path / "other", b"")
    seal(path)
    assert intact(path)
    return path


def file_of(entry):
    return entry if entry.is_file() else entry / "deep" / "part"


@pytest.mark.parametrize("content", [b"", b"conten", b"Content", b"content more"])
def test_an_entry_with_another_content_is_none(entry, content):
    file_of(entry).write_bytes(content)
    assert not intact(entry)


@pytest.mark.parametrize("content", [b"", b"0" * 64, b"\xff" * 64])
def test_an_entry_with_another_seal_is_none(entry, content):
    entry.with_name("entry.sha256").write_bytes(content)
    assert not intact(entry)
    discard(entry)
    assert list(entry.parent.iterdir()) == []


@needs_modes
def test_an_entry_that_others_may_write_or_that_is_a_link_is_none(entry, tmp_path):
    file = file_of(entry)
    file.chmod(0o666)
    assert not intact(entry)
    file.chmod(0o600)
    assert intact(entry)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert not intact(entry)
    assert read_own(file) is None


@needs_root
def test_an_entry_of_another_user_is_none(entry):
    os.chown(file_of(entry), 12345, 12345)
    assert not intact(entry)


def test_an_entry_that_lacks_a_part_or_has_one_more_is_none(entry):
    if entry.is_dir():
        (entry / "more").write_bytes(b"")
        assert not intact(entry)
        (entry / "more").unlink()
        assert intact(entry)
    file_of(entry).unlink()
    assert not intact(entry)
    discard(entry)
    discard(entry)


ENVIRONMENT = """
import numpy as np
from auparity.accelerated.registry import registry
from auparity.models.bundle import Bundle
pdm = Bundle.embedded(networks=False).video_aus.pdm
geometry = registry().get("geometry", "numba").build(pdm)
print(geometry(np.ones((1, 34), np.float32)).shape)
"""


@pytest.mark.parametrize("home", ["/proc/nowhere", None])
def test_kernels_run_for_a_user_without_home_and_cache(tmp_path, home):
    """As in a container with a read-only installation; /proc takes no folder from anybody."""
    pytest.importorskip("numba")
    if not os.path.isdir("/proc"):
        pytest.skip("needs a place where nobody can make a folder")
    environment = {name: value for name, value in os.environ.items() if name not in (CACHE_VARIABLE, NUMBA_VARIABLE)}
    environment |= {"XDG_CACHE_HOME": "/proc/nowhere", "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"HOME": home} if home else {}
    done = subprocess.run(
        [sys.executable, "-c", ENVIRONMENT], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("/proc/nowhere/auparity is not used") == 1
    assert list((tmp_path / own_name() / "numba").iterdir())
