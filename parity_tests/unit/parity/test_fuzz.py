"""No file makes a reader do anything but return a value or raise an error of ours; and the harness would notice."""

from __future__ import annotations

import random

import pytest

from auparity.errors import AuparityError
from auparity.parity_tests.fuzz import mutators
from auparity.parity_tests.fuzz.command import main
from auparity.parity_tests.fuzz.mutators import mutate
from auparity.parity_tests.fuzz.registry import registry
from auparity.parity_tests.fuzz.runner import Outcome, data_of, run, run_here, summary

PLANTED = "auparity.parity_tests.unit.helpers.planted_loaders"
#: Of each reader here; the command line runs as many as one likes.
CASES = 60


@pytest.mark.parametrize("name", sorted(registry()))
def test_mutated_files_are_read_or_refused(name, tmp_path):
    native = registry()[name].native
    outcome = run(name, range(CASES), 20) if native else run_here(registry()[name], range(CASES), 20, tmp_path)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.findings, "\n".join(map(str, outcome.findings))
    assert outcome.refused > 0


@pytest.mark.parametrize(
    ("name", "what"),
    [("raises", "exception"), ("dies", "crash"), ("sleeps", "hang"), ("catches all", "hang"), ("grows", "memory")],
)
def test_a_reader_that_misbehaves_is_found_and_the_next_case_still_runs(name, what):
    outcome = run(name, range(2), 1, registry=PLANTED, timeout=0.5)
    assert [finding.what for finding in outcome.findings] == [what, what]


def test_good_and_missing_readers_are_told_from_each_other(tmp_path):
    good = run("good", range(5), 1, registry=PLANTED)
    assert (good.refused, good.findings, good.cases) == (5, [], 5)
    missing = run("needs an extra", range(5), 1, registry=PLANTED)
    assert missing.skipped == "the extra is not installed"
    assert summary([good, missing]) == "5 cases over 1 readers: no findings; 1 readers did not run"
    assert "not run" in missing.line()
    assert "5 refused" in good.line()


def test_inputs_of_findings_are_kept_and_can_be_made_again(tmp_path):
    from auparity.parity_tests.unit.helpers import planted_loaders

    run("raises", range(2), 7, registry=PLANTED, keep=tmp_path)
    loader = planted_loaders.registry()["raises"]
    assert (tmp_path / "raises-7-1").read_bytes() == data_of(loader, planted_loaders.INTACT, 7, 1)


@pytest.mark.parametrize("kind", sorted(mutators.SPECIAL))
def test_the_same_seed_gives_the_same_file_and_most_files_differ(kind):
    intact = b'{"a": [1, 2, {"b": "c"}], "d": 1.5}\n' * (1 if kind == "json" else 3)
    made = [mutate(intact, kind, random.Random(seed)) for seed in range(200)]
    assert made == [mutate(intact, kind, random.Random(seed)) for seed in range(200)]
    assert sum(data != intact for data in made) > 150
    assert all(isinstance(mutate(data, kind, random.Random(1)), bytes) for data in (b"", b"{", b"\xff"))


def test_the_command_line_lists_and_runs_readers(capsys):
    assert main(["--list"]) == 0
    assert "bundle archive" in capsys.readouterr().out
    assert main(["--loader", "targets", "--count", "20"]) == 0
    assert "20 cases over 1 readers: no findings" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--loader", "nothing"])


def test_a_reader_that_fails_on_the_intact_file_is_no_finding_but_an_error():
    with pytest.raises(AuparityError, match="before the intact file was read"):
        run("never good", range(3), 1, registry=PLANTED)


def test_a_finding_fails_the_run():
    assert Outcome("x").cases == 0
    assert summary([run("raises", range(1), 1, registry=PLANTED)]) == "1 cases over 1 readers: 1 exception"
