"""Which engine carries the jobs of a run: the table of engines by name, and the choice that a command line makes.

Other packages add engines through the entry-point group ``auparity.engines``: the entry point names a module whose
import registers them with the decorator `engine` (docs/parallel.md, "An engine of your own").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from auparity.accelerated.hardware import usable_cores
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError, ContractError
from auparity.extraction.engines import BUILT_IN, PROCESSES, RAY, SERIAL, SPLIT, STREAMS
from auparity.extraction.engines.types import Engine, EngineSpec
from auparity.plugins import load_plugins
from auparity.reference.video_pipeline import VideoPipeline

ENTRY_POINTS = "auparity.engines"

Build = Callable[[VideoPipeline, int], Engine]


@dataclass
class EngineTable:
    """Engines by name. `engine_table()` is the one that everybody shares; tests make their own."""

    specs: dict[str, EngineSpec] = field(default_factory=dict)
    #: Entry points of other packages that could not be loaded, with the reason: shown by `auparity doctor`.
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, spec: EngineSpec) -> None:
        """Register one.

        Raises
        ------
        ContractError : the name is taken.
        """
        if spec.name in self.specs:
            taken = f"{spec.name!r} again; {self.specs[spec.name].provider} has registered it"
            raise ContractError("engines", "name", "a new name for an engine", taken)
        self.specs[spec.name] = spec

    def get(self, name: str) -> EngineSpec:
        """The engine of a name.

        Raises
        ------
        AuparityError : there is none; the message lists those that there are, and packages that could not be loaded.
        """
        if name not in self.specs:
            lines = [f"there is no engine {name!r}; there are"]
            lines += [f"  {spec.name:<10} {spec.help}" for spec in self]
            lines += [f"  package {package} could not be loaded: {error}" for package, error in self.broken.items()]
            raise AuparityError("\n".join(lines))
        return self.specs[name]

    def __iter__(self) -> Iterator[EngineSpec]:
        yield from self.specs.values()

    def register(self, name: str, help: str, **about: Any) -> Callable[[Build], Build]:
        """Decorator for a build function; `about` are the other fields of `EngineSpec`."""

        def decorate(build: Build) -> Build:
            self.add(EngineSpec(name, help, build, **about))
            return build

        return decorate


@dataclass(frozen=True)
class EngineChoice:
    """What a command line asks for, before there is a pipeline."""

    spec: EngineSpec
    at_a_time: int  #: jobs at a time

    def engine(self, pipeline: VideoPipeline) -> Engine:
        """The engine for a pipeline.

        Raises
        ------
        AuparityError : it cannot carry jobs of this pipeline; the message is the reason.
        """
        return self.spec.engine(pipeline, self.at_a_time)


_shared: EngineTable | None = None


def built_in() -> EngineTable:
    """A new table of the engines of this package alone."""
    table = EngineTable()
    table.register(SERIAL, BUILT_IN[SERIAL])(_build_serial)
    table.add(
        EngineSpec(
            PROCESSES,
            BUILT_IN[PROCESSES],
            _build_processes,
            check=_processes_unavailable,
            option="--processes",
            default_at_a_time=usable_cores,
        )
    )
    table.add(
        EngineSpec(
            STREAMS,
            BUILT_IN[STREAMS],
            _build_streams,
            check=_streams_unavailable,
            option="--streams",
            default_at_a_time=None,  # the memory of the GPU decides how many fit
        )
    )
    table.add(ray_spec())
    return table


def ray_spec(address: str | None = None) -> EngineSpec:
    """The engine that uses the Ray cluster at an address; None as of `auparity.extraction.engines.ray.cluster`."""

    def build(pipeline: VideoPipeline, at_a_time: int) -> Engine:
        from auparity.extraction.engines.ray.actor import PipelineRecipe
        from auparity.extraction.engines.ray.engine import RayEngine

        assert isinstance(pipeline, Pipeline)  # `_ray_unavailable` has looked
        return RayEngine(PipelineRecipe.of(pipeline), at_a_time, address)

    return EngineSpec(
        RAY,
        BUILT_IN[RAY],
        build,
        check=_ray_unavailable,
        option="--processes",
        other_options=("--streams",),
        default_at_a_time=lambda: 0,  # the cluster decides
    )


def engine_table() -> EngineTable:
    """The engines of this package and of every installed package that offers some, loaded once."""
    global _shared
    if _shared is None:
        _shared = built_in()
        _shared.broken |= load_plugins(ENTRY_POINTS)
    return _shared


def engine(name: str, help: str, **about: Any) -> Callable[[Build], Build]:
    """Decorator that registers a build function with the shared table, see `EngineSpec` for what `about` may hold.

    >>> @engine("mine", "one input after the other, my way", provider="my-package")
    ... def build(pipeline, at_a_time):
    ...     from my_package.engine import MyEngine
    ...     return MyEngine(pipeline)
    """
    return engine_table().register(name, help, **about)


def choose_engine(
    name: str | None = None,
    *,
    processes: int | None = None,
    streams: int | None = None,
    split: int | None = None,
    ray_address: str | None = None,
    jobs: int,
) -> EngineChoice:
    """The engine that the options of a command line ask for.

    Parameters
    ----------
    name : `--engine`. Without it, several jobs go into processes or streams where more than one of these is asked for,
        and everything else is carried serially; engines of other packages are then not even loaded.
    processes, streams : `--processes` and `--streams`; None where they are not given.
    split : processes of `--split`, 0 for as many as cores may be used; None where it is not given.
    ray_address : `--ray-address`, for the engine "ray" alone.
    jobs : how many there are.

    Raises
    ------
    AuparityError : no engine has this name, or it does not go with the other options.
    """
    if split is not None:
        others = {"--engine": name, "--processes": processes, "--streams": streams, "--ray-address": ray_address}
        if given := [f"{option} {value}" for option, value in others.items() if value is not None]:
            raise AuparityError(f"--split has all processes work on one clip, and does not go with {given[0]}")
        spec = EngineSpec(SPLIT, "one input after the other, each in parts", _build_split, check=_split_unavailable)
        return EngineChoice(spec, split or usable_cores())
    if ray_address is not None and name != RAY:
        raise AuparityError(f"--ray-address {ray_address} goes with --engine {RAY}")
    if name is not None:
        spec = engine_table().get(name) if ray_address is None else ray_spec(ray_address)
        return EngineChoice(spec, _at_a_time(spec, {"--processes": processes, "--streams": streams}))
    ours = built_in()
    processes, streams = processes or 1, streams or 1
    if max(processes, streams) == 1 or jobs <= 1:
        return EngineChoice(ours.get(SERIAL), 1)
    if processes > 1:
        return EngineChoice(ours.get(PROCESSES), processes)
    return EngineChoice(ours.get(STREAMS), streams)


def _at_a_time(spec: EngineSpec, given: dict[str, int | None]) -> int:
    """Jobs at a time of an engine that was named; `given` are the numbers by option."""
    for option, number in given.items():
        if option not in (spec.option, *spec.other_options) and number is not None and number > 1:
            needed = f"it takes {spec.option} N" if spec.option else "it takes no number"
            raise AuparityError(f"--engine {spec.name} does not go with {option} {number}: {needed}")
    number = given[spec.option] if spec.option else None
    if number is not None:
        return number
    if spec.default_at_a_time is None:
        raise AuparityError(f"--engine {spec.name} needs {spec.option} N, the number of inputs at a time")
    return spec.default_at_a_time()


# Each engine is imported when it is chosen: most runs have one input and need the serial one alone.
def _build_serial(pipeline: VideoPipeline, at_a_time: int) -> Engine:
    from auparity.extraction.engines.serial import SerialEngine

    return SerialEngine(pipeline)


def _build_streams(pipeline: VideoPipeline, at_a_time: int) -> Engine:
    from auparity.extraction.engines.streams import StreamEngine

    return StreamEngine(pipeline, at_a_time)


def _build_processes(pipeline: VideoPipeline, at_a_time: int) -> Engine:
    from auparity.extraction.engines.processes import ProcessEngine

    assert isinstance(pipeline, Pipeline)  # `_processes_unavailable` has looked
    return ProcessEngine(pipeline, at_a_time)


def _build_split(pipeline: VideoPipeline, at_a_time: int) -> Engine:
    from auparity.extraction.engines.split import SplitEngine

    assert isinstance(pipeline, Pipeline)  # `_split_unavailable` has looked
    if at_a_time == 1:  # one core has nothing to cut
        return _build_serial(pipeline, at_a_time)
    return SplitEngine(pipeline, at_a_time)


def _split_unavailable(pipeline: VideoPipeline, at_a_time: int) -> str | None:
    if isinstance(pipeline, Pipeline) and pipeline.advances_together:
        return "--split is for processors; on a GPU clips advance together: --streams N."
    return _not_float32(pipeline, "--split")


def _not_float32(pipeline: VideoPipeline, option: str) -> str | None:
    return None if isinstance(pipeline, Pipeline) else f"{option} needs --precision float32."


def _processes_unavailable(pipeline: VideoPipeline, at_a_time: int) -> str | None:
    if isinstance(pipeline, Pipeline) and pipeline.advances_together:
        return "--processes is for processors; on a GPU clips advance together: --streams N."
    return _not_float32(pipeline, "--processes")


def _streams_unavailable(pipeline: VideoPipeline, at_a_time: int) -> str | None:
    if isinstance(pipeline, Pipeline) and not pipeline.advances_together:
        return "--streams is for the GPU (--variants gpu); on processors --processes does the same."
    return _not_float32(pipeline, "--streams")


def _ray_unavailable(pipeline: VideoPipeline, at_a_time: int) -> str | None:
    if find_spec("ray") is None:
        from auparity.extraction.engines.ray.cluster import MISSING

        return MISSING
    if isinstance(pipeline, Pipeline) and not pipeline.advances_together and pipeline.options.streams > 1:
        return "--streams is for the GPU (--variants gpu); on processors every Ray actor measures one clip at a time."
    return _not_float32(pipeline, f"--engine {RAY}")
