"""Networks and landmark validation as CUDA kernels, run on the host: the numbers of the reference and of Numba."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.cupy import conv_tiles, validation
from auparity.accelerated.cupy.convnet import Maps, NetworkBatch
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.render import render_photograph
from auparity.models.types import ConvNet, MaxPool, PReLU, ReLU, Sigmoid
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.helpers.counting_device import CountingDevice
from auparity.reference import convnet
from auparity.reference.stages import reference_stages
from auparity.reference.validation import crop_region, normalise_frame, warp_to_frame

BUNDLE = Bundle.embedded(networks=False)
REFERENCE = reference_stages()
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=6, deadline=None)
#: Of a network's largest output: float32 sums of up to 1152 products in another order; 9e-7 was measured.
NETWORK = 5e-6


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)


def up(device, *arrays):
    return [device.upload(np.ascontiguousarray(array)) for array in arrays]


def numbers(count):
    return np.arange(count, dtype=np.int32)


# ---- networks -------------------------------------------------------------------------------------------------------


def random_nets(count=1, seed=3):
    """Networks of every kind of layer, of sizes that fill no tile, with windows that the border cuts."""
    nets = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        nets.append(
            ConvNet((
                factories.convolution(rng, 2, 5, 3), PReLU(rng.uniform(-0.5, 0.5, 5).astype(np.float32)),
                MaxPool((2, 3), (2, 2)), factories.convolution(rng, 5, 9, 2), Sigmoid(), MaxPool((2, 3), (2, 1)),
                factories.fully_connected(rng, 9 * 5 * 3, 70), ReLU(), factories.fully_connected(rng, 70, 3),
            ))
        )  # fmt: skip
    return nets


def nets_and_maps():
    detector, validator = BUNDLE.detector, BUNDLE.face.validator
    return (
        (detector.pnet, (1, 3, 12, 12)), (detector.pnet, (2, 3, 31, 17)), (detector.rnet, (5, 3, 24, 24)),
        (detector.onet, (3, 3, 48, 48)), (validator.views[0].net, (1, 1, 60, 60)), (random_nets()[0], (18, 2, 18, 13)),
    )  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_networks_are_the_references(device, number):
    net, shape = nets_and_maps()[number]
    maps = np.random.default_rng(number).normal(0, 1, shape).astype(np.float32)
    reference = convnet.forward(net, maps)
    found = device.download(NetworkBatch(device, [net]).forward(*up(device, maps)))
    assert found.shape == reference.shape
    np.testing.assert_allclose(found, reference, atol=NETWORK * np.abs(reference).max(), rtol=0)


@pytest.mark.parametrize("number", range(5))
def test_networks_are_those_of_numba_bit_for_bit(device, number):
    numba = pytest.importorskip("auparity.accelerated.numba.convnet", exc_type=ImportError)
    net, shape = nets_and_maps()[number]
    maps = np.random.default_rng(number).normal(0, 1, shape).astype(np.float32)
    found = device.download(NetworkBatch(device, [net]).forward(*up(device, maps)))
    np.testing.assert_array_equal(found, numba.Network(net).forward(maps))


def test_each_sample_is_seen_by_its_own_network(device):
    nets, view = random_nets(4), np.array([2, 0, -1, 3, 2], np.int32)
    maps = np.random.default_rng(4).normal(0, 1, (5, 2, 18, 13)).astype(np.float32)
    batch = NetworkBatch(device, nets)
    found = device.download(batch.forward(*up(device, maps, view)))
    for k in np.flatnonzero(view >= 0):
        alone = device.download(NetworkBatch(device, [nets[view[k]]]).forward(*up(device, maps[k : k + 1])))
        np.testing.assert_array_equal(found[k], alone[0])
    with pytest.raises(ContractError, match="view"):
        batch.forward(*up(device, maps))


def test_a_sample_does_not_depend_on_the_others_nor_levels_on_each_other(device):
    maps = np.random.default_rng(5).normal(0, 1, (17, 3, 24, 24)).astype(np.float32)
    network = NetworkBatch(device, [BUNDLE.detector.rnet])
    whole = device.download(network.forward(*up(device, maps)))
    for part in (slice(0, 1), slice(3, 10), slice(16, 17)):
        np.testing.assert_array_equal(device.download(network.forward(*up(device, maps[part]))), whole[part])

    pnet = NetworkBatch(device, [BUNDLE.detector.pnet])
    sizes = ((20, 31), (12, 12), (15, 13))
    levels = [np.random.default_rng(h).normal(0, 1, (2, 3, h, w)).astype(np.float32) for h, w in sizes]
    found = pnet.run(Maps(*up(device, np.concatenate([v.reshape(2, -1) for v in levels], axis=1)), 3, sizes))
    outputs = device.download(found.data)
    for level, start, size in zip(levels, found.starts, found.sizes, strict=True):
        alone = device.download(pnet.forward(*up(device, level))).reshape(2, -1)
        np.testing.assert_array_equal(outputs[:, start : start + 6 * size[0] * size[1]], alone)


def test_networks_and_maps_that_do_not_fit_are_refused(device):
    rnet, onet = BUNDLE.detector.rnet, BUNDLE.detector.onet
    with pytest.raises(ContractError, match="maps"):
        NetworkBatch(device, [rnet]).forward(*up(device, np.zeros((1, 3, 4, 4), np.float32)))
    with pytest.raises(ContractError, match="maps"):
        NetworkBatch(device, [rnet]).forward(*up(device, np.zeros((1, 2, 24, 24), np.float32)))
    with pytest.raises(ContractError, match="same form"):
        NetworkBatch(device, [rnet, onet])
    for layers in ((ReLU(),), (*rnet.layers[:3], ReLU()), (*rnet.layers[:2], ReLU())):
        with pytest.raises(ContractError, match="layer"):
            NetworkBatch(device, [ConvNet(layers)])
    wide = ConvNet((factories.convolution(np.random.default_rng(0), 1, 8, 60),))
    with pytest.raises(ContractError, match="tile fits"):
        NetworkBatch(device, [wide]).forward(*up(device, np.zeros((1, 1, 99, 99), np.float32)))


@FEW
@given(
    st.integers(1, 130), st.integers(1, 70), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3),
    st.tuples(st.integers(12, 700), st.integers(12, 900)), st.booleans(),
)  # fmt: skip
def test_tiles_fit_into_a_block(units, inputs, kernel, pool, stride, size, together):
    convolved = tuple(n - kernel + 1 for n in size)
    out = tuple(convnet.pooled_length(n, pool, stride) for n in convolved)
    layer = conv_tiles.Layer(inputs, units, (kernel,) * 2, (pool,) * 2, (stride,) * 2, size, out, together)
    cut = conv_tiles.cut(layer)
    area = np.prod([min((t - 1) * stride + pool, n) for t, n in zip(cut.tile, convolved, strict=True)])
    assert area * cut.together * cut.thread_units <= cut.threads[0] * conv_tiles.SUMS
    assert cut.threads[0] % 32 == 0
    assert cut.threads[0] * cut.threads[1] <= conv_tiles.MOST_THREADS
    assert 4 * area * cut.together * cut.block_units <= cut.shared_bytes <= conv_tiles.SHARED_BYTES
    assert cut.together == 1 or (together and cut.tile == out)


# ---- validation -----------------------------------------------------------------------------------------------------


def gray_of(images):
    return np.stack([REFERENCE.grayscale()(image) for image in images])


@pytest.fixture(scope="module")
def turned_faces():
    """Gray images (8, 160, 160), landmarks and rotations of faces turned to all sides, some of them misplaced."""
    pictures = [render_photograph(3_900_000 + 4 * k, canvas=(160, 160), face_width=(70, 90)) for k in range(8)]
    landmarks = np.stack([p.truth.landmarks for p in pictures])
    landmarks[1:] += np.linspace(0, 12, 7)[:, None, None] * (1, -0.5)
    rotations = np.stack([p.truth.pose[3:] for p in pictures])
    return gray_of([p.image for p in pictures]), landmarks.astype(np.float32), rotations.astype(np.float32)


def test_certainties_of_turned_faces_are_equal(device, turned_faces):
    stage, reference = validation.build(BUNDLE.face.validator, device), REFERENCE.validation(BUNDLE.face.validator)
    confidence = reference.confidence(*turned_faces)
    assert len({reference.select_view(r) for r in turned_faces[2]}) >= 3
    assert len(set(confidence)) >= 4
    limit = tolerance("stage", "validation").tolerance
    np.testing.assert_allclose(stage.confidence(*turned_faces), confidence, atol=limit, rtol=0)


@FEW
@given(SEEDS, st.sampled_from(["moved", "tiny", "huge", "flat", "one point"]))
def test_certainties_of_any_landmarks_are_equal(device, turned_faces, seed, kind):
    rng = np.random.default_rng(seed)
    gray, landmarks, _ = (array[:1] for array in turned_faces)
    rotations = rng.uniform(-1.5, 1.5, (1, 3)).astype(np.float32)
    scale = {"tiny": 0.01, "huge": 40, "one point": 0}.get(kind, 1)
    points = (landmarks * scale + rng.uniform(-150, 150, 2)).astype(np.float32)
    gray = gray * 0 + 7 if kind == "flat" else gray
    limit = tolerance("stage", "validation").tolerance
    found = validation.build(BUNDLE.face.validator, device).confidence(gray, points, rotations)
    expected = REFERENCE.validation(BUNDLE.face.validator).confidence(gray, points, rotations)
    np.testing.assert_allclose(found, expected, atol=limit, rtol=0)


def test_what_the_validators_networks_see_is_equal_to_rounding(device, turned_faces):
    """Sampling positions to the last bit; statistics are float64 sums in another order."""
    gray, landmarks, rotations = (array[:1] for array in turned_faces)
    seen = {}

    class Watched(NetworkBatch):
        def forward(self, maps, view=None):
            seen["frames"], seen["views"] = maps, view
            return super().forward(maps, view)

    validator = BUNDLE.face.validator
    batch = validation.ValidationBatch(device, validator)
    batch._networks = Watched(device, [view.net for view in validator.views])
    batch(*up(device, gray.astype(np.uint8), numbers(1), landmarks, rotations))
    number = int(device.download(seen["views"])[0])
    assert number == REFERENCE.validation(validator).select_view(rotations[0])
    region, origin = crop_region(gray[0], landmarks[0])
    frame = warp_to_frame(region, landmarks[0] - np.float32(origin), validator.views[number].warp)
    expected = normalise_frame(frame, validator.views[number])
    np.testing.assert_allclose(device.download(seen["frames"])[0, 0], expected, rtol=2e-7)  # one unit in the last place


def test_a_certainty_does_not_depend_on_the_others(device, turned_faces):
    gray, landmarks, rotations = turned_faces
    validate = validation.ValidationBatch(device, BUNDLE.face.validator)
    frame, active = numbers(8)[::-1].copy(), np.array([1, 1, 0, 1, 1, 1, 1, 1], np.uint8)
    levels, landmarks, rotations = gray.astype(np.uint8), landmarks[::-1].copy(), rotations[::-1].copy()
    whole = device.download(validate(*up(device, levels, frame, landmarks, rotations, active)))
    assert whole[2] == 0
    for k in (0, 3, 7):
        one = slice(k, k + 1)
        alone = validate(*up(device, levels[frame[one]], numbers(1), landmarks[one], rotations[one]))
        assert device.download(alone)[0] == whole[k]


def test_validation_takes_as_many_launches_for_many_faces_as_for_one(device, turned_faces):
    gray, landmarks, rotations = turned_faces
    counts = []
    for count in (1, 8):
        counting = CountingDevice(device)
        validate = validation.ValidationBatch(counting, BUNDLE.face.validator)
        validate(*up(device, gray.astype(np.uint8), numbers(count), landmarks[:count], rotations[:count]))
        counts.append(counting.launches)
    assert counts == [7, 7]  # the frames, five layers, the bins
