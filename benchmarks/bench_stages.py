"""Every variant of every stage on the arguments that the reference pipeline gives it, for pytest-benchmark.

``pytest benchmarks/bench_stages.py --benchmark-json=stages.json`` (extra `bench`). The test command does not
collect it, because a time is not a test. One round is all calls of a stage in a few tracked frames of a rendered clip;
of a stage of networks, all calls of the parity suite's workload of random networks.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

import pytest

from auparity.accelerated.registry import STAGES, Variant, registry
from auparity.benchmarks.runner import synchronise
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite import workloads
from auparity.parity_tests.suite.stage_capture import Capture, capture, capture_networks
from auparity.reference.stages import stage_table

CLIP_SEED, FRAMES = 3_400_000, 6


@lru_cache(maxsize=1)
def taken() -> Capture:
    """The calls of the reference pipeline over a clip."""
    frames = [picture.image for picture in render_clip(CLIP_SEED, FRAMES)]
    return capture(Bundle.embedded(networks=False), [frames], [], most=1 << 30)


@lru_cache(maxsize=1)
def taken_of_networks() -> Capture:
    """The calls of the reference's stages of networks."""
    work = workloads.networks()
    return capture_networks(work.bundle, work.photographs, most=1 << 30)


@pytest.mark.parametrize("variant", list(registry()), ids=lambda variant: f"{variant.stage}-{variant.name}")
def test_stage(benchmark: Any, variant: Variant) -> None:
    """One variant of one stage."""
    if why := variant.unavailable_reason():
        pytest.skip(why)
    assert variant.stage in STAGES
    captured = taken_of_networks() if variant.stage in workloads.NETWORK_STAGES else taken()
    calls = [call for call in captured.calls[variant.stage] if variant.unavailable_reason(call.parts[:1]) is None]
    if not calls:
        pytest.skip("supports none of the models")
    built: dict[int, Any] = {}

    def prepare() -> tuple[tuple[Any, ...], dict[str, Any]]:
        if stage_table()[variant.stage].stateful:
            built.clear()
        for call in calls:
            if call.instance not in built:
                built[call.instance] = variant.build(*call.parts)
        return ([copy.deepcopy(call.arguments) for call in calls],), {}

    def run(arguments: list[tuple[Any, ...]]) -> None:
        for call, given in zip(calls, arguments, strict=True):
            stage = built[call.instance]
            (getattr(stage, call.method) if call.method else stage)(*given)
        synchronise()

    frames = len({id(call.arguments) for call in calls}) if variant.stage in workloads.NETWORK_STAGES else FRAMES
    benchmark.extra_info.update(frames=frames, calls=len(calls), precision=variant.precision)
    benchmark.pedantic(run, setup=prepare, rounds=5, warmup_rounds=1)
