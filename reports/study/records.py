"""What the page of a study is made from: a row for each face of each clip, and what failed. It holds no frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from auparity.reports.clips.measures import Measures

Kind = Literal["clip", "image"]
DONE = "done"


@dataclass(frozen=True, eq=False)
class FaceRow:
    """The figures of one face of one clip; of an image those of all its faces."""

    clip: str  #: place of the table below the output folder, without suffix
    person: int | None  #: `person_id`, or the slot; None for clips of one face, and for images
    kind: Kind
    labels: Mapping[str, str]
    status: str  #: "done" or "incomplete"
    frames: int | None  #: of the clip; None for images
    seconds: float | None  #: between the time stamps of the first and the last row
    figures: Measures
    warnings: Sequence[str] = ()
    page: Path | None = None  #: of the clip, where it is to be found if it exists

    @property
    def share(self) -> float | None:
        """Share of the clip's frames in which the face is tracked, 0 to 1; None for images."""
        return self.figures.tracked / self.frames if self.frames else None

    @property
    def name(self) -> str:
        """What the row is called in a sentence."""
        return self.clip if self.person is None else f"{self.clip}, person {self.person}"


@dataclass(frozen=True)
class Failed:
    """An input without a result, or a table that cannot be used."""

    input: str
    status: str  #: "failed", "incomplete" or "not usable"
    reason: str
    date: str = ""


@dataclass
class Study:
    """The results of many clips."""

    name: str
    rows: list[FaceRow] = field(default_factory=list)
    within: str | None = None  #: the label within which rows are compared; None for all together
    failures: list[Failed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  #: what readers of the page must know
    problems: list[str] = field(default_factory=list)  #: messages: tables that cannot be used; they are in `failures`
    inputs: dict[str, str | None] = field(default_factory=dict)  #: path or address of each clip's input, by its name

    @property
    def labels(self) -> list[str]:
        """The names of all labels, in the order in which rows have them."""
        return list(dict.fromkeys(name for row in self.rows for name in row.labels))
