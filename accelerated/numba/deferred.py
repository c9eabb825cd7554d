"""What only compiling needs, imported when kernels are compiled and not when they are loaded: Numba takes a quarter of
a second to import, and kernels that are in the cache run without it (machine_code.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils

__all__ = ["Intrinsic", "cgutils", "intrinsic", "ir", "types"]


class _Module:
    """Stands for a module, which it imports when an attribute is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


if not TYPE_CHECKING:
    ir, types, cgutils = _Module("llvmlite.ir"), _Module("numba.core.types"), _Module("numba.core.cgutils")


class Intrinsic:
    """An operation that generates its own instructions; kernels call it, Python does not.

    Parameters
    ----------
    function : as of `numba.extending.intrinsic`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _numba_type_(self) -> Any:
        """What Numba asks of an object that it finds in a kernel."""
        from numba.core.registry import cpu_target
        from numba.extending import intrinsic as numbas

        operation = numbas(self._function)
        cpu_target.typing_context.refresh()  # which takes note of what was defined since
        return cpu_target.typing_context.resolve_value_type(operation)


def intrinsic(function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, applied when the first kernel that uses it is compiled."""
    return Intrinsic(function)
