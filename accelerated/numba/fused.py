"""Fused multiply-adds as instructions, and exactly the same numbers on x86-64 without them.

Sums are rounded once where the C++ program's compiler fuses, so processors without FMA must do so, too. LLVM would call
the C library for every single number there, which changes the rounding mode and back. What is generated here instead
has no branch and works on vectors:

- float32: the product is exact in float64, and the sum is rounded *to odd* there (an inexact sum whose last bit is even
  moves by one towards what was lost), after which rounding to float32 is as if it were the only one.
- float64: the product is split exactly in two (Dekker, Veltkamp), and the three parts are added with the smaller ones
  rounded to odd (Boldo and Melquiond, Emulation of a FMA and correctly rounded sums, 2008).

Products of float64 below 2**-960, whose lower part has no representation, are added with two roundings.
"""

from __future__ import annotations

import platform
from typing import Any

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.instructions import X86, has

#: Splits 53 bits in two times 26.
VELTKAMP = float(2**27 + 1)
LEAST_PRODUCT = 2.0**-960
SIGN = 63  # bit of float64


def is_instruction() -> bool:
    """Whether the processor that kernels are compiled for fuses; those that are not of x86-64 do."""
    return platform.machine().lower() not in X86 or has("fma")


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c with one rounding, as the C++ program's compiler contracts it; all of one float type."""
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return multiply_add(builder, *args)

    return a(a, b, c), generate


def multiply_add(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once, of floats or doubles or vectors of either."""
    lanes = a.type.count if isinstance(a.type, ir.VectorType) else 0
    is_single = isinstance(a.type.element if lanes else a.type, ir.FloatType)
    if not is_instruction():
        return (_single if is_single else _double)(builder, a, b, c, lanes)
    name = f"llvm.fma.{f'v{lanes}' if lanes else ''}f{32 if is_single else 64}"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def _single(builder: ir.IRBuilder, a: Any, b: Any, c: Any, lanes: int) -> Any:
    wide = _of(ir.DoubleType(), lanes)
    a_wide, b_wide, c_wide = (builder.fpext(value, wide) for value in (a, b, c))
    return builder.fptrunc(_odd_sum(builder, builder.fmul(a_wide, b_wide), c_wide, lanes), a.type)


def _double(builder: ir.IRBuilder, a: Any, b: Any, c: Any, lanes: int) -> Any:
    product = builder.fmul(a, b)
    (a_high, a_low), (b_high, b_low) = _halves(builder, a, lanes), _halves(builder, b, lanes)
    rest = builder.fsub(product, builder.fmul(a_high, b_high))
    rest = builder.fsub(builder.fsub(rest, builder.fmul(a_low, b_high)), builder.fmul(a_high, b_low))
    lower = builder.fsub(builder.fmul(a_low, b_low), rest)
    middle, lowest = _sum(builder, c, lower)
    highest, higher = _sum(builder, product, middle)
    exact = builder.fadd(highest, _odd_sum(builder, lowest, higher, lanes))
    # Infinities leave a difference that is no number, and products that are too small nothing to split: two roundings.
    magnitude = builder.and_(_bits(builder, product, lanes), _whole((1 << SIGN) - 1, lanes))
    large = builder.fcmp_ordered(">=", builder.bitcast(magnitude, a.type), _number(LEAST_PRODUCT, lanes))
    finite = builder.fcmp_ordered("==", builder.fsub(exact, exact), _number(0.0, lanes))
    return builder.select(builder.and_(large, finite), exact, builder.fadd(product, c))


def _halves(builder: ir.IRBuilder, value: Any, lanes: int) -> tuple[Any, Any]:
    """The upper half of the digits of a double, and the rest."""
    scaled = builder.fmul(value, _number(VELTKAMP, lanes))
    high = builder.fsub(scaled, builder.fsub(scaled, value))
    return high, builder.fsub(value, high)


def _sum(builder: ir.IRBuilder, a: Any, b: Any) -> tuple[Any, Any]:
    """a + b, rounded, and what the rounding lost (Knuth, Moeller)."""
    total = builder.fadd(a, b)
    of_b = builder.fsub(total, a)
    lost = builder.fadd(builder.fsub(a, builder.fsub(total, of_b)), builder.fsub(b, of_b))
    return total, lost


def _odd_sum(builder: ir.IRBuilder, a: Any, b: Any, lanes: int) -> Any:
    """a + b, rounded to odd: exact, or that of the two neighbours whose last bit is 1."""
    total, lost = _sum(builder, a, b)
    inexact = builder.sext(builder.fcmp_ordered("!=", lost, _number(0.0, lanes)), _of(ir.IntType(64), lanes))
    bits, one = _bits(builder, total, lanes), _whole(1, lanes)
    apart = builder.xor(bits, _bits(builder, lost, lanes))
    step = builder.or_(builder.ashr(apart, _whole(SIGN, lanes)), one)  # -1 towards zero, 1 away from it
    if_even = builder.sub(builder.and_(bits, one), one)  # all bits, or none
    moved = builder.add(bits, builder.and_(step, builder.and_(if_even, inexact)))
    return builder.bitcast(moved, a.type)


def _of(kind: Any, lanes: int) -> Any:
    return ir.VectorType(kind, lanes) if lanes else kind


def _bits(builder: ir.IRBuilder, value: Any, lanes: int) -> Any:
    return builder.bitcast(value, _of(ir.IntType(64), lanes))


def _number(value: float, lanes: int) -> Any:
    return ir.Constant(_of(ir.DoubleType(), lanes), [value] * lanes if lanes else value)


def _whole(value: int, lanes: int) -> Any:
    return ir.Constant(_of(ir.IntType(64), lanes), [value] * lanes if lanes else value)
