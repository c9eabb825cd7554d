"""TensorRT engines: what is asked of TensorRT, what lies beside an engine, and which engines are refused.

No TensorRT and no GPU take part: fake_tensorrt.py has the names of its API and runs the graphs on the processor.
"""

from __future__ import annotations

import hashlib
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from auparity import __version__, cli
from auparity.conversion.catalogue import About, items
from auparity.conversion.export import TARGETS, export, inspect
from auparity.conversion.manifest import load
from auparity.conversion.tensorrt import engine as tensorrt_engine
from auparity.conversion.tensorrt import export as to_tensorrt
from auparity.conversion.tensorrt import gpu as gpus
from auparity.conversion.tensorrt import graphs as tensorrt_graphs
from auparity.errors import AuparityError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.parity_tests.unit.helpers.fake_tensorrt import BuilderFlag, HostGpu, Machine, MemoryPoolType

BUNDLE = Bundle.embedded(networks=False)
ITEMS = {item.name: item for item in items(BUNDLE)}
ABOUT = About(BUNDLE.content_hash, "", __version__, "float32")
#: One of every kind.
SOME = (
    "detection/pnet", "detection/rnet", "validation/view_0", "action_units/video", "patch_experts/left_eye_28/*/view_0",
    "patch_experts/main/scale_0.25/view_0", "patch_experts/main/scale_0.25/landmark_30", "analysis/*",
)  # fmt: skip
#: `auparity convert` of the models with the three networks of MTCNN.
WITH_MTCNN = ("--models", "embedded", "--detector", "mtcnn")


@pytest.fixture(autouse=True)
def _no_workshop_is_left():
    tensorrt_engine.workshop.cache_clear()
    gpus.gpu.cache_clear()
    yield
    tensorrt_engine.workshop.cache_clear()
    gpus.gpu.cache_clear()


@pytest.fixture
def settle(monkeypatch):
    """Work on a machine from here on."""

    def on(machine):
        tensorrt_engine.workshop.cache_clear()
        monkeypatch.setitem(sys.modules, "tensorrt", machine.module())
        monkeypatch.setattr(tensorrt_engine, "gpu", lambda: machine.gpu)
        return machine

    return on


@pytest.fixture
def machine(settle):
    return settle(Machine())


def run(folder, **named):
    return export(BUNDLE, "tensorrt", folder, version=__version__, **named)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_every_kind_of_engine_is_the_reference(machine, tmp_path, precision):
    done = run(tmp_path, only=SOME, verify=True, precision=precision)
    assert done.passed, done.wrong
    assert len(done.written) == 10
    for name, entry in load(tmp_path).entries.items():
        header = to_tensorrt.read_header(tmp_path / name)
        assert header.precision == precision
        assert header.layers == ("float32" if name.startswith("analysis") else precision)
        assert entry.error <= entry.tolerance
        assert (entry.tolerance == to_tensorrt.FLOAT16_TOLERANCE) == (header.layers == "float16")
    assert not list(tmp_path.rglob("*.part"))
    assert np.dtype(np.float64) not in machine.gpu.uploads


def test_engines_are_float32_without_tf32_and_know_their_ranges(machine, tmp_path):
    run(tmp_path, only=["detection/?net"])
    assert machine.networks == [1 << 1] * 3, "strongly typed"
    for config, name in zip(machine.configs, ("pnet", "rnet", "onet"), strict=True):
        assert BuilderFlag.TF32 not in config.flags
        assert config.pools == {MemoryPoolType.WORKSPACE: tensorrt_engine.WORKSPACE_BYTES}
        (profile,) = config.profiles
        item = ITEMS[f"detection/{name}"]
        assert profile.shapes == tensorrt_graphs.profile_of(item, tensorrt_graphs.graph(item, ABOUT))


def test_what_was_timed_once_is_known_for_the_next(machine, tmp_path):
    run(tmp_path, only=["detection/?net"])
    assert [config.cache.known for config in machine.configs] == [b"", b"timings", b"timings"]


