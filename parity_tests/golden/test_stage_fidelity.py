"""The reference against the C++ program on a few recordings, with the checks of the fidelity suite.

The whole clips run in ``nox -s fidelity``.
"""

from __future__ import annotations

import pytest

from auparity.parity_tests.compare.arrays import ComparisonRecord
from auparity.parity_tests.fidelity import clips as clip_fidelity
from auparity.parity_tests.fidelity import stages as stage_fidelity

pytestmark = pytest.mark.golden

#: A tracked small face, the frame whose mask has a hole, a face with fitted parts, a re-detection with eleven
#: hypotheses, an occluded face.
FRAMES: list[stage_fidelity.Source] = [("video01", 1), ("video01", 156), ("default", 1), ("lost", 25), ("hard", 16)]


def assert_passed(records: list[ComparisonRecord]) -> None:
    failed = [str(record) for record in records if not record.passed]
    assert not failed, "\n".join(failed)


def test_response_maps_and_fits_on_golden_inputs(openface_bundle):
    assert_passed(stage_fidelity.check_fits(openface_bundle, FRAMES))


def test_cen_response_maps_and_fits_on_golden_inputs(random_cen_bundle):
    assert_passed(stage_fidelity.check_fits(random_cen_bundle, stage_fidelity.random_cen_sources()))


def test_certainties_are_the_recorded_ones(openface_bundle):
    assert_passed(stage_fidelity.check_validation(openface_bundle, FRAMES))


def test_fit_shape_alignment_fhog_and_geometry_on_golden_inputs(openface_bundle):
    assert_passed(stage_fidelity.check_analysis(openface_bundle, FRAMES))


def test_medians_and_action_units_on_golden_descriptors(openface_bundle):
    assert_passed(stage_fidelity.check_prediction(openface_bundle))


def test_pose_and_gaze_on_golden_states(openface_bundle):
    assert_passed(stage_fidelity.check_pose_and_gaze(openface_bundle, ("hard",)))


@pytest.mark.parametrize("clip", ["video01", "default"])
def test_one_step_from_the_golden_state(openface_bundle, clip):
    assert_passed(clip_fidelity.one_step_landmarks(openface_bundle, clip, frames=list(range(1, 80, 8))))


def test_aus_on_golden_landmarks(openface_bundle):
    records, errors = clip_fidelity.aus_on_golden_landmarks(openface_bundle, "video01", frames=20)
    assert_passed(records)
    assert errors.shape == (20,)


def test_a_chained_run_returns_the_recorded_flags(openface_bundle):
    # Frames 0 to 17 of this clip have no face, then one: detection attempts, the first success, tracking.
    run = clip_fidelity.run_clip(openface_bundle, "hard", "float32", frames=18)
    golden = clip_fidelity.golden_data.load_state("hard")
    assert (run.returned == golden.returned[:18]).all()
    assert run.returned.any()
    assert not run.returned.all()
