"""Which outputs a run has, how they are called, and whether their names collide (spec 80.4).

Of a table `NAME.csv`: ``NAME.hog``, the folder ``NAME_aligned``, ``NAME_of_details.txt`` and ``NAME.tracked.webm``
(of an image ``NAME.tracked.jpg``). Those of an incomplete clip are called after ``NAME.incomplete``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from auparity.errors import AuparityError
from auparity.extraction.option_names import EXTRACT, OptionNames
from auparity.extraction.tables import Groups
from auparity.media import printable
from auparity.reference.alignment import Crop
from auparity.tables.columns import Layout

FaceFormat = Literal["bmp", "png"]
#: An output, by the name that the sidecar gives it.
Output = Literal["hog", "aligned", "details", "tracked"]
OUTPUTS: tuple[Output, ...] = ("hog", "aligned", "details", "tracked")


@dataclass(frozen=True)
class AlignedFaces:
    """How aligned faces are written; the AUs do not depend on it."""

    file_format: FaceFormat = "bmp"
    crop: Crop = field(default_factory=Crop)
    gray: bool = False
    skip_failed: bool = False  #: leave out the pictures of rows without success, which are black otherwise


@dataclass(frozen=True)
class OutputSettings:
    """What is written, besides the table and its sidecar, and which columns the table has."""

    columns: Groups = None  #: in the order of the table; None for all
    hog: bool = False
    aligned: AlignedFaces | None = None
    details: bool = False
    tracked: bool = False

    @property
    def needs_faces(self) -> bool:
        """Whether faces are aligned once more, for which a pipeline must be made of stages."""
        return self.hog or self.aligned is not None

    @property
    def drawn(self) -> bool:
        """Whether anything is made of the pictures themselves."""
        return self.needs_faces or self.tracked

    @property
    def written(self) -> tuple[Output, ...]:
        """The outputs asked for."""
        asked: dict[Output, bool] = {
            "hog": self.hog, "aligned": self.aligned is not None, "details": self.details, "tracked": self.tracked
        }  # fmt: skip
        return tuple(output for output, there in asked.items() if there)


def output_path(directory: Path, name: str, output: Output, layout: Layout) -> Path:
    """Where an output of the table `name` (without suffix) is."""
    return directory / f"{name}{_ending(output, layout)}"


def _ending(output: Output, layout: Layout) -> str:
    if output == "tracked":
        return ".tracked.jpg" if layout == "photograph" else ".tracked.webm"
    return {"hog": ".hog", "aligned": "_aligned", "details": "_of_details.txt"}[output]


def check_collisions(
    named: Sequence[tuple[str, Layout]], settings: OutputSettings, directory: Path, inputs: Sequence[Path] = (),
    options: OptionNames = EXTRACT,
) -> None:  # fmt: skip
    """Refuse outputs of two inputs that would have one path, or of which one would be inside the other, and outputs
    that would be written over an input.

    Parameters
    ----------
    named : name without suffix, and layout, of the table of each input.
    directory : the output folder.
    inputs : what is measured.
    options : of the program that the user called.

    Raises
    ------
    AuparityError : naming both.
    """
    tables: dict[PurePosixPath, str] = {}
    for name, _ in named:
        for table in (f"{name}.table", f"{name}.incomplete.table"):
            path = PurePosixPath(table.casefold())
            for place in (path, *path.parents[:-1]):  # the folders of a table, but not the output folder itself
                tables.setdefault(place, name)
    taken: dict[PurePosixPath, str] = {}
    for name, layout in named:
        for path in _paths(name, layout, settings):
            other = tables.get(path, taken.get(path))
            if other is not None:
                raise AuparityError(
                    f"an output of {printable(name)} would be written to {path}, which is also a name that "
                    f"{printable(other)} needs. Give the tables other names with {options.name}, or extract in two "
                    f"runs with different output folders ({options.folder})."
                )
            taken[path] = name
    places = {path.resolve() for path in inputs}
    for name, layout in named:
        for output in settings.written:
            target = output_path(directory, name, output, layout)
            if target.resolve() in places:
                raise AuparityError(f"{printable(target)} is an input, and an output of {printable(name)}. Choose "
                                    f"{options.another_folder}.")  # fmt: skip


def _paths(name: str, layout: Layout, settings: OutputSettings) -> Iterator[PurePosixPath]:
    for output in settings.written:
        for stem in (name, f"{name}.incomplete"):
            yield PurePosixPath(f"{stem}{_ending(output, layout)}".casefold())
