"""Workloads of the parity suite: rendered clips with the embedded bundle, and the recorded clips if present.

Rendered clips include the difficult cases of every stage: a face that looks into the camera, one in profile, a small
and a large one, one that leaves the picture, and pictures without a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_background, render_photograph
from auparity.parity_tests.fidelity import recordings as golden_data

Array = npt.NDArray[Any]

CLIP_SEED, PHOTOGRAPH_SEED, BACKGROUND_SEED = 3_300_000, 3_310_000, 3_320_000
CANVAS = (320, 240)


@dataclass(frozen=True, eq=False)
class ParityWorkload:
    """A bundle, short clips and images for the stages, and a longer clip for the chained run."""

    name: str
    bundle: Bundle
    clips: Sequence[Sequence[Array]]
    photographs: Sequence[Array]
    chained: Sequence[Array]


def embedded(*, quick: bool) -> ParityWorkload:
    """Rendered faces; with `quick` half a minute of work for the reference."""
    frames = [picture.image for picture in render_clip(CLIP_SEED, 60 if quick else 120, canvas=CANVAS)]
    empty = render_background(BACKGROUND_SEED, CANVAS).image
    leaving = [frames[0], *(_shifted(frames[k], 60 * k) for k in (1, 2, 3)), empty]
    small = [picture.image for picture in render_clip(CLIP_SEED + 1, 3, canvas=CANVAS, face_width=(64.0, 70.0))]
    large = [picture.image for picture in render_clip(CLIP_SEED + 2, 3, canvas=(480, 360), face_width=(230.0, 240.0))]
    still = [np.zeros_like(empty), np.full_like(empty, 255)]
    photographs = [render_photograph(PHOTOGRAPH_SEED + k, yaw=70.0).image for k in range(2 if quick else 8)]
    return ParityWorkload(
        "embedded", Bundle.embedded(), [frames[:4], leaving, small, large, still], [*photographs, empty], frames
    )


def openface(*, quick: bool) -> list[ParityWorkload]:
    """The recorded clips with OpenFace's own models; none if they are absent."""
    shared = golden_data.shared_dir()
    if shared is None:
        return []
    bundle = Bundle.from_openface(shared / "openface", landmark_model="clnf")
    workloads = []
    for clip in ("video01",) if quick else ("video01", "default"):
        count = 40 if quick else 120
        frames = [golden_data.load_frame(clip, k) for k in range(count)]
        pictures = [golden_data.load_image(path.name) for path in golden_data.image_paths()[: 1 if quick else 2]]
        workloads.append(ParityWorkload(f"openface-{clip}", bundle, [frames[:4], frames[-3:]], pictures, frames))
    return workloads


def _shifted(image: Array, pixels: int) -> Array:
    """The image moved to the right, its edge repeated: a face on its way out of the picture."""
    moved = np.roll(image, pixels, axis=1)
    moved[:, :pixels] = image[:, :1]
    return np.ascontiguousarray(moved)
