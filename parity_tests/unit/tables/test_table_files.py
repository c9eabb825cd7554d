"""Tables in files: what is read is written again as it was, in every format, and odd files are named."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import AuparityError, FileFormatError, WriteError
from auparity.extraction.table_writers import open_table
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.parity_tests.unit.helpers.people import write_people
from auparity.parity_tests.unit.helpers.tables import face_table
from auparity.reference.results import OfflineAUs
from auparity.tables.reading import read_table

LOST = face_table([1, 1, 0, 1], success=[1, 0, 1, 1])


def extracted(path, layout, table_format="csv"):
    """A table as `auparity extract` writes it."""
    table, rng = open_table(path, layout, table_format), np.random.default_rng(1)
    for k in range(5):
        changes = {"landmarks": rng.normal(0, 50, (68, 2)), "gaze": rng.normal(0, 1, (2, 3))}
        table.append(result(k, timestamp=k / 30, success=k != 2, params_local=-rng.random(34) / 1000, **changes))
    aus = OfflineAUs(rng.uniform(0, 5, (5, 17)), rng.integers(0, 2, (5, 18)).astype(float))
    table.finish(None if layout == "photograph" else aus, [0, 0, 1, 1, 1] if layout == "faces" else None).put(path)
    table.discard_part()
    return path


@pytest.mark.parametrize("layout", ["clip", "photograph", "faces"])
def test_a_csv_that_is_read_and_written_is_the_same_text(layout, tmp_path):
    path = extracted(tmp_path / "x.csv", layout)
    assert b"-0.0" in path.read_bytes()
    read_table(path).write(tmp_path / "y.csv")
    assert (tmp_path / "y.csv").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("layout", ["clip", "photograph", "faces"])
def test_a_parquet_table_becomes_the_csv_that_extract_writes(layout, tmp_path):
    pytest.importorskip("pyarrow")
    parquet = extracted(tmp_path / "x.parquet", layout, "parquet")
    read_table(parquet).write(tmp_path / "y.csv")
    assert (tmp_path / "y.csv").read_bytes() == extracted(tmp_path / "x.csv", layout).read_bytes()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_parquet_and_arrow_hold_every_bit_and_the_units(suffix, tmp_path):
    pytest.importorskip("pyarrow")
    feather, parquet = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / f"y.{suffix}"
    LOST.masked("nan").write(path)
    table = parquet.read_table(path) if suffix == "parquet" else feather.read_table(path)
    assert table.equals(LOST.to_arrow(missing="nan"))
    assert table.schema.field("pose_Rx").metadata[b"unit"] == b"rad"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_missing_values_are_read_again(suffix, tmp_path):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"y.{suffix}"
    LOST.masked("nan").write(path)
    again = read_table(path)
    assert np.isnan(again["AU12_r"]).tolist() == [False, True, False, False]
    assert again["success"].dtype == np.int32
    if suffix == "csv":
        assert path.read_text().splitlines()[2] == "2,0,0.100,0.90,0,,,,"


def test_tables_of_several_people_keep_who_is_who(tmp_path):
    visits = {0: range(4), 1: range(2, 6)}
    both = read_table(write_people(tmp_path / "a.csv", visits))
    assert sorted(set(both["person_id"].tolist())) == [0, 1]
    slots = read_table(write_people(tmp_path / "b.csv", visits, persons=False))
    assert "person_id" not in slots.columns
    assert {episode.person for episode in slots.episodes(threshold=0.5, fps=30)} == {0, 1}
    assert sorted(set(slots.resampled(10, fps=30)["face_id"].tolist())) == [0, 1]


def test_tables_of_other_programs_are_read_by_their_names(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("frame, frame_name, timestamp, success, AU12_c, AU99_x\n1, , 0.0, 1, 1, 0.5\n2, , 0.1, 1, 0, 7\n")
    table = read_table(str(path))
    assert table["AU99_x"].tolist() == [0.5, 7]
    assert [(e.au, e.onset) for e in table.episodes()] == [("AU12", 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "one of frame, face, timestamp"), ("frame,x_0\n1,2\n2\n", "line 3"), ("frame,x_0\n1,?\n", "x_0"),
     ("", "one of frame"), ("frame,x_0\n1,1\n,2\n", "row 2, frame"), ("frame,x_0\n1,1\n2,inf\n", "row 2, x_0")],
)  # fmt: skip
def test_another_file_is_named(text, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_table(path)
    with pytest.raises(FileFormatError, match="does not exist"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_only_chosen_columns_are_read(table_format, tmp_path):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    path = extracted(tmp_path / f"x.{table_format}", "clip", table_format)
    table, whole = read_table(path, ["AU12", "pose"]), read_table(path)
    first = ["frame", "face_id", "timestamp", "confidence", "success"]
    pose = [f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"]
    assert [*table.columns] == [*first, *pose, "AU12_r", "AU12_c"]
    for name, values in table.columns.items():
        np.testing.assert_array_equal(values, whole[name])
    with pytest.raises(AuparityError, match="no column, AU or group 'AU13'"):
        read_table(path, ["AU13"])


def test_an_output_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    with pytest.raises(AuparityError, match=r"\.csv \(CSV\), \.parquet \(Parquet\), \.arrow \(Arrow\)"):
        LOST.write(tmp_path / "x.xlsx")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(WriteError, match=r"folder\.csv"):
        LOST.write(tmp_path / "folder.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]
