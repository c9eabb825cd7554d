"""The driver's side of one actor: how it is started, what it is doing, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auparity.accelerated.hardware import PACKAGES
from auparity.extraction.engines.ray.actor import Begun, Carried
from auparity.extraction.jobs import Job

#: Packages on which numbers depend; their versions must be the same on all machines that have them.
SAME_VERSIONS = (*PACKAGES, "av")
#: Characters of Ray's message about a dead actor that are shown.
LONGEST_REASON = 400


@dataclass(frozen=True)
class Refused:
    """An actor cannot measure, and another one on its machine could not either."""

    host: str
    reason: str


@dataclass(frozen=True)
class Lost:
    """An actor died, or cannot be reached."""

    jobs: list[int]  #: indices of the jobs that it was doing
    reason: str
    died: bool  #: it has certainly died


@dataclass(frozen=True)
class Done:
    """An actor has ended a job, or could not run it (`carried` is the error)."""

    index: int
    carried: Carried | Exception


Event = Refused | Lost | Done


class Seat:
    """One actor.

    Parameters
    ----------
    ray : the module, connected.
    actor : handle of the actor, which Ray may not have started yet.
    assignment : reference to the `Assignment` in the object store.
    here : versions of this process.
    attempt : how often in a row an actor of this seat has died before it was ready.
    """

    def __init__(self, ray: Any, actor: Any, assignment: Any, here: Mapping[str, str], attempt: int = 0) -> None:
        self._ray, self._actor, self._assignment, self._here = ray, actor, assignment, here
        self.attempt = attempt
        self.ready, self.alone = False, False
        self.node, self.host, self.hardware = "", "", ""
        self.frames = 0
        self.jobs: dict[Any, int] = {}  # indices by reference to the answer
        self._facts: Any = actor.facts.remote(SAME_VERSIONS)
        self._begun: Any = None
        self._counted: Any = None

    def references(self) -> list[Any]:
        """What is waited for."""
        single = (self._facts, self._begun, self._counted)
        return [reference for reference in single if reference is not None] + list(self.jobs)

    def give(self, index: int, job: Job, *, alone: bool = False) -> None:
        """Let the actor run a job, `alone` without others at the same time."""
        self.alone = alone
        self.jobs[self._actor.carry.remote(job)] = index

    def count(self) -> None:
        """Ask for the number of frames, unless it has been asked and has not answered."""
        if self.jobs and self._counted is None:
            self._counted = self._actor.frames.remote()

    def stop(self) -> None:
        """Ask the actor to end its jobs at their next frame."""
        if self.ready:
            self._actor.stop.remote()

    def kill(self) -> None:
        """End the actor at once."""
        self._ray.kill(self._actor, no_restart=True)

    def look(self, reference: Any) -> Event | None:
        """Read an answer that is there; None where it needs nothing from the engine."""
        index = self.jobs.pop(reference, None)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            if isinstance(error, self._ray.exceptions.RayTaskError):  # raised by a method of the actor
                if index is not None:
                    return Done(index, error)
                if not self.ready:
                    return Refused(self.host, str(error))
            died = isinstance(error, self._ray.exceptions.ActorDiedError)
            return Lost([*([] if index is None else [index]), *self.jobs.values()], reason_of(error), died)
        if index is not None:
            self.alone = False
            self.frames = answer.frames
            return Done(index, answer)
        if reference == self._counted:
            self._counted, self.frames = None, answer
            return None
        return self._told_facts(answer) if reference == self._facts else self._told_begun(answer)

    def _told_facts(self, facts: dict[str, Any]) -> Refused | None:
        self._facts = None
        self.node, self.host = facts["node"], facts["host"]
        problem = difference(self._here, facts["versions"])
        if problem:
            return Refused(self.host, problem)
        self._begun = self._actor.begin.remote(self._assignment)
        return None

    def _told_begun(self, begun: Begun) -> Refused | None:
        self._begun = None
        if begun.problem:
            return Refused(self.host, begun.problem)
        self.ready, self.hardware, self.attempt = True, begun.hardware, 0
        return None


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """In what the versions of another machine differ from those of this one; "" where they do not.

    A package that only one of them has does not count: a pipeline that needs it says so itself.
    """
    if "auparity" not in there:
        return "auparity is not installed there."
    wrong = [name for name in here if name in there and there[name] != here[name]]
    if not wrong:
        return ""
    versions = ", ".join(f"{name} {there[name]} (here {here[name]})" for name in wrong)
    return f"it has {versions}. Install the same versions: a table must not depend on where it was made."


def reason_of(error: BaseException) -> str:
    """The cause in Ray's message about a dead actor, which is in its last line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    last = lines[-1].strip()
    return last if len(last) <= LONGEST_REASON else f"{last[:LONGEST_REASON].rstrip()} ..."
