"""What the machine is said to have, and ``auparity doctor``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import threadpoolctl

from auparity import Pipeline, cache
from auparity.accelerated import hardware as hardware_module
from auparity.accelerated.hardware import hardware, hardware_id
from auparity.accelerated.pipeline import open_pipeline
from auparity.accelerated.registry import STAGES
from auparity.cli import main
from auparity.errors import AuparityWarning
from auparity.models.bundle import Bundle


def test_the_machine_is_described():
    machine = hardware()
    assert machine.id == hardware_id()
    assert machine.id.count("-") == 2
    assert machine.cores >= 1
    assert machine.packages["numpy"] == np.__version__
    assert machine.blas
    json.dumps(machine.as_dict())


def test_doctor_lists_every_stage_and_what_would_be_chosen(capsys):
    assert main(["doctor", "--models", "embedded"]) == 0
    said = capsys.readouterr().out
    for stage in STAGES:
        assert f"  {stage} " in said
    assert said.count("*") == len(STAGES) + 1  # and the legend
    assert "BLAS" in said
    assert "\nadvice     " in said


def test_doctor_for_programs(capsys):
    assert main(["doctor", "--models", "embedded", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["advice"]) == {"technology", "because", "install", "also"}
    assert set(said["chosen"]) == set(STAGES)
    assert {"serial", "processes", "streams"} <= set(said["engines"]["known"])
    for stage, name in said["chosen"].items():
        assert said["variants"][stage][name] is None


@pytest.fixture
def caches(monkeypatch, tmp_path):
    monkeypatch.setenv("AUPARITY_CACHE", str(tmp_path / "cache"))
    cache._root.cache_clear()
    yield tmp_path / "cache"
    cache._root.cache_clear()


def test_doctor_says_where_things_are_kept_and_why(caches, capsys):
    assert main(["doctor", "--models", "embedded"]) == 0
    assert f"\ncache      {caches} (AUPARITY_CACHE names it)" in capsys.readouterr().out
    cache._root.cache_clear()
    caches.chmod(0o777)
    assert main(["doctor", "--models", "embedded", "--json"]) == 0
    said = capsys.readouterr()
    if os.name == "posix":
        assert f"{caches} is not used: others may write to it" in json.loads(said.out)["kept"]["cache"]


def test_doctor_names_the_kernel_and_the_threads_of_blas(caches, capsys):
    assert main(["doctor", "--models", "embedded", "--json"]) == 0
    loaded = json.loads(capsys.readouterr().out)["machine"]["blas_loaded"]
    assert all("kernel" in each and "threads" in each for each in loaded)


def test_a_machine_that_says_nothing_of_itself_is_still_described(monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError("no")

    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, 20) if command[0] == "nvidia-smi" else FileNotFoundError(command[0])

    monkeypatch.setattr(threadpoolctl, "threadpool_info", list)
    monkeypatch.setattr(hardware_module.np, "show_config", lambda mode: {})
    monkeypatch.setattr(hardware_module.Path, "read_text", refuse)
    monkeypatch.setattr(hardware_module.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(hardware_module.subprocess, "run", hang)
    for cached in (hardware, hardware_module._cpu_fields, hardware_module._vectors):
        cached.cache_clear()
    try:
        machine = hardware()
        assert (machine.blas, machine.blas_loaded, machine.gpus) == ("unknown", (), ())
        assert machine.id.count("-") == 2
    finally:
        for cached in (hardware, hardware_module._cpu_fields, hardware_module._vectors):
            cached.cache_clear()


def test_doctor_goes_on_where_the_models_that_it_finds_are_damaged(caches, monkeypatch, tmp_path, capsys):
    store = tmp_path / "2.2.0" / "originals"
    Bundle.embedded(networks=False).to_openface(store)
    (store / "AU_predictors" / "main_static_svms.txt").write_bytes(b"\xff damaged")
    monkeypatch.setenv("OPENFACE_MODELS_DIR", str(tmp_path))
    assert main(["doctor"]) == 1
    assert "main_static_svms" in (said := capsys.readouterr().out)
    assert "\nmodels     the embedded models, because " in said
    assert "Traceback" not in said


DOCTOR = [sys.executable, "-m", "auparity", "doctor", "--models", "embedded"]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs a place where nobody can make a folder")
@pytest.mark.parametrize("temporary", [True, False])
def test_doctor_runs_without_home_and_without_a_place_to_write(tmp_path, temporary):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AUPARITY", "NUMBA"))}
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "XDG_DATA_HOME": "/proc/nowhere"}
    environment |= nowhere | {"TMPDIR": str(tmp_path)}
    if not temporary:
        (tmp_path / cache.own_name()).write_bytes(b"in the way")
    done = subprocess.run(DOCTOR, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "/proc/nowhere/auparity is not used: it cannot be written to" in done.stdout
    assert (f"cache      {tmp_path}" if temporary else "cache      none (nothing is kept") in done.stdout


@pytest.fixture
def plain(monkeypatch):
    """An installation without extras."""
    extras = ("numba", "onnx", "onnxruntime", "torch", "jax", "coremltools", "cupy")
    monkeypatch.setattr(
        "auparity.accelerated.registry.find_spec",
        lambda name: None if name.split(".")[0] in extras else find_spec(name),
    )


def test_a_plain_installation_says_that_it_is_slow_and_what_to_install(plain, caches, capsys):
    bundle = Bundle.embedded(networks=False)
    with pytest.warns(AuparityWarning, match=r"pip install 'auparity\[fast\]'"):
        pipeline = Pipeline.best(bundle)
    assert set(pipeline.variants.values()) <= {"reference", "batched"}
    with pytest.warns(AuparityWarning, match=r"seconds instead of milliseconds"):
        open_pipeline(bundle)
    assert main(["doctor", "--models", "embedded"]) == 0
    assert "\nspeed      Neither Numba nor ONNX Runtime can be used here" in capsys.readouterr().out


@pytest.mark.filterwarnings("error")
def test_the_reference_that_was_asked_for_is_no_reason_to_warn(plain):
    open_pipeline(Bundle.embedded(networks=False), "reference")
