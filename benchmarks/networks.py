"""What networks do to results and to time (`auparity dev networks`): the figures of docs/networks.md.

Images, and frames of clips taken as images: the landmarks that a fit finds from a network's points against those that
OpenFace's search finds (MTCNN, eleven head orientations), and the time from file to action units of both, in turns.
Clips: landmarks and action units of networks against those of constrained local models on the same frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.one_thread import one_blas_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.media import identify, open_clip, read_photograph
from auparity.models.networks.chosen import choose_bundle
from auparity.models.sources import open_bundle
from auparity.reference.clm import own_state
from auparity.reference.images import Images
from auparity.reference.landmarks import ClmState

Array = npt.NDArray[Any]

OUTER_EYES = (36, 45)
#: Two faces of one image are the same where their landmarks are nearer than this share of the outer eye distance.
SAME_FACE = 0.5
#: An action unit moves in a clip where its intensity has at least this standard deviation.
MOVES = 0.1
PASSES = 3


@dataclass(frozen=True)
class Measured:
    """A clip through one pipeline."""

    landmarks: Array  #: (T, 68, 2) px
    success: Array  #: (T,)
    intensity: Array  #: (T, 17) after post-processing
    presence: Array  #: (T, 18)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out `auparity dev networks`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="auparity dev networks", description=__doc__)
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="images, videos, folders of frames")
    parser.add_argument("--models", metavar="SOURCE", help="as `auparity extract`")
    parser.add_argument("--detector", default="retinaface", metavar="WHICH", help="default: retinaface")
    parser.add_argument(
        "--network", action="append", required=True, metavar="WHICH",
        help="pfld, mobilefacenet, star, face-api or a file; again",
    )  # fmt: skip
    parser.add_argument(
        "--variants",
        default="best",
        metavar="SPEC",
        help="as `auparity extract` (default: best)",
    )
    parser.add_argument("--images", type=int, default=20, metavar="N", help="frames of each clip that are images, too")
    parser.add_argument("--max-frames", type=int, default=300, metavar="N", help="of each clip (default: 300)")
    chosen = parser.parse_args(arguments)
    photographs = [path for path in chosen.inputs if not path.is_dir() and identify(path).kind == "image"]
    clips = {path.name: _frames(path, chosen.max_frames) for path in chosen.inputs if path not in photographs}

    def pipeline(**options: str) -> Pipeline:
        # Without options: what OpenFace does, also of the embedded models.
        bundle = choose_bundle(chosen.models, **options) if options else open_bundle(chosen.models, networks=False)
        return Pipeline.from_spec({}, bundle, default=chosen.variants)

    usual = pipeline()
    for network in chosen.network:
        print(f"\nfits from the points of {Path(network).name}, {Path(chosen.detector).name} as detector")
        print("| images | faces | found by both | likelier | px median / largest | % of outer eyes | ms | ratio |")
        print("|---|---|---|---|---|---|---|---|")
        started = pipeline(detector=chosen.detector, start=network)
        with one_blas_thread():
            if photographs:
                print(_of_images("photographs", [_reading(path) for path in photographs], usual, started))
            for name, frames in clips.items():
                some = frames[:: max(1, len(frames) // chosen.images)][: chosen.images]
                print(_of_images(name, [_given(frame) for frame in some], usual, started))
    if clips:
        print("\n| landmarks | clip | frames | distance, % | AU MAE | mean r (AUs that move) | presence agrees |")
        print("|---|---|---|---|---|---|---|")
    for name, frames in clips.items():
        with one_blas_thread():
            truth = _measured(usual, frames)
            for network in chosen.network:
                short = Path(network).name
                drawn = _measured(pipeline(detector=chosen.detector, landmarks=network), frames)
                print(_row(short, name, truth, drawn), flush=True)
                fitted = _measured(pipeline(detector=chosen.detector, start=network), frames)
                print(_row(f"fits from {short}", name, truth, fitted), flush=True)
    return 0


def _frames(path: Path, count: int) -> list[Array]:
    with open_clip(path) as source:
        return [frame.image for _, frame in zip(range(count), source, strict=False)]


def _reading(path: Path) -> Callable[[], Array]:
    return lambda: read_photograph(path)[0]


def _given(image: Array) -> Callable[[], Array]:
    return lambda: image


def _of_images(name: str, images: Sequence[Callable[[], Array]], usual: Pipeline, started: Pipeline) -> str:
    compared: list[tuple[float, float, float]] = []
    faces, seconds = 0, {id(usual): 0.0, id(started): 0.0}
    for pipeline in (usual, started):  # compiles and allocates
        pipeline.process_image(images[0]())
    for image in images:
        best = dict.fromkeys(seconds, np.inf)
        for _ in range(PASSES):
            for pipeline in (usual, started):
                begin = time.perf_counter()
                pipeline.process_image(image())
                best[id(pipeline)] = min(best[id(pipeline)], time.perf_counter() - begin)
        seconds = {key: seconds[key] + best[key] for key in seconds}
        before, after = (_faces(pipeline, image()) for pipeline in (usual, started))
        faces += len(before)
        compared += _pairs(before, after)
    px, share, gained = np.array(compared).reshape(-1, 3).T
    first, second = (1000 * seconds[id(pipeline)] / len(images) for pipeline in (usual, started))
    return (
        f"| {name} ({len(images)}) | {faces} | {len(px)} | {(gained > 0).sum()} | {_spread(px)} | {_spread(share)} "
        f"| {first:.0f} to {second:.0f} | {second / first:.2f} |"
    )


def _spread(values: Array) -> str:
    return f"{np.median(values):.2f} / {values.max():.2f}" if len(values) else "nothing to compare"


def _faces(pipeline: Pipeline, image: Array) -> list[ClmState]:
    """The faces of an image that the validator accepts."""
    images, staged = Images([image]), pipeline.staged
    boxes = staged.locator.locate(images)[0].boxes
    states = staged.landmarker.start(images, [0] * len(boxes), boxes)
    return [own_state(state) for state, accepted in zip(states, states.accepted, strict=True) if accepted]


def _pairs(before: Sequence[ClmState], after: Sequence[ClmState]) -> Iterator[tuple[float, float, float]]:
    """Of each face that both found: mean distance of the landmarks, px and % of its outer eye distance, and by how much
    its likelihood under the model is larger after."""
    for face in before:
        eyes = _eyes(face.landmarks)
        apart = [_apart(face.landmarks, other.landmarks) for other in after]
        if apart and min(apart) < SAME_FACE * eyes:
            nearest = after[int(np.argmin(apart))]
            yield min(apart), 100 * min(apart) / eyes, nearest.likelihood - face.likelihood


def _apart(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b, axis=-1).mean())


def _eyes(landmarks: Array) -> float:
    first, second = landmarks[list(OUTER_EYES)].astype(np.float64)
    return float(np.linalg.norm(first - second))


def _measured(pipeline: Pipeline, frames: Sequence[Array]) -> Measured:
    session = pipeline.start_video()
    results = [session.process_frame(frame, k / 30) for k, frame in enumerate(frames)]
    aus = session.finish()
    landmarks, success = np.stack([r.landmarks for r in results]), np.array([r.success for r in results])
    return Measured(landmarks, success, np.asarray(aus.intensity), np.asarray(aus.presence))


def _row(name: str, clip: str, truth: Measured, other: Measured) -> str:
    both = truth.success & other.success
    if not both.any():
        return f"| {name} | {clip} | 0 of {len(both)} | nothing to compare | | | |"
    pairs = zip(truth.landmarks[both], other.landmarks[both], strict=True)
    distance = np.mean([100 * _apart(a, b) / _eyes(a) for a, b in pairs])
    a, b = truth.intensity[both], other.intensity[both]
    moving = [k for k in range(a.shape[1]) if a[:, k].std() > MOVES and b[:, k].std() > 0]
    correlation = np.mean([np.corrcoef(a[:, k], b[:, k])[0, 1] for k in moving]) if moving else np.nan
    return (
        f"| {name} | {clip} | {both.sum()} of {len(both)} | {distance:.2f} | {np.abs(a - b).mean():.3f} "
        f"| {correlation:.2f} of {len(moving)} | {100 * (truth.presence == other.presence)[both].mean():.1f} % |"
    )


if __name__ == "__main__":
    raise SystemExit(main())
