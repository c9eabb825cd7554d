"""Register tiles of products in bfloat16: pairs of neighbours of the depth, added up in float32 (AVX512-BF16).

The instruction has no name in LLVM's portable language and is written as assembly.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding

from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.vectors import LANES, TILE_UNITS, UNALIGNED, address, store, vector

# The instruction has no name in this IR and is written as assembly, which needs LLVM's parser for it.
binding.initialize_native_asmparser()


def _words() -> ir.VectorType:
    return ir.VectorType(ir.IntType(32), LANES)


def _pair_product(builder: ir.IRBuilder, total: Any, a: Any, b: Any) -> Any:
    """total + a0 b0 + a1 b1 for sixteen pairs of bfloat16, added up in float32 (VDPBF16PS)."""
    kind = ir.FunctionType(vector(), [vector(), _words(), _words()])
    return builder.asm(kind, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [total, a, b], side_effect=False)


def _load_words(builder: ir.IRBuilder, pointer: Any) -> Any:
    return builder.load(builder.bitcast(pointer, _words().as_pointer()), align=UNALIGNED)


def _broadcast_word(builder: ir.IRBuilder, pointer: Any) -> Any:
    undefined = ir.Constant(_words(), ir.Undefined)
    first = builder.insert_element(undefined, builder.load(pointer), ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_words(), [0] * LANES))


def _pair_tile(vectors: int) -> Any:
    """As `_product_tile` for words that hold two bfloat16 neighbours of the depth each."""

    @intrinsic
    def pair_tile(
        typing_context: Any, weights: Any, first: Any, inputs: Any, start: Any, stride: Any, pairs: Any, out: Any,
        out_start: Any, out_stride: Any,
    ) -> Any:  # fmt: skip
        signature = types.void(
            weights, types.intp, inputs, types.intp, types.intp, types.intp, out, types.intp, types.intp
        )

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
            weights_, first_, inputs_, start_, stride_, pairs_, out_, out_start_, out_stride_ = args
            zero, index = ir.Constant(vector(), [0.0] * LANES), first_.type
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(TILE_UNITS)]
            taps = address(context, builder, sig.args[0], weights_, first_)
            base = address(context, builder, sig.args[2], inputs_, start_)
            with cgutils.for_range(builder, pairs_) as along:
                row = builder.gep(base, [builder.mul(along.index, stride_)])
                loaded = [
                    _load_words(builder, builder.gep(row, [ir.Constant(index, LANES * v)])) for v in range(vectors)
                ]
                column = builder.gep(taps, [builder.mul(along.index, ir.Constant(index, TILE_UNITS))])
                for unit in range(TILE_UNITS):
                    weight = _broadcast_word(builder, builder.gep(column, [ir.Constant(index, unit)]))
                    for v in range(vectors):
                        total = _pair_product(builder, builder.load(sums[unit][v]), weight, loaded[v])
                        builder.store(total, sums[unit][v])
            target = address(context, builder, sig.args[6], out_, out_start_)
            for unit in range(TILE_UNITS):
                line = builder.gep(target, [builder.mul(out_stride_, ir.Constant(index, unit))])
                for v in range(vectors):
                    place = builder.gep(line, [ir.Constant(index, LANES * v)])
                    store(builder, builder.load(sums[unit][v]), place)
            return context.get_dummy_value()

        return signature, generate

    return pair_tile


#: pair_tile_V(weights, first, inputs, start, stride, pairs, out, out_start, out_stride): as product_tile_V, rows of the
#: inputs `stride` words apart, a word being two bfloat16 of neighbouring depth, the first in its lower half.
pair_tile_1, pair_tile_2, pair_tile_3, pair_tile_4, pair_tile_5 = (_pair_tile(count) for count in range(1, 6))
