"""Variants: registering, reasons, and the pipelines that are put together from them."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.accelerated import choices
from auparity.accelerated.choices import choose_best, choose_by_name, parse_spec
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import REFERENCE, STAGES, Registry, Variant, registry
from auparity.errors import ContractError, VariantUnavailable
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.numerics import FLOAT32
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.stages import reference_stages

BUNDLE = factories.make_bundle(0)
IMAGE = np.random.default_rng(5).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def own() -> Registry:
    """A registry of the reference variants alone."""
    made, reference = Registry(), reference_stages(FLOAT32)
    for stage in STAGES:
        made.add(Variant(stage, REFERENCE, getattr(reference, stage)))
    return made


def test_every_stage_has_its_reference_variant():
    known = registry()
    for stage in STAGES:
        assert known.get(stage, REFERENCE).unavailable_reason() is None


def test_every_variant_says_what_it_needs_or_runs():
    for variant in registry():
        why = variant.unavailable_reason()
        assert why is None or "needs" in why or variant.check is not None


def test_a_missing_package_is_named_with_the_extra_that_installs_it():
    variant = Variant("fhog", "x", print, requires=("no_such_package_at_all",), extra="numba")
    assert variant.unavailable_reason() == "needs no_such_package_at_all, not installed: pip install 'auparity[numba]'"


def test_a_name_is_taken_once_and_stages_are_known():
    made = own()
    with pytest.raises(ContractError, match="a new name"):
        made.add(Variant("fhog", REFERENCE, print))
    with pytest.raises(ContractError, match="'hog'"):
        made.add(Variant("hog", "mine", print))
    with pytest.raises(VariantUnavailable, match="it has reference"):
        made.get("fhog", "mine")
    with pytest.raises(ContractError, match="stage"):
        made.of_stage("hog")


def test_the_best_is_the_highest_rank_that_runs_and_serves():
    made = own()
    made.add(Variant("fhog", "absent", print, requires=("no_such_package_at_all",), rank=90))
    made.add(Variant("fhog", "broken", print, rank=80, check=lambda: "its driver is too old"))
    made.add(Variant("fhog", "picky", print, rank=70, unsupported_reason=lambda *_: "only serves other models"))
    made.add(Variant("fhog", "half", print, rank=60, precision="float16"))
    made.add(Variant("fhog", "gpu", print, rank=55, devices=("cuda",)))
    made.add(Variant("fhog", "good", print, rank=50))
    made.add(Variant("fhog", "slow", print, rank=10))
    made.add(Variant("fhog", "only-by-name", print, rank=-1))
    choice = choose_best(BUNDLE, "cpu", made)["fhog"]
    assert choice.variant.name == "good"
    for reason in ("no_such_package", "too old", "other models"):
        assert reason in choice.reason
    assert choose_best(BUNDLE, None, made)["fhog"].variant.name == "gpu"
    assert choose_best(BUNDLE, None, made)["pdm"].reason == "no faster variant is known"


def on_a_mac(why: str | None = None) -> Registry:
    """The reference variants and those of a device that nobody has measured, `why` it cannot be used."""
    made = own()
    made.add(Variant("fhog", "fast", reference_stages(FLOAT32).fhog, rank=50))
    made.add(Variant("fhog", "apple", reference_stages(FLOAT32).fhog, rank=-1, devices=("mps",), check=lambda: why))
    made.add(Variant("geometry", "half", print, rank=-1, devices=("mps",), precision="float16"))
    made.add(Variant("gaze", "apple", print, rank=-1, devices=("mps",), check=lambda: "its kernels are missing"))
    return made


def test_a_device_that_is_asked_for_takes_the_stages_that_it_has_and_the_processor_the_others():
    chosen = choose_best(BUNDLE, "mps", on_a_mac())
    assert {stage for stage, choice in chosen.items() if choice.name == "apple"} == {"fhog"}
    assert chosen["fhog"].reason == "asked for by device mps"
    assert "its kernels are missing" in chosen["gaze"].reason
    assert choose_best(BUNDLE, None, on_a_mac())["fhog"].name == "fast", "unmeasured variants are taken by name only"
    assert choose_best(BUNDLE, "cpu", on_a_mac())["fhog"].name == "fast"


def test_best_makes_a_pipeline_of_the_devices_variants(monkeypatch):
    monkeypatch.setattr(choices, "registry", on_a_mac)
    pipeline = Pipeline.best(BUNDLE, PipelineOptions(device="mps"))
    assert (pipeline.variants["fhog"], pipeline.variants["pdm"], pipeline.precision) == ("apple", REFERENCE, "float32")
    assert pipeline.start_video().process_frame(IMAGE, 0.0).landmarks.shape == (68, 2)


def test_a_device_that_cannot_be_used_is_refused_with_the_true_reason():
    with pytest.raises(VariantUnavailable, match="'mps' cannot be used here: apple: not a Mac; apple: its kernels"):
        choose_best(BUNDLE, "mps", on_a_mac("not a Mac"))
    with pytest.raises(VariantUnavailable, match="'directml' cannot be used here: no stage has a float32 variant"):
        choose_best(BUNDLE, "directml", on_a_mac())
    with pytest.raises(ContractError, match="one of cpu, cuda, mps, coreml, directml, got 'tpu'"):
        Pipeline.best(BUNDLE, PipelineOptions(device="tpu"))


def test_a_name_that_no_stage_has_is_refused_and_never_replaced_by_the_reference():
    for ask in (lambda: parse_spec(BUNDLE, "nubma"), lambda: Pipeline.from_spec({}, BUNDLE, default="nubma")):
        with pytest.raises(VariantUnavailable, match=r"no stage has a variant 'nubma'; there are best, .*numba"):
            ask()


def test_what_is_asked_for_by_name_runs_or_fails_loudly():
    made = own()
    made.add(Variant("fhog", "absent", print, requires=("no_such_package_at_all",)))
    made.add(Variant("fhog", "other", print, rank=-1))
    chosen = choose_by_name(BUNDLE, {"fhog": "other"}, among=made)
    assert chosen["fhog"].variant.name == "other"
    assert {c.variant.name for stage, c in chosen.items() if stage != "fhog"} == {REFERENCE}
    assert choose_by_name(BUNDLE, {}, "other", made)["fhog"].variant.name == "other"
    with pytest.raises(VariantUnavailable, match="no_such_package_at_all"):
        choose_by_name(BUNDLE, {"fhog": "absent"}, among=made)
    with pytest.raises(ContractError, match="hog2"):
        choose_by_name(BUNDLE, {"hog2": "other"}, among=made)


def test_a_spec_is_read_from_text():
    assert {c.variant.name for c in parse_spec(BUNDLE, "reference").values()} == {REFERENCE}
    assert parse_spec(BUNDLE, "action_units=batched")["action_units"].variant.name == "batched"
    assert set(parse_spec(BUNDLE, "best")) == set(STAGES)
    mixed = parse_spec(BUNDLE, "best,fhog=reference")
    assert mixed["fhog"].variant.name == REFERENCE
    assert {s: c.variant for s, c in mixed.items() if s != "fhog"} == {
        s: c.variant for s, c in choose_best(BUNDLE).items() if s != "fhog"
    }
    over = parse_spec(BUNDLE, "best+batched,fhog=reference")
    assert {s for s, c in over.items() if c.variant.name == "batched"} == {"action_units"}
    assert over["fhog"].variant.name == REFERENCE
    assert over["fitting"].variant == choose_best(BUNDLE)["fitting"].variant
    for wrong in ("numba,onnx", "numba,best"):
        with pytest.raises(ContractError, match="variants"):
            parse_spec(BUNDLE, wrong)
    with pytest.raises(VariantUnavailable, match="no stage has a variant 'abacus'"):
        parse_spec(BUNDLE, "best+abacus")


def test_a_pipeline_of_reference_variants_is_the_reference_pipeline():
    ours = Pipeline.from_spec({}, BUNDLE).start_video().process_frame(IMAGE, 0.0)
    reference = ReferencePipeline(BUNDLE).start_video().process_frame(IMAGE, 0.0)
    np.testing.assert_array_equal(ours.landmarks, reference.landmarks)
    np.testing.assert_array_equal(ours.au_intensity, reference.au_intensity)


def test_a_pipeline_says_what_was_chosen_and_can_be_made_again():
    pipeline = Pipeline.from_spec({"action_units": "batched"}, BUNDLE)
    assert "action_units: batched (asked for)" in str(pipeline)
    assert Pipeline.from_spec(pipeline.variants, BUNDLE).variants == pipeline.variants
    with pytest.raises(ContractError, match="none for"):
        Pipeline.of_choices(BUNDLE, {})
