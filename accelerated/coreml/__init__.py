"""Stages whose networks run as Core ML packages, by Core ML on a Mac or by an interpreter elsewhere; registers them.

``coreml`` computes in float32 and ``coreml-float16`` in float16, both by Core ML; the names that end in ``-emulated``
run the same packages op by op in NumPy (`auparity.conversion.mil`), on any machine but slowly, to verify
packages, not to measure faces. All are used only when named, because no Mac has measured them yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.accelerated.coreml.modes import MODES, NOT_RUN
from auparity.accelerated.registry import PrecisionClass, from_module, variant


def _in(module: str, mode: str) -> Callable[..., Any]:
    build = from_module(module)
    return lambda *parts: build(*parts, mode)


_MODULES = {stage: stage for stage in ("detection", "validation", "action_units", "patch_experts")}
_MODULES |= {"face_network": "networks", "point_network": "networks"}
for _stage, _name in _MODULES.items():
    for _mode in MODES.values():
        _class: PrecisionClass = _mode.precision
        if _stage == "action_units" and _class == "float32":
            _class = "float32-only"  # the specification needs float64, which Core ML does not have
        variant(
            _stage, _mode.name, requires=("coremltools",), extra="coreml", rank=-1, precision=_class,
            devices=("cpu",) if _mode.emulated else ("coreml",), check=_mode.unavailable_reason,
            not_run=NOT_RUN if _mode.emulated else "",
        )(_in(f"{__name__}.{_name}", _mode.name))  # fmt: skip
