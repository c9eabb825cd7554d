"""Response maps of the CUDA kernels, run on the host: every view and window, both kinds of experts, odd faces."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.cupy.cen import ROWS, CENScaleBatch, Form
from auparity.accelerated.cupy.patch_experts import ExpertsBatch, build
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.types import PDM, CENLayer, LandmarkModel
from auparity.models.widen import OPENFACE_HIDDEN, widen_experts
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.patch_experts import PatchExpertBank
from auparity.reference.pdm import ShapeModel

BUNDLE = Bundle.embedded(networks=False)
MAIN, EYE = BUNDLE.face.main, BUNDLE.face.parts[0].model
HEIGHT, WIDTH = 180, 220
VIEWS = range(len(MAIN.experts[0].view_centres))


@pytest.fixture(scope="module")
def device():
    return host_device()


def reference(model):
    return PatchExpertBank(model, ShapeModel(model.pdm))


def image(seed=4):
    """A picture of soft shapes, edges and noise, whole grey levels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    soft = 90 + 60 * np.sin(x / 9.0 + seed) * np.cos(y / 13.0) + 40 * ((x // 31 + y // 23) % 2)
    return np.clip(np.rint(soft + rng.normal(0, 8, soft.shape)), 0, 255).astype(np.float32)


def face(model, view=0, scale_index=0, at=(110, 90), size=1.2, seed=0):
    """Parameters (6,), (m,) of a random face that looks as a view does."""
    turn = np.deg2rad(model.experts[scale_index].view_centres[view]) + 0.02
    shape = np.random.default_rng(seed).normal(0, 1, model.pdm.n_modes) * np.sqrt(model.pdm.eigenvalues.ravel())
    return np.array([size, *turn, *at], np.float32), shape.astype(np.float32)


def stacked(faces):
    g, p = zip(*faces, strict=True)
    return np.stack(g), np.stack(p)


def check(ours, wanted):
    """Maps within the suite's tolerances, which are for maps of a few faces together; everything else equal."""
    for name in ("img_to_ref", "ref_to_img", "view", "visible"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(wanted, name), err_msg=name)
    errors = np.abs(ours.maps - wanted.maps).max(axis=(2, 3))[wanted.visible]
    most, some, worst = (tolerance("stage", f"response_maps{name}") for name in ("_median", "", "_worst"))
    assert np.median(errors) <= most.tolerance
    assert (errors <= some.tolerance).mean() >= some.share
    assert errors.max() <= worst.tolerance
    np.testing.assert_allclose(ours.maps[~wanted.visible], wanted.maps[~wanted.visible], atol=worst.tolerance)


def compare(device, model, g, p, window, scale_index):
    gray = np.repeat(image()[None], len(g), axis=0)
    ours, wanted = (
        stage.response_maps(gray, g, p, window, scale_index) for stage in (build(model, device), reference(model))
    )
    check(ours, wanted)
    return ours, wanted


# ---- against the reference -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "scale_index"), [(5, 3), (7, 2), (9, 1)])
def test_networks_of_every_view_respond_as_the_references(device, window, scale_index):
    g, p = stacked([face(MAIN, view, scale_index, seed=view) for view in VIEWS])
    ours, _ = compare(device, MAIN, g, p, window, scale_index)
    assert ours.view.tolist() == list(VIEWS)


@pytest.mark.parametrize("window", [1, 3, 11, 15])
def test_networks_respond_in_any_window(device, window):
    g, p = stacked([face(MAIN), face(MAIN, 3)])
    gray = np.repeat(image()[None], 2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a map of one place has no neighbours to take a mean of
        wanted = reference(MAIN).response_maps(gray, g, p, window, 0)
    ours = build(MAIN, device).response_maps(gray, g, p, window, 0)
    if window == 1:
        np.testing.assert_array_equal(ours.maps, wanted.maps)
    else:
        check(ours, wanted)


@pytest.mark.parametrize(("window", "scale_index"), [(3, 0), (5, 1), (9, 0), (15, 1)])
def test_fields_of_eyes_respond_as_the_references(device, window, scale_index):
    g, p = stacked([face(EYE, 0, scale_index, (100 + 9 * k, 80), 2 + k, seed=k) for k in range(2)])
    ours, _ = compare(device, EYE, g, p, window, scale_index)
    assert ours.maps.std() > 0.01


@pytest.fixture(scope="module")
def fields():
    """Experts of all views with smoothing components; some have many neurons, some that hardly count, some none."""
    main = factories.make_bundle(3, kind="clnf", m=6).face.main
    rng = np.random.default_rng(9)
    (first, *rest) = main.experts
    views = [list(view) for view in first.patches]
    for view in (0, 2):
        views[view][4] = factories.make_ccnf_patch(rng, 0)
        views[view][6] = dataclasses.replace(many := factories.make_ccnf_patch(rng, 19), alphas=many.alphas.copy())
        views[view][6].alphas[[0, 7, 18]] = 1e-4, 5e-5, 1.5e-4
    return dataclasses.replace(main, experts=(dataclasses.replace(first, patches=tuple(map(tuple, views))), *rest))


@pytest.mark.parametrize("window", [7, 9])
def test_fields_of_every_view_respond_as_the_references(device, fields, window):
    g, p = stacked([face(fields, view, at=(105, 95), size=0.9, seed=view) for view in VIEWS])
    ours, wanted = compare(device, fields, g, p, window, 0)
    assert not ours.maps[0, 4].any()
    np.testing.assert_array_equal(ours.maps[~ours.visible], wanted.maps[~wanted.visible])


@settings(max_examples=12, deadline=None)
@given(
    st.floats(0.2, 4.0), st.tuples(*[st.floats(-1.5, 1.5)] * 3), st.floats(-70, 290), st.floats(-60, 240),
    st.sampled_from(["shapes", "black", "white", "halves"]), st.integers(0, 1000),
)  # fmt: skip
def test_faces_anywhere_in_any_picture(size, turn, x, y, kind, seed):
    gray = image()
    gray = {"shapes": gray, "black": gray * 0, "white": gray * 0 + 255, "halves": (gray > 100) * np.float32(255)}[kind]
    g, p = face(MAIN, seed=seed)
    g[:] = size, *turn, x, y
    ours, wanted = (
        stage.response_maps(gray[None], g[None], p[None], 5, 0)
        for stage in (build(MAIN, host_device()), reference(MAIN))
    )
    check(ours, wanted)


def test_points_on_a_line_have_a_similarity(device):
    flat = np.zeros((3, 28))
    flat[0] = np.linspace(-30, 30, 28)
    pdm = PDM(flat.ravel(), EYE.pdm.components * 0, EYE.pdm.eigenvalues)
    model = LandmarkModel("line", pdm, EYE.experts)
    g = np.array([[1.1, 0, 0, 0.7, 90, 80], [0.8, 0, 0, -2.9, 100, 70]], np.float32)
    compare(device, model, g, np.zeros((2, pdm.n_modes), np.float32), 3, 0)


# ---- networks of other forms ----------------------------------------------------------------------------------------


def with_networks(model, change):
    """A model of one scale, each of whose networks is another one."""
    experts = model.experts[0]
    views = tuple(tuple(change(patch) if patch.layers else patch for patch in view) for view in experts.patches)
    return dataclasses.replace(model, experts=(dataclasses.replace(experts, patches=views),))


@pytest.fixture(scope="module")
def networks():
    return factories.make_bundle(5, kind="ceclm", m=6).face.main


def patch_of(rng, hidden, kinds):
    """An expert with hidden layers of given sizes, and activations as they are numbered in the files."""
    patch = factories.make_cen_patch(rng, hidden)
    layers = (CENLayer(kind, a.bias, a.weights) for kind, a in zip(kinds, patch.layers, strict=True))
    return dataclasses.replace(patch, layers=tuple(layers))


@pytest.mark.parametrize(
    ("hidden", "kinds"), [((), (0,)), ((7,), (7, 0)), ((6, 5, 3, 2), (0, 2, 7, 2, 7)), ((230, 9), (2, 2, 0))]
)
def test_networks_have_any_layers_and_activations(device, networks, hidden, kinds):
    rng = np.random.default_rng(len(hidden))
    model = with_networks(networks, lambda patch: patch_of(rng, hidden, kinds))
    g, p = stacked([face(model), face(model, 6)])
    compare(device, model, g, p, 5, 0)


def test_networks_as_wide_as_openfaces_respond_alike_however_many_rows_a_block_takes(device, monkeypatch):
    model = dataclasses.replace(MAIN, experts=(widen_experts(MAIN.experts[2], OPENFACE_HIDDEN[0.5], 1),))
    g, p = stacked([face(MAIN, 3)])
    compare(device, model, g, p, 3, 0)
    # The layers of the embedded models are narrow, so that all sizes of tiles are quickly tried on them.
    gray, (g, p) = np.repeat(image()[None], 3, axis=0), stacked([face(MAIN), face(MAIN, 1, seed=1), face(MAIN, seed=2)])
    stage, found = build(MAIN, device), []
    for rows in ROWS:
        monkeypatch.setattr(CENScaleBatch, "_rows", lambda self, maps, window, rows=rows: rows)
        found.append(stage.response_maps(gray, g, p, 7, 2).maps)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_the_last_of_two_experts_of_a_pair_counts(device, networks):
    """Where both landmarks of a frontal pair have experts of their own, each overwrites the other's map (spec 40.7)."""
    rng = np.random.default_rng(8)

    def network(patch=None):
        return patch_of(rng, (230, 9), (2, 2, 0))

    model = with_networks(networks, network)
    (experts,) = model.experts
    frontal = tuple(network() for _ in experts.patches[0])
    both = dataclasses.replace(experts, patches=(frontal, *experts.patches[1:]))
    compare(device, dataclasses.replace(model, experts=(both,)), *stacked([face(model)]), 5, 0)


def test_networks_that_cannot_be_served_are_named(device, networks):
    rng = np.random.default_rng(2)

    third = [patch for patch in networks.experts[0].patches[0] if patch.layers][2]

    def one_other(patch):
        return factories.make_cen_patch(rng, (9, 4)) if patch is third else patch

    with pytest.raises(ContractError, match="one form"):
        ExpertsBatch(device, with_networks(networks, one_other))
    with pytest.raises(ContractError, match="shared memory"):
        ExpertsBatch(device, with_networks(networks, lambda patch: factories.make_cen_patch(rng, (8, 4000))))
    with pytest.raises(ContractError, match="square"):
        ExpertsBatch(device, with_networks(networks, lambda patch: dataclasses.replace(patch, width=10)))


def test_openfaces_networks_fit_into_the_shared_memory_that_every_gpu_has():
    for hidden in set(OPENFACE_HIDDEN.values()):
        form = Form(11, (*hidden, 1), (2, 2, 2, 0))
        assert (form.chunk, form.threads) == (100, 160)
        assert max(form.shared_bytes(ROWS[0], window) for window in range(3, 17, 2)) <= 48 * 1024


# ---- batches --------------------------------------------------------------------------------------------------------


def maps_of(device, batch, images, frames, faces, active, window=5, scale_index=0):
    g, p = stacked(faces)
    up = device.upload
    return batch.response_maps(
        up(images.astype(np.uint8)), up(np.array(frames, np.int32)), up(g), up(p), window, scale_index,
        up(np.array(active, np.uint8)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["networks", "fields"])
def test_a_face_does_not_depend_on_the_others_of_its_batch(device, fields, kind):
    model = MAIN if kind == "networks" else fields
    batch, images = ExpertsBatch(device, model), np.stack([image(1), image(2)])
    faces = [face(model, view, seed=k, size=0.9 + 0.1 * k) for k, view in enumerate((0, 4, 0, 1, 0))]
    frames, active = [0, 1, 1, 0, 0], [1, 1, 0, 1, 1]
    window = 5 if kind == "networks" else 7
    together = maps_of(device, batch, images, frames, faces, active, window)
    assert together.view.tolist() == [0, 4, 0, 1, 0]
    for k in range(5):
        alone = maps_of(device, batch, images, frames[k : k + 1], faces[k : k + 1], active[k : k + 1], window)
        for field in dataclasses.fields(alone):
            name = field.name
            np.testing.assert_array_equal(getattr(together, name)[k], getattr(alone, name)[0], err_msg=f"{name} of {k}")
    for field in dataclasses.fields(together):
        assert not getattr(together, field.name)[2].any(), f"{field.name} of a face that is not active"
    assert together.maps[[0, 1, 3, 4]].any(axis=(1, 2, 3)).all()
    assert together.good.tolist() == active


def test_a_batch_may_have_no_active_face(device):
    found = maps_of(device, ExpertsBatch(device, MAIN), image()[None], [0], [face(MAIN)], [0])
    assert not found.maps.any()


def test_faces_without_extent_are_not_good(device):
    batch = ExpertsBatch(device, MAIN)
    nothing, lost = face(MAIN, size=0.0), face(MAIN, size=np.nan)
    found = maps_of(device, batch, image()[None], [0, 0, 0], [nothing, face(MAIN), lost], [1, 1, 1])
    assert found.good.tolist() == [0, 1, 0]
    assert not found.maps[[0, 2]].any()
    assert found.maps[1].any()
    with pytest.raises(ContractError, match="coincide"):
        build(MAIN, device).response_maps(image()[None], nothing[0][None], nothing[1][None], 5, 0)


def test_bad_arguments_are_named(device):
    stage, gray, (g, p) = build(MAIN, device), image()[None], stacked([face(MAIN)])
    bad = ((gray.astype(np.float64), g, p), (gray, g * np.nan, p), (gray, g, p[:, :3]), (gray + np.float32(0.5), g, p))
    for wrong in bad:
        with pytest.raises(ContractError, match="patch_experts"):
            stage.response_maps(*wrong, 9, 0)
    for window, scale_index in ((8, 0), (9, 7), (-1, 0)):
        with pytest.raises(ContractError):
            stage.response_maps(gray, g, p, window, scale_index)
    with pytest.raises(ContractError, match="active"):
        stage.batch.response_maps(gray.astype(np.uint8), np.zeros(1, np.int32), g, p, 5, 0, np.ones(2, np.uint8))
    mixed = dataclasses.replace(MAIN, experts=(MAIN.experts[0], EYE.experts[0]))
    with pytest.raises(ContractError, match="one kind"):
        ExpertsBatch(device, mixed)


# ---- areas that somebody else has cut out ---------------------------------------------------------------------------


@pytest.mark.parametrize(("view", "window"), [(0, 9), (3, 7)])
@pytest.mark.parametrize("kind", ["networks", "fields"])
def test_areas_respond_as_the_references(device, fields, kind, view, window):
    model = MAIN if kind == "networks" else fields
    wanted, ours = reference(model), build(model, device)
    landmarks = np.flatnonzero(model.experts[0].visibility[view])[::11]
    side = window + model.experts[0].patches[view][landmarks[0]].width - 1
    areas = np.random.default_rng(5).uniform(0, 255, (len(landmarks), side, side)).astype(np.float32)
    errors = np.abs(
        ours.area_responses(areas, landmarks, 0, view) - wanted.area_responses(areas, landmarks, 0, view)
    ).max(axis=(1, 2))
    assert errors.max() <= tolerance("stage", "response_maps").tolerance


def test_bad_areas_are_named(device):
    stage, area = build(MAIN, device), np.zeros((1, 19, 19), np.float32)
    for bad, match in (
        ((area[..., 0], np.array([30]), 0), "areas"),
        ((area, np.array([68]), 0), "landmarks"),
        ((area, np.array([30]), 4), "scale_index"),
        ((area, np.array([30]), 0, 99), "view"),
        ((np.zeros((1, 18, 18), np.float32), np.array([30]), 0), "window"),
    ):
        with pytest.raises(ContractError, match=match):
            stage.area_responses(*bad)
