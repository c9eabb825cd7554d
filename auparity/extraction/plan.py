"""How long many inputs will take: their frames counted or estimated, and a short run of a few of them measured.

Time is taken to be linear: a run costs something to start, each input something once (opening, finding the face, its
table), each frame something. The three follow from three runs through the engine and with the settings of the run that
is planned: few inputs to few frames, more inputs, more frames. A run before them is not counted (compiling).
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from auparity.errors import AuparityError
from auparity.extraction.engines.types import Engine
from auparity.extraction.jobs import Job
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings
from auparity.media import open_clip, printable

#: Clips that are opened to count frames; the rest is estimated from these.
COUNTED = 200
#: Clips that are measured, and frames of each in the two runs; of short clips a third in the first.
SAMPLE, SHORT, LONG = 6, 20, 120
#: Frames of a second of footage where a file does not say.
ASSUMED_FPS = 30.0
#: 95 % of a normal distribution lie within so many standard errors.
CONFIDENCE = 1.96
SEED = 17


@dataclass(frozen=True)
class Work:
    """What there is to do."""

    clips: int
    images: int
    frames: float  #: of all clips
    frames_error: float  #: half the width of the 95 % interval; 0 where every clip was counted
    footage: float  #: seconds
    longest: float  #: frames of the longest clip, as far as is known
    counted: int  #: clips that were opened
    unreadable: int  #: of those


@dataclass(frozen=True)
class Cost:
    """What a run costs on this machine, with so many inputs at a time."""

    engine: str
    at_a_time: int
    input_seconds: float  #: of the clock, for each input
    frame_seconds: float  #: of the clock, for each frame
    start_seconds: float  #: once
    output_bytes: float  #: for each frame
    sample: int  #: clips that were measured
    frames: int  #: that were measured


@dataclass(frozen=True)
class Estimate:
    """How long it takes."""

    nodes: int
    hours: float
    limit: str  #: what decides it


def count(jobs: Sequence[Job], settings: ExtractionSettings, most: int = COUNTED) -> Work:
    """Frames of the jobs: of at most so many clips as their files declare, of all by the size of the files.

    Where the sizes of all files are known, frames are taken to be in proportion to them (a ratio estimate), else the
    mean of those that were opened stands for the others.
    """
    clips = [job for job in jobs if job.kind == "clip"]
    chosen = clips if len(clips) <= most else random.Random(SEED).sample(clips, most)
    found = [(job, *_declared(job, settings)) for job in chosen]
    known = [(job, frames, seconds) for job, frames, seconds in found if frames is not None]
    sizes = {id(job): _size(job) for job in clips}
    if len(chosen) < len(clips) and all(sizes.values()):
        frames, error, longest = _by_size(known, sizes)
    else:
        frames, error = _by_mean([frames for _, frames, _ in known], len(clips) - (len(found) - len(known)), len(clips))
        longest = max((frames for _, frames, _ in known), default=0.0)
    measured = sum(frames for _, frames, _ in known)
    footage = sum(seconds for *_, seconds in known) * (frames / measured if measured else 1.0)
    images = sum(job.kind == "photograph" for job in jobs)
    return Work(len(clips), images, frames, error, footage, longest, len(found), len(found) - len(known))


def _declared(job: Job, settings: ExtractionSettings) -> tuple[float | None, float]:
    """Frames and seconds of a clip as its file declares them; None where it cannot be opened or does not say."""
    if job.origin.address:
        return None, 0.0
    try:
        with open_clip(
            job.path, timestamps=settings.timestamps, fps=settings.fps, max_pixels=settings.max_pixels
        ) as source:
            frames, fps = source.n_frames, source.fps
    except AuparityError:  # it will fail by itself in the run
        return None, 0.0
    if frames is None:
        return None, 0.0
    if settings.max_frames is not None:
        frames = min(frames, settings.max_frames)
    return float(frames), frames / (fps or ASSUMED_FPS)


def _size(job: Job) -> int:
    """Bytes of a clip's file; 0 where they are not known (a folder, an address)."""
    try:
        return job.path.stat().st_size if not job.origin.address and job.path.is_file() else 0
    except OSError:
        return 0


def _by_size(known: Sequence[tuple[Job, float, float]], sizes: dict[int, int]) -> tuple[float, float, float]:
    """Frames of all clips, their error, and of the largest clip, in proportion to the bytes."""
    if not known:
        return 0.0, 0.0, 0.0
    own = [sizes[id(job)] for job, *_ in known]
    ratio = sum(frames for _, frames, _ in known) / sum(own)
    total, n, m = sum(sizes.values()), len(sizes), len(known)
    rest = [frames - ratio * size for (_, frames, _), size in zip(known, own, strict=True)]
    variance = sum(value * value for value in rest) / max(m - 1, 1)
    error = CONFIDENCE * n * math.sqrt(variance / m * max(1 - m / n, 0.0))
    return ratio * total, error, ratio * max(sizes.values())


def _by_mean(frames: Sequence[float], readable: int, clips: int) -> tuple[float, float]:
    if not frames:
        return 0.0, 0.0
    mean, m = sum(frames) / len(frames), len(frames)
    variance = sum((value - mean) ** 2 for value in frames) / max(m - 1, 1)
    left = max(1 - m / clips, 0.0) if readable > m else 0.0
    return mean * readable, CONFIDENCE * readable * math.sqrt(variance / m * left)


