"""A run against the truth: what it plans, that it resumes, what it makes of stored results, what it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auparity.errors import AuparityError
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import AU_NAMES
from auparity.parity_tests.truth import run as truth
from auparity.parity_tests.truth import runs as truth_runs
from auparity.parity_tests.truth import tables as truth_tables
from auparity.parity_tests.truth.summary import concatenated, detection_summary, summarise, validator_summary
from auparity.parity_tests.unit.helpers.rendered_truth import truths

KEPT = [AU_NAMES.index(name) for name in AU_NAMES if name != "AU28"]


def clip_arrays(shift: float = 0.4, frames: int = 12) -> dict:
    """What `track_clip` gives for a clip whose landmarks are `shift` px off and all else is right."""
    found = truths(frames)
    arrays = {f"true_{name}": np.stack([getattr(t, name) for t in found]) for name in truth_runs._TRUTH_FIELDS}
    return arrays | {
        "success": np.ones(frames, bool),
        "confidence": np.full(frames, 0.9),
        "landmarks": arrays["true_landmarks"] + [shift, 0],
        "pose": arrays["true_pose"],
        "gaze": arrays["true_gaze"],
        "eye_landmarks": arrays["true_eye_landmarks"],
        "au_intensity": arrays["true_aus"][:, KEPT],
        "au_presence": arrays["true_aus"] >= 1,
        "seconds": np.array(0.1),
    }


def detections(images: int, false: int = 0) -> tuple[dict, dict]:
    """Photographs whose faces are all found, and pictures without a face of which `false` have a box."""
    boxes = np.tile([10.0, 10, 100, 100], (images, 1))
    scores = np.full(images, 0.95)
    with_face = {"boxes": boxes + 2, "scores": scores, "image": np.arange(images), "true": boxes}
    with_face["inside"] = np.ones(images)
    nothing = np.full((images, 4), np.nan)
    return with_face, {
        "boxes": boxes[:false],
        "scores": scores[:false] - 0.1,
        "image": np.arange(false),
        "true": nothing,
        "inside": nothing[:, 0],
    }


def fits() -> dict:
    return {
        "confidence": np.array([0.9, 0.8, 0.75, 0.3, 0.2, 0.7]),
        "error": np.array([0.01, 0.03, 0.07, 0.4, np.inf, 0.02]),
    }


class TestPlan:
    def test_every_seed_is_held_out_and_used_once(self):
        tasks = truth.plan(clips=3, photographs=130)
        assert min(task.seed for task in tasks) >= 3_000_000
        for kind, total in (("clips", 3), ("detection", 130), ("backgrounds", 130), ("photographs", 32), ("fits", 32)):
            of_kind = [task for task in tasks if task.kind == kind]
            seeds = [task.seed + k for task in of_kind for k in range(1 if kind == "clips" else task.count)]
            assert sorted(seeds) == list(range(min(seeds), min(seeds) + total))
        assert len({task.name for task in tasks}) == len(tasks)

    def test_the_default_run_has_the_two_thousand_frames_of_the_target(self):
        frames = sum(task.count for task in truth.plan(truth.CLIPS, truth.PHOTOGRAPHS) if task.kind == "clips")
        assert frames >= 2000


def square(source: str, seed: int, count: int) -> dict:
    """Stands for a function of `truth_runs`."""
    if source == "stop":
        raise KeyboardInterrupt
    return {"squares": np.arange(seed, seed + count) ** 2}


class TestRun:
    def test_what_is_done_is_not_done_again(self, tmp_path, capsys):
        workspace = Workspace(tmp_path)
        tasks = [truth.Task(f"t{k}", "squares", square, 10 * k, 2) for k in range(2)]
        found = truth.run("embedded", tasks, workspace, jobs=1)
        np.testing.assert_array_equal(concatenated(found["squares"])["squares"], [0, 1, 100, 121])
        capsys.readouterr()
        again = truth.run("stop", tasks, workspace, jobs=1)  # would raise if anything were computed
        np.testing.assert_array_equal(again["squares"][1]["squares"], [100, 121])
        assert capsys.readouterr().out == ""

    def test_bundles_are_named_by_word_or_folder(self, tmp_path):
        with pytest.raises(AuparityError):
            truth_runs.load_bundle(str(tmp_path))
        with pytest.raises(AuparityError):
            truth_runs.load_bundle(f"{tmp_path}:clnf")

    def test_a_source_that_is_none_is_an_error_in_plain_words(self, tmp_path, capsys):
        assert truth.main(["--models", str(tmp_path / "nowhere"), "--work", str(tmp_path)]) == 2
        assert "nowhere" in capsys.readouterr().err


class TestSummary:
    def test_a_perfect_bundle_reaches_every_target(self):
        arrays = clip_arrays()
        good = fits() | {"error": np.array([0.01, 0.03, 0.07, 0.4, np.inf, 0.3])}
        figures = summarise({1: arrays, 2: arrays}, detections(100), arrays, good)
        verdicts = {v["name"]: v for v in figures["verdicts"]}
        missed = [name for name, v in verdicts.items() if not v["reached"]]
        # Twelve frames are too few for all AUs to move: those that rest have no correlation.
        assert missed == ["aus_correlated"]
        assert verdicts["landmark_error"]["value"] == pytest.approx(0.01)
        assert verdicts["aus_correlated"]["value"] == 12
        assert figures["clips"]["rotation"] == pytest.approx(0, abs=1e-5)
        assert [entry["seed"] for entry in figures["clips"]["each"]] == [1, 2]

    def test_false_boxes_are_counted_over_all_pictures(self):
        found = detection_summary(*detections(100, false=6))
        assert found["all"]["false_per_100"] == pytest.approx(3)
        assert found["photographs"]["recall"] == 1
        # Six false boxes are four too many for 200 pictures; all have one score, so all must go.
        assert found["at_false_rate"] == {"false_per_100": 1.0, "recall": 1.0, "score_above": pytest.approx(0.85)}
        assert [(entry["faces"], entry["recall"]) for entry in found["by_width"]] == [(0, None), (100, 1.0), (0, None)]

    def test_a_face_cut_by_the_edge_is_neither_found_nor_missed_nor_a_false_box(self):
        photographs, backgrounds = detections(10)
        photographs["inside"][:4] = 0.5
        photographs["boxes"][0] += 1000  # a cut face that was missed, and a false box
        found = detection_summary(photographs, backgrounds)
        assert found["cut"] == {"faces": 4, "found": 3}
        assert found["photographs"]["faces"] == 6
        assert found["photographs"]["recall"] == 1
        assert found["all"]["false_per_100"] == pytest.approx(100 / 20)

    def test_fits_between_good_and_missed_are_neither(self):
        figures = validator_summary(fits())
        assert (figures["fits"], figures["misses"], figures["between"]) == (3, 2, 1)
        assert figures["auc"] == 1
        assert figures["fits_accepted"] == pytest.approx(2 / 3)

    def test_parts_are_put_together_with_their_pictures_numbered_on(self):
        one, _ = detections(3)
        both = concatenated([one, one])
        assert both["image"].tolist() == [0, 1, 2, 3, 4, 5]
        assert len(both["true"]) == 6

    def test_figures_survive_json_and_become_tables(self):
        arrays = clip_arrays(shift=8.0)
        arrays["success"][0] = False
        figures = json.loads(json.dumps(summarise({1: arrays}, detections(4), arrays, fits())))
        text = truth_tables.render({"date": "2026-11-21", "bundle": "x"}, {"clips of 12 frames": 1}, figures)
        assert "| mean landmark error | tracked clips | 20 % | at most 2.5 % | **no** |" in text
        assert "nan" not in text.lower().replace("nasal", "")
        tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert len(tables) == 4
        for table in tables:
            assert len({line.count("|") for line in table}) == 1

    def test_a_bundle_that_finds_nothing_has_figures_too(self):
        arrays = clip_arrays()
        arrays["success"][:] = False
        figures = summarise({1: arrays}, detections(4), arrays, fits())
        assert not any(v["reached"] for v in figures["verdicts"] if v["name"].startswith(("landmark", "pose", "aus")))
        assert "| face found | 0 % | 0 % |" in truth_tables.render({}, {}, figures)


def test_a_figure_that_is_missed_by_little_does_not_look_as_if_it_were_reached():
    verdict = {"title": "pose", "over": "clip", "value": 0.9457, "at": "least", "limit": 0.95, "unit": "r"}
    assert "| 0.9457 | at least 0.95 | **no** |" in "\n".join(
        truth_tables.verdicts_table([{**verdict, "reached": False}])
    )
    assert "| 0.95 | at least 0.95 | yes |" in "\n".join(
        truth_tables.verdicts_table([{**verdict, "value": 0.951, "reached": True}])
    )
