"""No damage to a model file gives anything but a model or a `ModelFormatError`: truncated, flipped, garbled, with huge
sizes; and memory stays near the size of the file.
"""

from __future__ import annotations

import struct
import tracemalloc
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auparity.errors import ModelFormatError
from auparity.models.formats.lists import parse_list, write_list
from auparity.parity_tests.unit.models.test_formats import BINARY, FORMATS

ABSURD = (0, 1, -1, 2, 3, 5, 255, 65_536, 10**6, 2**30, 2**31 - 1, -(2**31))
#: Reading copies what is not aligned and converts types (uint8 to float64 at most), so 8 times the file, twice over.
MEMORY_FACTOR, MEMORY_BASE = 16, 1 << 20
names = st.sampled_from(sorted(FORMATS))


@cache
def intact(name: str) -> bytes:
    return FORMATS[name].write(FORMATS[name].make(np.random.default_rng(3)))


def read_or_refuse(name: str, data: bytes) -> None:
    """Parse: a model that can be written and read again, or ModelFormatError inside the file; no warning either."""
    form = FORMATS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            model = form.parse(data)
        except ModelFormatError as error:
            place = error.offset
            model = None
    if model is None:
        assert place is not None
        assert 0 <= place <= len(data)
        return
    written = form.write(model)
    assert form.write(form.parse(written)) == written


@settings(max_examples=300, deadline=None)
@given(names, st.data())
def test_a_truncated_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    whole = intact(name)
    read_or_refuse(name, whole[: data.draw(st.integers(0, len(whole)))])


@settings(max_examples=500, deadline=None)
@given(names, st.data())
def test_a_file_with_a_changed_byte_is_read_or_refused(name: str, data: st.DataObject) -> None:
    changed = bytearray(intact(name))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(name, bytes(changed))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(BINARY), st.data())
def test_a_file_with_an_absurd_integer_is_read_or_refused(name: str, data: st.DataObject) -> None:
    changed = bytearray(intact(name))
    word = data.draw(st.integers(0, len(changed) // 4 - 1) | st.integers(0, min(60, len(changed) // 4 - 1)))
    struct.pack_into("<i", changed, 4 * word, data.draw(st.sampled_from(ABSURD) | st.integers(-(2**31), 2**31 - 1)))
    read_or_refuse(name, bytes(changed))


@settings(max_examples=200, deadline=None)
@given(names, st.binary(max_size=300))
def test_garbage_is_read_or_refused(name: str, garbage: bytes) -> None:
    read_or_refuse(name, garbage)


@settings(max_examples=200, deadline=None)
@given(names, st.data())
def test_a_file_with_a_piece_cut_out_or_doubled_is_read_or_refused(name: str, data: st.DataObject) -> None:
    whole = intact(name)
    a, b = (data.draw(st.integers(0, len(whole))) for _ in range(2))
    read_or_refuse(name, whole[:a] + whole[b:])


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789.-+e# \n\r_naif", max_size=120))
@pytest.mark.parametrize("name", ["pdm", "triangulations", "triangulation", "early termination"])
def test_numbers_at_random_are_read_or_refused(name: str, text: str) -> None:
    read_or_refuse(name, text.encode("ascii"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"!\t\x0b")
@example(b"\x00\t\x0b")
def test_a_list_is_read_or_refused_and_keeps_its_entries(data: bytes) -> None:
    try:
        entries = parse_list(data).entries
    except ModelFormatError:
        return
    assert parse_list(write_list(entries)).entries == entries


@pytest.mark.parametrize("name", BINARY)
def test_absurd_sizes_cost_no_memory(name: str) -> None:
    whole = intact(name)
    tracemalloc.start()
    try:
        for word in range(min(len(whole) // 4, 120)):
            for value in (2**31 - 1, 10**6, len(whole)):
                changed = bytearray(whole)
                struct.pack_into("<i", changed, 4 * word, value)
                read_or_refuse(name, bytes(changed))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_FACTOR * len(whole) + MEMORY_BASE
