"""When the GPU is taken: by name, or chosen once the parity suite has passed on it; and clips that share it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import pytest

from auparity import Pipeline, cli
from auparity.accelerated import pipeline as accelerated
from auparity.accelerated.cupy import device as device_module
from auparity.accelerated.cupy import proof
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.accelerated.pipeline import open_pipeline
from auparity.errors import AuparityError, DeviceError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.suite import run as suite
from auparity.parity_tests.suite.report import Report
from auparity.reference.options import PipelineOptions
from auparity.reports.results.records import MeasuredError

BUNDLE = Bundle.embedded(networks=False)


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU whose kernels run on the host, and an empty folder for caches."""
    device = host_device(both_orders=False)
    runtime = SimpleNamespace(
        driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000, getDeviceCount=lambda: 1
    )  # fmt: skip
    device.xp = _WithCuda(device.xp, runtime)
    device.capability = "90"
    monkeypatch.setenv("AUPARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(accelerated, "find_spec", lambda name: object())
    monkeypatch.setattr(proof, "unavailable_reason", lambda: None)
    for module in (proof, device_module):
        monkeypatch.setattr(module, "shared_device", lambda index=0: device)
    monkeypatch.setattr("auparity.accelerated.cupy.gpus.shared_device", lambda index=0: device)
    return device


class _WithCuda:
    """NumPy with what is asked of CuPy's runtime."""

    __version__ = "14.0"

    def __init__(self, xp, runtime) -> None:
        self._xp, self.cuda = xp, SimpleNamespace(runtime=runtime)

    def __getattr__(self, name):
        return getattr(self._xp, name)


def test_a_gpu_is_chosen_once_it_has_passed(gpu, tmp_path):
    assert not isinstance(Pipeline.best(BUNDLE).backend, DevicePipeline)
    assert "has not passed the parity suite here yet: auparity parity --technology cupy" in proof.not_chosen_reason()
    path = proof.record(gpu)
    assert path.is_relative_to(tmp_path)
    assert json.loads(path.read_text())["gpu"] == gpu.name
    assert proof.not_chosen_reason() is None
    assert isinstance(Pipeline.best(BUNDLE).backend, DevicePipeline)
    assert isinstance(open_pipeline(BUNDLE).backend, DevicePipeline)
    assert not isinstance(Pipeline.best(BUNDLE, PipelineOptions(device="cpu")).backend, DevicePipeline)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 100])
def test_a_damaged_proof_is_none(gpu, damage):
    path = proof.record(gpu)
    path.write_bytes(damage)
    assert "has not passed" in proof.not_chosen_reason()
    proof.record(gpu)
    assert proof.not_chosen_reason() is None


def test_without_a_cache_a_proof_cannot_be_kept(gpu, monkeypatch):
    monkeypatch.setattr(proof, "cache_folder", lambda kind: None)
    assert "has not passed" in proof.not_chosen_reason()
    with pytest.raises(AuparityError, match="AUPARITY_CACHE"):
        proof.record(gpu)


def test_another_driver_has_to_pass_anew(gpu):
    proof.record(gpu)
    gpu.xp.cuda.runtime.driverGetVersion = lambda: 13010
    assert "has not passed" in proof.not_chosen_reason()


def test_a_gpu_is_taken_by_name_without_that(gpu):
    assert isinstance(Pipeline.best(BUNDLE, PipelineOptions(device="cuda")).backend, DevicePipeline)
    assert isinstance(open_pipeline(BUNDLE, "gpu").backend, DevicePipeline)
    assert not isinstance(open_pipeline(BUNDLE, "numba,fhog=reference").backend, DevicePipeline)


def test_without_a_gpu_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(accelerated, "find_spec", lambda name: None)
    assert "extras cuda12 and cuda13" in accelerated.gpu_not_chosen()
    assert not isinstance(Pipeline.best(BUNDLE).backend, DevicePipeline)

    def none(index=0):
        raise VariantUnavailable("CuPy cannot be imported: pip install 'auparity[cuda12]'")

    monkeypatch.setattr("auparity.accelerated.cupy.gpus.shared_device", none)
    for ask in (lambda: Pipeline.best(BUNDLE, PipelineOptions(device="cuda")), lambda: open_pipeline(BUNDLE, "gpu")):
        with pytest.raises(VariantUnavailable, match="cuda12"):
            ask()


def test_kernels_are_emulated_without_the_tests_packages():
    """As in the environment of `nox -s parity-cupy`, where nothing of the extra `test` is installed."""
    host_device()  # skips where there is no compiler
    missing = "import sys; sys.modules.update(pytest=None, hypothesis=None)\n"
    asked = "from auparity.parity_tests.suite import run as suite; print(len(suite.emulated_cuda()[0]))"
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", missing + asked], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "14"


