"""What a machine is advised: made-up machines of every kind, with nothing installed and with everything."""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from auparity.accelerated.advice import advise
from auparity.accelerated.hardware import DISPLAY_ADAPTERS, Hardware, display_adapters
from auparity.accelerated.registry import registry

BARE = {
    "numba": "needs numba, not installed", "coreml": "needs coremltools, not installed",
    "cupy": "needs cupy, not installed", "onnx-directml": "needs onnx, onnxruntime, not installed",
}  # fmt: skip
EVERYTHING = dict.fromkeys(BARE)


def machine(id="x86_64-amd-avx512", system="Linux 6.8", gpus=()):
    return Hardware(
        id=id, system=system, cpu="a processor", cores=8, vectors=id.rsplit("-", 1)[1], memory_gib=32.0,
        blas="OpenBLAS", threads={}, gpus=tuple(gpus), python="CPython 3.12.0", packages={},
    )  # fmt: skip


M2 = machine("arm64-apple-bf16", "Darwin 23.1", ["Apple M2 (Metal)"])
INTEL, AMD = machine("x86_64-intel-avx512"), machine()
H200 = machine(gpus=["NVIDIA H200, 580.65.06"])
OLD = machine(gpus=["Tesla T4, 535.104.05"])
OLDEST = machine(gpus=["Tesla V100-SXM2-16GB, 450.80.02"])
WINDOWS = machine("x86_64-amd-avx2", "Windows 11", ["AMD Radeon RX 7900 XT"])
WINDOWS_NVIDIA = machine("x86_64-intel-avx2", "Windows 11", ["NVIDIA GeForce RTX 4090, 581.15"])


def test_an_apple_processor_is_served_by_core_ml():
    said = advise(M2, BARE)
    assert said.technology == "coreml"
    assert said.install == "pip install 'auparity[fast,coreml]'"
    assert advise(M2, BARE | {"numba": None}).install == "pip install 'auparity[coreml]'"
    assert "detection=coreml" in " ".join(said.also), "how to measure it"


def test_what_installing_does_not_cure_is_said():
    said = advise(M2, EVERYTHING | {"coreml": "the packages need macOS 13 or newer, this is 12.6"})
    assert said.install is None
    assert "macOS 13 or newer, this is 12.6" in said.also[0]


@pytest.mark.parametrize(("gpu", "extra"), [(H200, "cuda13"), (OLD, "cuda12"), (WINDOWS_NVIDIA, "cuda13")])
def test_an_nvidia_gpu_is_served_by_the_cuda_of_its_driver(gpu, extra):
    said = advise(gpu, BARE)
    assert said.technology == "cuda"
    assert said.install == f"pip install 'auparity[fast,{extra}]'"
    assert gpu.gpus[0] in said.because
    assert f"CUDA {extra[-2:]}" in said.because


def test_the_oldest_drivers_are_to_be_updated():
    for driver, works in ((524, False), (525, True), (579, True), (580, True)):
        said = advise(machine(gpus=[f"NVIDIA L4, {driver}.10"]), EVERYTHING)
        assert (said.technology == "cuda") == works
    said = advise(OLDEST, BARE)
    assert said.technology == "numba"
    assert "update it to 525 or newer" in said.also[0]
    assert said.install == "pip install 'auparity[fast]'"


def test_a_driver_that_cannot_be_asked_leaves_the_choice():
    said = advise(dataclasses.replace(WINDOWS, gpus=("NVIDIA GeForce RTX 3060",)), BARE)
    assert said.technology == "cuda"
    assert "cuda12 needs 525 or newer, cuda13 580" in said.also[0]


def test_directml_is_named_on_windows_and_only_there():
    said = advise(WINDOWS, BARE)
    assert said.technology == "directml"
    assert "AMD Radeon RX 7900 XT" in said.because
    assert "onnxruntime-directml" in said.install
    assert advise(WINDOWS, EVERYTHING).install is None
    for each in (M2, INTEL, AMD, H200, OLD, OLDEST, WINDOWS_NVIDIA):
        text = " ".join(advise(each, BARE).lines())
        assert ("DirectML" in text) == (each is WINDOWS_NVIDIA)


def test_processors_are_served_by_numba_and_openvino_is_offered_to_intels():
    for each in (INTEL, AMD):
        assert advise(each, BARE).technology == "numba"
        assert advise(each, BARE).install == "pip install 'auparity[fast]'"
        assert advise(each, EVERYTHING).install is None
    assert "auparity dev runtimes" in " ".join(advise(INTEL, EVERYTHING).also)
    assert not advise(AMD, EVERYTHING).also


def test_advice_names_variants_and_extras_that_there_are():
    known = {variant.name: variant.extra for variant in registry()}
    for name, extra in (("numba", "numba"), ("coreml", "coreml"), ("onnx-cuda", "onnx"), ("onnx-directml", "onnx")):
        assert known[name] == extra


def test_advice_is_json():
    for each in (M2, INTEL, H200, OLDEST, WINDOWS):
        json.dumps(advise(each, BARE).as_dict())


class TestDisplayAdapters:
    """A registry of Windows, as `winreg` shows it."""

    @staticmethod
    def winreg(keys):
        def missing(*names):
            raise FileNotFoundError(names)

        @contextmanager
        def opened(parent, name):
            if name == "Properties":
                raise PermissionError(name)
            yield keys if parent == "HKLM" and name == DISPLAY_ADAPTERS else parent[name]

        return SimpleNamespace(
            HKEY_LOCAL_MACHINE="HKLM", OpenKey=opened, QueryInfoKey=lambda key: (len(key), 0, 0),
            EnumKey=lambda key, index: list(key)[index],
            QueryValueEx=lambda key, name: (key[name], 1) if name in key else missing(name),
        )  # fmt: skip

    def test_names_once_and_without_substitutes(self):
        keys = {
            "0000": {"DriverDesc": "AMD Radeon(TM) Graphics"}, "0001": {"DriverDesc": "AMD Radeon(TM) Graphics"},
            "0002": {"DriverDesc": "Microsoft Basic Display Adapter"}, "0003": {}, "Properties": {},
        }  # fmt: skip
        assert display_adapters(self.winreg(keys)) == ("AMD Radeon(TM) Graphics",)

    def test_none(self):
        def closed(*names):
            raise FileNotFoundError(names)

        assert display_adapters(SimpleNamespace(HKEY_LOCAL_MACHINE="HKLM", OpenKey=closed)) == ()
