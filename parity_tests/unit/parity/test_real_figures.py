"""Figures of a bundle on real footage, from arrays whose figures are known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auparity.parity_tests.real.figures import REGIONS, clip_figures, faces_figures
from auparity.parity_tests.real.recorded import RecordedClip, RecordedFaces
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

FRAMES = 40
EYES = 100.0  #: px between the outer eye corners
AU12, AU25, AU45 = (INTENSITY_AUS.index(name) for name in ("AU12", "AU25", "AU45"))


def face(x=0.0, y=0.0):
    """68 landmarks that fill a square of 200 px, with the outer eye corners `EYES` apart and level."""
    rng = np.random.default_rng(0)
    marks = rng.uniform(0, 200, (68, 2))
    marks[36], marks[45] = (50, 80), (50 + EYES, 80)
    return marks + [x, y]


def waves(count):
    """Series (FRAMES, count) that move differently, from 0 to 2."""
    time = np.arange(FRAMES)[:, None]
    return 1 + np.sin(time * (0.3 + 0.1 * np.arange(count)))


@pytest.fixture
def recorded():
    intensity = np.full((FRAMES, 17), 0.5)
    intensity[:, [AU12, AU25]] = waves(2)
    presence = np.zeros((FRAMES, 18))
    presence[::4, PRESENCE_AUS.index("AU12")] = 1
    marks = np.stack([face(x=k) for k in range(FRAMES)])
    return RecordedClip(
        "clip", tuple(Path(f"{k}.jpg") for k in range(FRAMES)), np.ones(FRAMES, bool), marks, 0.2 * waves(3),
        0.1 * waves(2), intensity, presence,
    )  # fmt: skip


def same(recorded):
    return {
        "success": recorded.tracked.copy(),
        "landmarks": recorded.landmarks.copy(),
        "rotation": recorded.rotation.copy(),
        "gaze_angles": recorded.gaze_angles.copy(),
        "au_intensity": recorded.au_intensity.copy(),
        "au_presence": recorded.au_presence.copy(),
    }


def test_what_is_the_same_has_no_error_and_a_correlation_of_one(recorded):
    figures = clip_figures(recorded, same(recorded))
    assert (figures["tracked"], figures["landmarks"]["mean"], figures["landmarks"]["varying"]) == (1, 0, 0)
    assert figures["pose_r"] == pytest.approx(1)
    assert figures["gaze_r"] == pytest.approx(1)
    assert figures["moving"] == ["AU12", "AU25"]
    assert figures["mean_r"] == pytest.approx(1)
    assert (figures["mean_mae"], figures["mean_f1"], figures["f1_aus"]) == (0, 1, 1)
    assert figures["named"] == {"AU12": pytest.approx(1), "AU25": pytest.approx(1)}
    assert figures["aus"]["AU12"]["present"] == 0.25
    assert figures["aus"]["AU28"]["r"] is None


def test_a_displacement_that_stays_is_told_from_one_that_varies(recorded):
    ours = same(recorded)
    ours["landmarks"][:, :17] += [5.0, 0]
    figures = clip_figures(recorded, ours)["landmarks"]
    assert figures["regions"]["jaw"] == pytest.approx(0.05)
    assert figures["regions"]["mouth"] == 0
    assert figures["mean"] == pytest.approx(0.05 * 17 / 68)
    assert figures["varying"] == pytest.approx(0, abs=1e-12)
    ours["landmarks"][::2, 48:] += [0, 3.0]
    assert clip_figures(recorded, ours)["landmarks"]["varying"] == pytest.approx(0.015 * 20 / 68)


def test_a_displacement_that_turns_and_grows_with_the_face_does_not_vary(recorded):
    """Landmarks are 5 % off to the person's left in every frame, whatever the roll and the size of the face."""
    turned = recorded.landmarks.copy()
    ours = same(recorded)
    for k in range(FRAMES):
        angle, size = 0.02 * k, 1 + 0.01 * k
        matrix = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned[k] = turned[k] @ matrix.T
        ours["landmarks"][k] = turned[k] + matrix @ [5, 0]
    clip = RecordedClip(**{**recorded.__dict__, "landmarks": turned})
    figures = clip_figures(clip, ours)["landmarks"]
    assert figures["mean"] == pytest.approx(0.05)
    assert figures["varying"] == pytest.approx(0, abs=1e-12)


