"""Networks against rendered truth: what the tables count, from arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.parity_tests.truth import networks


def pictures(count=50, *, missed=(), false=(), score=0.9):
    """A task in which a detector finds every face but some, and finds more in some pictures."""
    true = np.tile([100.0, 100, 80, 80], (count, 1))
    boxes, scores, image = [], [], []
    for k in range(count):
        if k not in missed:
            boxes.append(true[k] + 1)
            scores.append(score)
            image.append(k)
        if k in false:
            boxes.append([400.0, 300, 50, 50])
            scores.append(0.6)
            image.append(k)
    arrays = {"mtcnn boxes": np.array(boxes), "mtcnn scores": np.array(scores), "mtcnn image": np.array(image)}
    pose = np.stack([np.zeros(count), np.linspace(0, 60, count), np.linspace(0, 45, count)], axis=1)
    return arrays | {"true": true, "pose": pose, "size": np.linspace(20, 400, count)}


def no_faces(count=50):
    return {
        "mtcnn boxes": np.zeros((0, 4)), "mtcnn scores": np.zeros(0), "mtcnn image": np.zeros(0, int),
        "true": np.full((count, 4), np.nan), "pose": np.full((count, 3), np.nan), "size": np.full(count, np.nan),
    }  # fmt: skip


def rows_of(table):
    return {line.split("|")[1].strip(): line.split("|")[2].strip() for line in table.splitlines()}


def test_faces_are_counted_at_one_false_box_for_100_pictures():
    rows = rows_of(networks.found_table([pictures(missed=(0, 1)), pictures()], [no_faces()], ["mtcnn"]))
    assert rows["all"] == "98.0% of 100"
    assert rows["score above"] == "0.000"  # no box was false
    assert rows["0 to 40 px"] == "66.7% of 6"
    assert rows["yaw 40 to 61°"] == "100.0% of 34"


def test_more_false_boxes_raise_the_threshold():
    """Three in 150 pictures are two too many: only boxes above their score count."""
    made = pictures(false=(3, 4, 5))
    rows = rows_of(networks.found_table([made, pictures()], [no_faces()], ["mtcnn"]))
    assert rows["score above"] == "0.600"
    assert rows["all"] == "100.0% of 100"
    weak = pictures(false=(3, 4, 5), score=0.55)
    rows = rows_of(networks.found_table([weak, pictures()], [no_faces()], ["mtcnn"]))
    assert rows["all"] == "50.0% of 100"


def test_faces_that_the_edge_cuts_count_as_neither():
    made = pictures()
    made["true"][10] = [620.0, 100, 80, 80]  # a quarter of it is in the picture
    made["mtcnn boxes"][10] = [0.0, 0, 5, 5]
    rows = rows_of(networks.found_table([made], [no_faces()], ["mtcnn"]))
    assert rows["all"] == "100.0% of 49"


def test_errors_are_means_of_each_model():
    part = {
        "errors": np.array([[0.02, 0.01], [0.04, 0.30]]), "own": np.array([np.nan, np.nan]),
        "pose": np.array([[0.0, 5, 0], [0, -50, 0]]),
    }  # fmt: skip
    table = networks.points_table([part, part], ["auto", "pfld"])
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:4]] for line in table.splitlines()}
    assert rows["mean error"] == ["3.00 %", "15.50 %"]
    assert rows["yaw 0 to 20°"] == ["2.00 %", "1.00 %"]
    assert rows["above 10 %"] == ["0.0%", "50.0%"]
    assert "98" not in table
    part["own"] = np.array([0.015, 0.025])
    assert "own 98 points: 2.00 % on average" in networks.points_table([part], ["auto", "star"])


def test_the_tasks_find_faces_and_points_with_the_embedded_models():
    pytest.importorskip("numba")
    found = networks.find_faces("embedded", 9_000_000, 1, detectors=["mtcnn"], empty=False)
    assert found["true"].shape == (1, 4)
    assert len(found["mtcnn boxes"]) == len(found["mtcnn scores"]) == len(found["mtcnn image"])
    empty = networks.find_faces("embedded", 9_100_000, 1, detectors=["mtcnn"], empty=True)
    assert np.isnan(empty["true"]).all()
    points = networks.find_points("embedded", 9_200_000, 1, landmarks=["auto"])
    assert points["errors"].shape == (1, 1)
    assert 0 < points["errors"][0, 0] < 0.2
