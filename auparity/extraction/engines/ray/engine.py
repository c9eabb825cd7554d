"""Many inputs over actors of Ray, each with a pipeline of its own: the same tables as one input after the other.

The driver (this process) sends a job only to an actor that is free for it, so the number of jobs under way is bounded
by the actors, however many inputs there are. An actor that dies is replaced and its jobs begin again; a job that has
killed two actors fails with the reason. Every machine writes its tables itself, on a file system that all share or to
an address. Ctrl-C works as with processes: running clips end at the frame that they are at, a second one stops at once.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from auparity.accelerated.hardware import usable_cores
from auparity.atomic_files import TEMPORARY, abandoned_beside, create_beside
from auparity.errors import AuparityError, AuparityWarning
from auparity.extraction.engines import RAY
from auparity.extraction.engines.ray.actor import CONTROL, JOBS, Assignment, PipelineRecipe, actor_class
from auparity.extraction.engines.ray.cluster import Cluster, connected
from auparity.extraction.engines.ray.seats import SAME_VERSIONS, Done, Lost, Refused, Seat
from auparity.extraction.jobs import Job, Reporter, failure
from auparity.extraction.types import ClipProgress, ExtractionSettings, Outcome

POLL = 0.2  # s between looks at `stop` and at the frames while answers are waited for
#: Seconds between two questions for an actor's frames, for each actor: a large cluster is asked less often.
COUNT_EVERY = 0.002
#: Deaths of actors after which a job that each of them was doing is not begun again.
MOST_DEATHS = 2
#: The same for machines that left the cluster or could not be reached, which is seldom the fault of a clip.
MOST_DEPARTURES = 5
#: Actors in a row that may die before they are ready.
MOST_ATTEMPTS = 3
#: Seconds without a single actor after which the user is told what is waited for.
TELL_WAITING = 30.0


class RayEngine:
    """Runs jobs on a Ray cluster.

    Parameters
    ----------
    recipe : makes the pipelines of the actors.
    actors : how many at most; no more than there are jobs are started. 0 for one on each CPU of the cluster (each GPU,
        for a pipeline that stays on one).
    address : of the cluster, see `connected`.
    """

    name = RAY

    def __init__(self, recipe: PipelineRecipe, actors: int = 0, address: str | None = None) -> None:
        self._recipe, self._actors, self._address = recipe, actors, address

    def run(
        self,
        jobs: Sequence[Job],
        settings: ExtractionSettings,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so, see `Engine.run`.

        Raises
        ------
        VariantUnavailable : Ray is not installed. AuparityError : the cluster cannot be used, or none of its machines
            can measure, or can any more; what was done by then stays, and the same command resumes.
        """
        if not jobs:
            return []
        if any(job.kind == "camera" for job in jobs):
            raise AuparityError("A camera belongs to one machine: record from it without --engine ray.")
        cpus, gpus = self._actors or usable_cores(), None if self._recipe.on_gpu else 0
        with connected(self._address, cpus=cpus, gpus=gpus) as cluster, _token(settings) as token:
            assignment = Assignment(self._recipe, settings, _common_folder(jobs, settings), token)
            actors = self._number_of_actors(cluster, len(jobs))
            run = _Run(cluster.ray, assignment, actors, jobs, reporter, stop)
            try:
                return run.all_jobs()
            finally:
                run.end()

    def _number_of_actors(self, cluster: Cluster, jobs: int) -> int:
        if self._recipe.on_gpu and not cluster.gpus:
            raise AuparityError("The Ray cluster has no GPU, but the pipeline stays on one: leave --variants gpu out.")
        there = cluster.gpus if self._recipe.on_gpu else cluster.cpus
        # At least one, because a cluster that grows on demand may have nothing yet.
        return min(self._actors or max(there, 1), -(-jobs // self._recipe.clips_at_a_time))


class _Run:
    """One run over the jobs: which actors there are, which jobs wait, what became of the others."""

    def __init__(
        self,
        ray: Any,
        assignment: Assignment,
        actors: int,
        jobs: Sequence[Job],
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> None:
        self._ray, self._jobs, self._reporter, self._stop = ray, jobs, reporter, stop
        self._at_a_time = assignment.recipe.clips_at_a_time
        groups = {JOBS: self._at_a_time, CONTROL: 1}
        gpus = 1 if assignment.recipe.on_gpu else 0
        # Dead actors are replaced here and not by Ray, which would lose count of who was doing what.
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0, concurrency_groups=groups)
        self._actor = remote(actor_class(ray))
        self._here: dict[str, str] = actor_class(ray)().versions(SAME_VERSIONS)
        self._assignment = ray.put(assignment)
        self._waiting, self._again = deque(range(len(jobs))), deque[int]()
        self._deaths, self._departures = Counter[int](), Counter[int]()
        self._outcomes: dict[int, Outcome] = {}
        self._stopped = False
        self._refusals: dict[str, str] = {}  # reasons by host
        self._hardware: set[str] = set()
        self._frames_of_the_dead = 0
        self._told: ClipProgress = reporter.batch_started(len(jobs), actors * self._at_a_time)
        self._told_frames, self._told_at = 0, 0.0
        self._began: float | None = time.monotonic()  # None once an actor is ready
        self._seats = [self._new_seat() for _ in range(actors)]

    def all_jobs(self) -> list[Outcome]:
        """The outcomes of all jobs that were begun, in their order."""
        self._told.started(None)
        while True:
            self._look_for_stop()
            if not self._stopped:
                self._hand_out()
            if not any(seat.jobs for seat in self._seats) and (self._stopped or not (self._waiting or self._again)):
                return [self._outcomes[index] for index in sorted(self._outcomes)]
            if not self._seats:
                raise AuparityError(self._nobody_left())
            seat_of = {reference: seat for seat in self._seats for reference in seat.references()}
            ready, _ = self._ray.wait(list(seat_of), num_returns=1, timeout=POLL)
            for reference in ready:
                self._look_at(seat_of[reference], reference)
            self._tell_frames()
            self._tell_waiting()

    def end(self) -> None:
        """Kill the actors: their jobs are done, or nobody waits for them."""
        for seat in self._seats:
            seat.kill()
        self._seats = []

    def _new_seat(self, attempt: int = 0) -> Seat:
        return Seat(self._ray, self._actor.remote(), self._assignment, self._here, attempt)

    def _look_for_stop(self) -> None:
        if not self._stopped and self._stop():
            self._stopped = True
            for seat in self._seats:
                seat.stop()

    def _hand_out(self) -> None:
        """Give jobs to actors that have room. A job that was in an actor that died runs alone, so that its next death
        is its own and not that of a neighbour on the same GPU."""
        for seat in self._seats:
            if not seat.ready:
                continue
            if self._again and not seat.jobs:
                index = self._again.popleft()
                seat.give(index, self._jobs[index], alone=True)
            while self._waiting and not seat.alone and len(seat.jobs) < self._at_a_time:
                index = self._waiting.popleft()
                seat.give(index, self._jobs[index])

    def _look_at(self, seat: Seat, reference: Any) -> None:
        was_ready = seat.ready
        event = seat.look(reference)
        if isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Lost):
            self._lost(seat, event)
        elif isinstance(event, Refused):
            self._refused(seat, event)
        elif seat.ready and not was_ready:
            self._began = None
            self._compare_hardware(seat)

    def _done(self, event: Done) -> None:
        if isinstance(event.carried, Exception):
            self._ended(event.index, failure(self._jobs[event.index], event.carried))
        elif event.carried.outcome is not None:
            self._ended(event.index, event.carried.outcome)

    def _ended(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        self._reporter.job_done(outcome)

    def _lost(self, seat: Seat, event: Lost) -> None:
        died = event.died and not self._has_left(seat)
        for index in event.jobs:
            counts = self._deaths if died else self._departures
            counts[index] += 1
            problem = self._set_aside(index, event.reason)
            if problem:
                self._ended(index, failure(self._jobs[index], AuparityError(problem)))
            else:
                self._again.append(index)
        attempt = 0 if seat.ready else seat.attempt + 1
        if attempt == MOST_ATTEMPTS:
            self._refused(seat, Refused(seat.host, f"actors die before they are ready. {event.reason}"))
        else:
            self._remove(seat)
            if not self._stopped:
                self._seats.append(self._new_seat(attempt))

    def _set_aside(self, index: int, reason: str) -> str:
        """Why a job is not begun again; "" where it is."""
        if self._deaths[index] >= MOST_DEATHS:
            return f"set aside, because {MOST_DEATHS} Ray actors died while they measured it. {reason}"
        if self._departures[index] >= MOST_DEPARTURES:
            return f"set aside, because its machine was lost {MOST_DEPARTURES} times. {reason}"
        return f"the Ray actor that measured it died while the run was stopping. {reason}" if self._stopped else ""

    def _has_left(self, seat: Seat) -> bool:
        return not any(node["NodeID"] == seat.node and node["Alive"] for node in self._ray.nodes())

    def _refused(self, seat: Seat, event: Refused) -> None:
        """Go on without this actor; whoever has measured the jobs of the others does not lose them."""
        self._remove(seat)
        host = event.host or "a machine of the cluster"
        if host not in self._refusals:
            self._refusals[host] = event.reason
            if self._seats:
                warnings.warn(f"{host} measures nothing: {event.reason}", AuparityWarning, stacklevel=2)

    def _remove(self, seat: Seat) -> None:
        self._seats.remove(seat)
        self._frames_of_the_dead += seat.frames
        seat.kill()

    def _nobody_left(self) -> str:
        lines = [f"  {host}: {reason}" for host, reason in self._refusals.items()]
        done = f" {len(self._outcomes)} inputs are done; the same command goes on with the others."
        return "\n".join(["No machine of the Ray cluster can measure." + (done if self._outcomes else ""), *lines])

    def _compare_hardware(self, seat: Seat) -> None:
        first = not self._hardware or seat.hardware in self._hardware
        self._hardware.add(seat.hardware)
        if not first:
            warnings.warn(
                f"the machines have different processors ({', '.join(sorted(self._hardware))}): results of fast "
                "variants agree between them to rounding only (docs/parallel.md)",
                AuparityWarning,
                stacklevel=2,
            )

    def _tell_frames(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= max(POLL, COUNT_EVERY * len(self._seats)):
            self._told_at = now
            for seat in self._seats:
                seat.count()
        frames = self._frames_of_the_dead + sum(seat.frames for seat in self._seats)
        for _ in range(frames - self._told_frames):
            self._told.frame_done()
        self._told_frames = max(frames, self._told_frames)

    def _tell_waiting(self) -> None:
        if self._began is not None and time.monotonic() - self._began > TELL_WAITING:
            self._began = None
            free = self._ray.available_resources().get("CPU", 0)
            warnings.warn(
                f"Ray has started no actor in {TELL_WAITING:.0f} s; free CPUs of the cluster: {free:.0f}. The run goes "
                "on waiting (`ray status` shows who has the others).",
                AuparityWarning,
                stacklevel=2,
            )


def _common_folder(jobs: Sequence[Job], settings: ExtractionSettings) -> Path | None:
    """The current folder, where any path of the run is relative to it: actors enter it."""
    paths = [job.path for job in jobs if not job.origin.address]
    paths += [] if settings.output_address else [settings.output_dir]
    paths += [] if settings.scratch is None else [settings.scratch]
    return None if all(path.is_absolute() for path in paths) else Path.cwd()


@contextmanager
def _token(settings: ExtractionSettings) -> Iterator[Path | None]:
    """A file in the output folder that exists as long as the run, by which actors recognise the folder."""
    if settings.output_address:
        yield None
        return
    target = settings.output_dir / "ray"
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    for left_over in abandoned_beside(target, TEMPORARY):
        with suppress(FileNotFoundError):  # another run has been faster
            left_over.unlink()
    file, path = create_beside(target, TEMPORARY)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        file.close()
