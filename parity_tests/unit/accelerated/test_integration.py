"""The names that integrators know are the variants that they call, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import auparity
from auparity.accelerated.integration import (
    AcceleratedAUPipeline,
    BatchedAUPredictor,
    PatchExpertBackend,
    available_backends,
    benchmark_backends,
    select_best_backend,
)
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.errors import AuparityError, ContractError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.fhog import fhog
from auparity.reference.patch_experts import extract_areas
from auparity.reference.pdm import ShapeModel

BUNDLE = Bundle.embedded(networks=False)
REFERENCE = registry().get("patch_experts", "reference").build(BUNDLE.face.main)
SHAPE = ShapeModel(BUNDLE.face.main.pdm)
GRAY = np.round(np.random.default_rng(0).uniform(0, 255, (220, 220))).astype(np.float32)
ABLE = [name for name, why in available_backends(BUNDLE.face.main).items() if why is None]
EXACT = [name for name in ABLE if registry().get("patch_experts", name).precision == "float32"]


def scene(window=9, scale=0, stage=REFERENCE):
    """Maps of a frontal face, and the areas that they were computed from."""
    g = np.array([1.2, 0.02, -0.03, 0.01, 110, 110], np.float32)
    p = np.zeros(SHAPE.n_modes, np.float32)
    maps = stage.response_maps(GRAY[None], g[None], p[None], window, scale)
    areas = extract_areas(GRAY, SHAPE.shape_2d(g, p), maps.ref_to_img[0], window + 10)
    return maps.maps[0], maps.visible[0], areas


@pytest.mark.parametrize("name", ABLE)
def test_responses_of_areas_are_the_maps_of_the_stage(name):
    # float32 backends against reference, a bfloat16 backend against the variant that it calls
    stage = REFERENCE if name in EXACT else registry().get("patch_experts", name).build(BUNDLE.face.main)
    maps, visible, areas = scene(stage=stage)
    backend = PatchExpertBackend(name)
    backend.load_bundle(BUNDLE, scales=[0.25, 0.35])
    chosen = [k for k in (8, 17, 30, 36, 45, 60) if visible[k]]
    for k in chosen:
        np.testing.assert_allclose(backend.response(areas[k], k, 0.25), maps[k], atol=2e-6)
    together = backend.batch_response([areas[k] for k in chosen], chosen, [0.25] * len(chosen))
    for k, found in zip(chosen, together, strict=True):
        np.testing.assert_array_equal(found, backend.response(areas[k], k, 0.25))


def test_areas_of_several_scales_and_sizes_go_in_one_batch():
    backend = select_best_backend(bundle=BUNDLE)
    one, two = scene(9, 0)[2][30], scene(7, 1)[2][33]
    found = backend.batch_response([one, two], [30, 33], [0.25, 0.35])
    np.testing.assert_array_equal(found[0], backend.response(one, 30, 0.25))
    np.testing.assert_array_equal(found[1], backend.response(two, 33, 0.35))
    assert [m.shape for m in found] == [(9, 9), (7, 7)]


def test_the_best_backend_says_why(capsys):
    backend = select_best_backend(bundle=BUNDLE, verbose=True)
    assert f"{backend.name}: chosen" in capsys.readouterr().out
    assert backend.name == EXACT[0]


def test_what_is_wrong_is_said():
    backend = PatchExpertBackend("reference")
    area = np.zeros((19, 19), np.float32)
    with pytest.raises(AuparityError, match="load_models"):
        backend.response(area, 30, 0.25)
    backend.load_models("embedded")
    with pytest.raises(ContractError, match="scale"):
        backend.response(area, 30, 0.3)
    with pytest.raises(ContractError, match="landmarks"):
        backend.response(area, 68, 0.25)
    with pytest.raises(ContractError, match="equally many"):
        backend.batch_response([area], [30, 31], [0.25])
    with pytest.raises(ContractError, match="scales"):
        backend.load_bundle(BUNDLE, scales=[0.4])
    with pytest.raises(VariantUnavailable, match="no variant"):
        PatchExpertBackend("abacus")


def test_backends_are_timed_on_one_area():
    timings = benchmark_backends(scene()[2][30], 2, BUNDLE)
    assert {t.name for t in timings} == set(ABLE)
    assert all(t.milliseconds > 0 for t in timings)
    assert all(t.largest_difference < 2e-6 for t in timings if t.name in EXACT)


def test_all_aus_of_a_feature_vector():
    rng = np.random.default_rng(1)
    hog = fhog(rng.integers(0, 256, (1, 112, 112, 3), dtype=np.uint8))
    vector = np.concatenate([hog[0], rng.normal(0, 3, 238)])
    median = vector * 0.9
    stage = registry().get("action_units", "batched").build(BUNDLE.video_aus)
    expected = stage.predict(vector[None, :4464], vector[None, 4464:], median[None, :4464], median[None, 4464:])
    found = BatchedAUPredictor(BUNDLE.video_aus).predict_all(vector, median)
    assert len(found) == 35
    np.testing.assert_array_equal([v for k, v in found.items() if k.endswith("_r")], expected[0][0])
    np.testing.assert_array_equal([v for k, v in found.items() if k.endswith("_c")], expected[1][0])
    with pytest.raises(ContractError, match="running medians"):
        BatchedAUPredictor(BUNDLE.video_aus).predict_all(vector)


def test_the_pipeline_of_integrators_is_the_best_pipeline():
    frames = [picture.image for picture in render_clip(3_500_000, 3)]
    theirs, session = AcceleratedAUPipeline(BUNDLE), Pipeline.best(BUNDLE).start_video()
    for k, frame in enumerate(frames):
        found, expected = theirs.process_frame(frame), session.process_frame(frame, k / 30)
        np.testing.assert_array_equal(found["landmarks"], expected.landmarks)
        np.testing.assert_array_equal(list(found["aus"].values()), expected.au_intensity)
        assert found["success"] == expected.success
    np.testing.assert_array_equal(theirs.finish()["AU12"], session.finish().intensity[:, 8])
    theirs.reset()
    assert theirs.process_frame(frames[0])["result"].index == 0


def test_they_are_found_at_the_front_door():
    for name in (
        "Pipeline",
        "select_best_backend",
        "AcceleratedAUPipeline",
        "BatchedAUPredictor",
        "benchmark_backends",
    ):
        assert callable(getattr(auparity, name))
