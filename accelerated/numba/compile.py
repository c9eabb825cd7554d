"""How kernels are compiled: once, cached on disk, without the GIL; and the operations that Numba has no name for.

Numba's own cache of a function looks only at the file that the function stands in. Ours call each other across files,
and use constants of others: the key of an entry here also holds a hash of all sources of this folder, and the constants
that a function and those it calls find in their modules. Numba unpickles what it finds and loads it as machine code;
here an entry is read only where it is this user's alone (accelerated/cache.py) and has the SHA-256 that it carries.
"""

from __future__ import annotations

import hashlib
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps
from numba.extending import intrinsic

from auparity.accelerated.cache import kernels_folder, read_own, write_own
from auparity.errors import AuparityWarning

#: What an entry begins with; another layout has another one.
MAGIC = b"auparity numba 1\n"
HASH_BYTES = 32
#: What Numba takes from a module as a constant of the code that it compiles.
CONSTANTS = (int, float, complex, str, bytes, np.generic, np.ndarray, tuple)


@lru_cache(maxsize=1)
def sources_hash() -> str:
    """SHA-256 of every source file of this folder, names included."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _Locator:
    """Tells Numba where entries are, and what they depend on."""

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Locator:
        return cls(function, file)

    def get_cache_path(self) -> str:
        return ""  # it is looked up when it is needed: importing a kernel touches no disk

    def ensure_cache_path(self) -> None:
        """It was made when it was chosen."""

    def get_source_stamp(self) -> str:
        return sources_hash()

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Results(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class Entries:
    """Compiled code by key, a file each in `kernels_folder`; takes the place of Numba's index and data files.

    Parameters
    ----------
    name : of the function, for people who look into the folder.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def load(self, key: Any) -> Any:
        """What was saved under an equal key; None where nothing was, or it is not whole and ours."""
        path = self._path(key)
        content = None if path is None else read_own(path)
        begin = len(MAGIC) + HASH_BYTES
        if content is None or content[: len(MAGIC)] != MAGIC:
            return None
        if hashlib.sha256(content[begin:]).digest() != content[len(MAGIC) : begin]:
            return None
        stored, data = pickle.loads(content[begin:])
        return data if stored == key else None

    def save(self, key: Any, data: Any) -> None:
        """Keep `data`; a disk that is full costs compiling again, not the run."""
        if (path := self._path(key)) is None:
            return
        content = dumps((key, data))
        try:
            write_own(path, MAGIC + hashlib.sha256(content).digest() + content)
        except OSError as error:
            _warn_unsaved(str(path.parent), error.strerror)

    def flush(self) -> None:
        """Forget every entry of the function."""
        if (folder := kernels_folder()) is not None:
            for path in folder.glob(f"{self._name}.*"):
                path.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path | None:
        folder, name = kernels_folder(), f"{self._name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:32]}"
        return None if folder is None else folder / name


@lru_cache(maxsize=1)
def _warn_unsaved(folder: str, why: str | None) -> None:
    warnings.warn(f"Compiled kernels cannot be kept in {folder} ({why}).", AuparityWarning, stacklevel=2)


class _Cache(FunctionCache):  # type: ignore[misc]
    _impl_class = _Results

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = Entries(self._impl.filename_base)

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        versions = (numba.__version__, llvmlite.__version__, sys.version_info[:2])
        return (*super()._index_key(sig, codegen), versions, sources_hash(), constants_hash(self._py_func))


def constants_hash(function: Callable[..., Any]) -> str:
    """SHA-256 of the constants that a function, and every kernel that it calls, finds in its module or closure."""
    digest = hashlib.sha256()
    for name, value in _constants(function, set()):
        array = np.asarray(value)
        digest.update(f"{name} {type(value).__name__} {array.dtype} {array.shape}\0".encode())
        digest.update(repr(value).encode() if array.dtype == object else array.tobytes())
    return digest.hexdigest()


def _constants(function: Any, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    if function in seen:
        return
    seen.add(function)
    names = sorted(set(_names(function.__code__)))
    globals_used = {name: function.__globals__[name] for name in names if name in function.__globals__}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    globals_used |= {name: cell.cell_contents for name, cell in cells}
    for name, value in globals_used.items():
        if isinstance(value, ModuleType):
            parts = {f"{name}.{each}": getattr(value, each) for each in names if hasattr(value, each)}
        else:
            parts = {name: value}
        for place, part in parts.items():
            called = getattr(part, "py_func", None)
            if isinstance(called, FunctionType):
                yield from _constants(called, seen)
            elif isinstance(part, CONSTANTS):
                yield place, part


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def kernel(function: Callable[..., Any] | None = None, *, fastmath: bool | set[str] = False, **options: Any) -> Any:
    """Decorator: a compiled function that holds no GIL and is cached on disk, where there is a place for it.

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
    """a * b + c with one rounding, as the C++ program's compiler contracts it; all of one float type."""
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, b, c), generate
