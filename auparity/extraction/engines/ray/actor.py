"""What runs in the cluster: an actor that holds a pipeline and measures one clip after the other.

The class of the actors is made inside a function, so that Ray sends its code and not its name: an actor then also
starts on a machine that has no auparity, or another one, and can say so. Everything else is imported there.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from auparity.accelerated.hardware import THREAD_VARIABLES, hardware_id
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
from auparity.accelerated.parallel.side_by_side import in_one_thread
from auparity.accelerated.pipeline import Pipeline, on_gpu
from auparity.errors import AuparityError, AuparityWarning
from auparity.extraction.jobs import Job, run_job
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.models.bundle import Bundle
from auparity.reference.options import PipelineOptions
from auparity.reference.video_pipeline import VideoPipeline

#: Groups of an actor's methods: jobs run in one, so that the other can answer meanwhile.
JOBS, CONTROL = "jobs", "control"
#: Seconds within which a file of the driver must be seen by an actor; network file systems cache what folders hold.
SHARED_WITHIN = 10.0


@dataclass(frozen=True)
class PipelineRecipe:
    """The parts from which an actor builds its pipeline."""

    bundle: Bundle
    spec: Mapping[str, str]  #: variants by stage
    options: PipelineOptions
    on_gpu: bool  #: the whole pipeline stays on a GPU, where clips advance together

    @classmethod
    def of(cls, pipeline: Pipeline) -> PipelineRecipe:
        """The parts of a pipeline of this process."""
        return cls(pipeline.bundle, pipeline.variants, pipeline.options, pipeline.advances_together)

    @property
    def clips_at_a_time(self) -> int:
        """Clips that one actor measures together."""
        return self.options.streams if self.on_gpu else 1

    def build(self) -> VideoPipeline:
        """The pipeline; raises `AuparityError` where it cannot run."""
        if self.on_gpu:
            return on_gpu(self.bundle, self.options)
        return Pipeline.from_spec(self.spec, self.bundle, options=self.options)


@dataclass(frozen=True)
class Assignment:
    """What every actor of a run gets before its first job, once, through Ray's object store."""

    recipe: PipelineRecipe
    settings: ExtractionSettings
    folder: Path | None  #: current folder of the driver, where paths are relative to it
    token: Path | None  #: a file in the output folder that exists as long as the run; None for an address


class Begun(NamedTuple):
    """Whether an actor can measure."""

    hardware: str  #: `hardware_id()` of its machine
    problem: str = ""  #: why it cannot


class Carried(NamedTuple):
    """A job is done."""

    outcome: Outcome | None  #: None where the run was stopped before the job had begun
    frames: int  #: that the actor has counted so far


class Carrier:
    """The inside of an actor: its pipeline, and how far it is."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.frames = 0

    def begin(self, assignment: Assignment) -> Begun:
        """Build the pipeline; a problem is returned, not raised, so that it travels in plain words."""
        try:
            if assignment.folder is not None:
                _enter(assignment.folder)
            if assignment.token is not None:
                _require_shared(assignment.token)
            limit_threads()
            warnings.simplefilter("ignore", AuparityWarning)  # the driver has shown them
            self._pipeline, self._settings = assignment.recipe.build(), assignment.settings
            find_libraries()
        except AuparityError as error:
            return Begun(hardware_id(), str(error))
        except Exception:
            return Begun(hardware_id(), f"internal error; please report it.\n{traceback.format_exc()}")
        return Begun(hardware_id())

    def carry(self, job: Job) -> Carried:
        """Run a job with one BLAS thread; an error is its outcome."""
        if self._stopped.is_set():
            return Carried(None, self.frames)
        with one_blas_thread():
            outcome = run_job(self._pipeline, job, self._settings, self, self._stopped.is_set, overlap=False)
        return Carried(outcome, self.frames)

    def stop(self) -> None:
        """End running jobs at their next frame, and begin no other."""
        self._stopped.set()

    def started(self, n_frames: int | None) -> None:
        """Progress of a clip: the driver counts inputs."""

    def frame_done(self) -> None:
        """Progress of a clip: count a frame, for all clips of this actor together."""
        with self._lock:
            self.frames += 1

    def finishing(self) -> None:
        """Progress of a clip: nothing to count."""


def limit_threads() -> None:
    """One thread for each library that would take as many as there are cores: actors are the parallelism.

    Ray limits OMP_NUM_THREADS alone. BLAS libraries that are loaded already are limited while a job runs.
    """
    import cv2

    os.environ.update(dict.fromkeys((*THREAD_VARIABLES, "NUMBA_NUM_THREADS"), "1"))  # read when they are loaded
    cv2.setNumThreads(1)
    in_one_thread()


def actor_class(ray: Any) -> Any:
    """The class of the actors; see the first paragraph of this module for why it is made here."""

    class ClipActor:
        def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
            """Versions of what the numbers depend on, of what is installed."""
            import platform
            from importlib import metadata

            import ray

            versions = {"Python": platform.python_version(), "Ray": ray.__version__}
            try:
                from auparity.version import __version__

                versions["auparity"] = __version__
            except ImportError:
                pass
            for name in packages:
                try:
                    versions[name] = metadata.version(name)
                except metadata.PackageNotFoundError:
                    continue
            return versions

        def facts(self, packages: tuple[str, ...]) -> dict[str, Any]:
            """Where this process runs: node, host, versions."""
            import socket

            import ray

            node = ray.get_runtime_context().get_node_id()
            return {"node": node, "host": socket.gethostname(), "versions": self.versions(packages)}

        def begin(self, assignment: Any) -> Any:
            from auparity.extraction.engines.ray.actor import Carrier

            self._carrier = Carrier()
            return self._carrier.begin(assignment)

        @ray.method(concurrency_group=JOBS)
        def carry(self, job: Any) -> Any:
            return self._carrier.carry(job)

        @ray.method(concurrency_group=CONTROL)
        def frames(self) -> int:
            return self._carrier.frames

        @ray.method(concurrency_group=CONTROL)
        def stop(self) -> None:
            self._carrier.stop()

    return ClipActor


def _enter(folder: Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise AuparityError(
            f"the folder {folder}, to which paths of this run are relative, cannot be entered there "
            f"({error.strerror}). Inputs and outputs must be on a file system that all machines share under the same "
            "paths."
        ) from error


def _require_shared(token: Path) -> None:
    """Raise `AuparityError` where the output folder is not the one that the driver sees."""
    deadline = time.monotonic() + SHARED_WITHIN
    while not token.exists():
        if time.monotonic() > deadline:
            raise AuparityError(
                f"the output folder {token.parent} is not the same there as here. Every machine writes its tables "
                "itself: the folder must be on a file system that all machines share under the same path."
            )
        time.sleep(0.2)
