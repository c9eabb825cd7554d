"""Benchmark of the pipeline that stays on the GPU: frames a second of many streams, latency of one, images, stages with
their floors, and whether the results are right.

``auparity dev bench-device [--streams 1 8 64] [--widen] [--models DIR] [--photographs 64] [-o FILE]``. All streams play
the same few rendered clips, from different frames on. The fastest CPU pipeline on one stream, and the reference on the
first frames, run in turns with the GPU in the same process; the timed run is compared with the reference. Results are
written after every part, so that Ctrl-C loses only the running one; a part that does not fit into the GPU's memory is
skipped with the reason. Exit status: 0; 1 if a figure is out of tolerance, or nothing could be measured; 5 if no GPU
can be used; 130 after Ctrl-C. This has not run on a GPU yet, only on the emulation of parity_tests/cuda_on_host, which
says nothing about speed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auparity.accelerated.cupy.device import shared_device
from auparity.accelerated.cupy.device import unavailable_reason as no_gpu_reason
from auparity.benchmarks.device.parts import (
    Part,
    photograph_part,
    photograph_stage_part,
    repeat_part,
    stage_part,
    stream_part,
)
from auparity.benchmarks.device.rates import Rates, gpu_facts, measure_rates
from auparity.benchmarks.device.workloads import (
    Models,
    Settings,
    render_film,
    render_group_film,
    render_pictures,
)
from auparity.benchmarks.repeat_command import repeating
from auparity.benchmarks.workloads import FORMATS
from auparity.errors import AuparityError, DeviceError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.parity_tests.compare.provenance import provenance
from auparity.reports.results.records import Provenance, Results, Skipped, save

EXIT_GOOD, EXIT_FAILED, EXIT_NOTHING, EXIT_INTERRUPTED = 0, 1, 5, 130
DEFAULT_OUTPUT = Path("results") / "bench" / "device.json"

#: The name of a part, and the function that measures it.
Job = tuple[str, Callable[[], Part]]


def measure(
    every: Sequence[Models], device: Any, settings: Settings, where: Provenance, rates: Rates, output: Path
) -> Results:
    """All parts on a device, written to `output` after each.

    Raises
    ------
    AuparityError : nothing could be measured, or a part raised it; earlier parts are written.
    """
    machine = where.machine | gpu_facts(device) | {"gpu_rates": rates.as_dict(), "gpu_memory_used_mib": {}}
    results = Results("benchmark", replace(where, machine=machine))
    for name, job in _jobs(every, device, settings, rates):
        _tell(name)
        try:
            part = job()
        except DeviceError as error:
            results = replace(results, skipped=[*results.skipped, Skipped(name, str(error))])
        else:
            results = _with(results, part)
        save(results, output)
    if not results.speeds:
        raise AuparityError("nothing could be measured: " + "; ".join(f"{s.what}: {s.why}" for s in results.skipped))
    return results


def _jobs(every: Sequence[Models], device: Any, settings: Settings, rates: Rates) -> Iterator[Job]:
    """The parts in their order, small ones first, so that these are done if a large one fails."""
    film, images = render_film(settings), render_pictures(settings)
    groups = render_group_film(settings) if settings.faces else None
    for models in every:
        for count in sorted(settings.streams):
            on = f"gpu on {models.name}, {count} streams"
            yield on, lambda m=models, n=count: stream_part(m, device, film, settings, n, _progress)  # type: ignore[misc]
            yield f"{on}, stages", lambda m=models, n=count: stage_part(m, device, film, settings, n, rates)  # type: ignore[misc]
            if groups is not None:
                name = f"{on} of {settings.faces} faces"
                yield name, lambda m=models, n=count: stream_part(m, device, groups, settings, n, _progress)  # type: ignore[misc]
        yield f"gpu on {models.name}, repeats", lambda m=models: repeat_part(m, device, film, settings)  # type: ignore[misc]
        if images:
            on = f"gpu on {models.name}, photographs"
            yield on, lambda m=models: photograph_part(m, device, images, settings, _progress)  # type: ignore[misc]
            yield f"{on}, stages", lambda m=models: photograph_stage_part(m, device, images, settings, rates)  # type: ignore[misc]


def _with(results: Results, part: Part) -> Results:
    workloads = [*results.workloads, *([] if part.workload in results.workloads else [part.workload])]
    where = results.provenance
    if part.memory_mib is not None:
        used = where.machine["gpu_memory_used_mib"] | {part.workload.name: part.memory_mib}
        where = replace(where, machine=where.machine | {"gpu_memory_used_mib": used})
    return replace(
        results, provenance=where, workloads=workloads, speeds=[*results.speeds, *part.speeds],
        errors=[*results.errors, *part.errors],
    )  # fmt: skip


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _progress(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name}: round {done} of {total} ", end="\n" if done == total else "", file=sys.stderr)


def summary(results: Results) -> str:
    """What was measured, a line each; then what failed and what was skipped."""
    lines = [
        f"{speed.workload}: {speed.pipeline}: {speed.ms_median:.4g} ms a frame, p95 {speed.ms_p95:.4g}; {speed.note}"
        for speed in results.speeds
    ]
    for speed in results.speeds:
        lines += [
            f"{speed.workload}: {speed.pipeline}: {stage.stage} {stage.ms:.4g} ms"
            + (f", floor {stage.floor_ms:.3g}" if stage.floor_ms else "")
            for stage in speed.stages
        ]
    lines += [
        f"{e.workload}: {e.variant}: {e.figure} {e.error} {e.unit}: {e.problem}" for e in results.errors if e.problem
    ]
    lines += [f"skipped: {entry.what}: {entry.why}" for entry in results.skipped]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="auparity dev bench-device", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    own = Settings()
    parser.add_argument(
        "--streams", type=int, nargs="+", default=list(own.streams), metavar="N", help="numbers of streams at once"
    )
    parser.add_argument("--frames", type=int, default=own.frames, metavar="N", help="frames of a stream in every round")
    parser.add_argument("--rounds", type=int, default=own.rounds, metavar="N", help="rounds, interleaved (%(default)s)")
    parser.add_argument(
        "--reference-frames", type=int, default=own.reference_frames, metavar="N",
        help="frames that the reference computes, for the parity of the run (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=own.clips, metavar="N", help="rendered clips, which streams share")
    parser.add_argument(
        "--format", default=own.format, choices=tuple(FORMATS), help="size of the frames (default: %(default)s)"
    )
    parser.add_argument("--widen", action="store_true", help="the embedded bundle with layers of OpenFace's sizes")
    parser.add_argument("--models", metavar="SOURCE", help="another bundle as well, with --landmark-model of it")
    parser.add_argument("--landmark-model", default="clnf", choices=("auto", "clnf", "ceclm"), help="default: clnf")
    parser.add_argument("--photographs", type=int, default=0, metavar="N", help="images in a batch; default: 0, none")
    parser.add_argument("--faces", type=int, default=0, metavar="N", help="people in each frame; default: 0, one only")
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FILE", help="default: %(default)s"
    )
    return parser


def _settings(chosen: argparse.Namespace) -> Settings:
    for name, least in (
        ("frames", 2),
        ("rounds", 2),
        ("reference_frames", 2),
        ("clips", 1),
        ("photographs", 0),
        ("faces", 0),
    ):
        if getattr(chosen, name) < least:
            raise AuparityError(f"--{name.replace('_', '-')} {getattr(chosen, name)}: at least {least}.")
    if min(chosen.streams) < 1:
        raise AuparityError(f"--streams {min(chosen.streams)}: at least 1.")
    width, height, face = FORMATS[chosen.format]
    return Settings(
        tuple(sorted(set(chosen.streams))), chosen.frames, chosen.rounds, chosen.reference_frames, chosen.clips,
        chosen.photographs, chosen.format, (width, height), face, chosen.faces,
    )  # fmt: skip


def _models(chosen: argparse.Namespace) -> list[Models]:
    embedded = Bundle.embedded(networks=False)
    models = [
        Models("widened", embedded.widen(), "CE-CLM layers of OpenFace's sizes")
        if chosen.widen
        else Models("embedded", embedded, "the embedded bundle")
    ]
    if chosen.models:
        other = open_bundle(chosen.models, chosen.landmark_model)
        models.append(Models(chosen.landmark_model, other, f"{other.meta.name}, {other.face.name}"))
    return models


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    given = sys.argv[1:] if arguments is None else arguments
    chosen = _parser().parse_args(given)
    try:
        settings = _settings(chosen)
        if reason := no_gpu_reason():
            raise VariantUnavailable(reason)
        device, every = shared_device(), _models(chosen)
        if "OMP_NUM_THREADS" not in os.environ:
            _tell("OMP_NUM_THREADS is not set: BLAS may use more than one thread of the CPU beside the GPU.")
        other = every[-1].bundle if chosen.models else None
        command = repeating("auparity dev bench-device", given, other)
        where = provenance(command, yardstick=True)
        results = measure(every, device, settings, where, measure_rates(device), chosen.output)
    except VariantUnavailable as error:
        _tell(f"the GPU cannot be used: {error}")
        return EXIT_NOTHING
    except AuparityError as error:
        _tell(f"error: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        _tell(f"interrupted; the finished parts are in {chosen.output}")
        return EXIT_INTERRUPTED
    print(summary(results))
    print(f"Written: {chosen.output}. To make a page of it: auparity report {chosen.output}")
    return EXIT_GOOD if results.passed else EXIT_FAILED