def test_only_a_whole_run_within_tolerance_is_a_proof(gpu, monkeypatch):
    monkeypatch.setattr(device_module, "CudaDevice", type(gpu))

    def report(*errors):
        found = Report("quick/")
        for way, value in errors:
            found.add(way, MeasuredError("embedded", way, "", "gpu", "x", value, 1.0))
        return found

    whole = [("one step", 0.5), ("chained", 0.5), ("several faces", 0.1), ("networks", 0.0), ("batch", 0.0)]
    assert not suite.prove(report(*whole[:3]), gpu)
    assert not suite.prove(report(*whole[:2], *whole[3:]), gpu)
    assert not suite.prove(report(*whole[:3], whole[4]), gpu)
    assert not suite.prove(report(*whole[:4], ("batch", 2.0)), gpu)
    assert proof.not_chosen_reason() is not None
    assert suite.prove(report(*whole), gpu)
    assert proof.not_chosen_reason() is None


@pytest.fixture
def folders(tmp_path):
    """Three clips of two and three frames as folders of images."""
    paths = []
    for k, count in enumerate((3, 2, 3)):
        folder = tmp_path / f"clip{k}"
        folder.mkdir()
        for number, picture in enumerate(render_clip(3_300_000 + k % 2, count, canvas=(200, 150))):
            cv2.imwrite(str(folder / f"{number:06}.png"), picture.image)
        paths.append(folder)
    return paths


def extract(folders, output, *more) -> int:
    how = ["--models", "embedded", "--quiet", "--variants", "gpu", "-o", str(output)]
    return cli.main(["extract", *map(str, folders), *how, *more])


def test_clips_that_share_a_gpu_have_the_tables_of_clips_alone(gpu, folders, tmp_path):
    assert extract(folders, tmp_path / "together", "--streams", "2") == 0
    assert extract(folders, tmp_path / "alone") == 0
    for folder in folders:
        together, alone = ((tmp_path / name / f"{folder.name}.csv").read_bytes() for name in ("together", "alone"))
        assert together == alone
    sidecar = json.loads((tmp_path / "together" / "clip0.csv.json").read_text())
    assert sidecar["variants"]["fitting"] == "cupy"


@pytest.mark.parametrize("options", [("--faces", "2"), ("--face", "track:0"), ("--face", "central")])
def test_several_faces_and_one_of_choice_come_from_the_gpu_too(gpu, folders, tmp_path, options):
    """One face is there: a choice is the widest, and the tables of those who look for more have its rows."""
    assert extract(folders[:2], tmp_path / "together", "--streams", "2", *options) == 0
    same = () if options[1] == "central" else options
    assert extract(folders[:2], tmp_path / "alone", *same) == 0
    for folder, frames in zip(folders[:2], (3, 2), strict=True):
        together, alone = ((tmp_path / name / f"{folder.name}.csv").read_text() for name in ("together", "alone"))
        assert together == alone
        header, *rows = (line.split(",") for line in together.splitlines())
        success = [row[[name.strip() for name in header].index("success")] for row in rows]
        assert [float(flag) for flag in success] == [1] * frames
    sidecar = json.loads((tmp_path / "together" / f"{folders[0].name}.csv.json").read_text())
    assert sidecar["variants"]["fitting"] == "cupy"


def test_streams_are_for_gpus_and_processes_for_processors(gpu, folders, tmp_path, capsys):
    assert extract(folders, tmp_path / "out", "--processes", "2") == 1
    assert "--streams N" in capsys.readouterr().err
    arguments = ["extract", *map(str, folders), "--models", "embedded", "--quiet", "-o", str(tmp_path / "out")]
    assert cli.main([*arguments, "--variants", "numba", "--streams", "2"]) == 1
    assert "--processes does the same" in capsys.readouterr().err


def test_a_lost_gpu_loses_no_row(gpu, folders, tmp_path, monkeypatch, capsys):
    from auparity.accelerated.cupy import batches

    real, calls = batches.to_gray, []

    def lost(device, images):
        calls.append(1)
        if len(calls) > 2:
            raise DeviceError("the GPU does not respond (cudaErrorIllegalAddress); results already written are kept")
        return real(device, images)

    monkeypatch.setattr(batches, "to_gray", lost)
    assert extract(folders[:1], tmp_path / "out") == 1
    assert "results already written are kept" in capsys.readouterr().err
    (part,) = (tmp_path / "out").glob("*.part")
    rows = part.read_text().splitlines()
    assert len([row for row in rows if row.strip() and not row.startswith("frame")]) == 2
