"""Who may see the page: the token, the host, the origin; what the page is sent and may ask for."""

from __future__ import annotations

import socket
import threading

import numpy as np
import pytest

from auparity.errors import AuparityError, VariantUnavailable
from auparity.live import server
from auparity.live.measure import Recording, Update
from auparity.live.messages import End, FrameMessage
from auparity.live.server import Broadcast, Server, build_app
from auparity.live.source import Counts
from auparity.parity_tests.unit.helpers.fake_pipeline import result

for name in ("starlette", "uvicorn", "websockets", "httpx"):
    pytest.importorskip(name, reason=f"the extra live, or httpx, is not installed: {name}")
TestClient = pytest.importorskip("starlette.testclient").TestClient
WebSocketDisconnect = pytest.importorskip("starlette.websockets").WebSocketDisconnect

PORT, TOKEN = 4711, "right-token"
HOST = f"127.0.0.1:{PORT}"
ORIGIN = {"origin": f"http://{HOST}"}


class Commands:
    def __init__(self):
        self.asked, self.changed = [], threading.Event()

    def opened(self):
        self._note("opened")

    def record(self):
        self._note("record")

    def stop_recording(self):
        self._note("stop")

    def _note(self, what):
        self.asked.append(what)
        self.changed.set()


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def broadcast():
    return Broadcast()


@pytest.fixture
def client(commands, broadcast):
    with TestClient(build_app(TOKEN, PORT, {"type": "hello"}, broadcast, commands), f"http://{HOST}") as client:
        yield client


def message(k):
    image = np.full((48, 64, 3), k, np.uint8)
    return FrameMessage(Update(image, [result(k)], k / 10, 0.1, 10.0, k, Counts(k, 0), Recording()))


def test_the_page_is_shown_to_those_who_know_the_token(client):
    answer = client.get(f"/{TOKEN}/")
    assert answer.status_code == 200
    assert "<title>auparity live</title>" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path", ["/", "/wrong-token/", "/right-toke/", f"/{TOKEN}/page.html", "/%C3%A9/", "/favicon.ico"]
)
def test_other_addresses_are_not_found(client, path):
    assert client.get(path).status_code == 404


def test_the_token_under_another_host_name_is_not_found(client):
    assert client.get(f"/{TOKEN}/", headers={"host": f"example.org:{PORT}"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/wrong-token/socket", ORIGIN),
        (f"/{TOKEN}/socket", {}),
        (f"/{TOKEN}/socket", {"origin": "null"}),
        (f"/{TOKEN}/socket", {"origin": "http://example.org"}),
        (f"/{TOKEN}/socket", {"origin": f"http://127.0.0.1:{PORT + 1}"}),
        (f"/{TOKEN}/socket", ORIGIN | {"host": f"example.org:{PORT}"}),
    ],
)
def test_a_socket_without_token_or_origin_is_refused(client, commands, path, headers):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers={"host": HOST} | headers):
        pass
    assert commands.asked == []


def connect(client):
    return client.websocket_connect(f"/{TOKEN}/socket", headers={"host": HOST} | ORIGIN)


def receive_frame(page):
    fields = page.receive_json()
    assert page.receive_bytes()[:2] == b"\xff\xd8"
    return fields["measured"]


def ask(page, commands, word):
    """Press a button and wait until it has been noticed."""
    commands.changed.clear()
    page.send_text(word)
    assert commands.changed.wait(60)


def test_a_page_gets_the_newest_frame_whenever_it_is_ready(client, broadcast, commands):
    with connect(client) as page:
        assert page.receive_json() == {"type": "hello"}
        broadcast.publish(message(1))
        assert receive_frame(page) == 1
        assert commands.asked == ["opened"]
        for k in (2, 4):
            broadcast.publish(message(k))
            ask(page, commands, "record")  # after which the server has seen the frame
            broadcast.publish(message(k + 1))
            page.send_text("ready")
            assert receive_frame(page) == k + 1


def test_the_end_is_told_to_pages_that_are_there_and_to_those_that_come_later(client, broadcast):
    with connect(client) as page:
        page.receive_json()
        broadcast.publish(End("face.mp4 has ended.", False))
        assert page.receive_json() == {"type": "end", "message": "face.mp4 has ended.", "failed": False}
        page.send_text("ready")
        with pytest.raises(WebSocketDisconnect) as closed:
            page.receive_json()
        assert closed.value.code == 1000
    broadcast.wait_until_pages_left(60)
    with connect(client) as page:
        page.receive_json()
        assert page.receive_json()["type"] == "end"


def test_buttons_reach_the_measurer(client, commands):
    with connect(client) as page:
        page.receive_json()
        for word in ("record", "stop"):
            ask(page, commands, word)
    assert commands.asked == ["opened", "record", "stop"]


@pytest.mark.parametrize("odd", ["", "shutdown", '{"type": "record"}'])
def test_a_page_that_says_anything_else_is_closed(client, commands, odd):
    with connect(client) as page:
        page.receive_json()
        page.send_text(odd)
        with pytest.raises(WebSocketDisconnect) as closed:
            page.receive_json()
    assert closed.value.code == 1008
    assert commands.asked == ["opened"]


def test_a_page_that_sends_bytes_is_closed(client, commands):
    with connect(client) as page:
        page.receive_json()
        page.send_bytes(b"record")
        with pytest.raises(WebSocketDisconnect) as closed:
            page.receive_json()
    assert closed.value.code == 1008
    assert commands.asked == ["opened"]


def test_the_server_listens_on_the_loopback_interface_with_a_new_token_each_time(broadcast, commands):
    servers = [Server(0, {}, broadcast, commands) for _ in range(2)]
    try:
        assert all(one.address == f"http://127.0.0.1:{one.port}/{one.token}/" for one in servers)
        assert all(len(one.token) == 32 for one in servers)
        assert servers[0].token != servers[1].token
    finally:
        for one in servers:
            one.stop()


def test_a_port_that_is_taken_is_an_error_that_names_the_option(broadcast, commands):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AuparityError, match="--port"):
            Server(taken.getsockname()[1], {}, broadcast, commands)
    with pytest.raises(AuparityError, match="--port"):
        Server(70_000, {}, broadcast, commands)


def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(server, "import_module", absent)
    with pytest.raises(VariantUnavailable, match=r"auparity\[live\]"):
        server.require_live()
