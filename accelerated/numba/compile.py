"""How kernels are compiled: once, cached on disk, without the GIL; and the operations that Numba has no name for.

Numba's cache of a function looks only at the file that the function stands in. Ours call each other across files, so a
cached caller would keep the old code of what it calls: the index here also holds a hash of all sources of this folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.extending import intrinsic


@lru_cache(maxsize=1)
def sources_hash() -> str:
    """SHA-256 of every source file of this folder, names included."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _Cache(FunctionCache):  # type: ignore[misc]
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), sources_hash())


def kernel(function: Callable[..., Any] | None = None, *, fastmath: bool | set[str] = False, **options: Any) -> Any:
    """Decorator: a compiled function that holds no GIL and is cached on disk.

    `fastmath` stays off unless a kernel says why its sums may be reordered: results must not depend on what the
    compiler finds fast today.
    """

    def compile_lazily(f: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, error_model="numpy", fastmath=fastmath, **options)(f)
        dispatcher._cache = _Cache(f)
        return dispatcher

    return compile_lazily if function is None else compile_lazily(function)


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c with one rounding, as the golden program's compiler contracts it; all of one float type."""
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, b, c), generate
