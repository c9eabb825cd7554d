"""The parity suite can fail: small errors planted in stages are caught where they are, and nothing else is."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from auparity.accelerated.registry import STAGES, Variant, registry
from auparity.errors import ContractError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite import run as suite
from auparity.parity_tests.suite import workloads
from auparity.parity_tests.suite.stage_capture import Capture, capture, capture_networks
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.parity_tests.suite.validate import validate_acceleration
from auparity.reference.numerics import FLOAT32, PERTURBED
from auparity.reference.pipeline import ReferencePipeline, StagedPipeline
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
REFERENCE, TWIN = reference_stages(FLOAT32), reference_stages(PERTURBED)


@pytest.fixture(scope="module")
def frames():
    return [picture.image for picture in render_clip(3_600_000, 8)]


@pytest.fixture(scope="module")
def taken(frames):
    found, work = capture(BUNDLE, [frames[:4]], frames[:1], most=6), workloads.networks()
    found.calls |= capture_networks(work.bundle, work.photographs).calls
    return found


def planted(stage, change):
    """A variant that is the reference stage with its results changed."""

    def build(*parts):
        return change(getattr(REFERENCE, stage)(*parts))

    return Variant(stage, "planted", build)


def failed(variant, taken):
    return [record.name.split(": ")[1] for record in check_stage(variant, taken) if not record.passed]


def test_every_stage_is_met(taken):
    assert set(taken.calls) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_the_reference_agrees_with_itself(stage, taken):
    records = check_stage(registry().get(stage, "reference"), taken)
    assert records
    assert all(record.passed and record.tolerance_needed == 0 for record in records)


@pytest.mark.parametrize("stage", ["fhog", "geometry", "action_units", "gaze", "fit_shape"])
def test_a_program_of_other_rounding_passes(stage, taken):
    assert failed(Variant(stage, "perturbed", getattr(TWIN, stage)), taken) == []


def test_calls_can_be_repeated_by_another_process(taken):
    again = pickle.loads(pickle.dumps(taken))
    assert {stage: len(calls) for stage, calls in again.calls.items()} == {
        stage: len(calls) for stage, calls in taken.calls.items()
    }
    for stage in STAGES:
        records = check_stage(registry().get(stage, "reference"), again)
        assert all(record.passed and record.tolerance_needed == 0 for record in records)


def test_a_shifted_constant_is_caught(taken):
    assert failed(planted("fhog", lambda fhog: lambda aligned: fhog(aligned) + np.float32(1e-6)), taken) == ["fhog"]


def test_a_half_precision_cast_is_caught(taken):
    def cast(stage):
        stage.intensity = dataclasses.replace(
            stage.intensity, weights=stage.intensity.weights.astype(np.float16).astype(np.float64)
        )
        return stage

    assert failed(planted("action_units", cast), taken) == ["action_units"]


def test_a_window_that_is_off_by_one_is_caught(taken):
    def shift(bank):
        real = bank.response_maps

        def response_maps(*arguments):
            found = real(*arguments)
            return dataclasses.replace(found, maps=np.roll(found.maps, 1, axis=3))

        bank.response_maps = response_maps
        return bank

    names = failed(planted("patch_experts", shift), taken)
    assert "response_maps" in names
    assert "similarity" not in names


def test_networks_that_look_a_pixel_aside_or_see_other_colours_are_caught(taken):
    def aside(network):
        return lambda images: network(np.roll(images, 1, axis=2))

    assert "network_boxes" in failed(planted("face_network", aside), taken)
    assert set(failed(planted("point_network", aside), taken)) == {"network_points", "network_points_of_maps"}
    other = planted("point_network", lambda network: lambda crops: network(np.ascontiguousarray(crops[..., ::-1])))
    assert set(failed(other, taken)) == {"network_points", "network_points_of_maps"}


def test_points_of_maps_have_a_tolerance_of_their_own(taken):
    moved = planted("point_network", lambda network: lambda crops: network(crops) + np.float32(1e-4))
    assert failed(moved, taken) == ["network_points"]


def test_probabilities_of_faces_in_halves_are_caught(taken):
    def halved(network):
        def run(images):
            raw = network(images)
            return dataclasses.replace(raw, faces=raw.faces.astype(np.float16).astype(np.float32))

        return run

    assert failed(planted("face_network", halved), taken) == ["network_faces"]


def test_the_suite_compares_networks_by_themselves(taken, monkeypatch):
    monkeypatch.setattr(suite, "capture_networks", lambda *_: taken)
    reference = registry().get("point_network", "reference")
    report = suite.run([reference], quick=True, recordings=False, progress=False)
    assert {(error.workload, error.figure) for error in report.errors} == {
        ("networks", "network_points"), ("networks", "network_points_of_maps"),
    }  # fmt: skip
    assert [(work.name, work.landmark_model) for work in report.workloads] == [("networks", "pfld")]
    assert not report.skipped


def test_a_result_of_another_shape_is_caught(taken):
    records = check_stage(planted("fhog", lambda fhog: lambda aligned: fhog(aligned)[:, :-1]), taken)
    assert [record.passed for record in records] == [False]
    assert "shape" in records[0].note


def test_a_median_that_counts_every_frame_is_caught(taken):
    def eager(median):
        median.step = median.update
        return median

    assert failed(planted("running_median", eager), taken) == ["running_median"]


def test_to_prove_nothing_is_an_error():
    with pytest.raises(ContractError, match="none"):
        check_stage(registry().get("fhog", "reference"), Capture())


def test_variants_are_named_on_command_lines():
    assert suite.named_variant("fhog=reference")[0].stage == "fhog"
    made = suite.named_variant("auparity.parity_tests.unit.parity.test_stage_parity:some_variants")
    assert [variant.name for variant in made] == ["planted"]
    for wrong in (
        "no.such.module:f",
        "auparity.parity_tests.suite.run:no_such",
        "auparity.parity_tests.suite.run:PIPELINE",
    ):
        with pytest.raises((VariantUnavailable, TypeError)):
            suite.named_variant(wrong)
    assert {v.name for v in suite.variants_of("batched")} == {"batched"}
    assert {v.name for v in suite.variants_of("onnx-openvino")} == {"onnx-openvino"}, "one of a technology's"
    assert {"onnx", "onnx-openvino"} < {v.name for v in suite.variants_of("onnx")}


def some_variants():
    return planted("fhog", lambda fhog: fhog)


class TestValidateAcceleration:
    def test_the_reference_against_itself_passes(self, frames):
        report = validate_acceleration(ReferencePipeline(BUNDLE), ReferencePipeline(BUNDLE), frames[:6])
        assert report.passed
        assert report.landmarks_max == 0
        assert report.speed_up == pytest.approx(report.reference_ms / report.candidate_ms)
        assert "PASSED" in str(report)
        assert report.as_dict()["frames"] == 6

    def test_an_error_fails_and_is_named(self, frames):
        def build(predictors):
            align = REFERENCE.alignment(predictors)
            return lambda images, landmarks, g: align(images, landmarks + np.float32(3), g)

        broken = StagedPipeline(BUNDLE, dataclasses.replace(REFERENCE, alignment=build), FLOAT32)
        report = validate_acceleration(ReferencePipeline(BUNDLE), broken, frames[:6])
        assert not report.passed
        # Running medians take away what is the same in all frames, so the AUs of the clip need not show it.
        assert "alignment candidate: alignment_values" in str(report)
        assert {found.name.split()[0] for found in report.stages if not found.passed} == {"alignment"}

    def test_other_models_and_too_few_frames_are_refused(self, frames):
        reference = ReferencePipeline(BUNDLE)
        with pytest.raises(ContractError, match="at least 5"):
            validate_acceleration(reference, reference, frames[:4])
        with pytest.raises(ContractError, match="bundle"):
            validate_acceleration(reference, ReferencePipeline(BUNDLE.widen()), frames)
