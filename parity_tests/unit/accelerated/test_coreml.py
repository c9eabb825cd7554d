"""Core ML variants: packages from the folder for caches, interpreted when that is asked for, never chosen silently."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("coremltools")

from auparity.accelerated.choices import choose_best
from auparity.accelerated.coreml import modes
from auparity.accelerated.coreml.detection import build as build_detection
from auparity.accelerated.coreml.networks import build as build_networks
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.conversion.coreml import builder as coreml_builder
from auparity.errors import ContractError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite import random_networks
from auparity.parity_tests.suite import run as suite
from auparity.parity_tests.suite.stage_capture import capture, capture_networks
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reference.detection import detect_faces
from auparity.reference.networks.retinaface import priors

BUNDLE = Bundle.embedded(networks=False)
FRAMES = [picture.image for picture in render_clip(3_300_000, 2, canvas=(320, 240))]
STAGES = ("detection", "patch_experts", "validation", "action_units")
NETWORK_STAGES = ("face_network", "point_network")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Packages are written once for all tests of this file."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUPARITY_CACHE", str(folder))
        yield folder / "coreml"


@pytest.fixture(scope="module")
def taken():
    return capture(BUNDLE, [FRAMES], [])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["coreml-emulated", "coreml-float16-emulated"])
def test_an_interpreted_package_is_the_reference_stage_within_its_class(cache, taken, stage, name):
    variant = registry().get(stage, name)
    records = check_stage(variant, taken)
    assert records
    assert all(record.passed for record in records), "\n".join(map(str, records))
    reduced = "float16" if "float16" in name else "float32-only" if stage == "action_units" else "float32"
    assert variant.precision == reduced


@pytest.fixture(scope="module")
def networks_taken():
    work = suite.workloads.networks()
    return capture_networks(work.bundle, work.photographs[1:])


@pytest.mark.parametrize("stage", NETWORK_STAGES)
@pytest.mark.parametrize("name", ["coreml-emulated", "coreml-float16-emulated"])
def test_an_interpreted_network_is_the_reference_within_its_class(cache, networks_taken, stage, name):
    variant = registry().get(stage, name)
    records = check_stage(variant, networks_taken)
    assert len(records) == 2
    assert all(record.passed for record in records), "\n".join(map(str, records))
    # Halves are seen: a package that computed in float32 in spite of its name would be as near as that.
    assert all((record.tolerance_needed > 1e-5) == ("float16" in name) for record in records)
    assert "Core ML has not run them" in variant.not_run


def test_each_size_of_images_has_a_package(cache):
    run = build_networks(random_networks.retinaface(), "coreml-emulated")
    for size in ((40, 64), (33, 47), (40, 64)):
        images = np.full((2, *size, 3), 100, np.uint8)
        assert run(images).boxes.shape == (2, len(priors(*size)), 4)
        with pytest.raises(ContractError, match="images"):
            run(images[:0])
    assert len(list(cache.glob("retinaface-33x47-float32-*.mlpackage"))) == 1
    assert len(list(cache.glob("retinaface-40x64-float32-*.mlpackage"))) == 1


def test_a_network_of_points_is_refused_when_it_is_built():
    with pytest.raises(VariantUnavailable, match="Core ML is part of macOS"):
        build_networks(random_networks.pfld(), "coreml")


def test_float16_rounds(cache):
    reference = detect_faces(FRAMES[0], BUNDLE.detector, np.float32)
    for name, least, most in (("coreml-emulated", 0, 1e-3), ("coreml-float16-emulated", 1e-4, 0.12)):
        found = build_detection(BUNDLE.detector, name)(FRAMES[0])
        assert least <= np.abs(found.boxes - reference.boxes).max() <= most


def test_packages_are_kept_and_written_again_where_they_are_not_what_was_written(cache):
    def made(path):
        return (path / "Manifest.json").stat().st_mtime_ns

    build_detection(BUNDLE.detector, "coreml-emulated")
    (kept,) = cache.glob("rnet-float32-*.mlpackage")
    before = made(kept)
    build_detection(BUNDLE.detector, "coreml-emulated")
    assert made(kept) == before
    (blob,) = kept.rglob("weight.bin")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    for damaged in (bytes(content), content[:-64], b""):
        blob.write_bytes(damaged)
        build_detection(BUNDLE.detector, "coreml-emulated")
        assert made(kept) > before
        before = made(kept)
    other = next(path for path in cache.glob("onet-float32-*.mlpackage"))
    shutil.rmtree(kept)
    shutil.copytree(other, kept)
    build_detection(BUNDLE.detector, "coreml-emulated")
    assert made(kept) > before


def test_a_pipeline_says_that_it_is_emulated_and_of_which_class(cache):
    spec = {stage: "coreml-emulated" for stage in STAGES}
    pipeline = Pipeline.from_spec(spec, BUNDLE)
    assert pipeline.precision == "float32-only"
    assert pipeline.variants["patch_experts"] == "coreml-emulated"
    assert Pipeline.from_spec({"validation": "coreml-float16-emulated"}, BUNDLE).precision == "float16"


def test_none_is_chosen_unless_named():
    assert not any("coreml" in choice.name for choice in choose_best(BUNDLE).values())
    assert {v.name for v in suite.variants_of("coreml")} == {"coreml", "coreml-float16"}
    asked = suite.variants_of("coreml", emulated=True)
    assert {v.name for v in asked} == {"coreml-emulated", "coreml-float16-emulated"}
    assert {v.stage for v in asked} == {*STAGES, *NETWORK_STAGES}
    assert not any(v.name.endswith("-emulated") for v in suite.variants_of("cpu"))


@pytest.mark.parametrize(
    ("system", "version", "why"),
    [
        ("Linux", "", "Core ML is part of macOS; .* coreml-emulated, or --emulate-coreml"),
        ("Darwin", "12.7.1", "need macOS 13 or newer, this is 12.7.1"),
        ("Darwin", "14.5", None),
        ("Darwin", "26.0", None),
    ],
)
def test_core_ml_itself_is_for_macs(monkeypatch, system, version, why):
    monkeypatch.setattr(modes.platform, "system", lambda: system)
    monkeypatch.setattr(modes.platform, "mac_ver", lambda: (version, ("", "", ""), "arm64"))
    said = modes.MODES["coreml"].unavailable_reason()
    if why is None:
        assert said is None
    else:
        with pytest.raises(VariantUnavailable, match=why):
            build_detection(BUNDLE.detector, "coreml")
    assert modes.MODES["coreml-emulated"].unavailable_reason() is None


def test_on_a_mac_core_ml_is_asked_to_use_all_it_has(cache, monkeypatch):
    """With a stand-in for coremltools' model, which exists on Macs only: what it is given and what is made of it."""
    calls = []

    class Model:
        def __init__(self, path, compute_units):
            self.path, self.units = path, compute_units

        def predict(self, feeds):
            calls.append((self.path, self.units, {name: (a.dtype, a.shape) for name, a in feeds.items()}))
            return {"outputs": np.zeros((len(feeds["maps"]), 16), np.float16)}

    from auparity.accelerated.coreml.packages import Package

    real = coreml_builder.coremltools()
    monkeypatch.setattr(modes.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(modes.platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(real.models, "MLModel", Model)
    net = BUNDLE.detector.rnet

    def make(metadata, precision):
        raise AssertionError("it is in the cache")

    package = Package("rnet", "coreml", (net,), "detection", "", make)
    found = package(np.zeros((5, 3, 24, 24)))
    assert found.dtype == np.float32
    assert found.shape == (5, 16)
    ((path, units, fed),) = calls
    assert path.endswith(".mlpackage")
    assert units == real.ComputeUnit.ALL
    assert fed == {"maps": (np.dtype(np.float32), (5, 3, 24, 24))}


def test_the_switch_names_the_interpreting_variants():
    assert modes.emulated("best,detection=coreml,validation=coreml-float16") == (
        "best,detection=coreml-emulated,validation=coreml-float16-emulated"
    )
    assert modes.emulated("onnx-coreml") == "onnx-coreml"
    assert modes.emulated("coreml-emulated") == "coreml-emulated"
    assert modes.emulated("best+coreml-float16") == "best+coreml-float16-emulated"
    assert modes.emulated("best") == "best"


def test_reports_say_that_core_ml_has_not_run(cache, taken, monkeypatch):
    work = suite.workloads.ParityWorkload("embedded", BUNDLE, [FRAMES], [], FRAMES)
    monkeypatch.setattr(suite.workloads, "rendered", lambda quick: [work])
    monkeypatch.setattr(suite, "capture", lambda *_: taken)
    report = suite.run(
        [registry().get("validation", "coreml-emulated")], quick=True, recordings=False, stages_only=True
    )
    assert "Core ML has not run them; on a Mac: nox -s parity-coreml" in report.skipped["validation coreml"]
    assert {error.variant for error in report.errors} == {"coreml-emulated"}
