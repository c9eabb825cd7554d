"""Files of safetensors: what is written is read again; what lies about its bytes is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ModelFormatError
from auparity.models.formats.safetensors_file import parse_safetensors, read_safetensors, write_safetensors

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "half": np.array([0.5, -2, 6e-8], np.float16),
    "number": np.array(7, np.int64),
    "empty": np.zeros((0, 3)),
    "flags": np.array([True, False]),
}


def made(header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, ARRAYS, {"licence": "Apache-2.0"})
    found = read_safetensors(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.remarks == {"licence": "Apache-2.0"}
    assert set(found.arrays) == set(ARRAYS)
    for name, values in ARRAYS.items():
        assert found.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(found.arrays[name], values)
        assert not found.arrays[name].flags.writeable


def test_bfloat16_is_the_upper_half_of_float32():
    numbers = np.array([1.5, -3.0], np.float32).view(np.uint32) >> 16
    found = parse_safetensors(made({"x": entry("BF16", (2,), (0, 4))}, numbers.astype("<u2").tobytes()), "w")
    assert found.arrays["x"].tolist() == [1.5, -3.0]
    assert found.arrays["x"].dtype == np.float32


def test_what_the_package_writes_is_read(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    numpy_files.save_file(ARRAYS, tmp_path / "w.safetensors", {"made": "by them"})
    found = read_safetensors(tmp_path / "w.safetensors")
    assert found.remarks == {"made": "by them"}
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], values)
    write_safetensors(tmp_path / "ours.safetensors", ARRAYS, {})
    theirs = numpy_files.load_file(tmp_path / "ours.safetensors")
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(theirs[name], values)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        made(b"[]"),
        made(b"{"),
        made(b'{"a": 1}'),
        made(b"[" * 100_000),
        made(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":0}'),
        made({"x": entry()}, b"\0" * 7),
        made({"x": entry()}, b"\0" * 9),
        made({"x": entry(offsets=(0, 12))}, b"\0" * 12),
        made({"x": entry(), "y": entry()}, b"\0" * 8),  # the same bytes twice
        made({"x": entry(offsets=(4, 12))}, b"\0" * 12),  # bytes that belong to nothing
        made({"x": entry(shape=(2**62, 2**62), offsets=(0, 8))}, b"\0" * 8),
        made({"x": entry(shape=(-1, -2), offsets=(0, 8))}, b"\0" * 8),
        made({"x": entry(shape=(1,) * 9, offsets=(0, 4))}, b"\0" * 4),
        made({"x": entry("Q8")}, b"\0" * 8),
        made({"x": entry("BOOL", (1,), (0, 1))}, b"\2"),
        made({"x": entry(shape=(True, 2))}, b"\0" * 8),
        made({"__metadata__": {"a": 1}}),
    ],
)  # fmt: skip
def test_what_is_damaged_or_lies_is_refused(data):
    with pytest.raises(ModelFormatError):
        parse_safetensors(data, "w")


def test_a_missing_file_is_our_error(tmp_path):
    with pytest.raises(ModelFormatError):
        read_safetensors(tmp_path / "none.safetensors")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(tail, place, byte):
    data = bytearray(made({"x": entry(), "y": entry("F16", (4,), (8, 16))}, b"\1" * 16) + tail)
    data[place % len(data)] = byte
    try:
        found = parse_safetensors(bytes(data), "w")
    except ModelFormatError:
        return
    assert sum(values.nbytes for values in found.arrays.values()) <= 2 * len(data)
