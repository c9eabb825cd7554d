"""OpenFace itself: its program FeatureExtraction, started on the same frames.

In: the environment variable ``OPENFACE_BIN`` names the program; a video is given as it is (`-f`), a folder of images,
or the beginning of a clip, as a temporary folder of images (`-fdir`) that are links to the clip's or lossless copies of
its frames. Out: landmarks, AU intensities after post-processing and success flags from its CSV.

The command line and the CSV are those of OpenFace 2.x (its wiki, "Command line arguments" and "Output format"; sources
of FeatureExtraction, SequenceCapture, RecorderOpenFace and LandmarkDetectorParameters): `-out_dir` and `-of` name the
table, `-2Dfp -aus` restrict it to landmarks and AUs, `-mloc` chooses the landmark model, which is searched beside the
program. The program writes its errors to the standard output and may end with status 0 when a clip cannot be opened, so
a missing table is an error, and both outputs are kept. It has no option that prints its version, so the SHA-256 of the
file is used instead.

The time is wall time of the whole process. Start-up (reading models takes seconds) is measured by runs on the first few
frames and subtracted; decoding and writing, for which it has threads of its own, are included.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auparity.benchmarks.peers.frame_files import write_bmp
from auparity.benchmarks.peers.peer import Array, Clip, PeerRun
from auparity.errors import AuparityError, VariantUnavailable
from auparity.media import images_in
from auparity.reference.results import INTENSITY_AUS

VARIABLE = "OPENFACE_BIN"
WIKI = "https://github.com/TadasBaltrusaitis/OpenFace/wiki"
#: Suffixes that FeatureExtraction reads as images in a folder; it accepts only lower-case ones.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp"})

#: Frames of the runs that measure start-up: few, but longer than its smoothing over 7 frames.
FEW = 10
#: s that a run may take: to start, and for every frame. Both are many times the usual values.
START_UP, A_FRAME = 300.0, 5.0
TAIL = 8  # lines of its output in error messages

_LANDMARKS = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
_AUS = [f"{name}_r" for name in INTENSITY_AUS]


@dataclass(frozen=True)
class OpenFaceBinary:
    """The C++ program."""

    landmark_model: str | None = None  #: stem, e.g. "main_clnf_general"; None for the program's default
    timeout: float | None = None  #: s of a run; None for START_UP and A_FRAME
    name: str = "OpenFace"
    measures: str = "landmarks and AUs"

    def unavailable_reason(self) -> str | None:
        """See `Peer`."""
        named = os.environ.get(VARIABLE, "")
        if not named:
            return f"{VARIABLE} is not set: set it to the path of OpenFace's program FeatureExtraction ({WIKI})"
        path = Path(named)
        if not path.exists():
            return f"{VARIABLE} names {named}, which does not exist: set it to the path of FeatureExtraction"
        if path.is_dir():
            return f"{VARIABLE} names {named}, which is a folder: set it to the program FeatureExtraction in it"
        if not os.access(path, os.X_OK):
            return f"{VARIABLE} names {named}, which is not executable: chmod +x {named}"
        return None

    def run(self, clip: Clip) -> PeerRun:
        """See `Peer`."""
        if reason := self.unavailable_reason():
            raise VariantUnavailable(reason)
        # The program looks for its models beside itself, not beside a link to it.
        program = Path(os.environ[VARIABLE]).resolve()
        frames, few = len(clip), min(FEW, len(clip) // 2)
        with tempfile.TemporaryDirectory(prefix="auparity-openface-") as name:
            folder = Path(name)
            start_up = math.inf
            if few:
                source = _input(clip, few, folder / "few")
                for _ in range(2):  # the first reads the models from the disk
                    start_up = min(start_up, self._execute(program, source, few, folder / "few-out"))
            table_folder = folder / "out"
            seconds = self._execute(program, _input(clip, frames, folder / "all"), frames, table_folder)
            landmarks, aus, success = read_table(table_folder / "result.csv", frames)
        timed, note = frames, "start-up, decoding and writing included"
        if start_up < seconds:
            note = f"decoding and writing included; {start_up:.1f} s for start-up and {few} frames subtracted"
            seconds, timed = seconds - start_up, frames - few
        return PeerRun(
            version=f"sha256 {_sha256(program)[:16]}, {self.landmark_model or 'default model'}", seconds=seconds,
            frames_timed=timed, landmarks=landmarks, aus=aus, success=success, note=note,
        )  # fmt: skip

    def _execute(self, program: Path, source: list[str], frames: int, out: Path) -> float:
        """Wall seconds of one run of the program, which leaves `result.csv` in `out`.

        Raises
        ------
        AuparityError : it cannot be started, takes too long, ends with another status than 0 or writes no table.
        """
        out.mkdir(exist_ok=True)
        command = [str(program), *source, "-out_dir", str(out), "-of", "result", "-2Dfp", "-aus"]
        if self.landmark_model:
            command += ["-mloc", f"model/{self.landmark_model}.txt"]
        limit = self.timeout if self.timeout is not None else START_UP + A_FRAME * frames
        log = out / "log.txt"
        start = time.perf_counter()
        # Output goes to a file: a pipe would have to be emptied, and a grandchild that holds it would block us.
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=out,
                    start_new_session=os.name == "posix",
                )  # fmt: skip
            except OSError as error:
                raise AuparityError(f"{program}: cannot be started ({error.strerror or error}).") from error
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                raise AuparityError(
                    f"{program}: was ended because it took longer than {limit:g} s.{_tail(log)}"
                ) from None
            finally:
                _end(process)
        seconds = time.perf_counter() - start
        if status != 0:
            how = f"with status {status}" if status > 0 else f"by signal {-status}"
            raise AuparityError(f"{program}: ended {how}.{_tail(log)}")
        if not (out / "result.csv").is_file():
            raise AuparityError(f"{program}: ended with status 0, but wrote no table.{_tail(log)}")
        return seconds


def read_table(path: Path, frames: int) -> tuple[Array, dict[str, Array], Array]:
    """Landmarks (T, 68, 2), AU intensities by name and success (T,) of a CSV of FeatureExtraction.

    Spaces after commas, which versions before 2.2 write, do not matter.

    Raises
    ------
    AuparityError : columns are missing, there is not one row for each of `frames` frames, or a value is no number.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = [line for line in csv.reader(file, skipinitialspace=True) if line]
    names = [name.strip() for name in lines[0]] if lines else []
    wanted = ["frame", "success", *_LANDMARKS, *_AUS]
    missing = [name for name in wanted if name not in names]
    if missing:
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        advice = " Are its AU models (AU_predictors) beside the program?" if set(missing) <= set(_AUS) else ""
        raise AuparityError(f"the table of OpenFace has no column {shown}.{advice}")
    places = [names.index(name) for name in wanted]
    values = np.empty((len(lines) - 1, len(wanted)))
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(names):
            raise AuparityError(
                f"the table of OpenFace, line {number}: expected {len(names)} values, found {len(cells)}."
            )
        values[number - 2] = [_number(cells[place], names[place], number) for place in places]
    if not np.array_equal(values[:, 0], np.arange(1, frames + 1)):
        raise AuparityError(
            f"the table of OpenFace has {len(values)} rows for a clip of {frames} frames, or they are out of order."
        )
    landmarks = values[:, 2:138].reshape(-1, 2, 68).transpose(0, 2, 1)
    aus = {name: values[:, 138 + k] for k, name in enumerate(INTENSITY_AUS)}
    return np.ascontiguousarray(landmarks), aus, values[:, 1] == 1


