"""``auparity dev kills``: kill ``auparity extract`` at random moments, and check what it leaves behind.

A run over several rendered clips, serial or in processes, is killed repeatedly (by SIGKILL, sometimes by SIGTERM), each
time at a random moment, and started again. After every kill none of its processes may run, no shared memory may be
left, and every table under its final name must be whole: its sidecar, if there is one, describes it and the outputs
beside it, and it is equal byte for byte to that of an undisturbed run. At the end there must be one table for every
clip.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auparity.errors import AuparityError
from auparity.fingerprints import fingerprint_of_file

#: Seconds that a run may take without being killed; a longer one counts as hanging.
LONGEST = 300.0
#: Environment variable that marks the processes of a study.
MARK = "AUPARITY_KILLS"
#: Share of kills by SIGTERM, which ends a run like Ctrl-C; the others are SIGKILL.
GENTLE_SHARE = 0.2
GRACE = 15.0  # s after a kill within which remaining processes must end
#: The same with Ray, two of whose agents notice about a minute after SIGKILL that nobody needs them. They measure
#: nothing, and are not ours to end.
GRACE_OF_RAY = 120.0
SHARED_MEMORY = Path("/dev/shm")


@dataclass
class Tally:
    """The results of the kills."""

    kills: int = 0
    finished: int = 0  # runs that ended before they were killed
    tables: int = 0  # whole tables that were checked
    problems: list[str] = field(default_factory=list)


class Study:
    """A few clips, and the command that measures them."""

    def __init__(self, folder: Path, clips: int, frames: int, options: Sequence[str]) -> None:
        from auparity.models.synthetic.clip_folder import write_clip

        self.folder, self.options = folder, list(options)
        self.names = [f"clip{number:02}" for number in range(clips)]
        for number, name in enumerate(self.names):
            write_clip(folder / "clips" / name, number, frames, canvas=(160, 160))
        self.grace = GRACE_OF_RAY if "ray" in self.options else GRACE
        self.expected: dict[str, str] = {}
        self.run(folder / "whole").wait()
        for name in self.names:
            self.expected[name] = fingerprint_of_file(folder / "whole" / f"{name}.csv").sha256

    def run(self, out: Path) -> subprocess.Popen[bytes]:
        """Start measuring the clips into a folder, in its own process group."""
        inputs = [str(self.folder / "clips" / name) for name in self.names]
        command = [sys.executable, "-m", "auparity", "extract", *inputs, "--models", "embedded", "-o", str(out)]
        return subprocess.Popen(
            [*command, *self.options], env=os.environ | {MARK: str(self.folder)},
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def check_tables(self, out: Path, tally: Tally) -> int:
        """Count the whole tables; faults are added to the tally."""
        whole = 0
        for name, sha256 in self.expected.items():
            table, sidecar = out / f"{name}.csv", out / f"{name}.csv.json"
            if not table.is_file():
                continue
            tally.tables += 1
            digest = fingerprint_of_file(table).sha256
            if digest != sha256:
                tally.problems.append(f"{table.name} is not the table of an undisturbed run")
            elif not sidecar.is_file() or json.loads(sidecar.read_text())["table"]["sha256"] != digest:
                tally.problems.append(f"{sidecar.name} does not describe its table")
            elif problem := _fault_of_outputs(out, json.loads(sidecar.read_text()).get("outputs", {})):
                tally.problems.append(problem)
            else:
                whole += 1
        return whole


def _fault_of_outputs(out: Path, described: dict[str, dict[str, Any]]) -> str | None:
    """What is wrong with the files beside a whole table; None if they are those that its sidecar describes."""
    for facts in described.values():
        path = out / facts["name"]
        if "files" in facts:
            if not path.is_dir() or len(list(path.iterdir())) != facts["files"]:
                return f"{path.name} does not hold {facts['files']} files"
        elif not path.is_file() or fingerprint_of_file(path).sha256 != facts["sha256"]:
            return f"{path.name} is not the file that its sidecar describes"
    return None


def kill_again_and_again(study: Study, count: int, seed: int) -> Tally:
    """Kill runs `count` times; a finished study begins anew in an empty folder."""
    generator, tally = random.Random(seed), Tally()
    out = study.folder / "killed"
    blocks = _blocks()
    life = _seconds_of(study)
    while tally.kills < count:
        process = study.run(out)
        moment = generator.uniform(0.0, 1.1 * life)
        number = signal.SIGTERM if generator.random() < GENTLE_SHARE else signal.SIGKILL
        try:
            process.wait(moment)
            tally.finished += 1
        except subprocess.TimeoutExpired:
            os.kill(process.pid, number)  # only the parent, as the kernel and schedulers do
            tally.kills += 1
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            tally.problems.append(f"hangs after {number.name} at {moment:.2f} s")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _check_nothing_is_left(study, blocks, tally, f"{number.name} at {moment:.2f} s")
        if study.check_tables(out, tally) == len(study.names):
            shutil.rmtree(out)
        _tell(tally, count)
    if out.exists():
        study.run(out).wait(LONGEST)
        if study.check_tables(out, tally) != len(study.names):
            tally.problems.append("the last run did not finish the study")
        stray = [path.name for path in out.iterdir() if {".part", ".tmp", ".lock", ".replaced"} & set(path.suffixes)]
        if stray:
            tally.problems.append(f"left after the last run: {', '.join(sorted(stray))}")
    return tally


def _seconds_of(study: Study) -> float:
    began = time.monotonic()
    study.run(study.folder / "timed").wait(LONGEST)
    return time.monotonic() - began


def _blocks() -> set[str]:
    return set(os.listdir(SHARED_MEMORY)) if SHARED_MEMORY.is_dir() else set()


def _still_running(folder: Path) -> list[int]:
    """Processes of the runs of a study: they, and all that they start, carry its mark in their environment."""
    mark, running = f"{MARK}={folder}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has just ended, or belongs to another user
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    running.append(int(entry.name))
    return running


def _check_nothing_is_left(study: Study, blocks: set[str], tally: Tally, when: str) -> None:
    deadline = time.monotonic() + study.grace
    while True:
        running, shared = _still_running(study.folder), _blocks() - blocks
        if not running and not shared:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    if running:
        tally.problems.append(f"{len(running)} processes still run {study.grace:.0f} s after {when}")
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    if shared:
        tally.problems.append(f"shared memory left after {when}: {', '.join(sorted(shared))}")
        blocks |= shared


def _tell(tally: Tally, count: int) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    text = f"{tally.kills} of {count} kills, {tally.finished} runs ended first, {tally.tables} tables checked, "
    print(f"{text}{len(tally.problems)} problems", end=end, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Kill runs and check what is left; the exit status is 1 if there was a problem."""
    parser = argparse.ArgumentParser(prog="auparity dev kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, metavar="N", help="kills (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    parser.add_argument("--clips", type=int, default=6, metavar="N", help="default: 6")
    parser.add_argument("--frames", type=int, default=12, metavar="N", help="frames of each clip (default: 12)")
    parser.add_argument("options", nargs="*", help="further options of `auparity extract`, after --")
    arguments = parser.parse_args(argv)
    if not Path("/proc/self/stat").exists():
        raise AuparityError("the check after a kill reads /proc, which this system does not have.")
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), arguments.clips, arguments.frames, arguments.options)
        tally = kill_again_and_again(study, arguments.count, arguments.seed)
    print(f"\n{tally.kills} kills, {tally.tables} tables checked, {len(tally.problems)} problems")
    print("\n".join(tally.problems))
    return 1 if tally.problems else 0
