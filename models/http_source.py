"""Bytes of a file from a web server that may do anything: answer nonsense, drip, never end, or point elsewhere.

Whatever a server does ends in bytes or in one of two errors: `Interrupted`, after which the same address may be tried
again (`CannotContinue`: from the start), or `Refused`, after which it need not be. Content is not judged here: whoever
asked holds it against a hash.
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
WINDOW = 60.0  # s over which the least rate is taken
LEAST_RATE = 1024.0  # bytes/s; slower is a stall: no file here may take days
RETRIED = (408, 429)  # besides everything from 500 on: too slow, too busy

#: Everything that `urllib` raises for an answer that it cannot make sense of. ValueError: numbers and addresses of
#: redirects that are none (UnicodeError is one, too).
NONSENSE = (OSError, http.client.HTTPException, ValueError, EOFError)


class Interrupted(Exception):
    """The transfer did not come to its end; trying again may help."""


class CannotContinue(Interrupted):
    """The server does not continue where it was asked to; from the start it may give the file."""


class Refused(Exception):
    """The address does not give the file."""


def receive(url: str, start: int, limit: int) -> Generator[tuple[int, bytes], None, None]:
    """Bytes of the file at `url` from `start` on, as (offset, bytes): at most `limit` - `start` of them.

    The first offset is 0 where the server does not continue where it was asked to.

    Raises
    ------
    Interrupted : the connection broke, was too slow, or what came makes no sense.
    Refused : there is no such file, it may not be had, or the address leads where files are not fetched from.
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
            if error.code == 416:  # more is kept than there is
                raise CannotContinue("the part that was kept does not fit the file offered") from error
            kind = Interrupted if error.code >= 500 or error.code in RETRIED else Refused
            raise kind(f"{error.code} {error.reason}") from error
        except NONSENSE as error:
            raise Interrupted(watchdog.verdict or str(error) or type(error).__name__) from error
        if watchdog.verdict:
            raise Interrupted(watchdog.verdict)


def _offset_of(answer: Any, start: int) -> int:
    """Where in the file the answer begins.

    Raises
    ------
    CannotContinue : another part than the one asked for.
    Interrupted : an answer without a file.
    Refused : a web page.
    """
    if answer.headers.get_content_type() == "text/html":
        raise Refused("sent a web page instead of the file")
    if answer.status == 200:
        return 0
    if answer.status == 206 and start:
        said = answer.headers.get("Content-Range", "")
        if said.startswith(f"bytes {start}-"):
            return start
        raise CannotContinue(f"sent the range {said[:40]!r} where one from {start} on was asked for")
    raise Interrupted(f"answered with status {answer.status}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Follow to http and https only, and not from https to http."""
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise urllib.error.HTTPError(newurl, 403, "the redirect leads to another kind of address", headers, None)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(watchdog: _Watchdog) -> urllib.request.OpenerDirector:
    """An opener for http and https alone: the usual one also opens files, FTP and data addresses."""

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
    """Ends a transfer that is slower than the least rate, headers included.

    A time-out of a socket counts from byte to byte: a server that sends one every minute is never late. Ending the
    connection from another thread reaches every read, whoever waits in it.
    """

    def __init__(self) -> None:
        self.received = 0  # bytes of content so far
        self.verdict = ""  # why it ended the transfer
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
        # The plain socket's method: that of an encrypted one changes what a reader in another thread is using.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
