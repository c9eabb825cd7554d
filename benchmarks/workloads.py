"""Workloads: rendered clips of several sizes with the embedded bundle, as it is and with the layer sizes of OpenFace's
CE-CLM experts; images; several streams at once; and the user's own footage and models.

Frames are in memory before a clock starts. Rendered frames are the same everywhere, so that figures of two machines are
for the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.media import open_clip, read_image
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_photograph
from auparity.parity_tests.fidelity.recordings import shared_dir
from auparity.reports.results.records import WorkloadRecord

Image = npt.NDArray[np.uint8]
Kind = Literal["stream", "streams", "photographs"]

CLIP_SEED, PHOTOGRAPH_SEED = 3_400_000, 3_410_000
STREAMS = 4
#: Height of a video format, its width, and how wide the face is in it: as wide as in a portrait of that format.
FORMATS = {
    "240p": (320, 240, 110.0),
    "480p": (640, 480, 200.0),
    "720p": (1280, 720, 280.0),
    "1080p": (1920, 1080, 400.0),
}


@dataclass(frozen=True, eq=False)
class TimedWorkload:
    """Frames of one clip, of several (`streams`: one list each), or images."""

    name: str
    kind: Kind
    bundle: Bundle
    clips: Sequence[Sequence[Image]]
    description: str
    path: Path | None = None  #: of a clip of the user
    models: tuple[str, str] | None = None  #: source and landmark model by which a fresh process can open the bundle
    whole: bool = False  #: the frames are all that the clip at `path` has

    def record(self) -> WorkloadRecord:
        """For a result file."""
        height, width = self.clips[0][0].shape[:2]
        return WorkloadRecord(
            self.name, self.bundle.meta.name, self.bundle.content_hash, self.bundle.landmarker_name, self.kind,
            sum(map(len, self.clips)), width, height, self.description,
        )  # fmt: skip


def _rendered(name: str, frames: int, size: str, *, widen: bool = False, streams: int = 1) -> TimedWorkload:
    width, height, face = FORMATS[size]
    bundle = Bundle.embedded(networks=False).widen() if widen else Bundle.embedded(networks=False)
    clips = [
        [p.image for p in render_clip(CLIP_SEED + k, frames, canvas=(width, height), face_width=(face, 1.05 * face))]
        for k in range(streams)
    ]
    of = f"{streams} rendered clips in turns" if streams > 1 else "a rendered clip"
    layers = ", CE-CLM layers of OpenFace's sizes" if widen else ""
    about = f"{of}, {width}x{height}{layers}"
    models = None if widen else ("embedded", "auto")
    return TimedWorkload(name, "streams" if streams > 1 else "stream", bundle, clips, about, models=models)


def _photographs(frames: int) -> TimedWorkload:
    pictures = [render_photograph(PHOTOGRAPH_SEED + k, yaw=45.0).image for k in range(max(frames // 8, 4))]
    return TimedWorkload(
        "photographs", "photographs", Bundle.embedded(networks=False), [pictures], "rendered photographs of one face"
    )


#: Workloads that need nothing but auparity, by name; each takes the number of frames.
RENDERED: dict[str, Callable[[int], TimedWorkload]] = {
    **{f"clip-{size}": lambda n, size=size: _rendered(f"clip-{size}", n, size) for size in FORMATS},  # type: ignore[misc]
    "widened": lambda n: _rendered("widened", n, "240p", widen=True),
    "streams": lambda n: _rendered("streams", n, "240p", streams=STREAMS),
    "photographs": _photographs,
}
DEFAULT = ("clip-240p", "clip-480p", "widened", "photographs")


def named(names: Sequence[str], frames: int) -> list[TimedWorkload]:
    """Rendered workloads by name.

    Raises
    ------
    AuparityError : a workload does not exist.
    """
    unknown = [name for name in names if name not in RENDERED]
    if unknown:
        raise AuparityError(f"no workload {unknown[0]!r}; there are {', '.join(RENDERED)}, or name a clip by its path.")
    return [RENDERED[name](frames) for name in names]


def of_clip(path: Path, bundle: Bundle, frames: int, opened_by: tuple[str, str] | None = None) -> TimedWorkload:
    """The first `frames` of a clip (a video or a folder of frames), with a bundle.

    Raises
    ------
    AuparityError : it cannot be read, or has no frames.
    """
    with open_clip(path) as source:
        images = [frame.image for _, frame in zip(range(frames + 1), source, strict=False)]
    if not images:
        raise AuparityError(f"{path}: has no frames.")
    whole = len(images) <= frames
    return TimedWorkload(path.stem, "stream", bundle, [images[:frames]], "recorded clip", path, opened_by, whole)


def own_photographs(folder: Path, bundle: Bundle) -> TimedWorkload:
    """The images of a folder, each by itself.

    Raises
    ------
    AuparityError : an image cannot be read, or there is none.
    """
    images = [read_image(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not images:
        raise AuparityError(f"{folder}: holds no .jpg or .png images.")
    name = f"photographs-{folder.name}"
    return TimedWorkload(name, "photographs", bundle, [images], "photographs")


def recorded(frames: int) -> list[TimedWorkload]:
    """The recorded clips with OpenFace's models, if the folder of recordings is present."""
    root = shared_dir()
    if root is None:
        return []
    opened_by = str(root / "openface"), "clnf"
    bundle = open_bundle(*opened_by)
    return [of_clip(root / "clips" / clip, bundle, frames, opened_by) for clip in ("video01", "default")]