def _number(text: str, name: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AuparityError(f"the table of OpenFace, line {line}: {name} is {text!r}, not a number.")
    return value


def _input(clip: Clip, frames: int, folder: Path) -> list[str]:
    """Arguments that name the first `frames` frames; puts images into `folder` where that is needed."""
    if clip.whole and frames == len(clip) and not clip.path.is_dir():
        return ["-f", str(clip.path.resolve())]
    folder.mkdir()
    files = images_in(clip.path) if clip.path.is_dir() else []
    for k, image in enumerate(clip.images[:frames]):
        suffix = files[k].suffix.lower() if files else ""
        if suffix in SUFFIXES:
            _link(files[k].resolve(), folder / f"{k:06d}{suffix}")
        else:
            write_bmp(folder / f"{k:06d}.bmp", image)
    return ["-fdir", str(folder)]


def _link(file: Path, link: Path) -> None:
    try:
        link.symlink_to(file)
    except OSError:  # Windows lets few users make links
        shutil.copyfile(file, link)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, with what it started; does nothing to one that has ended by itself."""
    if process.poll() is not None:
        return
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)  # it leads its own process group
    else:
        process.kill()
    process.wait()


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        return " It printed nothing."
    return " Its last lines:" + "".join(f"\n    {line}" for line in lines[-TAIL:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
