"""Maxima in vectors of sixteen floats: down the rows of a map, and of neighbours along a row (spec 20.3).

Written as vectors because loops over so few values spend their time on the odd ones at the ends of rows.
"""

from __future__ import annotations

from typing import Any

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.vectors import LANES, address, load, store


def _larger(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


@intrinsic
def largest_of_rows(typing_context: Any, source: Any, start: Any, stride: Any, rows: Any, length: Any, out: Any) -> Any:
    """out[i] = the largest of source[start + k * stride + i], k < rows, for `length` i, rounded up to whole vectors."""
    signature = types.void(source, types.intp, types.intp, types.intp, types.intp, out)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        source_, start_, stride_, rows_, length_, out_ = args
        one = ir.Constant(start_.type, 1)
        base = address(context, builder, sig.args[0], source_, start_)
        target = context.make_array(sig.args[5])(context, builder, out_).data
        lanes = ir.Constant(start_.type, LANES)
        vectors = builder.sdiv(builder.add(length_, builder.sub(lanes, one)), lanes)
        with cgutils.for_range(builder, vectors) as along:
            column = builder.gep(base, [builder.mul(along.index, lanes)])
            best = cgutils.alloca_once_value(builder, load(builder, column))
            with cgutils.for_range(builder, builder.sub(rows_, one)) as down:
                at = builder.mul(builder.add(down.index, one), stride_)
                builder.store(_larger(builder, builder.load(best), load(builder, builder.gep(column, [at]))), best)
            store(builder, builder.load(best), builder.gep(target, [builder.mul(along.index, lanes)]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def largest_of_neighbours(typing_context: Any, line: Any, third: Any, length: Any, out: Any, start: Any) -> Any:
    """out[start + i] = the largest of line[2 i], line[2 i + 1] and, with `third`, line[2 i + 2], for `length` i.

    Rounded up to whole vectors: `line` has room for 2 * 16 + 2 floats behind, `out` for 16.
    """
    signature = types.void(line, types.boolean, types.intp, out, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        line_, third_, length_, out_, start_ = args
        index = start_.type
        lanes, one = ir.Constant(index, LANES), ir.Constant(index, 1)
        source = context.make_array(sig.args[0])(context, builder, line_).data
        target = address(context, builder, sig.args[3], out_, start_)
        mask = ir.VectorType(ir.IntType(32), LANES)

        def every_other(pointer: Any, first: int) -> Any:
            low, high = load(builder, pointer), load(builder, builder.gep(pointer, [lanes]))
            return builder.shuffle_vector(low, high, ir.Constant(mask, [first + 2 * k for k in range(LANES)]))

        vectors = builder.sdiv(builder.add(length_, builder.sub(lanes, one)), lanes)
        with cgutils.for_range(builder, vectors) as along:
            at = builder.mul(along.index, lanes)
            pair = builder.gep(source, [builder.add(at, at)])
            best = cgutils.alloca_once_value(builder, _larger(builder, every_other(pair, 0), every_other(pair, 1)))
            with builder.if_then(builder.trunc(third_, ir.IntType(1))):
                after = every_other(builder.gep(pair, [ir.Constant(index, 2)]), 0)
                builder.store(_larger(builder, builder.load(best), after), best)
            store(builder, builder.load(best), builder.gep(target, [at]))
        return context.get_dummy_value()

    return signature, generate
