"""Parity and speed of Numba's variants on processors that this one can play: ``auparity dev processors``.

Each processor (kinds.py) is a process with its own kernels. They take turns, a pass over a clip each, and of the passes
the least CPU time of a frame counts, so that other work on the machine changes little. The results of all frames are
compared bit by bit with those of this processor as it is. With --parity the parity suite runs on each as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.provenance import provenance
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.processors import timed
from auparity.parity_tests.processors.kinds import Kind, kinds_here
from auparity.parity_tests.processors.timed import Pass
from auparity.reports.results.records import MeasuredError, Results, Speed, StageSpeed, WorkloadRecord, save

EXIT_GOOD, EXIT_FAILED, EXIT_NOTHING = 0, 1, 5
WORKLOADS, FRAMES, PASSES = ("clip-240p", "clip-480p"), 40, 5
#: The suite's run on each processor: without recordings, and judged by tolerances, because baselines are of this one.
PARITY = ("parity", "--technology", "numba", "--quick", "--no-recordings", "--no-baselines")


@dataclass
class Player:
    """The process of one processor, and what it found."""

    kind: Kind
    process: subprocess.Popen[str]
    found: dict[str, list[Pass]] = field(default_factory=dict)  #: passes by workload

    def ask(self, work: str) -> None:
        """Begin a pass; `answer` waits for it."""
        with suppress(OSError):  # it has ended, which `answer` finds
            self.process.stdin.write(work + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]

    def answer(self, work: str) -> None:
        """Take note of the pass that was begun.

        Raises
        ------
        AuparityError : the process ended.
        """
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise AuparityError(f"{self.kind.title}: the process ended with status {self.process.wait()}; see above.")
        self.found.setdefault(work, []).append(Pass(**json.loads(line)))

    def best(self, work: str) -> Pass:
        """The pass with the least CPU time a frame; the first, which compiles, is none of them."""
        return min(self.found[work][1:], key=lambda each: each.ms)


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 0: parity holds, 1: it does not, or an error, 5: no other processor to play."""
    parser = argparse.ArgumentParser(
        prog="auparity dev processors", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--workload", action="append", metavar="NAME",
        help=f"of `auparity bench --list`; may be given again (default: {', '.join(WORKLOADS)}); "
        f"{timed.RECORDED} is the first recorded clip",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"of each clip (default: {FRAMES})")
    parser.add_argument("--passes", type=int, default=PASSES, metavar="N", help=f"timed passes (default: {PASSES})")
    parser.add_argument("--only", action="append", metavar="KIND", help="avx2 or no-avx; may be given again")
    parser.add_argument("--parity", action="store_true", help="run the parity suite on each processor, too")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("results") / "processors", metavar="DIR",
        help="folder of result files for `auparity report` (default: results/processors)",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    if chosen.frames < 2 or chosen.passes < 1:
        parser.error("--frames: at least 2, and --passes at least 1")
    here = kinds_here()
    if unknown := [name for name in chosen.only or () if name not in {kind.name for kind in here[1:]}]:
        parser.error(f"--only {unknown[0]}: here are {', '.join(kind.name for kind in here[1:]) or 'none'}")
    played = [here[0], *(kind for kind in here[1:] if not chosen.only or kind.name in chosen.only)]
    if len(played) < 2:
        print("this processor is not of x86-64, or has no AVX: there is no other that it can play")
        return EXIT_NOTHING
    failed = [kind.title for kind in played if chosen.parity and not parity(kind, chosen.output)]
    players = take_turns(played, chosen.workload or WORKLOADS, chosen.frames, chosen.passes)
    results = results_of(players, chosen.frames)
    save(results, chosen.output / "speed.json")
    print(table(players))
    print(f"Written: {chosen.output}")
    for title in failed:
        print(f"FAILED: parity on {title}")
    return EXIT_FAILED if failed or not results.passed else EXIT_GOOD


