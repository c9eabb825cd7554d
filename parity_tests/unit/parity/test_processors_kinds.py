"""Processors that this one can play: which there are, and that nothing in a process on one says otherwise."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="the extra numba is not installed")

from auparity.errors import AuparityError
from auparity.parity_tests.compare import baseline_keys
from auparity.parity_tests.processors import in_turns, kinds, timed
from auparity.parity_tests.processors.kinds import Kind
from auparity.parity_tests.processors.timed import Pass

NEW = dict.fromkeys(["sse4.2", "avx", "avx2", "fma", "avx512f"], True)
DISPATCHED = {"X86_V3": True, "X86_V4": True, "AVX512_SPR": False}


@pytest.fixture(autouse=True)
def on_x86(monkeypatch):
    monkeypatch.setattr(kinds.platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("present", "names"),
    [
        (NEW, ["native", "avx2", "no-avx"]),
        (NEW | {"avx512f": False}, ["native", "no-avx"]),
        (NEW | {"fma": False}, ["native", "no-avx"]),
        ({"sse4.2": True}, ["native"]),
    ],
)
def test_only_older_processors_of_the_same_kind_are_played(present, names):
    assert [kind.name for kind in kinds.kinds(present, DISPATCHED)] == names


def test_no_other_is_played_on_another_architecture(monkeypatch):
    monkeypatch.setattr(kinds.platform, "machine", lambda: "aarch64")
    assert [kind.name for kind in kinds.kinds(NEW, DISPATCHED)] == ["native"]


def test_kernels_numpy_blas_and_c_library_are_told_the_same():
    _, avx2, without = kinds.kinds(NEW, DISPATCHED)
    assert avx2.environment["NUMBA_CPU_NAME"] == "haswell"
    features = {*avx2.environment["NUMBA_CPU_FEATURES"].split(",")}
    assert {"+avx2", "+fma"} <= features
    assert not any("avx512" in feature for feature in features)
    assert avx2.environment["NPY_DISABLE_CPU_FEATURES"] == "X86_V4"
    assert avx2.environment["OPENBLAS_CORETYPE"] == "Haswell"
    assert "-FMA" not in avx2.environment["GLIBC_TUNABLES"]
    features = {*without.environment["NUMBA_CPU_FEATURES"].split(",")}
    assert "+sse4.2" in features
    assert not any(feature.startswith("+avx") or feature == "+fma" for feature in features)
    assert {*without.environment["NPY_DISABLE_CPU_FEATURES"].split()} == {"X86_V4", "X86_V3"}
    assert without.environment["OPENBLAS_CORETYPE"] == "Nehalem"
    assert {"-AVX2", "-FMA"} <= {*without.environment["GLIBC_TUNABLES"].partition("=")[2].split(",")}


def test_what_numpy_does_not_dispatch_is_not_named_to_it():
    """It would refuse to start."""
    _, avx2, _ = kinds.kinds(NEW, {"X86_V4": False})
    assert "NPY_DISABLE_CPU_FEATURES" not in avx2.environment


def test_an_environment_that_says_otherwise_is_not_heeded():
    theirs = {"OPENBLAS_CORETYPE": "Zen", "GLIBC_TUNABLES": "x", "PATH": "/bin"}
    assert Kind("native", "this", {}).of(theirs) == {"PATH": "/bin"}
    assert Kind("old", "that", {"OPENBLAS_CORETYPE": "Nehalem"}).of(theirs) == {
        "OPENBLAS_CORETYPE": "Nehalem",
        "PATH": "/bin",
    }


def test_figures_of_another_processor_have_no_baseline_of_this_one(monkeypatch):
    for name in kinds.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    own = baseline_keys.baseline_key.__wrapped__("numba")
    monkeypatch.setenv("NUMBA_CPU_NAME", "haswell")
    assert baseline_keys.baseline_key.__wrapped__("numba") == f"{own} told haswell"
    assert "told" not in baseline_keys.baseline_key.__wrapped__("batched")


def a_pass(ms, bits="same", landmarks=(1.0, 2.0)):
    return Pass(ms, 10 * ms, {"fitting": ms / 2}, {"pose": "p", "gaze": bits}, list(landmarks), 3, 320, 240)


def player(name, *passes):
    return in_turns.Player(Kind(name, f"{name} processor", {}), None, {"clip": list(passes)})


def test_the_least_cpu_time_counts_and_the_pass_that_compiles_does_not():
    assert player("native", a_pass(1.0), a_pass(4.0), a_pass(3.0)).best("clip").ms == 3.0


def test_results_say_the_ratio_and_whether_the_bits_are_the_same():
    native = player("native", a_pass(9.0), a_pass(2.0))
    equal = player("avx2", a_pass(9.0), a_pass(3.0))
    other = player("no-avx", a_pass(9.0), a_pass(8.0, "other", (1.0, 4.5)))
    lines = in_turns.table([native, equal, other]).splitlines()
    assert lines[2].split()[-5:] == ["3.00", "1.50", "the", "same", "bits"]
    assert "4.00  other bits in gaze; landmarks of the last frame 2.5 px apart" in lines[3]
    results = in_turns.results_of([native, equal, other], 3)
    assert [speed.pipeline for speed in results.speeds] == ["numba on native", "numba on avx2", "numba on no-avx"]
    assert "1.50 times" in results.speeds[1].note
    assert [error.problem for error in results.errors] == ["", "OUT OF TOLERANCE"]
    assert not results.passed


def test_bits_must_be_the_same_in_every_pass():
    native = player("native", a_pass(9.0), a_pass(2.0))
    unsteady = player("avx2", a_pass(9.0, "other"), a_pass(3.0))
    assert "other bits in gaze" in in_turns.table([native, unsteady])


ANSWERS = "import sys\nfor line in sys.stdin: print(sys.argv[1], flush=True)"


def test_processors_take_turns(monkeypatch):
    """Processes that answer at once stand for those that compute."""
    answer, started = json.dumps(a_pass(2.0).__dict__), []
    popen = in_turns.subprocess.Popen

    def start(command, env, **options):
        started.append(env.get("NUMBA_CPU_NAME"))
        return popen([sys.executable, "-c", ANSWERS, answer], **options)

    monkeypatch.setattr(in_turns.subprocess, "Popen", start)
    kept = []
    monkeypatch.setattr(in_turns.timed, "keep_frames", lambda folder, work, frames: kept.append((work, frames)))
    played = kinds.kinds(NEW, DISPATCHED)[:2]
    players = in_turns.take_turns(played, ["a", "b"], 3, 2)
    assert started == [None, "haswell"]
    assert kept == [("a", 3), ("b", 3)]
    assert [[len(each.found[work]) for work in ("a", "b")] for each in players] == [[3, 3], [3, 3]]
    assert all(each.process.poll() == 0 for each in players)


def test_a_process_that_dies_is_named(monkeypatch):
    popen = in_turns.subprocess.Popen
    dies = [sys.executable, "-c", "raise SystemExit(7)"]
    monkeypatch.setattr(in_turns.subprocess, "Popen", lambda command, env, **options: popen(dies, **options))
    with pytest.raises(AuparityError, match=r"this processor.*status 7"):
        in_turns._played(kinds.kinds(NEW, DISPATCHED)[:1], ["a"], "", 1)


def test_frames_are_kept_for_all_processors(monkeypatch, tmp_path):
    clip = [np.full((4, 6, 3), number, np.uint8) for number in range(3)]
    monkeypatch.setattr(timed.workloads, "named", lambda names, frames: [SimpleNamespace(clips=[clip[:frames]])])
    timed.keep_frames(tmp_path, "clip-240p", 2)
    assert np.array_equal(np.load(tmp_path / "clip-240p.npy"), clip[:2])
    monkeypatch.setattr(timed.workloads, "recorded", lambda frames: [])
    with pytest.raises(AuparityError, match="no recordings"):
        timed.keep_frames(tmp_path, timed.RECORDED, 2)


def test_a_processor_that_can_play_no_other_says_so(monkeypatch, capsys):
    monkeypatch.setattr(in_turns, "kinds_here", lambda: [Kind("native", "this", {})])
    assert in_turns.main([]) == in_turns.EXIT_NOTHING
    assert "no other that it can play" in capsys.readouterr().out


def test_a_failed_parity_run_fails_the_whole(monkeypatch, tmp_path, capsys):
    played = [Kind("native", "this", {}), Kind("avx2", "that", {})]
    monkeypatch.setattr(in_turns, "kinds_here", lambda: played)
    monkeypatch.setattr(in_turns, "parity", lambda kind, folder: kind.name == "native")
    turns = [player("native", a_pass(9.0), a_pass(2.0)), player("avx2", a_pass(9.0), a_pass(3.0))]
    monkeypatch.setattr(in_turns, "take_turns", lambda *arguments: turns)
    assert in_turns.main(["--parity", "-o", str(tmp_path)]) == in_turns.EXIT_FAILED
    assert "FAILED: parity on that" in capsys.readouterr().out
    assert in_turns.main(["-o", str(tmp_path)]) == in_turns.EXIT_GOOD
    assert (tmp_path / "speed.json").is_file()


def test_the_parity_suite_runs_in_the_environment_of_the_processor(monkeypatch, tmp_path):
    seen = []

    def run(command, env, **options):
        seen.append((command[3:], env["NUMBA_CPU_NAME"]))
        return in_turns.subprocess.CompletedProcess(command, 0, "PASSED: 3 figures hold\n", "")

    monkeypatch.setattr(in_turns.subprocess, "run", run)
    assert in_turns.parity(kinds.kinds(NEW, DISPATCHED)[1], tmp_path)
    ((command, cpu),) = seen
    assert cpu == "haswell"
    assert command[: len(in_turns.PARITY)] == [*in_turns.PARITY]
    assert command[-1] == str(tmp_path / "parity-avx2.json")
