"""The parts of the GPU benchmark: streams, stages, repeats and images, each as entries of a result file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.benchmarks.device.contenders import Contender, Film, Image, OneStream, Overlapped, Pictures, StepByStep
from auparity.benchmarks.device.rates import Rates, held_mib, release
from auparity.benchmarks.device.runs import CPU, Times, short, speeds, take_turns
from auparity.benchmarks.device.stages import Staged, time_photographs, time_steps
from auparity.benchmarks.device.workloads import DISTINCT, Models, Settings, photograph_workload, stream_workload
from auparity.benchmarks.parity_of_run import WAY, parity_of_run
from auparity.benchmarks.runner import REFERENCE_NAME, Progress
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.suite.device_parity import batches
from auparity.reference.options import PipelineOptions
from auparity.reports.results.records import MeasuredError, Speed, WorkloadRecord

#: Sizes of batches whose results must have the same bits, and the frames that they get.
BATCHES, BATCH_FRAMES = (1, 2, 3, 64), 10
STAGED = "every stage waited for"


@dataclass(frozen=True)
class Part:
    """The entries that one part adds to a result file."""

    workload: WorkloadRecord
    speeds: list[Speed] = field(default_factory=list)
    errors: list[MeasuredError] = field(default_factory=list)
    memory_mib: float | None = None


def stream_part(
    models: Models, device: Any, film: Film, settings: Settings, streams: int, progress: Progress
) -> Part:  # fmt: skip
    """Latency end to end, for several streams also throughput, and the parity of that run.

    Raises
    ------
    DeviceError : the device's memory does not suffice.
    """
    work = stream_workload(models, settings, streams, film.faces)
    release(device)
    pipeline = DevicePipeline(models.bundle, device, PipelineOptions(streams=streams))
    reference_steps = min(settings.reference_frames, settings.frames)
    contenders: list[Contender] = [
        OneStream(REFERENCE_NAME, models.reference, models.reference.variants, film, reference_steps),
        OneStream(CPU, models.cpu, models.cpu.variants, film, settings.frames),
        StepByStep(pipeline, film, streams, settings.frames),
    ]
    if streams > 1:
        contenders.append(Overlapped(pipeline, film, streams, settings.frames))
    times = take_turns(contenders, settings.rounds, progress=progress, name=work.name)
    memory = held_mib(device)
    timed_speeds = [
        replace(speed, peak_mib=memory if speed.pipeline.startswith("gpu") else None)
        for speed in speeds(work.name, times, 1, lambda own: _stream_note(own, memory))
    ]
    errors: list[MeasuredError] = []
    for own in times[1:]:
        errors += parity_of_run(work.name, own.contender.name, "float32", [times[0].results], [own.results])
    return Part(work, timed_speeds, errors, memory)


def _stream_note(own: Times, memory: float | None) -> str:
    if not isinstance(own.contender, StepByStep):
        return ""
    first = "the first frame is the first step of all streams" if own.contender.frames > 1 else ""
    return "; ".join(filter(None, [first, "memory is the device's" if memory is not None else ""]))


def stage_part(models: Models, device: Any, film: Film, settings: Settings, streams: int, rates: Rates) -> Part:
    """Stage by stage over the steady steps of some streams; errors as of `stream_part`."""
    work = stream_workload(models, settings, streams)
    release(device)
    staged = time_steps(models.bundle, device, film, streams, settings.frames, rates)
    return staged_part(work, f"gpu, {streams} stream{'s' if streams > 1 else ''}", staged, rates)


def staged_part(work: WorkloadRecord, name: str, staged: Staged, rates: Rates) -> Part:
    """Watched steps as a separate workload, because they do not compare with steps that do not wait."""
    work = replace(work, name=f"{work.name}-stages", description=f"{STAGED}: {work.description}")
    return Part(work, [_staged_speed(work.name, f"{name}, {STAGED}", staged, rates)])


def _staged_speed(workload: str, name: str, staged: Staged, rates: Rates) -> Speed:
    each = np.array(staged.steps) / staged.frames
    median, mean, p95 = map(short, (np.median(each), each.mean(), np.percentile(each, 95)))
    return Speed(workload, name, {}, median, mean, p95, [median], stages=staged.stages(), note=staged.note(rates))


def repeat_part(models: Models, device: Any, film: Film, settings: Settings) -> Part:
    """Count the values of a stream that differ between runs and between batches of several sizes; none may.

    Raises
    ------
    DeviceError : the device's memory does not suffice.
    """
    largest = max(settings.streams)
    work = stream_workload(models, settings, largest)
    release(device)
    pipeline = DevicePipeline(models.bundle, device, PipelineOptions(streams=largest))
    frames, stated, errors = film.clips[0][:BATCH_FRAMES], tolerance("batch", "values_differing"), []
    for size in sorted({size for size in BATCHES if size <= largest} | {1}):
        value = float(batches(pipeline, frames, [size]).max_error)
        figure = "values that differ in a second run" if size == 1 else f"values that differ in a batch of {size}"
        problem = "OUT OF TOLERANCE" if value > stated.tolerance else ""
        errors.append(
            MeasuredError(
                work.name, WAY, "", "gpu", figure, value, stated.tolerance, f"of {len(frames)} frames of one stream",
                stated.reason, problem=problem,
            )
        )  # fmt: skip
    return Part(work, errors=errors)


def photograph_part(
    models: Models, device: Any, images: Sequence[Image], settings: Settings, progress: Progress
) -> Part:  # fmt: skip
    """Images a second in one batch, beside one at a time on the CPU, and the parity of that run.

    Raises
    ------
    DeviceError : the device's memory does not suffice.
    """
    work, distinct = photograph_workload(models, images), min(DISTINCT, len(images))
    release(device)
    pipeline = DevicePipeline(models.bundle, device)
    gpu = Pictures(f"gpu, {len(images)} at a time", pipeline, pipeline.variants, images, len(images), 1)
    reference = Pictures(REFERENCE_NAME, models.reference, models.reference.variants, images, 1, distinct)
    cpu = Pictures(CPU, models.cpu, models.cpu.variants, images, 1, distinct)
    times = take_turns([reference, cpu, gpu], settings.rounds, progress=progress, name=work.name)
    memory = held_mib(device)
    timed_speeds = [
        replace(speed, peak_mib=memory if speed.pipeline == gpu.name else None)
        for speed in speeds(work.name, times, 0, lambda _: "")
    ]
    errors = [error for own in (cpu, gpu) for error in photograph_errors(work.name, own, reference)]
    return Part(work, timed_speeds, errors, memory)


def photograph_stage_part(
    models: Models, device: Any, images: Sequence[Image], settings: Settings, rates: Rates
) -> Part:  # fmt: skip
    """Stage by stage over a batch of images; errors as of `photograph_part`."""
    release(device)
    staged = time_photographs(models.bundle, device, images, settings.rounds, rates)
    return staged_part(photograph_workload(models, images), f"gpu, {len(images)} at a time", staged, rates)


def photograph_errors(workload: str, own: Pictures, reference: Pictures) -> list[MeasuredError]:
    """Compare the number of faces in every image with the reference and, where it agrees, the faces themselves."""
    pairs = list(zip(reference.faces, own.faces, strict=False))
    stated = tolerance("photographs", "faces")
    apart = float(max(abs(len(a) - len(b)) for a, b in pairs))
    problem = "OUT OF TOLERANCE" if apart > stated.tolerance else ""
    counted = MeasuredError(
        workload, WAY, "", own.name, "faces", apart, stated.tolerance, stated.unit, stated.reason, problem=problem
    )
    same = [(a, b) for a, b in pairs if len(a) == len(b)]
    sides = ([face for pair in same for face in pair[k]] for k in (0, 1))
    return [counted, *parity_of_run(workload, own.name, "float32", [next(sides)], [next(sides)])]
