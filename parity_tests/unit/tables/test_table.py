"""A table of faces in Python: names, failed rows, chosen columns, the long form, and what other packages get."""

from __future__ import annotations

import re

import numpy as np
import pytest

from auparity.errors import AuparityError, VariantUnavailable
from auparity.extraction.tables import row_values
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.parity_tests.unit.helpers.tables import face_table, people_table
from auparity.tables import arrow
from auparity.tables.columns import COLUMNS
from auparity.tables.rows import column_arrays
from auparity.tables.table import FaceTable

LOST = face_table([1, 1, 0, 1], success=[1, 0, 1, 1], confidence=[0.9, 0.1, 0.6, 0.9])


@pytest.mark.parametrize("layout", ["clip", "photograph", "faces"])
def test_columns_of_many_results_are_the_rows_of_each(layout):
    results = [
        result(k, face_id=k % 2, timestamp=k / 7, success=k != 1, landmarks=np.full((68, 2), k + 0.25, np.float32))
        for k in range(3)
    ]
    arrays = column_arrays(results, layout)
    assert [*arrays] == [column.name for column in COLUMNS[layout]]
    for k, each in enumerate(results):
        assert tuple(values[k].item() for values in arrays.values()) == row_values(each, layout)
    assert {name: values.dtype for name, values in arrays.items()} == {
        name: values.dtype for name, values in column_arrays([], layout).items()
    }


def test_a_table_has_its_aus_by_name_and_prints_shortly():
    assert LOST.aus["AU12"].tolist() == [2, 2, 0, 2]
    assert LOST.presences["AU28"].tolist() == [0, 0, 0, 0]
    assert LOST["AU12_c"].dtype == np.int8
    assert LOST["frame"].dtype == np.int32
    assert repr(LOST) == "<FaceTable: 4 rows, 9 columns; ['AU12_r'], .aus['AU12'], .to_dataframe()>"
    assert "2 people" in repr(people_table([[1], [0]]))
    with pytest.raises(KeyError, match="no column 'AU12'; its columns are AU12_r and AU12_c"):
        LOST["AU12"]


def test_failed_rows_stay_as_they_are_unless_something_else_is_asked_for():
    assert LOST.masked() is LOST
    assert LOST.masked("keep")["AU12_r"].tolist() == [2, 2, 0, 2]


def test_failed_rows_lose_their_measurements_and_keep_what_identifies_them():
    table = LOST.masked("nan")
    assert np.isnan(table["AU12_r"]).tolist() == [False, True, False, False]
    assert np.isnan(table["AU12_c"]).tolist() == [False, True, False, False]
    for name in ("frame", "face_id", "timestamp", "confidence", "success"):
        assert table[name].tolist() == LOST[name].tolist()
    assert LOST["AU12_r"].tolist() == [2, 2, 0, 2], "the table itself does not change"


def test_failed_rows_can_be_left_out():
    table = LOST.masked("drop")
    assert table["frame"].tolist() == [1, 3, 4]
    assert table["AU12_c"].dtype == np.int8


def test_rows_of_little_confidence_count_as_failed():
    assert np.isnan(LOST.masked(min_confidence=0.6)["AU12_r"]).tolist() == [False, True, False, False]  # 0.6 is enough
    assert LOST.masked("drop", 0.61)["frame"].tolist() == [1, 4]
    with pytest.raises(AuparityError, match='does not go with missing="keep"'):
        LOST.masked("keep", 0.5)
    with pytest.raises(AuparityError, match="from 0 to 1"):
        LOST.masked("nan", 80)
    with pytest.raises(AuparityError, match="no column `confidence`"):
        face_table([1], confidence=None).masked("nan", 0.5)
    with pytest.raises(AuparityError, match="one of keep, nan, drop"):
        LOST.masked("zero")


def test_columns_are_chosen_by_name_au_or_group():
    first = ["frame", "face_id", "timestamp", "confidence", "success"]
    assert [*LOST.select(["AU12"]).columns] == [*first, "AU12_r", "AU12_c"]
    assert [*LOST.select("pose").columns] == [*first, "pose_Rx"]
    assert [*LOST.select(["AU28_c", "pose_Rx"]).columns] == [*first, "pose_Rx", "AU28_c"]
    assert [*LOST.select(["aus"]).columns] == [*first, "AU12_r", "AU12_c", "AU28_c"]
    with pytest.raises(AuparityError, match="no column, AU or group 'AU13'"):
        LOST.select(["AU12", "AU13"])


