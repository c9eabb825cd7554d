"""Data sets of results at addresses, at addresses: the same rows as here, and only what has changed is copied."""

from __future__ import annotations

import shutil

import pytest

from auparity.cli import main
from auparity.dataset import mirrors
from auparity.extraction import stores
from auparity.parity_tests.unit.helpers.result_folders import write_result
from auparity.parity_tests.unit.helpers.s3_server import s3_bucket

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
FAILED = b'{"input": "x.mp4", "name": "x", "status": "failed", "date": "2026-11-30", "auparity": "1", "reason": "no"}\n'


@pytest.fixture
def memory():
    """fsspec's memory, emptied."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def results(memory, tmp_path):
    """Two tables, what else an output folder has, and a record of failures at memory://study/results."""
    for seed, name in enumerate(("a", "sub/b")):
        write_result(tmp_path / "out", name, 3 + seed, seed=seed)
    (tmp_path / "out" / "a.tracked.webm").write_bytes(b"a video")
    (tmp_path / "out" / "a_aligned").mkdir()
    (tmp_path / "out" / "a_aligned" / "frame.parquet").write_bytes(b"no table")
    (tmp_path / "out" / "a_aligned" / "frame.parquet.json").write_bytes(b"no sidecar")
    (tmp_path / "out" / ".auparity-failures").mkdir()
    (tmp_path / "out" / ".auparity-failures" / "1.jsonl").write_bytes(FAILED)
    memory.put(str(tmp_path / "out"), "/study/results", recursive=True)
    return "memory://study/results"


@pytest.fixture
def copied(monkeypatch):
    """Names of the files that were copied, from and to the store."""
    names = {"fetch": [], "put": []}
    fetch, put = stores.fetch, stores.put
    monkeypatch.setattr(stores, "fetch", lambda address, file: (names["fetch"].append(address), fetch(address, file)))
    monkeypatch.setattr(stores, "put", lambda file, address: (names["put"].append(address), put(file, address)))
    return names


def rows(folder):
    return parquet.read_table(folder / "frames").to_pandas()


def test_the_rows_are_those_of_folders_here_and_tables_are_named_by_their_addresses(results, tmp_path, copied):
    assert main(["dataset", results, "-o", str(tmp_path / "there")]) == 0
    assert sorted(name.removeprefix(results) for name in copied["fetch"]) == [
        "/.auparity-failures/1.jsonl", "/a.parquet", "/a.parquet.json", "/sub/b.parquet", "/sub/b.parquet.json",
    ]  # fmt: skip
    assert main(["dataset", str(tmp_path / "out"), "-o", str(tmp_path / "here")]) == 0
    assert rows(tmp_path / "there").equals(rows(tmp_path / "here"))
    tables = parquet.read_table(tmp_path / "there" / "clips.parquet")["table"].to_pylist()
    assert tables == [f"{results}/a.parquet", f"{results}/sub/b.parquet"]
    assert parquet.read_table(tmp_path / "there" / "failures.parquet")["input"].to_pylist() == ["x.mp4"]


def test_with_scratch_only_what_has_changed_is_fetched_and_put(results, memory, tmp_path, copied, capsys):
    command = ["dataset", results, "-o", "memory://study/data", "--scratch", str(tmp_path / "scratch"), "--rows", "1"]
    assert main(command) == 0
    assert "memory://study/data: 7 rows of 2 clips in 2 files (2 written, 0 kept)" in capsys.readouterr().out
    assert [name.rpartition("/")[2] for name in copied["put"][-3:]] == list(mirrors.SMALL)
    first = memory.find("/study/data")
    copied["fetch"].clear(), copied["put"].clear()
    assert main(command) == 0
    assert copied["fetch"] == []
    assert [name.rpartition("/")[2] for name in copied["put"]] == list(mirrors.SMALL)
    assert memory.find("/study/data") == first
    write_result(tmp_path / "more", "c", 2, seed=7)
    for name in ("c.parquet", "c.parquet.json"):
        memory.put_file(str(tmp_path / "more" / name), f"/study/results/{name}")
    memory.rm("/study/results/a.parquet")
    copied["put"].clear()
    assert main(command) == 0
    assert sorted(name.rpartition("/")[2] for name in copied["fetch"]) == ["c.parquet", "c.parquet.json"]
    assert len(copied["put"]) == 1 + len(mirrors.SMALL)
    shutil.rmtree(tmp_path / "scratch")
    memory.get("/study/data", str(tmp_path / "data"), recursive=True)
    assert sorted(set(rows(tmp_path / "data")["clip"])) == ["c", "sub/b"]


def test_without_scratch_a_data_set_at_an_address_is_brought_up_to_date_as_well(results, memory, tmp_path, capsys):
    command = ["dataset", results, "-o", "memory://study/results/data"]  # below the results: it is no result
    assert main(command) == 0
    assert main(command) == 0
    assert "(0 written, 1 kept)" in capsys.readouterr().out
    assert main(["dataset", results, "-o", results]) == 1
    assert "a folder of its own" in capsys.readouterr().err


def test_a_killed_run_leaves_rows_that_the_next_one_removes(results, memory, tmp_path, monkeypatch):
    command = ["dataset", results, "-o", "memory://study/data"]
    put = stores.put

    def stopped(file, address):
        if address.endswith("clips.parquet"):
            raise KeyboardInterrupt
        put(file, address)

    with monkeypatch.context() as patch:
        patch.setattr(stores, "put", stopped)
        assert main(command) == 130
    assert any("/frames/" in path for path in memory.find("/study/data"))
    memory.rm("/study/results/a.parquet")
    assert main(command) == 0
    memory.get("/study/data", str(tmp_path / "data"), recursive=True)
    assert set(rows(tmp_path / "data")["clip"]) == {"sub/b"}


def test_what_cannot_serve_is_said(results, memory, tmp_path, capsys):
    memory.pipe_file("/other/things.txt", b"mine")
    assert main(["dataset", results, "-o", "memory://other"]) == 1
    assert "memory://other: holds other things and no data set" in capsys.readouterr().err
    assert main(["dataset", "https://host/results", "-o", str(tmp_path / "data")]) == 1
    assert "a web server has no folders" in capsys.readouterr().err
    assert main(["dataset", results, "-o", "https://host/data"]) == 1
    assert "nothing can be written to a web server" in capsys.readouterr().err
    assert main(["dataset", "memory://nothing/here", "-o", str(tmp_path / "data")]) == 1
    assert "memory://nothing/here" in capsys.readouterr().err


def test_from_s3_to_s3(tmp_path, copied, capsys):
    with s3_bucket() as bucket:
        write_result(tmp_path / "out", "a", 3)
        fsspec.filesystem("s3").put(str(tmp_path / "out"), "bucket/results", recursive=True)
        command = ["dataset", f"{bucket}/results", "-o", f"{bucket}/data", "--scratch", str(tmp_path / "scratch")]
        assert main(command) == 0
        copied["fetch"].clear()
        assert main(command) == 0
        assert copied["fetch"] == []
        assert "(0 written, 1 kept)" in capsys.readouterr().out
        fsspec.filesystem("s3").get("bucket/data", str(tmp_path / "data"), recursive=True)
        assert len(rows(tmp_path / "data")) == 3
