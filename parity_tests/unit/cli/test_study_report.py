"""`auparity report` of folders: one page of the study, which links the pages of clips that exist."""

from __future__ import annotations

import json
import re

import pytest

from auparity.cli import main
from auparity.extraction import stores
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images
from auparity.parity_tests.unit.helpers.rendered_truth import FRAMES, describe, write_results
from auparity.parity_tests.unit.helpers.result_folders import write_result


def document(page):
    return json.loads(re.search(r'id="document">(.*?)</script>', page.read_text()).group(1))


def extracted(folder, name):
    """A clip whose frames are there, so that it can have a page."""
    frames = write_images(folder.parent / "in" / name, FRAMES, size=(160, 120))
    table = folder / f"{name}.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    describe(write_results(table), input={"path": str(frames), "kind": "images"}, frames=FRAMES)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    extracted(folder, "a")
    extracted(folder, "deep/b c#d")
    return folder


def test_a_folder_gets_a_page_of_the_study_that_links_its_clips(out, capsys):
    assert main(["report", str(out)]) == 0
    assert f"Look at {out / 'study.html'}" in capsys.readouterr().out
    columns = document(out / "study.html")["columns"]
    assert columns["clip"] == ["a", "deep/b c#d"]
    assert columns["page"] == ["a.html", "deep/b%20c%23d.html"]
    assert (out / "deep" / "b c#d.html").is_file()
    assert columns["frames"] == [FRAMES, FRAMES]


def test_clips_need_no_pages(out, tmp_path):
    page = tmp_path / "elsewhere.html"
    assert main(["report", str(out), "--no-clip-pages", "-o", str(page)]) == 0
    assert document(page)["columns"]["page"] == [None, None]
    assert not list(out.rglob("*.html"))


def test_links_are_there_after_an_interruption(out, monkeypatch, capsys):
    from auparity.cli import clip_report

    report, made = clip_report.report_clip, []

    def interrupted(table, **options):
        if made:
            raise KeyboardInterrupt
        made.append(report(table, **options))
        return made[0]

    monkeypatch.setattr(clip_report, "report_clip", interrupted)
    assert main(["report", str(out)]) == 130
    assert document(out / "study.html")["columns"]["page"] == ["a.html", None]
    assert "interrupted" in capsys.readouterr().err


def test_folders_at_addresses_give_the_same_page_here(tmp_path, monkeypatch, capsys):
    fsspec = pytest.importorskip("fsspec")
    pytest.importorskip("pyarrow")
    for seed, name in enumerate(("a", "sub/b")):
        write_result(tmp_path / "out", name, 3 + seed, seed=seed)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "out"), "/study/results", recursive=True)
    monkeypatch.chdir(tmp_path)
    try:
        assert main(["report", "memory://study/results"]) == 0
        assert "Look at study.html" in capsys.readouterr().out
        assert main(["report", "out", "--no-clip-pages", "-o", "here.html"]) == 0
        there, here = document(tmp_path / "study.html"), document(tmp_path / "here.html")
        assert (there.pop("name"), here.pop("name")) == ("results", "out")
        assert there == here
        text = (tmp_path / "study.html").read_text()
        assert "auparity report memory://study/results" in text
        assert "auparity-copy" not in text
        # A data set, and with it copies that are kept.
        assert main(["dataset", "out", "-o", "memory://study/data", "--quiet"]) == 0
        command = ["report", "memory://study/data", "-o", "data.html", "--scratch", "scratch"]
        assert main(command) == 0
        assert document(tmp_path / "data.html")["columns"]["clip"] == ["a", "sub/b"]
        fetched = []
        monkeypatch.setattr(stores, "fetch", lambda address, file: fetched.append(address))
        assert main(command) == 0
        assert fetched == []
        # A table that is damaged is named by its address, and so is a folder without any.
        memory.pipe_file("/study/results/a.parquet", b"no table")
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        assert main(["report", "memory://study/results"]) == 1
        assert "memory://study/results/a.parquet" in capsys.readouterr().err
        assert "auparity-copy" not in (tmp_path / "study.html").read_text()
        memory.pipe_file("/study/empty/notes.txt", b"")
        assert main(["report", "memory://study/empty"]) == 1
        assert "memory://study/empty: holds no table of `auparity extract`" in capsys.readouterr().err
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "parity.json"])
def test_single_files_at_addresses_are_refused_with_what_to_do(name, capsys):
    assert main(["report", f"s3://bucket/results/{name}"]) == 1
    said = capsys.readouterr().err
    assert "only folders and data sets are read from addresses" in said
    assert "name the folder" in said


