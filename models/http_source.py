"""Bytes of a file from an untrusted web server, which may answer nonsense, be slow, never end, or redirect anywhere.

Every answer gives bytes or one of two errors: `Interrupted`, after which the same address may be tried again
(`CannotContinue`: from the start), or `Refused`, after which another try is useless. The content is not checked here:
the caller verifies its hash.
"""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Generator
from typing import Any, Self
from urllib.parse import urlsplit

CHUNK = 1 << 16  # bytes read at a time at most
TIMEOUT = 60.0  # s without a byte
WINDOW = 60.0  # s over which the rate is averaged
LEAST_RATE = 1024.0  # bytes/s; a slower transfer counts as stalled
RETRIED = (408, 429)  # besides all statuses from 500 on: too slow, too busy

#: Errors of `urllib` for an answer that it cannot interpret. ValueError: invalid numbers and addresses of redirects
#: (UnicodeError is one, too).
NONSENSE = (OSError, http.client.HTTPException, ValueError, EOFError)


class Interrupted(Exception):
    """The transfer was not finished; trying again may help."""


class CannotContinue(Interrupted):
    """The server does not continue at the requested place; it may send the file from the start."""


class Refused(Exception):
    """The address does not have the file."""


def receive(url: str, start: int, limit: int) -> Generator[tuple[int, bytes], None, None]:
    """Bytes of the file at `url` from `start` on, as (offset, bytes): at most `limit` - `start` of them.

    The first offset is 0 if the server does not continue at the requested place.

    Raises
    ------
    Interrupted : the connection broke, was too slow, or the answer is invalid.
    Refused : there is no such file, it is not accessible, or the address is of a kind that is not used.
    """
    with _Watchdog() as watchdog:
        try:
            if urlsplit(url).scheme not in ("http", "https"):
                raise Refused("only http and https addresses are fetched from")
            request = urllib.request.Request(url, headers={"User-Agent": "auparity"})
            if start:
                request.add_header("Range", f"bytes={start}-")
            with _opener(watchdog).open(request, timeout=TIMEOUT) as answer:
                offset = _offset_of(answer, start)
                while offset < limit and (chunk := answer.read1(min(CHUNK, limit - offset))):
                    watchdog.received += len(chunk)
                    yield offset, chunk
                    offset += len(chunk)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the kept part is longer than the file
                raise CannotContinue("the part that was kept does not fit the file offered") from error
            kind = Interrupted if error.code >= 500 or error.code in RETRIED else Refused
            raise kind(f"{error.code} {error.reason}") from error
        except NONSENSE as error:
            raise Interrupted(watchdog.verdict or str(error) or type(error).__name__) from error
        if watchdog.verdict:
            raise Interrupted(watchdog.verdict)


def _offset_of(answer: Any, start: int) -> int:
    """The offset in the file at which the answer begins.

    Raises
    ------
    CannotContinue : another part than the requested one was sent.
    Interrupted : an answer without a file was sent.
    Refused : a web page was sent.
    """
    if answer.headers.get_content_type() == "text/html":
        raise Refused("sent a web page instead of the file")
    if answer.status == 200:
        return 0
    if answer.status == 206 and start:
        content_range = answer.headers.get("Content-Range", "")
        if content_range.startswith(f"bytes {start}-"):
            return start
        raise CannotContinue(f"sent the range {content_range[:40]!r} instead of one from {start} on")
    raise Interrupted(f"answered with status {answer.status}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow redirects to http and https only, and not from https to http."""
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise urllib.error.HTTPError(newurl, 403, "the redirect leads to another kind of address", headers, None)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(watchdog: _Watchdog) -> urllib.request.OpenerDirector:
    """An opener only for http and https; the usual one also opens files, FTP and data addresses."""

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(watchdog.watched(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(watchdog.watched(http.client.HTTPSConnection), req)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.ProxyBasicAuthHandler(), Http(), Https(), _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener


class _Watchdog:
    """Ends a transfer, including its headers, that is slower than the least rate.

    The time-out of a socket counts from byte to byte, so a server that sends a byte every minute is never late. Ending
    the connection from another thread interrupts every waiting read.
    """

    def __init__(self) -> None:
        self.received = 0  # bytes of content so far
        self.verdict = ""  # why the transfer was ended
        self._sockets: list[socket.socket] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="auparity-download", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def watched(self, kind: type[http.client.HTTPConnection]) -> Any:
        """A kind of connection whose sockets this watchdog can end."""
        sockets = self._sockets

        class Watched(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return Watched

    def _watch(self) -> None:
        before = 0
        while not self._done.wait(WINDOW):
            received = self.received
            if received - before < LEAST_RATE * WINDOW:
                self.verdict = f"fewer than {LEAST_RATE:g} bytes a second over {WINDOW:g} s"
                for connected in self._sockets:
                    _end(connected)
            before = received


def _end(connected: socket.socket) -> None:
    try:
        # The method of the plain socket, because that of an encrypted one changes state that a reader is using.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
