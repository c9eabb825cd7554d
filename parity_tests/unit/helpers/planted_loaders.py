"""Readers that misbehave, each in its own way: what the fuzz harness must see."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from auparity.errors import AuparityError, VariantUnavailable
from auparity.parity_tests.fuzz.loaders import Loader

INTACT = bytes(range(64))


def registry():
    """By name; every one of them is good on the intact file."""
    readers = {
        "good": _refuse,
        "raises": _raise,
        "dies": os.abort,
        "sleeps": lambda: time.sleep(60),
        "catches all": _never_end,
        "grows": lambda: bytearray(3 << 30),
        "needs an extra": _refuse,
        "never good": _refuse,
    }
    return {name: Loader(name, "bytes", "x", _maker(name), _reader(read)) for name, read in readers.items()}


def _maker(name):
    def make(folder: Path) -> None:
        if name == "needs an extra":
            raise VariantUnavailable("the extra is not installed")
        (folder / "x").write_bytes(b"" if name == "never good" else INTACT)

    return make


def _reader(misbehave):
    def read(folder: Path) -> None:
        if (folder / "x").read_bytes() != INTACT:
            misbehave()

    return read


def _refuse() -> None:
    raise AuparityError("the file is damaged")


def _raise() -> None:
    raise KeyError("length")


def _never_end() -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)
