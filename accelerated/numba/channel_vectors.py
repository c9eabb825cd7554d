"""What networks do to maps besides convolutions, in vectors of sixteen channels (channel_tiles.py): sums, products,
maxima, norms, sigmoids and moments. Explicit, because maps of one arena may overlap for all that a compiler knows, so
that it leaves loops over them as they are: sigmoids of 98 maps of 64 x 64 places took 3.7 ms in a loop (in float64),
and take 0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.numba.channel_tiles import activated
from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add
from auparity.accelerated.numba.vectors import LANES, address, load, store, vector

#: e^x = 2^n e^r with r = x - n ln 2 (Cody and Waite), in float32: adding 1.5 * 2**23 rounds to a whole number, which
#: then stands in the low bits; a series of r to the seventh power is exact to 5e-9.
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
TO_WHOLE, TO_WHOLE_BITS = 12582912.0, 0x4B400000
SERIES = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)
#: Sigmoids of larger values are 1 in float32, those of smaller ones less than 1e-38.
LARGEST_EXPONENT = 87.0
MANTISSA_BITS, EXPONENT_BIAS = 23, 127


def _constant(value: float) -> Any:
    return ir.Constant(vector(), [value] * LANES)


def _of_two(compute: Callable[[ir.IRBuilder, Any, Any], Any]) -> Any:
    @intrinsic
    def of_two(typing_context: Any, arena: Any, one: Any, other: Any, to: Any) -> Any:
        signature = types.void(arena, types.intp, types.intp, types.intp)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            one_, other_, to_ = (address(context, builder, sig.args[0], args[0], at) for at in args[1:])
            store(builder, compute(builder, load(builder, one_), load(builder, other_)), to_)
            return context.get_dummy_value()

        return signature, generate

    return of_two


def _larger(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


#: add_vectors(arena, one, other, to): arena[to + c] = arena[one + c] + arena[other + c], sixteen channels c; their
#: product, and the larger of both.
add_vectors = _of_two(lambda builder, a, b: builder.fadd(a, b))
multiply_vectors = _of_two(lambda builder, a, b: builder.fmul(a, b))
larger_vectors = _of_two(_larger)


def _sigmoid(builder: ir.IRBuilder, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    x = builder.fsub(_constant(0.0), x)
    for limit, order in ((LARGEST_EXPONENT, ">"), (-LARGEST_EXPONENT, "<")):
        x = builder.select(builder.fcmp_ordered(order, x, _constant(limit)), _constant(limit), x)
    shifted = multiply_add(builder, x, _constant(LOG2_E), _constant(TO_WHOLE))
    n = builder.fsub(shifted, _constant(TO_WHOLE))
    rest = multiply_add(builder, n, _constant(-LN2_LOW), multiply_add(builder, n, _constant(-LN2_HIGH), x))
    series = _constant(SERIES[0])
    for factor in SERIES[1:]:
        series = multiply_add(builder, series, rest, _constant(factor))
    kind = ir.VectorType(ir.IntType(32), LANES)

    def whole(number: int) -> Any:
        return ir.Constant(kind, [number] * LANES)

    exponent = builder.sub(builder.bitcast(shifted, kind), whole(TO_WHOLE_BITS - EXPONENT_BIAS))
    power = builder.bitcast(builder.shl(exponent, whole(MANTISSA_BITS)), vector())
    return builder.fdiv(_constant(1.0), builder.fadd(_constant(1.0), builder.fmul(series, power)))


@intrinsic
def sigmoid_vectors(typing_context: Any, arena: Any, start: Any, count: Any, to: Any) -> Any:
    """arena[to + i] = 1 / (1 + exp(-arena[start + i])), i < 16 count."""
    signature = types.void(arena, types.intp, types.intp, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        arena_, start_, count_, to_ = args
        source, target = (address(context, builder, sig.args[0], arena_, at) for at in (start_, to_))
        with cgutils.for_range(builder, count_) as along:
            at = builder.mul(along.index, ir.Constant(start_.type, LANES))
            store(builder, _sigmoid(builder, load(builder, builder.gep(source, [at]))), builder.gep(target, [at]))
        return context.get_dummy_value()

    return signature, generate


def _moment(central: bool) -> Any:
    @intrinsic
    def moment(typing_context: Any, arena: Any, start: Any, count: Any, level: Any, to: Any) -> Any:
        signature = types.void(arena, *[types.intp] * 4)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            arena_, start_, count_, level_, to_ = args
            wide = ir.VectorType(ir.DoubleType(), LANES)
            source, levels, target = (
                address(context, builder, sig.args[0], arena_, at) for at in (start_, level_, to_)
            )
            middle = builder.fpext(load(builder, levels), wide) if central else None
            total = cgutils.alloca_once_value(builder, ir.Constant(wide, [0.0] * LANES))
            with cgutils.for_range(builder, count_) as along:
                at = builder.mul(along.index, ir.Constant(start_.type, LANES))
                value = builder.fpext(load(builder, builder.gep(source, [at])), wide)
                if central:
                    apart = builder.fsub(value, middle)
                    value = builder.fmul(apart, apart)
                builder.store(builder.fadd(builder.load(total), value), total)
            undefined, first = ir.Constant(wide, ir.Undefined), ir.Constant(ir.IntType(32), 0)
            number = builder.insert_element(undefined, builder.sitofp(count_, ir.DoubleType()), first)
            numbers = builder.shuffle_vector(
                number, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            )
            mean = builder.fdiv(builder.load(total), numbers)
            store(builder, builder.fptrunc(mean, vector()), target)
            return context.get_dummy_value()

        return signature, generate

    return moment


#: mean_of_vectors(arena, start, count, level, to): arena[to + c] = the mean of arena[start + 16 i + c], i < count, for
#: sixteen channels c, in float64; variance_of_vectors: of the squares of their distances from arena[level + c].
mean_of_vectors, variance_of_vectors = _moment(False), _moment(True)


@intrinsic
def scaled_vectors(
    typing_context: Any, arena: Any, start: Any, count: Any, weights: Any, first: Any, to: Any
) -> Any:  # fmt: skip
    """arena[to + i * 16 + c] = activated(bias[c] + arena[start + i * 16 + c] * factor[c]), i < count: a norm by itself.

    At weights[first] are sixteen biases, slopes and factors, as of a depthwise convolution of one place.
    """
    signature = types.void(arena, types.intp, types.intp, weights, types.intp, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        arena_, start_, count_, weights_, first_, to_ = args
        lanes = ir.Constant(start_.type, LANES)
        head = address(context, builder, sig.args[3], weights_, first_)
        places = [builder.gep(head, [ir.Constant(start_.type, k * LANES)]) for k in range(3)]
        bias, slopes, factor = (load(builder, place) for place in places)
        source, target = (address(context, builder, sig.args[0], arena_, at) for at in (start_, to_))
        with cgutils.for_range(builder, count_) as along:
            at = builder.mul(along.index, lanes)
            value = multiply_add(builder, load(builder, builder.gep(source, [at])), factor, bias)
            store(builder, activated(builder, value, slopes), builder.gep(target, [at]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def read_bytes(typing_context: Any, line: Any, at: Any, means: Any, arena: Any, to: Any) -> Any:
    """arena[to + i] = line[at + i] - means[at + i], sixteen bytes i."""
    signature = types.void(line, types.intp, means, arena, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        line_, at_, means_, arena_, to_ = args
        data = context.make_array(sig.args[0])(context, builder, line_).data
        kind = ir.VectorType(ir.IntType(8), LANES)
        given = builder.load(builder.bitcast(builder.gep(data, [at_]), kind.as_pointer()), align=1)
        values = builder.uitofp(given, vector())
        means_at = load(builder, address(context, builder, sig.args[2], means_, at_))
        store(builder, builder.fsub(values, means_at), address(context, builder, sig.args[3], arena_, to_))
        return context.get_dummy_value()

    return signature, generate
