"""A reader of files, with a small intact file of its kind; `auparity.parity_tests.fuzz.registry` has all of them.

If a reader needs an extra that is not installed, making its file raises `VariantUnavailable`; the reader is then left
out, and reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auparity.parity_tests.fuzz.mutators import Kind


@dataclass(frozen=True)
class Loader:
    """One reader.

    Parameters
    ----------
    file : name of the file, below the folder that `read` gets.
    make : writes the intact file, and what it needs beside it, into an empty folder.
    read : reads the file of that folder.
    native : a decoder of another project reads it, which may crash the process or take unbounded memory.
    """

    name: str
    kind: Kind
    file: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    native: bool = False


def in_memory(name: str, kind: Kind, data: Callable[[], bytes], parse: Callable[[bytes], object]) -> Loader:
    """A reader of bytes."""
    return Loader(
        name,
        kind,
        "input",
        lambda folder: _write(folder / "input", data()),
        lambda f: parse((f / "input").read_bytes()),
    )


def json_file(name: str, file: str, content: Any, read: Callable[[Path], object]) -> Loader:
    """A reader of a folder with one JSON file."""
    return Loader(name, "json", file, lambda folder: _write(folder / file, json.dumps(content).encode()), read)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def seeded() -> np.random.Generator:
    """The randomness of intact files: the same for all."""
    return np.random.default_rng(3)
