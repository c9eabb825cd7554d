"""The drift gate: what grows past its baseline fails, and says so on one page."""

from __future__ import annotations

import json
import math
from importlib import import_module

import numpy as np
import pytest

from auparity import cli, cli_parity
from auparity.accelerated.hardware import hardware_id
from auparity.accelerated.registry import EMULATED, REFERENCE, Variant, registry
from auparity.errors import AuparityError
from auparity.parity_tests import drift, suite
from auparity.parity_tests.drift import Baseline, Figure
from auparity.parity_tests.suite_report import Report
from auparity.reference.numerics import FLOAT32
from auparity.reference.stages import golden_stages
from auparity.reports.records import Error, Provenance, Workload, load

GOLDEN = golden_stages(FLOAT32)
#: Relative errors of the planted variant; changed by the tests.
SIZE = {"error": 0.0}


def figure(error, tolerance=1e-3, name="quick/embedded/stage/fhog mine: fhog"):
    return Figure(name, error, tolerance)


def test_an_error_at_its_baseline_passes():
    known = drift.updated([figure(1e-4)], {}, "")
    assert [v.problem for v in drift.compare([figure(1e-4)], known)] == [""]
    assert [v.problem for v in drift.compare([figure(1.2e-4)], known)] == [""]  # inside the margin of a quarter


def test_an_error_that_grew_fails_inside_its_tolerance():
    known = drift.updated([figure(1e-4)], {}, "")
    (verdict,) = drift.compare([figure(2e-4)], known)
    assert verdict.problem.startswith("DRIFTED, 2 times")
    (verdict,) = drift.compare([figure(1e-4)], drift.updated([figure(0.0)], {}, ""))
    assert verdict.problem == "DRIFTED from 0"


@pytest.mark.parametrize("error", [2e-3, math.nan, math.inf])
def test_an_error_out_of_tolerance_fails_with_and_without_a_baseline(error):
    for known in ({}, {figure(0).name: Baseline(5e-3, 1.0)}):
        assert drift.compare([figure(error)], known)[0].problem == "OUT OF TOLERANCE"
    with pytest.raises(AuparityError, match="out of tolerance"):
        drift.updated([figure(error)], {}, "")


def test_a_baseline_reads_well_and_survives_its_file(tmp_path):
    path = tmp_path / "x" / "y.json"
    known = drift.updated([figure(1.23456789e-4), figure(0.0, name="a/b")], {}, "")
    drift.save(path, known)
    lines = path.read_text().splitlines()
    assert lines[1].startswith(' "a/b": {"error": 0.0')
    assert '"error": 0.0001235' in lines[2]
    assert drift.load(path) == known
    assert drift.load(tmp_path / "none.json") == {}
    path.write_text('{"a": 1}')
    with pytest.raises(AuparityError, match="no baseline"):
        drift.load(path)


def test_the_page_begins_with_what_failed():
    known = {"a": Baseline(1e-4, 1e-5), "b": Baseline(1e-4, 1e-4)}
    verdicts = drift.compare([figure(3e-4, name="a"), figure(1.5e-4, name="b"), figure(0, name="c")], known)
    page = drift.page(verdicts, ["gone"], "machine-x")
    assert page.index("## Failed") < page.index("- a: DRIFTED") < page.index("- gone") < page.index("- b: passed")
    assert "1 figures have no baseline" in page


def variants():
    """A golden FHOG whose values are off by a known share."""

    def build():
        fhog = GOLDEN.fhog()
        return lambda aligned: fhog(aligned) * np.float32(1 + SIZE["error"])

    return Variant("fhog", "drifting", build)


PROVENANCE = Provenance("2026-11-21T09:00:00+0000", "auparity parity", "abc", "0.1.0", {"id": "x"})


@pytest.fixture
def gate(tmp_path, monkeypatch):
    """The suite on the drifting variant, its golden runs kept short; returns the exit code."""
    work = suite.workloads.embedded(quick=True)
    short = suite.workloads.Workload("embedded", work.bundle, [work.clips[0][:3]], [], work.chained[:6])
    monkeypatch.setattr(suite.workloads, "embedded", lambda quick: short)
    monkeypatch.setattr(suite.workloads, "openface", lambda quick: [])
    spec = "auparity.parity_tests.unit.test_drift_gate:variants"
    common = ["--variant", spec, "--quick", "--baselines", str(tmp_path), "-o", str(tmp_path / "out.json")]
    return lambda *more: cli.main(["parity", *common, *more])


