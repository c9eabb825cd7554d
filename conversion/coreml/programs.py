"""Models of a bundle as Core ML ML Programs, built directly from their arrays, without another framework.

The counterpart of conversion/onnx/graphs.py, with the same names of inputs and outputs; `network` is in networks.py.
Every function returns a model for `save`. Weights are float32 as stored, or float16; inputs and outputs are float32.
Core ML has no float64: where the reference computes in float64, the docstrings say what is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.centred_models import centred
from auparity.conversion.coreml.builder import STAGE, Flexible, Precision, builder, convert, f32
from auparity.conversion.coreml.builder import metadata_of as metadata_of
from auparity.conversion.coreml.builder import save as save
from auparity.conversion.coreml.networks import network as network
from auparity.errors import ContractError
from auparity.models.types import AUPredictors, CCNFPatch, CENPatch
from auparity.reference.patch_experts import SMALLEST_ALPHA

Array = npt.NDArray[Any]

#: Limits of flexible dimensions: positions of an expert (all windows of a face together), frames.
MAX_POSITIONS, MAX_FRAMES = 4096, 1024


def grouped_experts(
    experts: Sequence[CENPatch], name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32"
) -> Any:
    """The networks of K CEN experts of one form as one program: patches (K, P, inputs) to responses (K, P), P flexible.

    Raises
    ------
    ContractError : experts of different forms, or none.
    VariantUnavailable : coremltools is not installed.
    """
    forms = {tuple((*layer.weights.shape, layer.activation) for layer in patch.layers) for patch in experts}
    if len(forms) != 1 or not next(iter(forms)):
        raise ContractError(STAGE, "experts", "experts of one form", f"{len(forms)} forms")
    mb, inputs = builder(), _inputs(experts[0])

    def build(patches: Any) -> Any:
        at = patches
        for k, layer in enumerate(experts[0].layers):
            weights = np.stack([f32(patch.layers[k].weights).T for patch in experts])
            biases = np.stack([f32(patch.layers[k].bias).ravel() for patch in experts])[:, None, :]
            at = _activate(mb, mb.add(x=mb.matmul(x=at, y=weights), y=biases), layer.activation)
        return mb.squeeze(x=at, axes=[2], name="responses")

    shape = (len(experts), Flexible("P", 1, MAX_POSITIONS), inputs)
    return convert(build, {"patches": shape}, name, metadata, precision)


def expert(patch: CENPatch, name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32") -> Any:
    """One CEN expert: normalised patches (P, inputs) to responses (P,), P flexible.

    Raises
    ------
    ContractError : an expert without layers, which uses those of its mirror partner.
    VariantUnavailable : coremltools is not installed.
    """
    if not patch.layers:
        raise ContractError(STAGE, "patch", "an expert with layers", "one that uses its partner's")
    mb, inputs = builder(), _inputs(patch)

    def build(patches: Any) -> Any:
        at = patches
        for layer in patch.layers:
            linear = mb.linear(x=at, weight=f32(layer.weights), bias=f32(layer.bias).ravel())
            at = _activate(mb, linear, layer.activation)
        return mb.squeeze(x=at, axes=[1], name="responses")

    return convert(build, {"patches": (Flexible("P", 1, MAX_POSITIONS), inputs)}, name, metadata, precision)


def _activate(mb: Any, at: Any, activation: int) -> Any:
    if activation == 0:
        return mb.sigmoid(x=at)
    return mb.relu(x=at) if activation == 2 else at


def _inputs(patch: CENPatch) -> int:
    if patch.layers[-1].weights.shape[0] != 1:
        got = f"{patch.layers[-1].weights.shape[0]}"
        raise ContractError(STAGE, "patch", "an expert whose last layer gives one response", got)
    return int(patch.layers[0].weights.shape[1])


def grouped_ccnf(
    experts: Sequence[CCNFPatch], name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32"
) -> Any:
    """The neurons of K CCNF experts of one size as one program: patches (K, P, 1 + taps) to raw responses (K, P).

    P is flexible; Sigma and the minimum of a map stay with the caller. The reference takes sigmoids in float64 and
    rounds their running sum to float32: here both are float32, which moves responses by some 1e-7 of their size.

    Raises
    ------
    ContractError : experts of different sizes, without neurons, or none.
    VariantUnavailable : coremltools is not installed.
    """
    sizes = {(patch.height, patch.width) for patch in experts}
    if len(sizes) != 1 or not all(patch.n_neurons for patch in experts):
        raise ContractError(STAGE, "experts", "experts with neurons, of one size", f"{len(sizes)} sizes or empty ones")
    weights, alphas = _neurons(experts)
    mb = builder()

    def build(patches: Any) -> Any:
        terms = mb.sigmoid(x=mb.matmul(x=patches, y=weights))
        raw = mb.matmul(x=terms, y=alphas)  # (K, P, 1)
        return mb.squeeze(x=raw, axes=[2], name="responses")

    shape = (len(experts), Flexible("P", 1, MAX_POSITIONS), weights.shape[1])
    return convert(build, {"patches": shape}, name, metadata, precision)


def _neurons(patches: Sequence[CCNFPatch]) -> tuple[Array, Array]:
    """Weights (K, 1 + taps, most neurons), bias first, and twice the alphas (K, most, 1); zero where there is none."""
    most = max(patch.n_neurons for patch in patches)
    weights = np.zeros((len(patches), 1 + patches[0].height * patches[0].width, most), np.float32)
    alphas = np.zeros((len(patches), most, 1), np.float32)
    for row, patch in enumerate(patches):
        count = patch.n_neurons
        taps = f32(patch.weights).transpose(0, 2, 1).reshape(count, -1) * f32(patch.norm_weights)[:, None]
        weights[row, 0, :count], weights[row, 1:, :count] = patch.biases, taps.T
        alphas[row, :count, 0] = np.where(patch.alphas > SMALLEST_ALPHA, 2 * patch.alphas, 0)
    return weights, alphas


def action_units(
    predictors: AUPredictors, name: str, metadata: dict[str, str], *, precision: Precision = "FLOAT32"
) -> Any:
    """All AU models in one program: features and medians (N, D) to values (N, 35), intensities first; N flexible.

    The reference is float64, Core ML is not. So that large numbers cancel before they are rounded, medians and a
    centre near the training means are subtracted first; the difference between the centre and a model's own means is
    part of its bias, computed in float64. Features, weights and the sum of some 5000 products are then float32, which
    changes values by some 1e-7 of the largest, less than 1e-5 for faces. In a FLOAT16 model the differences stay
    float32, but weights and products are float16: values change by some 5e-4 of the largest (0.01 at 20), and a
    presence that is this close to its threshold may flip.

    Raises
    ------
    VariantUnavailable : coremltools is not installed.
    """
    models, mb = centred(predictors), builder()

    def build(features: Any, medians: Any) -> Any:
        still = mb.sub(x=features, y=f32(models.still))
        plain = mb.linear(x=still, weight=f32(models.static), bias=f32(models.biases))
        moved = mb.sub(x=mb.sub(x=features, y=medians), y=f32(models.moved))
        return mb.add(x=plain, y=mb.linear(x=moved, weight=f32(models.dynamic)), name="values")

    shape = (Flexible("N", 1, MAX_FRAMES), len(models.still))
    inputs = {"features": shape, "medians": shape}
    return convert(build, inputs, name, metadata, precision, full_precision=("sub",))
