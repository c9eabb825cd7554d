"""Runs readers on mutated input, each batch in its own process, and collects findings.

If a process crashes or hangs, the case is a finding, and a new process continues after it. In the process an alarm ends
a slow case; if the reader does not return to Python, the parent ends the process.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from auparity.errors import AuparityError, VariantUnavailable
from auparity.parity_tests.fuzz.loaders import Loader
from auparity.parity_tests.fuzz.mutators import mutate

REGISTRY = "auparity.parity_tests.fuzz.registry"
TIMEOUT = 10.0  #: seconds of one case
MEMORY = 1 << 30  #: bytes of address space beyond what a process has after reading the intact file
WARM_UP = 60.0  #: seconds until a process has imported everything and read the intact file

Report = Callable[[str], None]


@dataclass(frozen=True)
class Finding:
    """A case that ended neither with a value nor with an `AuparityError`."""

    loader: str
    case: int
    what: str  #: "exception", "crash", "hang" or "memory"
    detail: str


@dataclass
class Outcome:
    """The outcome of the cases of one reader."""

    loader: str
    values: int = 0
    refused: int = 0
    seconds: float = 0.0
    skipped: str = ""  #: why the reader did not run
    findings: list[Finding] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.values + self.refused + len(self.findings)

    def count(self, kind: str, case: int, detail: str) -> None:
        """Add one case: "value", "refused" or the kind of a finding."""
        if kind == "value":
            self.values += 1
        elif kind == "refused":
            self.refused += 1
        else:
            self.findings.append(Finding(self.loader, case, kind, detail))

    def line(self) -> str:
        """The outcome on one line."""
        if self.skipped:
            return f"{self.loader:28} not run: {self.skipped}"
        rate = self.cases / self.seconds if self.seconds else 0.0
        return (
            f"{self.loader:28} {self.cases:8} cases, {self.values:7} read, {self.refused:7} refused, "
            f"{len(self.findings):3} findings, {rate:6.0f} a second"
        )


class TooSlow(BaseException):
    """A case ran past `TIMEOUT`; no reader may catch it."""


def data_of(loader: Loader, intact: bytes, seed: int, case: int) -> bytes:
    """The input of one case."""
    return mutate(intact, loader.kind, random.Random(f"{seed} {loader.name} {case}"))


def run(
    loader: str,
    cases: range,
    seed: int,
    *,
    registry: str = REGISTRY,
    keep: Path | None = None,
    timeout: float = TIMEOUT,
) -> Outcome:
    """Run the cases of one reader.

    Parameters
    ----------
    registry : the module whose ``registry()`` has the reader.
    keep : a folder for the inputs of findings.
    timeout : seconds of one case.
    """
    outcome, started, first = Outcome(loader), time.monotonic(), cases.start
    while first < cases.stop and not outcome.skipped:
        for message in _batch(loader, range(first, cases.stop), seed, registry, timeout):
            kind, case, detail = message
            if kind == "skipped":
                outcome.skipped = detail
                break
            outcome.count(kind, case, detail)
            if keep is not None and kind not in ("value", "refused"):
                _keep(keep, loader, case, seed, registry)
            first = case + 1
    outcome.seconds = time.monotonic() - started
    return outcome


def run_here(loader: Loader, cases: range, seed: int, scratch: Path, timeout: float = TIMEOUT) -> Outcome:
    """The same in this process: quicker to start, but a crash ends it and memory is not bounded."""
    outcome = Outcome(loader.name)
    try:
        loader.make(scratch)
    except VariantUnavailable as error:
        outcome.skipped = str(error)
        return outcome
    intact = (scratch / loader.file).read_bytes()
    before = signal.signal(signal.SIGALRM, _too_slow)
    try:
        for case in cases:
            (scratch / loader.file).write_bytes(data_of(loader, intact, seed, case))
            outcome.count(*_judged(loader, scratch, case, timeout))
    finally:
        signal.signal(signal.SIGALRM, before)
    return outcome


def _keep(folder: Path, name: str, case: int, seed: int, registry: str) -> None:
    loader: Loader = import_module(registry).registry()[name]
    with tempfile.TemporaryDirectory() as scratch:
        loader.make(Path(scratch))
        intact = (Path(scratch) / loader.file).read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    plain = "".join(c if c.isalnum() else "-" for c in name)
    (folder / f"{plain}-{seed}-{case}").write_bytes(data_of(loader, intact, seed, case))


def _batch(loader: str, cases: range, seed: int, registry: str, timeout: float) -> Iterator[Sequence[Any]]:
    """The messages of one process, up to its end; a crash or hang is the last one.

    Raises
    ------
    AuparityError : the reader fails on the intact file, so its cases would be meaningless.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, loader, cases, seed, registry, timeout), daemon=True)
    process.start()
    theirs.close()
    case, patience, ready = cases.start - 1, WARM_UP, False
    try:
        while True:
            if not ours.poll(patience):
                yield "hang", case + 1, f"no answer within {patience:g} s"
                return
            try:
                message = json.loads(ours.recv_bytes())
            except EOFError:
                break
            case, patience = message[1], 3 * timeout
            ready = True
            if message[0] != "ready":
                yield message
                if message[0] in ("hang", "memory"):
                    return  # the process cannot continue
        process.join(WARM_UP)
        if not ready:
            raise AuparityError(f"{loader}: its process ended before the intact file was read; see its message above.")
        if process.exitcode and case + 1 < cases.stop:
            yield "crash", case + 1, f"exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        ours.close()


