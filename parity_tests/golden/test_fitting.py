"""The code around the fits, on recordings of the C++ program: views, similarities, schedule, likelihoods, and the data
that fits and parts pass to each other (spec 40.2, 40.3, 50.2 to 50.7). Response maps and fit passes:
test_stage_fidelity.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest

from auparity.parity_tests.fidelity import stages as stage_fidelity
from auparity.parity_tests.fidelity.frame_records import FitRecord, LandmarkDetection
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import LIKELIHOOD_SCALE, FittingParameters, LandmarkFitter, MeanShiftProblem
from auparity.reference.landmarks import PART_PARAMETERS, LandmarkDetector
from auparity.reference.patch_experts import select_view

pytestmark = pytest.mark.golden

#: A small tracked face (its eyes are placed, not fitted), the frame whose mask has a hole, a large face with all parts,
#: a re-detection with eleven hypotheses, an occluded face, an image.
SOURCES: list[stage_fidelity.Source] = [
    ("video01", 1), ("video01", 156), ("default", 1), ("lost", 25), ("hard", 16), ("images", "sample1.jpg"),
]  # fmt: skip

#: Logarithms of kernel sums, of order 1, over up to 68 landmarks: a few float32 ulps (1.2e-6 was measured).
MODEL_LIKELIHOOD = 3e-6
#: Sums of up to 121 products; up to about 10, where an ulp is 1e-6 (1.5e-5 was measured, from positions one ulp apart).
LANDMARK_LIKELIHOOD = 4e-5
#: Spec 90.10: what CalcParams may differ by, px and mm.
START_GLOBAL, START_LOCAL = 3e-5, 2e-4


class Recorded(NamedTuple):
    detection: LandmarkDetection
    fit: FitRecord
    fitter: LandmarkFitter
    settings: FittingParameters

    @property
    def visible(self):
        experts = self.fitter.experts.experts_at(self.fit.scale_index)
        return experts._experts.visibility[self.fit.view] != 0


@pytest.fixture(scope="module")
def detector(openface_bundle):
    return LandmarkDetector(openface_bundle.face)


@pytest.fixture(scope="module")
def recorded(detector) -> list[Recorded]:
    return list(_recorded(detector))


def _recorded(detector) -> Iterator[Recorded]:
    fitters, settings = {"main": detector.main.fitter}, {"main": detector.parameters.fitting}
    for part, own in zip(detector.part_models, detector.parts, strict=True):
        short = part.name.removesuffix("_28")
        fitters[short], settings[short] = own.fitter, PART_PARAMETERS[part.name]
    for source in SOURCES:
        _, record = stage_fidelity.load(source)
        for detection in record.landmark_detections:
            for fit in detection.fits:
                yield Recorded(detection, fit, fitters[fit.part], settings[fit.part])


def test_every_kind_of_fit_is_among_the_recordings(recorded):
    kinds = {r.fit.part for r in recorded}
    assert kinds == {"main", "inner", "left_eye", "right_eye"}
    assert len({r.fit.view for r in recorded}) >= 5
    assert any(not r.visible.all() for r in recorded)


def test_views_are_the_recorded_ones(recorded):
    for r in recorded:
        centres = r.fitter.experts.view_centres[r.fit.scale_index]
        assert select_view(centres, r.fit.pglobal_in[1:4]) == r.fit.view


def test_similarities_are_the_recorded_ones(recorded):
    for r in recorded:
        found = r.fitter.experts.similarity(r.fit.scale_index, r.fit.pglobal_in, r.fit.plocal_in)
        for ours, theirs in zip(found, (r.fit.sim_img_to_ref, r.fit.sim_ref_to_img), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_regularisation_sigma_and_weight_follow_the_schedule_exactly(recorded):
    for r in recorded:
        patch_scale = r.fitter.experts.scales[min(r.fit.scale_index, 2)]
        assert r.settings.at_scale(patch_scale) == (r.fit.reg, r.fit.sigma, r.fit.weight)


def test_a_scale_starts_where_the_coarser_one_ended(recorded):
    for detection in {id(r.detection): r.detection for r in recorded}.values():
        for part in ("main", "inner", "left_eye", "right_eye"):
            fits = detection.of(part)
            for coarse, fine in itertools.pairwise(fits):
                assert fine.scale_index > coarse.scale_index
                np.testing.assert_array_equal(fine.pglobal_in, coarse.pglobal_out)
                np.testing.assert_array_equal(fine.plocal_in, coarse.plocal_out)


def test_parts_start_from_fit_shape_on_the_main_landmarks(detector, recorded):
    main, checked = detector.main.shape, 0
    parts = {part.name.removesuffix("_28"): part for part in detector.part_models}
    for r in recorded:
        if r.fit.part == "main" or r.fit is not r.detection.of(r.fit.part)[0]:
            continue
        last = r.detection.of("main")[-1]
        landmarks = main.shape_2d(last.pglobal_out, last.plocal_out)
        mapping = parts[r.fit.part].mapping
        given = np.zeros((r.fit.n_points, 2), np.float32)
        given[mapping[:, 1]] = landmarks[mapping[:, 0]]
        g, p = fit_shape(r.fitter.shape_model, given[None])
        np.testing.assert_allclose(g[0], r.fit.pglobal_in, rtol=0, atol=START_GLOBAL)
        np.testing.assert_allclose(p[0], r.fit.plocal_in, rtol=0, atol=START_LOCAL)
        checked += 1
    assert checked > 10


def test_parts_run_above_nine_tenths_of_their_scale_only(recorded):
    for detection in {id(r.detection): r.detection for r in recorded}.values():
        main = detection.of("main")
        if main:
            ran = any(fit.part != "main" for fit in detection.fits)
            assert ran == (main[-1].pglobal_out[0] > 0.9)


def test_likelihoods_are_the_recorded_ones(recorded):
    checked = 0
    for r in recorded:
        fit = r.fit
        is_last = fit is r.detection.of(fit.part)[-1]
        if not (is_last or fit.pglobal_rigid[0] < LIKELIHOOD_SCALE) or not fit.lhoods.size:
            continue  # no likelihood is computed there (spec 50.2 step 5)
        model, visible = r.fitter.shape_model, r.visible
        maps = np.zeros((fit.n_points, fit.window, fit.window), np.float32)
        for landmark in np.flatnonzero(visible):
            maps[landmark] = fit.responses[int(landmark)]
        problem = MeanShiftProblem(
            model, maps, visible, fit.sim_img_to_ref, fit.sim_ref_to_img, model.shape_2d(fit.pglobal_in, fit.plocal_in),
            fit.reg, fit.sigma, fit.sigma, r.settings.iterations,
            r.fitter.weights(fit.scale_index, fit.view, fit.weight),
        )  # fmt: skip
        _, _, position = problem.optimise(fit.pglobal_rigid, fit.plocal_rigid, rigid=False)
        likelihood, each = problem.likelihoods(position)
        assert likelihood == pytest.approx(fit.model_likelihood, abs=MODEL_LIKELIHOOD)
        np.testing.assert_allclose(each[visible], fit.lhoods[visible], rtol=0, atol=LANDMARK_LIKELIHOOD)
        np.testing.assert_array_equal(each[~visible], fit.lhoods[~visible])
        checked += 1
    assert checked > 50
