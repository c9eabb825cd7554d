"""A run of the tests that is stuck says what is running, and ends."""

from __future__ import annotations

from auparity.parity_tests import stuck
from auparity.parity_tests.stuck import Stuck


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_runs_is_named_when_nothing_has_ended_for_too_long():
    clock = Clock()
    watch = Stuck(100.0, clock)
    clock.now = 500.0
    assert watch.complaint() == ""  # nothing runs: the tests are still being collected
    watch.pytest_runtest_logstart("a")
    watch.pytest_runtest_logstart("b")
    clock.now = 550.0
    watch.pytest_runtest_logfinish("a")
    clock.now = 640.0
    assert watch.complaint() == ""
    clock.now = 660.0
    assert watch.complaint() == "No test has ended for 110 s. Running:\n  b, for 160 s"
    watch.pytest_runtest_logfinish("b")
    assert watch.complaint() == ""


def test_a_stuck_run_is_interrupted_once(monkeypatch):
    monkeypatch.setattr(stuck, "CHECK_EVERY", 0.01)
    clock, interrupted = Clock(), []
    watch = Stuck(1.0, clock, lambda: interrupted.append(True))
    watch.pytest_runtest_logstart("a")
    clock.now = 2.0
    watch._watch()
    assert interrupted == [True]


def test_the_run_in_which_this_test_is_is_watched(pytestconfig):
    watched = any(isinstance(plugin, Stuck) for plugin in pytestconfig.pluginmanager.get_plugins())
    assert watched == (not hasattr(pytestconfig, "workerinput"))