def test_labels_of_a_list_are_joined(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("path,subject,condition\nin/a,P1,rest\nin/deep/b c#d,P2,talk\n")
    assert main(["report", str(out), "--no-clip-pages", "--labels", str(tmp_path / "labels.csv")]) == 0
    labelled = document(out / "study.html")["labelled"]
    assert labelled == {"subject": ["P1", "P2"], "condition": ["rest", "talk"]}
    assert "auparity report out --labels labels.csv" in (out / "study.html").read_text()
    assert main(["report", str(out), "--no-clip-pages", "--labels", "labels.csv", "--within", "condition"]) == 0
    assert "with the same condition" in (out / "study.html").read_text()


@pytest.mark.parametrize(("file", "text"), [("a.csv", "a,b\n1,2\n"), ("a.csv.json", '{"auparity": 1')])
def test_a_table_that_cannot_be_used_is_named_and_on_the_page(out, capsys, file, text):
    (out / file).write_text(text)
    assert main(["report", str(out)]) == 1
    said = capsys.readouterr().err
    if file == "a.csv.json":  # for the study and for the clip's own page it is the same message
        assert len(re.findall(r"error: .*a\.csv", said)) == 1
    assert "a.csv" in said
    assert "1 of 2 tables could not be reported on" in said
    assert "not usable" in (out / "study.html").read_text()
    assert document(out / "study.html")["columns"]["clip"] == ["deep/b c#d"]


def test_a_data_set_gets_a_page(tmp_path):
    pytest.importorskip("pyarrow")
    for number, name in enumerate(("one", "two")):
        write_result(tmp_path / "out", name, 6, seed=number, labels={"subject": f"0{number}"})
    (tmp_path / "out" / "one.html").write_text("a page")
    assert main(["dataset", str(tmp_path / "out"), "-o", str(tmp_path / "data"), "--quiet"]) == 0
    assert main(["report", str(tmp_path / "data")]) == 0
    told = document(tmp_path / "data" / "study.html")
    assert told["columns"]["page"] == ["../out/one.html", None]
    assert told["labelled"] == {"subject": ["00", "01"]}
    # The page is no part of the data set, and does not keep it from being brought up to date.
    assert main(["dataset", str(tmp_path / "out"), "-o", str(tmp_path / "data"), "--quiet"]) == 0
    assert (tmp_path / "data" / "study.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out/a.csv", "--labels", "x.csv"], "name folders of tables"),
        (["out/a.csv", "-o", "x.html"], "-o names the page of a study"),
        (["out", "--no-clip-pages", "--within", "age"], "no clip has this label; there are none at all"),
        (["data", "out"], "is a data set; report on it alone"),
        (["empty"], "holds no table"),
        (["out", "--no-clip-pages", "-o", "out/a.html"], "is the page of a clip"),
    ],
)
def test_what_cannot_be_done_is_said(out, tmp_path, monkeypatch, capsys, words, message):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 1
    assert message in capsys.readouterr().err


def test_names_and_labels_are_text(tmp_path):
    write_result(tmp_path / "out", "x<b>", 3, table_format="csv", labels={"</script>": "<img src=x>"})
    assert main(["report", str(tmp_path / "out"), "--no-clip-pages"]) == 0
    page = (tmp_path / "out" / "study.html").read_text()
    assert "<img" not in page
    assert document(tmp_path / "out" / "study.html")["labels"] == ["</script>"]
