"""Downloads one file completely or not at all: resumable, verified, atomic, from several addresses.

Bytes go to ``<name>.part-<pid>-<random>`` beside the target, the name that the packages which share the cache use. An
interrupted download is continued by the next one. Nothing that a server says about its file is trusted: the length
comes from the manifest, and the SHA-256 of the whole file is verified before it takes its name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from auparity.errors import ChecksumError, DownloadError
from auparity.models.http_source import CannotContinue, Interrupted, Refused, receive
from auparity.models.verified_files import is_file, most_bytes, sha256_of

ATTEMPTS = 4  # at each address; pauses of 1, 2 and 4 s between them

#: Called with (bytes of this file so far, its total bytes).
ByteProgress = Callable[[int, int], None]


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int,
    sha256: str,
    text: bool = False,
    progress: ByteProgress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download `target` from the first of `urls` that has it. The caller must keep other processes from doing the same.

    Parameters
    ----------
    size, sha256 : expected of the file.
    text : compare hash and size with line ends read as LF.

    Raises
    ------
    DownloadError : not reachable, refused, or the file cannot be written; says what to do. The received part is kept.
    ChecksumError : every address returned a complete file of other content; it is deleted.
    """
    with _writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = _adopt_part(target, most_bytes(size, text=text))
    failures: list[str] = []
    for url in urls:
        for attempt in range(ATTEMPTS):
            try:
                _receive(url, part, size, sha256, text, progress)
                with _writing(target):
                    os.replace(part, target)
                return
            except Refused as error:
                failures.append(f"{url}: {error}")
                break
            except ChecksumError as error:
                if url == urls[-1]:
                    part.unlink(missing_ok=True)
                    raise ChecksumError(target, sha256, error.found) from None
                failures.append(f"{url}: {error}")
                break
            except Interrupted as error:
                if attempt == ATTEMPTS - 1:
                    failures.append(f"{url}: {error}")
                else:
                    sleep(2.0**attempt)
    raise DownloadError(
        f"{'; '.join(failures)}. Try again later (the received part is kept), or download it by hand to {target}."
    )


def _receive(url: str, part: Path, size: int, sha256: str, text: bool, progress: ByteProgress | None) -> None:
    """Append the missing bytes to `part`, never more than the file may have.

    Raises
    ------
    Interrupted, Refused : as in `receive`; Interrupted also if the end is missing, or the kept part does not fit.
    ChecksumError : the address returned a complete file of other content.
    """
    limit = most_bytes(size, text=text)
    with _writing(part):
        file = part.open("r+b")
    with file:
        begin = file.seek(0, os.SEEK_END)
        try:
            if begin < size or text:
                begin = _append(url, file, begin, limit, progress)
        except CannotContinue:
            file.truncate(0)
            raise
        with _writing(part):
            file.flush()
            os.fsync(file.fileno())
            if is_file(part, size, sha256, text=text):
                return
            length, digest = file.seek(0, os.SEEK_END), sha256_of(part, text=text)
            if length < size:
                raise Interrupted(f"the connection ended after {length} of {size} bytes")
            file.truncate(0)
    if begin or text:  # the length of a text does not say whether its end is missing
        raise Interrupted("the received and the kept part together are not the file")
    raise ChecksumError(part, sha256, digest)


def _append(url: str, file: BinaryIO, begin: int, limit: int, progress: ByteProgress | None) -> int:
    """Write the received bytes from `begin` on; returns where they really began. The position of `file` is the end."""
    first = begin
    with contextlib.closing(receive(url, begin, limit + 1)) as chunks:
        for number, (offset, chunk) in enumerate(chunks):
            first = offset if number == 0 else first
            if offset + len(chunk) > limit:
                raise CannotContinue(f"sent more than the {limit} bytes of the file")
            with _writing(Path(file.name)):
                file.seek(offset)
                file.write(chunk)
                file.truncate()  # if the server started again, the kept part is discarded
            if progress:
                progress(offset + len(chunk), limit)
    return first


def _adopt_part(target: Path, limit: int) -> Path:
    """The part file of this download beside `target`: the longest left by earlier downloads, else an empty one."""
    part = target.with_name(f"{target.name}.part-{os.getpid()}-{secrets.token_hex(8)}")
    kept: list[tuple[int, Path]] = []
    for left in target.parent.iterdir():
        if left.name != f"{target.name}.part" and not left.name.startswith(f"{target.name}.part-"):
            continue
        about = left.lstat()
        if stat.S_ISREG(about.st_mode) and about.st_size <= limit:
            kept.append((about.st_size, left))
        else:
            left.unlink()
    for _, left in sorted(kept, reverse=True)[1:]:
        left.unlink()
    if kept:
        os.replace(max(kept)[1], part)
    else:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    return part


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of local files into errors that end the download, because another server cannot help."""
    try:
        yield
    except OSError as error:
        raise DownloadError(
            f"{path} cannot be written: {error.strerror or error}. Free space or choose another folder "
            "(OPENFACE_MODELS_DIR, --dir), then repeat; the received part is kept."
        ) from error
