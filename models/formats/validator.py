"""The landmark validator (spec 10.10): for each head orientation the mean and deviation of face pixels, a small CNN,
and the piecewise affine warp to its 60 x 60 frame.
"""

from __future__ import annotations

import numpy as np

from auparity.errors import ContractError
from auparity.models.formats.binary import MATRIX_HEAD, WRITER, BinaryReader, BinaryWriter
from auparity.models.formats.convnet import (
    CONVOLUTION,
    FULLY_CONNECTED,
    RELU,
    SIGMOID,
    Dialect,
    bodiless,
    read_layers,
    write_layers,
)
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.types import MaxPool, PiecewiseWarp, Validator, ValidatorView

CNN_TYPE = 3  # other types (SVR, single networks) belong to versions before 2.0
POOLING = MaxPool((2, 2), (2, 2))  # implied: these files store no sizes
DIALECT: Dialect = {0: CONVOLUTION, 1: bodiless(POOLING), 2: FULLY_CONNECTED, 3: RELU, 4: SIGMOID}


def _read_warp(reader: BinaryReader, n_pixels: int) -> PiecewiseWarp:
    reader.tag("number of pixels in the mask", n_pixels)
    min_x, min_y = reader.f64("smallest x"), reader.f64("smallest y")
    start = reader.offset
    destination = reader.matrix("destination landmarks", np.float64, (None, 1)).reshape(-1)
    triangles = reader.matrix("triangles", np.int32, (None, 3))
    points, count = destination.size // 2, len(triangles)
    if destination.size % 2 or (triangles < 0).any() or (triangles >= points).any():
        reader.fail("x and y of landmarks, and triangles of their indices", f"{destination.size} numbers", start)
    start = reader.offset
    triangle_id = reader.matrix("triangle ids", np.int32)
    mask = reader.matrix("mask", np.int32, triangle_id.shape)
    inside = triangle_id[mask != 0]
    if inside.size != n_pixels or (inside < 0).any() or (triangle_id < -1).any() or (triangle_id >= count).any():
        reader.fail(f"{n_pixels} pixels inside the mask, each in one of {count} triangles", f"{inside.size}", start)
    alpha = reader.matrix("alpha", np.float64, (count, 3))
    beta = reader.matrix("beta", np.float64, (count, 3))
    return PiecewiseWarp(n_pixels, min_x, min_y, destination, triangles, triangle_id, mask, alpha, beta)


def _read_view(reader: BinaryReader) -> ValidatorView:
    mean = reader.matrix("mean of the pixels", np.float64, (1, None)).reshape(-1)
    start = reader.offset
    std = reader.matrix("deviation of the pixels", np.float64, (1, mean.size)).reshape(-1)
    if (std == 0).any():
        reader.fail("deviations other than 0", "0", start)
    net = read_layers(reader, DIALECT, inputs=1)
    return ValidatorView(mean, std, net, _read_warp(reader, mean.size))


def parse_validator(data: bytes, label: StrPath = "<bytes>") -> Validator:
    """Parse the bytes of a validator file; ModelFormatError if they are not one."""
    reader = BinaryReader(data, label)
    reader.tag("validator type (CNN)", CNN_TYPE)
    views = reader.count("number of views", MATRIX_HEAD)
    centres = np.stack([reader.matrix("orientation", np.float64, (3, 1)).reshape(-1) for _ in range(views)])
    centres.flags.writeable = False
    networks = tuple(_read_view(reader) for _ in range(views))
    reader.end()
    return Validator(centres, networks)


def read_validator(path: StrPath, named_by: StrPath | None = None) -> Validator:
    return parse_validator(read_bytes(path, named_by), path)


def write_validator(validator: Validator) -> bytes:
    """The bytes of a validator file. ContractError for a layer or pooling size that such files cannot store."""
    writer = BinaryWriter()
    writer.i32(CNN_TYPE, len(validator.views))
    for centre in validator.view_centres:
        writer.column("orientation", centre, np.float64)
    for view in validator.views:
        for layer in view.net.layers:
            if isinstance(layer, MaxPool) and (layer.kernel, layer.stride) != (POOLING.kernel, POOLING.stride):
                found = f"kernel {layer.kernel}, stride {layer.stride}"
                raise ContractError(WRITER, "layers", "max pooling of kernel (2, 2), stride (2, 2)", found)
        writer.row("mean of the pixels", view.mean, np.float64)
        writer.row("deviation of the pixels", view.std, np.float64)
        write_layers(writer, DIALECT, view.net)
        _write_warp(writer, view.warp)
    return writer.getvalue()


def _write_warp(writer: BinaryWriter, warp: PiecewiseWarp) -> None:
    writer.i32(warp.n_pixels)
    writer.f64(warp.min_x, warp.min_y)
    writer.column("destination landmarks", warp.destination, np.float64)
    for table in (warp.triangles, warp.triangle_id, warp.mask):
        writer.matrix("triangles, triangle ids or mask", table, np.int32)
    for coefficients in (warp.alpha, warp.beta):
        writer.matrix("alpha or beta", coefficients, np.float64)
