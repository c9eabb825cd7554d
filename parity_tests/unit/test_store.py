"""The store of model files against a local web server: complete, resumed, refused, damaged."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from auparity.errors import AuparityError, ChecksumError, DownloadError, ModelFormatError
from auparity.models import store
from auparity.models.download import download, locked, safe_target
from auparity.models.formats.cen import write_cen
from auparity.models.store import Manifest, ManifestFile, fetch, find_openface, openface_manifest, verify
from auparity.parity_tests.unit import factories

BIG = bytes(range(256)) * 2000  # 512 000 bytes: several chunks


class Server:
    """Serves `files`; each path can be told to fail in some way."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.cut_after: dict[str, int] = {}  # close the connection after so many bytes, once
        self.errors: dict[str, list[int]] = {}  # answer these codes first
        self.ranges = True
        self.etag = '"one"'
        self.requests: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                wanted = self.headers.get("Range")
                outer.requests.append((name, wanted))
                if outer.errors.get(name):
                    self.send_error(outer.errors[name].pop(0))
                    return
                if name not in outer.files:
                    self.send_error(404)
                    return
                data, start = outer.files[name], 0
                fresh = self.headers.get("If-Range") in (None, outer.etag)
                if wanted and outer.ranges and fresh:
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                self.send_header("ETag", outer.etag)
                self.end_headers()
                cut = outer.cut_after.pop(name, None)
                self.wfile.write(data[start:] if cut is None else data[start : start + cut])

            def log_message(self, *arguments):
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def manifest(self, *names, known=True):
        files = [
            ManifestFile(n, f"{self.url}/{n}", len(self.files[n]), sha(self.files[n]) if known else "") for n in names
        ]
        return Manifest("fake", "1", "a licence", "https://licence.example", tuple(files))


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server():
    server = Server()
    server.files["model/a.dat"] = BIG
    server.files["model/b.txt"] = b"one\r\ntwo\r\n"
    yield server
    server.http.shutdown()
    server.http.server_close()


def no_sleep(seconds):
    return


def test_a_fetch_makes_the_store_complete_and_a_second_one_downloads_nothing(server, tmp_path):
    manifest = server.manifest("model/a.dat", "model/b.txt")
    seen = []
    fetch(tmp_path, accept_license=True, manifest=manifest, progress=lambda *a: seen.append(a), sleep=no_sleep)
    assert (tmp_path / "model/a.dat").read_bytes() == BIG
    assert set(verify(tmp_path, manifest).values()) == {"ok"}
    assert seen[-1][0].path == "model/b.txt"
    assert seen[-1][1:3] == (2, 2)
    before = len(server.requests)
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert len(server.requests) == before
    assert not list(tmp_path.rglob("*.part*")) + list(tmp_path.rglob("*.lock"))


def test_the_licence_must_be_accepted(server, tmp_path):
    with pytest.raises(AuparityError, match=r"a licence.*licence\.example.*--accept-license"):
        fetch(tmp_path, manifest=server.manifest("model/a.dat"))
    assert server.requests == []


def test_a_cut_connection_is_continued_where_it_ended(server, tmp_path):
    server.cut_after["model/a.dat"] = 200_000
    fetch(tmp_path, accept_license=True, manifest=server.manifest("model/a.dat"), sleep=no_sleep)
    assert (tmp_path / "model/a.dat").read_bytes() == BIG
    assert [wanted for _, wanted in server.requests] == [None, "bytes=200000-"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges = False
    server.cut_after["model/a.dat"] = 200_000
    fetch(tmp_path, accept_license=True, manifest=server.manifest("model/a.dat"), sleep=no_sleep)
    assert (tmp_path / "model/a.dat").read_bytes() == BIG


def test_a_file_that_changed_meanwhile_starts_again(server, tmp_path):
    server.cut_after["model/a.dat"] = 200_000
    new = BIG[::-1]

    def change(seconds):
        server.files["model/a.dat"], server.etag = new, '"two"'

    manifest = Manifest(
        "f", "1", "l", "u", (ManifestFile("model/a.dat", f"{server.url}/model/a.dat", len(new), sha(new)),)
    )
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=change)
    assert (tmp_path / "model/a.dat").read_bytes() == new


def test_an_interruption_keeps_what_came(server, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    manifest = server.manifest("model/a.dat")
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, accept_license=True, manifest=manifest, progress=interrupt, sleep=no_sleep)
    assert (tmp_path / "model/a.dat.part").stat().st_size > 0
    assert not (tmp_path / "model/a.dat").exists()
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert (tmp_path / "model/a.dat").read_bytes() == BIG
    assert server.requests[-1][1].startswith("bytes=")


