"""Results of stages as named arrays: which array has which name, and what is made of the odd cases."""

from __future__ import annotations

import numpy as np

from auparity.reference import stage_outputs as outputs
from auparity.reference.detection import Detections
from auparity.reference.fitting import Fit
from auparity.reference.patch_experts import ResponseMaps
from auparity.reference.pdm import rotation_from_euler


def fit(number, likelihood, *, success=True):
    each = None if likelihood is None else np.full(68, likelihood)
    return Fit(np.full(6, number), np.full(4, number), np.full((68, 2), number), likelihood, each, number, success)


def test_maps_are_those_of_visible_landmarks_and_decisions_say_which_they_are():
    visible = np.array([[True, False, True], [False, True, True]])
    maps = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 2, 2)
    there, back = np.full((2, 2, 2), 3.0), np.full((2, 2, 2), 5.0)
    named = outputs.of_maps(ResponseMaps(maps, visible, there, back, np.array([4, 6])))
    np.testing.assert_array_equal(named["response_maps"], maps[[0, 0, 1, 1], [0, 2, 1, 2]])
    np.testing.assert_array_equal(named["similarity"], [there, back])
    np.testing.assert_array_equal(named["decisions"], [[1, 0, 1, 4], [0, 1, 1, 6]])


def test_a_fit_without_a_likelihood_counts_as_0_and_says_so_among_the_decisions():
    named = outputs.of_fits([fit(2, 0.5), fit(3, None, success=False)])
    assert named["fit_landmarks"].shape == (2, 68, 2)
    assert named["fit_landmarks"][1, 0, 0] == 3
    assert named["fit_likelihood"].tolist() == [0.5, 0.0]
    assert named["decisions"].tolist() == [[2, 1, 0], [3, 0, 1]]


def test_poses_are_compared_by_their_rotation_matrix():
    g = np.array([1.5, 0.1, -0.2, 0.3, 100, 200], np.float32)
    entries = outputs.pose_entries(g)
    assert entries.shape == (12,)
    assert entries[0] == 1.5
    np.testing.assert_array_equal(entries[1:10].reshape(3, 3), rotation_from_euler(g[1:4]))
    assert entries[10:].tolist() == [100, 200]
    local = np.arange(8.0).reshape(2, 4)
    named = outputs.of_shape((np.stack([g, 2 * g]), local))
    np.testing.assert_array_equal(named["fit_shape_global"], [entries, outputs.pose_entries(2 * g)])
    assert named["fit_shape_local"] is local


def test_every_other_result_has_its_arrays_by_name():
    boxes, scores = np.ones((2, 4)), np.array([0.9, 0.8])
    named = outputs.of_detections(Detections(boxes, scores, np.zeros((2, 5, 2))))
    assert named == {"detection_boxes": boxes, "detection_scores": scores}
    assert outputs.of_action_units((boxes, scores)) == {"action_units": boxes, "action_units_presence": scores}
    gaze = outputs.of_gaze((np.full((1, 2, 3), 2.0), np.full((1, 2), 3.0)))["gaze"]
    assert gaze.tolist() == [2.0] * 6 + [3.0] * 2
    assert outputs.one_array("fhog")([1, 2])["fhog"].tolist() == [1, 2]
