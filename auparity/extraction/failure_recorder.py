"""Writes down which inputs of a run fail, while it runs; `extraction.failures` says how, and reads it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Literal, Protocol, Self

from auparity.atomic_files import close_quietly, create_beside, writing
from auparity.errors import AddressError, AuparityError, WriteError
from auparity.extraction import stores
from auparity.extraction.failures import FOLDER, SETTLED, SUFFIX, Failure, as_text, read_failures, record_files, tidy
from auparity.extraction.jobs import Job, Reporter
from auparity.extraction.remote_jobs import scratch_folder
from auparity.extraction.types import ClipProgress, ExtractionSettings, Outcome
from auparity.version import __version__

#: Characters of a reason that are kept: tracebacks of internal errors are longer than anything that we say.
LONGEST_REASON = 20_000
#: A run that is killed loses at most so much of its lines, where outputs are put at an address.
PUT_SECONDS = 10.0


class SayingReporter(Reporter, Protocol):
    """A reporter that can also be told a sentence."""

    def say(self, text: str) -> None: ...


class FailureRecorder:
    """A reporter that passes everything on to another one, and writes down what fails.

    A context manager: at its end, files that tell nothing any more are removed. Where outputs are put at an address,
    lines are written on this machine and put there every `PUT_SECONDS`, if there are new ones, and at the end.

    Parameters
    ----------
    reporter : is told first. Where something cannot be written down, its `say` gets the reason, once.
    settings : of the run; they say where its outputs are.
    jobs : those of the run.
    """

    def __init__(self, reporter: SayingReporter, settings: ExtractionSettings, jobs: Sequence[Job]) -> None:
        self._reporter, self._address = reporter, ""
        if settings.output_address:
            self._address = stores.join(settings.output_address, FOLDER)
        self._folder, self._scratch = settings.output_dir / FOLDER, settings.scratch
        self._jobs = {job.shown: job for job in jobs}
        self._file: IO[bytes] | None = None
        self._broken = False
        self._open: set[str] = set()
        self._fetched: set[str] = set()  # names of earlier runs' files
        self._there: set[str] = set()  # names of the files at the address
        self._closing = ExitStack()
        self._put_at = -PUT_SECONDS
        self._unput = False

    def __enter__(self) -> Self:
        try:
            if self._address:
                self._folder = self._closing.enter_context(scratch_folder(self._scratch)) / FOLDER
                self._fetch()
            self._open = {failure["input"] for failure in read_failures(self._folder.parent)}
        except AuparityError as error:
            self._reporter.say(f"warning: {error}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._closing:
            if self._file is None:
                return
            close_quietly(self._file)
            try:
                tidy(self._folder)
                if self._address:
                    self._put()
            except (AuparityError, OSError) as error:
                self._reporter.say(f"warning: {error}")

    def _fetch(self) -> None:
        if stores.is_folder(self._address):
            for address in stores.files_below(self._address, recursive=False):
                if address.endswith(SUFFIX):
                    stores.fetch(address, self._folder / stores.name_in(address))
                    self._fetched.add(stores.name_in(address))
            self._there = set(self._fetched)

    def _put_new(self) -> None:
        """Put this run's lines at the address, if there are new ones and that was not done just now."""
        if not (self._address and self._unput and time.monotonic() - self._put_at >= PUT_SECONDS):
            return
        self._put_at, self._unput = time.monotonic(), False
        try:
            self._put()
        except AddressError as error:
            self._warn(error)

    def _put(self) -> None:
        """Have the address hold what is here: this run's lines, and of earlier files those that tell something."""
        here = {path.name: path for path in record_files(self._folder)}
        for name in here.keys() - self._fetched:
            stores.put(here[name], stores.join(self._address, name))
            self._there.add(name)
        for name in self._there - here.keys():
            stores.remove(stores.join(self._address, name))
        self._there &= here.keys()

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress:
        return self._reporter.job_started(number, total, job)

    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        return self._reporter.batch_started(total, at_a_time)

    def job_done(self, outcome: Outcome) -> None:
        self._reporter.job_done(outcome)
        self._put_new()
        job = self._jobs.get(outcome.input)
        if job is not None and job.kind == "camera":  # nobody can measure it again
            return
        where, name = identity(outcome.input), "" if job is None else job.name
        if outcome.status in ("failed", "incomplete"):
            self._open.add(where)
            self._write(where, name, "failed" if outcome.status == "failed" else "incomplete", outcome.message)
        elif outcome.status in ("done", "skipped") and where in self._open:
            self._open.discard(where)
            self._write(where, name, SETTLED)

    def _write(
        self, where: str, name: str, status: Literal["failed", "incomplete", "settled"], reason: str = ""
    ) -> None:
        """Add a line; where that is impossible the run goes on, and the user is told."""
        line = Failure(input=where, name=as_text(name), status=status, date=_now(), auparity=__version__)
        if reason:
            line["reason"] = as_text(reason[:LONGEST_REASON])
        try:
            with writing(self._folder):
                if self._file is None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    began = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
                    self._file, _ = create_beside(self._folder / began, SUFFIX)
                self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")
                self._file.flush()
            self._unput = True
            self._put_new()
        except WriteError as error:
            self._warn(error)

    def _warn(self, error: AuparityError) -> None:
        if not self._broken:
            self._reporter.say(f"warning: what failed is not written down: {error}")
        self._broken = True


def identity(name: str) -> str:
    """What an input is called in the records of every run: its absolute path, or its address as it stands."""
    return name if stores.is_address(name) else as_text(os.path.abspath(name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
