"""A study of a data set of `auparity dataset`: the same page as of the tables that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.dataset.columns import CLIP
from auparity.dataset.lists import CLIPS, FAILURES, read_clips, read_failed
from auparity.dataset.store import FACTS, Store
from auparity.errors import AuparityError, FileFormatError
from auparity.media.names import printable
from auparity.reports.study.records import Study
from auparity.study.figures import BATCH, ClipFigures, ClipReading, Stopped, is_used
from auparity.study.gather import Progress, failed, last_part, notes_of, rows_of
from auparity.study.workers import results
from auparity.tables.arrow import require_pyarrow

Array = npt.NDArray[Any]
NEED = "a data set needs"


def is_data_set(folder: Path) -> bool:
    """Whether a folder is a data set of `auparity dataset`."""
    return (folder / FACTS).is_file()


def study_of_data_set(folder: Path, name: str, progress: Progress, processes: int | None = None) -> Study:
    """A study of a data set.

    Parameters
    ----------
    name : its path, or the address that the folder is a copy of.
    processes : that read files of rows; None for as many as pay.

    Raises
    ------
    FileFormatError : a file of the data set is damaged, or is of another data set. VariantUnavailable : no pyarrow.
    """
    require_pyarrow(NEED, "")
    facts = Store(folder).facts()
    if facts is None:
        raise AuparityError(f"{printable(name)}: is no data set of `auparity dataset`.")
    clips = {clip.clip: clip for clip in read_clips(folder / CLIPS, facts["labels"])}
    study = Study(last_part(name))
    files = sorted({str(folder / clip.file) for clip in clips.values() if clip.file is not None})
    inside = [clip for clip in clips.values() if clip.file is not None]
    progress.started(sum(clip.rows for clip in inside))
    size = sum(Path(file).stat().st_size for file in files if Path(file).exists())
    figures: dict[str, ClipFigures] = {}
    for _, given in results(read_rows, files, progress.rows_done, processes=processes, size=size):
        figures |= given
    for clip in clips.values():
        if clip.file is None:
            continue
        if clip.clip not in figures or figures[clip.clip].rows != clip.rows:
            raise FileFormatError(
                folder / clip.file, "", f"{clip.rows} rows of {printable(clip.clip)}", "others",
                "Make the data set anew with --overwrite.",
            )  # fmt: skip
        study.rows += rows_of(clip, figures[clip.clip])
        study.inputs[clip.clip] = clip.input
    study.failures += map(failed, read_failed(folder / FAILURES))
    if left := len(clips) - len(inside):
        study.notes.append(f"{left} of {len(clips)} clips have no rows in the data set and are left out.")
    study.notes += notes_of(inside)
    return study


def read_rows(file: str, stopped: Callable[[], bool], told: Callable[[int], None]) -> dict[str, ClipFigures]:
    """The figures of the clips whose rows a file has, by name. Raises `FileFormatError`, `Stopped`."""
    readings: dict[str, ClipReading] = {}
    parquet = import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(file) as table:
            wanted = [name for name in table.schema_arrow.names if name == CLIP or is_used(name)]
            for batch in table.iter_batches(batch_size=BATCH, columns=wanted, use_threads=False):
                if stopped():
                    raise Stopped("interrupted")
                for clip, columns in _by_clip(batch):
                    readings.setdefault(clip, ClipReading()).add(columns)
                told(batch.num_rows)
    except AuparityError:
        raise
    except Exception as error:  # bytes from outside: pyarrow promises no type of error
        found = " ".join(str(error).split())[:200]
        raise FileFormatError(
            file, "", "rows of a data set", f"{type(error).__name__}: {found}",
            "Make the data set anew with --overwrite.",
        ) from error  # fmt: skip
    return {clip: reading.result() for clip, reading in readings.items()}


def _by_clip(batch: Any) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """The rows of each clip, which stand together; without the columns that are empty (null) in them."""
    names = batch.column(batch.schema.names.index(CLIP)).dictionary_encode()
    codes = names.indices.to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    columns = {
        name: np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
        for name, values in zip(batch.schema.names, batch.columns, strict=True)
        if name != CLIP
    }
    for start, end in pairwise(edges):
        if end == start:
            continue
        own = {name: values[start:end] for name, values in columns.items()}
        yield (
            names.dictionary[int(codes[start])].as_py(),
            {name: values for name, values in own.items() if not np.isnan(values).all()},
        )
