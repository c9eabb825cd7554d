"""Workloads of the parity suite: rendered clips with the embedded bundle, as OpenFace measures and with its networks,
images with networks of random weights, and the recorded clips if present.

Rendered clips include the difficult cases of every stage: a face that looks into the camera, one in profile, a small
and a large one, one that leaves the picture, and pictures without a face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_background, render_photograph
from auparity.models.types import LandmarkNetwork
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.suite import random_networks

Array = npt.NDArray[Any]

CLIP_SEED, PHOTOGRAPH_SEED, BACKGROUND_SEED, NOISE_SEED = 3_300_000, 3_310_000, 3_320_000, 3_330_000
CANVAS = (320, 240)
EMBEDDED = "embedded"
#: Stages that only bundles with networks have.
NETWORK_STAGES = ("face_network", "point_network")


@dataclass(frozen=True, eq=False)
class ParityWorkload:
    """A bundle, short clips and images for the stages, and a longer clip for the chained run.

    Without a longer clip the bundle's networks are called by themselves, with the images: random ones follow no face.
    """

    name: str
    bundle: Bundle
    clips: Sequence[Sequence[Array]]
    photographs: Sequence[Array]
    chained: Sequence[Array]

    @property
    def whole_clips(self) -> bool:
        """Whether there is a clip for whole pipelines."""
        return len(self.chained) > 0


def rendered(*, quick: bool) -> list[ParityWorkload]:
    """The rendered clips."""
    return [embedded(quick=quick), embedded_networks(quick=quick)]


def embedded(*, quick: bool) -> ParityWorkload:
    """Rendered faces; with `quick` half a minute of work for the reference."""
    frames = [picture.image for picture in render_clip(CLIP_SEED, 60 if quick else 120, canvas=CANVAS)]
    leaving = _leaving(frames)
    empty = leaving[-1]
    small = [picture.image for picture in render_clip(CLIP_SEED + 1, 3, canvas=CANVAS, face_width=(64.0, 70.0))]
    large = [picture.image for picture in render_clip(CLIP_SEED + 2, 3, canvas=(480, 360), face_width=(230.0, 240.0))]
    still = [np.zeros_like(empty), np.full_like(empty, 255)]
    photographs = [render_photograph(PHOTOGRAPH_SEED + k, yaw=70.0).image for k in range(2 if quick else 8)]
    return ParityWorkload(
        EMBEDDED,
        Bundle.embedded(networks=False),
        [frames[:4], leaving, small, large, still],
        [*photographs, empty],
        frames,
    )


def embedded_networks(*, quick: bool) -> ParityWorkload:
    """The same with the networks that the embedded models have where nobody asks for others: the clip's first face and
    those of the images are found by RetinaFace, and their fits begin at PFLD's points.
    """
    frames = [picture.image for picture in render_clip(CLIP_SEED + 4, 15 if quick else 60, canvas=CANVAS)]
    photographs = [render_photograph(PHOTOGRAPH_SEED + 10 + k, yaw=60.0).image for k in range(1 if quick else 4)]
    leaving = _leaving(frames)
    return ParityWorkload(
        "embedded-networks", Bundle.embedded(), [frames[:2], leaving], [*photographs, leaving[-1]], frames
    )


def _leaving(frames: Sequence[Array]) -> list[Array]:
    """A face on its way out of the picture, and a picture without one."""
    return [
        frames[0],
        *(_shifted(frames[k], 60 * k) for k in (1, 2, 3)),
        render_background(BACKGROUND_SEED, CANVAS).image,
    ]


def networks() -> ParityWorkload:
    """Networks of random weights: a rendered face, half of it in an odd size, and noise.

    RetinaFace, PFLD, MobileFaceNet and face-api have their true sizes, STAR two of its four hourglasses and an eighth
    of its channels, which take the reference two seconds a face.
    """
    bundle, shape = Bundle.embedded(networks=False), Bundle.embedded(networks=False).face.main.pdm
    bundle = bundle.with_serving("locator", "retinaface", random_networks.retinaface())
    for name, network in (
        ("star", random_networks.star(points=98, edges=9, stacks=2, width=32)),
        ("mobilefacenet", random_networks.mobilefacenet()),
        ("face-api", random_networks.face_api()),
        ("pfld", random_networks.pfld()),
    ):
        bundle = bundle.with_serving("landmarker", name, LandmarkNetwork(network, shape))
    bundle = bundle.with_meta(dataclasses.replace(bundle.meta, name="networks"))
    (face,) = (picture.image for picture in render_clip(CLIP_SEED + 3, 1, canvas=CANVAS))
    odd = np.ascontiguousarray(face[:203, 80:257])
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, (96, 130, 3), np.uint8)
    return ParityWorkload("networks", bundle, [], [face, odd, noise], [])


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
