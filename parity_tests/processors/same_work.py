"""Work that two processors do alike: prepared once, computed on each, compared afterwards (comparison.py).

A folder of work has ``clips`` and ``photographs`` (pictures that both decode), ``stages-*.pickle`` (calls of every
stage, with what the reference returned), ``step.pickle`` (a tracked frame and the state before it) and perhaps
``openface`` (models). What a processor makes of it is a folder, too: ``stages.json``, ``step.json`` and tables.

The reference runs once, where the work is prepared: it has the same bits on every processor
(parity_tests/unit/reference/test_reference_bits.py), and under emulation it would take hours.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.accelerated.choices import parse_spec
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.atomic_files import write_text_atomically
from auparity.cli import main as command_line
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.parity_tests.suite import workloads
from auparity.parity_tests.suite.stage_capture import Capture, capture, capture_networks
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reference.face_states import FaceState
from auparity.reference.pipeline import VideoSession

Array = npt.NDArray[Any]

#: The kernels that a user of any processor gets; other technologies bring their own, which are not ours to compile.
VARIANTS = "numba"
MODELS = "openface"
#: Calls of each stage and part that are repeated.
MOST_CALLS = 8
#: The tracked step leads from the state after this frame (from 0) to the next.
STEP = 2
#: The extremes among the suite's clips, in its order after the usual one, and the others' names.
EXTREMES = ("leaving", "small", "large", "black_and_white")
CHAINED, PHOTOGRAPHS = "chained", "photographs"


@dataclass(frozen=True, eq=False)
class Step:
    """One tracked frame."""

    image: Array  #: (H, W, 3) uint8
    before: FaceState


def prepare(folder: Path, *, frames: int, clip: Path | None = None, models: Path | None = None) -> None:
    """Write the work into a folder, which is emptied first.

    Parameters
    ----------
    frames : of the chained clip.
    clip : a folder of images for it; None for a rendered one.
    models : a folder of OpenFace's models, which are copied; None for the embedded ones.

    Raises
    ------
    AuparityError : the clip has fewer images.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if models is not None:
        shutil.copytree(models, folder / MODELS)
    work, networks = workloads.embedded(quick=True), workloads.networks()
    _write_clips(folder, work, frames, clip)
    bundle = bundle_of(folder)
    _save(folder / "step.pickle", _step(bundle, read_images(folder / "clips" / CHAINED, STEP + 2)))
    few = [work.clips[0][:2], work.clips[EXTREMES.index("large") + 1][:1]]
    _save(folder / "stages-embedded.pickle", capture(work.bundle, few, [], MOST_CALLS))
    _save(folder / "stages-networks.pickle", capture_networks(networks.bundle, networks.photographs, MOST_CALLS))
    if models is not None:
        images = read_images(folder / "clips" / CHAINED, STEP + 2)
        _save(folder / "stages-openface.pickle", capture(bundle, [images], [], MOST_CALLS))


def bundle_of(folder: Path) -> Bundle:
    """The models of the work in a folder."""
    own = folder / MODELS
    return open_bundle(str(own), "clnf") if own.is_dir() else Bundle.embedded(networks=False)


def _write_clips(folder: Path, work: workloads.ParityWorkload, frames: int, clip: Path | None) -> None:
    chained = folder / "clips" / CHAINED
    if clip is None:
        _write_images(chained, work.chained[:frames])
    else:
        paths = image_paths(clip)
        if len(paths) < frames:
            raise AuparityError(f"{clip}: holds {len(paths)} images (.jpg, .png), and {frames} are needed.")
        chained.mkdir(parents=True)
        for path in paths[:frames]:
            shutil.copyfile(path, chained / path.name)
    for name, images in zip(EXTREMES, work.clips[1:], strict=True):
        _write_images(folder / "clips" / name, images)
    _write_images(folder / PHOTOGRAPHS, work.photographs)


def _write_images(folder: Path, images: Iterable[Array]) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        if not cv2.imwrite(str(folder / f"{number:06d}.png"), image):
            raise AuparityError(f"{folder}: could not be written. Is the disk full?")


def read_images(folder: Path, count: int) -> list[Array]:
    """The first images of a folder, (H, W, 3) uint8 B,G,R."""
    return [np.asarray(cv2.imread(str(path)), np.uint8) for path in image_paths(folder)[:count]]


