"""Files at addresses such as s3://bucket/clip.mp4, through fsspec: looked for, fetched, put in place whole.

Object stores (S3, GCS, Azure, fsspec's memory) put an object in place whole or not at all. Elsewhere a file is written
under another name and then renamed. Every fault of a store becomes an `AddressError`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from auparity.errors import AddressError, VariantUnavailable
from auparity.media import printable

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
#: Stores that put a whole object in place in one step.
_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})
_READ_ONLY = frozenset({"http", "https"})
_CHUNK = 1 << 20  #: bytes that are fetched between two looks at `stop`
#: What a store calls a value that changes with an object's content.
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "Last-Modified", "LastModified", "mtime", "created")


@dataclass(frozen=True)
class Remote:
    """What a store says of a file."""

    size: int | None  #: bytes
    version: str  #: another one for another content; "" where the store says nothing that could tell


def is_address(text: str) -> bool:
    """Whether this is an address; otherwise it is a path of this machine."""
    return bool(_ADDRESS.match(text))


def is_web(address: str) -> bool:
    """Whether it is of a web server, which has no folders and no wildcards."""
    return _protocol(address) in _READ_ONLY


def check_writable(address: str) -> None:
    """AddressError for stores that nothing can be written to."""
    if is_web(address):
        raise AddressError(
            address, "nothing can be written to a web server", "Name a folder, or a store such as s3://."
        )


def join(folder: str, name: str) -> str:
    """The address of a file in a folder; `name` may hold folders."""
    return f"{folder.rstrip('/')}/{name}"


def name_in(address: str) -> str:
    """The last part of an address, without what a web address asks."""
    path = address.partition("://")[2]
    return PurePosixPath(path.partition("?")[0].partition("#")[0] if is_web(address) else path).name


def look(address: str) -> Remote | None:
    """What a store says of a file; None if there is none.

    Raises
    ------
    AddressError : the store cannot be asked, or this is a folder. VariantUnavailable : the package for it is missing.
    """
    system, path = _system(address)
    with _faults(address):
        try:
            info = system.info(path)
        except FileNotFoundError:
            return None
        if info.get("type") == "directory":
            raise AddressError(address, "is a folder", "Name its files, or add a wildcard such as *.mp4.")
    return _remote(info)


def described_below(address: str) -> dict[str, Remote]:
    """What a store says of each file in and below a folder, by its address; errors as of `look`, none where there is no
    such folder."""
    system, path = _system(address)
    with _faults(address):
        try:
            found = system.find(path, detail=True)
        except FileNotFoundError:
            return {}
    return {_address_of(address, each): _remote(info) for each, info in sorted(found.items())}


def is_folder(address: str) -> bool:
    """Whether there is a folder at an address; errors as of `look`."""
    system, path = _system(address)
    with _faults(address):
        return bool(system.isdir(path))


def files_below(address: str, *, recursive: bool) -> list[str]:
    """Addresses of the files in a folder, in order; with `recursive` also of those in the folders below. Errors as of
    `look`."""
    system, path = _system(address)
    with _faults(address):
        found = system.find(path, maxdepth=None if recursive else 1)
    return sorted(_address_of(address, each) for each in found)


def matching(address: str) -> list[str]:
    """Addresses of the files that match wildcards, in order; errors as of `look`."""
    system, path = _system(address)
    with _faults(address):
        found = system.glob(path)
    return sorted(_address_of(address, each) for each in found)


def fetch(address: str, target: Path, stop: Callable[[], bool] = lambda: False) -> bool:
    """Copy a file to this machine; whether it is whole, which it is not if `stop` became true meanwhile.

    Raises
    ------
    AddressError : there is none, or it cannot be read to its end. OSError : the target cannot be written.
    """
    system, path = _system(address)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _faults(address):
        source = system.open(path, "rb")
    with target.open("wb") as file:
        while True:
            if stop():
                return False
            with _faults(address):
                part = source.read(_CHUNK)
            if not part:
                break
            file.write(part)
    with _faults(address):
        source.close()
        size = getattr(source, "size", None)
    if isinstance(size, int) and target.stat().st_size != size:
        raise AddressError(address, f"gave {target.stat().st_size} bytes of {size}", "Try again.")
    return True


def read(address: str) -> bytes | None:
    """The content of a small file; None if there is none. Errors as of `look`."""
    system, path = _system(address)
    with _faults(address):
        try:
            return bytes(system.cat_file(path))
        except FileNotFoundError:
            return None


def put(file: Path, address: str) -> None:
    """Put a file of this machine at an address, whole or not at all; AddressError."""
    check_writable(address)
    system, path = _system(address)
    with _faults(address):
        if _protocol(address) in _WHOLE:
            system.put_file(str(file), path)
            return
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        temporary = f"{path}.{secrets.token_hex(4)}.tmp"
        try:
            system.put_file(str(file), temporary)
            system.mv(temporary, path)
        except BaseException:
            if system.exists(temporary):
                system.rm_file(temporary)
            raise


def remove(address: str) -> None:
    """Remove a file, or all below a folder; nothing happens where there is none. AddressError."""
    system, path = _system(address)
    with _faults(address):
        if system.exists(path):
            system.rm(path, recursive=True)


def _remote(info: Mapping[str, Any]) -> Remote:
    size, version = info.get("size"), next((str(info[key]) for key in _VERSIONS if info.get(key)), "")
    return Remote(size if isinstance(size, int) else None, version.strip('"'))


def _protocol(address: str) -> str:
    return address.partition("://")[0].lower()


def _system(address: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it."""
    try:
        core = import_module("fsspec.core")
    except ImportError as error:
        raise _missing(address) from error
    with _faults(address):
        try:
            system, path = core.url_to_fs(address)
        except ImportError as error:
            raise _missing(address) from error
    system.invalidate_cache()  # what others have written meanwhile counts
    return system, path


def _missing(address: str) -> VariantUnavailable:
    return VariantUnavailable(
        f'{printable(address)}: needs packages that are not installed: pip install "auparity[remote]" (S3, GCS and web '
        "servers; for others the package that fsspec names)."
    )


def _address_of(like: str, path: str) -> str:
    """The address of a path that a file system has listed."""
    if is_address(path):
        return path
    return f"{_protocol(like)}://{path if _protocol(like) == 'file' else path.lstrip('/')}"


@contextmanager
def _faults(address: str) -> Iterator[None]:
    """Faults of a store as `AddressError`."""
    try:
        yield
    except (AddressError, VariantUnavailable):
        raise
    except FileNotFoundError as error:
        raise AddressError(address, "there is no such file") from error
    except PermissionError as error:
        raise AddressError(address, f"access is refused ({error})", "Look at the credentials.") from error
    except Exception as error:  # of any client library: they have no type of error in common
        text = str(error) or type(error).__name__
        raise AddressError(address, f"cannot be reached ({type(error).__name__}: {text[:300]})") from error
