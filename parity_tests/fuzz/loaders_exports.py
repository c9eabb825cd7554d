"""Readers of the files of `auparity convert`: manifests, ONNX files, Core ML packages, headers of engines."""

from __future__ import annotations

from pathlib import Path

from auparity.conversion import manifest as manifests
from auparity.conversion.catalogue import About, items
from auparity.conversion.export import inspect, target_module
from auparity.conversion.tensorrt import export as to_tensorrt
from auparity.errors import VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.parity_tests.fuzz.loaders import Loader, json_file
from auparity.parity_tests.fuzz.mutators import Kind

ENTRY = {"stage": "fhog", "contract": "c", "sha256": "0" * 64, "bytes": 3, "note": "", "error": 1e-7, "tolerance": 1e-6}
MANIFEST = {
    "format": manifests.FORMAT, "version_of_format": manifests.VERSION, "target": "onnx", "precision": "float32",
    "bundle": "b", "bundle_hash": "0" * 64, "version": "1", "entries": {"x.onnx": ENTRY, "a/y.onnx": ENTRY},
}  # fmt: skip
HEADER = {
    "format": to_tensorrt.FORMAT, "version_of_format": to_tensorrt.VERSION, "sha256": "0" * 64, "bundle": "b",
    "licence": "l", "stage": "fhog", "contract": "c", "note": "", "precision": "float32", "layers": "float32",
    "auparity": "1", "tensorrt": "10", "gpu": "g", "compute_capability": "9.0",
    "inputs": {"x": [[1, 2], [1, 2], [1, 2]]}, "outputs": ["y"],
}  # fmt: skip
PACKAGE, MODEL = "x.mlpackage", "Data/com.apple.CoreML"


def loaders() -> list[Loader]:
    """All of them."""
    return [
        json_file("manifest of an export", manifests.NAME, MANIFEST, _read_manifest),
        json_file("header of an engine", "x.engine.json", HEADER, lambda f: to_tensorrt.read_header(f / "x.engine")),
        Loader(
            "ONNX file", "bytes", "x.onnx", lambda f: _export(f / "x.onnx", "onnx"), lambda f: inspect(f / "x.onnx")
        ),
        _of_package("Core ML manifest", "json", "Manifest.json"),
        _of_package("Core ML program", "bytes", f"{MODEL}/model.mlmodel"),
        _of_package("Core ML weights", "bytes", f"{MODEL}/weights/weight.bin"),
    ]


def _of_package(name: str, kind: Kind, file: str) -> Loader:
    path = f"{PACKAGE}/{file}"
    return Loader(name, kind, path, lambda f: _export(f / PACKAGE, "coreml"), lambda f: inspect(f / PACKAGE))


def _read_manifest(folder: Path) -> None:
    (folder / "x.onnx").touch()
    manifests.load(folder)


def _export(path: Path, target: str) -> None:
    """The smallest network of the embedded bundle in a target's format."""
    bundle = Bundle.embedded(networks=False)
    about = About(bundle.content_hash, bundle.meta.licence, "1", "float32")
    try:
        target_module(target).write(next(items(bundle)), path, about)
    except ModuleNotFoundError as error:
        raise VariantUnavailable(f"{error.name} is not installed") from error
