"""Compiled stages on inputs that clips rarely show: extremes, borders, partial data, batches, bad arrays, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

pytest.importorskip("numba")

from auparity.accelerated.numba import alignment as numba_alignment
from auparity.accelerated.numba import compile as numba_compile
from auparity.accelerated.numba.fused import fma
from auparity.accelerated.numba.triangle_tile import PIXELS
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import STAGES, registry
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.alignment import face_mask
from auparity.reference.convnet import forward
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import FittingParameters
from auparity.reference.head_pose import Camera
from auparity.reference.numerics import FLOAT32
from auparity.reference.options import PipelineOptions
from auparity.reference.patch_experts import extract_areas
from auparity.reference.pdm import ShapeModel
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
MAIN, EYE = BUNDLE.face.main, BUNDLE.face.parts[0].model
REFERENCE = reference_stages()
FEW = settings(max_examples=15, deadline=None)


def ours(stage, *parts):
    return registry().get(stage, "numba").build(*parts)


EXPERTS = ours("patch_experts", MAIN)  # built once: its weights are packed


@st.composite
def faces(draw, modes=34, size=(180, 220)):
    """Parameters of a face somewhere in or beside an image (H, W): also in profile, tiny or huge."""
    height, width = size
    g = [
        draw(st.floats(0.3, 4.0)), draw(st.floats(-1.2, 1.2)), draw(st.floats(-1.5, 1.5)), draw(st.floats(-1.2, 1.2)),
        draw(st.floats(-0.3 * width, 1.3 * width)), draw(st.floats(-0.3 * height, 1.3 * height)),
    ]  # fmt: skip
    seed = draw(st.integers(0, 2**31))
    p = np.random.default_rng(seed).normal(0, 1, modes) * np.sqrt(MAIN.pdm.eigenvalues.ravel()[:modes])
    return np.array(g, np.float32), p.astype(np.float32)


def gray_image(kind):
    noise = np.random.default_rng(4).integers(0, 256, (180, 220))
    return {"noise": noise, "black": noise * 0, "white": noise * 0 + 255, "halves": (noise > 127) * 255}[kind].astype(
        np.float32
    )


@FEW
@given(faces())
def test_shapes_follow_from_parameters_to_the_last_bit(face):
    g, p = face
    reference, mine = REFERENCE.pdm(MAIN.pdm), ours("pdm", MAIN.pdm)
    np.testing.assert_array_equal(mine.shape_2d(g, p), reference.shape_2d(g, p))
    np.testing.assert_array_equal(mine.shape_3d(p), reference.shape_3d(p))
    box = np.array([10, 20, 80, 90], np.float32)
    np.testing.assert_array_equal(mine.params_from_box(box, p, g[1:4]), reference.params_from_box(box, p, g[1:4]))


@FEW
@given(
    faces(), st.sampled_from(["noise", "black", "white", "halves"]), st.sampled_from([(9, 0), (7, 1), (11, 0), (5, 2)])
)
def test_maps_of_faces_anywhere(face, kind, where):
    g, p = face
    gray = gray_image(kind)[None]
    reference, mine = (
        bank.response_maps(gray, g[None], p[None], *where) for bank in (REFERENCE.patch_experts(MAIN), EXPERTS)
    )
    np.testing.assert_array_equal(mine.view, reference.view)
    np.testing.assert_array_equal(mine.visible, reference.visible)
    np.testing.assert_array_equal(mine.ref_to_img, reference.ref_to_img)
    np.testing.assert_allclose(mine.maps, reference.maps, atol=4e-6)


def amplification(model, gray, g, p, maps, window):
    """(n,) by landmark: the grey levels of an area over the contrast (norm) of its flattest patch that is not flat.

    The kernel takes pixels relative to the area's mean and divides by the norm afterwards, so that is how far rounding
    is carried: to a few thousand times where a patch lies outside the picture but for a corner.
    """
    landmarks = ShapeModel(model.pdm).shape_2d(g, p)
    areas = extract_areas(gray, landmarks, maps.ref_to_img[0], window + 10, FLOAT32).astype(np.float64)
    patches = sliding_window_view(areas, (11, 11), axis=(1, 2)).reshape(len(areas), -1, 121)
    norms = np.linalg.norm(patches - patches.mean(axis=-1, keepdims=True), axis=-1)
    flattest = np.where(norms > 1e-6, norms, np.inf).min(axis=1)
    return np.abs(areas - areas.mean(axis=(1, 2), keepdims=True)).max(axis=(1, 2)) / flattest


@FEW
@given(st.integers(0, 2**31), st.sampled_from([3, 5, 9]))
@example(22211, 9)  # a patch with a norm of two grey levels
def test_maps_of_eyes_of_neurons_and_fields(seed, window):
    rng = np.random.default_rng(seed)
    g = np.array([rng.uniform(1, 4), *rng.uniform(-0.5, 0.5, 3), *rng.uniform(20, 160, 2)], np.float32)
    p = (rng.normal(0, 1, EYE.pdm.n_modes) * np.sqrt(EYE.pdm.eigenvalues.ravel())).astype(np.float32)
    gray = gray_image("noise")[None]
    reference, mine = (
        build(EYE).response_maps(gray, g[None], p[None], window, 0)
        for build in (REFERENCE.patch_experts, registry().get("patch_experts", "numba").build)
    )
    # Patches of some contrast were seen to differ by 1e-6 at most, flatter ones by 1.1e-7 of the amplification.
    limits = 2e-6 + 3e-7 * amplification(EYE, gray[0], g, p, reference, window)
    errors = np.abs(mine.maps[0] - reference.maps[0]).max(axis=(1, 2))
    assert (errors <= limits).all(), f"{errors[errors > limits]} above {limits[errors > limits]}"


@FEW
@given(faces(), st.integers(0, 60))
def test_fit_shape_of_all_or_of_some_landmarks(face, hidden):
    g, p = face
    model = ShapeModel(MAIN.pdm)
    landmarks = model.shape_2d(g, p)[None].copy()
    landmarks[0, np.random.default_rng(hidden).permutation(68)[:hidden]] = 0
    reference, mine = fit_shape(model, landmarks), ours("fit_shape", MAIN.pdm)(landmarks)
    # Few landmarks, or a face in profile, leave directions that hardly matter: judged by where the landmarks fall.
    expected = model.shape_2d(reference[0], reference[1])[landmarks[..., 0] != 0]
    found = model.shape_2d(mine[0], mine[1])[landmarks[..., 0] != 0]
    np.testing.assert_allclose(found, expected, atol=0.02)


@FEW
@given(st.integers(0, 2**31), st.sampled_from(["as they are", "whole pixels", "two alike", "far away"]))
def test_masks_of_any_triangles_are_the_references(seed, kind):
    rng = np.random.default_rng(seed)
    polygon = rng.uniform(-20, 130, (68, 2)).astype(np.float32)
    if kind == "whole pixels":
        polygon = np.round(polygon)
    elif kind == "two alike":
        polygon[rng.permutation(68)[:30]] = polygon[rng.integers(68)]
    elif kind == "far away":
        polygon += 1000
    triangles = np.ascontiguousarray(BUNDLE.video_aus.triangulation[:40], np.int64)
    mask = np.empty((112, 112 + PIXELS), np.uint8)
    if not numba_alignment._fill(polygon, triangles, mask):
        numba_alignment._walk(polygon, triangles, mask)
    np.testing.assert_array_equal(mask[:, :112] > 0, face_mask(polygon, triangles.astype(np.int32)))


@pytest.mark.parametrize("kind", ["noise", "black", "white"])
def test_descriptors_of_any_face_are_equal(kind):
    rng = np.random.default_rng(2)
    faces = rng.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    faces = {"noise": faces, "black": faces * 0, "white": faces * 0 + 255}[kind]
    np.testing.assert_array_equal(ours("fhog")(faces), REFERENCE.fhog()(faces))
    odd = rng.integers(0, 256, (1, 61, 43, 3), dtype=np.uint8)
    np.testing.assert_array_equal(ours("fhog")(odd), REFERENCE.fhog()(odd))


@pytest.mark.parametrize("kind", ["hog", "geometry"])
def test_medians_are_equal_whatever_comes(kind):
    rng = np.random.default_rng(3)
    reference, mine = REFERENCE.running_median(kind), ours("running_median", kind)
    span = (-0.2, 1.3) if kind == "hog" else (-90, 90)
    for k in range(120):
        if k == 70:
            reference.reset()
            mine.reset()
        values = rng.uniform(*span, 40) if k % 3 else np.full(40, rng.uniform(*span))
        values = values.astype(np.float32) if kind == "hog" else values
        success = bool(rng.random() < 0.8)
        np.testing.assert_array_equal(mine.step(values, success), reference.step(values, success))
    assert (mine.frames, mine.total) == (reference.frames, reference.total)


def test_medians_outlive_sixteen_bits():
    mine = ours("running_median", "geometry")
    for k in range(65535 + 40):
        mine.update(np.array([1.0 if k % 3 else -1.0]), True)
    assert mine.total == 65575
    assert mine.median[0] == pytest.approx(1.006, abs=0.013)
    assert mine._counts.dtype == np.int32
    assert mine._counts.sum() == 65575


def test_networks_of_any_size_are_the_references():
    from auparity.accelerated.numba.convnet import Network

    rng = np.random.default_rng(5)
    for net, shape in (
        (BUNDLE.detector.pnet, (1, 3, 12, 12)), (BUNDLE.detector.pnet, (2, 3, 31, 17)),
        (BUNDLE.detector.rnet, (5, 3, 24, 24)), (BUNDLE.detector.onet, (17, 3, 48, 48)),
        (BUNDLE.face.validator.views[0].net, (1, 1, 60, 60)),
    ):  # fmt: skip
        maps = rng.normal(0, 1, shape).astype(np.float32)
        reference, mine = forward(net, maps), Network(net).forward(maps)
        assert mine.shape == reference.shape
        np.testing.assert_allclose(mine, reference, atol=1e-5 * np.abs(reference).max())
    with pytest.raises(ContractError, match="maps"):
        Network(BUNDLE.detector.rnet).forward(np.zeros((1, 3, 4, 4), np.float32))


@pytest.mark.parametrize("shape", [(240, 320), (61, 60), (40, 30), (480, 200)])
def test_faces_are_detected_alike_in_any_picture(shape):
    image = np.random.default_rng(6).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for picture in (image, image * 0, image[:, :, 0]):
        reference, mine = REFERENCE.detection(BUNDLE.detector)(picture), ours("detection", BUNDLE.detector)(picture)
        assert len(mine) == len(reference)
        np.testing.assert_allclose(mine.boxes, reference.boxes, atol=1e-3)


def test_a_result_does_not_depend_on_the_rest_of_the_batch():
    rng = np.random.default_rng(7)
    model = ShapeModel(MAIN.pdm)
    g = np.array([[1.5, 0.1, 0.2, 0, 90, 90], [2.0, 0, -0.4, 0.1, 110, 80]], np.float32)
    p = rng.normal(0, 2, (2, 34)).astype(np.float32)
    gray = np.repeat(gray_image("noise")[None], 2, axis=0)
    landmarks = model.shape_2d(g, p)
    fitter = ours("fitting", MAIN, EXPERTS)
    parameters = FittingParameters(windows=(11, 9, 0, 0))
    both = fitter.fit(gray, g, p, parameters)
    for k in range(2):
        one = slice(k, k + 1)
        (alone,) = fitter.fit(gray[one], g[one], p[one], parameters)
        np.testing.assert_array_equal(both[k].landmarks, alone.landmarks)
        for stage, arguments in (
            (ours("fit_shape", MAIN.pdm), (landmarks,)),
            (ours("head_pose", MAIN.pdm).pose, (g, p, landmarks)),
        ):
            more = (Camera.for_image(220, 180),) if len(arguments) == 3 else ()
            whole, part = stage(*arguments, *more), stage(*(a[one] for a in arguments), *more)
            whole, part = (v if isinstance(v, tuple) else (v,) for v in (whole, part))
            for a, b in zip(whole, part, strict=True):
                np.testing.assert_array_equal(a[one], b)


def test_bad_arrays_are_named():
    gray = gray_image("noise")[None]
    g, p = np.zeros((1, 6), np.float32), np.zeros((1, 34), np.float32)
    g[0, 0] = 1
    for wrong in ((gray.astype(np.float64), g, p), (gray, g * np.nan, p), (gray, g, p[:, :3])):
        with pytest.raises(ContractError, match="patch_experts"):
            EXPERTS.response_maps(*wrong, 9, 0)
    for window, scale in ((8, 0), (9, 7), (-1, 0)):
        with pytest.raises(ContractError):
            EXPERTS.response_maps(gray, g, p, window, scale)
    with pytest.raises(ContractError, match="all x are 0"):
        ours("fit_shape", MAIN.pdm)(np.zeros((1, 68, 2), np.float32))
    with pytest.raises(ContractError, match="coincide"):
        EXPERTS.response_maps(gray, g * 0, p, 9, 0)


def test_stages_are_shared_by_threads():
    frames = [picture.image for picture in render_clip(3_700_000, 5)]
    pipeline = Pipeline.from_spec({}, BUNDLE, default="numba")

    def run(_):
        session = pipeline.start_video()
        return np.stack([session.process_frame(frame, 0.0).landmarks for frame in frames])

    alone = run(0)
    with ThreadPoolExecutor(3) as pool:
        for landmarks in pool.map(run, range(3)):
            np.testing.assert_array_equal(landmarks, alone)


def test_every_stage_is_compiled_and_none_of_the_best_is_missing():
    chosen = Pipeline.best(BUNDLE, PipelineOptions(device="cpu")).variants
    assert set(chosen) == set(STAGES)
    assert set(chosen.values()) == {"numba"}


def test_fused_multiply_adds_round_once():
    @numba_compile.kernel
    def fused(a, b, c):
        return fma(a, b, c)

    rng = np.random.default_rng(8)
    for a, b, c in rng.normal(0, 1, (50, 3)).astype(np.float32):
        exact = np.float32(np.float64(a) * np.float64(b) + np.float64(c))
        assert fused(a, b, c) == exact
        assert FLOAT32.fma(a, b, c) == exact
