"""Types of extraction: the pipeline that it drives, its settings, its progress and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from auparity.errors import ContractError
from auparity.extraction.option_names import EXTRACT, OptionNames
from auparity.extraction.outputs.settings import OutputSettings
from auparity.extraction.sidecars import Intrinsics
from auparity.extraction.table_writers import TableFormat
from auparity.media import MAX_PIXELS, Timestamps
from auparity.reference.clip_options import AUMode
from auparity.reference.face_choice import FaceChoice, PersonChoice
from auparity.reference.many_faces import Faces


class ClipProgress(Protocol):
    """Receives the progress of a clip."""

    def started(self, n_frames: int | None) -> None: ...
    def frame_done(self) -> None: ...
    def finishing(self) -> None: ...


class NoProgress:
    def started(self, n_frames: int | None) -> None:
        """Nobody listens."""

    def frame_done(self) -> None:
        """Nobody listens."""

    def finishing(self) -> None:
        """Nobody listens."""


@dataclass(frozen=True)
class Origin:
    """Where an input is from, beyond the file that is read; both go into the sidecar."""

    address: str = ""  #: of a file that was fetched
    version: str = ""  #: what its store says that changes with its content
    labels: Mapping[str, str] = field(default_factory=dict)  #: what a list says of it


#: Of a file of this machine, named by itself.
HERE = Origin()


@dataclass(frozen=True)
class ExtractionSettings:
    """How to extract; the same for every input of a run."""

    output_dir: Path = Path("processed")  #: as in the C++ program (spec 80.4)
    output_address: str = ""  #: where outputs are put instead, e.g. "s3://bucket/results" (`extraction.remote_jobs`)
    scratch: Path | None = None  #: folder for files that are fetched or not put in place yet; None for the system's
    table_format: TableFormat = "csv"
    intrinsics: Intrinsics = field(default_factory=Intrinsics)
    max_frames: int | None = None
    max_seconds: float | None = None  #: of a camera; by time stamps
    overwrite: bool = False
    timestamps: Timestamps = "container"  #: where the times of videos come from
    fps: float | None = None  #: frames per second of a folder of images
    max_pixels: int = MAX_PIXELS  #: larger images are refused before they are decoded
    split: bool = False  #: clips may be cut into parts; the engine of that name does it
    multi_view: bool = True  #: for images: fit each face from several head orientations, and keep the likeliest
    faces: Faces | None = None  #: faces followed in each clip, or "all"; None for one, as FeatureExtraction does
    aus: AUMode | None = None  #: of several faces: static ones (None), or calibrated to each
    #: Which face is followed where one is wanted: None for the widest, as FeatureExtraction does. The AUs of a person
    #: are those of `faces="all"`, `aus="calibrated"`; files of faces and the overlay are then written in a second pass.
    face: FaceChoice | PersonChoice | None = None
    person_ids: bool = True  #: of several faces: a column `person_id`, which FaceLandmarkVidMulti has not
    outputs: OutputSettings = field(default_factory=OutputSettings)  #: groups of columns, and files beside the table
    option_names: OptionNames = EXTRACT  #: of the program that the user called, for refusals
    warnings: tuple[str, ...] = ()  #: what readers of the results must know; stored in every sidecar

    def __post_init__(self) -> None:
        """Raise ContractError for settings that contradict each other."""
        if self.face is not None and self.faces is not None:
            raise ContractError("extraction", "face", "None where `faces` is given", str(self.face))

    @property
    def person(self) -> int | None:
        """The `person_id` of whom alone the table is; None where it is of whoever is followed."""
        return self.face.person_id if isinstance(self.face, PersonChoice) else None


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    input: str
    status: Literal["done", "skipped", "incomplete", "interrupted", "failed"]
    message: str  #: in plain words, naming input and output
    table: Path | None = None
    rows: int = 0
    warnings: tuple[str, ...] = ()
    without_face: bool = False  #: measured, and no face was found anywhere


def never() -> bool:
    return False
