"""CEN patch experts of one scale (spec 10.6): head, mirror tables, then for every view and landmark a small fully
connected network over a normalised patch; a record without layers means "use the mirrored expert".

Weights are read-only views of the file's bytes, so a 150 MB file takes 150 MB of memory.
"""

from __future__ import annotations

import numpy as np

from auparity.models.formats.binary import MATRIX_HEAD, BinaryReader, BinaryWriter
from auparity.models.formats.experts import MAX_SIDE, ExpertsHead, read_head, write_head
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.types import I32, CENExperts, CENLayer, CENPatch

PATCH_TAG = 6
_LAYER_SIZE = 4 + 2 * MATRIX_HEAD  # bytes: activation and two matrices


def _read_mirror(reader: BinaryReader, what: str, count: int) -> I32:
    """`count` indices below `count`, in the orientation stored."""
    start = reader.offset
    table: I32 = reader.matrix(what, np.int32)
    if table.size != count or (table < 0).any() or (table >= count).any():
        reader.fail(f"{count} {what} between 0 and {count - 1}", f"{table.size}: {table.ravel()[:5].tolist()}", start)
    return table


def _read_layer(reader: BinaryReader, n_in: int) -> CENLayer:
    activation = reader.i32("activation")
    start = reader.offset
    bias = reader.matrix("bias", np.float32)
    weights = reader.matrix("weights", np.float32, (None, n_in))
    n_out = weights.shape[0]
    if n_out == 0 or bias.size != n_out or 1 not in bias.shape:
        reader.fail(f"a bias for each of the {n_out} outputs", " x ".join(map(str, bias.shape)), start)
    return CENLayer(activation, bias, weights)


def _read_patch(reader: BinaryReader) -> CENPatch:
    reader.tag("CEN patch tag", PATCH_TAG)
    start = reader.offset
    width, height = reader.i32("support width"), reader.i32("support height")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        reader.fail(f"support sides between 1 and {MAX_SIDE}", f"{width} x {height}", start)
    layers: list[CENLayer] = []
    n_in = width * height + 1  # column 0 multiplies a constant 1
    for _ in range(reader.count("number of layers", _LAYER_SIZE, minimum=0)):
        layers.append(_read_layer(reader, n_in))
        n_in = layers[-1].weights.shape[0]
    if layers and n_in != 1:
        reader.fail("one output of the last layer", f"{n_in}")
    return CENPatch(width, height, tuple(layers), reader.f64("confidence"))


def parse_cen(data: bytes, label: StrPath = "<bytes>") -> CENExperts:
    """Parse the bytes of a CEN file; ModelFormatError if they are not one."""
    reader = BinaryReader(data, label)
    head = read_head(reader)
    views, landmarks = head.visibility.shape
    mirror_landmarks = _read_mirror(reader, "mirrored landmarks", landmarks)
    mirror_views = _read_mirror(reader, "mirrored views", views)
    patches = tuple(tuple(_read_patch(reader) for _ in range(landmarks)) for _ in range(views))
    reader.end()
    return CENExperts(*head, mirror_landmarks, mirror_views, patches)


def read_cen(path: StrPath, named_by: StrPath | None = None) -> CENExperts:
    return parse_cen(read_bytes(path, named_by), path)


def write_cen(experts: CENExperts) -> bytes:
    """The bytes of a CEN file."""
    writer = BinaryWriter()
    write_head(writer, ExpertsHead(experts.scale, experts.view_centres, experts.visibility))
    writer.matrix("mirrored landmarks", experts.mirror_landmarks, np.int32)
    writer.matrix("mirrored views", experts.mirror_views, np.int32)
    for view in experts.patches:
        for patch in view:
            writer.i32(PATCH_TAG, patch.width, patch.height, len(patch.layers))
            for layer in patch.layers:
                writer.i32(layer.activation)
                writer.matrix("bias", layer.bias, np.float32)
                writer.matrix("weights", layer.weights, np.float32)
            writer.f64(patch.confidence)
    return writer.getvalue()
