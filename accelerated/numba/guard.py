"""The check that a call's arguments are of the types that machine code was made for.

Numba checks them in its dispatcher, which needs Numba. Here a specialisation is a function of C that compares each
argument with what is expected and then calls the wrapper around the machine code, or returns NotImplemented. It is
generated from a few lines of LLVM's language and knows where CPython and NumPy keep the type of an object and the
fields of an array. Where they do not keep them there (another interpreter, another layout), which is tried before its
first use, the same check is made in Python.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import binding

from auparity.accelerated.numba import stored
from auparity.accelerated.numba.arguments import SCALARS, canonical, key_of, order_of
from auparity.accelerated.numba.machine_code import Linked, machine, target_machine

#: Flags of NumPy's arrays, and of methods of CPython.
C_ORDER, F_ORDER, ALIGNED, WRITEABLE = 0x1, 0x2, 0x100, 0x400
METH_FASTCALL = 0x80
#: Field by field of a 64-bit CPython: type of an object, and content of bytes.
TYPE_AT, BYTES_AT = 8, 32
#: Of NumPy's arrays: number of axes, dtype, flags; of dtypes: byte order, number of the type.
AXES_AT, DTYPE_AT, FLAGS_AT = 24, 56, 64
BYTEORDER_AT, NUMBER_AT = 26, 28
#: What describes an argument: kind; of an array its type, dtype's number, number of axes, mask and value of the flags;
#: of a number its type and another that may stand for it.
ARRAY, SCALAR = 0, 1
FIELDS = 6
ENTRY = struct.Struct(f"<{FIELDS}q")
NAME = "auparity_guard"

#: self is `bytes`: address of the function to call, number of arguments, then an `ENTRY` for each.
_CHECK = f"""
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_IncRef(ptr)
@_Py_NotImplementedStruct = external global i8

