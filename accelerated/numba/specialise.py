"""Compile a kernel for the types of some arguments: the only module here that imports Numba.

Numba generates machine code for every function that it meets on the way, which is inlined into the kernel and never
run by itself. Here only the kernel gets machine code: a fifth of the time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import _dynfunc, typeof
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import Environment
from numba.core.registry import cpu_target

from auparity.accelerated.numba.stored import Code

#: What symbols of variables begin with through which compiled functions find their module's names.
ENVIRONMENT = "_ZN08NumbaEnv"


@global_compiler_lock
def compiled(dispatcher: Any, arguments: tuple[Any, ...]) -> Code:
    """The machine code of a kernel.

    Raises
    ------
    NotImplementedError : a kernel that needs objects of Python, or addresses of this process.
    """
    signature = tuple(typeof(argument) for argument in arguments)
    with _without_machine_code():
        dispatcher.compile(signature)
        result = dispatcher.overloads[signature]
        library, about = result.library, result.fndesc
        if library.has_dynamic_globals:
            raise NotImplementedError(f"{about.qualname} holds addresses of this process, which cannot be kept")
    symbols = [each.name for each in library._final_module.global_variables if each.name.startswith(ENVIRONMENT)]
    environments = {symbol: _constants(symbol) for symbol in symbols}
    # Functions without constants never look for them.
    needed = {symbol: constants for symbol, constants in environments.items() if constants or symbol == about.env_name}
    machine_code = library.codegen._tm.emit_object(library._final_module)
    return Code(machine_code, about.llvm_cpython_wrapper_name, about.env_name, needed)


def _constants(symbol: str) -> list[str]:
    """The dtypes of the arrays that a compiled function makes for Python."""
    environment = Environment._memo.get(symbol)
    constants = [] if environment is None else environment.consts
    if not all(isinstance(each, np.dtype) for each in constants):
        raise NotImplementedError(f"a kernel that makes objects of Python: {constants}")
    return [each.str for each in constants]


@ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
def _never(*arguments: Any) -> Any:
    raise RuntimeError("a function that is only a part of kernels was called from Python")


@contextmanager
def _without_machine_code() -> Iterator[None]:
    """Within, Numba generates no machine code.

    It goes on optimising what is inlined: otherwise LLVM inlines less of it, and a frame takes half as long again.
    """

    def no_executable(library: Any, about: Any, environment: Any) -> Any:
        # Numba tells functions apart by these objects.
        address = ctypes.cast(_never, ctypes.c_void_p).value
        name = about.qualname.rpartition(".")[2]
        return _dynfunc.make_function(about.lookup_module(), name, "", address, environment, (library,))

    def only_checked(library: Any) -> None:
        library._finalize_dynamic_globals()
        library._verify_declare_only_symbols()
        library._finalized = True

    context, finalize = cpu_target.target_context, JITCodeLibrary._finalize_final_module
    context.refresh()  # whose own functions are executable
    context.get_executable, JITCodeLibrary._finalize_final_module = no_executable, only_checked
    try:
        yield
    finally:
        del context.get_executable
        JITCodeLibrary._finalize_final_module = finalize
