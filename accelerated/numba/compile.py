"""How kernels are called: compiled once by Numba, kept on disk as machine code, and run from there without Numba.

A `Kernel` has a specialisation for each combination of argument types that it met. It takes one from the cache, which
costs under a millisecond and no import of Numba (machine_code.py), or has it compiled (specialise.py), which costs
seconds. Its calls find the specialisation by a check of the arguments that is machine code too (guard.py).

That rests on parts of Numba that are not documented. With a Numba that has them no more, or has others, a kernel is
called as Numba calls it: with the same results, but compiled anew in every process; a warning says so.

The key of a stored specialisation holds the argument types, a hash of all sources of this folder and of the kernel's
own, the constants that the kernel and those it calls find in their modules (Numba compiles them in), and everything of
the machine that decides how code is generated.
"""

from __future__ import annotations

import functools
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from auparity.accelerated.numba import stored, together
from auparity.accelerated.numba.arguments import canonical, key_of, of_key
from auparity.accelerated.numba.fork_safety import forget_after_fork, using_llvm
from auparity.accelerated.numba.guard import guarded
from auparity.accelerated.numba.machine_code import machine
from auparity.errors import AuparityWarning, LockHeld

#: What is raised where Numba, or llvmlite, is not as we know it; errors in a kernel itself are Numba's own.
UNKNOWN_NUMBA = (AttributeError, ImportError, NotImplementedError, RuntimeError, TypeError, ValueError)
#: What Numba takes from a module as a constant of the code that it compiles.
CONSTANTS = (int, float, complex, str, bytes, np.generic, np.ndarray, tuple)


@lru_cache(maxsize=8)
def sources_hash(folder: Path = Path(__file__).parent) -> str:
    """SHA-256 of every source file of a folder, names included."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class Kernel:
    """A function of arrays and numbers that is compiled for the types it is called with; positional arguments only.

    Other kernels call it inside compiled code. It holds no GIL while it runs.

    Parameters
    ----------
    function : its meaning, in the part of Python and NumPy that Numba compiles.
    options : of `numba.njit`.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.options = options
        #: Callables that return NotImplemented for arguments of other types, by key of the types.
        self.specialisations: dict[str, Callable[..., Any]] = {}
        self._in_order: tuple[Callable[..., Any], ...] = ()
        self._made: list[Any] = []  # what the specialisations call
        self._lock = threading.Lock()
        forget_after_fork(self)

    def __call__(self, *arguments: Any) -> Any:
        for specialisation in self._in_order:
            result = specialisation(*arguments)
            if result is not NotImplemented:
                return result
        return self._specialised(arguments)

    def _specialised(self, arguments: tuple[Any, ...]) -> Any:
        """The result of a call whose types, or forms of types, no specialisation has taken."""
        arguments = tuple(canonical(argument) for argument in arguments)
        key = key_of(arguments)
        with self._lock:
            if key not in self.specialisations:
                made = self._function(key)
                self._made.append(made)
                with using_llvm():
                    self.specialisations[key] = guarded(made, arguments)
                self._in_order = tuple(self.specialisations.values())
        return self.specialisations[key](*arguments)

    def _function(self, key: str) -> Any:
        """What a specialisation calls: machine code, or what Numba calls where it is another than we know."""
        try:
            code = self.code(key)
            with using_llvm():
                return stored.python_function_of(self.py_func, code)
        except UNKNOWN_NUMBA as error:
            _warn_unknown(f"{type(error).__name__}: {error}")
            with using_llvm():
                return self._dispatcher(no_cfunc_wrapper=False)

    def code(self, key: str) -> stored.Code:
        """The machine code for arguments of a key: from the cache, else compiled and put there."""
        find = partial(stored.find, self.entry(key))
        try:
            return find() or together.compiled_by_team(self, key, find) or self.made(key, together.PATIENCE)
        except LockHeld:  # by a process that does not come to an end
            return self._compiled(key)

    def made(self, key: str, patience: float) -> stored.Code:
        """The machine code for arguments of a key, compiled by one process: this one, or another that is at it.

        Raises
        ------
        LockHeld : another process is at it for longer than `patience` seconds.
        """
        entry = self.entry(key)
        with stored.making(entry, patience):
            return stored.find(entry) or self._compiled(key)

    def _compiled(self, key: str) -> stored.Code:
        """Compile for arguments of a key, and put the machine code into the cache."""
        with using_llvm():
            from auparity.accelerated.numba.specialise import compiled

            code = compiled(self._dispatcher(), of_key(key))
        stored.keep(self.entry(key), code)
        return code

    def is_kept(self, key: str) -> bool:
        """Whether machine code for arguments of a key is in the cache."""
        return stored.find(self.entry(key)) is not None

    def forget_locks(self) -> None:
        """Of threads that a forked process does not have."""
        self._lock = threading.Lock()

    def entry(self, key: str) -> stored.Entry:
        """Where the machine code for arguments of a key is kept."""
        return stored.Entry(self.name, "\n".join((*self.depends_on(), key)))

    def _dispatcher(self, **options: Any) -> Any:
        """Numba's object for this kernel."""
        from numba import njit

        options = {"no_cfunc_wrapper": True, **self.options, **options}
        return njit(nogil=True, error_model="numpy", **options)(self.py_func)

    @cached_property
    def _inner(self) -> Any:
        """Numba's object for this kernel as a part of others, which Python does not call."""
        return self._dispatcher(no_cpython_wrapper=True)

    @property
    def _numba_type_(self) -> Any:
        """What Numba asks of an object that it finds in the code of another kernel."""
        from numba import types

        return types.Dispatcher(self._inner)

    @property
    def name(self) -> str:
        """Module and function, for people who look into the folder of the cache."""
        return f"{self.py_func.__module__.rpartition('.')[2]}.{self.py_func.__qualname__}"

    def depends_on(self) -> tuple[str, ...]:
        """What decides the machine code, besides the types of the arguments."""
        options = repr(sorted((name, _in_one_order(value)) for name, value in self.options.items()))
        place = f"{self.py_func.__module__}:{self.py_func.__code__.co_firstlineno}"
        own = sources_hash(Path(self.py_func.__code__.co_filename).parent)
        return (place, options, machine(), sources_hash(), own, constants_hash(self.py_func))


@lru_cache(maxsize=1)
def _warn_unknown(why: str) -> None:
    warnings.warn(
        f"This Numba keeps its machine code in a way that auparity does not know ({why}): kernels are compiled anew in "
        "every process, which takes up to a minute. Install a version that is known to work: pip install numba==0.68.*",
        AuparityWarning, stacklevel=2,
    )  # fmt: skip


def _in_one_order(option: Any) -> str:
    return repr(sorted(option) if isinstance(option, set) else option)


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
            called = part.py_func if isinstance(part, Kernel) else None
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
    """Decorator: a `Kernel`.

    `fastmath` stays off unless a kernel says why its sums may be reordered: results must not depend on what the
    compiler finds fast today.
    """

    def compile_lazily(f: Callable[..., Any]) -> Kernel:
        return Kernel(f, {"fastmath": fastmath, **options})

    return compile_lazily if function is None else compile_lazily(function)
