"""Readers of model files: OpenFace's formats, archives of bundles, the store and its manifests, training workspaces."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from auparity.errors import VariantUnavailable
from auparity.models import archive
from auparity.models.bundle import Bundle
from auparity.models.formats import layout
from auparity.models.formats.lists import EntryList, au_names_of, parse_list, part_entry
from auparity.models.formats.named_arrays import NamedArrays, expect
from auparity.models.formats.onnx_file import NEEDED, parse_onnx
from auparity.models.formats.tensorflow_js import read_tensorflow_js
from auparity.models.formats.torch_file import parse_torch
from auparity.models.formats.torch_pickle import PickleReader
from auparity.models.manifest import parse_manifest
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import BundleMeta, FaceModel, LandmarkModel, PartModel
from auparity.parity_tests.fuzz.loaders import Loader, in_memory, json_file, seeded
from auparity.parity_tests.unit.helpers import factories, tensorflow_js_files, torch_files
from auparity.parity_tests.unit.models.test_formats import FORMATS, Format

LIST = b"""\
LandmarkDetector clnf.txt
LandmarkDetector_part part.txt eye 36 8 37 10
DetectionValidator v.dat
AU_1.dat AU01,AU02
"""
MANIFEST = """\
name = "n"
version = "1"
licence = "l"
licence_url = "https://example.org/l"
address = "https://example.org/"
[[file]]
path = "a/b.txt"
size = 3
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
"""
#: A state dict, as a file of weights holds it.
TENSORS = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), "a.bias": np.array([0.5, -1], np.float32)}


def loaders() -> list[Loader]:
    """All of them."""
    return [
        *(in_memory(f"format: {name}", "bytes", partial(_written, form), form.parse) for name, form in FORMATS.items()),
        in_memory("format: list", "text", lambda: LIST, _read_list),
        Loader("bundle archive", "zip", "b.zip", _make_archive, lambda folder: archive.load(folder / "b.zip")),
        Loader("bundle archive, its hash", "zip", "b.zip", _make_archive, lambda f: archive.stored_hash(f / "b.zip")),
        json_file("bundle.json of a folder", layout.META_FILE, dict.fromkeys(layout.META_KEYS, "main"), _read_layout),
        in_memory("manifest of models", "text", MANIFEST.encode, _read_manifest),
        json_file("report of a training", "report.json", {"aus": {"f1": 0.5}}, lambda f: Workspace(f).figures()),
        in_memory("state dict of PyTorch", "zip", partial(torch_files.new_file, TENSORS), _read_state_dict),
        in_memory(
            "state dict of PyTorch before 1.6", "bytes", partial(torch_files.old_file, TENSORS), _read_state_dict
        ),
        in_memory("pickle of a state dict", "bytes", partial(torch_files.tensors, TENSORS), _read_pickle),
        in_memory("weights in an ONNX file", "bytes", _make_onnx, _read_onnx),
        Loader("manifest of TensorFlow.js", "json", "w.json", _make_manifest, _read_tensorflow_js),
        Loader("numbers of TensorFlow.js", "bytes", "w.bin", _make_manifest, _read_tensorflow_js),
        Loader("arrays of a training", "bytes", "a.npz", _make_workspace, lambda folder: Workspace(folder).load("a")),
    ]


def _written(form: Format) -> bytes:
    return form.write(form.make(seeded()))


def _read_list(data: bytes) -> None:
    entries: EntryList = parse_list(data)
    for entry in entries.entries:
        entries.path(entry)
        if entry.key == "LandmarkDetector_part":
            part_entry(entries, entry)
        elif entry.key.endswith(".dat"):
            au_names_of(entries, entry)
    entries.one("LandmarkDetector")


def small_bundle() -> Bundle:
    """A bundle of five landmarks, with experts of both kinds."""
    rng, points = seeded(), 5
    pdm = factories.make_pdm(rng, points, 2)
    main = LandmarkModel("main", pdm, (factories.make_cen(rng, points),), factories.make_early_termination(rng), ())
    eye = LandmarkModel("eye", factories.make_pdm(rng, 3, 2), (factories.make_ccnf(rng, 3, 1.0, (0.0,), (3,)),))
    part = PartModel("eye", eye, np.array([[0, 0], [1, 2]], np.int32))
    face = FaceModel("main", main, (part,), factories.make_validator(rng, points, (0.0,)))
    aus = factories.make_au_predictors(rng, pdm)
    few = dataclasses.replace(aus, models=aus.models[-2:])
    meta = BundleMeta("small", "1", "none", {})
    return Bundle.of(meta, locator=factories.make_mtcnn(rng), landmarker=face, video_aus=few, image_aus=few)


def _make_archive(folder: Path) -> None:
    archive.save(small_bundle(), folder / "b.zip")


def _read_layout(folder: Path) -> None:
    for name in ("model", "AU_predictors"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "model" / "main.txt").touch()
    folders = layout.find(folder)
    layout.read_meta(folders, layout.choose_landmark_model(folders, "auto"))


def _read_manifest(data: bytes) -> None:
    parse_manifest(data.decode("utf-8", "replace"))


def _make_workspace(folder: Path) -> None:
    Workspace(folder).save("a", numbers=np.arange(12.0).reshape(3, 4), names=np.arange(3, dtype=np.int32))


def _expect(found: NamedArrays) -> None:
    expect(found, {name: array.shape for name, array in TENSORS.items()}, ("*.num_batches_tracked",))


def _read_state_dict(data: bytes) -> None:
    _expect(parse_torch(data, "input"))


def _read_pickle(data: bytes) -> None:
    PickleReader(torch_files.whole_pickle(data), "input").read()


def _make_manifest(folder: Path) -> None:
    tensorflow_js_files.write(folder, "w", *tensorflow_js_files.manifest(TENSORS))


def _read_tensorflow_js(folder: Path) -> None:
    _expect(read_tensorflow_js(folder / "w.json"))


def _make_onnx() -> bytes:
    try:
        from onnx import helper, numpy_helper
    except ImportError as missing:
        raise VariantUnavailable(NEEDED) from missing
    tensors = [numpy_helper.from_array(array, name) for name, array in TENSORS.items()]
    return helper.make_model(helper.make_graph([], "g", [], [], tensors)).SerializeToString()


def _read_onnx(data: bytes) -> None:
    _expect(parse_onnx(data, "input"))
