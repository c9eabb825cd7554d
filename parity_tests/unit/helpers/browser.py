"""A headless Chromium that is driven through its DevTools protocol, for tests of pages."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Seconds that a browser may take to start, and a page to become what a test waits for.
PATIENCE = 240


class Browser:
    """One tab; a context manager.

    Parameters
    ----------
    profile : an empty folder for its files.
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        self.complaints: list[str] = []  #: errors and exceptions of the console
        self._profile, self._number, self._open = profile, 0, ExitStack()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [CHROMIUM, *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        from websockets.sync.client import connect

        try:
            port = self._port()
            with urlopen(f"http://127.0.0.1:{port}/json", timeout=60) as answer:
                (tab, *_) = [each for each in json.load(answer) if each["type"] == "page"]
            self._tab = self._open.enter_context(connect(tab["webSocketDebuggerUrl"], max_size=None))
        except BaseException:
            self._process.kill()
            raise
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol; events that come in between are looked at."""
        self._number += 1
        self._tab.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._tab.recv(timeout=60))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._look_at(message)

    def open(self, address: str, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.evaluate("window.before = true")  # which the next page does not have
        self.call("Page.navigate", url=address)
        self.wait_for("!window.before && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until a JavaScript expression is true in the page."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"never true: {expression}\n{self.evaluate('document.body?.innerText')}"
            time.sleep(0.1)

    def screenshot(self, path: Path, *, dark: bool = False) -> None:
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])
        time.sleep(0.3)  # a frame or two in these colours
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _port(self) -> int:
        file, until = self._profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not file.exists() or "\n" not in file.read_text(encoding="ascii"):
            assert self._process.poll() is None, "the browser ended"
            assert time.monotonic() < until, "the browser does not start"
            time.sleep(0.1)
        return int(file.read_text(encoding="ascii").splitlines()[0])

    def _look_at(self, event: dict[str, Any]) -> None:
        what, details = event.get("method"), event.get("params", {})
        if what == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"]))
        elif what == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(details["args"]))
        elif what == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(details["entry"]))
