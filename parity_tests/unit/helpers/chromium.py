"""Pages in a headless Chromium that Playwright drives, for tests of what scripts of pages do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: Addresses that a page that works offline may ask for.
OWN = ("file:", "data:", "blob:")
#: Seconds that a page may take to become what a test waits for.
PATIENCE = 240


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; skips the test where there is no Playwright or no Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="the extra test is not installed: playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Any, address: Path | str, width: int = 1280, height: int = 900, *, policy: bool = False,
    ready: str = "html[data-ready]", own: tuple[str, ...] = OWN, **options: Any,
) -> Iterator[Any]:  # fmt: skip
    """A page that is ready; asserts at the end that nothing was complained of and that nothing came from elsewhere.

    Parameters
    ----------
    address : of a server, or a file.
    policy : keep the page's own Content-Security-Policy, under which Playwright cannot wait for expressions.
    ready : what the page has when it is ready; pages without scripts have everything at once.
    own : beginnings of the addresses that it may ask for.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=not policy, **options)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(own) else complaints.append(f"asked for {asked.url}"))
    page.goto(address if isinstance(address, str) else address.as_uri())
    page.wait_for_selector(ready)
    yield page
    assert complaints == []
    context.close()


def wait_until(page: Any, expression: str) -> None:
    """Wait until a JavaScript expression is true in a page, also under a policy that forbids Playwright to wait."""
    until = time.monotonic() + PATIENCE
    while not page.evaluate(f"() => Boolean({expression})"):
        assert time.monotonic() < until, f"never true: {expression}\n{page.locator('body').inner_text()}"
        page.wait_for_timeout(100)
