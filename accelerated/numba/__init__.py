"""Every stage of the CPU path but the networks of bundles, compiled by Numba: allocation-free kernels that follow the
reference float operations.

Registers the variants; nothing is imported or compiled before one is built. The rank comes from `auparity bench` on one
core, where each is the fastest exact implementation of its stage.
"""

from __future__ import annotations

from auparity.accelerated.registry import STAGES, from_module, variant

#: Networks are left to libraries that have every kind of convolution.
_ELSEWHERE = ("face_network", "point_network")
for _stage in (stage for stage in STAGES if stage not in _ELSEWHERE):
    variant(_stage, "numba", requires=("numba",), extra="numba", rank=50)(from_module(f"{__name__}.{_stage}"))

_bfloat16 = f"{__name__}.cen_bfloat16"
variant(
    "patch_experts",
    "numba-bf16",
    requires=("numba",),
    extra="numba",
    precision="bfloat16",
    rank=-1,
    check=from_module(_bfloat16, "check"),
    unsupported_reason=from_module(_bfloat16, "unsupported_reason"),
)(from_module(_bfloat16))
