"""Parity of processes and threads with one process: ``python -m auparity.parity_tests.parallel``.

Clips in processes and one stream over two threads must give the same bits. A clip cut into parts gives them up to where
a part begins: what differs there is measured, by how many frames the part was begun early.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.accelerated.hardware import hardware
from auparity.accelerated.parallel import chunks
from auparity.accelerated.parallel.chunks import process_in_parts
from auparity.accelerated.parallel.streams import process_frames
from auparity.accelerated.parallel.workers import Worker, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.media import Frame, open_clip
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests import golden_data
from auparity.parity_tests.tolerances import tolerance
from auparity.reference.results import FrameResult

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
    pipeline = Pipeline.best(bundle, device="cpu")
    session = pipeline.start_video()
    with open_clip(folder) as source:
        frames = [Frame(frame.image, frame.timestamp) for frame in source]
    alone = [session.process_frame(frame.image, frame.timestamp) for frame in frames]
    offline = session.finish()
    threaded = pipeline.start_video()
    by_threads = list(process_frames(threaded, frames))
    found: dict[str, Any] = {
        "threads": float(np.abs(_values(alone) - _values(by_threads)).max()),
        "threads offline": float(np.abs(offline.intensity - threaded.finish().intensity).max()),
    }
    with Workers(bundle, pipeline.variants, 2) as workers:
        for name, results in zip(("first", "second"), workers.map(whole_clip, [folder, folder]), strict=True):
            found[f"process, {name} clip"] = float(np.abs(_values(alone) - _values(results)).max())
        chunks.SHORTEST_PART = 10  # short clips are cut here as well
        for warm_up in WARM_UPS:
            parts, cut = process_in_parts(pipeline, folder, workers, warm_up=warm_up)
            moved = np.abs(np.stack([a.landmarks - b.landmarks for a, b in zip(alone, parts, strict=True)])).mean(
                axis=(1, 2)
            )
            seam = len(parts) // 2
            found[f"parts, warm-up {warm_up}"] = {
                "before the seam": float(moved[:seam].max()),
                "at the seam": float(moved[seam]),
                "ten frames later": float(moved[min(seam + 10, len(moved) - 1)]),
                "mean after it": float(moved[seam:].mean()),
                "AU offline mean": float(np.abs(offline.intensity - cut.finish().intensity).mean()),
            }
    return found


def judge(found: dict[str, Any]) -> list[str]:
    """What is wrong; empty when all holds."""
    wrong = [name for name, value in found.items() if isinstance(value, float) and value != 0]
    default = found[f"parts, warm-up {chunks.WARM_UP}"]
    limit = tolerance("parallel", "seam_landmarks").tolerance
    if default["before the seam"] != 0:
        wrong.append("parts: frames before the seam differ")
    if not default["mean after it"] <= limit:
        wrong.append(f"parts: landmarks after the seam are {default['mean after it']:.4f} px off, limit {limit}")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m auparity.parity_tests.parallel", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON")
    chosen = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "clip"
        folder.mkdir()
        for k, picture in enumerate(render_clip(CLIP_SEED, FRAMES)):
            cv2.imwrite(str(folder / f"{k:04}.png"), picture.image)
        found["embedded"] = measure(Bundle.embedded(), folder)
    shared = golden_data.shared_dir()
    if shared is not None:
        bundle = Bundle.from_openface(shared / "openface", landmark_model="clnf")
        for clip in ("video01", "default"):
            found[clip] = measure(bundle, shared / "clips" / clip)
    wrong = [f"{clip}: {problem}" for clip, figures in found.items() for problem in judge(figures)]
    print(json.dumps(found, indent=1))
    print("\n".join(wrong) if wrong else "processes and threads give the numbers of one process; seams hold")
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "machine": hardware().as_dict(),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "found": found,
            "wrong": wrong,
        }
        chosen.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