def image_paths(folder: Path) -> list[Path]:
    """The images of a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))


def _step(bundle: Bundle, images: Sequence[Array]) -> Step:
    pipeline = _pipeline(bundle)
    session = pipeline.staged.start_video()
    assert isinstance(session, VideoSession)  # of one face on a processor, which keeps the tracker's state
    for index, image in enumerate(images[: STEP + 1]):
        session.process_frame(image, index / 30)
    return Step(images[STEP + 1], session.tracker.state)


def _pipeline(bundle: Bundle) -> Pipeline:
    return Pipeline.of_choices(bundle, parse_spec(bundle, VARIANTS))


def _save(path: Path, content: Any) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


def compute(folder: Path, out: Path) -> None:
    """Do the work of a folder on this processor. Parts whose results are there already are not done again."""
    out.mkdir(parents=True, exist_ok=True)
    find_libraries()
    with one_blas_thread():
        for part, made in (("step.json", _step_found), ("stages.json", _stages_found)):
            if not (out / part).is_file():
                _tell(f"{part}: begun")
                write_text_atomically(out / part, json.dumps(made(folder), indent=1) + "\n")
    tables(folder, out)


def _step_found(folder: Path) -> dict[str, Any]:
    """What the tracker makes of the step: the landmarks, written so that no bit is lost."""
    step: Step = _load(folder / "step.pickle")
    pipeline = _pipeline(bundle_of(folder)).staged
    detector = pipeline.landmark_detector
    start = replace(
        detector.initial_state(), params_global=step.before.params_global, params_local=step.before.params_local
    )
    found = detector.detect(pipeline.clm.to_gray(step.image), start, detector.parameters.track_windows)
    landmarks = np.asarray(found.landmarks, np.float64)
    return {
        "success": bool(found.detection_success),
        "landmarks": [value.hex() for value in landmarks.ravel().tolist()],
    }


def _stages_found(folder: Path) -> list[dict[str, Any]]:
    """Every stage's largest error against the reference, of the variants that can run here."""
    found = []
    for path in sorted(folder.glob("stages-*.pickle")):
        taken: Capture = _load(path)
        for variant in sorted(registry(), key=lambda each: (each.stage, each.name)):
            if variant.name != VARIANTS and not variant.name.startswith(f"{VARIANTS}-"):
                continue
            parts = {call.instance: call.parts for call in taken.calls.get(variant.stage, [])}
            if not parts or all(variant.unavailable_reason(each[:1]) for each in parts.values()):
                continue
            _tell(f"{path.stem}: {variant.stage} {variant.name}")
            for record in check_stage(variant, taken):
                figure = f"{path.stem.removeprefix('stages-')}: {record.name}"
                error, limit = float(record.tolerance_needed), float(record.tolerance)
                found.append({"figure": figure, "error": repr(error), "tolerance": repr(limit)})
    return found


def tables(folder: Path, out: Path) -> None:
    """Tables of the clips and photographs, as ``auparity extract`` writes them; those that are whole are kept.

    Raises
    ------
    AuparityError : an input failed.
    """
    models = folder / MODELS
    source = ["--models", str(models), "--landmarks", "clnf"] if models.is_dir() else ["--models", "embedded"]
    common = ["--variants", VARIANTS, "-o", str(out), "--quiet"]
    for name in (CHAINED, *EXTREMES):  # one by one, so that each is kept when it is there
        _tell(f"table of {name}")
        chosen = source if name == CHAINED else ["--models", "embedded"]
        _extract([str(folder / "clips" / name), "--fps", "30", *chosen, *common])
    _tell(f"table of {PHOTOGRAPHS}")
    _extract([str(folder / PHOTOGRAPHS), "--photographs", "--models", "embedded", *common])


def _extract(arguments: list[str]) -> None:
    if status := command_line(["extract", *arguments]):
        raise AuparityError(f"auparity extract {arguments[0]} ended with status {status}")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """``python -m auparity.parity_tests.processors.same_work FOLDER OUT``: what the emulated processor runs."""
    parser = argparse.ArgumentParser(prog="same_work", description=compute.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args(arguments)
    compute(chosen.folder, chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
