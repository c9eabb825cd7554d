"""The drift gate: what grows past its baseline fails, and says so on one page."""

from __future__ import annotations

import ast
import json
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from auparity import accelerated, cli
from auparity.accelerated.hardware import hardware
from auparity.accelerated.registry import EMULATED, REFERENCE, TECHNOLOGIES, Variant, registry
from auparity.cli import parity as cli_parity
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.compare import baseline_keys, drift
from auparity.parity_tests.compare.drift import Baseline, Figure
from auparity.parity_tests.suite import clip_parity
from auparity.parity_tests.suite import run as suite
from auparity.parity_tests.suite.report import Report
from auparity.reference import hypotheses
from auparity.reference.numerics import FLOAT32
from auparity.reference.stages import reference_stages
from auparity.reports.results.records import MeasuredError, Provenance, WorkloadRecord, load

GOLDEN = reference_stages(FLOAT32)
#: Relative errors of the planted variant; changed by the tests.
SIZE = {"error": 0.0}


KEY = "numba 1.0, x86_64 avx2"


def figure(error, tolerance=1e-3, name="quick/embedded/stage/fhog mine: fhog", key=KEY):
    return Figure(name, error, tolerance, key, "mine")


def stored(error, allowed=0.0, key=KEY):
    return {key: Baseline(error, allowed)}


def test_an_error_at_its_baseline_passes():
    known = drift.updated([figure(1e-4)], {})
    assert [v.problem for v in drift.compare([figure(1e-4)], known)] == [""]
    assert [v.problem for v in drift.compare([figure(1.2e-4)], known)] == [""]  # inside the margin of a quarter


def test_an_error_that_grew_fails_inside_its_tolerance():
    known = drift.updated([figure(1e-4)], {})
    (verdict,) = drift.compare([figure(2e-4)], known)
    assert verdict.problem.startswith("DRIFTED, 2 times")
    (verdict,) = drift.compare([figure(1e-4)], drift.updated([figure(0.0)], {}))
    assert verdict.problem == "DRIFTED from 0"


def test_a_baseline_speaks_for_its_own_key_only():
    other = "numba 1.0, x86_64 avx512"
    known = drift.updated([figure(1e-4)], {})
    (verdict,) = drift.compare([figure(2e-4, key=other)], known)
    assert (verdict.problem, verdict.baseline) == ("", None)
    both = drift.updated([figure(2e-4, key=other)], known)
    assert set(both[figure(0).name]) == {KEY, other}
    assert [v.problem for v in drift.compare([figure(2e-4), figure(2e-4, key=other)], both)] == ["DRIFTED, 2 times", ""]


@pytest.mark.parametrize("error", [2e-3, math.nan, math.inf])
def test_an_error_out_of_tolerance_fails_with_and_without_a_baseline(error):
    for known in ({}, {figure(0).name: stored(5e-3, 1.0)}):
        assert drift.compare([figure(error)], known)[0].problem == "OUT OF TOLERANCE"
    with pytest.raises(AuparityError, match="out of tolerance"):
        drift.updated([figure(error)], {})


def test_a_baseline_reads_well_and_survives_its_file(tmp_path):
    path = tmp_path / "x" / "y.json"
    known = drift.updated([figure(1.23456789e-4), figure(1e-4, key="other"), figure(0.0, name="a/b")], {})
    drift.save(path, known)
    lines = path.read_text().splitlines()
    assert lines[1] == ' "a/b": {'
    assert lines[2].startswith(f'  "{KEY}": {{"error": 0.0')
    assert '"error": 0.0001235' in lines[5]
    assert lines[6].startswith('  "other": ')
    assert drift.load(path) == known
    assert drift.load(tmp_path / "none.json") == {}
    for wrong in ('{"a": 1}', '{"a": {"b": 1}}', "[1]", '{"a": {"b": {"error": "x", "margin": 1}}}', "[" * 100_000):
        path.write_text(wrong)
        with pytest.raises(AuparityError, match="no baselines"):
            drift.load(path)


def test_a_name_of_a_technology_stays_in_the_folder(tmp_path):
    assert drift.path_of(tmp_path, "../a b").parent == tmp_path


