"""Decoding in a child process: crashes cost one input, nothing outlives the parent, nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.media import decoder, memory_limit, open_clip, prestart, read_image
from auparity.media.child import _Ring
from auparity.media.shared_block import SharedBlock
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images, write_video
from auparity.parity_tests.unit.helpers.media_files import pictures

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and sessions are POSIX's")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(autouse=True)
def _no_idle_children():
    decoder.end_idle()
    yield
    decoder.end_idle()


def child_of(source):
    return source._reader._decoder


def gone(pid, within=10.0):
    """Whether a process ends in time (a zombie has ended)."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_frames_are_the_same_as_decoded_in_place(tmp_path):
    path = write_video(tmp_path / "a.avi", 50)
    with open_clip(path) as remote, open_clip(path, isolate=False) as inline:
        for theirs, ours in zip(remote, inline, strict=True):
            assert theirs.timestamp == ours.timestamp
            np.testing.assert_array_equal(theirs.image, ours.image)


def test_frames_that_are_kept_do_not_change(tmp_path):
    """The slots of the shared block are used again and again; the frames are not in them."""
    with open_clip(write_images(tmp_path / "clip", 40)) as source:
        kept = [frame.image for frame in source]
    assert [int(image[0, 0, 0]) for image in kept] == list(range(40))


@ON_POSIX
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_decoder_that_crashes_costs_its_own_clip_only(tmp_path, number):
    path = write_video(tmp_path / "a.avi", 50)
    with open_clip(path) as source:
        frames = iter(source)
        next(frames)
        os.kill(child_of(source).pid, number)
        with pytest.raises(VideoError, match=rf"a\.avi: its decoder crashed \(signal {number.name}"):
            list(frames)
    with open_clip(path) as source:
        assert len(list(source)) == 50


@ON_POSIX
def test_the_image_at_which_a_decoder_crashes_is_named(tmp_path):
    folder = write_images(tmp_path / "clip", 60)
    with open_clip(folder) as source:
        frames = iter(source)
        next(frames)
        os.kill(child_of(source).pid, signal.SIGKILL)
        with pytest.raises(VideoError, match=r"00\d\.png: its decoder crashed"):
            list(frames)


@ON_POSIX
def test_a_child_that_died_while_idle_is_replaced(tmp_path):
    path = write_video(tmp_path / "a.avi", 3)
    prestart()
    os.kill(decoder._idle[0].pid, signal.SIGKILL)
    decoder._idle[0]._process.wait()
    with open_clip(path) as source:
        assert len(list(source)) == 3


def test_one_child_serves_many_inputs(tmp_path):
    folder = write_images(tmp_path / "clip", 5)
    read_image(folder / "000.png")
    (child,) = decoder._idle
    for file in sorted(folder.iterdir()):
        read_image(file)
    with open_clip(folder) as source:
        list(source)
    assert decoder._idle == [child]


def test_pictures_may_grow_from_one_input_to_the_next(tmp_path):
    for number, size in enumerate([(40, 30), (400, 300), (64, 48), (800, 600)]):
        image = pictures(1, size)[0]
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        np.testing.assert_array_equal(read_image(tmp_path / f"{number}.png"), image)


def test_a_clip_closed_in_its_middle_leaves_the_child_fit_for_the_next(tmp_path):
    path = write_video(tmp_path / "a.avi", 200)
    with open_clip(path) as source:
        child = child_of(source)
        next(iter(source))
    with open_clip(path):
        """Opened, and never read."""
    with open_clip(path) as source:
        assert child_of(source) is child
        assert len(list(source)) == 200


def test_a_closed_clip_says_so(tmp_path):
    with open_clip(write_video(tmp_path / "a.avi", 20)) as source:
        frames = iter(source)
        next(frames)
    with pytest.raises(VideoError, match=r"a\.avi: was closed"):
        next(frames)


def test_clips_can_be_read_side_by_side(tmp_path):
    folders = [write_images(tmp_path / name, 30) for name in "abc"]
    sources = [open_clip(folder) for folder in folders]
    for number, frames in enumerate(zip(*sources, strict=True)):
        assert [int(frame.image[0, 0, 0]) for frame in frames] == [number] * 3
    for source in sources:
        source.close()
    assert len(decoder._idle) <= decoder.MOST_IDLE


def test_errors_and_warnings_come_through(tmp_path):
    folder = write_images(tmp_path / "clip", 4)
    (folder / "002.png").write_bytes(b"damaged")
    frames = []
    with open_clip(folder) as source, pytest.raises(VideoError, match=r"002\.png: cannot be decoded"):
        frames.extend(source)
    assert len(frames) == 2
    with pytest.raises(VideoError, match="does not exist"):
        read_image(tmp_path / "nothing.png")


