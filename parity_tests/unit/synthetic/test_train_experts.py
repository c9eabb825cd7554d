"""Patch experts: the networks as trained are the networks as stored; storage is mirrored as OpenFace's is."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import AuparityError
from auparity.models.formats.cen import read_cen, write_cen
from auparity.models.synthetic.training import experts as train_experts
from auparity.models.synthetic.training import eyes as train_eyes
from auparity.models.synthetic.training.expert_samples import Patches
from auparity.models.synthetic.training.shape import MIRROR_28, MIRROR_68
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import CCNFScale, CENScale


@pytest.fixture
def workspace(tmp_path):
    """A workspace with random experts of every scale and view."""
    made, rng = Workspace(tmp_path), np.random.default_rng(0)
    sizes = (122, *train_experts.HIDDEN, 1)
    for scale in train_experts.SCALES:
        for view in train_experts.TRAINED_VIEWS:
            visible = np.ones(68, bool)
            visible[:8] = view < 2
            kept = train_experts.stored_landmarks(view, visible)
            arrays = {}
            for k in range(len(sizes) - 1):
                arrays[f"p{2 * k}"] = (
                    rng.normal(0, 1, (len(kept), sizes[k], sizes[k + 1])).astype(np.float32) / sizes[k] ** 0.5
                )
                arrays[f"p{2 * k + 1}"] = rng.normal(0, 0.1, (len(kept), 1, sizes[k + 1])).astype(np.float32)
            arrays[f"p{2 * len(sizes) - 2}"] = rng.uniform(0, 1, len(kept))
            made.save(f"experts/{scale:.2f}_{view}", kept=kept, visible=visible, **arrays)
    for scale in train_eyes.SCALES:
        made.save(
            f"eyes/{scale:.1f}", weights=rng.normal(0, 1, (28, 121, 7)).astype(np.float32),
            bias=rng.normal(0, 1, (28, 1, 7)).astype(np.float32), correlation=rng.uniform(0, 1, 28),
            mixture=rng.dirichlet(np.ones(7), (28, 1)).astype(np.float32),
        )  # fmt: skip
    for side in ("left", "right"):
        made.save(f"pdm_{side}_eye", mean=np.zeros(84), components=np.zeros((84, 10)), eigenvalues=np.ones(10))
    return made


def test_storage_is_mirrored_as_openfaces_is(workspace):
    experts = train_experts.load_experts(workspace)
    assert [e.scale for e in experts] == [0.25, 0.35, 0.5, 1.0]
    first = experts[0]
    assert first.view_centres[:, 1].tolist() == [0, -20, -45, -70, 70, 45, 20]
    stored = [[bool(p.layers) for p in view] for view in first.patches]
    frontal = np.array(stored[0])
    assert (frontal | frontal[MIRROR_68]).all()
    assert not (frontal & frontal[MIRROR_68] & (np.arange(68) != MIRROR_68)).any(), "one of every pair"
    np.testing.assert_array_equal(stored[2], first.visibility[2] != 0)
    assert not np.array(stored[4:]).any()
    for view, mirror in enumerate(train_experts.MIRROR_VIEWS):
        np.testing.assert_array_equal(first.visibility[view], first.visibility[mirror][MIRROR_68])


def test_the_files_of_the_experts_come_back(workspace, tmp_path):
    experts = train_experts.load_experts(workspace)[2]
    path = tmp_path / "cen.dat"
    path.write_bytes(write_cen(experts))
    back = read_cen(path)
    np.testing.assert_array_equal(back.patches[1][40].layers[0].weights, experts.patches[1][40].layers[0].weights)


def _picture() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(0, 255, (90, 90)).astype(np.float32), rng.uniform(35, 55, (68, 2)).astype(np.float32)


def test_a_trained_network_gives_the_references_response(workspace):
    torch = pytest.importorskip("torch")
    gray, places = _picture()
    places = np.round(places)
    experts = train_experts.load_experts(workspace)[2]
    maps, _ = CENScale(experts, experts, FLOAT32).responses(gray, places, np.eye(2, dtype=np.float32), 5, 1)
    arrays = workspace.load("experts/0.50_1")
    parameters = [torch.from_numpy(arrays[f"p{k}"]) for k in range(2 * len(train_experts.HIDDEN) + 2)]
    row, column = 2, 1  # of the map: (row + column) odd is evaluated
    x, y = places[arrays["kept"]].T.astype(int) + [[column - 2], [row - 2]]
    cut = np.stack([gray[b - 5 : b + 6, a - 5 : a + 6].T.ravel() for a, b in zip(x, y, strict=True)])
    with torch.no_grad():
        inputs = train_experts._normalise(torch.from_numpy(cut[:, None]))
        response = torch.sigmoid(train_experts._logits(parameters, inputs)).numpy()[:, 0]
    np.testing.assert_allclose(maps[arrays["kept"], row, column], response, atol=1e-5)


def test_a_trained_eye_expert_gives_the_references_response(workspace):
    torch = pytest.importorskip("torch")
    gray, places = _picture()
    places = np.round(places[:28])
    left, right = train_eyes.load_eye_parts(workspace)
    assert (left.name, right.name) == ("left_eye_28", "right_eye_28")
    experts = left.model.experts[0]
    maps, _ = CCNFScale(experts, experts, FLOAT32).responses(gray, places, np.eye(2, dtype=np.float32), 3, 0)
    arrays = workspace.load("eyes/1.0")
    cut = np.stack([gray[b - 5 : b + 6, a - 5 : a + 6].T.ravel() for a, b in places.astype(int)])
    mixture = torch.log(torch.from_numpy(arrays["mixture"]))
    parameters = [torch.from_numpy(arrays["weights"]), torch.from_numpy(arrays["bias"]), mixture]
    with torch.no_grad():
        response = train_eyes._mixture(parameters, torch.from_numpy(cut[:, None])).numpy()[:, 0]
    np.testing.assert_allclose(maps[:, 1, 1], response, atol=2e-3)  # neurons of almost no weight are given a little


def test_the_right_eye_sees_a_mirrored_picture_as_the_left_eye_sees_the_picture(workspace):
    gray, places = _picture()
    places = np.round(places[:28])
    left, right = train_eyes.load_eye_parts(workspace)
    matrix = np.eye(2, dtype=np.float32)
    seen, _ = CCNFScale(left.model.experts[0], left.model.experts[0], FLOAT32).responses(gray, places, matrix, 3, 0)
    flipped = (places * [-1, 1] + [gray.shape[1] - 1, 0]).astype(np.float32)[MIRROR_28]
    mirror = np.ascontiguousarray(gray[:, ::-1])
    other, _ = CCNFScale(right.model.experts[0], right.model.experts[0], FLOAT32).responses(
        mirror, flipped, matrix, 3, 0
    )
    np.testing.assert_allclose(other[MIRROR_28][:, :, ::-1], seen, atol=1e-6)


def test_experts_learn_where_a_bright_spot_is():
    pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    offsets = rng.uniform(-5, 5, (2, 3000, 2))
    grid = np.arange(-5, 6)
    column, row = np.meshgrid(grid, grid, indexing="ij")
    pictures = 120 * np.exp(-0.5 * ((column - offsets[..., :1, None]) ** 2 + (row - offsets[..., 1:, None]) ** 2) / 2)
    pixels = np.clip(pictures + rng.uniform(0, 20, pictures.shape), 0, 255).astype(np.uint8).reshape(2, 3000, 121)
    patches = Patches(pixels, np.linalg.norm(offsets, axis=2).astype(np.float32))
    _, figures = train_experts.fit_group(patches, patches, seed=0, steps=150)
    assert figures["correlation"] > 0.85


def test_finished_steps_need_no_torch_and_the_extra_is_named_otherwise(workspace, monkeypatch):
    train_experts.train(workspace, None, None)
    train_eyes.train(workspace, None, None)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(AuparityError, match=r"auparity\[train\]"):
        require_torch()