def test_the_page_begins_with_what_failed_and_ends_with_what_has_no_baseline():
    known = {"a": stored(1e-4, 1e-5), "b": stored(1e-4, 1e-4)}
    verdicts = drift.compare([figure(3e-4, name="a"), figure(1.5e-4, name="b"), figure(0, name="c")], known)
    page = drift.page(verdicts, ["gone"], "machine-x")
    assert page.index("## Failed") < page.index("- a: DRIFTED") < page.index("- gone") < page.index("- b: passed")
    assert page.index("- b: passed") < page.index(f"- 1 figures: no baseline for {KEY}")
    alone = drift.page(drift.compare([figure(0, key="")], {}), [], "machine-x")
    assert "baselines were not used" in alone


def test_keys_name_version_vectors_and_the_blas_kernel():
    key = baseline_keys.baseline_key("batched")
    assert key.startswith(f"batched by numpy {np.__version__}, ")
    assert baseline_keys.blas_kernel() in key
    assert key.endswith(hardware().vectors)
    assert baseline_keys.baseline_key("numba+batched") == baseline_keys.baseline_key("batched+numba")
    assert baseline_keys.technology_of("numba+batched") == "batched+numba"
    assert baseline_keys.technology_of("gpu-emulated") == "cupy"
    assert "emulated" in baseline_keys.baseline_key("gpu-emulated")


