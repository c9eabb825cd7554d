"""Register tiles: sums of products in explicit vectors of sixteen floats, which Numba's own loops keep in memory.

LLVM promotes the accumulators below to registers and splits a vector if the processor's are narrower, so that one
description is used for AVX-512, AVX2 and NEON; only the number of accumulators depends on the processor.
"""

from __future__ import annotations

from typing import Any

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add
from auparity.accelerated.numba.instructions import has_wide_registers

LANES = 16  #: floats of one vector
UNALIGNED = 4  # bytes

#: Neurons and vectors of positions of a correlation tile: as many accumulators as fit beside what is loaded.
TILE_NEURONS, TILE_POSITIONS = (7, 3) if has_wide_registers() else (4, 1)


def vector() -> ir.VectorType:
    """The type of sixteen floats."""
    return ir.VectorType(ir.FloatType(), LANES)


def address(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, offset: Any) -> Any:
    """Address of an element of a contiguous float32 array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset], inbounds=True)


def load(builder: ir.IRBuilder, pointer: Any) -> Any:
    typed = builder.bitcast(pointer, vector().as_pointer())
    return builder.load(typed, align=UNALIGNED)


def store(builder: ir.IRBuilder, value: Any, pointer: Any) -> None:
    typed = builder.bitcast(pointer, vector().as_pointer())
    builder.store(value, typed, align=UNALIGNED)


def broadcast(builder: ir.IRBuilder, pointer: Any) -> Any:
    scalar = builder.load(pointer)
    undefined = ir.Constant(vector(), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, mask)


def _correlation_tile(vectors: int) -> Any:
    @intrinsic
    def correlation_tile(
        typing_context: Any, lines: Any, start: Any, plane: Any, window: Any, weights: Any, first: Any, rows: Any,
        columns: Any, out: Any, out_start: Any, out_neuron: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(
            lines, types.intp, types.intp, types.intp, weights, types.intp, types.intp, types.intp, out, types.intp,
            types.intp,
        )  # fmt: skip

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            lines_, start_, plane_, window_, weights_, first_, rows_, columns_, out_, out_start_, out_neuron_ = args
            zero, index = ir.Constant(vector(), [0.0] * LANES), start_.type
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(TILE_NEURONS)]
            base = address(context, builder, sig.args[0], lines_, start_)
            taps = address(context, builder, sig.args[4], weights_, first_)
            with cgutils.for_range(builder, rows_) as down, cgutils.for_range(builder, columns_) as across:
                at = builder.add(builder.mul(across.index, plane_), builder.mul(down.index, window_))
                line = builder.gep(base, [at])
                tap = builder.add(builder.mul(down.index, columns_), across.index)
                column = builder.gep(taps, [builder.mul(tap, ir.Constant(index, TILE_NEURONS))])
                loaded = [load(builder, builder.gep(line, [ir.Constant(index, LANES * v)])) for v in range(vectors)]
                for n in range(TILE_NEURONS):
                    weight = broadcast(builder, builder.gep(column, [ir.Constant(index, n)]))
                    for v in range(vectors):
                        builder.store(multiply_add(builder, weight, loaded[v], builder.load(sums[n][v])), sums[n][v])
            target = address(context, builder, sig.args[8], out_, out_start_)
            for n in range(TILE_NEURONS):
                row = builder.gep(target, [builder.mul(out_neuron_, ir.Constant(index, n))])
                for v in range(vectors):
                    store(builder, builder.load(sums[n][v]), builder.gep(row, [ir.Constant(index, LANES * v)]))
            return context.get_dummy_value()

        return signature, generate

    return correlation_tile


#: correlation_tile_V(lines, start, plane, window, weights, first, rows, columns, out, out_start, out_neuron):
#: out[out_start + n * out_neuron + lane] = sum over taps (v, u) of weights[first + (v * columns + u) * TILE_NEURONS +
#: n] * lines[start + u * plane + v * window + lane], for TILE_NEURONS neurons and 16 V lanes.
correlation_tile_1, correlation_tile_2, correlation_tile_3 = (_correlation_tile(count) for count in (1, 2, 3))


@intrinsic
def copy_vector(typing_context: Any, source: Any, start: Any, minus: Any, out: Any, out_start: Any) -> Any:
    """out[out_start + lane] = source[start + lane] - minus, sixteen lanes of float32."""
    signature = types.void(source, types.intp, types.float32, out, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        source_, start_, minus_, out_, out_start_ = args
        undefined = ir.Constant(vector(), ir.Undefined)
        first = builder.insert_element(undefined, minus_, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        values = load(builder, address(context, builder, sig.args[0], source_, start_))
        level = builder.shuffle_vector(first, undefined, mask)
        store(builder, builder.fsub(values, level), address(context, builder, sig.args[3], out_, out_start_))
        return context.get_dummy_value()

    return signature, generate


#: Units and vectors of positions of a product tile: 25 accumulators, or twelve of AVX2's sixteen registers.
TILE_UNITS, MOST_VECTORS = (5, 5) if has_wide_registers() else (6, 1)


def _product_tile(vectors: int) -> Any:
    """A tile of TILE_UNITS units by `vectors` vectors of lanes of a product weights @ inputs."""

    @intrinsic
    def product_tile(
        typing_context: Any, weights: Any, first: Any, inputs: Any, start: Any, offsets: Any, depth: Any, out: Any,
        out_start: Any, out_stride: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(
            weights, types.intp, inputs, types.intp, offsets, types.intp, out, types.intp, types.intp
        )

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            weights_, first_, inputs_, start_, offsets_, depth_, out_, out_start_, out_stride_ = args
            zero, index = ir.Constant(vector(), [0.0] * LANES), first_.type
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(TILE_UNITS)]
            taps = address(context, builder, sig.args[0], weights_, first_)
            base = address(context, builder, sig.args[2], inputs_, start_)
            table = context.make_array(sig.args[4])(context, builder, offsets_).data
            with cgutils.for_range(builder, depth_) as along:
                row = builder.gep(base, [builder.load(builder.gep(table, [along.index]))])
                loaded = [load(builder, builder.gep(row, [ir.Constant(index, LANES * v)])) for v in range(vectors)]
                column = builder.gep(taps, [builder.mul(along.index, ir.Constant(index, TILE_UNITS))])
                for unit in range(TILE_UNITS):
                    weight = broadcast(builder, builder.gep(column, [ir.Constant(index, unit)]))
                    for v in range(vectors):
                        total = multiply_add(builder, weight, loaded[v], builder.load(sums[unit][v]))
                        builder.store(total, sums[unit][v])
            target = address(context, builder, sig.args[6], out_, out_start_)
            for unit in range(TILE_UNITS):
                line = builder.gep(target, [builder.mul(out_stride_, ir.Constant(index, unit))])
                for v in range(vectors):
                    place = builder.gep(line, [ir.Constant(index, LANES * v)])
                    store(builder, builder.load(sums[unit][v]), place)
            return context.get_dummy_value()

        return signature, generate

    return product_tile


#: product_tile_V(weights, first, inputs, start, offsets, depth, out, out_start, out_stride): out[out_start + u *
#: out_stride + lane] = sum over k < depth of weights[first + k * TILE_UNITS + u] * inputs[start + offsets[k] + lane],
#: for TILE_UNITS units u and 16 V lanes. `offsets` int64: rows of a matrix, or the taps of a convolution.
product_tile_1, product_tile_2, product_tile_3, product_tile_4, product_tile_5 = map(_product_tile, range(1, 6))
