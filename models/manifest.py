"""The manifest (TOML) of one set of model files: their paths, addresses, sizes and hashes."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from auparity.errors import AuparityError
from auparity.models.verified_files import safe_target

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ManifestFile:
    """One file of a manifest; see openface_manifest.toml."""

    path: str
    urls: tuple[str, ...]
    size: int
    sha256: str
    text: bool = False


@dataclass(frozen=True)
class Manifest:
    """The manifest of one set of models."""

    name: str
    version: str
    licence: str
    licence_url: str
    files: tuple[ManifestFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def parse_manifest(text: str) -> Manifest:
    """A manifest from TOML; AuparityError if it is invalid."""
    try:
        table = tomllib.loads(text)
        address, entries = _text(table, "address"), table.get("file")
        if not isinstance(entries, list) or not entries:
            raise ValueError("it names no files")
        files = tuple(_file(entry, address) for entry in entries)
        name, version, licence, url = (_text(table, key) for key in ("name", "version", "licence", "licence_url"))
        return Manifest(name, version, licence, url, files)
    except (ValueError, RecursionError) as error:  # also those of tomllib
        raise AuparityError(f"The manifest of models cannot be read: {error}. Reinstall auparity.") from error


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: expected text, found {str(value)[:40]!r}")
    return value


def _file(entry: Any, address: str) -> ManifestFile:
    if not isinstance(entry, dict):
        raise ValueError(f"file: expected a table, found {str(entry)[:40]!r}")
    path, sha256 = _text(entry, "path"), _text(entry, "sha256")
    safe_target(Path(), path)
    urls, size, text = entry.get("urls", [address + path]), entry.get("size"), entry.get("text", False)
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise ValueError(f"{path}: urls: expected a list of addresses, found {str(urls)[:40]!r}")
    if type(size) is not int or size <= 0:
        raise ValueError(f"{path}: size: expected a number of bytes, found {str(size)[:40]!r}")
    if not SHA256.fullmatch(sha256):
        raise ValueError(f"{path}: sha256: expected 64 hexadecimal digits, found {sha256[:70]!r}")
    if not isinstance(text, bool):
        raise ValueError(f"{path}: text: expected true or false, found {str(text)[:40]!r}")
    return ManifestFile(path, tuple(urls), size, sha256, text)


@lru_cache(maxsize=1)
def openface_manifest() -> Manifest:
    """The manifest of OpenFace 2.2.0 that comes with auparity."""
    return parse_manifest((resources.files(__package__) / "openface_manifest.toml").read_text(encoding="utf-8"))
