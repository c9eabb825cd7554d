"""The pipeline that stays on a device against the reference: one step, clips, images, several faces, sizes of batches.

It is judged like any other pipeline (clip_parity.py). Here one step is a single batch: all frames of the clip, each
from the reference state of the frame before. Batches of different sizes, and a second run, must give the same bits, so
that clips may be processed together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.clm import ClmBatch
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.grayscale import to_gray
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.models.networks.chosen import choose_bundle
from auparity.models.sources import EMBEDDED
from auparity.parity_tests.compare.arrays import ComparisonRecord, compare_arrays
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.suite.clip_parity import Clip, one_step_records
from auparity.parity_tests.suite.platform_floor import FLOOR_FACTOR, GATE_ERRORS, floor_factor
from auparity.reference.clip_options import AU_MODES, ClipOptions, FacesOptions
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import VideoPipeline

Array = npt.NDArray[Any]

#: Numbers of streams that must agree; among them a prime, and the largest supported number.
BATCHES = (1, 2, 3, 7, 16, 64, 256)
#: Number of frames of the clip for them, and of the clip of several faces.
BATCH_FRAMES, SEVERAL_FRAMES = 3, 4
#: Embedded networks in whole clips: as landmarks, and as where fits begin.
NETWORKS = (
    {"detector": "retinaface", "landmarks": "pfld"}, {"detector": "retinaface", "start": "pfld"},
    {"detector": "retinaface", "landmarks": "star"},
)  # fmt: skip


def one_step(pipeline: DevicePipeline, clip: Clip) -> list[ComparisonRecord]:
    """Largest landmark error of every tracked frame, each from the reference state of the frame before."""
    tracked = [
        k
        for k in range(1, len(clip.frames))
        if clip.states[k - 1].detection_success and clip.states[k].detection_success
    ]
    if not tracked:
        return []
    device, landmarker = pipeline.device, pipeline.models.landmarker
    assert isinstance(landmarker, ClmBatch), "the suite's clips are of constrained local models"
    detector = landmarker.detector
    with pipeline.models.lock, device.active():
        gray = to_gray(device, device.upload(np.stack([clip.frames[k] for k in tracked])))
        before = [clip.states[k - 1] for k in tracked]
        start = replace(
            detector.initial(len(tracked)),
            params_global=device.upload(np.stack([state.params_global for state in before])),
            params_local=device.upload(np.stack([state.params_local for state in before])),
        )
        frame = device.upload(np.arange(len(tracked), dtype=np.int32))
        states_after = detector.detect(gray, frame, start, detector.parameters.track_windows)
        landmarks = device.download(states_after.landmarks)
    errors = [float(np.abs(a - clip.states[k].landmarks).max()) for a, k in zip(landmarks, tracked, strict=True)]
    return one_step_records(errors, clip.name)


def batches(pipeline: DevicePipeline, frames: Sequence[Array], sizes: Sequence[int] = BATCHES) -> ComparisonRecord:
    """The number of values of a stream that differ between batches of different sizes, and from run to run."""
    alone = _run(pipeline, frames, 1)
    differs = [sum(_differing(a, b) for a, b in zip(alone, _run(pipeline, frames, n), strict=True)) for n in sizes]
    stated = tolerance("batch", "values_differing")
    return compare_arrays("values_differing", np.zeros(len(sizes)), np.array(differs, float), stated.tolerance)


def _run(pipeline: DevicePipeline, frames: Sequence[Array], streams: int) -> list[FrameResult]:
    """Results of the last of some streams; the others see the clip's frames in another order."""
    sessions, results = [pipeline.start_clip(ClipOptions()) for _ in range(streams)], []
    for k in range(len(frames)):
        images = [frames[(k + s) % len(frames)] for s in range(1, streams)]
        results_now = pipeline.advance(sessions, [*images, frames[k]], [k / 30] * streams)
        results.append(results_now[-1])
    for session in sessions:
        session.close()
    return results


