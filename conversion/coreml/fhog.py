"""The analysis half as Core ML ML Programs (spec 60.3, 60.4, 60.6); the counterpart of conversion/onnx/fhog.py.

Core ML's arrays cannot be bytes or float64: faces are float32 with whole numbers from 0 to 255, and geometry and AU
values are float32. FHOG stays float32 in a FLOAT16 package, because squared lengths of gradients reach 130050 while
float16 ends at 65504, and because in float16 other channels and directions would win; only the product of the AU models
is float16 there. The table of directions has two dimensions of 511, because no dimension of a texture may exceed 16384.
The saved programs are interpreted (conversion/mil/interpreter.py) and compared with the reference; no Mac has run them
yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from auparity.conversion import analysis_tables as tables
from auparity.conversion.coreml.builder import Flexible, Precision, builder, convert, f32
from auparity.models.types import AUPredictors
from auparity.reference import fhog as reference
from auparity.reference.alignment import SIZE

#: Types of operations that stay float32 in a FLOAT16 package: all of FHOG's. `linear` is the product of the AU models.
FULL_PRECISION = (
    "add", "cast", "concat", "equal", "expand_dims", "gather_nd", "greater", "matmul", "maximum", "minimum", "mul",
    "real_div", "reduce_max", "reduce_sum", "reshape", "select", "slice_by_index", "sqrt", "square", "squeeze",
    "stack", "sub", "transpose",
)  # fmt: skip
#: Largest number of faces at once; the votes of one face, 18 directions of every pixel, are 0.9 MB.
MAX_FACES = 256
#: Axes of maps: (N, channels or directions, rows, columns).
CHANNELS, ROWS, COLUMNS = 1, 2, 3

_FACES = Flexible("N", 1, MAX_FACES)
_ALIGNED = (_FACES, SIZE, SIZE, 3)


def fhog(name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32") -> Any:
    """FHOG: aligned faces (N, 112, 112, 3) B,G,R, whole numbers from 0 to 255, to features (N, 4464); N flexible.

    Raises
    ------
    VariantUnavailable : coremltools is not installed.
    """
    mb = builder()

    def build(aligned: Any) -> Any:
        return _descriptors(mb, aligned, "features")

    return convert(build, {"aligned": _ALIGNED}, name, metadata, precision, full_precision=FULL_PRECISION)


def analysis(predictors: AUPredictors, name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32") -> Any:
    """From aligned faces to the AUs of images in one program.

    Aligned faces as in `fhog` and geometry descriptors (N, 238) to features (N, 4464) and values (N, 35), intensities
    first: not clamped, presences before their threshold. As in `programs.action_units`, a centre is subtracted
    before numbers are rounded.

    Raises
    ------
    ContractError : a model is dynamic: running medians are a state, which a program does not have.
    VariantUnavailable : coremltools is not installed.
    """
    models, mb = tables.static_models(predictors), builder()

    def build(aligned: Any, geometry: Any) -> Any:
        features = _descriptors(mb, aligned, "features")
        centred = mb.sub(x=mb.concat(values=[features, geometry], axis=1), y=f32(models.still))
        return features, mb.linear(x=centred, weight=f32(models.static), bias=f32(models.biases), name="values")

    inputs = {"aligned": _ALIGNED, "geometry": (_FACES, len(models.still) - tables.LENGTH)}
    return convert(build, inputs, name, metadata, precision, full_precision=FULL_PRECISION)


def _descriptors(mb: Any, aligned: Any, name: str) -> Any:
    code_y, code_x, length2 = _gradients(mb, aligned)
    return _normalised(mb, _histograms(mb, code_y, code_x, length2), name)


def _slice(mb: Any, at: Any, bounds: dict[int, tuple[int, int]]) -> Any:
    """A slice along some axes: axis to (start, stop)."""
    rank = len(at.shape)
    return mb.slice_by_index(
        x=at, begin=[bounds.get(axis, (0, 0))[0] for axis in range(rank)],
        end=[bounds.get(axis, (0, 0))[1] for axis in range(rank)],
        begin_mask=[axis not in bounds for axis in range(rank)], end_mask=[axis not in bounds for axis in range(rank)],
    )  # fmt: skip


def _square(mb: Any, at: Any, top: int, left: int, side: int) -> Any:
    """A square of maps."""
    return _slice(mb, at, {ROWS: (top, top + side), COLUMNS: (left, left + side)})


def _gradients(mb: Any, aligned: Any) -> tuple[Any, Any, Any]:
    """The strongest gradient of the three channels: row and column in the table of directions, and the square of its
    length, each (N, 1, 110, 110)."""
    maps = mb.transpose(x=aligned, perm=[0, 3, 1, 2])
    inner = tables.VOTERS
    gx = mb.sub(x=_square(mb, maps, 1, 2, inner), y=_square(mb, maps, 1, 0, inner))
    gy = mb.sub(x=_square(mb, maps, 2, 1, inner), y=_square(mb, maps, 0, 1, inner))
    length2 = mb.add(x=mb.square(x=gx), y=mb.square(x=gy))
    key = mb.add(x=mb.mul(x=length2, y=np.float32(tables.RANKS)), y=tables.channel_ranks()[None, :, None, :])

    def channel(at: Any, k: int) -> Any:
        return _slice(mb, at, {CHANNELS: (k, k + 1)})

    best, chosen_y, chosen_x = (channel(at, 0) for at in (key, gy, gx))
    for k in (1, 2):
        other = channel(key, k)
        wins = mb.greater(x=other, y=best)
        chosen_y, chosen_x = (
            mb.select(cond=wins, a=channel(at, k), b=chosen) for at, chosen in ((gy, chosen_y), (gx, chosen_x))
        )
        best = mb.maximum(x=best, y=other)
    shift = np.float32(tables.LARGEST)
    strongest = mb.reduce_max(x=length2, axes=[CHANNELS], keep_dims=True)
    return mb.add(x=chosen_y, y=shift), mb.add(x=chosen_x, y=shift), strongest


def _histograms(mb: Any, code_y: Any, code_x: Any, length2: Any) -> Any:
    """Gradient energy by cell and signed direction, (N, 18, 14, 14)."""
    places = mb.cast(x=mb.stack(values=[code_y, code_x], axis=4), dtype="int32")  # (N, 1, 110, 110, 2)
    direction = mb.gather_nd(x=tables.directions(), indices=places)  # (N, 1, 110, 110)
    each = np.arange(tables.SIGNED, dtype=np.float32)[None, :, None, None]
    is_it = mb.cast(x=mb.equal(x=direction, y=each), dtype="fp32")
    votes = mb.mul(x=is_it, y=mb.sqrt(x=length2))  # (N, 18, 110, 110)
    weights = tables.cell_weights()
    across = mb.matmul(x=votes, y=weights)  # (N, 18, 110, 14)
    return mb.matmul(x=weights[None, None], y=across, transpose_x=True)


def _normalised(mb: Any, histograms: Any, name: str) -> Any:
    """Histograms (N, 18, 14, 14) to features (N, 4464): every inner cell by the energy of four blocks around it."""
    nine, kept, side = reference.ORIENTATIONS, tables.KEPT, tables.CELLS - 1
    halves = (_slice(mb, histograms, {CHANNELS: bounds}) for bounds in ((0, nine), (nine, 2 * nine)))
    unsigned = _sum(mb, halves)
    energy = mb.reduce_sum(x=mb.square(x=unsigned), axes=[CHANNELS], keep_dims=True)  # (N, 1, 14, 14)
    blocks = _sum(mb, (_square(mb, energy, top, left, side) for top in (0, 1) for left in (0, 1)))
    # lanes: the block below right of the cell, above right, below left, above left
    lanes = [_square(mb, blocks, top, left, kept) for left in (1, 0) for top in (1, 0)]
    raised = mb.add(x=mb.concat(values=lanes, axis=CHANNELS), y=np.float32(reference.ENERGY_FLOOR))
    largest = mb.mul(x=mb.sqrt(x=raised), y=np.float32(reference.TRUNCATION))  # (N, 4, 12, 12)
    gain = mb.real_div(x=np.float32(reference.HALF_TRUNCATION), y=largest)
    largest, gain = (mb.expand_dims(x=at, axes=[2]) for at in (largest, gain))  # (N, 4, 1, 12, 12)
    values = _square(mb, mb.concat(values=[histograms, unsigned], axis=CHANNELS), 1, 1, kept)
    values = mb.expand_dims(x=values, axes=[1])  # (N, 1, 27, 12, 12)
    terms = mb.mul(x=mb.minimum(x=values, y=largest), y=gain)  # (N, 4, 27, 12, 12)
    pairs = (_sum(mb, (_slice(mb, terms, {1: (k, k + 1)}) for k in pair)) for pair in ((0, 1), (2, 3)))
    orientations = mb.squeeze(x=_sum(mb, pairs), axes=[1])
    signed = _slice(mb, terms, {2: (0, tables.SIGNED)})
    texture = mb.mul(x=mb.reduce_sum(x=signed, axes=[2]), y=np.float32(reference.TEXTURE_GAIN))  # (N, 4, 12, 12)
    by_cell = mb.transpose(x=mb.concat(values=[orientations, texture], axis=CHANNELS), perm=[0, 2, 3, 1])
    return mb.reshape(x=by_cell, shape=[-1, tables.LENGTH], name=name)


def _sum(mb: Any, values: Iterable[Any]) -> Any:
    """Sum of several, one after the other."""
    return reduce(lambda total, value: mb.add(x=total, y=value), values)
