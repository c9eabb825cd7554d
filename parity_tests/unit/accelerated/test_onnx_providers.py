"""A provider of ONNX Runtime that was asked for is taken, or the error says why not and what to do."""

from __future__ import annotations

import pytest

from auparity.accelerated.choices import choose_best
from auparity.accelerated.onnx import _OTHERS, providers
from auparity.accelerated.onnx.providers import BY_NAME, PROVIDERS, kept_engines
from auparity.accelerated.onnx.session import Session
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.cache import CACHE_VARIABLE
from auparity.conversion.onnx.graphs import metadata_of, network
from auparity.errors import VariantUnavailable
from auparity.models.bundle import Bundle

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

BUNDLE = Bundle.embedded(networks=False)
GRAPH = network(BUNDLE.detector.rnet, 3, "rnet", metadata_of("", "", "", ""))
ABSENT = [p.name for p in PROVIDERS if p.execution not in onnxruntime.get_available_providers()]


def test_what_the_registry_says_is_what_the_providers_say():
    assert set(_OTHERS) | {"onnx"} == set(BY_NAME)
    for name, (device, precision) in _OTHERS.items():
        assert (BY_NAME[name].device, BY_NAME[name].precision) == (device, precision)
        for stage in ("detection", "validation", "action_units", "patch_experts"):
            variant = registry().get(stage, name)
            assert (variant.devices, variant.precision, variant.rank) == ((device,), precision, -1)


def test_none_but_the_cpu_is_chosen_without_being_named():
    chosen = {choice.variant.name for choice in choose_best(BUNDLE).values()}
    assert chosen.isdisjoint(_OTHERS)


@pytest.mark.parametrize("name", ABSENT)
def test_a_provider_that_is_not_there_is_an_error_with_its_remedy(name):
    provider = BY_NAME[name]
    variant = registry().get("detection", name)
    assert provider.execution in variant.unavailable_reason()
    remedy = provider.needs if provider.package == "onnxruntime" else f"install {provider.package}"
    assert remedy in variant.unavailable_reason()
    with pytest.raises(VariantUnavailable, match=remedy):
        Session(GRAPH, name)
    with pytest.raises(VariantUnavailable, match=provider.execution):
        Pipeline.from_spec({"detection": name}, BUNDLE)


def test_a_provider_that_falls_back_silently_is_an_error(monkeypatch):
    """ONNX Runtime has the provider, but not the libraries that it needs: it warns and computes on the CPU."""
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    real = onnxruntime.InferenceSession

    def session(model, options, providers):
        assert providers[0][0] == "CUDAExecutionProvider"
        assert providers[0][1]["use_tf32"] == "0"
        return real(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(VariantUnavailable, match=r"could not load CUDAExecutionProvider.*CUDA and cuDNN"):
        Session(GRAPH, "onnx-cuda")


def test_engines_are_kept_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (first, options), (second, _) = BY_NAME["onnx-tensorrt"].settings()
    assert (first, second) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert options["trt_engine_cache_path"] == str(tmp_path / "tensorrt-engines")
    assert (tmp_path / "tensorrt-engines").is_dir()
    assert options["trt_fp16_enable"] == "0"


def test_engines_that_are_not_whole_and_ours_are_deleted_before_tensorrt_loads_them(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with kept_engines("onnx-tensorrt"):
        for name in ("good.engine", "bad.engine"):
            (tmp_path / "tensorrt-engines" / name).write_bytes(name.encode())
    (tmp_path / "tensorrt-engines" / "bad.engine").write_bytes(b"bad.enginf")
    (tmp_path / "tensorrt-engines" / "foreign.engine").write_bytes(b"never sealed")
    with kept_engines("onnx-tensorrt"):
        left = [path.name for path in (tmp_path / "tensorrt-engines").glob("*.engine")]
    assert left == ["good.engine"]


def test_without_a_cache_engines_are_not_kept(monkeypatch):
    monkeypatch.setattr(providers, "cache_folder", lambda kind: None)
    ((_, options), _) = BY_NAME["onnx-tensorrt"].settings()
    assert "trt_engine_cache_enable" not in options
    with kept_engines("onnx-tensorrt"):
        pass
