"""Downloads one file so that it is there whole or not at all: resumable, verified, atomic.

Bytes go to ``<name>.part`` beside the target. An interrupted download continues where it stopped (HTTP Range, with
If-Range so that a changed file starts anew); a server that ignores the range starts again. The whole file is checked
before it takes its name.
"""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from auparity.errors import AuparityError, ChecksumError, DownloadError

CHUNK = 1 << 16  # bytes read at a time
TIMEOUT = 60.0  # seconds without an answer
ATTEMPTS = 4  # of one file; pauses of 1, 2 and 4 s between them
STALE_LOCK = 3600.0  # seconds after which a lock file is taken for one that a crash left behind

#: Called with (bytes of this file so far, bytes in all or None).
ByteProgress = Callable[[int, int | None], None]


def sha256_of(path: Path, *, text: bool = False) -> str:
    """SHA-256 of a file, in hex. Of text files line ends are read as LF: checkouts on Windows write CRLF."""
    digest = hashlib.sha256()
    if text:
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
        return digest.hexdigest()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keep other processes from downloading the same file; raises `DownloadError` while one does."""
    lock = target.with_name(target.name + ".lock")
    target.parent.mkdir(parents=True, exist_ok=True)
    if lock.exists() and time.time() - lock.stat().st_mtime > STALE_LOCK:
        lock.unlink(missing_ok=True)
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        raise DownloadError(f"{target} is being downloaded by another process; if none runs, delete {lock}.") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    *,
    size: int | None,
    sha256: str,
    text: bool = False,
    progress: ByteProgress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Download `url` to `target`; returns the SHA-256 of what came.

    Parameters
    ----------
    size, sha256 : what the file must be; "" for a hash that is not known (then only the size is checked).
    text : compare hash and size with line ends read as LF.

    Raises
    ------
    DownloadError : not reachable, refused, no space; says what to do. The part that came is kept.
    ChecksumError : the whole file came and is another one; it is deleted.
    """
    part = target.with_name(target.name + ".part")
    with locked(target):
        for attempt in range(ATTEMPTS):
            try:
                _receive(url, part, None if text else size, progress)
                break
            except (urllib.error.URLError, OSError, EOFError) as error:
                if isinstance(error, OSError) and error.errno == 28:  # ENOSPC
                    raise DownloadError(f"No space left for {target}; {part} is kept and will be continued.") from error
                final = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429)
                if final or attempt == ATTEMPTS - 1:
                    raise DownloadError(
                        f"{url}: {error}. Try again later (what came is kept), or download it by hand to {target}."
                    ) from error
                sleep(2.0**attempt)
        found = sha256_of(part, text=text)
        if sha256 and found != sha256:
            part.unlink()
            raise ChecksumError(target, sha256, found)
        if size is not None and not text and part.stat().st_size != size:
            length = part.stat().st_size
            part.unlink()
            raise ChecksumError(target, f"a file of {size} bytes", f"that of one of {length} bytes")
        part.with_name(part.name + ".etag").unlink(missing_ok=True)
        os.replace(part, target)
    return found


def _receive(url: str, part: Path, size: int | None, progress: ByteProgress | None) -> None:
    """Append to `part` what is missing; EOFError when the connection ended early."""
    tag_file = part.with_name(part.name + ".etag")
    done = part.stat().st_size if part.exists() else 0
    if size is not None and done > size:  # of another version
        part.unlink()
        done = 0
    if done and done == size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "auparity"})
    if done:
        request.add_header("Range", f"bytes={done}-")
        if tag_file.exists():
            request.add_header("If-Range", tag_file.read_text(encoding="ascii"))
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what we have is longer than what there is: start again next time
            part.unlink(missing_ok=True)
            raise EOFError("the part kept does not fit the file offered") from error
        raise
    with answer:
        resumed = answer.status == 206
        done = done if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else size
        if tag := answer.headers.get("ETag"):
            tag_file.write_text(tag, encoding="ascii")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
    if total is not None and done < total:
        raise EOFError(f"the connection ended after {done} of {total} bytes")


def safe_target(root: Path, relative: str) -> Path:
    """`root / relative`, refused when it would leave `root`."""
    target = (root / relative).resolve()
    if Path(relative).is_absolute() or not target.is_relative_to(root.resolve()):
        raise AuparityError(f"The manifest names {relative!r}, which is outside {root}; nothing is written there.")
    return target
