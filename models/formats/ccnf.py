"""CCNF patch experts of one scale (spec 10.7): head, sigma components of the response windows, then for every view and
landmark N neurons over a patch with the betas that weigh the sigma components; N = 0 is an empty record.
"""

from __future__ import annotations

import math

import numpy as np

from auparity.models.formats.binary import MATRIX_HEAD, BinaryReader, BinaryWriter
from auparity.models.formats.experts import MAX_SIDE, ExpertsHead, read_head, write_head
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.types import F32, CCNFExperts, CCNFPatch

PATCH_TAG = 5
NEURON_TAG = 2
_NEURON = (("tag", "<i4"), ("type", "<i4"), ("norm_weight", "<f8"), ("bias", "<f8"), ("alpha", "<f8"))
_NEURON_SIZE = np.dtype(list(_NEURON)).itemsize + MATRIX_HEAD


def _read_windows(reader: BinaryReader) -> tuple[tuple[int, ...], tuple[F32, ...]]:
    sizes = []
    components = []
    for _ in range(reader.count("number of window sizes", 8)):
        start = reader.offset
        side = reader.i32("window size")
        if not 1 <= side <= MAX_SIDE:
            reader.fail(f"a window size between 1 and {MAX_SIDE}", f"{side}", start)
        count = reader.count("number of sigma components", MATRIX_HEAD, minimum=0)
        area = side * side
        stack = np.zeros((0, area, area), np.float32)
        if count:
            stack = np.stack([reader.matrix("sigma component", np.float32, (area, area)) for _ in range(count)])
        stack.flags.writeable = False
        sizes.append(side)
        components.append(stack)
    return tuple(sizes), tuple(components)


def _read_patch(reader: BinaryReader, n_betas: int) -> CCNFPatch:
    reader.tag("CCNF patch tag", PATCH_TAG)
    start = reader.offset
    width, height = reader.i32("patch width"), reader.i32("patch height")
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        reader.fail(f"patch sides between 1 and {MAX_SIDE}", f"{width} x {height}", start)
    count = reader.count("number of neurons", 4, minimum=0)
    if count == 0:
        reader.tag("end of an empty patch", 0)
        none = np.zeros(0)
        empty = np.zeros((0, height, width), np.float32)
        return CCNFPatch(width, height, np.zeros(0, np.int32), none, none, none, empty, none, math.nan)
    start = reader.offset
    neurons = reader.matrices("neuron weights", count, np.float32, _NEURON)
    if (neurons["tag"] != NEURON_TAG).any():
        reader.fail(f"neuron tags {NEURON_TAG}", f"{sorted(set(neurons['tag'].tolist()))[:5]}", start)
    if neurons["matrix"].shape[1:] != (height, width):
        found = " x ".join(map(str, neurons["matrix"].shape[1:]))
        reader.fail(f"neuron weights of {height} x {width}", found, start)
    columns = {name: np.ascontiguousarray(neurons[name]) for name in neurons.dtype.names or ()}
    betas = np.array([reader.f64("beta") for _ in range(n_betas)], np.float64)
    for array in (*columns.values(), betas):
        array.flags.writeable = False
    return CCNFPatch(
        width=width,
        height=height,
        neuron_types=columns["type"],
        norm_weights=columns["norm_weight"],
        biases=columns["bias"],
        alphas=columns["alpha"],
        weights=columns["matrix"],
        betas=betas,
        confidence=reader.f64("patch confidence"),
    )


def parse_ccnf(data: bytes, label: StrPath = "<bytes>") -> CCNFExperts:
    """Parse the bytes of a CCNF file; ModelFormatError if they are not one."""
    reader = BinaryReader(data, label)
    head = read_head(reader)
    sizes, components = _read_windows(reader)
    n_betas = len(components[0])  # one for each sigma component of the first window
    views, landmarks = head.visibility.shape
    patches = tuple(tuple(_read_patch(reader, n_betas) for _ in range(landmarks)) for _ in range(views))
    reader.end()
    return CCNFExperts(*head, sizes, components, patches)


def read_ccnf(path: StrPath, named_by: StrPath | None = None) -> CCNFExperts:
    return parse_ccnf(read_bytes(path, named_by), path)


def write_ccnf(experts: CCNFExperts) -> bytes:
    """The bytes of a CCNF file."""
    writer = BinaryWriter()
    write_head(writer, ExpertsHead(experts.scale, experts.view_centres, experts.visibility))
    writer.i32(len(experts.window_sizes))
    for side, components in zip(experts.window_sizes, experts.sigma_components, strict=True):
        writer.i32(side, len(components))
        for component in components:
            writer.matrix("sigma component", component, np.float32)
    for view in experts.patches:
        for patch in view:
            _write_patch(writer, patch)
    return writer.getvalue()


def _write_patch(writer: BinaryWriter, patch: CCNFPatch) -> None:
    writer.i32(PATCH_TAG, patch.width, patch.height, patch.n_neurons)
    if patch.n_neurons == 0:
        writer.i32(0)
        return
    for k in range(patch.n_neurons):
        writer.i32(NEURON_TAG, int(patch.neuron_types[k]))
        writer.f64(patch.norm_weights[k], patch.biases[k], patch.alphas[k])
        writer.matrix("neuron weights", patch.weights[k], np.float32)
    writer.f64(*patch.betas, patch.confidence)
