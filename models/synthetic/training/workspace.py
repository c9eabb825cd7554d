"""The folder of a training run: results of finished steps, checkpoints, a log and the figures of the report.

Files are replaced atomically, so that an interrupted run resumes from its last checkpoint.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import atomic_file, write_text_atomically
from auparity.errors import AuparityError
from auparity.json_files import load_json
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.render import DRAWN

Array = npt.NDArray[Any]

MORPHABLE = "morphable.txt"  #: is in the folder of a training on a morphable model


class Workspace:
    """Named arrays, a log and a report in one folder.

    Parameters
    ----------
    faces : file of the morphable model whose people the training shows; None: drawn heads.

    Raises
    ------
    AuparityError : the training in the folder has begun with other faces.
    """

    def __init__(self, folder: str | os.PathLike[str], faces: str | os.PathLike[str] | None = None) -> None:
        self.folder = Path(folder)
        self.faces = None if faces is None else Path(faces)
        begun = self.folder.is_dir() and any(self.folder.iterdir())
        self.folder.mkdir(parents=True, exist_ok=True)
        marked = (self.folder / MORPHABLE).is_file()
        if marked != (faces is not None) and begun:
            raise AuparityError(
                f"{self.folder} holds a training on {'a morphable model' if marked else 'drawn heads'}: "
                f"{'name the model with --faces' if marked else 'leave --faces out'}, or name another folder."
            )
        if faces is not None and not marked:
            write_text_atomically(self.folder / MORPHABLE, "The pictures here show people of a morphable model.\n")

    def heads(self) -> Heads:
        """Where the people of this training come from; AuparityError if the model's file is not there."""
        if self.faces is None:
            return DRAWN
        from auparity.models.synthetic.morphable.heads import morphable_heads  # needs Numba and the model's file

        return morphable_heads(self.faces)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def has(self, name: str) -> bool:
        """Whether there is a result of this name."""
        return self._path(name).is_file()

    def save(self, name: str, **arrays: Array) -> None:
        """Store arrays under a name, atomically."""
        path = self._path(name)
        with atomic_file(path) as partial, open(partial, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes the arrays for allow_pickle

    def load(self, name: str) -> dict[str, Array]:
        """The arrays stored under a name; AuparityError if there are none or the file is damaged."""
        try:
            with np.load(self._path(name)) as stored:
                return {key: stored[key] for key in stored.files}
        except FileNotFoundError:
            raise AuparityError(
                f"{self.folder} holds no {name!r}: run the training step that makes it first."
            ) from None
        except Exception as error:  # bytes from outside: NumPy and `zipfile` promise no type of error
            raise AuparityError(
                f"{self._path(name)} is damaged ({error}): delete it, and the step runs again."
            ) from error

    def log(self, text: str) -> None:
        """Report progress on the terminal and in progress.log."""
        line = f"{time.strftime('%H:%M:%S')}  {text}"
        print(line, flush=True)
        with open(self.folder / "progress.log", "a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def figures(self) -> dict[str, Any]:
        """The report so far: step -> figures."""
        path = self.folder / "report.json"
        return load_json(path, "the report of a training", dict, finite=False) if path.is_file() else {}

    def report(self, step: str, **figures: Any) -> None:
        """Add figures of a step to report.json."""
        path = self.folder / "report.json"
        report = self.figures()
        report.setdefault(step, {}).update(figures)
        write_text_atomically(path, json.dumps(report, indent=1, sort_keys=True, default=float) + "\n")
