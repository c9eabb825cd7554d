"""`auparity dev mutants`: which changes are made, which tests are run on them, and what counts as noticed."""

from __future__ import annotations

import ast
import json
import sys
from importlib.util import find_spec

import pytest

from auparity.errors import AuparityError
from auparity.parity_tests import mutants
from auparity.parity_tests.mutants import KILLED, SURVIVED, TIMED_OUT, Place, Verdict, Workshop

needs_cosmic_ray = pytest.mark.skipif(find_spec("cosmic_ray") is None, reason="needs cosmic-ray (extra `mutants`)")
SOURCE = """
@dataclass(frozen=True)
class Box:
    width: int | None = 3

    def is_wide(self, than: float | int = 2, *, strict: bool) -> bool | None:
        while self.width == 0:
            self.wait()
        return self.width > than
"""


@needs_cosmic_ray
def test_what_runs_is_changed_and_annotations_and_decorators_are_not():
    found = mutants.places(SOURCE)
    assert sorted((place.line, place.operator) for place in found) == [
        (4, "NumberReplacer"), (4, "NumberReplacer"), (6, "NumberReplacer"), (6, "NumberReplacer"),
        (7, "AddNot"), (7, "NumberReplacer"), (7, "NumberReplacer"), (7, "ReplaceComparisonOperator_Eq_NotEq"),
        (9, "ReplaceComparisonOperator_Gt_GtE"), (9, "ReplaceComparisonOperator_Gt_LtE"),
    ]  # fmt: skip
    changed = [mutants.mutate(SOURCE, place) for place in found]
    assert len({*changed}) == len(found)
    assert SOURCE.replace("self.width > than", "self.width >= than") in changed
    assert SOURCE.replace("= 3", "= 4") in changed


@needs_cosmic_ray
def test_a_change_that_is_no_program_or_the_same_program_is_none():
    assert mutants.mutate("x = {**a, 1: 2}\n", Place("ReplaceBinaryOperator_Pow_Mul", 0, 1)) is None
    assert mutants.mutate("x = 1\n", Place("NumberReplacer", 2, 1)) is None  # no such occurrence


def test_without_cosmic_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cosmic_ray.operators.provider", None)
    with pytest.raises(AuparityError, match=r"auparity\[mutants\]"):
        mutants.places("x = 1\n")


def test_a_sample_is_in_proportion_and_repeats_whatever_other_files_there_are():
    files = {name: [Place("AddNot", k, k) for k in range(count)] for name, count in (("a", 300), ("b", 100), ("c", 2))}
    chosen = mutants.drawn(files, 40, seed=1)
    assert {name: len(found) for name, found in chosen.items()} == {"a": 30, "b": 10, "c": 2}
    assert mutants.drawn({"a": files["a"]}, 30, seed=1) == {"a": chosen["a"]}
    assert mutants.drawn(files, 40, seed=2)["a"] != chosen["a"]
    assert sorted(mutants.drawn(files, None, seed=1)["a"], key=lambda place: place.line) == files["a"]


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("reference/geometry.py", ["reference/test_geometry.py"]),  # the mirror
        # The mirror and what else imports it, but not test_pipeline.py, which is slow
        ("reference/tracking.py", ["reference/test_constants.py", "reference/test_tracking.py"]),
        ("auparity/extraction/engines/processes.py", ["extraction/test_engines.py"]),  # by what imports it
        # Where there is nothing quicker
        (
            "reference/model_families.py",
            [
                "reference/test_many_faces.py",
                "reference/test_model_families.py",
                "reference/test_network_landmarker.py",
                "reference/test_network_start.py",
            ],
        ),
    ],
)
def test_a_file_is_judged_by_the_tests_that_are_about_it(file, tests):
    assert mutants.mirrored_tests(file) == [f"parity_tests/unit/{name}" for name in tests]


def test_every_file_that_may_be_drawn_is_judged_by_some_test():
    without = []
    for file in mutants._default_files():
        if len(ast.parse((mutants.ROOT / file).read_text(encoding="utf-8")).body) < 2:
            continue  # a package's docstring alone: nothing to change
        try:
            mutants.mirrored_tests(file)
        except AuparityError:
            without.append(file)
    assert without == []


