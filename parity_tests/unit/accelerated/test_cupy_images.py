"""Gray images and face alignment as CUDA kernels, run on the host: the reference's values, whatever else is there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.cupy import alignment
from auparity.accelerated.cupy import grayscale as grayscale
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.cuda_on_host import host_device
from auparity.reference.fit_shape import fit_shape
from auparity.reference.pdm import ShapeModel
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
REFERENCE = reference_stages()
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=6, deadline=None)


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)


@pytest.fixture(scope="module")
def clip():
    """Images (3, 240, 320, 3), landmarks (3, 68, 2) and parameters (3, 6) of a rendered face."""
    pictures = list(render_clip(3_700_000, 3))
    landmarks = np.stack([p.truth.landmarks for p in pictures]).astype(np.float32)
    return np.stack([p.image for p in pictures]), landmarks, parameters_of(landmarks)


def parameters_of(landmarks):
    return fit_shape(ShapeModel(BUNDLE.video_aus.pdm), landmarks)[0]


def up(device, *arrays):
    return [device.upload(np.ascontiguousarray(array)) for array in arrays]


def numbers(count):
    return np.arange(count, dtype=np.int32)


# ---- gray -----------------------------------------------------------------------------------------------------------


@FEW
@given(SEEDS, st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)))
def test_gray_images_are_equal(device, seed, size):
    images = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    (given_,) = up(device, images)
    gray = device.download(grayscale.to_gray(device, given_))
    for image, found in zip(images, gray, strict=True):
        np.testing.assert_array_equal(found, REFERENCE.grayscale()(image))


def test_a_gray_image_is_equal_wherever_its_bytes_lie(device):
    images = np.random.default_rng(1).integers(0, 256, (4, 5, 7, 3), dtype=np.uint8)  # 105 bytes: no multiple of four
    (given_,) = up(device, images)
    rest = device.download(grayscale.to_gray(device, given_[1:]))
    np.testing.assert_array_equal(rest, device.download(grayscale.to_gray(device, given_))[1:])


def test_the_gray_stage_keeps_the_references_contract(device):
    image = np.random.default_rng(2).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    gray = grayscale.build(device)(image)
    assert gray.dtype == np.float32
    np.testing.assert_array_equal(gray, REFERENCE.grayscale()(image))
    with pytest.raises(ContractError, match="image"):
        grayscale.build(device)(image[:, :, 0])
    with pytest.raises(ContractError, match="whole grey levels"):
        grayscale.gray_bytes("validation", gray[None] + np.float32(0.25))


# ---- alignment ------------------------------------------------------------------------------------------------------


def test_aligned_faces_are_equal(device, clip):
    images, landmarks, g = clip
    aligned = alignment.build(BUNDLE.video_aus, device)(images, landmarks, g)
    assert (aligned > 0).mean() > 0.5
    np.testing.assert_array_equal(aligned, REFERENCE.alignment(BUNDLE.video_aus)(images, landmarks, g))


@FEW
@given(SEEDS, st.sampled_from(["moved", "two alike", "on a line", "whole pixels", "folded", "far away"]))
def test_faces_of_any_landmarks_are_equal(device, clip, seed, kind):
    """Cut by the border, folded, or with triangles of no area, where the reference walk over the pixels decides."""
    images, landmarks, _ = clip
    rng = np.random.default_rng(seed)
    points = (landmarks[:1] + rng.normal(0, 3, (1, 68, 2))).astype(np.float32)
    if kind == "moved":
        points += rng.uniform(-160, 160, 2).astype(np.float32)
    elif kind == "two alike":
        points[0, rng.permutation(68)[:20]] = points[0, rng.integers(68)]
    elif kind == "on a line":
        points[..., 1] = np.float32(100)
    elif kind == "whole pixels":
        points = np.round(points)
    elif kind == "folded":
        points[0, :34] = points[0, :34][::-1].copy()
    else:
        points += np.float32(5000)
    g = np.array([[1.0, 0, 0, 0, *points[0].mean(axis=0)]], np.float32)
    aligned = alignment.build(BUNDLE.video_aus, device)(images[:1], points, g)
    np.testing.assert_array_equal(aligned, REFERENCE.alignment(BUNDLE.video_aus)(images[:1], points, g))


def test_an_aligned_face_does_not_depend_on_the_others(device, clip):
    images, landmarks, g = clip
    align = alignment.AlignmentBatch(device, BUNDLE.video_aus)
    landmarks, g = (np.concatenate([array, array[:1] + np.float32(4)]) for array in (landmarks, g))
    frame, active = np.array([2, 1, 0, 0], np.int32), np.array([1, 0, 1, 1], np.uint8)
    whole = device.download(align(*up(device, images, frame, landmarks, g, active)))
    assert not whole[1].any()
    for k in (0, 2, 3):
        one = slice(k, k + 1)
        alone = align(*up(device, images[frame[one]], numbers(1), landmarks[one], g[one]))
        np.testing.assert_array_equal(device.download(alone)[0], whole[k])


def test_landmarks_that_all_coincide_are_told(device, clip):
    images, landmarks, g = clip
    same = np.full_like(landmarks, 50)
    with pytest.raises(ContractError, match="coincide"):
        alignment.build(BUNDLE.video_aus, device)(images, same, g)
    align = alignment.AlignmentBatch(device, BUNDLE.video_aus)
    aligned, good = align.with_flags(*up(device, images, numbers(3), np.stack([same[0], *landmarks[1:]]), g))
    assert device.download(good).tolist() == [0, 1, 1]
    assert not device.download(aligned)[0].any()
    with pytest.raises(ContractError, match="landmarks"):
        align(*up(device, images, numbers(3), landmarks.astype(np.float64), g))
