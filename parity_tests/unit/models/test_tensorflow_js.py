"""Weights of TensorFlow.js: quantised numbers mean what the manifest says; what it lies about is refused."""

from __future__ import annotations

import copy
import hashlib
import json

import numpy as np
import pytest

from auparity.errors import ModelFormatError
from auparity.models.formats.named_arrays import NamedArrays
from auparity.models.formats.tensorflow_js import read_content, read_tensorflow_js
from auparity.models.networks import shapes
from auparity.models.networks.face_api_names import from_tensorflow
from auparity.models.networks.published import network_of, read_network
from auparity.models.types import FaceApi
from auparity.parity_tests.unit.helpers import random_networks
from auparity.parity_tests.unit.helpers.tensorflow_js_files import manifest, published, write

ARRAYS = {"a/b": np.array([[-1, 0.25, 2], [4, 1, 0]], np.float32), "c": np.float32([0.5, 0.5])}


def weight(**changed):
    return {"name": "x", "shape": [2], "dtype": "float32"} | changed


def bytes_of(**changed):
    """One weight of two quantised numbers."""
    return weight(quantization={"dtype": "uint8", "scale": 0.5, "min": -1} | changed)


def refused(tmp_path, groups, data=b"\0\0", match=None):
    with pytest.raises(ModelFormatError, match=match):
        read_tensorflow_js(write(tmp_path, "w", groups, data))


@pytest.mark.parametrize("quantised", ["uint8", "uint16", ""])
def test_weights_are_read_as_they_were_written(tmp_path, quantised):
    groups, data = manifest(ARRAYS, quantised=quantised)
    found = read_tensorflow_js(write(tmp_path, "w", groups, data))
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.file == str(tmp_path / "w.json")
    for name, values in ARRAYS.items():
        step = 5 / {"uint8": 255, "uint16": 65535, "": np.inf}[quantised]
        assert np.abs(found.arrays[name] - values).max() <= step / 2 + 1e-7  # a half step, and float32's rounding
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (np.float32, values.shape)
        assert not found.arrays[name].flags.writeable


def test_a_quantised_number_is_rounded_once(tmp_path):
    """The scale and minimum of a published file, as TensorFlow.js computes them: in doubles, rounded at the end."""
    scale, low = 0.004853619781194949, -0.5872879935245888
    groups = [{"weights": [bytes_of(scale=scale, min=low)], "paths": ["w.bin"]}]
    found = read_tensorflow_js(write(tmp_path, "w", groups, bytes([3, 250]))).arrays["x"]
    assert found.tolist() == [np.float32(3 * scale + low), np.float32(250 * scale + low)]
    assert found[1] != np.float32(250) * np.float32(scale) + np.float32(low)


def test_groups_and_files_follow_one_another(tmp_path):
    (tmp_path / "1").write_bytes(bytes([1]))
    (tmp_path / "2").write_bytes(bytes([2, 3]))
    (tmp_path / "3").write_bytes(bytes([4]))
    groups = [
        {"weights": [bytes_of(), bytes_of() | {"name": "y", "shape": []}], "paths": ["1", "2"]},
        {"weights": [bytes_of() | {"name": "z", "shape": [1, 1]}], "paths": ["3"]},
    ]
    (tmp_path / "w.json").write_text(json.dumps(groups))
    content = read_content(tmp_path / "w.json")
    arrays = content.arrays().arrays
    assert {name: values.tolist() for name, values in arrays.items()} == {"x": [-0.5, 0], "y": 0.5, "z": [[1.0]]}
    (tmp_path / "whole.bin").write_bytes(content.data)
    (tmp_path / "whole.json").write_bytes(content.manifest("whole.bin"))
    again = read_tensorflow_js(tmp_path / "whole.json")
    assert {name: values.tolist() for name, values in again.arrays.items()} == {
        name: values.tolist() for name, values in arrays.items()
    }


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"shape": [3]}, "1 more bytes"),
        ({"shape": [1]}, "at most 1 bytes"),
        ({"shape": [2, 0]}, "sizes from 1 on"),
        ({"shape": [-2, -1]}, "sizes from 1 on"),
        ({"shape": [1] * 9}, "sizes from 1 on"),
        ({"shape": [2**40, 2**40]}, "weights of at most"),
        ({"shape": [2.5]}, "whole number"),
        ({"shape": "2"}, "list"),
        ({"dtype": "int32"}, "float32"),
        ({"dtype": "string"}, "float32"),
        ({"name": 3}, "text"),
        ({"quantization": None}, "object"),
        ({"quantization": {"dtype": "float16", "scale": 1, "min": 0}}, "uint8"),
        ({"quantization": {"dtype": "uint8", "scale": 1}}, "min"),
        ({"quantization": {"dtype": "uint8", "scale": "1", "min": 0}}, "number"),
        ({"quantization": {"dtype": "uint8", "scale": 10**400, "min": 0}}, "number"),
    ],
)
def test_a_weight_that_makes_no_sense_is_refused(tmp_path, changed, match):
    refused(tmp_path, [{"weights": [bytes_of() | changed], "paths": ["w.bin"]}], match=match)