def test_the_gate_catches_drift_inside_the_tolerance(gate, tmp_path, capsys):
    size = import_module("auparity.parity_tests.unit.test_drift_gate").SIZE  # of the module as the suite imports it
    size["error"] = 6e-8
    assert gate("--update-baseline") == cli_parity.EXIT_GOOD
    stored = json.loads((tmp_path / f"{hardware_id()}.json").read_text())
    assert any("fhog drifting: fhog" in name for name in stored)
    assert gate() == cli_parity.EXIT_GOOD
    size["error"] = 3e-7  # 1.2e-7 of the largest feature, 0.4: within 2e-7
    assert gate() == cli_parity.EXIT_FAILED
    assert "DRIFTED" in capsys.readouterr().out
    size["error"] = 1e-4
    assert gate() == cli_parity.EXIT_FAILED
    assert "OUT OF TOLERANCE" in capsys.readouterr().out
    assert (tmp_path / "out.drift.md").read_text().startswith("# Drift on")
    results = load(tmp_path / "out.json")
    assert not results.passed
    wrong = next(error for error in results.errors if error.problem)
    assert (wrong.stage, wrong.variant, wrong.figure, wrong.way) == ("fhog", "drifting", "fhog", "stage")
    assert wrong.baseline is not None
    assert wrong.reason
    assert [len(series.golden["AU12"]) for series in results.series] == [6]


def test_nothing_that_can_run_is_not_a_pass(capsys):
    missing = Variant("fhog", "absent", print, requires=("no_such_package_at_all",))
    report = suite.run([missing], quick=True, progress=False)
    assert report.figures == []
    assert "no_such_package" in report.skipped["fhog absent"]


def test_only_what_this_run_could_have_measured_can_be_gone(tmp_path):
    work = Workload("embedded", "embedded", "12ab", "main_ceclm_general", "stream", 6, 320, 240)
    report = Report("quick/", workloads=[work])
    report.add("embedded/stage/fhog numba: fhog", Error("embedded", "stage", "fhog", "numba", "fhog", 0.0, 1.0))
    report.add("embedded/chained/numba: au", Error("embedded", "chained", "", "numba", "au", 0.0, 1.0))
    kept = [
        "quick/embedded/stage/fhog numba: fhog_worst",  # gone
        "quick/embedded/chained/numba: landmarks mean",  # gone
        "quick/embedded/chained/batched: landmarks mean",  # of another technology's pipeline
        "quick/embedded/stage/pdm torch: pdm",  # of another variant
        "full/embedded/stage/fhog numba: fhog_worst",  # of the long run
        "quick/openface-video01/stage/fhog numba: fhog",  # of recordings that are not here
    ]
    drift.save(tmp_path / f"{hardware_id()}.json", dict.fromkeys(kept, Baseline(0.0, 0.0)))
    variants = [registry().get("fhog", "numba"), registry().get("action_units", "batched")]
    judged = suite.judge(report, variants, tmp_path, whole=True)
    assert judged.gone == sorted(kept[:2])
    assert not judged.passed
    assert [e.problem for e in judged.results(PROVENANCE).errors if e.problem] == ["NO LONGER MEASURED"] * 2
    judged.update()
    assert set(drift.load(tmp_path / f"{hardware_id()}.json")) == {f.name for f in report.figures} | set(kept[2:])
    assert suite.judge(report, variants, tmp_path, whole=False).passed


def test_cpu_is_every_variant_of_ours_that_runs_on_a_processor():
    chosen = {(variant.stage, variant.name) for variant in suite.variants_of("cpu")}
    for variant in registry():
        ours = variant.provider == "auparity" and "cpu" in variant.devices
        named = variant.name != REFERENCE and not variant.name.endswith(EMULATED)
        assert ((variant.stage, variant.name) in chosen) == (ours and named), f"{variant.stage} {variant.name}"
    assert {"numba", "onnx", "batched", "torch", "jax", "onnx-openvino", "numba-bf16"} == {name for _, name in chosen}
