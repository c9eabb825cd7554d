"""Compares any variant with the reference: ``pytest --pyargs auparity.parity_tests --variant package.module:factory``.

A factory returns one `auparity.accelerated.registry.Variant` or several; ``stage=name`` names a registered one. Without
``--variant`` these tests do not run.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.suite import clip_parity, workloads
from auparity.parity_tests.suite.clips import pipeline_of
from auparity.parity_tests.suite.stage_capture import capture, capture_networks
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reference.stages import stage_table


@lru_cache
def work_of(stage):
    """The workload on which a stage is compared; not built for others."""
    return workloads.networks() if stage in workloads.NETWORK_STAGES else _embedded()


@lru_cache
def _embedded():
    return workloads.embedded(quick=True)


@lru_cache
def taken_of(work):
    """The calls of the reference's stages."""
    if work.whole_clips:
        return capture(work.bundle, work.clips, work.photographs)
    return capture_networks(work.bundle, work.photographs)


@pytest.fixture
def work(variant):
    return work_of(variant.stage)


@pytest.fixture
def taken(work):
    return taken_of(work)


@pytest.fixture
def able(variant, work, taken):
    """The variant, if it can run here on some model of the workload's bundle."""
    parts = {call.instance: call.parts for call in taken.calls[variant.stage]}
    whys = [variant.unavailable_reason(each[:1]) for each in parts.values()]
    if all(whys):
        pytest.skip(f"{variant.stage} {variant.name}: {whys[0]}")
    return variant


def calls_of(variant, taken):
    return [call for call in taken.calls[variant.stage] if variant.unavailable_reason(call.parts[:1]) is None]


def test_every_output_agrees_on_the_inputs_of_the_reference_run(able, taken):
    records = check_stage(able, taken)
    failed = [str(record) for record in records if not record.passed]
    assert not failed, "\n".join(failed)


def test_arrays_of_another_dtype_or_with_nan_are_refused(able, taken):
    call = calls_of(able, taken)[0]
    stage = able.build(*call.parts)
    function = getattr(stage, call.method) if call.method else stage
    for k, argument in enumerate(call.arguments):
        if not isinstance(argument, np.ndarray):
            continue
        others = [*call.arguments]
        others[k] = argument.astype(complex)
        with pytest.raises(ContractError):
            function(*others)
        # Images are not searched for NaN, because a pass over the image for each fit would cost more than the fits.
        if argument.dtype.kind == "f" and argument.size < 10_000:
            others[k] = np.full_like(argument, np.nan)
            with pytest.raises(ContractError):
                function(*others)


def test_calling_twice_gives_the_same_bits(able, taken):
    if stage_table()[able.stage].stateful:
        pytest.skip("its calls depend on the calls before")
    call = calls_of(able, taken)[-1]
    stage = able.build(*call.parts)
    function = getattr(stage, call.method) if call.method else stage
    first, second = (flat(function(*call.arguments)) for _ in range(2))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True))


def flat(result):
    """The arrays of a result, at any depth."""
    if isinstance(result, np.ndarray | float | int | bool) or result is None:
        return [np.asarray(np.nan if result is None else result)]
    parts = result if isinstance(result, list | tuple) else vars(result).values()
    return [array for part in parts for array in flat(part)]


@lru_cache
def clip_of(work):
    return clip_parity.prepare(work.name, work.bundle, work.chained)


@pytest.fixture
def clip(work):
    if not work.whole_clips:
        pytest.skip("networks of random weights follow no face")
    return clip_of(work)


def test_one_step_from_every_reference_state(able, work, clip):
    failed = [str(r) for r in clip_parity.one_step(pipeline_of(work.bundle, [able]), clip) if not r.passed]
    assert not failed, "\n".join(failed)


def test_a_whole_clip_stays_at_the_platform_floor(able, work, clip):
    _, judgements, _ = clip_parity.chained(pipeline_of(work.bundle, [able]), clip)
    failed = [str(judgement) for judgement in judgements if not judgement.passed]
    assert not failed, "\n".join(failed)
