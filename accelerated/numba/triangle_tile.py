"""Which of sixteen pixels a triangle covers (spec 60.2): the side tests of the alignment's mask without a branch.

The tests are written as vectors, because LLVM turns a loop of tests into jumps that depend on the pixels, half of which
the processor predicts wrongly.
"""

from __future__ import annotations

from typing import Any

from auparity.accelerated.numba.deferred import intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add

PIXELS = 16  #: of one tile
EDGE = 16  #: values that describe a triangle and a row to the tile


@intrinsic
def triangle_tile(typing_context: Any, edge: Any, in_rows: Any, column: Any, mask: Any, at: Any) -> Any:
    """Set the bytes from mask[at] on of those pixels from `column` on that pass the side tests inside the box.

    True where a pixel up to the last column passes outside the box. `edge` (16,) float32: x of corners A and B, the
    box's x range, dx and dy of the sides opposite A and B, dy of the one opposite C, the side of each corner itself,
    the last column, and of the row: y - B, y - A, dx of the side opposite C times that.
    """
    signature = types.boolean(edge, types.boolean, types.intp, mask, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        edge_, in_rows_, column_, mask_, at_ = args
        values = context.make_array(sig.args[0])(context, builder, edge_).data
        lanes, floats, octets = (
            ir.VectorType(kind, PIXELS) for kind in (ir.IntType(32), ir.FloatType(), ir.IntType(8))
        )

        def everywhere(value: Any) -> Any:
            kind = ir.VectorType(value.type, PIXELS)
            undefined = ir.Constant(kind, ir.Undefined)
            first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, undefined, ir.Constant(lanes, [0] * PIXELS))

        (
            ax, bx, low, high, dx_a, dy_a, dx_b, dy_b, dy_c, side_a, side_b, side_c, last, from_b, from_a, down_c,
        ) = (
            everywhere(builder.load(builder.gep(values, [ir.Constant(at_.type, k)]))) for k in range(EDGE)
        )  # fmt: skip
        start = everywhere(builder.sitofp(column_, ir.FloatType()))
        x = builder.fadd(start, ir.Constant(floats, [float(k) for k in range(PIXELS)]))
        of_a = multiply_add(builder, dx_a, from_b, builder.fmul(builder.fsub(bx, x), dy_a))
        of_b = multiply_add(builder, dx_b, from_a, builder.fmul(builder.fsub(ax, x), dy_b))
        of_c = multiply_add(builder, builder.fsub(ax, x), dy_c, down_c)
        zero = ir.Constant(floats, [0.0] * PIXELS)
        passes = builder.fcmp_ordered("<=", x, last)
        for of, side in ((of_a, side_a), (of_b, side_b), (of_c, side_c)):
            passes = builder.and_(passes, builder.fcmp_ordered(">=", builder.fmul(of, side), zero))
        inside = builder.and_(builder.fcmp_ordered("<=", low, x), builder.fcmp_ordered("<=", x, high))
        covered = builder.and_(builder.and_(passes, inside), everywhere(builder.trunc(in_rows_, ir.IntType(1))))
        data = context.make_array(sig.args[3])(context, builder, mask_).data
        place = builder.bitcast(builder.gep(data, [at_]), octets.as_pointer())
        builder.store(builder.or_(builder.load(place, align=1), builder.zext(covered, octets)), place, align=1)
        strays = builder.bitcast(builder.xor(passes, covered), ir.IntType(PIXELS))
        return builder.icmp_unsigned("!=", strays, ir.Constant(ir.IntType(PIXELS), 0))

    return signature, generate