define ptr @{NAME}(ptr %self, ptr %arguments, i64 %count) {{
begin:
  %function.at = getelementptr i8, ptr %self, i64 {BYTES_AT}
  %expected.at = getelementptr i64, ptr %function.at, i64 1
  %expected = load i64, ptr %expected.at
  %same.count = icmp eq i64 %count, %expected
  br i1 %same.count, label %next, label %no
next:
  %k = phi i64 [ 0, %begin ], [ %k.next, %good ]
  %end = icmp eq i64 %k, %count
  br i1 %end, label %call, label %check
check:
  %offset = mul i64 %k, {FIELDS}
  %from = add i64 %offset, 2
  %entry = getelementptr i64, ptr %function.at, i64 %from
  %kind = load i64, ptr %entry
  %first.at = getelementptr i64, ptr %entry, i64 1
  %first = load i64, ptr %first.at
  %second.at = getelementptr i64, ptr %entry, i64 2
  %second = load i64, ptr %second.at
  %argument.at = getelementptr ptr, ptr %arguments, i64 %k
  %argument = load ptr, ptr %argument.at
  %type.at = getelementptr i8, ptr %argument, i64 {TYPE_AT}
  %type = load i64, ptr %type.at
  %is.first = icmp eq i64 %type, %first
  %is.array = icmp eq i64 %kind, {ARRAY}
  br i1 %is.array, label %array, label %scalar
scalar:
  %is.second = icmp eq i64 %type, %second
  %is.either = or i1 %is.first, %is.second
  br i1 %is.either, label %good, label %no
array:
  br i1 %is.first, label %fields, label %no
fields:
  %axes.at = getelementptr i8, ptr %argument, i64 {AXES_AT}
  %axes.32 = load i32, ptr %axes.at
  %axes = sext i32 %axes.32 to i64
  %axes.wanted.at = getelementptr i64, ptr %entry, i64 3
  %axes.wanted = load i64, ptr %axes.wanted.at
  %same.axes = icmp eq i64 %axes, %axes.wanted
  %flags.at = getelementptr i8, ptr %argument, i64 {FLAGS_AT}
  %flags.32 = load i32, ptr %flags.at
  %flags = zext i32 %flags.32 to i64
  %mask.at = getelementptr i64, ptr %entry, i64 4
  %mask = load i64, ptr %mask.at
  %masked = and i64 %flags, %mask
  %flags.wanted.at = getelementptr i64, ptr %entry, i64 5
  %flags.wanted = load i64, ptr %flags.wanted.at
  %same.flags = icmp eq i64 %masked, %flags.wanted
  %dtype.at = getelementptr i8, ptr %argument, i64 {DTYPE_AT}
  %dtype = load ptr, ptr %dtype.at
  %number.at = getelementptr i8, ptr %dtype, i64 {NUMBER_AT}
  %number.32 = load i32, ptr %number.at
  %number = sext i32 %number.32 to i64
  %same.number = icmp eq i64 %number, %second
  %byteorder.at = getelementptr i8, ptr %dtype, i64 {BYTEORDER_AT}
  %byteorder = load i8, ptr %byteorder.at
  %native = icmp ne i8 %byteorder, {ord(">")}
  %form = and i1 %same.axes, %same.flags
  %content = and i1 %same.number, %native
  %same = and i1 %form, %content
  br i1 %same, label %good, label %no
good:
  %k.next = add i64 %k, 1
  br label %next
call:
  %function = load ptr, ptr %function.at
  %result = call ptr @PyObject_Vectorcall(ptr %function, ptr %arguments, i64 %count, ptr null)
  ret ptr %result
no:
  call void @Py_IncRef(ptr @_Py_NotImplementedStruct)
  ret ptr @_Py_NotImplementedStruct
}}
"""


class _Method(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (("name", ctypes.c_char_p), ("address", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("doc", ctypes.c_char_p))  # fmt: skip


def guarded(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """A callable that passes arguments of the types of `arguments` on to `function`, and else returns NotImplemented.

    It holds no reference to `function`, which has to live as long.
    """
    method = _method()
    return _in_python(function, arguments) if method is None else _in_c(method, function, arguments)


def _in_c(method: _Method, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    entries = b"".join(ENTRY.pack(*_described(argument)) for argument in arguments)
    described = struct.pack("<2q", id(function), len(arguments)) + entries
    return _new_function()(ctypes.byref(method), described, None)


def _described(argument: Any) -> tuple[int, int, int, int, int, int]:
    """The fields of an `ENTRY`."""
    if not isinstance(argument, np.ndarray):
        kinds = next((kinds for kinds in SCALARS.values() if type(argument) in kinds), (type(argument),) * 2)
        return SCALAR, id(kinds[0]), id(kinds[1]), 0, 0, 0
    order = order_of(argument)
    mask = C_ORDER | ALIGNED | WRITEABLE | (0 if order == "C" else F_ORDER)  # one row is in both orders: C
    wanted = {"C": C_ORDER, "F": F_ORDER, "A": 0}[order]
    wanted |= ALIGNED * argument.flags.aligned | WRITEABLE * argument.flags.writeable
    return ARRAY, id(np.ndarray), argument.dtype.num, argument.ndim, mask, wanted


def _in_python(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[..., Any]:
    key = key_of(arguments)

    def check(*given: Any) -> Any:
        plain = tuple(canonical(argument) for argument in given)
        return function(*plain) if key_of(plain) == key else NotImplemented

    return check


@lru_cache(maxsize=1)
def _new_function() -> Any:
    new = ctypes.pythonapi.PyCFunction_NewEx
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return new


@lru_cache(maxsize=1)
def _method() -> _Method | None:
    """The check in machine code; None where objects are laid out otherwise."""
    usual = (sys.implementation.name, sys.byteorder, object.__basicsize__, bytes.__basicsize__)
    if usual != ("cpython", "little", 2 * TYPE_AT, BYTES_AT + 1) or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    binding.add_symbol("_Py_NotImplementedStruct", id(NotImplemented))
    try:
        linked = Linked(_object_code())
    except RuntimeError:  # an LLVM that does not read these lines
        return None
    method = _Method(NAME.encode(), linked.function(NAME), METH_FASTCALL, None)
    method.linked = linked
    return method if _works(method) else None


def _object_code() -> bytes:
    """Of `_CHECK`, from the cache or generated."""
    entry = stored.Entry(NAME, f"{machine()}{_CHECK}")
    code = stored.find(entry)
    if code is None:
        code = stored.Code(target_machine().emit_object(binding.parse_assembly(_CHECK)), NAME, "", {})
        stored.keep(entry, code)
    return code.machine_code


def _works(method: _Method) -> bool:
    """Whether the check finds out arrays and numbers of all kinds here."""
    square = np.zeros((2, 2), np.float32)
    locked = square.copy()
    locked.flags.writeable = False
    others = (
        square.T.copy().T, square[:, :1], locked, square[0], square.astype(np.float64), square.astype(">f4"), 1, None,
        np.float32(1),
    )  # fmt: skip
    array = _in_c(method, _passed, (square,))
    number = _in_c(method, _passed, (1.0,))
    return (
        array(square.copy()) is True
        and all(array(other) is NotImplemented for other in (*others, 1.0))
        and number(2.0) is True
        and number(np.float64(2)) is True
        and all(number(other) is NotImplemented for other in (*others, square, True))
        and number() is NotImplemented
        and number(1.0, 1.0) is NotImplemented
    )


def _passed(argument: Any) -> bool:
    return True