@pytest.mark.parametrize("technology", ["batched", "numba", "onnx", "coreml"])
def test_technologies_that_multiply_matrices_in_numpy_have_the_blas_in_their_key(technology):
    sources = (Path(accelerated.__file__).parent / technology).glob("*.py")
    trees = [ast.parse(source.read_text(encoding="utf-8")) for source in sources]
    operators = any(isinstance(node, ast.MatMult) for tree in trees for node in ast.walk(tree))
    functions = {n.attr for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    if operators or functions & {"matmul", "dot", "einsum", "linalg", "tensordot"}:
        assert TECHNOLOGIES[technology].uses_blas


def variants():
    """A reference FHOG whose values are off by a known share."""

    def build():
        fhog = GOLDEN.fhog()
        return lambda aligned: fhog(aligned) * np.float32(1 + SIZE["error"])

    return Variant("fhog", "drifting", build)


PROVENANCE = Provenance("2026-11-21T09:00:00+0000", "auparity parity", "abc", "0.1.0", {"id": "x"})


FRAMES = 4


@pytest.fixture(scope="module")
def few_hypotheses():
    """Three rotations of a face to begin with instead of eleven, which take most of the time of a short clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypotheses, "MULTI_VIEW", hypotheses.MULTI_VIEW[:3])
        yield


@pytest.fixture(scope="module")
def short(few_hypotheses):
    """A short workload and what the reference does on it, which no test here changes: computed once."""
    frames = [picture.image for picture in render_clip(3_300_000, FRAMES, canvas=(320, 240))]
    work = suite.workloads.ParityWorkload("embedded", Bundle.embedded(networks=False), [frames[:3]], [], frames)
    taken = suite.capture(work.bundle, work.clips, work.photographs)
    return work, taken, clip_parity.prepare(work.name, work.bundle, work.chained)


@pytest.fixture
def gate(short, tmp_path, monkeypatch):
    """The suite on the drifting variant; returns the exit code."""
    work, taken, clip = short
    monkeypatch.setattr(suite.workloads, "rendered", lambda quick: [work])
    monkeypatch.setattr(suite, "capture", lambda *_: taken)
    monkeypatch.setattr(clip_parity, "prepare", lambda *_: clip)
    monkeypatch.setattr(suite.workloads, "openface", lambda quick: [])
    spec = "auparity.parity_tests.unit.parity.test_drift_gate:variants"
    common = ["--variant", spec, "--quick", "--baselines", str(tmp_path), "-o", str(tmp_path / "out.json")]
    return lambda *more: cli.main(["parity", *common, *more])


def test_the_gate_catches_drift_inside_the_tolerance(gate, tmp_path, capsys):
    size = import_module(
        "auparity.parity_tests.unit.parity.test_drift_gate"
    ).SIZE  # of the module as the suite imports it
    size["error"] = 6e-8
    assert gate("--update-baseline") == cli_parity.EXIT_GOOD
    content = json.loads((tmp_path / "drifting.json").read_text())
    assert any("fhog drifting: fhog" in name for name in content)
    assert gate() == cli_parity.EXIT_GOOD
    size["error"] = 3e-7  # 1.2e-7 of the largest feature, 0.4: within 2e-7
    assert gate() == cli_parity.EXIT_FAILED
    assert "DRIFTED" in capsys.readouterr().out
    size["error"] = 1e-4
    assert gate() == cli_parity.EXIT_FAILED
    closing = capsys.readouterr().out.splitlines()[-1]
    assert closing.startswith("FAILED: quick/embedded/stage/fhog drifting: fhog")
    assert "OUT OF TOLERANCE" in closing
    assert (tmp_path / "out.drift.md").read_text().startswith("# Drift on")
    results = load(tmp_path / "out.json")
    assert not results.passed
    wrong = next(error for error in results.errors if error.problem)
    assert (wrong.stage, wrong.variant, wrong.figure, wrong.way) == ("fhog", "drifting", "fhog", "stage")
    assert wrong.baseline is not None
    assert wrong.baseline_key == baseline_keys.baseline_key("drifting")
    assert wrong.reason
    assert [len(series.reference["AU12"]) for series in results.series] == [FRAMES]


def test_without_baselines_the_tolerances_alone_decide(gate, tmp_path, capsys):
    size = import_module("auparity.parity_tests.unit.parity.test_drift_gate").SIZE
    size["error"] = 6e-8
    gate("--update-baseline")
    size["error"] = 3e-7
    assert gate("--no-baselines") == cli_parity.EXIT_GOOD
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("PASSED: ")
    assert "baselines were not used" in said
    assert {error.baseline_key for error in load(tmp_path / "out.json").errors} == {""}


def test_nothing_that_can_run_is_not_a_pass(capsys):
    missing = Variant("fhog", "absent", print, requires=("no_such_package_at_all",))
    report = suite.run([missing], quick=True, progress=False)
    assert report.figures == []
    assert "no_such_package" in report.skipped["fhog absent"]


def test_only_what_this_run_could_have_measured_can_be_gone(tmp_path):
    work = WorkloadRecord("embedded", "embedded", "12ab", "main_ceclm_general", "stream", 6, 320, 240)
    report = Report("quick/", workloads=[work])
    report.add("embedded/stage/fhog numba: fhog", MeasuredError("embedded", "stage", "fhog", "numba", "fhog", 0.0, 1.0))
    report.add("embedded/chained/numba: au", MeasuredError("embedded", "chained", "", "numba", "au", 0.0, 1.0))
    kept = [
        "quick/embedded/stage/fhog numba: fhog_worst",  # gone
        "quick/embedded/chained/numba: landmarks mean",  # gone
        "quick/embedded/chained/batched: landmarks mean",  # of another technology's pipeline
        "quick/embedded/stage/pdm torch: pdm",  # of another variant
        "full/embedded/stage/fhog numba: fhog_worst",  # of the long run
        "quick/openface-video01/stage/fhog numba: fhog",  # of recordings that are not here
    ]
    key = baseline_keys.baseline_key("numba")
    known = {name: stored(0.0, key=key) for name in kept}
    elsewhere = "quick/embedded/stage/fhog numba: fhog_share"  # of another machine
    known[elsewhere] = stored(0.0, key="numba 0.1, x86_64 avx512")
    path = drift.path_of(tmp_path, "numba")
    drift.save(path, known)
    variants = [registry().get("fhog", "numba"), registry().get("action_units", "batched")]
    judged = suite.judge(report, variants, tmp_path, whole=True)
    assert judged.missing == sorted(kept[:2])
    assert not judged.passed
    assert [e.problem for e in judged.results(PROVENANCE).errors if e.problem] == ["NO LONGER MEASURED"] * 2
    judged.update()
    assert set(drift.load(path)) == {f.name for f in report.figures} | set(kept[2:]) | {elsewhere}
    assert suite.judge(report, variants, tmp_path, whole=False).passed


def test_cpu_is_every_variant_of_ours_that_runs_on_a_processor():
    chosen = {(variant.stage, variant.name) for variant in suite.variants_of("cpu")}
    for variant in registry():
        ours = variant.provider == "auparity" and "cpu" in variant.devices
        named = variant.name != REFERENCE and not variant.name.endswith(EMULATED)
        assert ((variant.stage, variant.name) in chosen) == (ours and named), f"{variant.stage} {variant.name}"
    assert {"numba", "onnx", "batched", "torch", "jax", "onnx-openvino", "numba-bf16"} == {name for _, name in chosen}
