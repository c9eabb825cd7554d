"""The least time that a stage's arithmetic takes on this machine: multiply-adds at the rate of its matrix product.

Two stages consist of sums of products and are counted: the patch experts of a tracked frame (main model, frontal view,
the windows of tracking; the eye and inner-face models of larger faces come in addition) and the landmark validator.
Other stages move a few hundred kilobytes and have no such bound. The result is a lower bound: loads, sampling and
activation functions are left out.
"""

from __future__ import annotations

from auparity.models.bundle import Bundle
from auparity.models.contents import face_model_in
from auparity.models.types import (
    CENExperts,
    CENPatch,
    ConvNet,
    Convolution,
    FullyConnected,
    MaxPool,
    PatchExperts,
)
from auparity.reference.convnet import pooled_length
from auparity.reference.landmarks import DetectorParameters
from auparity.reports.results.records import Provenance

VIEW = 0


def stage_floors(bundle: Bundle, provenance: Provenance) -> dict[str, float]:
    """ms a tracked frame by stage, in float32; empty if the machine was not measured, or a network finds landmarks."""
    face = face_model_in(bundle.serving("landmarker"))
    if not provenance.sgemm_gflops or face is None:
        return {}
    flop = {"patch_experts": 0.0}
    for experts, window in zip(face.main.experts, DetectorParameters().track_windows, strict=False):
        flop["patch_experts"] += experts_flop(experts, window)
    if face.validator is not None:
        side = face.validator.views[VIEW].warp.mask.shape
        flop["validation"] = network_flop(face.validator.views[VIEW].net, (int(side[0]), int(side[1])))
    return {stage: count / provenance.sgemm_gflops / 1e6 for stage, count in flop.items()}


def experts_flop(experts: PatchExperts, window: int) -> float:
    """Floating-point operations of the maps (w, w) of all landmarks that the frontal view shows."""
    if window == 0:
        return 0.0
    seen = [k for k, visible in enumerate(experts.visibility[VIEW]) if visible]
    if isinstance(experts, CENExperts):
        positions = (window * window - 1) // 2  # every other one; the rest is interpolated (spec 40.7)
        patches = [_network_of(experts, k) for k in seen]
        return float(sum(2 * layer.weights.size * positions for patch in patches for layer in patch.layers))
    taps = sum(p.n_neurons * p.width * p.height for k, p in enumerate(experts.patches[VIEW]) if k in seen)
    return 2.0 * (taps * window * window + len(seen) * window**4)  # correlations, and Sigma times the map


def _network_of(experts: CENExperts, landmark: int) -> CENPatch:
    """The network of a landmark, or that of its mirror partner if it uses that one."""
    own = experts.patches[VIEW][landmark]
    view, partner = int(experts.mirror_views.ravel()[VIEW]), int(experts.mirror_landmarks.ravel()[landmark])
    return own if own.layers else experts.patches[view][partner]


def network_flop(net: ConvNet, size: tuple[int, int]) -> float:
    """Floating-point operations of a network on one map (H, W)."""
    height, width = size
    total = 0.0
    for layer in net.layers:
        if isinstance(layer, Convolution):
            height, width = height - layer.weights.shape[2] + 1, width - layer.weights.shape[3] + 1
            total += 2.0 * layer.weights.size * height * width
        elif isinstance(layer, MaxPool):
            (kernel_x, kernel_y), (stride_x, stride_y) = layer.kernel, layer.stride
            height, width = pooled_length(height, kernel_y, stride_y), pooled_length(width, kernel_x, stride_x)
        elif isinstance(layer, FullyConnected):
            total += 2.0 * layer.weights.size
    return total
