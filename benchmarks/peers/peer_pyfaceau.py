"""pyfaceau: OpenFace's pipeline to AU intensities, with pymtcnn and pyclnf (its tables have no landmarks).

In: a video, written without loss from the clip's frames, because pyfaceau reads files. Reading it is hardly more
than copying, and the pixels are the same as for auparity. Out: success flags and 17 post-processed AU intensities.

The interface is that of pyfaceau 1.4.1's README and docstrings: ``OpenFaceProcessor(verbose=False)``;
``process_video(video, table, progress_callback=...)`` writes a CSV with the columns frame (from 0), timestamp, success
and AU01_r to AU45_r, and calls back after every frame, which times the frames; ``clear_cache()`` goes between videos.
The frame-by-frame ``FullPythonAUPipeline.process_frame`` of the README does not exist in 1.4.1, so it is not used.
pyfaceau switches off the validator of pyclnf; its success says that no step of a frame raised an exception. With
PyTorch it computes on a GPU if there is one, and chooses its number of threads.
"""

from __future__ import annotations

import csv
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auparity.benchmarks.peers.frame_files import write_avi
from auparity.benchmarks.peers.packages import PYCLNF, PYFACEAU, PYMTCNN
from auparity.benchmarks.peers.peer import WARM_UP, Array, Clip, PeerRun
from auparity.errors import AuparityError

TRUTH = {"True": True, "False": False}  # as pandas writes them


@dataclass(frozen=True)
class PyFaceAU:
    """Action units in Python."""

    name: str = "pyfaceau"
    measures: str = "AUs (CE-CLM)"

    def unavailable_reason(self) -> str | None:
        """See `Peer`."""
        return PYFACEAU.unavailable_reason() or PYCLNF.unavailable_reason() or PYMTCNN.unavailable_reason()

    def run(self, clip: Clip) -> PeerRun:
        """See `Peer`."""
        package = PYFACEAU.load()
        for needed in (PYCLNF, PYMTCNN):
            needed.load()
        stamps: list[float] = []

        def frame_done(done: int, total: int, fps: float) -> None:
            stamps.append(time.perf_counter())

        with tempfile.TemporaryDirectory(prefix="auparity-peer-") as name:
            warm, video, table = (Path(name) / file for file in ("warm.avi", "clip.avi", "clip.csv"))
            write_avi(warm, clip.images[:WARM_UP])
            write_avi(video, clip.images)
            with PYFACEAU.at_work():
                processor = package.OpenFaceProcessor(verbose=False)
                processor.process_video(str(warm), str(Path(name) / "warm.csv"))
                processor.clear_cache()
                start = time.perf_counter()
                processor.process_video(str(video), str(table), progress_callback=frame_done)
                seconds = time.perf_counter() - start
            success, aus = read_table(table, len(clip))
        if len(stamps) != len(clip):
            raise AuparityError(
                f"{PYFACEAU.version} reported {len(stamps)} frames of {len(clip)}; is it a version with another "
                "interface?"
            )
        return PeerRun(
            version=f"{PYFACEAU.version}, {PYCLNF.version}, {PYMTCNN.version}", seconds=seconds,
            frames_timed=len(clip), ms=1000 * np.diff(stamps, prepend=start), aus=aus, success=success,
            note="reads frames from an uncompressed video; ms a frame without its post-processing",
        )  # fmt: skip


def read_table(path: Path, frames: int) -> tuple[Array, dict[str, Array] | None]:
    """Success (T,) and AU intensities of a table of pyfaceau; no AUs when no frame succeeded.

    Intensities of failed frames are NaN, whether the table leaves them empty or smooths over them.

    Raises
    ------
    AuparityError : there is no table, columns or rows are missing, or a value is not a number.
    """
    if not path.is_file():
        raise AuparityError(f"pyfaceau wrote no table {path.name}.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), list(reader)
    missing = {"frame", "success"} - set(names)
    if missing:
        raise AuparityError(f"the table of pyfaceau has no column {', '.join(sorted(missing))}.")
    try:
        numbers = [int(row["frame"]) for row in rows]
        success = np.array([TRUTH[row["success"]] for row in rows], bool)
        columns = [name for name in names if name.startswith("AU") and name.endswith("_r")]
        values = {name: np.array([float(row[name] or math.nan) for row in rows]) for name in columns}
    except (KeyError, TypeError, ValueError) as error:
        raise AuparityError(f"the table of pyfaceau holds {error}, which is not what its README says.") from error
    if numbers != list(range(frames)):
        raise AuparityError(
            f"the table of pyfaceau has {len(rows)} rows for {frames} frames, or they are out of order."
        )
    if not columns and success.any():
        raise AuparityError("the table of pyfaceau has no AU columns, although frames succeeded.")
    aus = {name.removesuffix("_r"): np.where(success, column, math.nan) for name, column in values.items()}
    return success, aus or None
