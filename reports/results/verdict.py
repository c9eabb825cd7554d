"""The verdict on some runs in sentences for somebody who has never seen a result file.

`Results` in, plain text and one `Outcome` out. The colour of the verdict is the worst outcome of all figures, so no
part of a page can be worse than its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from auparity.reports.results.figures import PEER, REFERENCE, figure_name, golden_ratio, severity, share_used
from auparity.reports.results.outcomes import Outcome, of_figure, of_figures
from auparity.reports.results.records import MeasuredError, Results
from auparity.reports.results.text import counted, listed, share, short

#: How names of emulated variants end (`auparity.accelerated.registry.EMULATED`; reports import no pipeline).
EMULATED = "-emulated"
_WORDS = {
    Outcome.PASSED: "Passed", Outcome.DRIFTED: "Drifted", Outcome.UNMEASURED: "Incomplete", Outcome.FAILED: "Failed",
}  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """The verdict on some runs."""

    outcome: Outcome
    word: str  #: one or two words
    sentences: tuple[str, ...]  #: what was found
    remarks: tuple[str, ...]  #: what limits it

    @property
    def text(self) -> str:
        return " ".join([*self.sentences, *self.remarks])


@dataclass(frozen=True)
class _Timed:
    """The fastest pipeline of every workload."""

    ratios: tuple[float, ...]
    pipelines: tuple[str, ...]


def judge(results: Sequence[Results]) -> Judgement:
    """One verdict over all runs."""
    errors = [error for run in results for error in run.errors]
    outcomes = [(error, of_figure(error)) for error in errors]
    compared = [error for error, outcome in outcomes if outcome is not Outcome.UNMEASURED]
    by_outcome = {one: [error for error, outcome in outcomes if outcome is one] for one in Outcome}
    missing, drifted = by_outcome[Outcome.UNMEASURED], by_outcome[Outcome.DRIFTED]
    skipped, timed = sum(len(run.skipped) for run in results), _timed(results)
    outcome = of_figures(errors)
    sentences = []
    if failed := by_outcome[Outcome.FAILED]:
        sentences.append(_failed(failed, len(compared)))
    elif compared:
        sentences.append(f"{_subject(compared)} what the reference computes: {_within(compared)}")
    elif missing:
        sentences.append("No figure was compared with a tolerance.")
    elif any(run.speeds for run in results):
        sentences.append("Only speed was measured: this run does not say whether the numbers are right.")
    elif skipped:
        what = "what was asked for was" if skipped == 1 else f"all {skipped} things that were asked for were"
        sentences.append(f"Nothing ran: {what} skipped, for the {'reason' if skipped == 1 else 'reasons'} below.")
    else:
        sentences.append("Nothing was measured: no figure was compared with a tolerance, and no pipeline was timed.")
    sentences += _gate(drifted, missing)
    if timed:
        sentences.append(_speed(timed, compared, bool(failed)))
    remarks = _emulated(compared)
    ran = bool(errors) or any(run.speeds for run in results)
    if skipped and ran:
        have = "thing was not run and has" if skipped == 1 else "things were not run and have"
        remarks.append(f"{skipped} {have} not passed: see what was not run, and why.")
    if outcome is Outcome.SKIPPED:
        word = "Only timed" if ran else "Nothing ran" if skipped else "Nothing measured"
    else:
        word = _WORDS[outcome]
    return Judgement(outcome, word, tuple(sentences), tuple(remarks))


def is_emulated(error: MeasuredError) -> bool:
    """Whether a figure comes from hardware that was emulated."""
    return error.variant.endswith(EMULATED)


def _subject(compared: Sequence[MeasuredError]) -> str:
    """What was compared, with its verb."""
    kind = "emulated" if all(map(is_emulated, compared)) else "fast"
    pipelines = {error.variant for error in compared if not error.stage}
    if len(pipelines) == 1:
        return f"The {kind} pipeline computes"
    if pipelines:
        return f"All {len(pipelines)} {'' if kind == 'fast' else 'emulated '}pipelines compute"
    stages = {(error.stage, error.variant) for error in compared}
    return f"The {kind} stage computes" if len(stages) == 1 else f"Every {kind} stage computes"


def _within(compared: Sequence[MeasuredError]) -> str:
    used = [value for error in compared if (value := share_used(error)) is not None]
    if len(compared) == 1:
        text = "the one figure is within its tolerance"
        return f"{text}, of which it used {share(used[0])}." if used and used[0] else f"{text}."
    text = f"all {len(compared)} figures are within their tolerances"
    if not used:
        return f"{text}."
    return (
        f"{text}; the largest used {share(max(used))} of its own." if max(used) else f"{text}, and used none of them."
    )


def _failed(failed: Sequence[MeasuredError], number: int) -> str:
    most = max(failed, key=severity)
    used = share_used(most)
    if used is None or used <= 1:
        how = f"failed ({most.problem.lower()})" if most.problem else "is not a finite number"
    elif most.tolerance:
        how = f"is {_ratio(used)} times its tolerance"
    else:
        how = f"is {short(most.error)} where no difference is allowed"
    beyond = all((value := share_used(error)) is not None and value > 1 for error in failed)
    verb = ("is" if len(failed) == 1 else "are") + " out of tolerance" if beyond else "failed"
    of = " of ".join(filter(None, (figure_name(most), most.variant)))
    where = f"{of} on {most.workload}" if most.workload else of
    which = where if len(failed) == 1 else f"the worst, {where},"
    return (
        f"Not everything is computed as in the reference: {len(failed)} of {counted(number, 'figure')} {verb}; "
        f"{which} {how}."
    )


def _gate(drifted: Sequence[MeasuredError], missing: Sequence[MeasuredError]) -> list[str]:
    sentences = []
    if drifted:
        subject = "1 figure has" if len(drifted) == 1 else f"{len(drifted)} figures have"
        sentences.append(
            f"{subject} drifted: within tolerance, but grown past the accepted baseline by more than its margin, so "
            "the drift gate fails this run until the change is explained or accepted."
        )
    if missing:
        subject = (
            "1 figure with a baseline was" if len(missing) == 1 else f"{len(missing)} figures with a baseline were"
        )
        sentences.append(f"{subject} not measured, so the drift gate fails this run.")
    return sentences


def _timed(results: Sequence[Results]) -> _Timed | None:
    fastest: dict[str, tuple[float, str]] = {}
    for run in results:
        for speed in run.speeds:
            ratio, _ = golden_ratio(speed, run)
            if speed.pipeline != REFERENCE and not speed.pipeline.startswith(PEER) and ratio and ratio > 0:
                fastest[speed.workload] = max(fastest.get(speed.workload, (0.0, "")), (ratio, speed.pipeline))
    if not fastest:
        return None
    return _Timed(tuple(r for r, _ in fastest.values()), tuple(dict.fromkeys(name for _, name in fastest.values())))


def _speed(timed: _Timed, compared: Sequence[MeasuredError], failed: bool) -> str:
    least, most = min(timed.ratios), max(timed.ratios)
    pipelines = {error.variant for error in compared if not error.stage}
    one = len(timed.pipelines) == 1
    if one and pipelines and pipelines <= set(timed.pipelines):
        subject, verbs = "It", ("is", "takes")
    elif one:
        subject, verbs = f"The timed pipeline, {timed.pipelines[0]},", ("is", "takes")
    else:
        subject, verbs = f"The fastest pipelines, {listed(timed.pipelines)},", ("are", "take")
    if _ratio(least) == _ratio(most):
        fast = (
            f"{verbs[0]} {_ratio(most)} times as fast as the reference"
            if most >= 1
            else f"{verbs[1]} {_ratio(1 / most)} times as long as the reference"
        )
        text = f"{subject} {fast}"
    else:
        text = f"{subject} {verbs[0]} {_ratio(least)} to {_ratio(most)} times as fast as the reference, by workload"
    return f"{text}, which counts only once the numbers agree." if failed else f"{text}."


def _emulated(compared: Sequence[MeasuredError]) -> list[str]:
    emulated = sum(map(is_emulated, compared))
    if not emulated:
        return []
    which = "All figures come" if emulated == len(compared) else f"{emulated} of {len(compared)} figures come"
    return [f"{which} from emulated hardware: they verify numbers, and say nothing about speed or the device itself."]


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")
