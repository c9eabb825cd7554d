"""The bundle that comes with auparity: a whole pipeline trained on rendered faces (docs/embedded.md), in one file."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FILE = "bundle.zip"
#: SHA-256 of the file, and the content hash of its bundle, so that the hash is known without computing it. A test
#: computes both. A newly trained bundle needs new values here.
KNOWN_FILE = (
    "5f01097eb8ffb32169a22da247fedcf1498652b6945e3ae158dcc03e160d91fe",
    "8126e4734430b0c7af84577c812a8e2b656e81644323ff5bbad9d69780d53511",
)


def path() -> Path:
    """The file."""
    return Path(str(resources.files(__package__) / FILE))
