"""The figures of a table do not depend on how many rows are read at a time, and are those of its own page."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import FileFormatError
from auparity.parity_tests.unit.helpers.people import write_people
from auparity.parity_tests.unit.helpers.result_folders import write_result
from auparity.reports.clips.measures import Measures, measures
from auparity.reports.clips.people import people_of
from auparity.reports.clips.table import read_result_table
from auparity.study import figures as figures_module
from auparity.study.figures import Stopped, figures_of_table


def read(table, **replaced):
    asked = {"stopped": lambda: False, "told": lambda rows: None, **replaced}
    return figures_of_table(table, **asked)


def assert_alike(one: Measures, other: Measures):
    """Equal but for the last bit of means, whose sums have another order."""
    assert (one.rows, one.tracked, list(one.aus)) == (other.rows, other.tracked, list(other.aus))
    assert one.confidence == pytest.approx(other.confidence, rel=1e-14)
    for name, au in one.aus.items():
        assert au.largest == other.aus[name].largest
        for value, same in ((au.mean, other.aus[name].mean), (au.present, other.aus[name].present)):
            assert value == (None if same is None else pytest.approx(same, rel=1e-14))


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
@pytest.mark.parametrize("batch", [1, 7, 8192])
def test_figures_of_batches_are_those_of_the_whole_table(tmp_path, monkeypatch, table_format, batch):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(figures_module, "BATCH", batch)
    table = write_result(tmp_path, "clip", 50, table_format=table_format)
    counts = []
    found = read(table, told=counts.append)
    ((person, own),) = found.people
    assert person is None
    assert_alike(own, measures(read_result_table(table, ())))
    assert (found.rows, found.last_frame, sum(counts)) == (50, 50, 50)
    assert found.seconds == pytest.approx(49 / 30, abs=1e-3)  # a CSV has three decimals of time
    assert max(counts) <= batch


def test_figures_of_a_clip_are_numbers_that_can_be_worked_out():
    reading = figures_module.ClipReading()
    columns = {
        "frame": [1, 2, 3, 4], "face_id": [0, 0, 0, 0], "timestamp": [0, 0.5, 1, 1.5], "success": [1, 1, 0, 1],
        "confidence": [0.9, 0.6, 0.1, 0.6], "AU12_r": [1, 2, 5, 3], "AU12_c": [0, 1, 1, 1], "AU28_c": [0, 0, 1, 1],
    }  # fmt: skip
    arrays = {name: np.array(values, float) for name, values in columns.items()}
    for rows in (slice(0, 3), slice(3, 4)):
        reading.add({name: values[rows] for name, values in arrays.items()})
    ((_, own),) = reading.result().people
    assert (own.rows, own.tracked) == (4, 3)
    assert own.confidence == pytest.approx(0.7, rel=1e-15)
    assert own.aus["AU12"].mean == 2
    assert own.aus["AU12"].largest == 3
    assert own.aus["AU12"].present == pytest.approx(2 / 3, rel=1e-15)
    assert own.aus["AU28"].mean is None
    assert own.aus["AU28"].present == pytest.approx(1 / 3, rel=1e-15)


@pytest.mark.parametrize("batch", [5, 8192])
def test_people_are_those_of_the_page_of_their_clip(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(figures_module, "BATCH", batch)
    table = write_people(tmp_path / "group.csv", {0: [*range(10), *range(20, 30)], 3: range(40), 7: [14, 15]})
    found, people = read(table), people_of(read_result_table(table), None, 30)
    assert [number for number, _ in found.people] == [person.number for person in people.persons] == [0, 3, 7]
    for (_, own), person in zip(found.people, people.persons, strict=True):
        assert_alike(own, person.figures)


def test_a_clip_in_which_nobody_is_tracked_has_one_row_without_figures(tmp_path):
    table = write_result(tmp_path, "empty", 4, lost=1, table_format="csv")
    ((person, own),) = read(table).people
    assert (person, own.rows, own.tracked, own.confidence) == (None, 4, 0, None)
    assert own.aus["AU12"].mean is None


def test_faces_of_an_image_are_taken_together(tmp_path):
    table = write_result(tmp_path, "image", 3, kind="photograph", table_format="csv")
    found = read(table)
    ((person, own),) = found.people
    assert (person, own.rows, own.tracked, found.last_frame) == (None, 3, 3, 0)
    assert own.aus["AU12"].mean is not None


def test_other_tables_are_refused_with_the_place(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FileFormatError, match="not a table of faces"):
        read(tmp_path / "other.csv")
    table = write_result(tmp_path, "clip", 5, table_format="csv")
    lines = table.read_text().splitlines()
    cells = lines[4].split(",")
    cells[lines[0].split(",").index("AU12_r")] = "nan"
    table.write_text("\n".join([*lines[:4], ",".join(cells), *lines[5:]]))
    with pytest.raises(FileFormatError, match="row 4, AU12_r"):
        read(table)


def test_reading_stops_between_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(figures_module, "BATCH", 2)
    table, counts = write_result(tmp_path, "clip", 9, table_format="csv"), []
    with pytest.raises(Stopped):
        read(table, stopped=lambda: sum(counts) >= 4, told=counts.append)
    assert counts == [2, 2]
