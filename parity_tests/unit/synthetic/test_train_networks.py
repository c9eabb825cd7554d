"""What the networks learn from: crops, scenes, targets; and a training that is stopped and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auparity.models import embedded
from auparity.models.networks import shapes as shapes_of_networks
from auparity.models.networks.published import read_network
from auparity.models.synthetic.networks import face_training, losses, point_training, star_maps
from auparity.models.synthetic.networks.augment import expose, occlude
from auparity.models.synthetic.networks.boxes import box_of, five_points
from auparity.models.synthetic.networks.crops import OWN_STAR_MARGIN, random_crop, square_crop, star_crop, turn_about
from auparity.models.synthetic.networks.face_training import Judged
from auparity.models.synthetic.networks.scenes import ScenePainter
from auparity.models.synthetic.networks.trainer import Trainer, first_weights
from auparity.models.synthetic.training import networks
from auparity.models.synthetic.training import run as training_run
from auparity.models.synthetic.training.samples import FIELDS, PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.networks.crops import box_of_landmarks, square_of, star_crop_of
from auparity.reference.networks.retinaface import decode, priors
from auparity.reference.networks.star import centres_of_mass


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
    ours, square = square_crop(image, landmarks, box), square_of(box)
    theirs = square.cut(image, 112)
    # Theirs begins at a whole pixel: it may be shifted by one, which is 0.7 of a pixel of the crop.
    found = ours.points * square.size + [square.left, square.top]
    np.testing.assert_allclose(found, landmarks, atol=1.0)
    assert np.corrcoef(ours.image.ravel().astype(float), theirs.ravel().astype(float))[0, 1] > 0.6


def test_our_stars_crop_is_the_pipelines_to_a_pixel_of_the_picture():
    landmarks = face()
    image, box = dotted(landmarks), box_of(landmarks[None])[0]
    ours, theirs = star_crop(image, landmarks, box), star_crop_of(box, OWN_STAR_MARGIN)
    np.testing.assert_allclose(theirs.to_image(ours.points), landmarks, atol=1.0)  # theirs takes whole pixels
    found = theirs.cut(image)
    assert np.corrcoef(ours.image.ravel().astype(float), found.ravel().astype(float))[0, 1] > 0.6
    assert (np.abs(ours.points) < 1).all()


@pytest.mark.parametrize("roll", [0.0, 25.0])
@pytest.mark.parametrize("cut", [square_crop, star_crop])
def test_points_stay_on_what_they_mark(roll, cut):
    landmarks = face()
    image, turn = dotted(landmarks), turn_about(landmarks.mean(axis=0), roll)
    crop = cut(image, landmarks, box_of(landmarks[None])[0], turn)
    side = len(crop.image)
    places = crop.points * side - 0.5 if cut is square_crop else ((crop.points + 1) * side - 1) / 2
    for x, y in np.rint(places).astype(int):
        assert crop.image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() > 120


@pytest.mark.parametrize("cut", [square_crop, star_crop])
def test_mirrored_crops_have_mirrored_points(cut):
    landmarks = face()
    image = dotted(landmarks)
    seen = set()
    for seed in range(12):
        crop = random_crop(cut, image, landmarks, landmarks, MIRROR_68, np.random.default_rng(seed))
        right_of_left = crop.points[16, 0] - crop.points[0, 0]
        assert right_of_left > 0.2  # also in the mirror, where they have changed places
        seen.add(crop.image.tobytes())
        assert crop.image.shape == ((112, 112, 3) if cut is square_crop else (256, 256, 3))
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
    framed = np.full((1, side, side, 3), 200, np.uint8), face((0.5 * side, 0.5 * side), 0.2 * side)[None]
    return ScenePainter(images, landmarks, np.full((2, 320, 320, 3), 90, np.uint8), side, framed)


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


def test_some_scenes_are_pictures_as_they_were_rendered():
    paint, (own,) = painter(), box_of(face((80.0, 80.0), 32.0)[None])
    scenes = [paint.paint(np.random.default_rng(seed)) for seed in range(60)]
    there = [scene for scene in scenes if len(scene.boxes) == 1 and np.abs(scene.boxes[0] - own).max() < 1.5]
    assert 15 < len(there) < 45  # 45 in 100, mirrored or not
    assert all(scene.counted.all() for scene in there)


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


def points_98():
    """98 points that lie about as those of a face do: each edge a line of its own."""
    rng = np.random.default_rng(4)
    return np.cumsum(rng.uniform(-0.02, 0.02, (98, 2)), axis=0).clip(-0.9, 0.9).astype(np.float32)


def test_maps_are_highest_at_the_points_and_along_the_edges():
    points = points_98()
    hills, walls = star_maps.target_maps(points[None])
    assert (hills.shape, walls.shape) == ((1, 98, 64, 64), (1, 9, 64, 64))
    x, y = centres_of_mass(hills)[0].T
    np.testing.assert_allclose(np.stack([x, y], 1), points, atol=1e-3)  # hills are round, and none is cut by the border
    places = np.rint((points + 1) * 63 / 2).astype(int)
    for k, (rows, _) in enumerate(star_maps.EDGES_98):
        assert (walls[0, k, places[rows, 1], places[rows, 0]] > 0.75).all()
        assert walls[0, k].min() < 1e-3
    layer = star_maps.edges_to_points()
    on_one = layer["e2h_transform.weight"].sum(axis=(1, 2, 3))
    assert on_one.tolist() == [1.0] * 96 + [0.0] * 2
    assert (on_one + layer["e2h_transform.bias"] == 1).all()


def test_the_loss_of_star_is_least_where_the_maps_are_right_and_has_a_gradient():
    torch = pytest.importorskip("torch")
    points = points_98()[None]
    hills, _ = (torch.from_numpy(maps) for maps in star_maps.target_maps(points))
    values = [
        float(star_maps.star_loss(hills, torch.from_numpy(points) + shift)) for shift in (0.0, 0.005, 0.02, 0.2)
    ]  # fmt: skip
    assert values == sorted(values)
    assert values[0] < 0.1 * values[-1]
    flat = torch.ones_like(hills, requires_grad=True)  # no axis is longer than the other
    star_maps.star_loss(flat, torch.from_numpy(points)).backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().max() > 0
    assert float(star_maps.map_loss(hills.clamp(1e-4, 1 - 1e-4), hills)) < float(star_maps.map_loss(1 - hills, hills))


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
        points_98 = np.concatenate([landmarks, landmarks[:, 17:47]], axis=1)

    class FewFramed(list):
        images, landmarks = made._images[:, :96, :96], made._landmarks.astype(np.float32)

    monkeypatch.setattr(
        networks,
        "photo_set",
        lambda *_, framing=None: FewFramed([0, 1]) if framing is networks.FRAMING else Few([0, 1]),
    )
    monkeypatch.setattr(networks, "background_set", lambda *_: made._backgrounds)
    monkeypatch.setattr(point_training, "PFLD_TRAINING", (2, 2, 1e-3))
    monkeypatch.setattr(point_training, "STAR_TRAINING", (2, 1, 1e-3))
    monkeypatch.setattr(face_training, "RETINAFACE_TRAINING", (2, 1, 1e-3))
    monkeypatch.setattr(face_training, "SCENE", 96)
    assert networks.main(["-o", str(tmp_path), "--threads", "1", "--seconds", "0"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["pfld"]["steps"], report["pfld"]["of_steps"]) == (1, 2)
    assert networks.main(["-o", str(tmp_path), "--threads", "1"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [report[name]["steps"] for name in ("pfld", "retinaface", "star")] == [2, 2, 2]
    assert report["pfld"]["nme"] > 0
    assert report["star"]["nme"] > 0
    assert 0 <= report["retinaface"]["recall"] <= 1
    found = {name: read_network(tmp_path / f"{name}.safetensors").network for name in networks.NETWORKS}
    assert found["retinaface"].tensors.names == tuple(shapes_of_networks.retinaface("mobile0.25"))
    assert found["star"].margin == OWN_STAR_MARGIN
    weight = found["pfld"].tensors.by_name()["conv1.weight"]
    assert (weight == weight.astype(np.float16)).all()


def test_a_training_may_begin_with_the_embedded_weights(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    made = painter()

    class Few(list):
        images, landmarks = made._images, made._landmarks.astype(np.float32)

    monkeypatch.setattr(networks, "photo_set", lambda *_: Few([0, 1]))
    monkeypatch.setattr(networks, "background_set", lambda *_: made._backgrounds)
    monkeypatch.setattr(point_training, "PFLD_TRAINING", (1, 2, 1e-9))
    assert networks.main(["-o", str(tmp_path), "--threads", "1", "--networks", "pfld", "--embedded"]) == 0
    ours, theirs = (
        read_network(path).network.tensors.by_name()
        for path in (tmp_path / "pfld.safetensors", embedded.network_path("pfld"))
    )
    np.testing.assert_allclose(ours["fc.weight"], theirs["fc.weight"], atol=1e-6)


def test_overlaps_and_shares():
    box = np.array([0.0, 0, 10, 10])
    assert losses.overlaps(np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]]), box).tolist() == [
        1,
        1 / 3,
        0,
    ]
    assert losses.shown(np.array([-5.0, 0, 5, 10]), np.array([20, 20, 20, 20])) == 0.5


def test_the_threshold_leaves_as_many_wrong_boxes_as_are_allowed_and_the_figures_say_so():
    judged = Judged(np.array([0.9, 0.8, 0.4, 0.0]), np.array([0.95, 0.85, 0.6, 0.35]), 100)
    assert judged.figures(0.5) == {"recall": 0.5, "wrong_boxes_per_100": 3.0}
    for allowed, wrong in ((0.0, 0), (1.0, 1), (2.0, 2), (3.0, 3)):
        threshold = judged.threshold(allowed)
        assert (judged.wrong >= threshold).sum() == wrong
    assert judged.threshold(1.0) == pytest.approx(0.85)
    assert judged.threshold(50.0) == face_training.LOWEST


def test_a_calibrated_network_gives_half_where_it_gave_the_threshold():
    torch = pytest.importorskip("torch")
    from auparity.accelerated.torch.network_layers import TorchLayers
    from auparity.reference.networks.retinaface import RetinaFaceGraph, centred, raw_faces

    weights = read_network(embedded.network_path("retinaface")).network.tensors.by_name()
    image = np.random.default_rng(1).integers(0, 256, (1, 96, 96, 3), np.uint8)

    def scores(weights):
        graph = RetinaFaceGraph(TorchLayers.of_arrays(dict(weights), torch.device("cpu")), "mobile0.25")
        with torch.inference_mode():
            levels = graph(torch.from_numpy(centred(image)))
        return raw_faces([(b.numpy(), c.numpy(), p.numpy()) for b, c, p in levels]).faces[0].astype(np.float64)

    before, after = scores(weights), scores(face_training.calibrated(weights, 0.8))
    told = (before > 1e-6) & (before < 0.999)  # where float32 keeps the logit
    assert told.sum() > 50
    logits = [np.log(values[told] / (1 - values[told])) for values in (before, after)]
    np.testing.assert_allclose(logits[0] - logits[1], np.log(4), atol=2e-3)


def _photos(count, value):
    return PhotoSet(**{name: np.full((count, *shape), value, dtype) for name, (shape, dtype) in FIELDS.items()})


def test_trainings_learn_from_drawn_heads_beside_people(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(training_run, "photo_set", lambda workspace, *_: (asked.append(workspace), _photos(1, 2))[1])
    people = Workspace(tmp_path, tmp_path / "people.npz")
    for _ in range(2):  # the second time the set is read
        both = training_run.with_drawn_heads(people, _photos(3, 1), training_run.drawn_heads(people))
        assert len(both) == 4
        assert both.landmarks[:, 0, 0].tolist() == both.images[:, 0, 0, 0].tolist() == [1, 1, 1, 2]
        assert isinstance(both.images, np.memmap)  # other processes open it, in place of gigabytes being sent
    assert [workspace.faces for workspace in asked] == [None, None]
    alone = Workspace(tmp_path / "alone")
    photos = _photos(3, 1)
    assert training_run.with_drawn_heads(alone, photos, training_run.drawn_heads(alone)) is photos
