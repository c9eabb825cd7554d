"""Inputs and outputs at addresses: fsspec's memory, an S3 server on this machine (moto), a web server, a folder."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import tempfile
import threading
from pathlib import Path

import pytest

from auparity.errors import AddressError, VariantUnavailable
from auparity.extraction import stores
from auparity.extraction.engines.serial import SerialEngine
from auparity.extraction.inputs import find_inputs
from auparity.extraction.jobs import plan_jobs
from auparity.extraction.lists import Listed
from auparity.extraction.outputs.settings import OutputSettings
from auparity.extraction.progress import QuietReporter
from auparity.extraction.remote_jobs import IN_USE, SCRATCH, scratch_folder
from auparity.extraction.types import ExtractionSettings
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_images, write_video
from auparity.parity_tests.unit.helpers.s3_server import s3_bucket

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    """fsspec's memory, emptied."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def video(folder: Path, frames: int = 3) -> bytes:
    write_video(folder / "made.avi", frames)
    return (folder / "made.avi").read_bytes()


def run(names, settings, listed=(), stop=lambda: False):
    jobs, _ = plan_jobs(find_inputs(names, listed=listed))
    return SerialEngine(FakePipeline()).run(jobs, settings, QuietReporter(), stop)


def settings_for(output, scratch, **about) -> ExtractionSettings:
    local = {"output_dir": output} if isinstance(output, Path) else {"output_address": output}
    return ExtractionSettings(**local, scratch=scratch, **about)


def test_words_tell_addresses_from_paths():
    for text in ("s3://bucket/a.mp4", "https://host/a.mp4?x=1", "memory://a", "gs://b/c"):
        assert stores.is_address(text)
    for text in ("a.mp4", "C:\\a.mp4", "camera:0", "/a://b", "folder/a:b"):
        assert not stores.is_address(text)
    assert stores.name_in("https://host/folder/a.mp4?key=x/y.avi#z") == "a.mp4"
    assert stores.name_in("s3://bucket/what?.mp4") == "what?.mp4"


def test_a_remote_clip_is_fetched_measured_and_removed(memory, tmp_path):
    memory.pipe_file("/in/a.avi", video(tmp_path))
    settings = settings_for(tmp_path / "out", tmp_path / "scratch")
    (outcome,) = run(["memory://in/a.avi"], settings)
    assert outcome.status == "done"
    assert outcome.message.startswith("memory://in/a.avi: 3 frames")
    assert outcome.input == "memory://in/a.avi"
    sidecar = json.loads((tmp_path / "out" / "a.csv.json").read_text())
    assert sidecar["input"]["path"] == sidecar["input"]["address"] == "memory://in/a.avi"
    assert sidecar["input"]["version"]
    assert list((tmp_path / "scratch").iterdir()) == []
    local = tmp_path / "local"
    run([str(tmp_path / "made.avi")], settings_for(local, None))
    assert (tmp_path / "out" / "a.csv").read_bytes() == (local / "made.csv").read_bytes()


def test_a_known_version_is_not_fetched_again(memory, tmp_path, monkeypatch):
    memory.pipe_file("/in/a.avi", video(tmp_path))
    for output in (tmp_path / "out", "memory://out"):
        settings = settings_for(output, tmp_path / "scratch")
        assert run(["memory://in/a.avi"], settings)[0].status == "done"
        with monkeypatch.context() as patch:
            patch.setattr(stores, "fetch", None)
            (again,) = run(["memory://in/a.avi"], settings)
        assert again.status == "skipped"
        assert "memory://in/a.avi: skipped" in again.message
    memory.pipe_file("/in/a.avi", video(tmp_path, 5))  # another content
    for output in (tmp_path / "out", "memory://out"):
        (changed,) = run(["memory://in/a.avi"], settings_for(output, tmp_path / "scratch"))
        assert changed.status == "failed"
        assert "another version of it (memory://in/a.avi)" in changed.message
        assert SCRATCH not in changed.message
        (done,) = run(["memory://in/a.avi"], settings_for(output, tmp_path / "scratch", overwrite=True))
        assert done.rows == 5


