"""A limit on what a decoder may allocate in the decoding child: a damaged file can ask for gigabytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Bytes that a decoder may map in addition to those mapped already: stacks and arenas of threads, tables, the file.
BASE_BYTES = 1 << 30
#: And bytes for every declared pixel: several pictures at once (references, threads) and their conversions.
BYTES_PER_PIXEL = 64

#: Where Linux says how much is mapped; a root without /proc (chroot, some containers) has none.
STATM = Path("/proc/self/statm")

_enabled = False


def enable() -> None:
    """Switch the limit on; only for processes that do nothing but decode."""
    global _enabled
    _enabled = sys.platform == "linux" and STATM.is_file()  # else it is not enforced, or the mapped size unknown


@contextmanager
def memory_for(pixels: int) -> Iterator[None]:
    """Allow what decoding pictures of so many pixels needs; more ends in `MemoryError` or the decoder's own error."""
    if not _enabled:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = mapped + BASE_BYTES + BYTES_PER_PIXEL * pixels
    inherited = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *inherited]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
