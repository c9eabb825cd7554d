"""`auparity convert-table`: one command for every format, which refuses what makes no sense."""

from __future__ import annotations

import csv
import json

import pytest

from auparity.cli import main
from auparity.parity_tests.unit.helpers.tables import face_table, people_table


@pytest.fixture
def table(tmp_path):
    """A clip whose third frame is lost, and in whose fourth confidence is low."""
    path = tmp_path / "face.csv"
    face_table([1, 1, 1, 1, 0, 1], success=[1, 1, 0, 1, 1, 1], confidence=[0.9, 0.9, 0.9, 0.2, 0.9, 0.9]).write(path)
    return path


def convert(table, name, *options):
    """The exit status and where the output is."""
    out = table.with_name(name)
    return main(["convert-table", str(table), str(out), *options]), out


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_with_chosen_columns_and_empty_cells(table, capsys):
    status, out = convert(table, "out.csv", "--columns", "AU12, pose", "--min-confidence", "0.5")
    assert status == 0
    assert capsys.readouterr().out == f"{out}: 6 rows, 8 columns\n"
    assert [row["AU12_c"] for row in rows(out)] == ["1.00", "1.00", "", "", "0.00", "1.00"]
    assert [*rows(out)[0]][-3:] == ["pose_Rx", "AU12_r", "AU12_c"]


def test_a_table_in_long_form_without_failed_frames(table):
    status, out = convert(table, "long.csv", "--long", "--missing", "drop", "--columns", "AU12")
    assert status == 0
    assert [(row["frame"], row["au"], row["presence"]) for row in rows(out)] == [
        (frame, "AU12", presence) for frame, presence in zip("12456", "11101", strict=True)
    ]


def test_a_table_at_another_rate(table):
    status, out = convert(table, "fast.csv", "--rate", "20", "--how", "linear")
    assert status == 0
    assert len(rows(out)) == 11
    assert [row["success"] for row in rows(out)] == list("11100011111")
    status, out = convert(table, "short.csv", "--rate", "20", "--how", "nearest", "--missing", "drop")
    assert {row["success"] for row in rows(out)} == {"1"}


def test_parquet_and_back(table):
    pytest.importorskip("pyarrow")
    assert convert(table, "face.parquet")[0] == 0
    status, again = convert(table.with_suffix(".parquet"), "again.csv")
    assert status == 0
    assert again.read_bytes() == table.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "first"), [("eaf", "<?xml"), ("srt", "1\n"), ("vtt", "WEBVTT\n"), ("tsv", "onset\t")]
)
def test_episodes_in_every_format(suffix, first, table, capsys):
    status, out = convert(table, f"face_events.{suffix}", "--join", "0.1")
    assert status == 0
    assert out.read_text(encoding="utf-8").startswith(first)
    assert capsys.readouterr().out.endswith(": 1 episode\n")


def test_episodes_are_chosen_by_the_options(table):
    options = ["--threshold", "1", "--min-duration", "0.15", "--aus", "AU12", "--min-confidence", "0.5"]
    assert convert(table, "x_events.tsv", *options)[0] == 0
    lines = table.with_name("x_events.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[:3] for line in lines[1:]] == [["0.000", "0.200", "AU12"]]
    assert json.loads(table.with_name("x_events.json").read_text(encoding="utf-8"))["onset"]["Units"] == "s"


def test_several_people_keep_their_numbers(tmp_path):
    path = tmp_path / "group.csv"
    people_table([[1, 0], [0, 1]]).write(path)
    status, out = convert(path, "group.vtt")
    assert status == 0
    text = out.read_text(encoding="utf-8")
    assert "<v person 0>AU12" in text
    assert "<v person 1>AU12" in text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("x.xlsx", [], "its suffix says none of .csv (CSV)"),
        ("x.srt", ["--rate", "5"], "--rate has no meaning for"),
        ("x.eaf", ["--long"], "--long has no meaning for"),
        ("x.csv", ["--min-duration", "0"], "--min-duration has no meaning for"),
        ("x.srt", ["--media", "a.mp4"], "--media goes with ELAN's .eaf only"),
        ("x.csv", ["--how", "mean"], "--how goes with --rate only"),
        ("x.csv", ["--rate", "5", "--missing", "keep"], "--missing keep does not go with --rate"),
        ("x.csv", ["--columns", "AU13"], "no column, AU or group 'AU13'"),
        ("x.csv", ["--missing", "keep", "--min-confidence", "0.5"], 'does not go with missing="keep"'),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(name, options, message, table, capsys):
    status, out = convert(table, name, *options)
    assert status == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_nothing_is_replaced_without_being_told(table, capsys):
    assert convert(table, "x_events.tsv")[0] == 0
    table.with_name("x_events.tsv").unlink()
    assert convert(table, "x_events.tsv")[0] == 1, "its .json is there"
    assert "x_events.json exists. Use --overwrite" in capsys.readouterr().err
    assert convert(table, "x_events.tsv", "--overwrite")[0] == 0
    before = table.read_bytes()
    assert convert(table, table.name, "--overwrite")[0] == 1
    assert "would be written over the table that is read" in capsys.readouterr().err
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    "options", [["--min-confidence", "1.5"], ["--rate", "0"], ["--join", "-1"], ["--missing", "x"]]
)
def test_numbers_out_of_range_are_wrong_usage(options, table):
    with pytest.raises(SystemExit) as ended:
        convert(table, "x.csv", *options)
    assert ended.value.code == 2
