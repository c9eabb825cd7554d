"""``auparity bench --whole CLIP...``: whole processes, as users start them, timed in turns.

Ours is ``auparity extract``; the other one is OpenFace's FeatureExtraction, if ``OPENFACE_BIN`` names it. Each runs on
the first frame of a clip and on more frames. The first run says how long it takes from the command to the first result,
the difference of the two what a further frame costs; decoding and writing are included. CPU time and peak memory are
those of the process and of all that it started and waited for (POSIX only). Of several passes the best counts: other
work on the machine only ever makes a run longer. Caches are warm, because a run that is not timed comes first.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auparity.benchmarks.peers.frame_files import write_bmp
from auparity.benchmarks.peers.openface_binary import VARIABLE, OpenFaceBinary
from auparity.benchmarks.throughput import read_frames
from auparity.errors import AuparityError
from auparity.media import images_in
from auparity.models.bundle import Bundle
from auparity.reports.results.records import Provenance, Results, Skipped, Speed, WorkloadRecord, save

OURS, PEER = "auparity extract", "peer: OpenFace"
MIB = 2**20
#: Makes the command of a program for a folder of frames and a folder for results.
Command = Callable[[Path, Path], list[str]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Run:
    """One process from its start to its end; None where the system does not say."""

    wall_s: float
    cpu_s: float | None
    peak_mib: float | None


#: A small process that starts the one to be measured and writes what it needed. On Linux the peak memory of a process
#: begins with the size of the one that started it, which holds the frames of a whole clip here.
LAUNCHER = """
import json, os, subprocess, sys, time
found, start = {"cpu_s": None, "peak": None}, time.perf_counter()
try:
    process = subprocess.Popen(sys.argv[2:])
    if hasattr(os, "wait4"):
        _, status, used = os.wait4(process.pid, 0)
        found.update(status=os.waitstatus_to_exitcode(status))
        found.update(cpu_s=used.ru_utime + used.ru_stime, peak=used.ru_maxrss)
    else:
        found.update(status=process.wait())
except OSError as error:
    found.update(error=error.strerror or str(error))
found.update(wall_s=time.perf_counter() - start)
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump(found, file)
"""


def timed(command: list[str], folder: Path) -> Run:
    """Run a command; its output goes to a file in `folder`.

    Raises
    ------
    AuparityError : it cannot be started, or ends with another status than 0; the message has its last line.
    """
    log, figures = folder / "log.txt", folder / "figures.json"
    figures.unlink(missing_ok=True)
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(figures), *command]
    with log.open("wb") as output:
        subprocess.run(launched, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder, check=False)
    try:
        found = json.loads(figures.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AuparityError(f"{command[0]}: what started it ended: {_last_line(log)}") from error
    if problem := found.get("error"):
        raise AuparityError(f"{command[0]}: cannot be started ({problem}).")
    if found["status"]:
        raise AuparityError(f"{command[0]}: ended with status {found['status']}: {_last_line(log)}")
    peak = found["peak"]  # bytes there, KiB elsewhere
    return Run(found["wall_s"], found["cpu_s"], peak and peak / (MIB if sys.platform == "darwin" else MIB / 1024))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def our_command(options: list[str]) -> Command:
    """``auparity extract`` with further options."""
    start = [sys.executable, "-m", "auparity", "extract", "--quiet", "--overwrite"]
    return lambda frames, out: [*start, str(frames), "-o", str(out), *options]


def peer_command(landmark_model: str) -> Command:
    """OpenFace's program, which looks for its models beside itself."""
    program = str(Path(os.environ[VARIABLE]).resolve())
    model = f"model/{landmark_model}.txt"
    return lambda frames, out: [program, "-fdir", str(frames), "-out_dir", str(out), "-of", "result", "-mloc", model]


