"""The verdict on a page of results is a sentence that a visitor understands, whatever came of the runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auparity.parity_tests.unit.helpers import synthetic_results as made
from auparity.reports.results.outcomes import Outcome, of_figure, of_figures
from auparity.reports.results.records import MeasuredError, Results, Skipped
from auparity.reports.results.verdict import judge

PASSING = [made.error("fhog", "numba", 1.26e-7, 2e-7), made.error("", "best", 0.001, 0.02, "landmarks", way="chained")]
DRIFTED = replace(made.FAILING, error=1.9e-5, problem="DRIFTED, 3.1 times")
MISSING = MeasuredError("", "baseline", "", "", "quick/a: b", None, None, problem="NO LONGER MEASURED")
NOT_RUN = [Skipped("fhog torch", "torch is not installed"), Skipped("jax", "jax is not installed")]
GATE = "so the drift gate fails this run"
ONLY_SPEED = "Only speed was measured: this run does not say whether the numbers are right."
CAUTION = "2 things were not run and have not passed: see what was not run, and why."


def run(*errors, speeds=(), skipped=()):
    return Results("parity", made.provenance(), errors=list(errors), speeds=list(speeds), skipped=list(skipped))


def timed(*ratios, pipeline="best"):
    return [
        speed
        for k, ratio in enumerate(ratios)
        for speed in (
            made.speed("the reference", 720.0, 1.0, f"clip-{k}"),
            made.speed(pipeline, 720.0 / ratio, ratio, f"clip-{k}"),
        )
    ]


def spaced(text):
    return text.replace("\N{NO-BREAK SPACE}", " ")


def said(*runs):
    return spaced(judge(runs).text)


def test_passed():
    assert said(run(*PASSING, speeds=timed(41.2))) == (
        "The fast pipeline computes what the reference computes: all 2 figures are within their tolerances; the "
        "largest used 63 % of its own. It is 41 times as fast as the reference."
    )
    assert judge([run(*PASSING)]).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ([PASSING[0]], "The fast stage computes {}: the one figure is within its tolerance, of which it used 63 %."),
        ([PASSING[0], made.error("gaze", "numba", 0.0, 0.0)],
         "Every fast stage computes {}: all 2 figures are within their tolerances; the largest used 63 % of its own."),
        ([made.error("gaze", "numba", 0.0, 0.0)],
         "The fast stage computes {}: the one figure is within its tolerance."),
        ([made.error("gaze", "numba", 0.0, 0.0), made.error("fhog", "numba", 0.0, 1.0)],
         "Every fast stage computes {}: all 2 figures are within their tolerances, and used none of them."),
        ([*PASSING, made.error("", "numba", 0.0, 1.0, way="one step")],
         "All 2 pipelines compute {}: all 3 figures are within their tolerances; the largest used 63 % of its own."),
        ([made.error("gaze", "numba", 0.1, None)],
         "The fast stage computes {}: the one figure is within its tolerance."),
    ],
)  # fmt: skip
def test_what_was_compared_is_the_subject(errors, text):
    assert said(run(*errors)) == text.format("what the reference computes")


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (made.FAILING, "1 of 3 figures is out of tolerance; gaze of numba on clip is 1.6 times its tolerance."),
        (replace(made.FAILING, error=None), "1 of 3 figures failed; gaze of numba on clip failed (out of tolerance)."),
        (replace(made.FAILING, error=None, problem=""),
         "1 of 3 figures failed; gaze of numba on clip is not a finite number."),
        (replace(made.FAILING, tolerance=0.0),
         "1 of 3 figures is out of tolerance; gaze of numba on clip is 3.2e−5 where no difference is allowed."),
        (replace(made.FAILING, problem=""),
         "1 of 3 figures is out of tolerance; gaze of numba on clip is 1.6 times its tolerance."),
    ],
)  # fmt: skip
def test_failed(error, how):
    judged = judge([run(*PASSING, error, speeds=timed(41.2))])
    assert (judged.outcome, judged.word) == (Outcome.FAILED, "Failed")
    assert judged.text == (
        f"Not everything is computed as in the reference: {how} It is 41 times as fast as the reference, which counts "
        "only once the numbers agree."
    )


def test_failed_more_than_once():
    worse = replace(made.FAILING, figure="pose", error=1e-4)
    assert "2 of 4 figures are out of tolerance; the worst, pose of numba on clip, is 5 times its tolerance." in said(
        run(*PASSING, made.FAILING, worse)
    )


def test_drifted_is_within_tolerance_and_does_not_pass():
    judged = judge([run(*PASSING, DRIFTED)])
    assert (judged.outcome, judged.word) == (Outcome.DRIFTED, "Drifted")
    assert "all 3 figures are within their tolerances; the largest used 95 % of its own." in spaced(judged.text)
    assert "1 figure has drifted: within tolerance, but grown past the accepted baseline" in judged.text
    assert GATE in judged.text


def test_drifted_and_out_of_tolerance_is_failed():
    assert of_figure(replace(DRIFTED, error=1.0)) is Outcome.FAILED
    judged = judge([run(*PASSING, DRIFTED, made.FAILING)])
    assert judged.outcome is Outcome.FAILED
    assert "1 of 4 figures is out of tolerance" in judged.text
    assert "1 figure has drifted" in judged.text


def test_a_baseline_without_its_figure_is_no_pass():
    judged = judge([run(*PASSING, MISSING)])
    assert (judged.outcome, judged.word) == (Outcome.UNMEASURED, "Incomplete")
    assert "all 2 figures are within" in judged.text
    assert f"1 figure with a baseline was not measured, {GATE}." in judged.text
    assert judge([run(MISSING, MISSING)]).text == (
        f"No figure was compared with a tolerance. 2 figures with a baseline were not measured, {GATE}."
    )


def test_skipped_has_not_passed():
    judged = judge([run(*PASSING, skipped=NOT_RUN)])
    assert judged.outcome is Outcome.PASSED
    assert judged.remarks == (CAUTION,)
    assert judge([run(*PASSING, skipped=NOT_RUN[:1])]).remarks[0].startswith("1 thing was not run and has not passed")


@pytest.mark.parametrize(
    ("runs", "word", "text"),
    [
        ([], "Nothing measured",
         "Nothing was measured: no figure was compared with a tolerance, and no pipeline was timed."),
        ([run()], "Nothing measured",
         "Nothing was measured: no figure was compared with a tolerance, and no pipeline was timed."),
        ([run(skipped=NOT_RUN)], "Nothing ran",
         "Nothing ran: all 2 things that were asked for were skipped, for the reasons below."),
        ([run(skipped=NOT_RUN[:1])], "Nothing ran",
         "Nothing ran: what was asked for was skipped, for the reason below."),
        ([run(speeds=timed(41.2))], "Only timed",
         f"{ONLY_SPEED} The timed pipeline, best, is 41 times as fast as the reference."),
        ([run(speeds=timed(41.2), skipped=NOT_RUN)], "Only timed",
         f"{ONLY_SPEED} The timed pipeline, best, is 41 times as fast as the reference. {CAUTION}"),
    ],
)  # fmt: skip
def test_without_figures_nothing_is_green(runs, word, text):
    judged = judge(runs)
    assert (judged.outcome, judged.word, judged.text) == (Outcome.SKIPPED, word, text)


@pytest.mark.parametrize(
    ("speeds", "text"),
    [
        (timed(12.14, 39.16), "It is 12 to 39 times as fast as the reference, by workload."),
        (timed(3.04), "It is 3 times as fast as the reference."),
        (timed(0.5), "It takes 2 times as long as the reference."),
        (timed(41.2, pipeline="numba"), "The timed pipeline, numba, is 41 times as fast as the reference."),
        ([*timed(41.2), made.speed("numba", 360.0, 2.0, "other")],
         "The fastest pipelines, best and numba, are 2 to 41 times as fast as the reference, by workload."),
    ],
)  # fmt: skip
def test_speed_names_the_pipeline_unless_it_is_the_one_compared(speeds, text):
    assert said(run(*PASSING, speeds=speeds)).endswith(text)


def test_a_peer_is_not_our_speed():
    peer = [made.speed("the reference", 720.0, 1.0), made.speed("peer: other", 7.0, None)]
    assert "times" not in said(run(speeds=peer))


def test_emulated_hardware_is_no_hardware():
    emulated = [replace(error, variant="gpu-emulated") for error in PASSING]
    assert said(run(*emulated)) == (
        "The emulated pipeline computes what the reference computes: all 2 figures are within their tolerances; the "
        "largest used 63 % of its own. All figures come from emulated hardware: they verify numbers, and say nothing "
        "about speed or the device itself."
    )
    assert "1 of 3 figures come from emulated hardware" in said(run(*PASSING, emulated[0]))


def test_many_figures_are_as_good_as_the_worst():
    assert of_figures([]) is Outcome.SKIPPED
    assert of_figures(PASSING) is Outcome.PASSED
    assert of_figures([*PASSING, MISSING]) is Outcome.UNMEASURED
    assert of_figures([MISSING, DRIFTED, *PASSING]) is Outcome.DRIFTED
    assert of_figures([made.FAILING, MISSING, DRIFTED, *PASSING]) is Outcome.FAILED
