"""What the networks learn from: crops, scenes, targets; and a training that is stopped and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auparity.models.networks import shapes as shapes_of_networks
from auparity.models.synthetic.networks import losses
from auparity.models.synthetic.networks.augment import expose, occlude
from auparity.models.synthetic.networks.boxes import box_of, five_points
from auparity.models.synthetic.networks.crops import crop_at, random_crop
from auparity.models.synthetic.networks.scenes import ScenePainter
from auparity.models.synthetic.networks.trainer import Trainer, first_weights
from auparity.models.synthetic.training import networks
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.networks.crops import box_of_landmarks, square_of
from auparity.reference.networks.retinaface import decode, priors


def face(centre=(160.0, 170.0), size=100.0):
    """Landmarks (68, 2) px: a mirror image of themselves, so that mirrored crops can be told."""
    rng = np.random.default_rng(2)
    points = rng.uniform(-0.5, 0.5, (68, 2))
    points = (points + points[MIRROR_68] * [-1, 1]) / 2
    points[0], points[16], points[8] = (-0.5, -0.2), (0.5, -0.2), (0.0, 0.5)
    points[19], points[24] = (-0.25, -0.5), (0.25, -0.5)
    return points * size + centre


def dotted(landmarks, side=320):
    """A dark picture with a bright spot at each landmark."""
    image = np.full((side, side, 3), 20, np.uint8)
    for x, y in np.rint(landmarks).astype(int):
        if 1 <= x < side - 1 and 1 <= y < side - 1:
            image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def test_boxes_are_those_of_the_pipelines_rule():
    landmarks = face()
    low, extent = landmarks.min(axis=0), np.ptp(landmarks, axis=0)
    (expected,) = box_of_landmarks(np.concatenate([low, extent])[None])
    np.testing.assert_allclose(box_of(landmarks[None])[0], expected, rtol=1e-6)
    assert five_points(landmarks[None]).shape == (1, 5, 2)
    np.testing.assert_allclose(five_points(landmarks[None])[0, 2], landmarks[30])


def test_a_crop_is_the_pipelines_to_a_pixel_of_the_picture():
    landmarks = face()
    image, box = dotted(landmarks), box_of(landmarks[None])[0]
    ours, square = crop_at(image, landmarks, box, 112), square_of(box)
    theirs = square.cut(image, 112)
    # Theirs begins at a whole pixel: it may be shifted by one, which is 0.7 of a pixel of the crop.
    found = ours.points * square.size + [square.left, square.top]
    np.testing.assert_allclose(found, landmarks, atol=1.0)
    assert np.corrcoef(ours.image.ravel().astype(float), theirs.ravel().astype(float))[0, 1] > 0.6


@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_points_stay_on_what_they_mark(roll):
    landmarks = face()
    image = dotted(landmarks)
    crop = crop_at(image, landmarks, box_of(landmarks[None])[0], 112, roll=roll)
    for x, y in np.rint(crop.points * 112 - 0.5).astype(int):
        assert crop.image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() > 120


def test_mirrored_crops_have_mirrored_points():
    landmarks = face()
    image = dotted(landmarks)
    seen = set()
    for seed in range(12):
        crop = random_crop(image, landmarks, landmarks, 112, MIRROR_68, np.random.default_rng(seed))
        right_of_left = crop.points[16, 0] - crop.points[0, 0]
        assert right_of_left > 0.2  # also in the mirror, where they have changed places
        seen.add(crop.image.tobytes())
        assert crop.image.shape == (112, 112, 3)
        assert crop.points.dtype == np.float32
    assert len(seen) == 12


def test_cameras_change_a_picture_and_keep_its_form():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        seen = expose(image, rng)
        assert (seen.shape, seen.dtype) == (image.shape, np.uint8)
        hidden = image.copy()
        occlude(hidden, rng)
        changed = (hidden != image).any(axis=2).mean()
        assert 0 < changed < 0.2


def painter(side=160):
    landmarks = np.stack([face(), face((150.0, 140.0), 140.0)])
    images = np.stack([dotted(each) for each in landmarks])
    return ScenePainter(images, landmarks, np.full((2, 320, 320, 3), 90, np.uint8), side)


def test_scenes_have_their_faces_where_they_say():
    paint = painter()
    kinds = set()
    for seed in range(40):
        scene = paint.paint(np.random.default_rng(seed))
        kinds.add(min(len(scene.boxes), 2))
        assert scene.image.shape == (160, 160, 3)
        assert len(scene.boxes) == len(scene.points) == len(scene.counted)
        for box, points, counted in zip(scene.boxes, scene.points, scene.counted, strict=True):
            size = box[2:] - box[:2]
            assert (size > 8).all()
            if counted:  # most of it is in the picture
                shown = np.minimum(box[2:], 160) - np.maximum(box[:2], 0)
                assert shown.prod() >= 0.55 * size.prod()
            # The eyes, the nose and the mouth are about where the face is, however it is rolled.
            assert (np.abs(points - (box[:2] + box[2:]) / 2) < 0.9 * size.max()).all()
    assert kinds == {0, 1, 2}


def test_anchors_learn_what_the_network_decodes():
    anchors = priors(160, 160).astype(np.float64)
    boxes = np.array([[20.0, 30, 70, 95], [100, 100, 140, 150]]) / 160
    points = np.random.default_rng(0).uniform(0.2, 0.8, (2, 5, 2))
    which, label = losses.assign(anchors, boxes, np.array([True, False]))
    rows = np.flatnonzero(label == 1)
    assert len(rows)
    assert set(which[rows]) == {0}
    assert (label[which == 1] != 1).all()  # of a face that does not count nothing is learned
    assert (label == -1).any()
    of_box, of_points = losses.targets(anchors[rows], boxes[which[rows]], points[which[rows]])
    corners, five = decode(of_box, of_points, anchors[rows], (160, 160))
    np.testing.assert_allclose(corners, np.tile(boxes[0] * 160, (len(rows), 1)), atol=1e-3)
    np.testing.assert_allclose(five, np.tile(points[0] * 160, (len(rows), 1, 1)), atol=1e-3)
    assert not losses.assign(anchors, np.zeros((0, 4)), np.zeros(0, bool))[1].any()


def test_losses_grow_with_the_error_and_are_least_where_there_is_none():
    torch = pytest.importorskip("torch")
    true = torch.rand(2, 68, 2)
    values = [float(losses.wing(true + shift, true, 112)) for shift in (0.0, 0.005, 0.05, 0.5)]
    assert values[0] == 0
    assert values == sorted(values)
    label = torch.tensor([[1, 0, 0, -1]])
    box, five = torch.zeros(1, 4, 4), torch.zeros(1, 4, 10)
    good = torch.tensor([[[-9.0, 9], [9, -9], [9, -9], [-9, 9]]])
    right = losses.multibox((box, good, five), label, box, five)
    wrong = losses.multibox((box, -good, five), label, box, five)
    assert float(right) < 1e-3 < float(wrong)
    ignored = good.clone()
    ignored[0, 3] = -ignored[0, 3]
    assert float(losses.multibox((box, ignored, five), label, box, five)) == pytest.approx(float(right))


def test_a_training_in_pieces_gives_what_it_gives_in_one(tmp_path):
    torch = pytest.importorskip("torch")
    shapes = {
        "a.weight": (4, 3, 3, 3), "b.weight": (4,), "b.bias": (4,), "b.running_mean": (4,), "b.running_var": (4,),
        "c.weight": (2, 4), "c.bias": (2,),
    }  # fmt: skip

    def batch(rng):
        return rng.normal(size=(5, 3, 8, 8)).astype(np.float32)

    def loss_of(net, given):
        maps = net.relu(net.norm(net.conv(torch.from_numpy(given), "a", 1, 1), "b"))
        return (net.linear(net.mean_pool(maps), "c") - 1).square().mean()

    def train(folder, seconds):
        for _ in range(50):
            trainer = Trainer(Workspace(folder), "tiny", first_weights(shapes, 0), 8, 1e-2, fixed=("c.bias",))
            if trainer.run(batch, loss_of, seconds):
                return trainer.result()
        raise AssertionError("it never ends")

    at_once, in_pieces = train(tmp_path / "a", 1e9), train(tmp_path / "b", 1e-3)
    for name, values in at_once.items():
        np.testing.assert_array_equal(values, in_pieces[name], name)
        assert (values == first_weights(shapes, 0)[name]).all() == (name == "c.bias")


def test_the_command_trains_and_reports_and_resumes(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    made = painter()

    class Few(list):  # a set of two pictures
        images, landmarks = made._images, made._landmarks.astype(np.float32)

    monkeypatch.setattr(networks, "photo_set", lambda *_: Few([0, 1]))
    monkeypatch.setattr(networks, "background_set", lambda *_: made._backgrounds)
    monkeypatch.setattr(networks, "PFLD_TRAINING", (2, 2, 1e-3))
    monkeypatch.setattr(networks, "RETINAFACE_TRAINING", (2, 1, 1e-3))
    monkeypatch.setattr(networks, "SCENE", 96)
    assert networks.main(["-o", str(tmp_path), "--threads", "1", "--seconds", "0"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["pfld"]["steps"], report["pfld"]["of_steps"]) == (1, 2)
    assert networks.main(["-o", str(tmp_path), "--threads", "1"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["pfld"]["steps"], report["retinaface"]["steps"]) == (2, 2)
    assert report["pfld"]["nme"] > 0
    assert 0 <= report["retinaface"]["recall"] <= 1
    stored = Workspace(tmp_path).load("retinaface")
    assert set(stored) == set(shapes_of_networks.retinaface("mobile0.25"))


def test_overlaps_and_shares():
    box = np.array([0.0, 0, 10, 10])
    assert losses.overlaps(np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]]), box).tolist() == [
        1,
        1 / 3,
        0,
    ]
    assert losses.shown(np.array([-5.0, 0, 5, 10]), np.array([20, 20, 20, 20])) == 0.5
