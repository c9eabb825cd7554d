"""Whatever a server answers, a download ends in the whole file or in an error of ours, and never writes too much."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import time

import pytest

from auparity.errors import AuparityError, ChecksumError, DownloadError
from auparity.models import http_source
from auparity.models.download import ATTEMPTS, download
from auparity.models.file_lock import locked
from auparity.parity_tests.unit.helpers.odd_server import OddServer, raw, whole

DATA = bytes(range(256)) * 1000  # 256 000 bytes: several chunks
SIZE, SHA256 = len(DATA), hashlib.sha256(DATA).hexdigest()
NAME = "a.dat"
CHUNKED = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked"


@pytest.fixture
def server():
    server = OddServer()
    yield server
    server.close()


@pytest.fixture
def get(server, tmp_path):
    """Downloads the file from the server, which answers so; gives the path of the target."""

    def get(*answers, urls=(NAME,)):
        server.answers[NAME] = list(answers)
        target = tmp_path / NAME
        download([f"{server.url}/{url}" for url in urls], target, size=SIZE, sha256=SHA256, sleep=lambda seconds: None)
        return target

    return get


def written(folder):
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_good_answer_is_the_file(get, tmp_path):
    assert get(whole(DATA)).read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


#: Answers without the file, which are tried again and then given up.
USELESS = {
    "nothing": lambda send, headers: None,
    "a status line of noise": raw("\x00\xff nonsense"),
    "a status that is no number": raw("HTTP/1.1 2x0 OK"),
    "a status of another kind": raw("HTTP/1.1 204 No Content"),
    "a part that was not asked for": raw(f"HTTP/1.1 206 Partial\nContent-Range: bytes 0-9/{SIZE}", DATA),
    "a length of too few bytes": raw("HTTP/1.1 200 OK\nContent-Length: 10", DATA),
    "an end before the length": raw(f"HTTP/1.1 200 OK\nContent-Length: {SIZE}", b""),
    "a chunk that has no length": raw(CHUNKED, b"zz\r\n" + DATA),
    "a chunk that ends too early": raw(CHUNKED, b"40000\r\n" + DATA[:100]),
    "a chunk of negative length": raw(CHUNKED, b"-5\r\nhello"),
    "a chunk length without end": raw(CHUNKED, b"1" * 100_000),
    "a header without end": lambda send, headers: send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000),
    "too many headers": raw("HTTP/1.1 200 OK\n" + "\n".join(f"X{k}: y" for k in range(200))),
    "a compressed answer": raw("HTTP/1.1 200 OK\nContent-Encoding: gzip", b"\x1f\x8b\x08"),
    "a redirect to an address that is none": raw("HTTP/1.1 302 Found\nLocation: http://[nonsense/x"),
    "a redirect to a name that cannot be": raw("HTTP/1.1 302 Found\nLocation: http://" + "a" * 70 + ".example/"),
    "a broken server": raw("HTTP/1.1 500 Oops"),
}


@pytest.mark.parametrize("answer", USELESS.values(), ids=USELESS)
def test_an_answer_without_the_file_is_tried_again_and_then_our_error(server, get, tmp_path, answer):
    with pytest.raises(DownloadError, match=r"Try again later.*by hand to"):
        get(answer)
    assert len(server.requests) == ATTEMPTS
    assert written(tmp_path) <= SIZE
    assert get(whole(DATA)).read_bytes() == DATA


@pytest.mark.parametrize("answer", USELESS.values(), ids=USELESS)
def test_after_such_an_answer_a_good_one_is_taken(get, answer):
    assert get(answer, whole(DATA)).read_bytes() == DATA


HARMLESS = {
    "a length that is no number": "Content-Length: many",
    "a negative length": "Content-Length: -7",
    "a length of five thousand digits": "Content-Length: " + "9" * 5000,
    "a tag that is not ASCII": 'ETag: "ü\u2028"',
    "a tag over two lines": 'ETag: "one\n two"',
    "a range that was not asked for": "Content-Range: bytes 5-9/10",
}


@pytest.mark.parametrize("header", HARMLESS.values(), ids=HARMLESS)
def test_what_a_server_says_of_its_file_is_not_believed(get, header):
    assert get(raw(f"HTTP/1.1 200 OK\n{header}", DATA)).read_bytes() == DATA


@pytest.mark.parametrize("length", ["Content-Length: 999999999999", "Connection: close"])
def test_never_more_is_written_than_the_file_has(get, tmp_path, length):
    sent = []

    def endless(send, headers):
        send(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        while sum(sent) < 50 * SIZE:
            send(DATA)
            sent.append(SIZE)
            assert written(tmp_path) <= SIZE

    with pytest.raises(DownloadError, match=f"more than the {SIZE} bytes"):
        get(endless)
    assert written(tmp_path) <= SIZE


SOME = 100_000


def partial(content_range, body=DATA[SOME:]):
    return raw(f"HTTP/1.1 206 Partial\nContent-Range: {content_range}", body)


@pytest.mark.parametrize(
    "second",
    [
        partial(f"bytes 0-{SIZE - 1}/{SIZE}", DATA),
        partial(f"bytes {SOME + 1}-{SIZE - 1}/{SIZE}", DATA[SOME + 1 :]),
        partial("nonsense"),
        raw("HTTP/1.1 206 Partial", DATA[SOME:]),
        raw("HTTP/1.1 416 Range Not Satisfiable"),
        raw("HTTP/1.1 200 OK", DATA),
        partial(f"bytes {SOME}-{SIZE - 1}/{SIZE}", b"x" * (SIZE - SOME)),
    ],
    ids=["other start", "later start", "no range", "no header", "416", "all of it", "other content"],
)
def test_a_download_continues_only_where_it_was(server, get, second):
    cut = raw(f"HTTP/1.1 200 OK\nContent-Length: {SIZE}", DATA[:SOME])
    assert get(cut, second, whole(DATA)).read_bytes() == DATA
    assert server.requests[1][1]["range"] == f"bytes={SOME}-"


def test_a_cut_connection_is_continued_where_it_ended(server, get):
    cut = raw(f"HTTP/1.1 200 OK\nContent-Length: {SIZE}", DATA[:SOME])
    assert get(cut, whole(DATA)).read_bytes() == DATA
    assert [headers.get("range") for _, headers in server.requests] == [None, f"bytes={SOME}-"]


@pytest.mark.parametrize("scheme", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,hello", "javascript:1"])
def test_a_redirect_to_another_kind_of_address_is_refused(server, get, tmp_path, scheme):
    with pytest.raises(DownloadError, match=r"another kind of address|is not allowed"):
        get(raw(f"HTTP/1.1 302 Found\nLocation: {scheme}"))
    assert len(server.requests) == 1
    assert written(tmp_path) == 0


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,hello"])
def test_a_mirror_of_another_kind_is_refused(tmp_path, url):
    with pytest.raises(DownloadError, match="only http and https"):
        download([url], tmp_path / NAME, size=SIZE, sha256=SHA256, sleep=lambda seconds: None)


def test_a_redirect_to_itself_ends(get):
    with pytest.raises(DownloadError, match="302"):
        get(raw(f"HTTP/1.1 302 Found\nLocation: /{NAME}"))


def test_a_redirect_on_the_way_is_followed(server, get):
    server.answers["elsewhere"] = [whole(DATA)]
    assert get(raw("HTTP/1.1 302 Found\nLocation: /elsewhere")).read_bytes() == DATA


@pytest.mark.parametrize(
    "first", [raw("HTTP/1.1 404 Gone"), raw("HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8", b"sign in"),
              raw("HTTP/1.1 200 OK", DATA[::-1]), raw("HTTP/1.1 500 Oops")],
    ids=["missing", "a web page", "another file", "broken"],
)  # fmt: skip
def test_the_second_address_is_tried_where_the_first_does_not_give_the_file(server, get, first):
    server.answers["second"] = [whole(DATA)]
    assert get(first, urls=(NAME, "second")).read_bytes() == DATA


def test_another_file_than_promised_is_no_file(get, tmp_path):
    with pytest.raises(ChecksumError, match="SHA-256"):
        get(raw("HTTP/1.1 200 OK", DATA[::-1]))
    assert list(tmp_path.iterdir()) == []


def test_busy_servers_are_asked_again_after_growing_pauses(server, tmp_path):
    pauses = []
    server.answers[NAME] = [raw("HTTP/1.1 503 Busy"), raw("HTTP/1.1 429 Slow down"), whole(DATA)]
    download([f"{server.url}/{NAME}"], tmp_path / NAME, size=SIZE, sha256=SHA256, sleep=pauses.append)
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["headers", "content"])
def test_a_server_that_drips_is_given_up(get, monkeypatch, begin):
    monkeypatch.setattr(http_source, "WINDOW", 0.3)

    all_sent = []

    def drip(send, headers):
        send(begin)
        for letter in itertools.islice(itertools.cycle(b"X-Drip: y\r\n"), 1000):
            send(bytes([letter]))
            time.sleep(0.05)
        all_sent.append(True)

    with pytest.raises(DownloadError, match="fewer than 1024 bytes a second"):
        get(drip)
    assert not all_sent, "given up before the server had sent all that it would send"


def test_what_an_earlier_download_left_is_continued_whoever_began_it(server, get, tmp_path):
    (tmp_path / f"{NAME}.part-123-abc").write_bytes(DATA[:SOME])
    (tmp_path / f"{NAME}.part-124-abd").write_bytes(DATA[:10])
    assert get(whole(DATA)).read_bytes() == DATA
    assert server.requests[0][1]["range"] == f"bytes={SOME}-"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_what_was_left_and_is_not_the_file_is_dropped(get, tmp_path):
    (tmp_path / f"{NAME}.part-123-abc").write_bytes(b"x" * SIZE)
    assert get(whole(DATA)).read_bytes() == DATA


def test_a_link_that_somebody_put_in_the_way_is_not_followed(get, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(DATA[:SOME])
    (tmp_path / f"{NAME}.part-1-a").symlink_to(elsewhere)
    assert get(whole(DATA)).read_bytes() == DATA
    assert elsewhere.read_bytes() == DATA[:SOME]
    assert not (tmp_path / NAME).is_symlink()


def test_a_place_that_cannot_be_written_is_said(tmp_path, server):
    (tmp_path / "model").write_bytes(b"a file where a folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        download([f"{server.url}/x"], tmp_path / "model" / NAME, size=SIZE, sha256=SHA256)


HOLD = """
import sys, time
from pathlib import Path
from auparity.models.file_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / ".lock")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_lock_of_another_process_is_waited_for_and_then_an_error(holder, tmp_path):
    waited = []
    with (
        pytest.raises(AuparityError, match="Another process is writing"),
        locked(tmp_path / ".lock", patience=0.3, waiting=lambda: waited.append(1)),
    ):
        pass
    assert waited == [1]


def test_the_lock_of_a_killed_process_is_free_at_once(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path / ".lock", patience=0):
        """No moment of patience was needed."""


def test_the_lock_is_the_one_that_pyfaceau_pyclnf_and_pymtcnn_take(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with locked(tmp_path / ".lock"), (tmp_path / ".lock").open("a+b") as theirs, pytest.raises(BlockingIOError):
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / ".lock").open("a+b") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(AuparityError), locked(tmp_path / ".lock", patience=0):
            pass
