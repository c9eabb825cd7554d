"""PyTorch's variants: the same code on any device, in float32 alone where a device has no float64."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

import torch

from auparity.accelerated.registry import Variant, registry
from auparity.accelerated.torch import action_units, fit_shape, patch_experts
from auparity.accelerated.torch.device import device_of, unavailable_reason
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
def test_torch_is_the_reference_stage(taken, stage):
    records = check_stage(registry().get(stage, "torch"), taken)
    assert records
    assert all(record.passed for record in records), "\n".join(map(str, records))


@pytest.mark.parametrize(
    ("stage", "module", "precision"),
    [
        ("fit_shape", fit_shape, "float32"),
        ("patch_experts", patch_experts, "float32"),
        ("action_units", action_units, "float32-only"),
    ],
)
def test_float32_alone_stays_within_its_class(taken, monkeypatch, stage, module, precision):
    """What MPS computes, with its arithmetic on the processor: float64 asked for becomes float32."""
    variant = registry().get(stage, "torch-mps")
    assert variant.precision == precision
    lesser = SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch) if not name.startswith("__")})
    lesser.float64 = torch.float32
    monkeypatch.setattr(module, "torch", lesser)
    records = check_stage(Variant(stage, "lesser", module.build, precision=precision), taken)
    assert records
    assert all(record.passed for record in records), "\n".join(map(str, records))
    if stage == "action_units":
        worst = max(record.max_error for record in records)
        assert worst > 1e-9, "it was computed in float64"


def test_gpus_are_taken_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(VariantUnavailable, match="built without CUDA"):
        device_of("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "sees no CUDA GPU" in unavailable_reason("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert "Apple silicon" in unavailable_reason("mps")
    assert "no device 'abacus'" in unavailable_reason("abacus")
    assert unavailable_reason("cpu") is None


def test_a_device_names_its_variants():
    on_mps = suite.variants_of("mps")
    assert {variant.name for variant in on_mps} == {"torch-mps"}
    networks = {"face_network", "point_network"}
    assert {variant.stage for variant in on_mps} == {"fit_shape", "patch_experts", "action_units"} | networks
    assert {"torch-cuda", "onnx-cuda"} <= {variant.name for variant in suite.variants_of("cuda")}
    assert all(variant.rank < 0 for variant in on_mps)
