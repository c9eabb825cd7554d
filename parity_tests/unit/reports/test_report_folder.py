"""A folder of tables, some of them odd: good ones get their pages, odd ones are named, and names are only text."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from auparity.cli import main
from auparity.errors import FileFormatError, VariantUnavailable
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images
from auparity.parity_tests.unit.helpers.rendered_truth import FRAMES, describe, write_results
from auparity.reports.clips.page import write_page
from auparity.reports.clips.sidecar import CHANGED, read_sidecar, sidecar_of
from auparity.reports.clips.table import IN_SPACE, read_result_table
from auparity.reports.markdown import code, plain


def extracted(folder, name="clip", **facts):
    """A clip's table with its sidecar, and its frames in a folder of their own."""
    frames = write_images(folder / "in" / name, FRAMES, size=(160, 120))
    table = write_results(folder / f"{name}.csv")
    describe(table, **{"input": {"path": str(frames), "kind": "images"}, **facts})
    return table


def as_parquet(table):
    """The same table as a Parquet file, with its own sidecar; the CSV file goes."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = table.with_suffix(".parquet")
    parquet.write_table(pyarrow.table(read_result_table(table).columns), path)
    describe(path, input=json.loads(sidecar_of(table).read_text())["input"])
    sidecar_of(table).unlink()
    table.unlink()
    return path


def without_a_face(table):
    """Say of every row that no face was found."""
    head, *rows = (line.split(",") for line in table.read_text().splitlines())
    for row in rows:
        row[head.index("success")] = "0"
    table.write_text("\n".join(",".join(row) for row in [head, *rows]))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("odd.csv", b"frame,x_0\n1,2\n"),
        ("odd.csv", b"\xff\xfe\0\0"),
        ("odd.csv", b""),
        ("odd.csv.json", b"[" * 100_000),
        ("odd.csv.json", b'{"auparity": "1", "input": 3}'),
        ("odd.csv.json", b'{"auparity": "1", "input": {"path": "' + b"x" * 5000 + b'"}}'),
    ],
)
def test_one_odd_table_does_not_cost_the_others_their_pages(tmp_path, capsys, file, damage):
    for name in ("a", "odd", "z"):
        extracted(tmp_path, name)
    (tmp_path / file).write_bytes(damage)
    assert main(["report", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "odd.csv" in said
    assert "1 of 3 tables could not be reported on" in said
    assert (tmp_path / "a.html").is_file()
    assert (tmp_path / "z.html").is_file()
    assert not (tmp_path / "odd.html").exists()


def test_a_parquet_table_is_reported_on_as_a_csv_table_is(tmp_path):
    table = as_parquet(extracted(tmp_path))
    assert len(read_result_table(table)) == FRAMES
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "clip.html").is_file()


def test_tables_of_one_name_in_two_formats_get_two_pages(tmp_path):
    as_parquet(extracted(tmp_path))
    extracted(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "clip.html").is_file()
    assert (tmp_path / "clip.parquet.html").is_file()


def test_without_pyarrow_a_parquet_table_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "clip.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(VariantUnavailable, match=r"auparity\[parquet\]"):
        read_result_table(tmp_path / "clip.parquet")


def test_a_damaged_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "clip.parquet").write_bytes(b"PAR1" + b"\0" * 40 + b"PAR1")
    with pytest.raises(FileFormatError, match=r"\(Parquet\)"):
        read_result_table(tmp_path / "clip.parquet")


def test_columns_are_found_by_name_with_and_without_a_frame_name(tmp_path):
    table = write_results(tmp_path / "clip.csv")
    before = read_result_table(table).columns
    rows = [line.split(",") for line in table.read_text().splitlines()]
    at = rows[0].index("frame_name") if "frame_name" in rows[0] else None
    for row in rows:
        if at is None:
            row.insert(2, "frame_name" if row is rows[0] else "x.png")
        else:
            del row[at]
    table.write_text("\n".join(",".join(row) for row in rows))
    after = read_result_table(table).columns
    assert list(after) == list(before)
    assert all(np.array_equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_are_left_out_cost_the_others_nothing(tmp_path, kind):
    table = extracted(tmp_path) if kind == "csv" else as_parquet(extracted(tmp_path))
    whole, part = read_result_table(table).columns, read_result_table(table, left_out=IN_SPACE).columns
    assert len(whole) - len(part) == 3 * (68 + 56)
    assert {name for name in whole if name not in part} == {
        *(f"{axis}_{k}" for axis in "XYZ" for k in range(68)),
        *(f"eye_lmk_{axis}_{k}" for axis in "XYZ" for k in range(56)),
    }
    assert all(np.array_equal(part[name], whole[name]) for name in part)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-1e7", "", "x"])
def test_a_landmark_that_is_no_place_in_a_picture_is_refused(tmp_path, value):
    table = write_results(tmp_path / "clip.csv")
    lines = table.read_text().splitlines()
    cells = lines[2].split(",")
    cells[lines[0].split(",").index("x_7")] = value
    lines[2] = ",".join(cells)
    table.write_text("\n".join(lines))
    with pytest.raises(FileFormatError, match="x_7"):
        read_result_table(table)


def test_a_sidecar_vouches_for_its_own_table_only(tmp_path):
    table = extracted(tmp_path, frames=7)
    assert read_sidecar(table)["frames"] == 7
    assert read_sidecar(table.with_suffix(".parquet")) == {}
    table.write_text(table.read_text() + "\n")
    assert "frames" not in read_sidecar(table)
    assert read_sidecar(table)["warnings"] == [CHANGED]
    sidecar_of(table).write_text('{"name": "of another program"}')
    assert read_sidecar(table) == {}


def test_a_table_of_another_program_in_a_folder_is_named_and_left_out(tmp_path, capsys):
    extracted(tmp_path, "ours")
    (tmp_path / "theirs.csv").write_text("a,b\n")
    (tmp_path / "theirs.csv.json").write_text("{}")
    (tmp_path / "folder.csv").mkdir()
    assert main(["report", str(tmp_path)]) == 0
    assert "theirs.csv: left out" in capsys.readouterr().err


def test_warnings_and_a_clip_without_a_face_stand_at_the_top_of_the_page(tmp_path):
    table = extracted(tmp_path)
    without_a_face(table)
    describe(table, warnings=["models for <rendered> faces"])
    write_page(read_result_table(table), tmp_path / "clip.html", fps=30.0)
    page = (tmp_path / "clip.html").read_text()
    assert "No face was found in this clip" in page
    assert "models for &lt;rendered&gt; faces" in page
    assert page.index("&lt;rendered&gt;") < page.index('class="tiles"')
    assert "nan" not in page.split("</style>")[1].partition("<script>")[0].lower()


def test_a_name_is_never_markup(tmp_path):
    name = "a<b>|`c`#[x](y)"
    table = extracted(tmp_path, name)
    assert main(["report", str(table)]) == 0
    page = (tmp_path / f"{name}.html").read_text()
    assert "<b>|" not in page
    assert "a&lt;b&gt;|`c`#[x](y)" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name_1-2.mp4", "plain name_1-2.mp4"),
        ("a|b", r"a\|b"),
        ("`x` *y* [z](u)", r"\`x\` \*y\* \[z\](u)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("two\nlines\t\x1b[31m", r"two lines ?\[31m"),
        ("_emphasis_ snake_case", r"\_emphasis\_ snake_case"),
        ("# heading & more", r"\# heading \& more"),
    ],
)
def test_markdown_shows_text_as_it_is(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "cell", "shown"),
    [("a b", False, "`a b`"), ("a`b", False, "``a`b``"), ("`a", False, "`` `a ``"), ("a|b\nc", True, r"`a\|b c`")],
)
def test_code_is_fenced_beyond_what_it_holds(text, cell, shown):
    assert code(text, cell) == shown
