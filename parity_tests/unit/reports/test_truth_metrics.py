"""The metrics against the truth agree with their definitions, with SciPy, and with what one can work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from auparity.errors import AuparityError, ContractError
from auparity.reference.pdm import rotation_from_euler
from auparity.reports.truth import metrics
from auparity.reports.truth.targets import judge, parse, targets


def face(width: float = 100.0) -> np.ndarray:
    """(1, 68, 2) landmarks whose outer eye corners are `width` apart."""
    points = np.random.default_rng(0).normal(100, 20, (1, 68, 2))
    points[0, 36], points[0, 45] = (100, 100), (100 + width, 100)
    return points


class TestDetection:
    def test_the_share_of_a_box_that_the_picture_holds(self):
        assert metrics.share_inside(np.array([10.0, 20, 30, 40]), (100, 100)) == 1
        assert metrics.share_inside(np.array([-10.0, 20, 40, 40]), (100, 100)) == pytest.approx(0.75)
        assert metrics.share_inside(np.array([90.0, 90, 20, 20]), (100, 100)) == pytest.approx(0.25)
        assert metrics.share_inside(np.array([200.0, 20, 40, 40]), (100, 100)) == 0

    def test_overlap_of_boxes(self):
        boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [0, 0, 0, 0]])
        overlap = metrics.iou(boxes, boxes[:1])[:, 0]
        np.testing.assert_allclose(overlap, [1, 50 / 150, 0, 0])

    def test_a_second_box_on_the_same_face_is_a_false_one(self):
        true = np.array([[0, 0, 10, 10.0]])
        boxes = np.array([[1, 0, 10, 10.0], [0, 0, 10, 10], [50, 50, 10, 10]])
        assert metrics.matched(boxes, np.array([0.8, 0.9, 0.99]), true).tolist() == [False, True, False]

    def test_each_of_several_faces_is_matched_once(self):
        true = np.array([[0, 0, 10, 10.0], [30, 0, 10, 10]])
        assert metrics.matched(true[::-1], np.array([0.9, 0.8]), true).all()

    def test_nothing_found_and_nothing_there(self):
        assert metrics.matched(np.zeros((0, 4)), np.zeros(0), np.zeros((1, 4))).shape == (0,)
        assert not metrics.matched(np.ones((2, 4)), np.ones(2), np.zeros((0, 4))).any()
        nothing = metrics.detection_figures([np.zeros(0, bool)], 0)
        assert (nothing.recall, nothing.precision, nothing.false_per_100) == (None, None, 0.0)

    def test_recall_precision_and_false_boxes(self):
        hits = [np.array([True]), np.array([True, False]), np.zeros(0, bool), np.array([False])]
        figures = metrics.detection_figures(hits, faces=3)
        assert figures.recall == pytest.approx(2 / 3)
        assert figures.precision == pytest.approx(2 / 4)
        assert figures.false_per_100 == pytest.approx(50)

    def test_recall_at_a_rate_of_false_boxes_raises_the_score_until_few_enough_remain(self):
        hits = [np.array([True])] * 98 + [np.array([True, False]), np.array([False])]
        scores = [np.array([0.9])] * 97 + [np.array([0.75]), np.array([0.95, 0.8]), np.array([0.7])]
        # Both false boxes (0.8 and 0.7) are one too many for 100 images: the lower one must go.
        recall, limit = metrics.recall_at_false_rate(hits, scores, faces=100, false_per_100=1)
        assert (recall, limit) == (pytest.approx(0.99), 0.7)
        # None at all: the face of score 0.75 goes with them.
        recall, limit = metrics.recall_at_false_rate(hits, scores, faces=100, false_per_100=0)
        assert (recall, limit) == (pytest.approx(0.98), 0.8)

    def test_a_detector_with_few_false_boxes_keeps_its_operating_point(self):
        assert metrics.recall_at_false_rate([np.array([True])], [np.array([0.1])], 1) == (1.0, 0.0)


class TestLandmarks:
    def test_errors_are_in_inter_ocular_distances(self):
        true = face(80.0)
        np.testing.assert_allclose(metrics.landmark_errors(true + [3, 4], true), [5 / 80])

    def test_hidden_landmarks_can_be_left_out(self):
        true = face(50.0)
        found, visible = true.copy(), np.ones((1, 68), bool)
        found[0, :10] += 1000
        visible[0, :10] = False
        np.testing.assert_allclose(metrics.landmark_errors(found, true, visible), [0])

    def test_a_frame_without_a_face_is_a_failure_and_nothing_else(self):
        errors, success = np.array([0.02, 0.04, 0.5, 9.0]), np.array([True, True, True, False])
        figures = metrics.landmark_figures(errors, success)
        assert (figures.frames, figures.found) == (4, 3)
        assert figures.failures == pytest.approx(2 / 4)
        assert figures.mean == pytest.approx(np.mean([0.02, 0.04, 0.5]))
        assert figures.median == pytest.approx(0.04)
        assert figures.p95 == pytest.approx(np.percentile([0.02, 0.04, 0.5], 95))

    def test_a_clip_without_any_face_has_no_mean(self):
        figures = metrics.landmark_figures(np.array([1.0]), np.array([False]))
        assert (figures.mean, figures.failures) == (None, 1.0)

    def test_other_shapes_are_refused(self):
        with pytest.raises(ContractError, match="found"):
            metrics.landmark_errors(np.zeros((1, 66, 2)), np.zeros((1, 66, 2)))
        with pytest.raises(ContractError, match="true"):
            metrics.landmark_errors(np.zeros((2, 68, 2)), np.zeros((1, 68, 2)))


ANGLES = st.tuples(*[st.floats(-1.5, 1.5)] * 3)


class TestPoseAndGaze:
    @given(ANGLES)
    def test_euler_angles_are_those_of_the_pipeline(self, euler):
        angles = np.array([euler])
        np.testing.assert_allclose(metrics.rotation_matrices(angles), rotation_from_euler(angles), atol=1e-6)

    @given(ANGLES, ANGLES)
    def test_rotation_errors_are_scipys(self, a, b):
        one, other = Rotation.from_euler("XYZ", a), Rotation.from_euler("XYZ", b)
        expected = np.degrees((one.inv() * other).magnitude())
        found = metrics.rotation_errors(np.array([a]), np.array([b]))
        np.testing.assert_allclose(found, [expected], atol=1e-5)

    def test_a_millionth_of_a_degree_is_not_lost(self):
        tiny = np.radians([[0, 1e-6, 0]])
        np.testing.assert_allclose(metrics.rotation_errors(tiny, np.zeros((1, 3))), [1e-6], rtol=1e-6)

    def test_opposite_sides_of_the_circle_are_neighbours(self):
        found, true = np.array([[np.pi - 0.01, 0, 0.2]]), np.array([[-np.pi + 0.01, 0, 0.1]])
        np.testing.assert_allclose(metrics.axis_errors(found, true), np.degrees([[0.02, 0, 0.1]]))

    def test_gaze_is_compared_by_direction_alone(self):
        a, b = np.array([[0, 0, -1.0], [0, 0, 0]]), np.array([[0, -3.0, -3.0], [0, 0, -1]])
        np.testing.assert_allclose(metrics.gaze_errors(a, b), [45, np.nan])


class TestActionUnits:
    def test_intensity(self):
        true = np.array([0, 1, 2, 3.0])
        figures = metrics.intensity_figures("AU12", true * 0.5 + 0.5, true, presence_from=1.0)
        assert figures.r == pytest.approx(1)
        assert figures.mae == pytest.approx(0.5)
        assert figures.true_share == pytest.approx(3 / 4)

    @pytest.mark.parametrize(("found", "true"), [([1, 1, 1], [0, 1, 2]), ([0, 1, 2], [2, 2, 2]), ([1], [1])])
    def test_a_constant_has_no_correlation(self, found, true):
        assert metrics.correlation(np.array(found), np.array(true)) is None

    def test_presence(self):
        true = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
        found = np.array([1, 1, 0, 1, 0, 0, 0, 0], bool)
        figures = metrics.presence_figures("AU12", found, true)
        assert figures.f1 == pytest.approx(2 * 2 / (3 + 3))
        assert figures.balanced_accuracy == pytest.approx((2 / 3 + 4 / 5) / 2)

    def test_what_never_occurs_and_is_never_said_has_no_f1(self):
        nothing = metrics.presence_figures("AU28", np.zeros(4), np.zeros(4))
        assert (nothing.f1, nothing.balanced_accuracy) == (None, None)
        assert metrics.presence_figures("AU28", np.ones(4), np.zeros(4)).f1 == 0


class TestAUC:
    @settings(max_examples=50)
    @given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 6), min_size=1, max_size=20))
    def test_it_is_the_statistic_of_mann_and_whitney(self, positives, negatives):
        u = stats.mannwhitneyu(positives, negatives).statistic
        expected = u / (len(positives) * len(negatives))
        assert metrics.auc(np.array(positives), np.array(negatives)) == pytest.approx(expected)

    def test_by_hand(self):
        assert metrics.auc([0.9, 0.8], [0.1]) == 1
        assert metrics.auc([0.5], [0.5]) == 0.5
        assert metrics.auc([], [0.5]) is None


class TestTargets:
    def test_every_target_has_a_reason_and_is_reached_on_its_side_of_the_limit(self):
        for target in targets().values():
            assert len(target.reason) > 20
            assert target.reached(target.limit)
            assert target.reached(target.limit + (1 if target.at == "least" else -1))
            assert not target.reached(target.limit + (-1e-9 if target.at == "least" else 1e-9))
            assert not target.reached(None)

    def test_figures_are_judged_in_the_files_order(self):
        verdicts = judge({"landmark_error": 0.03, "detection_recall": 1.0})
        assert [(v.target.name, v.reached) for v in verdicts] == [("detection_recall", True), ("landmark_error", False)]

    def test_a_figure_without_a_target_is_an_error(self):
        with pytest.raises(AuparityError, match="no entry speed"):
            judge({"speed": 1.0})

    @pytest.mark.parametrize("change", [("reason", ""), ('at = "most"', 'at = "about"')])
    def test_a_target_without_a_reason_or_a_side_is_refused(self, change):
        text = '[x]\ntitle = "t"\nover = "o"\nlimit = 1\nat = "most"\nunit = "u"\nreason = "r"\n'
        assert parse(text)["x"].reached(0.5)
        with pytest.raises(AuparityError, match=r"\[x\]"):
            parse(text.replace(*change) if change[1] else text.replace('reason = "r"\n', ""))
