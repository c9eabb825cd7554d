"""The store of model files: where it is, what is found in it, complete, continued, repaired, shared with others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading

import pytest

from auparity.errors import AuparityError, DownloadError, ModelFormatError
from auparity.models import file_lock, store
from auparity.models.bundle import Bundle
from auparity.models.download import download
from auparity.models.file_lock import locked
from auparity.models.manifest import Manifest, ManifestFile, openface_manifest, parse_manifest
from auparity.models.sources import is_embedded, open_bundle
from auparity.models.store import fetch, find_openface, verify
from auparity.models.verified_files import safe_target
from auparity.parity_tests.unit.helpers.odd_server import OddServer, raw, whole

BIG = bytes(range(256)) * 2000  # 512 000 bytes: several chunks
MODEL, AUS = "lib/local/LandmarkDetector/model", "lib/local/FaceAnalyser/AU_predictors"
DAT, TXT = f"{MODEL}/a.dat", f"{AUS}/b.txt"
FILES = {DAT: BIG, TXT: b"one\ntwo\n"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server():
    server = OddServer()
    server.answers = {path: [whole(data)] for path, data in FILES.items()}
    yield server
    server.close()


@pytest.fixture
def manifest(server):
    files = [ManifestFile(path, (f"{server.url}/{path}",), len(data), sha(data)) for path, data in FILES.items()]
    return Manifest("fake", "1", "a licence", "https://licence.example", tuple(files))


def no_sleep(seconds):
    return


def test_a_fetch_makes_the_store_complete_and_a_second_one_downloads_nothing(server, manifest, tmp_path):
    seen = []
    options = {"accept_license": True, "manifest": manifest, "sleep": no_sleep}
    assert fetch(tmp_path, progress=lambda *a: seen.append(a), **options) == [DAT, TXT]
    assert (tmp_path / DAT).read_bytes() == BIG
    assert set(verify(tmp_path, manifest).values()) == {"ok"}
    assert seen[-1][0].path == TXT
    assert seen[-1][1:] == (2, 2, 8, 8)
    before = len(server.requests)
    assert fetch(tmp_path, **options) == []
    assert len(server.requests) == before
    assert not list(tmp_path.rglob("*.part*"))


def test_the_licence_must_be_accepted(server, manifest, tmp_path):
    with pytest.raises(AuparityError, match=r"a licence.*licence\.example.*--accept-license"):
        fetch(tmp_path, manifest=manifest)
    assert server.requests == []


def test_an_interruption_keeps_what_came(server, manifest, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, accept_license=True, manifest=manifest, progress=interrupt, sleep=no_sleep)
    (part,) = (tmp_path / MODEL).glob("a.dat.part-*")
    kept = part.stat().st_size
    assert kept > 0
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert (tmp_path / DAT).read_bytes() == BIG
    assert server.requests[1][1]["range"] == f"bytes={kept}-"


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_final_and_says_what_to_do(server, manifest, tmp_path, code):
    server.answers[DAT] = [raw(f"HTTP/1.1 {code} No")]
    with pytest.raises(DownloadError, match=rf"{code}.*by hand to"):
        fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert len(server.requests) == 1


def test_no_server_at_all(tmp_path):
    with pytest.raises(DownloadError, match="Try again later"):
        download(["http://127.0.0.1:9/x"], tmp_path / "x", size=1, sha256="0" * 64, sleep=no_sleep)


def test_line_ends_of_text_files_do_not_matter(server, tmp_path):
    lf, crlf = b"one\ntwo\n", b"one\r\ntwo\r\n"
    server.answers[TXT] = [whole(crlf)]
    manifest = Manifest("f", "1", "l", "u", (ManifestFile(TXT, (f"{server.url}/{TXT}",), len(lf), sha(lf), text=True),))
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert (tmp_path / TXT).read_bytes() == crlf
    assert verify(tmp_path, manifest) == {TXT: "ok"}


def test_verification_tells_missing_from_damaged_and_a_fetch_repairs(manifest, tmp_path):
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    (tmp_path / DAT).write_bytes(BIG[:-1] + b"x")
    (tmp_path / TXT).unlink()
    assert verify(tmp_path, manifest) == {DAT: "differs", TXT: "missing"}
    assert fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep) == [DAT, TXT]
    assert set(verify(tmp_path, manifest).values()) == {"ok"}


def test_a_mirror_serves_the_same_paths(server, manifest, tmp_path):
    files = tuple(ManifestFile(f.path, ("http://127.0.0.1:9/x",), f.size, f.sha256) for f in manifest.files)
    elsewhere = Manifest("f", "1", "l", "u", files)
    fetch(tmp_path, accept_license=True, manifest=elsewhere, mirror=server.url + "/", sleep=no_sleep)
    assert set(verify(tmp_path, elsewhere).values()) == {"ok"}


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """OPENFACE_MODELS_DIR, and the folder that it makes the shared cache's."""
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path / "shared"))
    return tmp_path / "shared" / "2.2.0"


