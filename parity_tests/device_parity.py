"""The pipeline that stays on a device against the golden: one step, whole clips, photographs, and every size of batch.

The same judgements as of any other pipeline (clip_parity.py). One step is one batch here: every frame of the clip, each
begun at the golden state of the frame before. Batches of different sizes, and a second run, must give the same bits:
that is what lets clips advance together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.imaging import to_gray
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.parity_tests.clip_parity import Clip, one_step_records
from auparity.parity_tests.comparison import ComparisonRecord, compare_arrays
from auparity.parity_tests.tolerances import tolerance
from auparity.reference.results import FrameResult

Array = npt.NDArray[Any]

#: Numbers of streams that must agree; a prime, and the largest that is promised.
BATCHES = (1, 2, 3, 7, 16, 64, 256)
#: Frames of the clip that they are given.
BATCH_FRAMES = 3


def one_step(pipeline: DevicePipeline, clip: Clip) -> list[ComparisonRecord]:
    """Largest landmark error of every tracked frame, each begun at the golden state of the frame before."""
    tracked = [
        k
        for k in range(1, len(clip.frames))
        if clip.states[k - 1].detection_success and clip.states[k].detection_success
    ]
    if not tracked:
        return []
    device, detector = pipeline.device, pipeline.detector
    with pipeline.lock, device.active():
        gray = to_gray(device, device.upload(np.stack([clip.frames[k] for k in tracked])))
        before = [clip.states[k - 1] for k in tracked]
        start = replace(
            detector.initial(len(tracked)),
            params_global=device.upload(np.stack([state.params_global for state in before])),
            params_local=device.upload(np.stack([state.params_local for state in before])),
        )
        frame = device.upload(np.arange(len(tracked), dtype=np.int32))
        found = detector.detect(gray, frame, start, detector.parameters.track_windows)
        landmarks = device.download(found.landmarks)
    errors = [float(np.abs(a - clip.states[k].landmarks).max()) for a, k in zip(landmarks, tracked, strict=True)]
    return one_step_records(errors, clip.name)


def batches(pipeline: DevicePipeline, frames: Sequence[Array], sizes: Sequence[int] = BATCHES) -> ComparisonRecord:
    """How many values of a stream's results differ between batches of other sizes, and from run to run."""
    alone = _run(pipeline, frames, 1)
    differs = [sum(_differing(a, b) for a, b in zip(alone, _run(pipeline, frames, n), strict=True)) for n in sizes]
    stated = tolerance("batch", "values_differing")
    return compare_arrays("values_differing", np.zeros(len(sizes)), np.array(differs, float), stated.tolerance)


def _run(pipeline: DevicePipeline, frames: Sequence[Array], streams: int) -> list[FrameResult]:
    """Results of the last of some streams; the others see the clip's frames in another order."""
    sessions, results = [pipeline.start_video() for _ in range(streams)], []
    for k in range(len(frames)):
        images = [frames[(k + s) % len(frames)] for s in range(1, streams)]
        found = pipeline.advance(sessions, [*images, frames[k]], [k / 30] * streams)
        results.append(found[-1])
    for session in sessions:
        session.close()
    return results


def _differing(one: FrameResult, other: FrameResult) -> int:
    pairs = [(np.asarray(getattr(one, f.name)), np.asarray(getattr(other, f.name))) for f in fields(FrameResult)]
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def photographs(
    pipeline: DevicePipeline, golden: Sequence[Sequence[FrameResult]], images: Sequence[Array]
) -> list[ComparisonRecord]:
    """Faces of photographs, measured together: landmarks, intensities and presences beside the golden's."""
    found = pipeline.process_images(images)
    counts = np.array([len(faces) for faces in golden]), np.array([len(faces) for faces in found])
    pairs = [
        pair for a, b in zip(golden, found, strict=True) if len(a) == len(b) for pair in zip(a, b, strict=True)
    ]  # fmt: skip
    records = [compare_arrays("photographs faces", counts[0].astype(float), counts[1].astype(float), 0.0)]
    for figure, attribute in (
        ("landmarks", "landmarks"), ("intensities", "au_intensity"), ("presences", "au_presence"),
    ):  # fmt: skip
        if pairs:
            stated = tolerance("photographs", figure)
            a, b = (np.stack([getattr(pair[k], attribute) for pair in pairs]) for k in (0, 1))
            records.append(compare_arrays(f"photographs {figure}", a, b, stated.tolerance, share=stated.share))
    return records