def test_another_file_than_promised_is_deleted(server, tmp_path):
    manifest = server.manifest("model/a.dat")
    server.files["model/a.dat"] = BIG[:-1] + b"x"
    with pytest.raises(ChecksumError, match="SHA-256"):
        fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert list((tmp_path / "model").glob("a.dat*")) in ([], [tmp_path / "model/a.dat.part.etag"])


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_refusal_is_final_and_says_what_to_do(server, tmp_path, code):
    server.errors["model/a.dat"] = [code]
    with pytest.raises(DownloadError, match=rf"{code}.*by hand to"):
        fetch(tmp_path, accept_license=True, manifest=server.manifest("model/a.dat"), sleep=no_sleep)
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again_after_growing_pauses(server, tmp_path):
    server.errors["model/a.dat"] = [503, 500]
    pauses = []
    fetch(tmp_path, accept_license=True, manifest=server.manifest("model/a.dat"), sleep=pauses.append)
    assert pauses == [1.0, 2.0]
    server.errors["model/b.txt"] = [500] * 9
    with pytest.raises(DownloadError, match="500"):
        fetch(tmp_path, accept_license=True, manifest=server.manifest("model/b.txt"), sleep=no_sleep)


def test_no_server_at_all(tmp_path):
    with pytest.raises(DownloadError, match="Try again later"):
        download("http://127.0.0.1:9/x", tmp_path / "x", size=1, sha256="", sleep=no_sleep)


def test_a_hash_that_nobody_published_is_recorded_and_held_against(server, tmp_path):
    name = "model/cen.dat"
    server.files[name] = write_cen(factories.make_bundle(0, kind="ceclm").face.main.experts[0])
    manifest = server.manifest(name, known=False)
    assert fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep) == [name]
    assert verify(tmp_path, manifest) == {name: "ok"}
    data = bytearray(server.files[name])
    data[-1] ^= 1
    (tmp_path / name).write_bytes(data)
    assert verify(tmp_path, manifest) == {name: "differs"}
    (tmp_path / store.RECORD).unlink()
    assert verify(tmp_path, manifest) == {name: "not recorded"}


def test_a_file_without_a_known_hash_must_be_readable(server, tmp_path):
    server.files["model/cen.dat"] = b"<html>sign in first</html>"
    with pytest.raises(ModelFormatError):
        fetch(tmp_path, accept_license=True, manifest=server.manifest("model/cen.dat", known=False), sleep=no_sleep)
    assert not (tmp_path / "model/cen.dat").exists()


def test_line_ends_of_text_files_do_not_matter(server, tmp_path):
    lf = server.files["model/b.txt"].replace(b"\r\n", b"\n")
    file = ManifestFile("model/b.txt", f"{server.url}/model/b.txt", len(lf), sha(lf), text=True)
    manifest = Manifest("f", "1", "l", "u", (file,))
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert verify(tmp_path, manifest) == {"model/b.txt": "ok"}


def test_verification_tells_missing_from_damaged(server, tmp_path):
    manifest = server.manifest("model/a.dat", "model/b.txt")
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    (tmp_path / "model/a.dat").write_bytes(BIG[:-5])
    (tmp_path / "model/b.txt").unlink()
    assert verify(tmp_path, manifest) == {"model/a.dat": "differs", "model/b.txt": "missing"}
    fetch(tmp_path, accept_license=True, manifest=manifest, sleep=no_sleep)
    assert set(verify(tmp_path, manifest).values()) == {"ok"}


def test_two_processes_do_not_write_one_file(server, tmp_path):
    with locked(tmp_path / "model/a.dat"), pytest.raises(DownloadError, match="another process"):
        fetch(tmp_path, accept_license=True, manifest=server.manifest("model/a.dat"), sleep=no_sleep)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "model/../../x"])
def test_a_manifest_cannot_write_outside_the_store(tmp_path, path):
    with pytest.raises(AuparityError, match="outside"):
        safe_target(tmp_path / "store", path)


def test_the_manifest_that_comes_with_auparity_names_every_file_once_and_over_https():
    manifest = openface_manifest()
    paths = [file.path for file in manifest.files]
    assert len(paths) == len(set(paths)) > 100
    assert all(file.url.startswith("https://") and file.size > 0 for file in manifest.files)
    unknown = [file.path for file in manifest.files if not file.sha256]
    assert len(unknown) == 4
    assert all("cen_patches" in path for path in unknown)


def test_the_store_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path))
    assert store.default_directory() == tmp_path
    with pytest.raises(ModelFormatError, match=r"auparity models fetch.*--models DIR"):
        find_openface()
    (tmp_path / "model").mkdir()
    (tmp_path / "AU_predictors").mkdir()
    assert find_openface() == tmp_path
    assert find_openface("elsewhere").name == "elsewhere"