def test_the_long_form_has_a_row_for_each_row_and_au():
    table = people_table([[1, 0], [0, 1]]).long()
    assert [*table.columns][-3:] == ["au", "intensity", "presence"]
    assert table["au"].tolist() == ["AU12", "AU28"] * 4
    assert table["person_id"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert table["presence"].tolist() == [1, 0, 0, 0, 0, 0, 1, 0]
    assert table["intensity"][::2].tolist() == [2, 0, 0, 2]
    assert np.isnan(table["intensity"][1::2]).all()  # AU28 has none
    with pytest.raises(AuparityError, match="no AUs"):
        face_table([1], AU12_r=None, AU12_c=None, AU28_c=None).long()


def test_whose_face_a_row_has():
    assert face_table([1, 1]).persons is None
    assert people_table([[1], [0]]).persons.tolist() == [0, 1]
    assert people_table([[1], [0]], persons=False).persons.tolist() == [1, 0], "the slots"


def test_times_are_those_of_the_table_or_follow_from_the_frames():
    assert face_table([1, 1, 1]).seconds().tolist() == [0, 0.1, 0.2]
    none = face_table([1, 1, 1], timestamp=[0, 0, 0])
    assert none.seconds(fps=4).tolist() == [0, 0.25, 0.5]
    with pytest.raises(AuparityError, match="no time stamps"):
        none.seconds()
    with pytest.raises(AuparityError, match="fps is 0"):
        none.seconds(fps=0)


def test_pandas_gets_the_same_columns_with_nan():
    pandas = pytest.importorskip("pandas")
    frame = LOST.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert [*frame.columns] == [*LOST.columns]
    assert {str(frame[name].dtype) for name in ("frame", "success")} == {"int32"}
    frame = LOST.to_dataframe(["AU12"], missing="nan")
    assert frame["AU12_r"].isna().tolist() == [False, True, False, False]
    assert frame["AU12_r"].mean() == pytest.approx(4 / 3)
    long = LOST.to_dataframe(["AU12"], min_confidence=0.7, missing="drop", long=True)
    assert long["au"].tolist() == ["AU12", "AU12"]
    assert long["frame"].tolist() == [1, 4]


def test_arrow_gets_null_for_nan_and_units_as_metadata():
    pyarrow = pytest.importorskip("pyarrow")
    table = LOST.to_arrow(missing="nan")
    assert table["AU12_r"].null_count == 1
    assert table.schema.field("timestamp").metadata == {b"unit": b"s", b"description": b"time of the frame"}
    assert pyarrow.table(LOST).equals(LOST.to_arrow()), "by the PyCapsule protocol"


def test_polars_reads_a_table_by_the_arrow_protocol():
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(LOST.masked("nan"))
    assert frame["AU12_r"].to_list() == [2, None, 0, 2]
    assert frame.columns == [*LOST.columns]


@pytest.mark.parametrize(
    ("call", "message"), [("to_dataframe", r"auparity\[pandas\]"), ("to_arrow", r"auparity\[parquet\]")]
)
def test_a_missing_package_is_named_with_its_extra(call, message, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(arrow, "import_module", missing)
    with pytest.raises(VariantUnavailable, match=message):
        getattr(LOST, call)()


def test_a_table_of_nothing_is_a_table():
    empty = FaceTable.of_numbers({name: values[:0] for name, values in LOST.columns.items()})
    assert len(empty) == len(empty.masked("nan")) == len(empty.long()) == len(empty.resampled(10)) == 0
    assert [*empty.episodes()] == []
    assert "<svg" not in empty._repr_html_()


def test_a_notebook_shows_a_small_chart_at_any_length():
    rng = np.random.default_rng(0)
    rows = 108_000  # an hour
    changes = {f"AU{k:02}_r": rng.uniform(0, 5, rows) for k in (1, 2, 4, 6)}
    table = face_table(rng.integers(0, 2, rows), timestamp=np.arange(rows) / 30, **changes)
    html = table._repr_html_()
    assert len(html) < 10_000
    assert html.count("<svg") == 1
    assert 'role="img"' in html
    assert "3600.0 s" in html
    several = people_table(rng.integers(0, 2, (6, 40)))._repr_html_()
    assert "person 0" in several
    assert len(several) < 10_000


def test_a_chart_has_a_gap_where_nobody_was_tracked():
    lost = np.ones(1200)
    lost[400:800] = 0
    rows = len(lost)
    html = face_table(np.ones(rows), success=lost, AU12_r=np.linspace(0, 5, rows))._repr_html_()
    (line,) = re.findall(r'<path d="([^"]+)" fill="none"', html)
    assert line.count("M") == 2
    assert line.startswith("M64 ")


def test_names_in_a_notebook_are_text():
    assert "&lt;b&gt;" in face_table([1, 0]).html("<b>")