@pytest.fixture
def workshop(tmp_path):
    """A project of one function and one test file."""
    (tmp_path / "double.py").write_text("def double(x):\n    return 2 * x\n")
    test = "from double import double\n\ndef test_double():\n    assert double(3) == 6\n    assert double(0) == 0\n"
    (tmp_path / "test_double.py").write_text(test)
    (tmp_path / "test_wrong.py").write_text("def test_wrong():\n    assert False\n")
    return Workshop(tmp_path)


def test_a_mutant_is_killed_by_a_failing_test_and_the_file_is_put_back(workshop, monkeypatch):
    source = (workshop.root / "double.py").read_text()
    tests = workshop.fastest_first(["test_double.py"])

    def outcome(changed):
        verdict = workshop.judge("double.py", Place("NumberReplacer", 0, 2), changed, tests)
        assert (workshop.root / "double.py").read_text() == source
        assert verdict.diff.startswith("--- double.py")
        return verdict.outcome

    # Sources of one length in quick succession: by size and second alone, Python would run the code before.
    assert outcome("def double(x):\n    return 3 * x\n") == KILLED
    assert outcome("def double(x):\n    return x + x\n") == SURVIVED
    assert outcome("def double(x):\n    return 4 * x\n") == KILLED
    monkeypatch.setattr(mutants, "GRACE", 0.0)
    assert outcome("while True:\n    pass\n") == TIMED_OUT


def test_tests_that_fail_without_a_change_prove_nothing(workshop):
    with pytest.raises(AuparityError, match=r"test_wrong\.py does not pass"):
        workshop.fastest_first(["test_wrong.py"])


def test_the_table_counts_by_file():
    rows = [("a.py", KILLED), ("b.py", SURVIVED), ("a.py", SURVIVED), ("a.py", TIMED_OUT), ("b.py", KILLED)]
    found = [Verdict(file, 1, "AddNot", outcome, 0.1, "") for file, outcome in rows]
    assert mutants.table(found).splitlines()[2:] == [
        "| a.py | 2 | 3 | 67% |",
        "| b.py | 1 | 2 | 50% |",
        "| all | 3 | 5 | 60% |",
    ]


def test_verdicts_are_printed_and_written_one_by_one(monkeypatch, tmp_path, capsys):
    found = [Verdict("reference/gaze.py", 7, "AddNot", outcome, 1.0, outcome.upper()) for outcome in (KILLED, SURVIVED)]
    asked = []
    monkeypatch.setattr(mutants, "verdicts", lambda *arguments: asked.append(arguments[1:]) or iter(found))
    monkeypatch.setattr(mutants.shutil, "copytree", lambda *_, **__: None)
    out = tmp_path / "verdicts.jsonl"
    assert mutants.main(["reference/gaze.py", "--sample", "9", "--seed", "3", "-o", str(out)]) == 0
    assert asked == [(["reference/gaze.py"], 9, 3)]
    assert [json.loads(line)["outcome"] for line in out.read_text().splitlines()] == [KILLED, SURVIVED]
    printed = capsys.readouterr().out
    assert "| reference/gaze.py | 1 | 2 | 50% |" in printed
    assert "SURVIVED" in printed
    assert "KILLED" not in printed


def test_a_run_that_is_stopped_says_what_it_has_found_so_far(monkeypatch, capsys):
    def stopped(*_):
        yield Verdict("reference/gaze.py", 7, "AddNot", KILLED, 1.0, "")
        raise KeyboardInterrupt

    monkeypatch.setattr(mutants, "verdicts", stopped)
    monkeypatch.setattr(mutants.shutil, "copytree", lambda *_, **__: None)
    assert mutants.main([]) == 0
    assert "| all | 1 | 1 | 100% |" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_an_error():
    with pytest.raises(AuparityError, match=r"reference/nothing\.py"):
        mutants.main(["reference/nothing.py"])
