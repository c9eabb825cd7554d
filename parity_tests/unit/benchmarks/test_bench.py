"""Benchmarks time what they say, in turns with the reference, and write what reports read. No speed is judged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from auparity import cli
from auparity.accelerated.registry import STAGES, registry
from auparity.benchmarks import bench as bench_module
from auparity.benchmarks import floors, runner, workloads
from auparity.benchmarks.bench import bench
from auparity.benchmarks.cold import cold_start
from auparity.benchmarks.memory import peak_mib
from auparity.benchmarks.parity_of_run import parity_of_run
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.types import ConvNet, Convolution, FullyConnected, LandmarkNetwork, MaxPool
from auparity.parity_tests.compare import provenance
from auparity.parity_tests.suite import random_networks
from auparity.reference.pipeline import ReferencePipeline
from auparity.reports.results.records import Provenance, load
from auparity.reports.results.stored import history, record

BUNDLE = Bundle.embedded(networks=False)
FRAMES = [picture.image for picture in render_clip(3_420_000, 4)]
WHERE = Provenance("2026-11-21T09:00:00+0000", "auparity bench", "abc", "0.1.0", {"id": "some-cpu"}, 100.0, 20.0)
WORK = workloads.TimedWorkload("short", "stream", BUNDLE, [FRAMES], "four frames", models=("embedded", "auto"))


def test_every_pass_times_every_frame_and_every_stage():
    speeds, errors = runner.measure(WORK, ["best", "reference"], WHERE, passes=2, reference_frames=3)
    assert [s.pipeline for s in speeds] == ["the reference", "best", "reference"]
    for speed in speeds:
        assert len(speed.repeats) == len(speed.golden_ratios) == 2
        assert speed.ms_p95 >= speed.ms_median > 0
        stages = {entry.stage: entry for entry in speed.stages}
        assert {"fitting", "patch_experts", "fhog", "action_units"} <= set(stages) <= set(STAGES)
        assert "detection" not in stages, "the first frame counts by itself"
        assert stages["fhog"].calls == 1
        assert stages["patch_experts"].floor_ms == pytest.approx(
            floors.stage_floors(BUNDLE, WHERE)["patch_experts"], rel=1e-3
        )
    assert speeds[0].golden_ratios == [1.0, 1.0]
    assert {(e.variant, e.figure) for e in errors} == {
        (name, figure) for name in ("best", "reference") for figure in ("success_differs", "landmarks_mean", "au_mean")
    }  # fmt: skip
    assert all(e.error == 0 for e in errors if e.variant == "reference")
    assert not any(e.problem for e in errors)


def test_streams_and_photographs_are_timed_too():
    streams = replace(WORK, name="two", kind="streams", clips=[FRAMES[:3], FRAMES[1:]])
    speeds, _ = runner.measure(streams, ["best"], WHERE, passes=2, reference_frames=0)
    assert [s.pipeline for s in speeds] == ["best"]
    assert speeds[0].golden_ratio is None
    pictures = replace(WORK, name="pictures", kind="photographs")
    speeds, errors = runner.measure(pictures, ["best"], WHERE, passes=2, reference_frames=1)
    assert speeds[1].first_frame_ms is None
    assert any(entry.stage == "detection" for entry in speeds[1].stages)
    assert {e.figure for e in errors} == {"success_differs", "landmarks_mean", "au_mean"}


def test_a_wrong_pipeline_is_not_merely_fast():
    session = ReferencePipeline(BUNDLE).start_video()
    reference = [session.process_frame(image, k / 30) for k, image in enumerate(FRAMES)]
    moved = [replace(result, landmarks=result.landmarks + np.float32(0.06)) for result in reference]
    wrong = {e.figure: e.problem for e in parity_of_run("short", "moved", "float32", [reference], [moved])}
    assert wrong == {"success_differs": "", "landmarks_mean": "OUT OF TOLERANCE", "au_mean": ""}
    lost = [replace(result, success=False) for result in reference]
    assert parity_of_run("short", "lost", "float32", [reference], [lost])[0].problem == "OUT OF TOLERANCE"


def test_results_are_written_after_every_workload(tmp_path, monkeypatch):
    path = tmp_path / "bench.json"

    def interrupted(work, *arguments, **named):
        if work.name == "second":
            raise KeyboardInterrupt
        return runner.measure(work, *arguments, **named)

    monkeypatch.setattr(bench_module, "measure", interrupted)
    monkeypatch.setattr(
        bench_module, "cold_start", lambda *a: {"import_s": 0.1, "first_result_s": 1.0, "peak_mib": 9.0}
    )
    with pytest.raises(KeyboardInterrupt):
        bench([WORK, replace(WORK, name="second")], ["best"], WHERE, passes=2, reference_frames=2, output=path)
    kept = load(path)
    assert [w.name for w in kept.workloads] == ["short"]
    assert kept.workloads[0].bundle_hash == BUNDLE.content_hash
    assert next(s for s in kept.speeds if s.pipeline == "best").start_s == 1.0


def test_what_cannot_run_is_skipped_with_the_reason_or_an_error(monkeypatch):
    monkeypatch.setattr(
        bench_module, "cold_start", lambda *a: {"import_s": 0.1, "first_result_s": 1.0, "peak_mib": 9.0}
    )
    found = bench([WORK], ["best", "patch_experts=abacus"], WHERE, passes=2, reference_frames=0)
    assert [(s.what, "abacus" in s.why) for s in found.skipped] == [("patch_experts=abacus on short", True)]
    with pytest.raises(AuparityError, match=r"nothing could be timed.*abacus"):
        bench([WORK], ["patch_experts=abacus"], WHERE)
    with pytest.raises(AuparityError, match="no workload 'clip-8k'"):
        workloads.named(["clip-8k"], 10)


def test_the_floor_counts_multiply_adds():
    rng = np.random.default_rng(0)
    net = ConvNet((
        Convolution(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)),
        MaxPool((2, 2), (2, 2)),
        FullyConnected(rng.normal(size=(4 * 4 * 4, 7)).astype(np.float32), np.zeros(7, np.float32)),
    ))  # fmt: skip
    assert floors.network_flop(net, (10, 10)) == 2 * (4 * 3 * 9 * 64 + 64 * 7)
    experts = BUNDLE.face.main.experts[1]
    assert floors.experts_flop(experts, 0) == 0
    seen = int(np.count_nonzero(experts.visibility[0]))
    one = sum(layer.weights.size for layer in experts.patches[0][30].layers)
    assert floors.experts_flop(experts, 9) == 2 * one * seen * 40
    assert floors.stage_floors(BUNDLE, replace(WHERE, sgemm_gflops=None)) == {}
    network = LandmarkNetwork(random_networks.pfld(), BUNDLE.face.main.pdm)
    assert floors.stage_floors(BUNDLE.with_serving("landmarker", "pfld", network), WHERE) == {}


def test_provenance_names_commit_and_machine():
    found = provenance.provenance("auparity bench", yardstick=False)
    assert found.machine["packages"]["numpy"] == np.__version__
    assert found.sgemm_gflops is None
    assert found.date[:2] == "20"


def test_a_fresh_process_is_measured(tmp_path):
    import cv2

    picture = tmp_path / "frame.png"
    cv2.imwrite(str(picture), FRAMES[0])
    found = cold_start("embedded", "auto", "reference", picture)
    assert 0 < found["import_s"] < found["first_result_s"]
    assert found["peak_mib"] > 50
    with pytest.raises(AuparityError, match="fresh process failed"):
        cold_start(str(tmp_path / "no-such-models"), "auto", "reference", picture)
    assert peak_mib() > 50


def test_kept_runs_come_back_oldest_first(tmp_path):
    from auparity.parity_tests.unit.parity.test_records import RESULTS

    clean = replace(RESULTS, provenance=replace(WHERE, commit="abc"))
    later = replace(clean, provenance=replace(clean.provenance, date="2026-12-01T09:00:00+0000"))
    for results in (later, clean):
        path = record(results, tmp_path)
        assert path.parent.name == "some-cpu"
        assert json.loads(path.read_text())["series"] == []
    assert [r.provenance.date[:10] for r in history("some-cpu", tmp_path)] == ["2026-11-21", "2026-12-01"]
    assert history("another", tmp_path) == []
    with pytest.raises(AuparityError, match="commit them first"):
        record(RESULTS, tmp_path)


def test_the_command_lists_workloads_and_refuses_one_pass(capsys):
    assert cli.main(["bench", "--list"]) == 0
    assert set(capsys.readouterr().out.split()) == {*workloads.RENDERED, "recorded"}
    assert cli.main(["bench", "--passes", "1"]) == 1
    assert "at least 2" in capsys.readouterr().err


def test_every_stage_variant_can_be_benchmarked():
    from auparity.benchmarks import bench_stages

    assert {variant.stage for variant in registry()} == set(STAGES)
    assert bench_stages.taken().calls.keys() >= {"fhog", "fitting", "detection"}