def test_two_fetches_of_one_store_follow_each_other(server, manifest, shared, monkeypatch):
    monkeypatch.setattr(file_lock, "POLL", 0.01)
    waited = threading.Event()

    def second():
        fetch(accept_license=True, manifest=manifest, waiting=waited.set, sleep=no_sleep)

    with locked(shared / ".lock"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(10)
        assert server.requests == []
    thread.join()
    assert set(verify(shared / "originals", manifest).values()) == {"ok"}


FETCH = """
import sys
from auparity.models.manifest import Manifest, ManifestFile
from auparity.models.store import fetch
url, size, sha256 = sys.argv[1:]
manifest = Manifest("f", "1", "l", "u", (ManifestFile("lib/local/a.dat", (url,), int(size), sha256),))
fetch(accept_license=True, manifest=manifest, progress=lambda *a: print("some", flush=True))
"""


def test_a_killed_fetch_does_not_keep_the_next_one_waiting(server, shared):
    stalled = threading.Event()

    def half(send, headers):
        send(b"HTTP/1.1 200 OK\r\n\r\n" + BIG[:200_000])
        stalled.wait(30)

    server.answers["a.dat"] = [half, whole(BIG)]
    arguments = [f"{server.url}/a.dat", str(len(BIG)), sha(BIG)]
    first = subprocess.Popen([sys.executable, "-c", FETCH, *arguments], stdout=subprocess.PIPE, env=os.environ)
    assert first.stdout.readline() == b"some\n"
    first.kill()
    first.communicate()
    stalled.set()
    file = ManifestFile("lib/local/a.dat", (arguments[0],), len(BIG), sha(BIG))
    begun = []
    fetch(
        accept_license=True, manifest=Manifest("f", "1", "l", "u", (file,)), waiting=lambda: begun.append(1),
        sleep=no_sleep,
    )  # fmt: skip
    assert not begun
    assert (shared / "originals/lib/local/a.dat").read_bytes() == BIG
    assert int(server.requests[1][1]["range"].strip("bytes=-")) > 0


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "model/../../x", "C:/x", "..\\x", ""])
def test_a_manifest_cannot_write_outside_the_store(tmp_path, path):
    with pytest.raises(AuparityError, match="outside"):
        safe_target(tmp_path / "store", path)


def test_the_manifest_that_comes_with_auparity_names_every_file_once_with_its_hash_and_over_https():
    manifest = openface_manifest()
    paths = [file.path for file in manifest.files]
    assert len(paths) == len(set(paths)) > 100
    assert all(path.startswith((MODEL, AUS)) for path in paths)
    assert all(url.startswith("https://") for file in manifest.files for url in file.urls)
    several = [file.path for file in manifest.files if len(file.urls) > 1]
    assert len(several) == 4
    assert all("cen_patches" in path for path in several)