def _work(pipe: Connection, name: str, cases: range, seed: int, registry: str, timeout: float) -> None:
    """The process: one message a case."""

    def tell(*message: Any) -> None:
        pipe.send_bytes(json.dumps(message).encode())

    scratch = Path(tempfile.mkdtemp(prefix="auparity-fuzz-"))
    try:
        loader: Loader = import_module(registry).registry()[name]
        try:
            loader.make(scratch)
            loader.read(scratch)
        except VariantUnavailable as error:
            tell("skipped", -1, str(error))
            return
        intact = (scratch / loader.file).read_bytes()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = _address_space() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        signal.signal(signal.SIGALRM, _too_slow)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders print messages about the file
        tell("ready", cases.start - 1)
        for case in cases:
            (scratch / loader.file).write_bytes(data_of(loader, intact, seed, case))
            tell(*_judged(loader, scratch, case, timeout))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        pipe.close()


def _judged(loader: Loader, scratch: Path, case: int, timeout: float) -> tuple[str, int, str]:
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        loader.read(scratch)
    except AuparityError:
        return "refused", case, ""
    except TooSlow:
        return "hang", case, f"longer than {timeout:g} s"
    except MemoryError as error:
        return "memory", case, f"more than {MEMORY >> 20} MiB: {error}"
    except Exception as error:
        return "exception", case, f"{type(error).__name__}: {str(error)[:300]} {_place(error)}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "value", case, ""


def _place(error: BaseException) -> str:
    """Where an exception was raised: file and line of the last frame in auparity."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "auparity" in code.co_filename or "/loaders" in code.co_filename:
            place = f"({Path(code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TooSlow


def _address_space() -> int:
    """Bytes of address space that this process has."""
    pages = 0
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def run_all(
    names: Sequence[str], count: int, seed: int, report: Report, *, keep: Path | None = None, timeout: float = TIMEOUT
) -> list[Outcome]:
    """Run `count` cases of each reader, one reader after the other; `report` gets a line for each."""
    outcomes = []
    for name in names:
        outcomes.append(run(name, range(count), seed, keep=keep, timeout=timeout))
        report(outcomes[-1].line())
        for finding in outcomes[-1].findings[:20]:
            report(f"    case {finding.case}: {finding.what}: {finding.detail}")
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> str:
    """All readers on a line or two."""
    kinds = Counter(finding.what for outcome in outcomes for finding in outcome.findings)
    findings = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no findings"
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    left = len(outcomes) - len(ran)
    tail = f"; {left} readers did not run" if left else ""
    return f"{sum(outcome.cases for outcome in ran)} cases over {len(ran)} readers: {findings}{tail}"
