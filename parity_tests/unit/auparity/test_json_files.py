"""JSON and TOML from outside: every fault of a file ends in one error that names the file, the place and the remedy."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.errors import FileFormatError
from auparity.json_files import MAX_DEPTH, load_json, load_toml, parse_json, parse_toml


@dataclass(frozen=True)
class Point:
    x: float
    label: str | None = None
    marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError(f"x = {self.x} is negative")


@dataclass(frozen=True)
class Drawing:
    format: Literal["drawing"]
    points: dict[str, Point]
    size: tuple[int, int] = (1, 1)


class Loose(TypedDict):
    name: str
    note: NotRequired[str]


def read(text: str | bytes, kind: Any = dict, **options: Any) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return parse_json(data, "plan.json", "a plan", kind, advice="Make it again.", **options)


def test_types_are_built_from_their_hints():
    drawing = read('{"format": "drawing", "points": {"a": {"x": 1, "marks": [3]}}, "size": [2, 3]}', Drawing)
    assert drawing == Drawing("drawing", {"a": Point(1.0, marks=[3])}, (2, 3))
    assert isinstance(drawing.points["a"].x, float)


def test_a_typed_dict_lets_further_fields_pass():
    assert read('{"name": "n", "more": [1]}', Loose) == {"name": "n", "more": [1]}
    with pytest.raises(FileFormatError, match=r"at note: expected text, found 3"):
        read('{"name": "n", "note": 3}', Loose)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"format": "drawing", "points": {"a b": {"x": "1"}}}',
            r'at points\["a b"\]\.x: expected a number, found "1"',
        ),
        ('{"format": "drawing", "points": {"a": {"x": true}}}', r"points\.a\.x: expected a number, found true"),
        ('{"format": "drawing", "points": {"a": {"x": -1}}}', r"points\.a: expected a valid Point, found x = -1\.0"),
        ('{"format": "drawing", "points": {"a": {"x": 1, "marks": [1.5]}}}', r"marks\[0\]: expected a whole number"),
        ('{"format": "drawing", "points": {"a": {"x": 1, "y": 1}}}', r'points\.a: .* found the field "y"'),
        ('{"format": "drawing"}', r'a plan: an object with the field "points"'),
        ('{"format": "plan", "points": {}}', r'at format: expected "drawing", found "plan"'),
        ('{"format": "drawing", "points": []}', r"at points: expected an object, found a list of 0"),
        ('{"format": "drawing", "points": {}, "size": [1]}', r"at size: expected a list of 2, found a list of 1"),
        ("[]", r"expected a plan: an object, found a list of 0"),
    ],
)
def test_a_wrong_kind_is_named_with_its_place(text, message):
    with pytest.raises(FileFormatError, match=message) as caught:
        read(text, Drawing)
    assert str(caught.value).startswith("plan.json")
    assert str(caught.value).endswith("Make it again.")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "Expecting value"),
        ('{"a": 1,}', "at line 1"),
        (b'{"a": "\xff"}', "byte 0xff at offset 7"),
        ("[" * 100_000, "100000"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), str(MAX_DEPTH + 1)),
        ('{"a": {"b": 1e999}}', "inf"),
        ('{"a": [NaN]}', "nan"),
        ('{"a": -Infinity}', "-inf"),
        ('{"a": ' + "9" * 5000 + "}", "20 digits"),
        ('{"a": ' + "9" * 5000 + ".}", "limit"),
        ('{"a": 9223372036854775808}', "9223372036854775808"),
        ('{"a": 1, "a": 2}', '"a" more than once'),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\uDFFF": 1}', "half a character"),
    ],
)
def test_what_no_reader_can_use_is_refused_also_where_no_type_is_asked_for(text, found):
    with pytest.raises(FileFormatError) as caught:
        read(text)
    assert found in str(caught.value)


def test_what_only_looks_suspicious_passes():
    value = {"a": "NaN 1e999 \\ud800 [[[[", "b": 0.12345678901234567, "c": 1e-300, "d": 2**63 - 1, "e": "\U0001f600"}
    assert read(json.dumps(value)) == value
    assert read('{"a": 0.123456789012345678901234567890}')["a"] == pytest.approx(0.12345678901234568)
    nested = "[" * 10_000
    assert read(json.dumps({"a": nested})) == {"a": nested}


def test_nan_passes_where_it_is_allowed():
    assert read('{"x": Infinity}', Point, finite=False).x == float("inf")


def test_a_number_too_large_for_a_double_is_refused_before_it_is_converted():
    with pytest.raises(FileFormatError):
        read('{"x": ' + "9" * 400 + "}", Point)


def test_size_is_bounded_before_reading(tmp_path):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * 2000)
    with pytest.raises(FileFormatError, match="at most 1000 bytes, found 2000 bytes"):
        load_json(path, "a plan", dict, max_bytes=1000)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json", "none.json", "nul\0.json", "x" * 300):
        with pytest.raises(FileFormatError):
            load_json(tmp_path / name, "a plan", dict)
    with pytest.raises(FileFormatError):
        load_json("/dev/zero", "a plan", dict)


def test_unterminated_strings_cost_no_time_that_grows_with_the_square():
    with pytest.raises(FileFormatError):
        read('\\"' * 500_000)
    with pytest.raises(FileFormatError):
        read('"' + '\\"' * 500_000)


@pytest.mark.parametrize(
    "text", ["a = ", "a = inf", "a = " + "9" * 5000, "a = " + "[" * 2000, ".".join("a" * 2000) + " = 1", "a=1\na=2"]
)
def test_toml_is_bounded_as_json_is(text):
    with pytest.raises(FileFormatError):
        parse_toml(text, "plan.toml", "a plan", dict)


def test_toml_is_built_as_json_is(tmp_path):
    (tmp_path / "plan.toml").write_text('x = 1\nlabel = "a"\n')
    assert load_toml(tmp_path / "plan.toml", "a plan", Point) == Point(1.0, "a")
    (tmp_path / "plan.toml").write_text("x = 1979-05-27\n")
    with pytest.raises(FileFormatError, match="at x: expected a number, found a date"):
        load_toml(tmp_path / "plan.toml", "a plan", Point)


def test_the_error_travels_between_processes():
    error = FileFormatError("plan.json", "a[1]", "text", "3", "Make it again.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([Drawing, Point, Loose, dict]))
def test_any_json_is_a_value_or_our_error(value, kind):
    with contextlib.suppress(FileFormatError):
        read(json.dumps(value), kind)
