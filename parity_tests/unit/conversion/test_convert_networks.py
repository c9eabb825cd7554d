"""Exports of bundles whose faces or landmarks a network finds: what is written, and that it is the reference."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from auparity import __version__
from auparity.conversion import catalogue
from auparity.conversion.catalogue import About, items
from auparity.conversion.export import export, inspect
from auparity.conversion.manifest import load
from auparity.conversion.onnx.precision import FLOAT, HALF, tensor_types
from auparity.conversion.tensorrt import export as to_tensorrt
from auparity.conversion.tensorrt import graphs as tensorrt_graphs
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.types import LandmarkNetwork, NetworkStart
from auparity.parity_tests.suite import random_networks
from auparity.reference.networks.parts import parts_of

EMBEDDED = Bundle.embedded(networks=False)
WITH_FACES = EMBEDDED.with_serving("locator", "retinaface", random_networks.retinaface())
NETWORKS = {
    "pfld": random_networks.pfld(),
    "mobilefacenet": random_networks.mobilefacenet(),
    "face-api": random_networks.face_api(),
    "star": random_networks.star(points=98, edges=9, stacks=2, width=16),
}
ONLY = ("face_network/*", "point_network/*")


def with_points(name: str, bundle: Bundle = WITH_FACES) -> Bundle:
    points = LandmarkNetwork(NETWORKS[name], EMBEDDED.face.main.pdm)
    return bundle.with_serving("landmarker", name, points)


def run(bundle, target, folder, **named):
    return export(bundle, target, folder, version=__version__, only=ONLY, verify=True, **named)


def names(bundle, **named):
    return [item.name for item in items(bundle, **named)]


def test_networks_stand_in_the_place_of_what_they_replace():
    rest = {"action_units/video", "action_units/image", "analysis/fhog", "analysis/image"}
    assert set(names(with_points("pfld"))) == {"face_network/retinaface", "point_network/pfld", *rest}
    both = set(names(EMBEDDED))
    found = set(names(WITH_FACES))
    assert found - both == {"face_network/retinaface"}
    assert {name.split("/")[0] for name in both - found} == {"detection"}
    assert names(EMBEDDED) == names(EMBEDDED, fixed_sizes=True), "only networks of any size have several"
    fixed = [name for name in names(with_points("star"), fixed_sizes=True) if "network" in name]
    sizes = ["retinaface_360x480", "retinaface_480x640", "retinaface_720x1280"]
    assert fixed == [*(f"face_network/{size}" for size in sizes), "point_network/star"]


def test_where_a_network_is_only_a_start_both_are_exported():
    local = set(names(EMBEDDED))
    started = EMBEDDED.with_serving("landmarker", "clm from PFLD", NetworkStart(EMBEDDED.face, NETWORKS["pfld"]))
    assert set(names(started)) == local | {"point_network/pfld"}
    usual = set(names(Bundle.embedded()))
    assert usual - local == {"face_network/retinaface", "point_network/pfld"}
    assert {name.split("/")[0] for name in local - usual} == {"detection"}


def test_the_contract_of_face_api_has_its_colours():
    contracts = {
        name: next(item.contract for item in items(with_points(name)) if item.stage == "point_network")
        for name in ("pfld", "face-api")
    }
    assert "R,G,B from 0 to 1," in contracts["pfld"]
    assert "R,G,B less (122.782, 117.001, 104.298), divided by 255," in contracts["face-api"]


def test_a_name_that_no_file_can_have_is_changed():
    bundle = EMBEDDED.with_serving("locator", "../my net.v2", random_networks.retinaface())
    assert "face_network/___my_net_v2" in names(bundle)


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_files_are_the_reference(tmp_path, name):
    bundle = with_points(name)
    done = run(bundle, "onnx", tmp_path, jobs=2 if name == "pfld" else 1)
    assert done.passed, done.wrong
    assert set(done.written) == {"face_network/retinaface.onnx", f"point_network/{name}.onnx"}
    said = inspect(tmp_path / "point_network" / f"{name}.onnx")
    side = parts_of(NETWORKS[name]).side
    assert said["inputs"] == {"maps": ["N", 3, side, side]}
    assert said["metadata"]["stage"] == "point_network"
    assert said["metadata"]["bundle"] == bundle.content_hash
    assert inspect(tmp_path / "face_network" / "retinaface.onnx")["inputs"] == {"maps": ["N", 3, "H", "W"]}
    for entry in load(tmp_path).entries.values():
        assert entry.error <= entry.tolerance <= 1e-4


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_core_ml_packages_are_the_reference(tmp_path, monkeypatch, name, precision):
    pytest.importorskip("coremltools")
    monkeypatch.setattr(catalogue, "IMAGE_SIZES", ((48, 64), (51, 69)))  # the true ones take seconds
    faces = EMBEDDED if name != "pfld" else WITH_FACES
    done = run(with_points(name, faces), "coreml", tmp_path, precision=precision)
    assert done.passed, done.wrong
    expected = [f"point_network/{name}.mlpackage"]
    expected += [f"face_network/retinaface_{size}.mlpackage" for size in ("48x64", "51x69")] if name == "pfld" else []
    assert sorted(done.written) == sorted(expected)
    for path, entry in load(tmp_path).entries.items():
        said = inspect(tmp_path / path)
        assert not said["unknown operators"]
        assert "batch_norm" not in said["operators"], "coremltools would add 1e-5 to its variance"
        assert name != "star" or "concat" not in said["operators"]
        assert (entry.error > 1e-4) == (precision == "float16"), path
    sides = {said for path in expected for said in inspect(tmp_path / path)["inputs"].values()}
    side = parts_of(NETWORKS[name]).side
    assert f"float32 (1, 3, {side}, {side})" in sides


def test_retinaface_gives_nine_maps_and_joins_only_what_is_of_one_size(tmp_path, monkeypatch):
    pytest.importorskip("coremltools")
    monkeypatch.setattr(catalogue, "IMAGE_SIZES", ((51, 69),))
    run(WITH_FACES, "coreml", tmp_path)
    said = inspect(tmp_path / "face_network" / "retinaface_51x69.mlpackage")
    heads = {"boxes": 8, "classes": 4, "points": 20}
    sizes = {8: (7, 9), 16: (4, 5), 32: (2, 3)}
    assert list(said["outputs"].items()) == [
        (f"{head}_{stride}", f"float32 (1, {count}, {h}, {w})")
        for stride, (h, w) in sizes.items()
        for head, count in heads.items()
    ]
    assert said["operators"]["concat"] == 3


def test_programs_refuse_sizes_that_are_not_theirs():
    pytest.importorskip("coremltools")
    from auparity.conversion.coreml.network_programs import network_program

    with pytest.raises(ContractError, match="height and width of the images"):
        network_program(WITH_FACES.serving("locator"), "faces", {})
    with pytest.raises(ContractError, match=r"\(112, 112\), of the network's crops"):
        network_program(NETWORKS["pfld"], "points", {}, size=(96, 96))


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_for_tensorrt_are_the_reference(name, precision):
    import onnxruntime

    options = onnxruntime.SessionOptions()  # as the graph says: casts that round are not taken out
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    bundle = with_points(name, WITH_FACES if name == "pfld" else EMBEDDED)
    about = About(bundle.content_hash, "", __version__, precision)
    for item in items(bundle):
        if item.stage not in ("face_network", "point_network"):
            continue
        model = tensorrt_graphs.graph(item, about)
        (maps,) = item.inputs(np.random.default_rng(0))
        smallest, _, largest = tensorrt_graphs.profile_of(item, model)["maps"]
        assert all(low <= size <= high for low, size, high in zip(smallest, maps.shape, largest, strict=True))
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        error = item.error(tmp := item.name, [maps], session.run(None, {"maps": maps}))
        assert error <= to_tensorrt.tolerance_of(item, tensorrt_graphs.layers_of(item, about)), tmp
        assert (error > 1e-4) == (precision == "float16"), tmp
        kinds = tensor_types(model)
        ends = {kinds[value.name] for value in (*model.graph.input, *model.graph.output)}
        assert ends == {FLOAT}
        norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
        assert {kinds[node.output[0]] for node in norms} <= {FLOAT}
        convs = {kinds[node.output[0]] for node in model.graph.node if node.op_type == "Conv"}
        assert convs == {HALF if precision == "float16" else FLOAT}


def test_a_point_of_a_map_is_judged_in_parts_of_the_crop():
    (item,) = [item for item in items(with_points("star")) if item.stage == "point_network"]
    arrays = item.inputs(np.random.default_rng(0))
    (maps,) = item.reference(*arrays)
    lower = np.roll(maps, 2, axis=2)  # two of 63 places down, but for what comes in at the top
    assert item.error("a file", arrays, [maps]) == 0
    assert item.error("a file", arrays, [maps * 3]) < 1e-6, "brighter maps have the same centres"
    assert item.error("a file", arrays, [lower]) > 0.005
    with pytest.raises(catalogue.AuparityError, match="returns"):
        item.error("a file", arrays, [maps[:, 1:]])