def _differing(one: FrameResult, other: FrameResult) -> int:
    pairs = [(np.asarray(getattr(one, f.name)), np.asarray(getattr(other, f.name))) for f in fields(FrameResult)]
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def beside_mirror_images(frames: Sequence[Array]) -> list[Array]:
    """Each frame (H, W, 3) with its mirror image on the right: a clip of twice as many people."""
    return [np.hstack([image, image[:, ::-1]]) for image in frames]


def several_faces(
    pipeline: DevicePipeline, references: Sequence[VideoPipeline], frames: Sequence[Array], faces: int = 2
) -> list[ComparisonRecord]:
    """A clip of several people: who is followed, landmarks and intensities against the reference, and whether a face's
    results depend on the other faces and clips of the batch.

    Both modes of AUs are compared. Landmarks and intensities are means over the faces that both sides believe, limited
    by the platform floor of these frames: by how far equally correct programs are apart.

    Parameters
    ----------
    references : the reference, and at least one of its perturbed versions.
    """
    records, factor = [], floor_factor(len(frames))
    for mode in AU_MODES:
        options = FacesOptions(faces, mode)
        runs = [_run_faces(each, frames, options) for each in references]
        ours = _run_faces(pipeline, frames, options)
        flags = [[{(r.face_id, r.success) for r in some} for some in run] for run in (runs[0], ours)]
        apart = np.array([len(a ^ b) for a, b in zip(*flags, strict=True)], float)
        stated = tolerance("several_faces", "slots").tolerance
        records.append(compare_arrays(f"{mode} slots", np.zeros(len(apart)), apart, stated))
        for figure, attribute in (("landmarks_mean", "landmarks"), ("intensities_mean", "au_intensity")):
            floor = max(_mean_apart(a, b, attribute) for a, b in combinations(runs, 2))
            error = np.array([_mean_apart(runs[0], ours, attribute)])
            records.append(compare_arrays(f"{mode} {figure}", np.zeros(1), error, factor * floor))
        differs = np.array([float(_differing_faces(pipeline, frames, options, ours))])
        stated = tolerance("several_faces", "values_differing").tolerance
        records.append(compare_arrays(f"{mode} values_differing", np.zeros(1), differs, stated))
    return records


def networks(
    device: Device, options: Mapping[str, str], frames: Sequence[Array], sizes: Sequence[int]
) -> list[ComparisonRecord]:
    """A clip with embedded networks: whether the face is believed and its landmarks against the reference, and whether
    results depend on the other clips of the batch.

    Parameters
    ----------
    options : which networks, as of `choose_bundle`. sizes : numbers of streams that must agree with one.
    """
    bundle = choose_bundle(EMBEDDED, **options)
    with DevicePipeline(bundle, device) as pipeline:
        ours, same = _run(pipeline, frames, 1), batches(pipeline, frames, sizes)
    session = ReferencePipeline(bundle).start_clip(ClipOptions())
    theirs = [session.process_frame(image, k / 30) for k, image in enumerate(frames)]
    name, limit = " ".join(options.values()), tolerance("networks", "landmarks_mean").tolerance
    wanted, found = (np.array([result.success for result in run], float) for run in (theirs, ours))
    error = _mean_apart([[result] for result in theirs], [[result] for result in ours], "landmarks")
    return [
        compare_arrays(f"{name} flags", wanted, found, tolerance("networks", "flags").tolerance),
        compare_arrays(f"{name} landmarks_mean", np.zeros(1), np.array([error]), limit),
        replace(same, name=f"{name} {same.name}"),
    ]


def _mean_apart(one: Sequence[Sequence[FrameResult]], other: Sequence[Sequence[FrameResult]], attribute: str) -> float:
    """Mean absolute difference of an attribute over the faces that both runs believe; NaN, which fails, for none."""
    pairs = [
        (a, b)
        for some, others in zip(one, other, strict=True)
        for a in some
        for b in others
        if a.face_id == b.face_id and a.success and b.success
    ]
    if not pairs:
        return math.nan
    return float(np.mean([np.abs(getattr(a, attribute) - getattr(b, attribute)).mean() for a, b in pairs]))


