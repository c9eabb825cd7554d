"""Register tiles of a fit's small systems (spec 30.1, 30.4, 90.4): eight doubles or sixteen floats at a time.

A face has 34 modes and 68 landmarks: loops over so few spend their time on storing and reading back what they add up,
and on the odd elements at their ends. Here everything that is added up stays in registers and rows are whole vectors,
padded where they must be. Products and sums are rounded one by one as the reference rounds them, in its order.
"""

from __future__ import annotations

from typing import Any

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add

DOUBLES = 8  #: of one vector
SUMS = 16  #: partial sums of a shape, and floats of one of its vectors
RIGID = 7  #: columns of `rigid_tile`: six parameters and the residual
WIDEST = 6  #: vectors of an elimination tile


def _floats(count: int) -> ir.VectorType:
    return ir.VectorType(ir.FloatType(), count)


def _doubles() -> ir.VectorType:
    return ir.VectorType(ir.DoubleType(), DOUBLES)


def _data(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


def _vector(builder: ir.IRBuilder, pointer: Any, offset: Any, kind: ir.VectorType) -> Any:
    """Pointer to the vector that begins `offset` elements after `pointer`."""
    return builder.bitcast(builder.gep(pointer, [offset]), kind.as_pointer())


def _everywhere(builder: ir.IRBuilder, value: Any, kind: ir.VectorType) -> Any:
    """A scalar in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, lanes)


def _elimination_tile(vectors: int) -> Any:
    @intrinsic
    def elimination_tile(
        typing_context: Any, upper: Any, stride: Any, row: Any, first: Any, factor: Any, squares: Any
    ) -> Any:
        signature = types.void(upper, types.intp, types.intp, types.intp, types.float64, squares)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            upper_, stride_, row_, first_, factor_, squares_ = args
            steps = [ir.Constant(stride_.type, DOUBLES * v) for v in range(vectors)]
            matrix = _data(context, builder, sig.args[0], upper_)
            totals = _data(context, builder, sig.args[5], squares_)
            own = builder.gep(matrix, [builder.add(builder.mul(row_, stride_), first_)])
            places = [_vector(builder, own, step, _floats(DOUBLES)) for step in steps]
            rest = [
                cgutils.alloca_once_value(builder, builder.fpext(builder.load(place, align=4), _doubles()))
                for place in places
            ]
            with cgutils.for_range(builder, row_) as above:
                line = builder.gep(matrix, [builder.mul(above.index, stride_)])
                value = _everywhere(builder, builder.load(builder.gep(line, [row_])), _floats(DOUBLES))
                for v, step in enumerate(steps):
                    entry = builder.load(_vector(builder, line, builder.add(first_, step), _floats(DOUBLES)), align=4)
                    product = builder.fpext(builder.fmul(value, entry), _doubles())
                    builder.store(builder.fsub(builder.load(rest[v]), product), rest[v])
            scale = _everywhere(builder, factor_, _doubles())
            for v, step in enumerate(steps):
                entry = builder.fptrunc(builder.fmul(builder.load(rest[v]), scale), _floats(DOUBLES))
                builder.store(entry, places[v], align=4)
                wide = builder.fpext(entry, _doubles())
                total = _vector(builder, totals, builder.add(first_, step), _doubles())
                builder.store(builder.fadd(builder.load(total, align=8), builder.fmul(wide, wide)), total, align=8)
            return context.get_dummy_value()

        return signature, generate

    return elimination_tile


#: elimination_tile_V(upper, stride, row, first, factor, squares): entries first to first + 8 V of one row of a Cholesky
#: factor (rows `stride` floats apart, the rows above finished, this one still the matrix's): products with the rows
#: above are rounded to float32 and subtracted in float64, the rest times `factor` is stored; its squares are added to
#: `squares` (stride,) float64.
(
    elimination_tile_1, elimination_tile_2, elimination_tile_3, elimination_tile_4, elimination_tile_5,
    elimination_tile_6,
) = (_elimination_tile(count) for count in range(1, WIDEST + 1))  # fmt: skip


@intrinsic
def rigid_tile(
    typing_context: Any, rows: Any, one: Any, two: Any, length: Any, columns: Any, out: Any
) -> Any:  # fmt: skip
    """out[0:7] and out[7:14] = rows[one] and rows[two] (`length` floats each) times the seven rows of `columns`.

    `columns` (7, length) and `out` (14,) float64; `length` is a multiple of eight. Accumulated in float64, eight
    partial sums each: an order of its own, as the reference sums, which are a BLAS's, have theirs.
    """
    signature = types.void(rows, types.intp, types.intp, types.intp, columns, out)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        rows_, one_, two_, length_, columns_, out_ = args
        matrix = _data(context, builder, sig.args[0], rows_)
        table = _data(context, builder, sig.args[4], columns_)
        target = _data(context, builder, sig.args[5], out_)
        pair = [builder.gep(matrix, [builder.mul(row, length_)]) for row in (one_, two_)]
        zero, index = ir.Constant(_doubles(), [0.0] * DOUBLES), length_.type
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(RIGID)] for _ in pair]
        eight = ir.Constant(index, DOUBLES)
        with cgutils.for_range(builder, builder.sdiv(length_, eight)) as along:
            at = builder.mul(along.index, eight)
            wide = [
                builder.fpext(builder.load(_vector(builder, line, at, _floats(DOUBLES)), align=4), _doubles())
                for line in pair
            ]
            for c in range(RIGID):
                place = builder.add(builder.mul(length_, ir.Constant(index, c)), at)
                factor = builder.load(_vector(builder, table, place, _doubles()), align=8)
                for row, values in enumerate(wide):
                    total = multiply_add(builder, values, factor, builder.load(sums[row][c]))
                    builder.store(total, sums[row][c])
        for row in range(len(pair)):
            for c in range(RIGID):
                total, width = builder.load(sums[row][c]), DOUBLES
                while width > 1:
                    width //= 2
                    low, high = ([start + k for k in range(width)] for start in (0, width))
                    mask = ir.VectorType(ir.IntType(32), width)
                    total = builder.fadd(
                        builder.shuffle_vector(total, total, ir.Constant(mask, low)),
                        builder.shuffle_vector(total, total, ir.Constant(mask, high)),
                    )
                lane = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
                builder.store(lane, builder.gep(target, [ir.Constant(index, row * RIGID + c)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def shape_tile(
    typing_context: Any, mean: Any, modes: Any, count: Any, stride: Any, p: Any, first: Any, out: Any
) -> Any:  # fmt: skip
    """out[first : first + 16] = mean + modes (count >= 16, stride)^T p there, in the reference order of sums.

    Sixteen partial sums over the modes by fused multiply-adds, then neighbours added in pairs.
    """
    signature = types.void(mean, modes, types.intp, types.intp, p, types.intp, out)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        mean_, modes_, count_, stride_, p_, first_, out_ = args
        index, zero = count_.type, ir.Constant(_floats(SUMS), [0.0] * SUMS)
        table = builder.gep(_data(context, builder, sig.args[1], modes_), [first_])
        factors = _data(context, builder, sig.args[4], p_)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(SUMS)]

        def add(mode: Any, lane: int) -> None:
            factor = _everywhere(builder, builder.load(builder.gep(factors, [mode])), _floats(SUMS))
            place = _vector(builder, table, builder.mul(mode, stride_), _floats(SUMS))
            values = builder.load(place, align=4)
            builder.store(multiply_add(builder, values, factor, builder.load(sums[lane])), sums[lane])

        whole = builder.sdiv(count_, ir.Constant(index, SUMS))
        with cgutils.for_range(builder, whole) as group:
            base = builder.mul(group.index, ir.Constant(index, SUMS))
            for lane in range(SUMS):
                add(builder.add(base, ir.Constant(index, lane)), lane)
        base = builder.mul(whole, ir.Constant(index, SUMS))
        for lane in range(SUMS - 1):
            mode = builder.add(base, ir.Constant(index, lane))
            with builder.if_then(builder.icmp_signed("<", mode, count_)):
                add(mode, lane)
        partial = [builder.load(total) for total in sums]
        while len(partial) > 1:
            partial = [builder.fadd(a, b) for a, b in zip(partial[::2], partial[1::2], strict=True)]
        centre = builder.load(
            _vector(builder, _data(context, builder, sig.args[0], mean_), first_, _floats(SUMS)), align=4
        )
        target = _vector(builder, _data(context, builder, sig.args[6], out_), first_, _floats(SUMS))
        builder.store(builder.fadd(centre, partial[0]), target, align=4)
        return context.get_dummy_value()

    return signature, generate