def test_an_engine_says_what_it_is(machine, tmp_path):
    run(tmp_path, only=["analysis/image"])
    path = tmp_path / "analysis" / "image.engine"
    said = json.loads((tmp_path / "analysis" / "image.engine.json").read_text())
    assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), "as sha256sum says"
    assert (said["bundle"], said["stage"]) == (BUNDLE.content_hash, "analysis")
    assert (said["tensorrt"], said["gpu"], said["compute_capability"]) == ("10.13.3.9", "NVIDIA Test", "9.0")
    assert list(said["inputs"]) == ["aligned", "geometry"]
    assert said["inputs"]["aligned"] == [[1, 112, 112, 3], [16, 112, 112, 3], [128, 112, 112, 3]]
    found = inspect(path)
    assert found["format"] == "TensorRT engine"
    assert found["tensors in"] == {"aligned": "uint8 (-1, 112, 112, 3)", "geometry": "float32 (-1, 238)"}
    assert found["tensors out"] == {"features": "float32 (-1, 4464)", "values": "float32 (-1, 35)"}
    assert "as exported from bundle embedded" in found["manifest"]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"refuse_graph": "no importer for Frobnicate"}, "does not take the graph: no importer for Frobnicate"),
        ({"refuse_build": "no tactic left"}, "builds no engine: no tactic left$"),
        ({"refuse_start": True}, "does not start .*: CUDA initialization failure with error: 35"),
    ],
)
def test_why_tensorrt_refuses_is_said_and_nothing_is_left(settle, tmp_path, trouble, said):
    settle(Machine(**trouble))
    with pytest.raises(AuparityError, match=f"detection/rnet: TensorRT 10.13.3.9 {said}"):
        run(tmp_path, only=["detection/rnet"])
    assert not list(tmp_path.rglob("*.*"))


def test_engines_of_elsewhere_are_refused_and_built_anew(settle, tmp_path):
    only, path = ["detection/rnet"], tmp_path / "detection" / "rnet.engine"
    settle(Machine())
    assert run(tmp_path, only=only).written == ["detection/rnet.engine"]
    assert run(tmp_path, only=only, verify=True).kept == ["detection/rnet.engine"]
    elsewhere = (
        (Machine(version="11.4.0.106"), "was built with TensorRT 10.13.3.9, here is 11.4.0.106"),
        (Machine(gpu=HostGpu("NVIDIA Other", "8.9")), r"was built on NVIDIA Test .*9.0\), here is NVIDIA Other .*8.9"),
    )
    for machine, said in elsewhere:
        settle(machine)
        with pytest.raises(AuparityError, match=f"{said}.*export it again on this machine"):
            to_tensorrt.verify(ITEMS["detection/rnet"], path, ABOUT)
        assert "tensors in" not in inspect(path)
        assert "here is" in inspect(path)["not loaded"]
    assert run(tmp_path, only=only, verify=True).written == ["detection/rnet.engine"]
    assert to_tensorrt.read_header(path).gpu == "NVIDIA Other"


def test_damaged_and_foreign_engines_are_refused(machine, tmp_path):
    only, path, item = ["detection/rnet"], tmp_path / "detection" / "rnet.engine", ITEMS["detection/rnet"]
    beside = to_tensorrt.header_of(path)
    run(tmp_path, only=only)
    other = About("0" * 64, "", __version__, "float32")
    with pytest.raises(AuparityError, match=f"is of bundle {BUNDLE.short_hash}, not of 000000000000"):
        to_tensorrt.verify(item, path, other)
    whole, said = path.read_bytes(), beside.read_text()
    for damage, words in (
        (lambda: path.write_bytes(whole[:-1]), "is damaged, its SHA-256"),
        (lambda: path.unlink(), "does not exist"),
        (lambda: beside.write_text(said[:-20]), "the header of an engine"),
        (lambda: beside.write_text("[]"), "an engine: an object, found a list"),
        (lambda: beside.write_text(said.replace('"stage"', '"age"')), 'the field "stage"'),
        (lambda: beside.write_text(said.replace('"version_of_format": 1', '"version_of_format": 2')), "not of format"),
        (lambda: beside.unlink(), "json: is missing, and only it describes"),
    ):
        damage()
        with pytest.raises(AuparityError, match=f"{words}.*[Ee]xport it again"):
            to_tensorrt.verify(item, path, ABOUT)
        with pytest.raises(AuparityError):
            inspect(path)
        done = run(tmp_path, only=only, verify=True)
        assert done.passed
        assert done.written == ["detection/rnet.engine"], "an export repairs it"


