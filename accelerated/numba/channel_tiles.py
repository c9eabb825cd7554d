"""Register tiles of maps in blocks of sixteen channels: the lanes of a vector are the channels of a block at one place.

Maps (C, H, W) lie as (C / 16, H, W, 16), so that neighbouring places are neighbouring vectors. A dense tile is some
places by one or two vectors of output channels; what it multiplies are runs of floats that lie side by side, one for
each block of channels and row of the kernel, so that a convolution copies no patches. Bias, sum with other maps and
slope are applied while the sums are still in registers. The bias comes last: sums that begin with it are twice as far
off at the end of RetinaFace, whose folded norms have biases that nearly cancel the sums.
"""

from __future__ import annotations

from typing import Any

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add
from auparity.accelerated.numba.instructions import has_wide_registers
from auparity.accelerated.numba.vectors import LANES, address, broadcast, load, store, vector

#: Accumulators that fit beside what is loaded: of 32 registers of sixteen floats, or of 16 (32) of eight (four).
ACCUMULATORS = 24 if has_wide_registers() else 6
#: Places of a dense tile with one and with two vectors of channels.
PLACES_1, PLACES_2 = ACCUMULATORS, ACCUMULATORS // 2
#: Those of the tiles for what is left of a row: fewer would wait for their own sums.
FEW_1, FEW_2 = PLACES_1 // 3, PLACES_2 // 3
#: Vectors of a panel: two would leave no narrower register for what is loaded.
PANEL_VECTORS = 2 if has_wide_registers() else 1
#: Places of a depthwise tile.
PLACES_DEPTHWISE = 6
#: Steps along a run that are written out: 254 GFLOP/s where the processor has 276, and 98 where it is one.
UNROLLED = 4


def _zero() -> Any:
    return ir.Constant(vector(), [0.0] * LANES)


def activated(builder: ir.IRBuilder, values: Any, slopes: Any) -> Any:
    """Negative values times the slope of their channel: 1 for no activation, 0 for ReLU."""
    return builder.select(builder.fcmp_ordered(">=", values, _zero()), values, builder.fmul(values, slopes))