def test_outputs_are_put_at_an_address_the_table_last(memory, tmp_path, monkeypatch):
    memory.pipe_file("/in/p 1/a.avi", video(tmp_path))
    written = []
    put = stores.put
    monkeypatch.setattr(stores, "put", lambda file, address: (written.append(address), put(file, address)))
    settings = settings_for("memory://out/run", tmp_path / "scratch", outputs=OutputSettings(details=True))
    (outcome,) = run(["memory://in/p 1/*.avi"], settings)
    assert outcome.status == "done", outcome.message
    assert outcome.message.endswith("-> memory://out/run/a.csv")
    names = ["memory://out/run/a_of_details.txt", "memory://out/run/a.csv.json", "memory://out/run/a.csv"]
    assert written == names
    assert stores.files_below("memory://out/run", recursive=True) == sorted(names)
    assert run(["memory://in/p 1/a.avi"], settings)[0].status == "skipped"
    stores.remove("memory://out/run/a_of_details.txt")
    (lost,) = run(["memory://in/p 1/a.avi"], settings)
    assert lost.status == "failed"
    assert "a_of_details.txt is no longer there" in lost.message


def test_what_an_interruption_leaves_is_put_in_place_and_replaced_later(memory, tmp_path):
    memory.pipe_file("/in/a.avi", video(tmp_path, 6))
    settings = settings_for("memory://out", tmp_path / "scratch")
    looks = iter(range(100))
    (outcome,) = run(["memory://in/a.avi"], settings, stop=lambda: next(looks) > 4)
    assert outcome.status == "interrupted"
    assert stores.look("memory://out/a.incomplete.csv")
    assert stores.look("memory://out/a.csv") is None
    assert run(["memory://in/a.avi"], settings)[0].status == "done"
    found = [stores.name_in(each) for each in stores.files_below("memory://out", recursive=True)]
    assert found == ["a.csv", "a.csv.json"]


def test_a_fetch_that_is_interrupted_writes_nothing(memory, tmp_path):
    memory.pipe_file("/in/a.avi", video(tmp_path))
    jobs, _ = plan_jobs(find_inputs(["memory://in/a.avi"]))
    asked = iter([False, True, True])
    (outcome,) = SerialEngine(FakePipeline()).run(
        jobs, settings_for(tmp_path / "out", tmp_path / "scratch"), QuietReporter(), lambda: next(asked)
    )
    assert outcome.status == "interrupted"
    assert not (tmp_path / "out").exists()


def test_a_local_input_can_have_its_table_at_an_address(memory, tmp_path):
    write_images(tmp_path / "frames", 2)
    settings = settings_for("memory://out", tmp_path / "scratch")
    assert run([str(tmp_path / "frames")], settings)[0].status == "done"
    assert run([str(tmp_path / "frames")], settings)[0].status == "skipped"
    assert json.loads(stores.read("memory://out/frames.csv.json"))["input"]["path"] == str(tmp_path / "frames")


def test_what_is_not_there_fails_by_itself(memory, tmp_path):
    memory.pipe_file("/in/a.avi", video(tmp_path))
    memory.pipe_file("/in/notes.txt", b"x")
    settings = settings_for(tmp_path / "out", tmp_path / "scratch")
    first, second, third = run(["memory://in/none.mp4", "memory://in/a.avi", "memory://in/*.mkv"], settings)
    assert [each.status for each in (first, second, third)] == ["failed", "done", "failed"]
    assert "memory://in/none.mp4: there is no such file" in first.message
    assert "no file matches" in third.message


def test_a_damaged_remote_clip_is_called_by_its_address(memory, tmp_path):
    memory.pipe_file("/in/a.avi", b"no video at all")
    for output in (tmp_path / "out", "memory://out"):
        (outcome,) = run(["memory://in/a.avi"], settings_for(output, tmp_path / "scratch"))
        assert outcome.status == "failed"
        assert "memory://in/a.avi" in outcome.message
        assert SCRATCH not in outcome.message


