"""A whole benchmark: every spec on every workload, and cold starts. Results are written after every workload."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from auparity.accelerated.choices import BEST, parse_spec
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import EMULATED
from auparity.benchmarks.cold import cold_start
from auparity.benchmarks.memory import peak_mib
from auparity.benchmarks.peers.comparison import OurPipeline, compare
from auparity.benchmarks.peers.peer import Clip, Peer
from auparity.benchmarks.runner import PASSES, REFERENCE_FRAMES, REFERENCE_NAME, Progress, measure
from auparity.benchmarks.workloads import TimedWorkload
from auparity.errors import AuparityError, VariantUnavailable
from auparity.reports.results.records import Provenance, Results, Skipped, Speed, save


def quiet(name: str, done: int, total: int) -> None:
    """No progress."""


def bench(
    works: Iterable[TimedWorkload],
    specs: Sequence[str],
    provenance: Provenance,
    *,
    passes: int = PASSES,
    reference_frames: int = REFERENCE_FRAMES,
    peers: Sequence[Peer] = (),
    output: Path | None = None,
    progress: Progress = quiet,
) -> Results:
    """Time every spec on every workload.

    Parameters
    ----------
    specs : variants, as `parse_spec` reads them; a spec that cannot run on a workload's models is skipped there, with
        the reason.
    peers : other programs, run on the workloads that are clips of the user.
    output : result file, written again after every workload, so that Ctrl-C loses only the running workload.

    Raises
    ------
    AuparityError : nothing could be timed.
    """
    results = Results("benchmark", provenance)
    for work in works:
        able, whys = _able(work, specs)
        results = replace(results, skipped=[*results.skipped, *whys])
        if able:
            speeds, errors = measure(
                work, able, provenance, passes=passes, reference_frames=reference_frames, progress=progress
            )  # fmt: skip
            results = replace(
                results,
                workloads=[*results.workloads, work.record()],
                speeds=[*results.speeds, *(_with_cold_start(work, speed) for speed in speeds)],
                errors=[*results.errors, *errors],
            )
            if work.path is not None:
                results = _with_peers(results, work, peers)
        if output is not None:
            save(results, output)
    if not results.speeds:
        raise AuparityError("nothing could be timed: " + "; ".join(f"{s.what}: {s.why}" for s in results.skipped))
    return results


def _with_peers(results: Results, work: TimedWorkload, peers: Sequence[Peer]) -> Results:
    """Peers on the frames of a workload; the fastest pipeline runs again right before each of them."""
    if not peers or work.path is None:
        return results
    clip = Clip(work.path, list(work.clips[0]), whole=work.whole)
    reference = next(
        (s.ms_median for s in results.speeds if (s.workload, s.pipeline) == (work.name, REFERENCE_NAME)), None
    )
    ours: OurPipeline | None = None
    speeds, skipped = list(results.speeds), list(results.skipped)
    for peer in peers:
        name = f"peer: {peer.name}"
        if reason := peer.unavailable_reason():
            skipped.append(Skipped(f"{name} on {work.name}", reason))
            continue
        ours = ours or OurPipeline(Pipeline.best(work.bundle), clip)
        try:
            row = compare(peer, ours, clip)
        except AuparityError as error:
            skipped.append(Skipped(f"{name} on {work.name}", f"failed: {error}"))
            continue
        apart = {"landmarks_px": "landmarks {:.3f} px", "aus": "AUs {:.3f}", "boxes_px": "boxes {:.2f} px"}
        differs = ", ".join(text.format(row[key]) for key, text in apart.items() if row[key] is not None)
        note = f"{row['version']}; {peer.measures}; difference from best: {differs or 'cannot be compared'}"
        note += f"; best is {row['ratio']:.1f} times as fast; peers use all threads. {row['note']}"
        ms = float(row["ms"])
        ratio = None if reference is None else reference / ms
        speeds.append(Speed(work.name, name, {}, ms, ms, ms, [ms], ratio, note=note.strip()))
    return replace(results, speeds=speeds, skipped=skipped)


def _able(work: TimedWorkload, specs: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    able, whys = [], []
    for spec in specs:
        try:
            chosen = parse_spec(work.bundle, spec)
        except VariantUnavailable as error:
            whys.append(Skipped(f"{spec} on {work.name}", str(error)))
        else:
            able.append(spec)
            not_run = dict.fromkeys(choice.variant.not_run for choice in chosen.values() if choice.variant.not_run)
            whys += [Skipped(f"{spec.replace(EMULATED, '')} on {work.name}", why) for why in not_run]
    return able, whys


def _with_cold_start(work: TimedWorkload, speed: Speed) -> Speed:
    """Start-up and peak memory of a fresh process, with the pipeline that users get and models that it can open."""
    if speed.pipeline != BEST or work.models is None or work.kind != "stream":
        return speed
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "frame.png"
        cv2.imwrite(str(picture), work.clips[0][0])
        start = cold_start(*work.models, BEST, picture)
    note = f"import {start['import_s']:.2f} s; this process, which holds all workloads, {peak_mib()} MiB at most"
    return replace(speed, start_s=start["first_result_s"], peak_mib=start["peak_mib"], note=note)
