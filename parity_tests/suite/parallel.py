"""Parity of processes and threads with one process: ``auparity dev parallel``.

Clips in processes and one stream over two threads must give the same bits. A clip cut into parts gives them up to the
first cut; the difference after a cut is measured for several numbers of warm-up frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.accelerated.parallel import parts
from auparity.accelerated.parallel.chunks import process_in_parts
from auparity.accelerated.parallel.streams import process_frames
from auparity.accelerated.parallel.workers import Worker, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.media import Frame, open_clip
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.compare.provenance import provenance
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult
from auparity.reports.results.records import MeasuredError, Results, WorkloadRecord, save

Array = npt.NDArray[Any]

FRAMES, CLIP_SEED = 60, 3_400_000
WARM_UPS = (0, 5, 10, 20, 30)


def whole_clip(worker: Worker, folder: Path) -> list[FrameResult]:
    """A clip in one worker."""
    session = worker.pipeline.start_video()
    with open_clip(folder) as source:
        return [session.process_frame(frame.image, frame.timestamp) for frame in source]


def _values(results: list[FrameResult]) -> Array:
    rows = [
        np.concatenate([r.landmarks.ravel(), r.pose, r.gaze.ravel(), r.au_intensity, r.au_presence]) for r in results
    ]
    return np.stack(rows).astype(np.float64)


def measure(bundle: Bundle, folder: Path) -> dict[str, Any]:
    """Errors of every way of running a clip in parallel, against one process."""
    pipeline = Pipeline.best(bundle, PipelineOptions(device="cpu"))
    session = pipeline.start_video()
    with open_clip(folder) as source:
        frames = [Frame(frame.image, frame.timestamp) for frame in source]
    alone = [session.process_frame(frame.image, frame.timestamp) for frame in frames]
    offline = session.finish()
    threaded = pipeline.start_video()
    by_threads = list(process_frames(threaded, frames))
    differences: dict[str, Any] = {
        "threads": float(np.abs(_values(alone) - _values(by_threads)).max()),
        "threads offline": float(np.abs(offline.intensity - threaded.finish().intensity).max()),
    }
    with Workers(bundle, pipeline.variants, 2) as workers:
        for name, results in zip(("first", "second"), workers.map(whole_clip, [folder, folder]), strict=True):
            differences[f"process, {name} clip"] = float(np.abs(_values(alone) - _values(results)).max())
        parts.SHORTEST_PART = 10  # short clips are cut here as well
        for warm_up in WARM_UPS:
            results, cut = process_in_parts(pipeline, folder, workers, warm_up=warm_up)
            moved = np.abs(np.stack([a.landmarks - b.landmarks for a, b in zip(alone, results, strict=True)])).mean(
                axis=(1, 2)
            )
            seam = len(results) // 2
            differences[f"parts, warm-up {warm_up}"] = {
                "before the seam": float(moved[:seam].max()),
                "at the seam": float(moved[seam]),
                "ten frames later": float(moved[min(seam + 10, len(moved) - 1)]),
                "mean after it": float(moved[seam:].mean()),
                "AU offline mean": float(np.abs(offline.intensity - cut.finish().intensity).mean()),
            }
    return differences


def errors_of(workload: str, differences: dict[str, Any]) -> list[MeasuredError]:
    """The differences of `measure` with their limits: 0, except after a seam."""
    stated = tolerance("parallel", "seam_landmarks")
    errors = [
        _error(workload, name, value, 0.0, "px, degrees, intensity", "the same work in the same order")
        for name, value in differences.items()
        if isinstance(value, float)
    ]
    default = differences[f"parts, warm-up {parts.WARM_UP}"]
    errors.append(
        _error(workload, "parts: before the seam", default["before the seam"], 0.0, "px", "no part has begun there yet")
    )
    errors.append(
        _error(
            workload, "parts: mean after the seam", default["mean after it"], stated.tolerance, "px", stated.reason
        )
    )  # fmt: skip
    return errors


def _error(workload: str, figure: str, value: float, limit: float, unit: str, reason: str) -> MeasuredError:
    problem = "" if value <= limit else "OUT OF TOLERANCE"
    return MeasuredError(workload, "parallel", "", "best", figure, value, limit, unit, reason, problem=problem)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev parallel", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="result file, for `auparity report`")
    chosen = parser.parse_args(arguments)
    differences: dict[str, Any] = {}
    works: list[WorkloadRecord] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "clip"
        folder.mkdir()
        for k, picture in enumerate(render_clip(CLIP_SEED, FRAMES)):
            cv2.imwrite(str(folder / f"{k:04}.png"), picture.image)
        differences["embedded"] = measure(Bundle.embedded(networks=False), folder)
        works.append(_workload("embedded", Bundle.embedded(networks=False), folder))
    shared = golden_data.shared_dir()
    if shared is not None:
        bundle = Bundle.from_openface(shared / "openface", landmark_model="clnf")
        for clip in ("video01", "default"):
            differences[clip] = measure(bundle, shared / "clips" / clip)
            works.append(_workload(clip, bundle, shared / "clips" / clip))
    errors = [error for clip, figures in differences.items() for error in errors_of(clip, figures)]
    wrong = [error for error in errors if error.problem]
    print(json.dumps(differences, indent=1))
    for error in wrong:
        print(f"{error.workload}: {error.figure}: {error.error:.4g}, limit {error.tolerance:.4g} {error.unit}")
    if not wrong:
        print("processes and threads give the numbers of one process; seams hold")
    if chosen.output:
        where = provenance("auparity dev parallel", yardstick=False)
        save(Results("parity", where, works, errors=errors), chosen.output)
    return 1 if wrong else 0


def _workload(name: str, bundle: Bundle, folder: Path) -> WorkloadRecord:
    with open_clip(folder) as source:
        shapes = [frame.image.shape for frame in source]
    height, width = shapes[0][:2]
    return WorkloadRecord(
        name, bundle.meta.name, bundle.content_hash, bundle.landmarker_name, "stream", len(shapes), width, height
    )  # fmt: skip
