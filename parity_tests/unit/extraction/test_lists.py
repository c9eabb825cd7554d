"""Lists of inputs: names and labels from text, CSV, TSV and Parquet; and what they refuse."""

from __future__ import annotations

import pytest

from auparity.errors import FileFormatError
from auparity.extraction.inputs import find_inputs
from auparity.extraction.jobs import plan_jobs
from auparity.extraction.lists import Listed, read_list
from auparity.parity_tests.unit.helpers.fake_pipeline import write_video


def written(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_a_text_names_one_input_a_line(tmp_path):
    source = written(tmp_path, "clips.txt", "\ufeffa b.mp4\r\n\n# a remark\n/data/c.mp4\ns3://bucket/d.mp4\n")
    assert read_list(source) == [Listed(f"{tmp_path}/a b.mp4"), Listed("/data/c.mp4"), Listed("s3://bucket/d.mp4")]


@pytest.mark.parametrize(("suffix", "comma"), [(".csv", ","), (".tsv", "\t")])
def test_a_table_has_labels_too(suffix, comma, tmp_path):
    rows = [["subject", "path", "note"], ["P01", "a.mp4", ' "x, y" '.strip()], ["P02", " b.mp4 ", ""]]
    source = written(tmp_path, f"clips{suffix}", "\n".join(comma.join(row) for row in rows) + "\n")
    first, second = read_list(source)
    assert first == Listed(f"{tmp_path}/a.mp4", {"subject": "P01", "note": "x, y"})
    assert second == Listed(f"{tmp_path}/b.mp4", {"subject": "P02"})


def test_a_parquet_table(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.table({"path": ["a.mp4", "/b.mp4"], "session": [1, None]})
    parquet.write_table(table, tmp_path / "clips.parquet")
    listed = read_list(str(tmp_path / "clips.parquet"))
    assert listed == [Listed(f"{tmp_path}/a.mp4", {"session": "1"}), Listed("/b.mp4")]
    with pytest.raises(FileFormatError, match="Parquet"):
        read_list(written(tmp_path, "bad.parquet", b"PAR1 nothing"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "file,subject\na.mp4,1\n", "one of them `path`"),
        ("a.csv", "", "one of them `path`"),
        ("a.csv", "path,path\na,b\n", "different names"),
        ("a.csv", "path,subject\na.mp4\n", "as many fields"),
        ("a.csv", "path,subject\na.mp4,1,2\n", "as many fields"),
        ("a.csv", 'path\n"a\n', "table"),
        ("a.csv", "path,subject\n ,1\n", "a name in the column"),
        ("a.txt", b"\xff\xfe", "UTF-8"),
        ("a.txt", b"a\0b", "NUL"),
    ],
)
def test_what_is_no_list_is_refused(name, text, said, tmp_path):
    with pytest.raises(FileFormatError, match=said):
        read_list(written(tmp_path, name, text))


def test_a_missing_list_is_our_error(tmp_path):
    with pytest.raises(FileFormatError):
        read_list(str(tmp_path / "none.csv"))


def test_labels_name_tables_and_the_first_of_two_entries_counts(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.avi", 2)
    listed = [Listed(str(tmp_path / f"{name}.avi"), {"subject": f"P{name}"}) for name in ("a", "b", "a")]
    jobs, _ = plan_jobs(find_inputs([], listed=listed), template="{subject}/{stem}")
    assert [(job.name, dict(job.origin.labels)) for job in jobs] == [
        ("Pa/a", {"subject": "Pa"}), ("Pb/b", {"subject": "Pb"}),
    ]  # fmt: skip
