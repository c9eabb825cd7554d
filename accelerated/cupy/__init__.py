"""Stages as CUDA kernels that CuPy launches, `.cu` files beside the Python modules that launch them. Registers the
variants.

Single stages are used only when named, to verify them, because copying the arrays of every stage to the GPU and back
takes longer than the kernels save. For measurements use pipeline.py, in which arrays stay on the device.

No GPU has run them yet. NVRTC and nvcc compile every source for compute capability 7.5 and 9.0, and the same sources,
run on the host by parity_tests/cuda_on_host, give the numbers of the reference. On a GPU ``auparity parity --technology
cupy`` verifies them.
"""

from __future__ import annotations

from auparity.accelerated.registry import from_module, variant

_unavailable_reason = from_module(f"{__name__}.device", "unavailable_reason")

#: The module of each stage.
MODULES = {
    stage: stage
    for stage in (
        "grayscale", "detection", "pdm", "patch_experts", "fitting", "validation", "fit_shape", "alignment", "fhog",
        "geometry", "running_median", "action_units",
    )
}  # fmt: skip
MODULES |= {"face_network": "networks", "point_network": "networks"}

for _stage, _module in MODULES.items():
    variant(_stage, "cupy", requires=("cupy",), extra="cuda12", devices=("cuda",), rank=-1, check=_unavailable_reason)(
        from_module(f"{__name__}.{_module}")
    )
