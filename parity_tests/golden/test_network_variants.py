"""Networks in ONNX Runtime, PyTorch and Numba against what public programs made of their published files.

Tolerances are those of the reference (test_networks.py), in batches of 1 to 16 as well: a result does not depend on
what else is in a batch.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from auparity.models.formats.named_arrays import NamedArrays
from auparity.models.networks.published import network_of
from auparity.parity_tests.golden.test_networks import (
    BOX,
    RAW,
    RETINAFACES,
    SCORE,
    image,
    network,
    recorded,
    recorded_squares,
    star_state,
)
from auparity.reference.networks.crops import star_crop_of
from auparity.reference.networks.retinaface import Selection, decode, find_faces, priors, select

pytestmark = pytest.mark.golden

#: Faces of a batch; the recordings are gone through in batches of each size.
BATCHES = (1, 2, 7, 16)


@pytest.fixture(scope="module", params=["onnx", "torch", "numba"])
def build(request):
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return import_module(f"auparity.accelerated.{request.param}.networks").build


@pytest.mark.parametrize("file", RETINAFACES)
def test_retinaface_says_and_finds_what_was_recorded(build, file):
    wanted, run = recorded(RETINAFACES[file]), build(network(file))
    for key in map(str, wanted["names"]):
        picture = image(key)
        if f"{key}:loc" in wanted:
            raw = run(picture[None])
            assert np.abs(raw.boxes[0] - wanted[f"{key}:loc"]).max() < RAW, key
            assert np.abs(raw.points[0] - wanted[f"{key}:landms"]).max() < RAW, key
            assert np.abs(raw.faces[0] - wanted[f"{key}:conf"][:, 1]).max() < SCORE, key
        held(find_faces(run, picture, Selection(shown=0.02)), wanted[key], key)


def held(found, rows, key):
    assert len(found.scores) == len(rows), key
    assert np.abs(found.scores - rows[:, 4]).max() < SCORE, key
    assert np.abs(found.boxes - rows[:, :4]).max() < BOX, key
    assert np.abs(found.points.reshape(-1, 10) - rows[:, 5:]).max() < BOX, key


@pytest.mark.parametrize("size", BATCHES)
def test_retinaface_finds_them_in_batches(build, size):
    """Of frames of one clip, which have one size."""
    (file, name), *_ = RETINAFACES.items()
    wanted, run = recorded(name), build(network(file))
    keys = [str(key) for key in wanted["names"] if str(key).startswith("video01/")][:16]
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        images = np.stack([image(key) for key in some])
        raw = run(images)
        shape = images.shape[1], images.shape[2]
        for k, key in enumerate(some):
            boxes, points = decode(raw.boxes[k], raw.points[k], priors(*shape), shape)
            held(select(boxes, raw.faces[k], points, Selection(shown=0.02)), wanted[key], key)


@pytest.mark.parametrize("size", BATCHES)
@pytest.mark.parametrize(
    ("file", "name", "raw"),
    [
        ("pfld_cunjian.onnx", "pfld_pyfaceau", 1e-5),
        ("mobilefacenet.xml", "mobilefacenet_openvino", 1e-4),
        ("face-api", "faceapi_68", 1e-5),
    ],
)
def test_networks_of_68_points_find_the_recorded_ones(build, file, name, raw, size):
    if file == "face-api" and build.__module__ == "auparity.accelerated.numba.networks":
        pytest.skip("the Numba variant does not serve face-api")
    wanted, run, squares = recorded(name), build(network(file)), recorded_squares(name)
    keys = list(squares)
    for start in range(0, len(keys), size):
        some = keys[start : start + size]
        found = run(np.stack([squares[key].cut(image(key)) for key in some]))
        assert found.shape == (len(some), 68, 2)
        for points, key in zip(found, some, strict=True):
            assert np.abs(points.ravel() - wanted[f"{key}:raw"]).max() < raw, key
            in_image = squares[key].to_image(points, image(key))
            assert np.abs(in_image - wanted[f"{key}:landmarks"]).max() < BOX, key


def test_star_finds_the_recorded_points_in_batches(build):
    """Of the last stack, which is what the stage gives; four crops are recorded, and repeated for larger batches."""
    wanted, run = recorded("star_random"), build(network_of(NamedArrays("seeded", "", star_state())))
    keys = [str(key) for key in wanted["names"]]
    crops = np.stack([wanted[f"{key}:crop"] for key in keys])
    for chosen in ([0], [1, 2, 3], [k % len(keys) for k in range(16)]):
        found = run(crops[chosen])
        for points, k in zip(found, chosen, strict=True):
            assert np.abs(points - wanted[f"{keys[k]}:landmarks_norm"][-1]).max() < 2e-4, keys[k]
            in_image = star_crop_of(wanted[f"{keys[k]}:det"][:4]).to_image(points)
            assert np.abs(in_image - wanted[f"{keys[k]}:landmarks_px"]).max() < 0.03, keys[k]
