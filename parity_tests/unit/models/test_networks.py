"""Published files of networks are recognised and held against names and shapes; bundles with networks are stored."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from auparity.errors import ContractError, ModelFormatError
from auparity.json_schema import MismatchError
from auparity.models import archive
from auparity.models.bundle import Bundle
from auparity.models.consistency import check_bundle
from auparity.models.formats.named_arrays import NamedArrays
from auparity.models.formats.openvino_file import parse_openvino, read_openvino
from auparity.models.networks import shapes
from auparity.models.networks.published import network_of, read_network
from auparity.models.types import PFLD, STAR, FaceApi, LandmarkNetwork, MobileFaceNet, RetinaFace, Tensors
from auparity.parity_tests.unit.helpers import random_networks, torch_files

SMALL_STAR = (29, 7, 1, 8)
NETWORKS = {
    "retinaface": (shapes.retinaface("mobile0.25"), RetinaFace),
    "pfld": (shapes.pfld(), PFLD),
    "mobilefacenet": (shapes.mobilefacenet(), MobileFaceNet),
    "star": (shapes.star(*SMALL_STAR), STAR),
    "face-api": (shapes.face_api(), FaceApi),
    "tiny face-api": (shapes.face_api(tiny=True), FaceApi),
}


def named(of: shapes.Shapes) -> dict[str, np.ndarray]:
    return {name: random_networks.values(name, shape) for name, shape in of.items()}


def in_file(arrays, name: str = "w.pth") -> NamedArrays:
    return NamedArrays(name, "", arrays)


def same(tensors: Tensors, arrays) -> bool:
    found = tensors.by_name()
    return found.keys() == arrays.keys() and all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    ("of", "weights"),
    [
        (shapes.retinaface("mobile0.25"), 426_608),
        (shapes.pfld(), 730_216),
        (shapes.mobilefacenet(), 1_007_248),
        (shapes.retinaface("resnet50"), 27_293_600),
        (shapes.face_api(), 356_840),
        (shapes.face_api(tiny=True), 77_224),
    ],
    ids=["mobile", "pfld", "mobilefacenet", "resnet", "face-api", "tiny"],
)
def test_the_number_of_weights_is_the_published_one(of, weights):
    assert sum(math.prod(shape) for name, shape in of.items() if ".running_" not in name) == weights


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_says_itself_which_network_it_is(name, tmp_path):
    of, kind = NETWORKS[name]
    arrays = {f"module.{key}": array for key, array in named(of).items()}
    if any(".running_" in name for name in arrays):
        arrays["module.x.num_batches_tracked"] = np.array(3)
    (tmp_path / "w.pth.tar").write_bytes(torch_files.new_file(arrays))
    read = read_network(tmp_path / "w.pth.tar")
    assert type(read.network) is kind
    assert same(read.network.tensors, named(of))
    assert len(read.sha256) == 64


def test_sizes_of_star_come_from_its_file_and_dead_layers_are_left_out():
    arrays = named(shapes.star(*SMALL_STAR))
    dead = {"hgs.0.up1.skip_layer.conv.weight": np.ones((8, 8, 1, 1)), "pre.3.skip_layer.conv.bias": np.ones(3)}
    assert same(network_of(in_file(arrays | dead)).tensors, arrays)
    assert "pre.1.skip_layer.conv.weight" in arrays  # 64 channels to 128: in use
    del arrays["pre.1.skip_layer.conv.weight"]
    with pytest.raises(ModelFormatError, match=r"1 missing \(pre.1.skip_layer.conv.weight\)"):
        network_of(in_file(arrays))


@pytest.mark.parametrize("backbone", ["mobile0.25", "resnet50"])
def test_the_backbone_is_seen(backbone):
    assert network_of(in_file(named(shapes.retinaface(backbone)))).backbone == backbone


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_of_another_size_or_of_another_network_is_refused(name):
    arrays = named(NETWORKS[name][0])
    last = list(arrays)[-1]
    for changed in (
        arrays | {last: arrays[last][:-1]}, arrays | {"extra.weight": np.ones(3)},
        {key: array for key, array in arrays.items() if key != list(arrays)[1]}, arrays | {last: arrays[last] * np.inf},
    ):  # fmt: skip
        with pytest.raises(ModelFormatError):
            network_of(in_file(changed))


def test_unused_layers_are_tolerated_by_name():
    arrays = named(shapes.pfld())
    assert same(network_of(in_file(arrays | {"bn8.weight": np.ones(128), "418": np.array([1])})).tensors, arrays)


@pytest.mark.parametrize("arrays", [{}, {"a.weight": np.ones(3)}, {"e2h_transform.weight": np.ones((10**4, 9, 1, 1))}])
def test_other_weights_are_refused(arrays):
    with pytest.raises(ModelFormatError):
        network_of(in_file(arrays))


def folded(of: shapes.Shapes, number: str) -> dict[str, np.ndarray]:
    """Convolutions with their norms folded in, under numbers, in the order of the state dict."""
    arrays, count = {}, iter(range(1, 999, 2))
    for name, shape in of.items():
        if len(shape) == 4:
            k = next(count)
            arrays[number.format("W", k)] = random_networks.values(name, shape)
            arrays[number.format("BN_B", next(count))] = random_networks.values(f"{name}.bias", shape[:1])
    return arrays


def test_numbered_weights_of_retinaface_get_their_names_back():
    of = shapes.retinaface("mobile0.25")
    arrays = folded(of, "ConvBnFusion_{}_{}_0") | {"406": np.ones(4, np.float32), "485": np.ones(3, np.int64)}
    shuffled = dict(sorted(arrays.items(), key=lambda item: item[0][::-1]))
    network = network_of(in_file(shuffled, "w.onnx"))
    found = network.tensors.by_name()
    for name, shape in of.items():
        if len(shape) == 4:
            assert np.array_equal(found[name], random_networks.values(name, shape))
    norm = {part: found[f"fpn.merge1.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
    # It does nothing but add the bias.
    factor = norm["weight"] / np.sqrt(norm["running_var"].astype(np.float64) + 1e-5)
    assert np.abs(factor - 1).max() < 1e-7
    assert not norm["running_mean"].any()
    assert np.array_equal(norm["bias"], random_networks.values("fpn.merge1.0.weight.bias", (64,)))


def test_pytorchs_own_numbers_follow_the_order_of_use():
    arrays = folded(shapes.retinaface("mobile0.25"), "onnx::Conv_{1}")
    names = [name for name in arrays if arrays[name].shape == (64, 64, 3, 3)]
    found = network_of(in_file(arrays, "w.onnx")).tensors.by_name()
    assert np.array_equal(found["fpn.merge2.0.weight"], arrays[names[0]])
    assert np.array_equal(found["fpn.merge1.0.weight"], arrays[names[1]])


def test_numbered_weights_that_are_too_few_or_too_many_are_refused():
    arrays = folded(shapes.retinaface("mobile0.25"), "ConvBnFusion_{}_{}_0")
    few = dict(list(arrays.items())[:-2])
    for changed in (few, arrays | {"ConvBnFusion_W_999_1": np.ones((3, 3), np.float32)}):
        with pytest.raises(ModelFormatError):
            network_of(in_file(changed, "w.onnx"))


def openvino(constants: list[np.ndarray]) -> tuple[bytes, bytes]:
    layers, blob = [], b""
    for k, array in enumerate(constants):
        kind = {"f2": "f16", "f4": "f32", "i8": "i64"}[array.dtype.str[1:]]
        shape = ",".join(map(str, array.shape))
        data = f'<data element_type="{kind}" offset="{len(blob)}" shape="{shape}" size="{array.nbytes}"/>'
        layers.append(f'<layer id="{k}" name="c{k}" type="Const">{data}</layer><layer id="x{k}" name="o" type="Add"/>')
        blob += array.tobytes()
    return f'<?xml version="1.0"?><net><layers>{"".join(layers)}</layers></net>'.encode(), blob


def mobilefacenet_constants() -> list[np.ndarray]:
    """float16 weights with norms folded in, as an export has them."""
    constants: list[np.ndarray] = []
    for name, shape in shapes.mobilefacenet().items():
        if len(shape) == 4:
            array = random_networks.values(name, shape).astype(np.float16)
            grouped = shape[1] == 1
            constants.append(array.reshape(shape[0], 1, 1, *shape[2:]) if grouped else array)
            constants.append(random_networks.values(f"{name}.bias", (1, shape[0], 1, 1)).astype(np.float16))
        elif name.endswith("prelu.weight"):
            constants.append(random_networks.values(name, shape).reshape(-1, 1, 1))
        elif len(shape) == 2:
            constants += [np.array([0, -1]), random_networks.values(name, shape).astype(np.float16)]
            constants += [np.full((1, 136, 1), 2, np.float16), np.full((1, 136, 1), 3, np.float16)]
    return constants


def test_an_openvino_model_of_mobilefacenet_is_read(tmp_path):
    xml, blob = openvino(mobilefacenet_constants())
    (tmp_path / "w.xml").write_bytes(xml)
    (tmp_path / "w.bin").write_bytes(blob)
    read = read_network(tmp_path / "w.xml")
    found = read.network.tensors.by_name()
    name, shape = "conv_4.model.3.conv_dw.conv.weight", (256, 1, 3, 3)
    assert np.array_equal(found[name], random_networks.values(name, shape).astype(np.float16).astype(np.float32))
    assert found["output_layer.bn.weight"].tolist() == [2] * 136
    assert found["output_layer.bn.bias"].tolist() == [3] * 136
    constants = mobilefacenet_constants()
    for changed in (constants[:-1], [*constants, np.ones(1, np.float16)], [constants[0][:, :2], *constants[1:]]):
        with pytest.raises(ModelFormatError):
            network_of(parse_openvino(*openvino(changed), "w.xml"))


def test_without_its_weights_an_openvino_model_is_an_error_of_ours(tmp_path):
    (tmp_path / "w.xml").write_bytes(openvino([np.ones(2, np.float16)])[0])
    with pytest.raises(ModelFormatError, match=r"because .*w\.xml names it"):
        read_openvino(tmp_path / "w.xml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'offset="0"', b'offset="3"'), (b'offset="0"', b'offset="-1"'), (b'offset="0"', b'offset="1e3"'),
        (b'shape="2,2"', b'shape="99999999999,99999999"'), (b'shape="2,2"', b'shape="0,2"'),
        (b'shape="2,2"', b'shape="1,1,1,1,1,1,1,1,1"'), (b"f16", b"f8"), (b"f16", b""), (b"</net>", b""),
        (b"<net>", b'<!DOCTYPE a [<!ENTITY b "x">]><net>'), (b"Const", b"Other"), (b"<data", b"<date"),
        (b'<?xml version="1.0"?>', b'<?xml version="1.0" encoding="nothing"?>'),
    ],
)  # fmt: skip
def test_a_damaged_openvino_model_is_refused(old, new):
    xml, blob = openvino([np.ones((2, 2), np.float16)])
    assert old in xml
    with pytest.raises(ModelFormatError):
        parse_openvino(xml.replace(old, new), blob, "w.xml")


BUNDLE = Bundle.embedded(networks=False)


def with_networks(network=None) -> Bundle:
    points = LandmarkNetwork(network or random_networks.pfld(), BUNDLE.face.main.pdm)
    return BUNDLE.with_serving("locator", "retinaface", random_networks.retinaface()).with_serving(
        "landmarker", "points", points
    )


@pytest.mark.parametrize(
    "network",
    [random_networks.pfld(), random_networks.star(98, 9), random_networks.face_api(tiny=True)],
    ids=["pfld", "star", "face-api"],
)
def test_a_bundle_with_networks_is_stored_and_read_back(network, tmp_path):
    bundle = with_networks(network)
    archive.save(bundle, tmp_path / "b.zip")
    again = Bundle.from_archive(tmp_path / "b.zip")
    assert again.content_hash == bundle.content_hash != BUNDLE.content_hash
    assert again.serves["locator"] == "retinaface"
    assert again.models["mtcnn"] is not None
    point = again.serving("landmarker")
    assert type(point.network) is type(network)
    assert same(point.network.tensors, network.tensors.by_name())
    assert point.brows == "middle"


def changed(network, **values):
    return type(network)(random_networks.with_arrays(network.tensors, **values))


@pytest.mark.parametrize(
    "network",
    [
        PFLD(random_networks.mobilefacenet().tensors),
        PFLD(Tensors(("a", "a"), (np.zeros(1, np.float32),) * 2)),
        PFLD(Tensors((), ())),
        changed(random_networks.pfld(), fc__bias=np.zeros(3)),
        changed(random_networks.pfld(), bn1__running_var=np.full(64, -1)),
        random_networks.star(29, 7),  # no 68 points are made of 29
        STAR(random_networks.pfld().tensors),
        FaceApi(random_networks.pfld().tensors),
        changed(random_networks.face_api(), fc__bias=np.zeros(3)),
        STAR(Tensors(("a", "a"), (np.zeros(1, np.float32),) * 2)),
    ],
)
def test_networks_that_nobody_could_use_are_refused(network, tmp_path):
    with pytest.raises(MismatchError, match="points"):
        check_bundle(with_networks(network))
    with pytest.raises(ContractError):
        archive.save(with_networks(network), tmp_path / "b.zip")


def test_a_detector_or_a_shape_that_does_not_fit_is_refused():
    other = BUNDLE.with_serving("locator", "other", RetinaFace("resnet50", random_networks.retinaface().tensors))
    with pytest.raises(MismatchError, match="other"):
        check_bundle(other)
    points = with_networks().serving("landmarker")
    eyes = dataclasses.replace(points, shape=BUNDLE.face.parts[0].model.pdm)
    with pytest.raises(MismatchError, match="68 points"):
        check_bundle(BUNDLE.with_serving("landmarker", "points", eyes))
