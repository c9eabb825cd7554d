"""Result files come back as they were written, and what is wrong with one is said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from auparity.errors import AuparityError
from auparity.reports.results.records import (
    MeasuredError,
    Provenance,
    Results,
    Series,
    Skipped,
    Speed,
    StageSpeed,
    WorkloadRecord,
    load,
    save,
)

RESULTS = Results(
    "benchmark",
    Provenance("2026-11-21T09:00:00+0000", "auparity bench", "abc-dirty", "0.1.0", {"id": "x", "cores": 2}, 105.0),
    [WorkloadRecord("clip", "embedded", "12ab", "main_ceclm_general", "stream", 60, 320, 240)],
    [
        Speed(
            "clip", "numba", {"fhog": "numba"}, 1.0, 1.5, 2.0, [1.0, 1.1], 50.0, [49.0, 51.0],
            stages=[StageSpeed("fhog", "numba", 0.1, 1.0, 1.0, None)],
        )
    ],
    [
        MeasuredError("clip", "stage", "fhog", "numba", "fhog", 1e-9, 1e-7, problem=""),
        MeasuredError("clip", "stage", "pdm", "x", "pdm", None, 1.0, problem="not finite"),
    ],
    [Series("clip", "numba", [0.0], [True], {"AU01": [0.5]}, {"AU01": [0.5]}, [[1.0, 2.0]], [0.0])],
    [Skipped("torch", "not installed")],
)  # fmt: skip


def test_a_file_comes_back_as_it_was(tmp_path):
    path = tmp_path / "deep" / "run.json"
    save(RESULTS, path)
    assert load(path) == RESULTS
    assert not RESULTS.passed
    assert replace(RESULTS, errors=RESULTS.errors[:1]).passed
    # One entry a line: adding one is one more line of a diff.
    more = replace(RESULTS, skipped=[*RESULTS.skipped, Skipped("jax", "not installed")])
    before = path.read_text().splitlines()
    save(more, path)
    assert len(path.read_text().splitlines()) == len(before) + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "a result file"),
        ({"surprise": 1}, 'the field "surprise"'),
        ({"speeds": [{"workload": 3}]}, r"speeds\[0\]: expected an object with the field"),
        ({"errors": {}}, "at errors: expected a list, found an object"),
        ({"provenance": {"date": "now"}}, 'at provenance: expected an object with the field "command"'),
        ({"kind": 3}, "at kind: expected text, found 3"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, said):
    path = tmp_path / "run.json"
    save(RESULTS, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(AuparityError, match=said):
        load(path)


def test_what_is_no_number_is_not_written(tmp_path):
    wrong = replace(RESULTS, errors=[replace(RESULTS.errors[0], error=float("nan"))])
    with pytest.raises(AuparityError, match=r"errors\[0\].error is nan"):
        save(wrong, tmp_path / "run.json")
    assert not list(tmp_path.iterdir())
    for text in ("{", "[1]", '{"figures": []}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(AuparityError, match="result file"):
            load(tmp_path / "run.json")
