"""Every stage of the CPU path, compiled by Numba: allocation-free kernels that follow the reference float operations.

Registers the variants; nothing is imported or compiled before one is built. The rank comes from `auparity bench` on one
core, where each is the fastest exact implementation of its stage, and for networks from `auparity dev runtimes`.
"""

from __future__ import annotations

from auparity.accelerated.registry import STAGES, from_module, variant

_networks = f"{__name__}.networks"
_NETWORKS = ("face_network", "point_network")
for _stage in STAGES:
    if _stage in _NETWORKS:
        variant(
            _stage,
            "numba",
            requires=("numba",),
            extra="numba",
            rank=50,
            unsupported_reason=from_module(_networks, "unsupported_reason"),
        )(from_module(_networks))
    else:
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