def test_regions_are_all_landmarks_once():
    parts = [k for start, end in REGIONS.values() for k in range(start, end)]
    assert parts == list(range(68))


def test_frames_that_are_lost_count_as_lost_and_in_no_error(recorded):
    ours = same(recorded)
    ours["success"][:10] = False
    ours["landmarks"][:10] = 0
    ours["au_intensity"][:10] = 0
    figures = clip_figures(recorded, ours)
    assert figures["tracked"] == 0.75
    assert figures["landmarks"]["mean"] == 0
    assert figures["mean_r"] == pytest.approx(1)


def test_frames_without_a_recorded_face_are_counted_apart(recorded):
    tracked = np.arange(FRAMES) >= 8
    clip = RecordedClip(**{**recorded.__dict__, "tracked": tracked})
    figures = clip_figures(clip, same(recorded) | {"success": np.arange(FRAMES) >= 5})
    assert (figures["recorded"], figures["tracked"]) == (32, 1)
    assert (figures["untracked_frames"], figures["tracked_there"]) == (8, 3)


def test_an_au_that_moves_and_that_we_hold_still_counts_as_zero(recorded):
    ours = same(recorded)
    ours["au_intensity"][:, AU25] = 1
    figures = clip_figures(recorded, ours)
    assert figures["aus"]["AU25"]["r"] is None
    assert figures["mean_r"] == pytest.approx(0.5)


def test_which_aus_move_does_not_depend_on_what_we_track(recorded):
    recorded.au_intensity[:, AU45] = np.where(np.arange(FRAMES) < 10, 3.0, 0.0)
    ours = same(recorded)
    ours["success"][:10] = False
    figures = clip_figures(recorded, ours)
    assert figures["moving"] == ["AU12", "AU25", "AU45"]
    assert figures["aus"]["AU45"]["r"] is None  # in the frames that are left it rests
    assert figures["mean_r"] == pytest.approx(2 / 3)


def test_an_au_moves_from_a_standard_deviation_of_a_quarter_on(recorded):
    recorded.au_intensity[:, AU45] = np.where(np.arange(FRAMES) % 2, 0.5, 0.0)  # a standard deviation of 0.25 exactly
    assert "AU45" in clip_figures(recorded, same(recorded))["moving"]
    recorded.au_intensity[:, AU45] *= 0.999
    assert "AU45" not in clip_figures(recorded, same(recorded))["moving"]


def test_spreads_and_shares_are_those_of_all_frames_that_are_recorded_as_tracked(recorded):
    tracked = np.arange(FRAMES) >= 8
    recorded.au_presence[:8, PRESENCE_AUS.index("AU01")] = 1  # nobody is there
    clip = RecordedClip(**{**recorded.__dict__, "tracked": tracked})
    figures = clip_figures(clip, same(clip) | {"success": np.arange(FRAMES) >= 20})
    assert figures["pose"]["yaw"]["spread"] == pytest.approx(np.degrees(recorded.rotation[8:, 1].std()))
    assert figures["aus"]["AU12"]["spread"] == pytest.approx(recorded.au_intensity[8:, AU12].std())
    assert figures["aus"]["AU01"]["present"] == 0
    assert figures["aus"]["AU12"]["present"] == 8 / 32


def test_presences_that_never_change_are_not_judged_and_those_that_we_lose_count_as_zero(recorded):
    recorded.au_presence[:, PRESENCE_AUS.index("AU25")] = 1
    recorded.au_presence[:4, PRESENCE_AUS.index("AU45")] = 1
    figures = clip_figures(recorded, same(recorded) | {"success": np.arange(FRAMES) >= 4})
    # AU12 comes and goes and is right; AU45 is there only in frames that we lose.
    assert (figures["f1_aus"], figures["mean_f1"]) == (2, 0.5)


