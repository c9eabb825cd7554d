"""A web server on the loopback interface that misbehaves as a test says: a function of each path writes the answer."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from typing import Any

#: Writes the whole answer to a request: gets what sends bytes, and the headers of the request by lower-case name.
Answer = Callable[[Callable[[bytes], Any], dict[str, str]], None]


class OddServer:
    """Answers requests by `answers`, in turns where a path has several; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                path = self.rfile.readline().decode("latin-1").split()[1].lstrip("/")
                headers = {}
                while line := self.rfile.readline().decode("latin-1").strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                outer.requests.append((path, headers))
                answers = outer.answers[path]
                answer = answers[0] if len(answers) == 1 else answers.pop(0)
                try:
                    answer(self.wfile.write, headers)
                except (BrokenPipeError, ConnectionResetError):
                    return  # whoever asked has heard enough

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def raw(head: str, body: bytes = b"") -> Answer:
    """An answer of these lines and bytes, whatever is asked."""
    text = head.replace("\n", "\r\n").encode("utf-8") + b"\r\n\r\n" + body
    return lambda send, headers: send(text)


def whole(data: bytes) -> Answer:
    """A good answer: `data`, or the part of it that is asked for."""

    def answer(send: Callable[[bytes], Any], headers: dict[str, str]) -> None:
        start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status = f"206 Partial\r\nContent-Range: bytes {start}-{len(data) - 1}/{len(data)}" if start else "200 OK"
        send(f"HTTP/1.1 {status}\r\nContent-Length: {len(data) - start}\r\n\r\n".encode() + data[start:])

    return answer
