"""The sidecar of a table of `auparity extract`: what the table was made from and how, as far as reports use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from auparity.errors import AuparityError
from auparity.fingerprints import fingerprint_of_file
from auparity.json_files import checked, load_json

#: The key that distinguishes a sidecar from other JSON files of its name.
SIGNATURE = "auparity"
ADVICE = "Extract the clip again."
CHANGED = "this table is not the one that its description was written for: it was changed, or copied here"


class Input(TypedDict, total=False):
    """The clip or image."""

    path: str
    kind: str  #: "video", "images", "camera" or "photograph"


class Network(TypedDict, total=False):
    """A network that was chosen in place of a bundle's own model."""

    network: str
    file: str
    sha256: str
    note: str


class Source(TypedDict, total=False):
    """The source of a bundle."""

    landmark_model: str
    detector: Network  #: that finds faces
    landmarks: Network  #: that finds landmarks, an approximation of OpenFace's
    start: Network  #: at whose landmarks fits begin


class Models(TypedDict, total=False):
    """The bundle."""

    name: str
    version: str
    content_hash: str
    source: Source


class CameraFacts(TypedDict, total=False):
    """Camera intrinsics used, px."""

    fx: float
    fy: float
    cx: float
    cy: float


class Intrinsics(TypedDict, total=False):
    """Requested camera intrinsics, px; null is derived from the size of the image."""

    fx: float | None
    fy: float | None
    cx: float | None
    cy: float | None


class Fitting(TypedDict, total=False):
    """Settings of the fit of landmarks."""

    iterations: int
    sigma: float
    reg_factor: float
    weight_factor: float


class Landmarks(TypedDict, total=False):
    """Settings of landmark detection."""

    init_windows: list[int]
    validate: bool
    fitting: Fitting


class Request(TypedDict, total=False):
    """The request of an extraction."""

    intrinsics: Intrinsics
    max_frames: int | None
    timestamps: str | None
    fps: float | None
    multi_view: bool | None
    columns: list[str] | None
    landmarks: Landmarks | None
    static_aus: bool | None
    faces: int | str | None
    aus: str | None
    face: str | None


class Table(TypedDict, total=False):
    """The table that a sidecar describes."""

    name: str
    rows: int
    bytes: int
    sha256: str  #: of the file, hex


class Sidecar(TypedDict, total=False):
    """The fields that reports read; a sidecar has more of them."""

    auparity: str  #: version
    table: Table
    complete: bool
    date: str
    frames: int
    frames_with_success: int
    seconds: float
    frame_ms: float
    warnings: list[str]
    input: Input
    bundle: Models
    camera: CameraFacts
    request: Request


def sidecar_of(table: Path) -> Path:
    """Where the sidecar of a table is: each table has its own, ``NAME.csv.json`` or ``NAME.parquet.json``."""
    return table.with_name(f"{table.name}.json")


def read_sidecar(table: Path) -> Sidecar:
    """The content of a table's sidecar; empty if there is none, or if it is not a sidecar.

    If the table was changed since, only the input and the models are returned, with a warning.

    Raises
    ------
    FileFormatError : the file is damaged. AuparityError : the table cannot be read.
    """
    path = sidecar_of(table)
    if not path.is_file():
        return Sidecar()
    content: dict[str, Any] = load_json(path, "the description of a table", dict, advice=ADVICE)
    if SIGNATURE not in content:
        return Sidecar()
    sidecar = checked(content, path, "the description of a table", Sidecar, advice=ADVICE)
    try:
        digest = fingerprint_of_file(table).sha256
    except OSError as error:
        raise AuparityError(f"{table}: cannot be read ({error.strerror}).") from error
    if sidecar.get("table", {}).get("sha256") == digest:
        return sidecar
    reduced = Sidecar(warnings=[*sidecar.get("warnings", []), CHANGED])
    if "input" in sidecar:
        reduced["input"] = sidecar["input"]
    if "bundle" in sidecar:
        reduced["bundle"] = sidecar["bundle"]
    return reduced