def measure(
    jobs: Sequence[Job],
    settings: ExtractionSettings,
    engine: Engine,
    at_a_time: int,
    reporter: QuietReporter,
    stop: Callable[[], bool],
    sample: int = SAMPLE,
) -> Cost:
    """Run a sample of the jobs, and see what a run, an input and a frame cost.

    Raises
    ------
    AuparityError : none of the sample can be measured.
    """
    clips = [job for job in jobs if job.kind == "clip"] or [job for job in jobs if job.kind == "photograph"]
    chosen = random.Random(SEED).sample(clips, min(len(clips), max(sample, 3 * at_a_time)))
    few = chosen[: max(1, min(at_a_time, len(chosen) - 1))]
    reporter.say(f"measuring {len(chosen)} of {len(clips)} inputs, at most {LONG} frames of each")
    with tempfile.TemporaryDirectory(prefix="auparity-plan-") as folder:

        def run(name: str, of: Sequence[Job], most: int, told: QuietReporter) -> _Run:
            own = replace(settings, output_dir=Path(folder, name), output_address="", max_frames=most)
            return _timed(engine, of, own, told, stop)

        run("first", chosen, 2, reporter)
        long = run("long", chosen, LONG, _Silent())
        if not long.inputs or not long.frames:
            names = ", ".join(printable(job.shown) for job in chosen[:3])
            raise AuparityError(f"none of the {len(chosen)} inputs that were tried could be measured ({names}, ...).")
        most = max(1, min(SHORT, long.frames // long.inputs // 3))
        start, short = run("start", few, most, _Silent()), run("short", chosen, most, _Silent())
    # Three unknowns, three runs. Images and clips of a frame or two give no rate: all is then the cost of an input.
    more = long.frames - short.frames
    frame = max(long.seconds - short.seconds, 0.0) / more if more > 0 else 0.0
    others = short.inputs - start.inputs
    rest = short.seconds - start.seconds - frame * (short.frames - start.frames)
    of_input = max(rest, 0.0) / others if others > 0 else max(short.seconds - frame * short.frames, 0.0) / short.inputs
    begun = max(start.seconds - of_input * start.inputs - frame * start.frames, 0.0)
    return Cost(engine.name, at_a_time, of_input, frame, begun, long.n_bytes / long.frames, long.inputs, long.frames)


@dataclass(frozen=True)
class _Run:
    seconds: float
    inputs: int
    frames: int
    n_bytes: int


def _timed(
    engine: Engine, jobs: Sequence[Job], settings: ExtractionSettings, reporter: QuietReporter, stop: Callable[[], bool]
) -> _Run:
    begun = time.monotonic()
    outcomes = engine.run(jobs, settings, reporter, stop)
    seconds = time.monotonic() - begun
    if stop():
        raise AuparityError("stopped before the sample was measured.")
    good = [outcome for outcome in outcomes if outcome.status in ("done", "incomplete")]
    files = [path for path in settings.output_dir.rglob("*") if path.is_file()]
    n_bytes = sum(path.stat().st_size for path in files)
    return _Run(seconds, len(good), sum(outcome.rows for outcome in good), n_bytes)


class _Silent(QuietReporter):
    """The same problems were reported in the first run."""

    def say(self, text: str) -> None:
        """Nothing is said twice."""


def estimate(work: Work, cost: Cost, nodes: int, dispatch_seconds: float = 0.0) -> Estimate:
    """How long so many machines like this one take.

    Parameters
    ----------
    dispatch_seconds : what one program spends on handing out an input and taking its outcome, when it does so for all
        machines (Ray); 0 for machines that each have a list of their own.
    """
    inputs = work.clips + work.images
    busy = (inputs * cost.input_seconds + work.frames * cost.frame_seconds) / nodes + cost.start_seconds
    # One input is on one worker, which takes as many times longer as there are inputs at a time.
    alone = cost.at_a_time * (cost.input_seconds + work.longest * cost.frame_seconds) + cost.start_seconds
    limits = {"the work": busy, "the longest input": alone, "handing out inputs": inputs * dispatch_seconds}
    limit = max(limits, key=lambda name: limits[name])
    return Estimate(nodes, limits[limit] / 3600, limit)


def described(work: Work, cost: Cost, estimates: Sequence[Estimate], cores: int) -> str:
    """The answer in words and a table (Markdown)."""
    of = "declared by their files" if work.counted == work.clips else f"estimated from {work.counted} of them"
    error = f" (+- {_whole(work.frames_error)})" if work.frames_error >= 1 else ""
    lines = [
        f"{work.clips} clips, {work.images} images: {_whole(work.frames)} frames{error}, "
        f"{work.footage / 3600:.2f} hours of footage; frames {of}."
    ]
    if work.unreadable:
        lines.append(
            f"{work.unreadable} of {work.counted} clips do not say how many frames they have, or cannot be read."
        )
    per = f"{1 / cost.frame_seconds:.1f} frames/s" if cost.frame_seconds else "no clip was long enough for a rate"
    total = (work.clips + work.images) * cost.input_seconds + work.frames * cost.frame_seconds
    lines += [
        f"Measured here on {cost.sample} inputs ({cost.frames} frames), engine {cost.engine}, {cost.at_a_time} at a "
        f"time: {per}, {1000 * cost.input_seconds:.0f} ms more for each input, {cost.start_seconds:.1f} s to start.",
        f"Work: {total * cost.at_a_time / 3600:.2f} worker hours (one of {cost.at_a_time} on this machine of {cores} "
        f"cores). Output: {work.frames * cost.output_bytes / 2**30:.2f} GiB.",
        "",
        "| machines like this one | hours | decided by |",
        "|---|---|---|",
    ]
    lines += [f"| {each.nodes} | {each.hours:.2f} | {each.limit} |" for each in estimates]
    return "\n".join(lines)


def _whole(number: float) -> str:
    return f"{round(number):,}"
