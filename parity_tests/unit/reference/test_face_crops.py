"""Aligned faces and descriptors for files beside a table: the stages' own where the crop is theirs."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.models.bundle import Bundle
from auparity.reference.alignment import Crop, scale_for
from auparity.reference.face_crops import FaceCrops, gray_face
from auparity.reference.numerics import FLOAT32
from auparity.reference.stages import Stages, reference_stages

PREDICTORS = Bundle.embedded(networks=False).video_aus
SIZE = 120  #: of the image, px


@pytest.fixture(scope="module")
def faces() -> FaceCrops:
    return FaceCrops(PREDICTORS, stages(), FLOAT32)


def stages() -> Stages:
    return reference_stages(FLOAT32)


@pytest.fixture(scope="module")
def landmarks() -> np.ndarray:
    """(68, 2) float32: the mean face upright, 0.5 px a mm, a little right of the middle."""
    mean = PREDICTORS.pdm.mean.reshape(3, 68)[:2].T
    return (0.5 * mean + [64, 58]).astype(np.float32)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(3).integers(1, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def test_the_usual_face_is_the_stages_and_the_mask_is_black(faces, image, landmarks):
    params, _ = stages().fit_shape(PREDICTORS.pdm)(landmarks[None])
    expected = stages().alignment(PREDICTORS)(image[None], landmarks[None], params)[0]
    aligned = faces.aligned(image, landmarks)
    np.testing.assert_array_equal(aligned, expected)
    assert aligned.shape == (112, 112, 3)
    assert not aligned[0, 0].any()
    assert aligned[56, 56].all()
    assert faces.aligned(image, landmarks, Crop(masked=False))[:5, 50:60].any()


def test_a_larger_crop_shows_as_much_of_the_face(faces, image, landmarks):
    usual = faces.aligned(image, landmarks)
    double = faces.aligned(image, landmarks, Crop(224, scale_for(224)))
    assert double.shape == (224, 224, 3)
    share, other = (float(face.any(axis=2).mean()) for face in (usual, double))
    assert other == pytest.approx(share, rel=0.05)


def test_without_landmarks_the_face_is_black_and_has_the_descriptor_of_black(faces, image):
    assert not faces.aligned(image, None, Crop(30)).any()
    assert faces.aligned(image, None, Crop(30)).shape == (30, 30, 3)
    black = stages().fhog()(np.zeros((1, 112, 112, 3), np.uint8))[0]
    np.testing.assert_array_equal(faces.descriptor(image, None).ravel(), black.astype(np.float32))


def test_the_descriptor_is_that_of_the_aligned_face_rows_first(faces, image, landmarks):
    descriptor = faces.descriptor(image, landmarks)
    assert descriptor.shape == (12, 12, 31)
    assert descriptor.dtype == np.float32
    flat = stages().fhog()(faces.aligned(image, landmarks)[None])[0]
    np.testing.assert_array_equal(descriptor[2, 5], flat[(2 * 12 + 5) * 31 : (2 * 12 + 6) * 31].astype(np.float32))


def test_gray_is_one_channel_of_the_usual_weights(faces, image, landmarks):
    aligned = faces.aligned(image, landmarks)
    gray = gray_face(aligned)
    assert gray.shape == (112, 112)
    assert gray.dtype == np.uint8
    assert np.abs(gray - aligned @ [0.114, 0.587, 0.299]).max() <= 0.51  # rounding, and weights of 14 bits
