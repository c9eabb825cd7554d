"""The bundle that comes with auparity: a whole pipeline trained on rendered faces (docs/embedded.md), in one file."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from auparity.models import archive
from auparity.models.bundle import Bundle

FILE = "bundle.zip"


def path() -> Path:
    """The file."""
    return Path(str(resources.files(__package__) / FILE))


@lru_cache(maxsize=1)
def load() -> Bundle:
    """The bundle, read once; ModelFormatError where the installation is damaged."""
    return archive.load(path())
