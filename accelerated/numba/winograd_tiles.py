"""Transforms of Winograd's convolution F(4x4, 3x3) in registers (Winograd 1980; Lavin, Gray, CVPR 2016): 4 x 4 outputs
of a 3x3 convolution from 36 products instead of 144.

Polynomials of degree 5 are evaluated at 0, +-A, +-B and infinity, multiplied there, and interpolated. A = 1/sqrt(2) and
B = sqrt(2) leave less than half of the rounding errors of the usual 1 and 2: 1.5 times those of 144 products, measured
on 64 channels of normal values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_tiles import activated
from auparity.accelerated.numba.deferred import cgutils, intrinsic, ir, types
from auparity.accelerated.numba.fused import multiply_add
from auparity.accelerated.numba.vectors import LANES, address, load, store, vector

Array = npt.NDArray[Any]

A, B = 0.5**0.5, 2.0**0.5
POINTS = (0.0, A, -A, B, -B)
#: Outputs and inputs of a tile along each side, and products of a tile.
OUTPUTS, INPUTS = 4, 6
PRODUCTS = INPUTS * INPUTS


def transformed_weights(weights: Array) -> Array:
    """Weights (K, C, 3, 3) as (36, C, K) float32, transformed in float64."""
    rows = [[at**k / np.prod([at - other for other in POINTS if other != at]) for k in range(3)] for at in POINTS]
    matrix = np.array([*rows, [0.0, 0.0, 1.0]])
    values = np.einsum("ij,kcjl,ml->imck", matrix, weights.astype(np.float64), matrix)
    return np.ascontiguousarray(values.reshape(PRODUCTS, *values.shape[2:]), np.float32)


def _constant(value: float) -> Any:
    return ir.Constant(vector(), [float(np.float32(value))] * LANES)


def _evaluated(builder: ir.IRBuilder, d: Sequence[Any]) -> list[Any]:
    """Six values at the points, of six neighbouring inputs."""

    def scaled_add(factor: float, value: Any, summand: Any) -> Any:
        return multiply_add(builder, _constant(factor), value, summand)

    both, product = A**2 + B**2, A**2 * B**2
    at_zero = scaled_add(product, d[0], scaled_add(-both, d[2], d[4]))
    even_a, odd_a = scaled_add(-(B**2), d[2], d[4]), scaled_add(-(B**2), d[1], d[3])
    even_b, odd_b = scaled_add(-(A**2), d[2], d[4]), scaled_add(-(A**2), d[1], d[3])
    at_infinity = scaled_add(product, d[1], scaled_add(-both, d[3], d[5]))
    at_a, at_minus_a = scaled_add(A, odd_a, even_a), scaled_add(-A, odd_a, even_a)
    at_b, at_minus_b = scaled_add(B, odd_b, even_b), scaled_add(-B, odd_b, even_b)
    return [at_zero, at_a, at_minus_a, at_b, at_minus_b, at_infinity]


def _interpolated(builder: ir.IRBuilder, m: Sequence[Any]) -> list[Any]:
    """Four neighbouring outputs, of six products at the points."""

    def weighted(power: int, of_a: Any, of_b: Any) -> Any:
        first = builder.fmul(_constant(A**power), of_a)
        return multiply_add(builder, _constant(B**power), of_b, first)

    sum_a, difference_a = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    sum_b, difference_b = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])
    return [
        builder.fadd(m[0], builder.fadd(sum_a, sum_b)),
        weighted(1, difference_a, difference_b),
        weighted(2, sum_a, sum_b),
        builder.fadd(weighted(3, difference_a, difference_b), m[5]),
    ]


@intrinsic
def winograd_inputs(
    typing_context: Any, arena: Any, start: Any, pitch: Any, to: Any, apart: Any
) -> Any:  # fmt: skip
    """arena[to + k * apart + c] of product k: the transform of the 6 x 6 places arena[start + y * pitch + x * 16 + c],
    sixteen channels c.
    """
    signature = types.void(arena, *[types.intp] * 4)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        arena_, start_, pitch_, to_, apart_ = args

        def at(number: int) -> Any:
            return ir.Constant(start_.type, number)

        base = address(context, builder, sig.args[0], arena_, start_)
        target = address(context, builder, sig.args[0], arena_, to_)
        half = [[cgutils.alloca_once(builder, vector()) for _ in range(INPUTS)] for _ in range(INPUTS)]
        for x in range(INPUTS):
            column = builder.gep(base, [at(LANES * x)])
            loaded = [load(builder, builder.gep(column, [builder.mul(pitch_, at(y))])) for y in range(INPUTS)]
            for y, value in enumerate(_evaluated(builder, loaded)):
                builder.store(value, half[y][x])
        for y in range(INPUTS):
            for x, value in enumerate(_evaluated(builder, [builder.load(place) for place in half[y]])):
                store(builder, value, builder.gep(target, [builder.mul(apart_, at(y * INPUTS + x))]))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def winograd_outputs(
    typing_context: Any, arena: Any, start: Any, apart: Any, weights: Any, bias: Any, slope: Any, to: Any, pitch: Any
) -> Any:  # fmt: skip
    """arena[to + y * pitch + x * 16 + c], 4 x 4 places: activated(bias + the interpolation of the 36 products at
    arena[start + k * apart + c]), sixteen channels c. Biases and slopes are at weights[bias] and weights[slope].
    """
    signature = types.void(arena, types.intp, types.intp, weights, *[types.intp] * 4)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        arena_, start_, apart_, weights_, bias_, slope_, to_, pitch_ = args

        def at(number: int) -> Any:
            return ir.Constant(start_.type, number)

        base = address(context, builder, sig.args[0], arena_, start_)
        target = address(context, builder, sig.args[0], arena_, to_)
        biases = load(builder, address(context, builder, sig.args[3], weights_, bias_))
        slopes = load(builder, address(context, builder, sig.args[3], weights_, slope_))
        half = [[cgutils.alloca_once(builder, vector()) for _ in range(INPUTS)] for _ in range(OUTPUTS)]
        for x in range(INPUTS):
            column = [
                load(builder, builder.gep(base, [builder.mul(apart_, at(y * INPUTS + x))])) for y in range(INPUTS)
            ]
            for y, value in enumerate(_interpolated(builder, column)):
                builder.store(value, half[y][x])
        for y in range(OUTPUTS):
            line = builder.gep(target, [builder.mul(pitch_, at(y))])
            for x, value in enumerate(_interpolated(builder, [builder.load(place) for place in half[y]])):
                values = activated(builder, builder.fadd(value, biases), slopes)
                store(builder, values, builder.gep(line, [at(LANES * x)]))
        return context.get_dummy_value()

    return signature, generate
