"""The one-liners of docs/dataset.md, each on a data set with folders and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auparity.dataset.build import Wish, build
from auparity.dataset.progress import QuietProgress
from auparity.parity_tests.unit.helpers.result_folders import write_result

pytest.importorskip("pyarrow")

PAGE = Path(__file__).resolve().parents[3] / "docs" / "dataset.md"


@pytest.fixture(scope="module", params=["none", "clip", "subject"])
def place(request, tmp_path_factory):
    """A folder with the data set `study`: two clips of each of three subjects called 01, 02, 03."""
    folder = tmp_path_factory.mktemp(request.param)
    for number in range(6):
        subject = f"{number // 2 + 1:02}"
        write_result(
            folder / "out", f"{subject}/clip {number}", 4, seed=number, labels={"subject": subject}, columns=None
        )
    build([folder / "out"], folder / "study", Wish(request.param), QuietProgress())
    return folder


def line_of(reader):
    """What the page says for a reader."""
    if not PAGE.is_file():
        pytest.skip("installed without its documentation")
    (line,) = re.findall(rf"^\| {reader} \| `(.+?)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return line.replace("\\|", "|")


def run(reader, place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {}
    *before, last = [part.strip() for part in line_of(reader).split(";")]
    exec("\n".join(before), names)
    return eval(last, names)


@pytest.fixture
def expected(place):
    """Mean intensity of AU12 where the face was tracked, by subject."""
    parquet = pytest.importorskip("pyarrow.parquet")
    sums: dict = {}
    for path in sorted((place / "out").rglob("*.parquet")):
        table = parquet.read_table(path).to_pydict()
        sums.setdefault(path.parent.name, []).extend(
            value for value, success in zip(table["AU12_r"], table["success"], strict=True) if success
        )
    return {subject: sum(values) / len(values) for subject, values in sums.items()}


def test_pandas(place, expected, monkeypatch):
    pytest.importorskip("pandas")
    assert run("pandas", place, monkeypatch).to_dict() == pytest.approx(expected)


def test_polars(place, expected, monkeypatch):
    pytest.importorskip("polars")
    assert dict(run("Polars", place, monkeypatch).rows()) == pytest.approx(expected)


def test_duckdb(place, expected, monkeypatch):
    pytest.importorskip("duckdb")
    assert dict(run("DuckDB", place, monkeypatch).fetchall()) == pytest.approx(expected)


def test_duckdb_tells_landmarks_in_space_from_those_in_the_image(place, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(place)
    flat, deep = duckdb.sql("SELECT x_0, X_3d_0 FROM 'study/frames/**/*.parquet' LIMIT 1").fetchall()[0]
    assert flat != deep
    names = duckdb.sql("SELECT * FROM 'study/frames/**/*.parquet' LIMIT 1").columns
    assert not [name for name in names if name.endswith("_1_1") or name.endswith("_0_1")]


def test_the_table_of_clips_joins_the_rows(place, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(place)
    clips, frames = pandas.read_parquet("study/clips.parquet"), pandas.read_parquet("study/frames")
    joined = frames.merge(clips[["clip", "fps"]], on="clip")
    assert len(joined) == len(frames) == clips["rows"].sum()