GOOD = """
name = "n"
version = "1"
licence = "l"
licence_url = "u"
address = "https://a.example/"
[[file]]
path = "a/b.dat"
size = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""


@pytest.mark.parametrize(
    ("now", "instead"),
    [
        ('name = "n"', "name = 3"), ('address = "https://a.example/"', ""), ("[[file]]", "[file]"),
        ("[[file]]", "file = 3\n[x]"), ("size = 3", "size = -3"), ("size = 3", "size = true"),
        ("size = 3", "size = 3.5"), ("size = 3", 'size = 3\ntext = "yes"'), ("size = 3", "size = 3\nurls = []"),
        ("size = 3", "size = 3\nurls = [3]"),
        ("ba78", "xyzw"), ("a/b.dat", "../b.dat"), ("[[file]]", "[[file"), ("size = 3", "size = " + "[" * 5000),
    ],
)  # fmt: skip
def test_a_manifest_of_other_kinds_is_our_error(now, instead):
    assert parse_manifest(GOOD).files[0].urls == ("https://a.example/a/b.dat",)
    with pytest.raises(AuparityError, match=r"manifest"):
        parse_manifest(GOOD.replace(now, instead, 1))


def test_the_store_is_where_pyfaceau_pyclnf_and_pymtcnn_have_theirs(monkeypatch, tmp_path):
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path))
    assert store.default_directory() == tmp_path / "2.2.0" / "originals"
    monkeypatch.delenv(store.DIRECTORY_VARIABLE)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.default_directory() == tmp_path / "data/OpenFaceModels/2.2.0/originals"
    monkeypatch.setenv("XDG_DATA_HOME", "relative, which the standard forbids")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert store.default_directory() == tmp_path / "home/.local/share/OpenFaceModels/2.2.0/originals"


@pytest.fixture(scope="module")
def openface(tmp_path_factory):
    """A model folder with `model` and `AU_predictors`, in OpenFace's formats."""
    folder = tmp_path_factory.mktemp("openface")
    Bundle.embedded(networks=False).to_openface(folder)
    return folder


def put(openface, model, aus):
    for source, target in ((openface / "model", model), (openface / "AU_predictors", aus)):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target)


@pytest.mark.parametrize(
    ("model", "aus"),
    [
        (f"2.2.0/originals/{MODEL}", f"2.2.0/originals/{AUS}"),
        ("2.2.0/originals/model", "2.2.0/originals/AU_predictors"),
        ("model", "AU_predictors"),
        (MODEL, AUS),
    ],
    ids=["shared", "ours of old", "the folder itself", "an installed OpenFace"],
)
def test_models_are_found_as_they_are_kept_now_and_as_they_once_were(monkeypatch, tmp_path, openface, model, aus):
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(ModelFormatError, match=r"auparity models fetch.*--models DIR"):
        find_openface()
    put(openface, tmp_path / model, tmp_path / aus)
    bundle = open_bundle()
    assert bundle.content_hash == Bundle.embedded(networks=False).content_hash
    assert bundle.meta.source["directory"] == str(find_openface().resolve())
    assert find_openface("elsewhere").name == "elsewhere"


def test_what_others_keep_for_themselves_is_no_bundle(shared, openface):
    """pyclnf and pyfaceau fetch the files that they read, without the lists that a bundle begins with."""
    originals = shared / "originals"
    put(openface, originals / MODEL, originals / AUS)
    for path in [*(originals / MODEL).glob("*.txt"), *(originals / AUS).glob("main_*.txt")]:
        path.unlink()
    assert is_embedded(open_bundle())
    with pytest.raises(ModelFormatError, match="found"):
        find_openface()
    put(openface, originals / "model", originals / "AU_predictors")
    assert not is_embedded(open_bundle()) or open_bundle().meta.source["format"] == "openface"


def test_a_fetch_takes_over_what_earlier_versions_kept(server, manifest, shared):
    originals = shared / "originals"
    (originals / "model").mkdir(parents=True)
    (originals / "model/a.dat").write_bytes(BIG)
    (originals / "AU_predictors").mkdir()
    (originals / "AU_predictors/b.txt").write_bytes(b"damaged!")
    assert verify(originals, manifest) == {DAT: "ok", TXT: "differs"}
    assert fetch(accept_license=True, manifest=manifest, sleep=no_sleep) == [TXT]
    assert [path for path, _ in server.requests] == [TXT]
    assert (originals / DAT).read_bytes() == BIG
    assert verify(originals, manifest) == {DAT: "ok", TXT: "ok"}


def test_without_a_home_there_is_no_store_and_the_way_out_is_said(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(store.Path, "home", nobody)
    for name in (store.DIRECTORY_VARIABLE, "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert is_embedded(open_bundle())
    with pytest.raises(AuparityError, match=r"no home.*OPENFACE_MODELS_DIR"):
        find_openface()