def test_decoding_in_place_starts_no_child(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi", 3)
    monkeypatch.setattr(decoder, "acquire", lambda: pytest.fail("started a child"))
    with open_clip(path, isolate=False) as source:
        assert len(list(source)) == 3
    monkeypatch.setenv("AUPARITY_DECODE", "inline")
    with open_clip(path) as source:
        assert len(list(source)) == 3
    monkeypatch.setenv("AUPARITY_DECODE", "maybe")
    with pytest.raises(VideoError, match="AUPARITY_DECODE=maybe: is not known"):
        open_clip(path)


def test_the_child_loads_neither_pipeline_nor_compiler():
    heavy = "{'numba', 'llvmlite', 'onnxruntime', 'rich', 'torch', 'auparity.reference', 'auparity.accelerated'}"
    code = f"import sys, auparity.media.child; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


@ON_POSIX
def test_ctrl_c_in_a_terminal_does_not_reach_the_child(tmp_path):
    with open_clip(write_video(tmp_path / "a.avi", 30)) as source:
        pid = child_of(source).pid
        assert os.getsid(pid) != os.getsid(0)
        next(frames := iter(source))
        os.kill(pid, signal.SIGINT)
        assert len(list(frames)) == 29


@ON_LINUX
@pytest.mark.parametrize("sibling", [False, True], ids=["alone", "with a forked process that holds the pipe"])
def test_the_child_ends_with_a_parent_that_is_killed(tmp_path, sibling):
    path = write_video(tmp_path / "a.avi", 200)
    fork = "if os.fork() == 0: time.sleep(20); os._exit(0)" if sibling else ""
    script = f"""
import os, time
from auparity.media import open_clip
source = open_clip({str(path)!r})
next(iter(source))
{fork}
print(source._reader._decoder.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert not gone(pid, within=0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def mappings(pid):
    """The lines of what is mapped into the memory of a process."""
    with open(f"/proc/{pid}/maps") as file:
        return file.read().splitlines()


def named_memory(pid):
    """Shared memory of a process that has a name; the folder itself also shows what belongs to other processes."""
    places = {line.split(maxsplit=5)[-1] for line in mappings(pid)}
    return {place for place in places if place.startswith("/dev/shm/") and not place.endswith("(deleted)")}


@ON_LINUX
def test_no_shared_memory_has_a_name_to_be_left_behind(tmp_path):
    before = named_memory(os.getpid())
    with open_clip(write_video(tmp_path / "a.avi", 10)) as source:
        next(iter(source))
        assert any("memfd:" in line for line in mappings(child_of(source).pid)), "they do share memory"
        assert named_memory(child_of(source).pid) | named_memory(os.getpid()) <= before


def test_a_script_without_a_main_guard_can_read_clips(tmp_path):
    path = write_video(tmp_path / "a.avi", 5)
    script = tmp_path / "script.py"
    script.write_text(f"from auparity.media import open_clip\nprint(len(list(open_clip({str(path)!r}))))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("5\n", "")


def _count(path, results):
    with open_clip(path) as source:
        results.put(len(list(source)))


@ON_POSIX
def test_a_daemonic_process_forked_beside_an_open_clip_reads_its_own(tmp_path):
    path = write_video(tmp_path / "a.avi", 40)
    prestart()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with open_clip(path) as source:
        frames = iter(source)
        next(frames)
        process = context.Process(target=_count, args=(path, results), daemon=True)
        process.start()
        assert results.get(timeout=30) == 40
        process.join()
        assert len(list(frames)) == 39


@ON_LINUX
def test_memory_beyond_what_a_picture_needs_is_refused():
    code = """
import numpy as np
from auparity.media import memory_limit
memory_limit.enable()
with memory_limit.memory_for(1_000_000):
    np.zeros(500 << 20, np.uint8)
    try:
        np.ones(2 << 30, np.uint8)
    except MemoryError:
        print("refused")
np.empty(2 << 30, np.uint8)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_without_proc_there_is_no_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(memory_limit, "STATM", tmp_path / "statm")
    monkeypatch.setattr(memory_limit, "_enabled", True)
    memory_limit.enable()
    with memory_limit.memory_for(1_000_000):
        assert not memory_limit._enabled


def test_the_ring_waits_for_a_free_slot_and_gives_up_when_told():
    with SharedBlock() as block:
        ring = _Ring(block)
        image = np.full((4, 4, 3), 7, np.uint8)
        places = [ring.put(image, lambda: False) for _ in range(6)]
        assert len({place["offset"] for place in places}) == 6
        assert ring.put(image, lambda: False) is None
        assert ring.put(image, lambda: True)["offset"] == places[0]["offset"]
        assert ring.put(np.zeros((8, 8, 3), np.uint8), lambda: False) is None  # larger: only once all are free
        assert ring.put(np.zeros((8, 8, 3), np.uint8), lambda: True)["block"] == 6 * 192