def whole(
    clips: list[Path], bundle: Bundle, options: list[str], where: Provenance, *, frames: int, passes: int,
    output: Path, progress: Progress,
) -> Results:  # fmt: skip
    """Time whole processes on clips, and write a result file.

    Parameters
    ----------
    bundle : the models that `options` name, for the record.
    options : of ``auparity extract``.
    frames : of the longer runs.
    """
    peer = OpenFaceBinary(bundle.landmarker_name)
    commands = {OURS: our_command(options)}
    skipped = []
    if reason := peer.unavailable_reason():
        skipped.append(Skipped(PEER, reason))
    else:
        commands[PEER] = peer_command(bundle.landmarker_name)
    works, speeds = [], []
    for clip in clips:
        with tempfile.TemporaryDirectory(prefix="auparity-whole-") as name:
            work, folders = _prepared(clip, bundle, frames, Path(name))
            works.append(work)
            speeds += _timed_in_turns(work, folders, commands, passes, progress)
        save(Results("benchmark", where, works, speeds, skipped=skipped), output)
    return Results("benchmark", where, works, speeds, skipped=skipped)


def _prepared(clip: Path, bundle: Bundle, most: int, folder: Path) -> tuple[WorkloadRecord, dict[int, Path]]:
    """The clip's record, and a folder of images for each number of frames."""
    frames = read_frames(clip, most)
    if len(frames) < 2:
        raise AuparityError(f"{clip}: has {len(frames)} frames; at least 2 are needed to time a further one.")
    files = images_in(clip) if clip.is_dir() else []
    folders = {count: folder / f"{count} frames" for count in (1, len(frames))}
    for count, place in folders.items():
        place.mkdir()
        for k, frame in enumerate(frames[:count]):
            if files:
                (place / f"{k:06d}{files[k].suffix.lower()}").symlink_to(files[k].resolve())
            else:
                write_bmp(place / f"{k:06d}.bmp", frame.image)
    height, width = frames[0].image.shape[:2]
    record = WorkloadRecord(
        clip.stem, bundle.meta.name, bundle.content_hash, bundle.landmarker_name, "stream", len(frames), width, height,
        "whole processes",
    )  # fmt: skip
    return record, folders


def _timed_in_turns(
    work: WorkloadRecord, folders: dict[int, Path], commands: dict[str, Command], passes: int, progress: Progress
) -> list[Speed]:
    runs: dict[tuple[str, int], list[Run]] = {(name, count): [] for name in commands for count in folders}
    for k in range(passes + 1):  # the first is not timed: it fills caches, of ours and of the system
        for (name, count), done in runs.items():
            with tempfile.TemporaryDirectory(prefix="auparity-whole-") as out:
                run = timed(commands[name](folders[count], Path(out)), Path(out))
            if k:
                done.append(run)
        progress(work.name, k, passes)
    first, last = folders
    return [speed_of(work, name, runs[name, first], runs[name, last]) for name in commands]


def speed_of(work: WorkloadRecord, name: str, short: list[Run], long: list[Run]) -> Speed:
    """The record of runs on one frame and on all of them, pass by pass."""
    further = work.frames - 1
    each = [1000 * (b.wall_s - a.wall_s) / further for a, b in zip(short, long, strict=True)]
    start, whole_s = min(run.wall_s for run in short), min(run.wall_s for run in long)
    best = 1000 * (whole_s - start) / further
    cpu_start, cpu_whole, peak = (_least(values) for values in (
        [run.cpu_s for run in short], [run.cpu_s for run in long], [run.peak_mib for run in long],
    ))  # fmt: skip
    cpu = None if cpu_start is None or cpu_whole is None else 1000 * (cpu_whole - cpu_start) / further
    return Speed(
        work.name, name, {}, best, statistics.fmean(each), max(each), each, start_s=start, start_cpu_s=cpu_start,
        cpu_ms=cpu, peak_mib=peak, note=_note(work.frames, start, whole_s, best, cpu_start, cpu_whole, cpu, peak),
    )  # fmt: skip


def _least(values: list[float | None]) -> float | None:
    given = [value for value in values if value is not None]
    return min(given) if given else None


def _note(
    frames: int, start: float, whole_s: float, best: float, cpu_start: float | None, cpu_whole: float | None,
    cpu: float | None, peak: float | None,
) -> str:  # fmt: skip
    words = f"first result after {start:.2f} s, a further frame {best:.2f} ms, {frames} frames in {whole_s:.2f} s"
    if cpu_start is not None and cpu_whole is not None:
        words += f"; CPU {cpu_start:.2f} s, {cpu:.2f} ms, {cpu_whole:.2f} s"
    return words if peak is None else f"{words}; peak {peak:.0f} MiB"
