"""A limit on what a decoder may allocate in the decoding child: a damaged file can ask for gigabytes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What a decoder may map beyond what is mapped already: threads' stacks and arenas, tables, the file itself.
BASE_BYTES = 1 << 30
#: And for every declared pixel: several pictures in flight (references, threads) and conversions between them.
BYTES_PER_PIXEL = 64

_enabled = False


def enable() -> None:
    """Limit from now on; for processes that do nothing but decode."""
    global _enabled
    _enabled = sys.platform == "linux"  # elsewhere the limit is not kept, or what is mapped cannot be asked for


@contextmanager
def memory_for(pixels: int) -> Iterator[None]:
    """Allow what decoding pictures of so many pixels needs; more ends in `MemoryError` or the decoder's own error."""
    if not _enabled:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = mapped + BASE_BYTES + BYTES_PER_PIXEL * pixels
    inherited = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([limit, *inherited]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