def test_what_is_said_of_a_clip_that_breaks_off_names_its_address(memory, tmp_path):
    whole = video(tmp_path, 20)
    memory.pipe_file("/in/a.avi", whole[: len(whole) * 2 // 3])
    for output in (tmp_path / "out", "memory://out"):
        (outcome,) = run(["memory://in/a.avi"], settings_for(output, tmp_path / "scratch"))
        assert outcome.status == "incomplete"
        here, there = tmp_path / "out" / "a.incomplete.csv.json", "memory://out/a.incomplete.csv.json"
        text = here.read_text() if isinstance(output, Path) else stores.read(there).decode()
        assert json.loads(text)["reason"]
        assert SCRATCH not in text


def test_a_folder_means_its_videos_and_images(memory, tmp_path):
    for name in ("/in/a.mp4", "/in/b.txt", "/in/c.JPG", "/in/below/d.mkv"):
        memory.pipe_file(name, b"x")
    shallow = find_inputs(["memory://in"])
    assert [(each.kind, each.address) for each in shallow] == [
        ("clip", "memory://in/a.mp4"), ("photograph", "memory://in/c.JPG"),
    ]  # fmt: skip
    deep = find_inputs(["memory://in"], recursive=True)
    assert len(deep) == 3
    memory.mkdir("/empty")
    assert find_inputs(["memory://empty"])[0].kind == "problem"


def test_labels_of_a_list_reach_the_sidecar_and_are_mended_there(memory, tmp_path):
    memory.pipe_file("/in/a.avi", video(tmp_path))
    for output in (tmp_path / "out", "memory://out"):
        settings = settings_for(output, tmp_path / "scratch")
        for subject, status in (("P01", "done"), ("P02", "skipped")):
            (outcome,) = run([], settings, [Listed("memory://in/a.avi", {"subject": subject})])
            assert outcome.status == status
            text = stores.read("memory://out/a.csv.json") if isinstance(output, str) else None
            content = json.loads(text or (tmp_path / "out" / "a.csv.json").read_bytes())
            assert content["labels"] == {"subject": subject}


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(VariantUnavailable, match=r"auparity\[remote\]"):
        stores.look("s3://bucket/a")


def test_scratch_of_killed_programs_is_removed_and_of_running_ones_is_not(tmp_path):
    killed = tmp_path / f"{SCRATCH}killed"
    killed.mkdir()
    (killed / f"scratch.0000{IN_USE}").touch()
    with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
        assert not killed.exists()
        assert first.is_dir()
        assert second.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_file_address_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    source = tmp_path / "a.txt"
    source.write_text("text")
    address = f"file://{tmp_path}/out/a.txt"
    stores.put(source, address)
    assert (tmp_path / "out" / "a.txt").read_text() == "text"
    system = fsspec.filesystem("file")
    monkeypatch.setattr(type(system), "mv", lambda *_, **__: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(AddressError, match="no space"):
        stores.put(source, f"file://{tmp_path}/out/b.txt")
    assert sorted(os.listdir(tmp_path / "out")) == ["a.txt"]


@contextlib.contextmanager
def web_server(folder: Path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_clips_of_a_web_server(tmp_path):
    pytest.importorskip("aiohttp")
    video(tmp_path)
    with web_server(tmp_path) as host:
        settings = settings_for(tmp_path / "out", tmp_path / "scratch")
        (outcome,) = run([f"{host}/made.avi?key=1"], settings)
        assert outcome.status == "done", outcome.message
        (missing,) = run([f"{host}/none.avi"], settings)
        assert missing.status == "failed"
        assert "there is no such file" in missing.message
    with pytest.raises(AddressError, match="web server"):
        stores.put(tmp_path / "made.avi", "https://host/a")


@pytest.fixture(scope="module")
def s3():
    with s3_bucket() as address:
        yield address


def test_s3_from_listing_to_resuming(s3, tmp_path, monkeypatch):
    data = video(tmp_path)
    system = fsspec.filesystem("s3")
    for name in ("a", "b"):
        system.pipe_file(f"bucket/in/{name}.avi", data)
    settings = settings_for(f"{s3}/out", tmp_path / "scratch", outputs=OutputSettings(details=True))
    outcomes = run([f"{s3}/in/*.avi"], settings)
    assert [each.status for each in outcomes] == ["done", "done"], outcomes
    names = [stores.name_in(each) for each in stores.files_below(f"{s3}/out", recursive=True)]
    assert names == ["a.csv", "a.csv.json", "a_of_details.txt", "b.csv", "b.csv.json", "b_of_details.txt"]
    sidecar = json.loads(stores.read(f"{s3}/out/a.csv.json"))
    assert sidecar["input"]["version"] == stores.look(f"{s3}/in/a.avi").version
    with monkeypatch.context() as patch:
        patch.setattr(stores, "fetch", None)
        assert [each.status for each in run([f"{s3}/in"], settings)] == ["skipped", "skipped"]
    system.pipe_file("bucket/in/b.avi", video(tmp_path, 4))
    statuses = [each.status for each in run([f"{s3}/in/a.avi", f"{s3}/in/b.avi"], settings)]
    assert statuses == ["skipped", "failed"]
    (missing,) = run([f"{s3}/in/none.avi"], settings)
    assert "there is no such file" in missing.message
    (nowhere,) = run(["s3://no-such-bucket/a.avi"], settings)
    assert nowhere.status == "failed"


def test_scratch_is_the_systems_unless_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path
