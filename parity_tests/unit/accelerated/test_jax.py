"""JAX's variants: on the processor whatever JAX would choose, on a GPU by name, or an error."""

from __future__ import annotations

import pytest

pytest.importorskip("jax")

import jax

from auparity.accelerated.jax.device import computing, unavailable_reason
from auparity.accelerated.registry import registry
from auparity.errors import VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite import run as suite
from auparity.parity_tests.suite.stage_capture import capture
from auparity.parity_tests.suite.stage_parity import check_stage

BUNDLE = Bundle.embedded(networks=False)


@pytest.fixture(scope="module")
def taken():
    return capture(BUNDLE, [[picture.image for picture in render_clip(3_300_000, 2, canvas=(320, 240))]], [])


@pytest.mark.parametrize("stage", ["fit_shape", "patch_experts", "action_units"])
def test_jax_is_the_reference_stage(taken, stage):
    records = check_stage(registry().get(stage, "jax"), taken)
    assert records
    assert all(record.passed for record in records), "\n".join(map(str, records))


def test_the_configuration_is_left_alone():
    before = jax.config.jax_enable_x64, jax.config.jax_default_device
    with computing():
        assert jax.numpy.zeros(1, "float64").dtype == "float64"
        assert jax.numpy.zeros(1).devices() == {jax.devices("cpu")[0]}
    assert (jax.config.jax_enable_x64, jax.config.jax_default_device) == before


def test_a_gpu_is_taken_or_refused(monkeypatch):
    real = jax.devices

    def only_cpu(kind=None):
        if kind not in (None, "cpu"):
            raise RuntimeError("Unknown backend")
        return real("cpu")

    monkeypatch.setattr(jax, "devices", only_cpu)
    assert "only cpu: install jax with its cuda plugin" in unavailable_reason("cuda")
    with pytest.raises(VariantUnavailable, match="no cuda device"), computing("cuda"):
        pass
    monkeypatch.setattr(jax, "devices", lambda kind=None: real("cpu"))
    assert unavailable_reason("cuda") is None
    named = suite.variants_of("jax-cuda")
    assert {variant.stage for variant in named} == {"fit_shape", "patch_experts", "action_units"}
    assert all(variant.rank < 0 and variant.devices == ("cuda",) for variant in named)