@pytest.mark.parametrize(
    "path",
    [
        "../w.bin",
        "/etc/hostname",
        "a/w.bin",
        "a\\w.bin",
        "C:w.bin",
        "..",
        ".",
        "",
        "w.bin\0",
        "no.bin",
        "folder",
        "x" * 300,
    ],
)
def test_files_elsewhere_are_not_read(tmp_path, path):
    (tmp_path / "folder").mkdir()
    refused(tmp_path, [{"weights": [bytes_of()], "paths": [path]}])


def test_names_are_there_once(tmp_path):
    group = {"weights": [bytes_of()], "paths": ["w.bin"]}
    refused(tmp_path, [group, group], match="weights of different names")
    refused(tmp_path, [group | {"paths": ["w.bin", "w.bin"]}], match="files of different names")
    refused(tmp_path, [], match="weights of different names")
    refused(tmp_path, [{"weights": [bytes_of()], "paths": []}], match="files of different names")


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '{"weightsManifest": []}', "[" * 10**5, '[{"weights": []}]'])
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(ModelFormatError):
        read_tensorflow_js(tmp_path / "w.json")


def test_a_manifest_without_its_files_says_which_is_missing(tmp_path):
    path = write(tmp_path, "w", [{"weights": [bytes_of()], "paths": ["other.bin"]}], b"\0\0")
    with pytest.raises(ModelFormatError, match=r"other\.bin: expected a readable file, because .*w\.json names it"):
        read_tensorflow_js(path)
    with pytest.raises(ModelFormatError, match="none"):
        read_tensorflow_js(tmp_path / "nothing.json")


@pytest.mark.parametrize("tiny", [False, True])
def test_files_of_face_api_are_its_networks(tmp_path, tiny):
    weights = random_networks.face_api(tiny=tiny)
    groups, data = manifest(published(weights), quantised="")
    found = read_network(write(tmp_path, "w", groups, data))
    assert type(found.network) is FaceApi
    assert found.network.tensors.names == tuple(shapes.face_api(tiny=tiny))
    for name, values in weights.tensors.by_name().items():
        assert np.array_equal(found.network.tensors.by_name()[name], values), name


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("dense3/conv2/bias"),
        lambda arrays: arrays.update({"dense1/conv0/extra": np.ones(3, np.float32)}),
        lambda arrays: arrays.update({"dense2/conv1/depthwise_filter": np.ones((3, 3, 128), np.float32)}),
        lambda arrays: arrays.update({"dense0/conv0/filters": arrays["dense0/conv0/filters"][:, :, ::-1, :31]}),
        lambda arrays: arrays.update({"dense0/conv0/weights": np.ones((3, 3), np.float32)}),
        lambda arrays: arrays.update({"fc/bias": np.full(136, np.nan, np.float32)}),
        lambda arrays: arrays.update({"fc/weights": arrays["fc/weights"].T}),
    ],
)
def test_weights_of_another_network_are_refused(change):
    arrays = copy.copy(published(random_networks.face_api()))
    change(arrays)
    with pytest.raises(ModelFormatError):
        network_of(NamedArrays("w.json", "", arrays))


def test_names_without_a_layer_stay_as_they_are():
    found = NamedArrays("w.json", "", {"bias": np.ones(2), "a/b/bias": np.ones(3), "a/b/pointwise_filter": np.ones(1)})
    assert list(from_tensorflow(found).arrays) == ["bias", "a.b.pointwise.bias", "a.b.pointwise.weight"]
