"""Bundles that are kept as they lie in memory: the same as what is read, and read again when anything has changed."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from auparity import cache
from auparity.cache import CACHE_VARIABLE
from auparity.models import compiled as compiled_module
from auparity.models import embedded
from auparity.models.bundle import Bundle, stored_archive, stored_openface
from auparity.models.compiled import MAGIC
from auparity.models.contents import content_hash_of
from auparity.models.sources import is_embedded


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of OpenFace's files with the embedded models."""
    folder = tmp_path_factory.mktemp("openface")
    Bundle.embedded(networks=False).to_openface(folder)
    for path in folder.rglob("*"):  # long ago, so that dates can tell whether a file has changed
        os.utime(path, (1e9, 1e9))
    return folder


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "bundles"


@pytest.fixture
def reads(monkeypatch):
    """Bundles that were read from OpenFace's files."""
    done, read = [], Bundle.from_openface.__func__

    def counted(kind, directory, landmark_model="auto"):
        done.append(directory)
        return read(kind, directory, landmark_model)

    monkeypatch.setattr(Bundle, "from_openface", classmethod(counted))
    return done


def arrays_of(bundle):
    found = []

    def look(value):
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, tuple):
            for each in value:
                look(each)
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                look(getattr(value, name))

    for model in bundle.models.values():
        look(model)
    return found


def test_what_is_kept_is_what_was_read(folder, models, reads):
    first, second = stored_openface(models), stored_openface(models)
    assert len(reads) == 1
    assert vars(second.meta) == vars(first.meta) == vars(Bundle.from_openface(models, "auto").meta)
    assert content_hash_of(*second.models.values()) == content_hash_of(*first.models.values())
    assert second.content_hash == first.content_hash == Bundle.embedded(networks=False).content_hash
    assert type(second) is Bundle
    mapped, read = arrays_of(second), arrays_of(first)
    assert len(mapped) == len(read) > 1000
    for one, other in zip(mapped, read, strict=True):
        assert (one.dtype, one.shape, one.flags.aligned) == (other.dtype, other.shape, other.flags.aligned)
        assert _steps(one) == _steps(other) or not one.size
        assert not one.flags.writeable
        assert one.tobytes() == other.tobytes()


def _steps(array):
    """The strides that mean something."""
    return [stride for stride, length in zip(array.strides, array.shape, strict=True) if length > 1]


def test_an_archive_is_kept_too(folder):
    first, second = (stored_archive(embedded.path(), embedded.KNOWN_FILE) for _ in range(2))
    assert len(cache.entries(folder)) == 1
    assert vars(second.meta) == vars(first.meta)
    assert second.content_hash == content_hash_of_all(second) == embedded.KNOWN_FILE[1]


def content_hash_of_all(bundle):
    return Bundle(bundle.meta, bundle.models, bundle.serves).content_hash


def test_the_name_of_the_embedded_bundle_is_known_without_reading_it():
    assert Bundle.embedded(networks=False).meta.name == embedded.NAME
    assert is_embedded(Bundle.embedded(networks=False))


@pytest.mark.parametrize("kind", ["empty", "half", "head", "one bit of the head", "one bit of the numbers", "garbage"])
def test_a_damaged_entry_is_read_again_and_replaced(folder, models, reads, kind):
    stored_openface(models)
    (entry,) = cache.entries(folder)
    good = entry.read_bytes()
    at = {"one bit of the head": len(MAGIC) + 60, "one bit of the numbers": len(good) - 1000}.get(kind, 0)
    entry.write_bytes(
        {
            "empty": b"", "half": good[: len(good) // 2], "head": good[: len(MAGIC)],
            "garbage": MAGIC + os.urandom(5000),
        }.get(kind, good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
    )  # fmt: skip
    assert stored_openface(models).content_hash == Bundle.embedded(networks=False).content_hash
    stored_openface(models)
    assert len(reads) == 2


def test_an_entry_that_others_may_have_written_is_not_used(folder, models, reads):
    if not hasattr(os, "getuid"):
        pytest.skip("Windows has no such modes")
    stored_openface(models)
    (entry,) = cache.entries(folder)
    entry.chmod(0o666)
    stored_openface(models)
    assert len(reads) == 2


def changed(path):
    """Another number in a text file of one size, with the dates that it had."""
    about, text = path.stat(), path.read_text()
    place = text.index(".") + 1
    path.write_text(text[:place] + str(9 - int(text[place])) + text[place + 1 :])
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_changed_file_is_read_again_whatever_its_dates(folder, tmp_path, reads):
    Bundle.embedded(networks=False).to_openface(tmp_path / "models")
    for path in (tmp_path / "models").rglob("*"):
        os.utime(path, (1e9, 1e9))
    before = stored_openface(tmp_path / "models").content_hash
    changed(next((tmp_path / "models").rglob("pdms/*.txt")))
    assert stored_openface(tmp_path / "models").content_hash != before
    assert len(reads) == 2


def test_files_with_other_dates_and_the_same_content_are_not_read_again(folder, tmp_path, reads):
    Bundle.embedded(networks=False).to_openface(tmp_path / "models")
    stored_openface(tmp_path / "models")
    for path in (tmp_path / "models").rglob("*"):
        os.utime(path)
    stored_openface(tmp_path / "models")
    assert len(reads) == 1


def test_files_that_were_just_written_are_judged_by_their_content(folder, tmp_path, monkeypatch, reads):
    """Within the resolution of its date a file may change twice."""
    monkeypatch.setattr(compiled_module, "SAME_DATE", 1e9)
    Bundle.embedded(networks=False).to_openface(tmp_path / "models")
    stored_openface(tmp_path / "models")
    monkeypatch.setattr(compiled_module, "source_file", as_it_was(compiled_module.source_file))
    changed(next((tmp_path / "models").rglob("pdms/*.txt")))
    stored_openface(tmp_path / "models")
    assert len(reads) == 2


def as_it_was(source_file):
    """Every file seems to have the dates that an entry holds."""

    class Any(list):
        __hash__ = None

        def __eq__(self, other):
            return True

    def seen(path, content):
        now = source_file(path, content)
        return type(now)(now.path, now.size, Any(now.stamp), now.sha256)

    return seen


def test_readers_that_have_changed_read_again(folder, models, monkeypatch, reads):
    stored_openface(models)
    monkeypatch.setattr(compiled_module, "readers_hash", lambda: "others")
    stored_openface(models)
    assert len(reads) == 2


def test_without_a_cache_and_with_a_full_disk_bundles_are_read(folder, models, monkeypatch, reads):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compiled_module, "write_own", full)
    stored_openface(models)
    monkeypatch.setattr(compiled_module, "cache_folder", lambda kind: None)
    stored_openface(models)
    assert len(reads) == 2


def test_threads_that_read_at_once_get_the_same(folder, models):
    hashes = []
    threads = [threading.Thread(target=lambda: hashes.append(stored_openface(models).content_hash)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hashes == 4 * [Bundle.embedded(networks=False).content_hash]
    assert stored_openface(models).content_hash == hashes[0]