def _dense_tile(places: int, vectors: int) -> Any:
    lanes = vectors * LANES

    @intrinsic
    def dense_tile(
        typing_context: Any, arena: Any, start: Any, step: Any, blocks: Any, plane: Any, rows: Any, pitch: Any,
        length: Any, weights: Any, first: Any, to: Any, out_plane: Any, around: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(arena, *[types.intp] * 7, weights, *[types.intp] * 4)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            arena_, start_, step_, blocks_, plane_, rows_, pitch_, length_ = args[:8]
            weights_, first_, to_, out_plane_, around_ = args[8:]

            def at(number: int) -> Any:
                return ir.Constant(start_.type, number)

            def vector_of(pointer: Any, number: int) -> Any:
                return load(builder, builder.gep(pointer, [at(LANES * number)]))

            head = address(context, builder, sig.args[8], weights_, first_)
            sums = [[cgutils.alloca_once_value(builder, _zero()) for _ in range(vectors)] for _ in range(places)]
            planes = [builder.mul(out_plane_, at(v)) for v in range(vectors)]
            column = cgutils.alloca_once_value(builder, builder.gep(head, [at(2 * lanes)]))
            base = address(context, builder, sig.args[0], arena_, start_)
            steps = [builder.mul(step_, at(p)) for p in range(places)]
            with cgutils.for_range(builder, blocks_) as deep, cgutils.for_range(builder, rows_) as down:
                row = builder.add(builder.mul(deep.index, plane_), builder.mul(down.index, pitch_))
                with cgutils.for_range(builder, builder.sdiv(length_, at(UNROLLED))) as along:
                    run = builder.gep(base, [builder.add(row, builder.mul(along.index, at(UNROLLED)))])
                    taps = builder.load(column)
                    for u in range(UNROLLED):
                        loaded = [vector_of(taps, u * vectors + v) for v in range(vectors)]
                        for p in range(places):
                            value = broadcast(builder, builder.gep(run, [builder.add(steps[p], at(u))]))
                            for v in range(vectors):
                                total = multiply_add(builder, value, loaded[v], builder.load(sums[p][v]))
                                builder.store(total, sums[p][v])
                    builder.store(builder.gep(taps, [at(UNROLLED * lanes)]), column)
            with builder.if_then(builder.icmp_signed(">=", around_, at(0))):
                other = address(context, builder, sig.args[0], arena_, around_)
                for v in range(vectors):
                    line = builder.gep(other, [planes[v]])
                    for p in range(places):
                        builder.store(builder.fadd(builder.load(sums[p][v]), vector_of(line, p)), sums[p][v])
            target = address(context, builder, sig.args[0], arena_, to_)
            for v in range(vectors):
                bias, slopes, line = vector_of(head, v), vector_of(head, vectors + v), builder.gep(target, [planes[v]])
                for p in range(places):
                    values = activated(builder, builder.fadd(builder.load(sums[p][v]), bias), slopes)
                    store(builder, values, builder.gep(line, [at(LANES * p)]))
            return context.get_dummy_value()

        return signature, generate

    return dense_tile


#: dense_tile_P_by_V(arena, start, step, blocks, plane, rows, pitch, length, weights, first, to, out_plane, around): for
#: P places p, V vectors v and 16 channels c, arena[to + v * out_plane + p * 16 + c] = activated(bias[v, c] +
#: arena[around + v * out_plane + p * 16 + c] + sum over b < blocks, r < rows, k < length of arena[start + p * step +
#: b * plane + r * pitch + k] * taps[b, r, k, v, c]); no sum with other maps where `around` is negative. At
#: weights[first] are 16 V biases, 16 V slopes, then the taps; `length` is a multiple of UNROLLED.
dense_tile_many_by_1, dense_tile_many_by_2 = _dense_tile(PLACES_1, 1), _dense_tile(PLACES_2, 2)
dense_tile_few_by_1, dense_tile_few_by_2 = _dense_tile(FEW_1, 1), _dense_tile(FEW_2, 2)
dense_tile_1_by_1, dense_tile_1_by_2 = _dense_tile(1, 1), _dense_tile(1, 2)


def _depthwise_tile(places: int, stride: int, taps: int | None) -> Any:
    """A tile of some places, `stride` apart; `taps` in a row, None for a number that is an argument."""

    @intrinsic
    def depthwise_tile(
        typing_context: Any, arena: Any, start: Any, pitch: Any, rows: Any, columns: Any, weights: Any, first: Any,
        tap: Any, kernel: Any, to: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(arena, *[types.intp] * 4, weights, *[types.intp] * 4)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            arena_, start_, pitch_, rows_, columns_, weights_, first_, tap_, kernel_, to_ = args

            def at(number: int) -> Any:
                return ir.Constant(start_.type, number)

            def vector_of(pointer: Any, number: int) -> Any:
                return load(builder, builder.gep(pointer, [at(LANES * number)]))

            head = address(context, builder, sig.args[5], weights_, first_)
            sums = [cgutils.alloca_once_value(builder, _zero()) for _ in range(places)]
            base = address(context, builder, sig.args[0], arena_, start_)
            corner = address(context, builder, sig.args[5], weights_, tap_)
            row_of_taps = builder.mul(kernel_, at(LANES))
            with cgutils.for_range(builder, rows_) as down:
                row = builder.gep(base, [builder.mul(down.index, pitch_)])
                weights_of_row = builder.gep(corner, [builder.mul(down.index, row_of_taps)])
                if taps is None:
                    with cgutils.for_range(builder, columns_) as across:
                        along = builder.mul(across.index, at(LANES))
                        value, weight = (load(builder, builder.gep(p, [along])) for p in (row, weights_of_row))
                        builder.store(multiply_add(builder, value, weight, builder.load(sums[0])), sums[0])
                else:
                    values = [vector_of(row, x) for x in range((places - 1) * stride + taps)]
                    for x in range(taps):
                        weight = vector_of(weights_of_row, x)
                        for p in range(places):
                            total = multiply_add(builder, values[p * stride + x], weight, builder.load(sums[p]))
                            builder.store(total, sums[p])
            bias, slopes = vector_of(head, 0), vector_of(head, 1)
            target = address(context, builder, sig.args[0], arena_, to_)
            for p in range(places):
                values_p = activated(builder, builder.fadd(builder.load(sums[p]), bias), slopes)
                store(builder, values_p, builder.gep(target, [at(LANES * p)]))
            return context.get_dummy_value()

        return signature, generate

    return depthwise_tile


#: depthwise_tile(arena, start, pitch, rows, columns, weights, first, tap, kernel, to): for places p and 16 channels c,
#: arena[to + p * 16 + c] = activated(bias[c] + sum over r < rows, k < columns of arena[start + r * pitch +
#: (p * stride + k) * 16 + c] * weights[tap + (r * kernel + k) * 16 + c]); biases at weights[first], then the slopes.
#: Tiles of PLACES_DEPTHWISE places have 3 columns and stride 1 or 2; that of one place takes any number of columns.
depthwise_tile_by_1, depthwise_tile_by_2 = (_depthwise_tile(PLACES_DEPTHWISE, stride, 3) for stride in (1, 2))
depthwise_tile_1 = _depthwise_tile(1, 1, None)
