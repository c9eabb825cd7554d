"""The initialisers of ONNX files by name; and that names and shapes are held against those of a network."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from auparity.errors import ModelFormatError, VariantUnavailable
from auparity.models.formats.named_arrays import NamedArrays, expect
from auparity.models.formats.onnx_file import parse_onnx, read_onnx

WEIGHTS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([1], np.int64)}


def model(**changes):
    """A graph of initialisers; a change is made to the tensor `a`."""
    onnx = pytest.importorskip("onnx")
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()]
    for field, value in changes.items():
        tensors[0].ClearField(field)
        if isinstance(value, list):
            getattr(tensors[0], field).extend(value)
        else:
            setattr(tensors[0], field, value)
    graph = onnx.helper.make_graph([], "g", [], [], tensors)
    return onnx.helper.make_model(graph).SerializeToString()


def test_arrays_come_by_name(tmp_path):
    (tmp_path / "w.onnx").write_bytes(model())
    read = read_onnx(tmp_path / "w.onnx")
    assert list(read.arrays) == list(WEIGHTS)
    assert all(np.array_equal(read.arrays[name], array) for name, array in WEIGHTS.items())
    assert not any(array.flags.writeable for array in read.arrays.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"dims": [2**40, 2**40]}, {"dims": [-2, -3]}, {"dims": [7]}, {"data_type": 8}, {"data_type": 77},
        {"data_location": 1}, {"raw_data": b""}, {"name": "n"},
    ],
)  # fmt: skip
def test_a_damaged_tensor_is_refused(changes):
    with pytest.raises(ModelFormatError):
        parse_onnx(model(**changes), "w")


def test_numbers_in_another_file_are_refused():
    onnx = pytest.importorskip("onnx")
    tensor = onnx.numpy_helper.from_array(WEIGHTS["a"], "a")
    tensor.ClearField("raw_data")
    onnx.external_data_helper.set_external_data(_with_raw(tensor), "../secret")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    with pytest.raises(ModelFormatError, match="inside the file"):
        parse_onnx(onnx.helper.make_model(graph).SerializeToString(), "w")


def _with_raw(tensor):
    tensor.raw_data = b"x"
    return tensor


def test_a_truncated_file_or_one_of_another_kind_is_refused():
    data = model()
    for end in range(0, len(data), 11):
        with pytest.raises(ModelFormatError):
            parse_onnx(data[:end], "w")
    with pytest.raises(ModelFormatError):
        parse_onnx(b"\xff" * 100, "w")


def test_without_the_package_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(VariantUnavailable, match=r"auparity\[onnx\]"):
        parse_onnx(b"", "w")


FOUND = NamedArrays("w", "", {"a": np.ones((2, 3)), "b": np.ones(2, np.float16), "c.num_batches_tracked": np.array(1)})
TOLERATED = ("*.num_batches_tracked",)


def test_the_arrays_of_a_network_come_as_float32_in_its_order():
    arrays = expect(FOUND, {"b": (2,), "a": (2, 3)}, TOLERATED)
    assert list(arrays) == ["b", "a"]
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert not any(array.flags.writeable for array in arrays.values())


@pytest.mark.parametrize(
    ("shapes", "tolerated", "why"),
    [
        ({"a": (2, 3)}, TOLERATED, r"1 not known \(b\)"),
        ({"a": (2, 3), "b": (2,), "d": ()}, TOLERATED, r"1 missing \(d\)"),
        ({"a": (3, 2), "b": (2,)}, TOLERATED, r"1 of another shape \(a 2 x 3 in place of 3 x 2\)"),
        ({"a": (2, 3), "b": (2,)}, (), r"1 not known \(c.num_batches_tracked\)"),
        ({"a": (2, 3), "b": (2,), "c.num_batches_tracked": ()}, (), "real numbers in c"),
        ({str(k): () for k in range(9)}, ("*",), r"9 missing \(0, 1, 2, 3, \.\.\.\)"),
    ],
)
def test_what_does_not_fit_is_listed(shapes, tolerated, why):
    with pytest.raises(ModelFormatError, match=why):
        expect(FOUND, shapes, tolerated)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_float32_cannot_hold_are_refused(value):
    with pytest.raises(ModelFormatError, match="finite"):
        expect(NamedArrays("w", "", {"a": np.array([value])}), {"a": (1,)})