def test_a_header_that_was_edited_is_noticed(machine, tmp_path):
    run(tmp_path, only=["detection/rnet"])
    path = tmp_path / "detection" / "rnet.engine"
    beside = to_tensorrt.header_of(path)
    beside.write_text(beside.read_text().replace("float32", "float16"))
    assert "CHANGED" in inspect(path)["manifest"]
    assert run(tmp_path, only=["detection/rnet"]).written == ["detection/rnet.engine"]


def test_an_engine_that_tensorrt_does_not_load_is_said(machine):
    with pytest.raises(AuparityError, match="cannot load it, delete it and export again: magic tag does not match"):
        tensorrt_engine.workshop().load(b"nothing", "x.engine")


def test_a_shape_outside_of_its_range_is_an_error(machine):
    shop, item = tensorrt_engine.workshop(), ITEMS["detection/rnet"]
    model = tensorrt_graphs.graph(item, ABOUT)
    built = shop.build(model.SerializeToString(), tensorrt_graphs.profile_of(item, model), item.name)
    engine = shop.load(built, "rnet")
    assert engine.run({"maps": np.zeros((128, 3, 24, 24), np.float32)})["outputs"].shape == (128, 6)
    with pytest.raises(AuparityError, match=r"rnet: TensorRT .* does not take \(129, 3, 24, 24\) for maps"):
        engine.run({"maps": np.zeros((129, 3, 24, 24), np.float32)})


def test_what_is_missing_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(VariantUnavailable, match=r"auparity\[tensorrt\]"):
        to_tensorrt.write(ITEMS["detection/rnet"], tmp_path / "x.engine", ABOUT)
    arguments = ["convert", "--to", "tensorrt", *WITH_MTCNN, "-o", str(tmp_path), "--only", "detection/rnet"]
    assert cli.main(arguments) == 1
    assert "tensorrt is not installed" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="8.6.1"))
    with pytest.raises(VariantUnavailable, match=r"8\.6\.1 is too old: pip install 'tensorrt>=10'"):
        tensorrt_engine.workshop()


def test_the_command_builds_one_engine_at_a_time(machine, tmp_path, capsys):
    assert TARGETS["tensorrt"].jobs == 1
    arguments = ["convert", "--to", "tensorrt", *WITH_MTCNN, "-o", str(tmp_path), "--verify"]
    assert cli.main([*arguments, "--only", "detection/?net"]) == 0
    assert "as tensorrt (float32): 3 files written, 0 were there, all verified" in capsys.readouterr().out
    assert len(machine.configs) == 3, "in this process"


class TestGpu:
    """Memory by CuPy or PyTorch, each played by what it needs to have."""

    @pytest.fixture
    def cupy(self):
        device = SimpleNamespace(id=0, compute_capability="120", synchronize=lambda: None)
        stream = SimpleNamespace(ptr=11, synchronize=lambda: None)
        runtime = SimpleNamespace(getDeviceProperties=lambda index: {"name": b"NVIDIA Played"})
        cuda = SimpleNamespace(
            is_available=lambda: True, Device=lambda: device, runtime=runtime, Stream=lambda non_blocking: stream
        )
        return SimpleNamespace(cuda=cuda, asarray=np.asarray, empty=np.empty, asnumpy=np.asarray)

    def test_cupy_comes_first(self, monkeypatch, cupy):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        gpu = gpus.gpu()
        assert (gpu.name, gpu.capability, gpu.stream) == ("NVIDIA Played", "12.0", 11)
        np.testing.assert_array_equal(gpu.download(gpu.upload(np.arange(6).reshape(2, 3).T)), [[0, 3], [1, 4], [2, 5]])

    def test_torch_where_cupy_sees_no_gpu(self, monkeypatch, cupy):
        torch = pytest.importorskip("torch")
        cupy.cuda.is_available = lambda: False
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Played")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 9))
        monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=5, synchronize=lambda: None))
        gpu = gpus.gpu()
        assert (gpu.name, gpu.capability, gpu.stream) == ("NVIDIA Played", "8.9", 5)

    def test_without_both_their_extras_are_named(self, monkeypatch, cupy):
        cupy.cuda.is_available = lambda: False
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "torch", None)
        said = r"CuPy sees no GPU .*; torch is not installed.*auparity\[cuda12\].*auparity\[torch\]"
        with pytest.raises(VariantUnavailable, match=said):
            gpus.gpu()
