"""The dictionary of columns: complete, of one voice with the tables, and what is printed of it."""

from __future__ import annotations

import csv
import json
import re

import pytest

import auparity
from auparity.cli import main
from auparity.errors import AuparityError
from auparity.extraction.tables import select
from auparity.parity_tests.unit.helpers.documentation import ROOT
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.tables.columns import ACTION_UNITS, COLUMNS, GROUPS, column_of, columns, families, group_of


def test_every_column_has_a_meaning_and_all_but_counts_flags_and_directions_a_unit():
    for column in columns():
        assert column.meaning, column.name
        if column.kind == "float" and not re.fullmatch(r"gaze_[01]_[xyz]", column.name):
            assert column.unit in ("s", "px", "mm", "rad", "px/mm", "0 to 1", "0 to 5", "0 or 1"), column.name


def test_names_are_there_once_in_each_table_and_the_list_of_all_has_them_all():
    for layout, count in (("clip", 714), ("photograph", 711), ("faces", 715)):
        names = [column.name for column in columns(layout)]
        assert len(names) == len(set(names)) == count
        assert set(names) <= {column.name for column in columns()}
    assert len(columns()) == 716
    with pytest.raises(AuparityError, match="no table 'photo'; there are clip, photograph, faces"):
        columns("photo")


def test_what_is_known_of_a_column():
    column = column_of("pose_Tz")
    assert (column.unit, column.decimals, column.group) == ("mm", 1, "pose")
    assert column.meaning == "place of the head in front of the camera: away from the camera"
    assert column_of("AU12_r").meaning == "intensity of AU12, lip corner puller"
    assert column_of("frame_name") is None


@pytest.mark.parametrize(
    ("name", "group"),
    [("x_0", "2d"), ("X_0", "3d"), ("eye_lmk_X_3", "gaze"), ("p_tx", "params"), ("pose_Tx", "pose"), ("AU28_c", "aus"),
     ("success", None), ("person_id", None), ("anything", None)],
)  # fmt: skip
def test_the_group_of_a_column(name, group):
    assert group_of(name) == group


def test_groups_are_those_of_extract_in_the_order_of_the_table():
    assert GROUPS == ("gaze", "pose", "2d", "3d", "params", "aus")
    counts = [len(select("clip", (group,)).columns) - 5 for group in GROUPS]
    assert counts == [288, 6, 136, 204, 40, 35]


def test_every_au_has_a_name():
    assert set(ACTION_UNITS) == {*INTENSITY_AUS, *PRESENCE_AUS}


def test_a_family_is_what_differs_in_a_number_only():
    found = {column.family: count for column, count in families(COLUMNS["clip"])}
    assert found["x_0 ... x_67"] == 68
    assert found["eye_lmk_Z_0 ... eye_lmk_Z_55"] == 56
    assert found["pose_Rx"] == 1
    assert sum(found.values()) == 714


def printed(capsys, *words):
    assert main(["columns", *words]) == 0
    return capsys.readouterr().out


def test_the_command_prints_families_as_text_and_columns_as_data(capsys):
    lines = printed(capsys, "--table", "clip").splitlines()
    assert len(lines) == len(families(COLUMNS["clip"])) + 1
    assert lines[0].split() == ["column", "number", "unit", "decimals", "group", "meaning"]
    rows = list(csv.DictReader(printed(capsys, "--table", "image", "--format", "csv").splitlines()))
    assert len(rows) == 711
    assert rows[1] == {"name": "confidence", "kind": "float", "decimals": "3", "unit": "0 to 1", "group": "",
                       "meaning": "how much the landmark validator trusts the landmarks"}  # fmt: skip
    data = json.loads(printed(capsys, "--format", "json"))
    assert [entry["name"] for entry in data] == [column.name for column in auparity.columns()]


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")
def test_the_page_of_columns_is_what_the_command_prints(capsys):
    text = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert printed(capsys, "--format", "markdown") in text, "put what `auparity columns --format markdown` prints there"


def test_a_data_frame_of_them_needs_no_more_than_their_list():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(auparity.columns("clip"))
    assert frame.shape == (714, 7)
    assert frame.set_index("name").loc["timestamp", "unit"] == "s"
