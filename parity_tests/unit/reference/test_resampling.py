"""Pixel operations (spec 00, 90.2, 90.3), with OpenCV 4.10 to 4.14 as the second witness."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference import grayscale, resampling

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", autouse=True)
def _no_ipp() -> Iterator[None]:
    """Intel's resize in the OpenCV wheels samples elsewhere (positions in float64: 7e-6); ask OpenCV's own code."""
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    yield
    cv2.ipp.setUseIPP(used)


def random_similarity(rng: np.random.Generator) -> np.ndarray:
    """A (2, 3) scaled rotation whose image reaches outside a picture of 100 px on all sides."""
    scale, angle = rng.uniform(0.2, 3), rng.uniform(-np.pi, np.pi)
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, rng.uniform(-50, 150)], [s, c, rng.uniform(-50, 150)]], np.float32)


def test_gray_weighs_green_most_and_keeps_gray_levels() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(grayscale.to_gray(np.repeat(levels, 3).reshape(1, 1, 256, 3))[0, 0], levels)
    primaries = np.array([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], np.uint8)
    assert grayscale.to_gray(primaries).ravel().tolist() == [29, 150, 76]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, n=st.integers(1, 3), height=st.integers(1, 40), width=st.integers(1, 40))
def test_gray_is_opencvs_pixel_for_pixel(seed: int, n: int, height: int, width: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    expected = np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in images])
    assert np.array_equal(grayscale.to_gray(images), expected)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, height=st.integers(1, 90), width=st.integers(1, 90), h=st.integers(1, 30), w=st.integers(1, 30))
def test_warping_a_gray_frame_is_opencvs_bit_for_bit(seed: int, height: int, width: int, h: int, w: int) -> None:
    """Frames hold whole grey levels, for which the sum of four weighted neighbours is exact in any order."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width)).astype(np.float32)
    matrices = np.stack([random_similarity(rng) for _ in range(3)])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = [cv2.warpAffine(image, m, (w, h), flags=flags) for m in matrices]
    assert np.array_equal(resampling.warp_affine_f32(image, matrices, (h, w)), expected)


def test_warping_fractional_levels_stays_within_a_rounding_of_opencv() -> None:
    """OpenCV 4.14 sums in another order than 4.6 (spec 90.2): one unit in the last place of 255."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (60, 80)).astype(np.float32)
    matrix = random_similarity(rng)
    expected = cv2.warpAffine(image, matrix, (40, 30), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    got = resampling.warp_affine_f32(image, matrix[None], (30, 40))[0]
    assert np.abs(got - expected).max() <= np.spacing(np.float32(255)) * 2


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, height=st.integers(1, 90), width=st.integers(1, 90), h=st.integers(1, 30), w=st.integers(1, 30))
def test_warping_a_colour_frame_is_opencvs_level_for_level(seed: int, height: int, width: int, h: int, w: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    matrix = random_similarity(rng)
    expected = cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR)
    assert np.array_equal(resampling.warp_affine_u8(image, matrix, (h, w)), expected)


def test_what_lies_outside_the_frame_is_black() -> None:
    image = np.full((4, 4), 200.0, np.float32)
    far = np.array([[[1, 0, 1000], [0, 1, -1000]]], np.float64)
    assert not resampling.warp_affine_f32(image, far, (5, 5)).any()
    half_out = np.array([[[1, 0, -0.5], [0, 1, 0]]], np.float64)
    assert resampling.warp_affine_f32(image, half_out, (1, 2)).tolist() == [[[100.0, 200.0]]]


def test_positions_are_rounded_to_a_32nd_of_a_pixel() -> None:
    ramp = np.tile(np.arange(10, dtype=np.float32), (3, 1))
    x = np.array([2.01, 2.02, 2.05], np.float32)
    got = resampling.remap_f32(ramp, x, np.ones(3, np.float32))
    assert got.tolist() == [2.0, 2.03125, 2.0625]


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, height=st.integers(1, 60), width=st.integers(1, 60))
def test_remap_is_opencvs_bit_for_bit(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width)).astype(np.float32)
    map_x, map_y = rng.uniform(-10, 70, (2, 20, 25)).astype(np.float32)
    expected = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    assert np.array_equal(resampling.remap_f32(image, map_x, map_y), expected)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, height=st.integers(1, 150), width=st.integers(1, 150), data=st.data())
def test_shrinking_is_opencvs_bit_for_bit(seed: int, height: int, width: int, data: st.DataObject) -> None:
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    image = np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)
    expected = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(resampling.resize_bilinear_f32(image, (h, w)), expected)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, height=st.integers(1, 60), width=st.integers(1, 60), h=st.integers(1, 120), w=st.integers(1, 120))
def test_resizing_is_opencvs_to_the_last_place(seed: int, height: int, width: int, h: int, w: int) -> None:
    """Enlarging, OpenCV's vector code rounds a few values (spec 90.3: 0.26 %) differently."""
    image = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    expected = cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR)
    assert np.abs(resampling.resize_bilinear_f32(image, (h, w)) - expected).max() <= np.finfo(np.float32).eps


def test_double_precision_samples_the_same_positions() -> None:
    rng = np.random.default_rng(1)
    image = rng.random((30, 40))
    matrices = np.stack([random_similarity(rng) for _ in range(2)])
    single = resampling.warp_affine_f32(image, matrices, (9, 9))
    double = resampling.warp_affine_f32(image, matrices, (9, 9), dtype=np.float64)
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    assert np.abs(single - double).max() < 1e-6


def test_inverting_twice_gives_the_warp_back() -> None:
    matrix = random_similarity(np.random.default_rng(2)).astype(np.float64)
    assert np.allclose(resampling.invert_affine(resampling.invert_affine(matrix)), matrix, rtol=0, atol=1e-10)
    assert not resampling.invert_affine(np.zeros((2, 3))).any(), "a singular warp has the zero matrix for an inverse"


@pytest.mark.parametrize(
    "call",
    [
        lambda: grayscale.to_gray(np.zeros((4, 4, 3), np.uint8)),
        lambda: grayscale.to_gray(np.zeros((1, 4, 4, 3), np.float32)),
        lambda: resampling.warp_affine_f32(np.zeros((4, 4, 3), np.float32), np.zeros((1, 2, 3)), (2, 2)),
        lambda: resampling.warp_affine_f32(np.zeros((4, 4), np.float32), np.full((1, 2, 3), np.nan), (2, 2)),
        lambda: resampling.warp_affine_u8(np.zeros((4, 4, 3), np.float32), np.zeros((2, 3)), (2, 2)),
        lambda: resampling.remap_f32(np.zeros((4, 4), np.float32), np.zeros((2, 2)), np.zeros((3, 3))),
        lambda: resampling.resize_bilinear_f32(np.zeros((0, 4), np.float32), (2, 2)),
        lambda: resampling.resize_bilinear_f32(np.zeros((4, 4), np.float32), (0, 2)),
    ],
)
def test_arrays_that_are_no_images_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ContractError):
        call()