def test_the_worst_angle_counts(recorded):
    ours = same(recorded)
    ours["rotation"][:, 1] *= -1
    figures = clip_figures(recorded, ours)
    assert figures["pose_r"] == pytest.approx(-1)
    assert figures["gaze_r"] == pytest.approx(1)
    ours["rotation"][:, 2] = 0
    assert clip_figures(recorded, ours)["pose_r"] is None


def test_the_footage_is_described_by_its_frames_with_a_face(recorded):
    recorded.landmarks[-1] *= 3
    recorded.rotation[0] = 3
    clip = RecordedClip(**{**recorded.__dict__, "tracked": np.arange(FRAMES) >= 1})
    footage = clip_figures(clip, same(clip))["footage"]
    assert footage["eyes_px"] == pytest.approx(EYES)
    low, high = footage["yaw"]
    assert (low, high) == (np.degrees(recorded.rotation[1:, 1].min()), np.degrees(recorded.rotation[1:, 1].max()))


def test_nothing_tracked_has_no_figures(recorded):
    figures = clip_figures(recorded, same(recorded) | {"success": np.zeros(FRAMES, bool)})
    assert figures["tracked"] == 0
    assert figures["landmarks"]["median"] is None
    assert figures["landmarks"]["regions"]["jaw"] is None
    assert (figures["pose_r"], figures["gaze_r"], figures["mean_r"]) == (None, None, 0)


def test_angles_differ_by_the_short_way_round(recorded):
    ours = same(recorded)
    ours["rotation"] = ours["rotation"] + 2 * np.pi - np.radians(3)
    assert clip_figures(recorded, ours)["pose"]["yaw"]["mae"] == pytest.approx(3)


class TestFaces:
    @pytest.fixture
    def recorded(self):
        """Two people in the first picture, one in the second, nobody in the third."""
        marks = np.stack([face(), face(x=400), face(y=300)])
        paths = tuple(Path(f"{k}.jpg") for k in range(3))
        return RecordedFaces("images", "photographs", paths, np.array([0, 0, 1]), marks, np.full((3, 17), 1.0))

    def ours(self, picture, marks, boxes, box_picture):
        return {
            "picture": np.array(picture, np.int64), "landmarks": np.array(marks, np.float64).reshape(-1, 68, 2),
            "au_intensity": np.full((len(marks), 17), 1.5), "boxes": np.array(boxes, np.float64).reshape(-1, 4),
            "scores": np.ones(len(boxes)), "box_picture": np.array(box_picture, np.int64),
        }  # fmt: skip

    def test_faces_are_found_where_they_are_and_in_their_picture(self, recorded):
        # The second person of the first picture is found, 2 px off; two in the third picture who are not there.
        ours = self.ours([0, 2, 2], [face(x=402), face(), face(y=300)], [], [])
        figures = faces_figures(recorded, ours, None)
        assert (figures["faces"], figures["found"], figures["beside"]) == (3, 1, 2)
        assert figures["landmarks"]["median"] == pytest.approx(0.02)
        assert figures["au_mae"] == pytest.approx(0.5)
        assert figures["boxes"] is None

    def test_two_faces_on_one_person_are_one_found_and_one_beside(self, recorded):
        figures = faces_figures(recorded, self.ours([1, 1], [face(y=300), face(y=301)], [], []), None)
        assert (figures["found"], figures["beside"]) == (1, 1)

    def test_boxes_on_faces_and_on_none(self, recorded):
        true = {"boxes": np.array([[0, 0, 200, 200], [400, 0, 200, 200.0]]), "box_picture": np.array([0, 0])}
        ours = self.ours([], [], [[5, 5, 200, 200], [0, 0, 20, 20], [0, 0, 200, 200]], [0, 0, 2])
        assert faces_figures(recorded, ours, true)["boxes"] == {"faces": 2, "found": 1, "false": 2}

    def test_nobody_found_has_no_errors(self, recorded):
        figures = faces_figures(recorded, self.ours([], [], [], []), None)
        assert (figures["found"], figures["au_mae"], figures["landmarks"]["median"]) == (0, None, None)
