"""What comes into a stage is checked, and the message alone says what was wrong."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from auparity.errors import AuparityError, ChecksumError, ContractError, ModelFormatError, VideoError
from auparity.reference.contracts import check_array, check_image, check_number, check_timestamp
from auparity.reference.head_pose import Camera, check_camera


def test_an_array_that_fits_comes_back_itself():
    array = np.zeros((2, 68, 2), np.float32)
    assert check_array("fitting", "landmarks", array, ("N", 68, 2), np.float32) is array
    assert check_array("fitting", "landmarks", array.astype(int), ("N", "n", 2)) is not None


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        ([[1.0, 2.0]], "a list"),
        (None, "a NoneType"),
        (np.zeros((68, 2), np.float32), r"shape \(68, 2\)"),
        (np.zeros((2, 67, 2), np.float32), r"shape \(2, 67, 2\)"),
        (np.zeros((0, 68, 2), np.float32), r"shape \(0, 68, 2\)"),
        (np.zeros((2, 68, 2)), "dtype float64"),
        (np.zeros((2, 68, 2), bool), "dtype bool"),
        (np.full((2, 68, 2), np.nan, np.float32), "272 NaN or infinite of 272"),
        (np.full((2, 68, 2), np.inf, np.float32), "272 NaN or infinite of 272"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_with_what_was_expected_and_what_came(array, complaint):
    with pytest.raises(ContractError, match=complaint) as caught:
        check_array("fitting", "landmarks", array, ("N", 68, 2), np.float32)
    assert (caught.value.stage, caught.value.argument) == ("fitting", "landmarks")
    assert isinstance(caught.value, AuparityError)
    assert isinstance(caught.value, ValueError)  # so that callers who know nothing of us can catch it


@pytest.mark.parametrize("dtype", [bool, complex, object, "U1", "datetime64[s]"])
def test_only_real_numbers_are_numbers(dtype):
    with pytest.raises(ContractError, match="dtype real"):
        check_array("fitting", "landmarks", np.zeros(3, dtype), ("n",))


def test_one_bad_value_is_enough():
    array = np.zeros((4, 3))
    array[2, 1] = np.nan
    with pytest.raises(ContractError, match="1 NaN or infinite of 12"):
        check_array("pdm", "shape", array, ("n", 3))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((4, 5, 3), np.int8),
        "frame.jpg",
    ],
)
def test_an_image_is_three_channels_of_bytes(image):
    with pytest.raises(ContractError, match="'detection', argument 'image'"):
        check_image("detection", image)


@pytest.mark.parametrize(
    "error",
    [
        ContractError("fhog", "aligned", "(N, 112, 112, 3)", "(3,)"),
        ModelFormatError("a.dat", 12, "a count", "-1", "Fetch it again."),
        ChecksumError("a.dat", "00", "ff"),
        VideoError("a.mp4: is empty"),
    ],
)
def test_errors_travel_between_processes(error):
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "3", None, True, np.zeros(1), 1j])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(ContractError, match="a finite number"):
        check_number("pipeline", "timestamp", value)
    with pytest.raises(ContractError, match="a finite number"):
        check_timestamp("pipeline", value, None)
    with pytest.raises(ContractError, match=r"camera\.fx"):
        Camera(value, 500.0, 320.0, 240.0)


def test_time_may_stand_still_and_not_go_back():
    assert check_timestamp("pipeline", np.float32(0.5), 0.5) == 0.5
    with pytest.raises(ContractError, match=r"not before that of the previous frame, 0\.5 s, got 0\.4 s"):
        check_timestamp("pipeline", 0.4, 0.5)


def test_what_is_no_camera_is_refused():
    assert check_camera("pipeline", None) is None
    with pytest.raises(ContractError, match="a Camera or None"):
        check_camera("pipeline", (500, 500, 320, 240))


def test_an_image_that_is_right_is_handed_through():
    image = np.zeros((4, 5, 3), np.uint8)
    assert check_image("detection", image) is image
    with pytest.raises(ContractError, match="'image'"):
        check_image("detection", image[:, :, :2])
