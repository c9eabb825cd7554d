"""The columns, the number formats and the two forms of a result table (spec 80)."""

from __future__ import annotations

import ctypes
import hashlib
import math
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.errors import AuparityError, ContractError, VariantUnavailable
from auparity.extraction import table_writers
from auparity.extraction.table_writers import ROWS_PER_BATCH, open_table
from auparity.extraction.tables import format_row, header, rewrite_aus, row_line, row_values
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.reference.results import OfflineAUs
from auparity.tables.columns import COLUMNS

AUS_R = ["01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "45"]
AUS_C = ["01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "28", "45"]


def spec_groups() -> list[tuple[str, int]]:
    """Name and decimals of every column after the header group, written out from spec 80.1."""
    groups = [(f"gaze_{eye}_{axis}", 6) for eye in "01" for axis in "xyz"]
    groups += [("gaze_angle_x", 3), ("gaze_angle_y", 3)]
    groups += [(f"eye_lmk_{axis}_{i}", 1) for axis in "xyXYZ" for i in range(56)]
    groups += [(f"pose_T{axis}", 1) for axis in "xyz"] + [(f"pose_R{axis}", 3) for axis in "xyz"]
    groups += [(f"{axis}_{i}", 1) for axis in "xyXYZ" for i in range(68)]
    groups += [(f"p_{name}", 3) for name in ("scale", "rx", "ry", "rz", "tx", "ty", *range(34))]
    return groups + [(f"AU{au}_r", 2) for au in AUS_R] + [(f"AU{au}_c", 1) for au in AUS_C]


def cells(line: str, layout: str = "clip") -> dict[str, str]:
    return dict(zip(header(layout).split(","), line.split(","), strict=True))


def test_a_clip_has_the_714_columns_of_the_specification():
    head = ["frame", "face_id", "timestamp", "confidence", "success"]
    assert header("clip").split(",") == head + [name for name, _ in spec_groups()]
    assert len(COLUMNS["clip"]) == 714


def test_a_photograph_has_the_same_measures_under_face_and_confidence():
    assert header("photograph").split(",") == ["face", "confidence"] + [name for name, _ in spec_groups()]
    row = cells(format_row(result(face_id=3), "photograph"), "photograph")
    assert (row["face"], row["confidence"]) == ("3", "0.975")
    assert (row["AU01_r"], row["AU01_c"]) == ("0.00", "0.0")


def test_every_column_is_printed_with_the_decimals_of_the_specification():
    row = cells(format_row(result(), "clip"))
    assert [row[name] for name in ("frame", "face_id", "success")] == ["1", "0", "1"]
    assert (row["timestamp"], row["confidence"]) == ("0.000", "0.98")
    for name, decimals in spec_groups():
        assert len(row[name].partition(".")[2]) == decimals, name


def test_frames_count_from_one_and_failed_ones_are_rows_too():
    row = cells(format_row(result(41, success=False), "clip"))
    assert (row["frame"], row["success"]) == ("42", "0")


def test_points_are_grouped_by_axis_with_the_left_eye_first():
    eyes = np.arange(2 * 28 * 2, dtype=np.float32).reshape(2, 28, 2)
    row = cells(format_row(result(7, eye_landmarks=eyes), "clip"))
    assert (row["x_0"], row["x_67"], row["y_0"], row["y_67"]) == ("7.0", "74.0", "100.0", "167.0")
    assert (row["X_0"], row["Y_0"], row["Z_67"]) == ("0.0", "68.0", "203.0")
    assert (row["eye_lmk_x_0"], row["eye_lmk_y_0"], row["eye_lmk_x_28"], row["eye_lmk_y_55"]) == (
        "0.0",
        "1.0",
        "56.0",
        "111.0",
    )


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (-0.0, "-0.0"),
        (-0.04, "-0.0"),  # rounds to zero and keeps its sign
        (0.25, "0.2"),  # exact halves go to the even digit
        (0.75, "0.8"),
        (-2.5e-9, "-0.0"),
        (np.float32(0.35), "0.3"),  # just below the half once promoted: 0.34999999403953552
        (np.float32(0.45), "0.4"),  # just below as well, 0.44999998807907104
        (0.45, "0.5"),  # the double is just above the half
        (-3e7, "-30000000.0"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_the_rounded_decimals_of_their_binary_values(value, printed):
    landmarks = np.zeros((68, 2), np.float32 if isinstance(value, np.float32) else np.float64)
    landmarks[0, 0] = value
    assert cells(format_row(result(landmarks=landmarks), "clip"))["x_0"] == printed


@pytest.mark.skipif(sys.platform == "win32", reason="asks the C library of a POSIX system")
@given(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**40), max_value=2.0**40))
def test_numbers_print_as_the_c_library_prints_them(value):
    buffer = ctypes.create_string_buffer(400)
    ctypes.CDLL(None).snprintf(buffer, 400, b"%.3f", ctypes.c_double(value))
    params = np.full(34, value, np.float32)
    assert cells(format_row(result(params_local=params), "clip"))["p_33"] == buffer.value.decode()


NUMBERS = st.one_of(
    st.floats(width=64, allow_nan=True, allow_infinity=True),
    st.floats(width=32, min_value=-1000, max_value=1000),
    st.builds(lambda whole, power: whole / 2.0**power, st.integers(-(2**30), 2**30), st.integers(0, 30)),  # halves
    st.builds(lambda whole, power: whole / 10.0**power, st.integers(-(10**9), 10**9), st.integers(0, 9)),
)


@pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
@given(st.lists(st.tuples(NUMBERS, st.integers(0, 6)), min_size=1, max_size=40))
def test_compiled_code_prints_what_python_prints(cells):
    from auparity.accelerated.numba.decimals import RowPrinter

    line = RowPrinter(tuple(decimals for _, decimals in cells))(np.array([value for value, _ in cells]))
    printed = ",".join(f"{value:.{decimals}f}" for value, decimals in cells).encode() + b"\n"
    small = all(math.isfinite(value) and abs(value) < 2**26 for value, _ in cells)
    assert line == (printed if small else None)


@pytest.mark.parametrize("groups", [None, ("pose", "aus")], ids=["all", "some"])
@pytest.mark.parametrize("layout", ["clip", "faces", "photograph"])
@pytest.mark.parametrize("value", [1.25, -0.04, math.nan, 3e9])
def test_a_line_is_the_text_of_its_row(layout, groups, value):
    pose = np.array([1, 2, value, 0.1, 0.2, 0.3])
    row = result(41, face_id=2, timestamp=1.3665, pose=pose, au_intensity=np.linspace(-1, 5, 17))
    assert row_line(row, layout, groups) == format_row(row, layout, groups).encode("ascii") + b"\n"


def test_the_rewrite_replaces_the_aus_alone_and_prints_them_with_two_decimals():
    line = format_row(result(3), "clip")
    rewritten = rewrite_aus(line + "  \n", np.full(17, 1.005), np.ones(18))
    before, after = cells(line), cells(rewritten)
    assert after["AU01_r"] == "1.00"  # the double 1.005 is below 1.005
    assert after["AU45_c"] == "1.00"
    assert {name: after[name] for name in after if "AU" not in name} == {
        name: before[name] for name in before if "AU" not in name
    }


def test_a_result_of_another_shape_is_refused_by_name():
    with pytest.raises(ContractError, match=r"FrameResult\.landmarks.*\(68, 2\).*\(67, 2\)"):
        row_values(result(landmarks=np.zeros((67, 2), np.float32)), "clip")


def offline(n: int) -> OfflineAUs:
    return OfflineAUs(np.full((n, 17), 1 / 3), np.ones((n, 18)))


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_can_be_read_from_the_part_file_while_the_clip_runs(tmp_path):
    table = open_table(tmp_path / "face.csv", "clip", "csv")
    table.append(result(0))
    table.append(result(1))
    text = table.part.read_text()
    assert text == "\n".join([header("clip"), format_row(result(0), "clip"), format_row(result(1), "clip"), ""])
    finished = table.finish(offline(2))
    assert len(names(tmp_path)) == 2
    finished.put(tmp_path / "face.csv")
    table.discard_part()
    assert names(tmp_path) == ["face.csv"]
    data = (tmp_path / "face.csv").read_bytes()
    assert (data.count(b"\n"), b"\r" in data, finished.n_bytes) == (3, False, len(data))
    assert finished.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_two_writers_of_one_table_share_no_file(tmp_path, table_format):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    one, two = (open_table(tmp_path / "face", "clip", table_format) for _ in range(2))
    for k in range(3):
        one.append(result(k))
        two.append(result(k))
    first, second = one.finish(offline(3)), two.finish(offline(3))
    assert first.sha256 == second.sha256
    assert len(names(tmp_path)) == 4
    for finished, table in ((first, one), (second, two)):
        finished.put(tmp_path / "face")
        table.discard_part()
    assert names(tmp_path) == ["face"]


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_aus_of_another_number_of_frames_are_refused_and_the_rows_stay(tmp_path, table_format):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    table = open_table(tmp_path / "face", "clip", table_format)
    table.append(result(0))
    with pytest.raises(ContractError, match=r"OfflineAUs\.intensity"):
        table.finish(offline(2))
    table.keep_part()
    table.keep_part()
    assert names(tmp_path) == [table.part.name]


def test_a_failed_rewrite_leaves_the_part_file_and_no_table(tmp_path, monkeypatch):
    table = open_table(tmp_path / "face.csv", "clip", "csv")
    table.append(result(0))

    def full_disk(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_writers, "flush_to_disk", full_disk)
    with pytest.raises(OSError, match="No space"):
        table.finish(offline(1))
    assert names(tmp_path) == [table.part.name]


def test_rows_that_are_missing_on_the_disk_are_noticed_before_the_table_has_its_name(tmp_path, monkeypatch):
    table = open_table(tmp_path / "face.csv", "clip", "csv")
    for k in range(3):
        table.append(result(k))
    monkeypatch.setattr(table_writers, "flush_to_disk", lambda file: (file.flush(), file.truncate(12000)))
    with pytest.raises(AuparityError, match="3 rows were written, but 1 are on the disk"):
        table.finish(offline(3))
    assert names(tmp_path) == [table.part.name]


def test_parquet_holds_the_same_columns_unrounded(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    n = 2 * ROWS_PER_BATCH + 3
    table = open_table(tmp_path / "face.parquet", "clip", "parquet")
    for k in range(n):
        table.append(result(k, timestamp=k / 30, confidence=float(np.float32(0.1))))
    aus = OfflineAUs(np.random.default_rng(1).uniform(0, 5, (n, 17)), np.arange(n * 18).reshape(n, 18) % 2)
    table.finish(aus).put(tmp_path / "face.parquet")
    table.discard_part()
    assert names(tmp_path) == ["face.parquet"]
    read = parquet.read_table(tmp_path / "face.parquet")
    assert read.column_names == header("clip").split(",")
    assert read["frame"].to_pylist() == list(range(1, n + 1))
    np.testing.assert_array_equal(read["timestamp"], np.arange(n) / 30)
    np.testing.assert_array_equal(read["confidence"], np.full(n, np.float32(0.1), np.float64))
    np.testing.assert_array_equal(read["x_5"], np.arange(n) + 5.0)
    np.testing.assert_array_equal(read["AU45_r"], aus.intensity[:, -1])
    np.testing.assert_array_equal(read["AU28_c"], aus.presence[:, -2])
    types = {name: str(read.schema.field(name).type) for name in ("success", "AU28_c", "AU28_c", "x_0")}
    assert types == {"success": "int32", "AU28_c": "int8", "x_0": "double"}


def test_the_part_file_of_a_parquet_table_is_a_readable_stream(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    table = open_table(tmp_path / "face.parquet", "clip", "parquet")
    for k in range(ROWS_PER_BATCH + 1):
        table.append(result(k))
    with table.part.open("rb") as file:  # as after a crash: never closed
        batch = pyarrow.ipc.open_stream(file).read_next_batch()
        assert batch.num_rows == ROWS_PER_BATCH
    table.keep_part()
    with table.part.open("rb") as file:
        assert pyarrow.ipc.open_stream(file).read_all().num_rows == ROWS_PER_BATCH + 1


def test_parquet_without_pyarrow_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(VariantUnavailable, match=r'pip install "auparity\[parquet\]"'):
        open_table(tmp_path / "face.parquet", "clip", "parquet")


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_rows_may_be_left_out_at_the_end(tmp_path, table_format):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    n = 3 * ROWS_PER_BATCH + 1
    kept = [0, 3, ROWS_PER_BATCH - 1, 2 * ROWS_PER_BATCH + 5, n - 1]  # none of the second batch
    whole, short = (open_table(tmp_path / "face", "clip", table_format) for _ in range(2))
    for k in range(n):
        whole.append(result(k))
        if k in kept:
            short.append(result(k))
    aus = OfflineAUs(np.random.default_rng(1).uniform(0, 5, (5, 17)), np.ones((5, 18)))
    first, second = whole.finish(aus, None, kept), short.finish(aus)
    assert first.rows == second.rows == 5
    read = [_read(finished.temporary, table_format) for finished in (first, second)]
    assert read[0] == read[1]
    for wrong in ([1, 0], [0, 0], [n], [-1]):
        with pytest.raises(ContractError, match="'kept'"):
            whole.finish(None, None, wrong)
    for finished, table in ((first, whole), (second, short)):
        finished.discard()
        table.discard_part()


def _read(path, table_format):
    if table_format == "csv":
        return path.read_text()
    from pyarrow import parquet

    return parquet.read_table(path).to_pydict()