def parity(kind: Kind, folder: Path) -> bool:
    """Run the parity suite on a processor; whether it passed. Its result file is named after the processor."""
    print(f"parity on {kind.title}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"parity-{kind.name}.json"
    command = [sys.executable, "-m", "auparity", *PARITY, "-o", str(output)]
    done = subprocess.run(command, env=kind.of(os.environ), check=False, capture_output=True, text=True)
    print("\n".join(done.stdout.splitlines()[-1:]) if done.returncode == 0 else done.stdout + done.stderr, flush=True)
    return done.returncode == 0


def take_turns(played: Sequence[Kind], works: Sequence[str], frames: int, passes: int) -> list[Player]:
    """One untimed pass of every processor over every workload, then `passes` in turns.

    Raises
    ------
    AuparityError : there is no such workload, or a process ended.
    """
    with tempfile.TemporaryDirectory() as place:
        for work in works:
            timed.keep_frames(Path(place), work, frames)
        return _played(played, works, place, passes)


def _played(played: Sequence[Kind], works: Sequence[str], place: str, passes: int) -> list[Player]:
    """The passes over the frames in a folder."""
    players = []
    try:
        for kind in played:
            command = [sys.executable, "-m", timed.__name__, place]
            process = subprocess.Popen(
                command, env=kind.of(os.environ), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            players.append(Player(kind, process))
        for work in works:
            print(f"{work}: compiling", file=sys.stderr, flush=True)
            for player in players:  # all at once, because nothing is timed
                player.ask(work)
            for player in players:
                player.answer(work)
        for number in range(1, passes + 1):
            for work in works:
                print(f"{work}: pass {number} of {passes}", file=sys.stderr, flush=True)
                for player in players:
                    player.ask(work)
                    player.answer(work)
    finally:
        for player in players:
            if player.process.stdin is not None:
                with suppress(OSError):
                    player.process.stdin.close()
            player.process.wait()
    return players


def table(players: Sequence[Player]) -> str:
    """For people: a line for each workload and processor."""
    native, width = players[0], max(len(player.kind.title) for player in players)
    lines = [f"{'':<12}{'':<{width}}{'ms':>8}{'ratio':>8}  results"]
    for work in native.found:
        for player in players:
            ms, ratio = player.best(work).ms, player.best(work).ms / native.best(work).ms
            lines.append(
                f"{work:<12}{player.kind.title:<{width}}{ms:>8.2f}{ratio:>8.2f}  {_agreement(player, native, work)}"
            )
    return "\n".join(lines)


def _agreement(player: Player, native: Player, work: str) -> str:
    if player is native:
        return ""
    if not (others := _other_bits(player, native, work)):
        return "the same bits"
    apart = _distance(player, native, work)
    return f"other bits in {', '.join(others)}; landmarks of the last frame {apart:.2g} px apart"


def _other_bits(player: Player, native: Player, work: str) -> list[str]:
    """What is not the same to the last bit in every pass of both."""
    passes = [*player.found[work], *native.found[work]]
    return [kind for kind in passes[0].bits if len({each.bits[kind] for each in passes}) > 1]


def _distance(player: Player, native: Player, work: str) -> float:
    return float(np.abs(np.subtract(player.best(work).landmarks, native.best(work).landmarks)).max())


def results_of(players: Sequence[Player], frames: int) -> Results:
    """For a result file: speeds in CPU time, and how far landmarks are from this processor's at the end."""
    native, bundle = players[0], Bundle.embedded(networks=False)
    works, speeds, errors = [], [], []
    for work in native.found:
        first = native.best(work)
        about = "frames of all processors in turns, CPU time"
        works.append(
            WorkloadRecord(
                work, bundle.meta.name, bundle.content_hash, bundle.landmarker_name, "stream", frames, first.width,
                first.height, about,
            )
        )  # fmt: skip
        for player in players:
            best = player.best(work)
            every = [each.ms for each in player.found[work][1:]]
            stages = [
                StageSpeed(stage, timed.VARIANTS, ms, 0.0)
                for stage, ms in sorted(best.stages.items(), key=lambda pair: -pair[1])
            ]
            note = f"CPU time; {best.ms / first.ms:.2f} times that of this processor as it is"
            speeds.append(
                Speed(
                    work, f"{timed.VARIANTS} on {player.kind.name}", dict.fromkeys(best.stages, timed.VARIANTS),
                    best.ms, float(np.mean(every)), max(every), every, first_frame_ms=best.first_ms, cpu_ms=best.ms,
                    stages=stages, note=note,
                )
            )  # fmt: skip
            if player is not native:
                apart, stated = _distance(player, native, work), tolerance("one_step", "landmarks_worst", "float32")
                errors.append(
                    MeasuredError(
                        work, "chained", "", f"{timed.VARIANTS} on {player.kind.name}", "landmarks of the last frame",
                        apart, stated.tolerance, stated.unit, stated.reason,
                        problem="" if apart <= stated.tolerance else "OUT OF TOLERANCE",
                    )
                )  # fmt: skip
    return Results("benchmark", provenance("auparity dev processors", yardstick=False), works, speeds, errors)