def _run_faces(pipeline: VideoPipeline, frames: Sequence[Array], options: FacesOptions) -> list[list[FrameResult]]:
    session = pipeline.start_faces(options)
    results = [session.process_frame(image, k / 30) for k, image in enumerate(frames)]
    session.close()
    return results


def _differing_faces(
    pipeline: DevicePipeline, frames: Sequence[Array], options: FacesOptions, expected: Sequence[Sequence[FrameResult]]
) -> int:
    """Values of faces that differ where another clip is in the batch, and where one slot follows the first face."""
    session, other, single = (pipeline.start_faces(each) for each in (options, options, replace(options, faces=1)))
    differs = 0
    for k, image in enumerate(frames):
        images = [image, frames[(k + 1) % len(frames)], image]
        together, _, alone = pipeline.advance([session, other, single], images, [k / 30] * 3)
        first = [face for face in expected[k] if face.face_id == 0]
        for found, wanted in ((together, expected[k]), (alone, first)):
            differs += abs(len(found) - len(wanted))
            differs += sum(_differing(a, b) for a, b in zip(found, wanted, strict=False))
    for each in (session, other, single):
        each.close()
    return differs


def photographs(
    pipeline: DevicePipeline,
    reference: Sequence[Sequence[FrameResult]],
    perturbed_runs: Sequence[Sequence[Sequence[FrameResult]]],
    images: Sequence[Array],
) -> list[ComparisonRecord]:
    """Faces of images, measured together: landmarks, intensities and presences compared with the reference.

    Presences are signs of sums, and some are so near zero that equally correct programs differ in them. Therefore the
    share that may differ follows from the differences of `perturbed_runs` of the reference.
    """
    candidate = pipeline.process_images(images)
    counts = np.array([len(faces) for faces in reference]), np.array([len(faces) for faces in candidate])
    records = [compare_arrays("photographs faces", counts[0].astype(float), counts[1].astype(float), 0.0)]
    for figure, attribute in (("landmarks", "landmarks"), ("intensities", "au_intensity")):
        a, b = _of_faces(reference, candidate, attribute)
        if len(a):
            stated = tolerance("photographs", figure)
            records.append(compare_arrays(f"photographs {figure}", a, b, stated.tolerance, share=stated.share))
    a, b = _of_faces(reference, candidate, "au_presence")
    if len(a):
        limit = _presences_that_may_differ(reference, perturbed_runs)
        differ = np.array([float(np.mean(a != b))])
        records.append(compare_arrays("photographs presences_differing", np.zeros(1), differ, limit))
    return records


def _of_faces(
    reference: Sequence[Sequence[FrameResult]], candidate: Sequence[Sequence[FrameResult]], attribute: str
) -> tuple[Array, Array]:
    """Arrays of the faces of all images in which both found the same number."""
    pairs = [
        pair for a, b in zip(reference, candidate, strict=True) if len(a) == len(b) for pair in zip(a, b, strict=True)
    ]  # fmt: skip
    if not pairs:
        return np.zeros(0), np.zeros(0)
    return np.stack([getattr(a, attribute) for a, _ in pairs]), np.stack([getattr(b, attribute) for _, b in pairs])


def _presences_that_may_differ(
    reference: Sequence[Sequence[FrameResult]], perturbed_runs: Sequence[Sequence[Sequence[FrameResult]]]
) -> float:
    """A share: `FLOOR_FACTOR` times the widest perturbed's, and standard errors of so many counted events."""
    pairs = [_of_faces(reference, perturbed, "au_presence") for perturbed in perturbed_runs]
    number = max(a.size for a, _ in pairs)
    floor = max(float(np.mean(a != b)) if a.size else 0.0 for a, b in pairs)
    return FLOOR_FACTOR * floor + GATE_ERRORS * math.sqrt(max(floor * number, 1.0)) / max(number, 1)
