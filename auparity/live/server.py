"""The local page: HTTP and a WebSocket on the loopback interface, for whoever knows the address.

The address holds a random token. Every request without it is answered with 404; a WebSocket must also state the page's
own origin, so that no other page in the same browser can connect, and requests under another host name (DNS rebinding)
are refused. A page gets the newest frame when it says that it has drawn the one before, so a slow page skips frames
and nothing queues.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.resources import files
from typing import Any, Protocol

from auparity.errors import AuparityError, VariantUnavailable
from auparity.live.messages import End, FrameMessage

HOST = "127.0.0.1"
#: Bytes of the longest message that a page may send.
LONGEST_MESSAGE = 1024
#: Seconds that pages have to draw the last message before the server stops.
FAREWELL = 1.0
#: The page loads nothing and connects to nothing but this server.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Commands(Protocol):
    """What a page can ask for."""

    def opened(self) -> None:
        """A page is there."""

    def record(self) -> None: ...
    def stop_recording(self) -> None: ...


class Broadcast:
    """The newest message, written by one thread and awaited by the pages; older ones are skipped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: FrameMessage | End | None = None
        self._number = 0
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._pages = 0
        self._left = threading.Condition()

    def publish(self, message: FrameMessage | End) -> None:
        """Replace the newest message; may be called from any thread."""
        with self._lock:
            self._newest = message
            self._number += 1
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def after(self, number: int) -> tuple[int, FrameMessage | End]:
        """The newest message and its number, as soon as that is above `number`."""
        waiting = asyncio.get_running_loop(), asyncio.Event()
        while True:
            with self._lock:
                if self._newest is not None and self._number > number:
                    return self._number, self._newest
                self._waiting.add(waiting)
            try:
                await waiting[1].wait()
            finally:
                with self._lock:
                    self._waiting.discard(waiting)

    def page_came(self, change: int = 1) -> None:
        """Count a page; `change` is -1 for one that left."""
        with self._left:
            self._pages += change
            self._left.notify_all()

    def wait_until_pages_left(self, seconds: float) -> None:
        """Wait until no page is connected, at most that long."""
        with self._left:
            self._left.wait_for(lambda: self._pages == 0, seconds)


def build_app(token: str, port: int, hello: dict[str, Any], broadcast: Broadcast, commands: Commands) -> Any:
    """The Starlette application: the page at ``/TOKEN/`` and its WebSocket at ``/TOKEN/socket``; else 404.

    Raises
    ------
    VariantUnavailable : the extra `live` is not installed.
    """
    starlette, routing, responses = (_import(f"starlette.{name}") for name in ("applications", "routing", "responses"))
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
    origins = {f"http://{host}" for host in hosts}
    page = files("auparity.live").joinpath("page.html").read_text(encoding="utf-8")

    def known(request: Any) -> bool:
        given = request.path_params["token"].encode()
        return secrets.compare_digest(given, token.encode()) and request.headers.get("host") in hosts

    async def show(request: Any) -> Any:
        if not known(request):
            return responses.PlainTextResponse("Not Found", 404)
        return responses.HTMLResponse(page, headers=HEADERS)

    async def connect(socket: Any) -> None:
        if not known(socket) or socket.headers.get("origin") not in origins:
            await socket.close(1008)  # before it was accepted: HTTP 403
            return
        await socket.accept()
        broadcast.page_came()
        try:
            await _Page(socket, broadcast, commands).serve(hello)
        finally:
            broadcast.page_came(-1)

    return starlette.Starlette(
        routes=[routing.Route("/{token}/", show), routing.WebSocketRoute("/{token}/socket", connect)]
    )


class _Page:
    """One page that is connected."""

    def __init__(self, socket: Any, broadcast: Broadcast, commands: Commands) -> None:
        self._socket, self._broadcast, self._commands = socket, broadcast, commands
        self._ready = asyncio.Event()

    async def serve(self, hello: dict[str, Any]) -> None:
        """Send and listen until the end is told or the page is closed."""
        gone = _import("starlette.websockets").WebSocketDisconnect
        async with _import("anyio").create_task_group() as tasks:  # Starlette itself stands on anyio

            async def until_over(work: Callable[[], Awaitable[None]]) -> None:
                with suppress(gone):  # the page was closed while something was sent
                    await work()
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_over, partial(self._send, hello))
            tasks.start_soon(until_over, self._listen)

    async def _send(self, hello: dict[str, Any]) -> None:
        await self._socket.send_json(hello)
        self._commands.opened()
        number = 0
        while True:
            number, message = await self._broadcast.after(number)
            if isinstance(message, End):
                await self._socket.send_json({"type": "end", "message": message.message, "failed": message.failed})
                await self._ready_again()
                await self._socket.close(1000)
                return
            fields, picture = await asyncio.to_thread(message.encoded)
            await self._socket.send_json(fields)
            await self._socket.send_bytes(picture)
            await self._ready_again()

    async def _ready_again(self) -> None:
        await self._ready.wait()
        self._ready.clear()

    async def _listen(self) -> None:
        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                return
            text = received.get("text")
            if text == "ready":
                self._ready.set()
            elif text == "record":
                self._commands.record()
            elif text == "stop":
                self._commands.stop_recording()
            else:
                await self._socket.close(1008)
                return


class Server:
    """Uvicorn in a thread of its own, on a port of the loopback interface.

    Parameters
    ----------
    port : 0 for a free one.
    """

    def __init__(self, port: int, hello: dict[str, Any], broadcast: Broadcast, commands: Commands) -> None:
        uvicorn = _import("uvicorn")
        _import("websockets")  # without which uvicorn would refuse every WebSocket
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((HOST, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise AuparityError(f"port {port}: cannot be used ({error}); choose another one with --port.") from error
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_urlsafe(24)
        app = build_app(self.token, self.port, hello, broadcast, commands)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, lifespan="off", ws_max_size=LONGEST_MESSAGE,
                timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="live page", daemon=True)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}/{self.token}/"

    def start(self) -> None:
        """Begin to answer; connections that come before wait."""
        self._socket.listen()
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self, seconds: float = 3.0) -> None:
        """Close all connections; at most that long."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._socket.close()


def require_live() -> None:
    """Raises `VariantUnavailable` unless everything that the page needs is installed."""
    for name in ("starlette", "uvicorn", "websockets"):
        _import(name)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise VariantUnavailable(
            f'The live page needs {name.split(".")[0]}, which is not installed: pip install "auparity[live]".'
        ) from error
