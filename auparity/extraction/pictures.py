"""Faces or landmarks of many images as one JSON document, for those who want nothing else of the pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import VideoError
from auparity.extraction.inputs import Input
from auparity.fingerprints import fingerprint_of_file
from auparity.media import printable, read_photograph
from auparity.models.bundle import Bundle
from auparity.models.networks.chosen import description_of, notices_of
from auparity.reference.images import Images
from auparity.reference.networks.crops import box_of_mtcnn
from auparity.reference.networks.face_locator import RetinaFaceLocator
from auparity.reference.pipeline import StagedPipeline
from auparity.version import __version__

Array = npt.NDArray[Any]
Entry = dict[str, Any]
#: Decimal places of px, and of scores.
PX_DIGITS, SCORE_DIGITS = 3, 6
NOT_AN_IMAGE = "is not an image; `auparity extract` measures clips."

#: What is said of the faces of one image (H, W, 3) uint8 BGR.
FacesOf = Callable[[StagedPipeline, Array], list[Entry]]


@dataclass(frozen=True)
class Looked:
    """What became of one input: what the document says of it, or why nothing."""

    path: Path
    entry: Entry | None
    problem: str = ""
    notice: bool = False  #: nothing failed


def faces_found(pipeline: StagedPipeline, image: Array) -> list[Entry]:
    """The faces of an image, best score first.

    ``box`` x, y, w, h px is the one that landmarks start from, tight around the 68 of them; ``own_box``, of
    RetinaFace, the one that it draws, from forehead to chin. ``points`` are both eyes, the nose and both mouth
    corners, those at the left of the image first.
    """
    locator = pipeline.locator
    found = locator.locate([image])[0]
    entries = [
        {"box": _px(box), "score": _score(score), "points": _px(points)}
        for box, score, points in zip(found.boxes, found.scores, found.points, strict=True)
    ]
    if isinstance(locator, RetinaFaceLocator):
        for entry, (x1, y1, x2, y2) in zip(entries, box_of_mtcnn(found.boxes), strict=True):
            entry["own_box"] = _px(np.array([x1, y1, x2 - x1, y2 - y1]))
    return entries


def landmarks_found(pipeline: StagedPipeline, image: Array) -> list[Entry]:
    """The landmarks of every face of an image.

    ``points`` are those that the network drew (68 or 98 px), ``landmarks`` the 68 that the pipeline works with, ``box``
    x, y, w, h px where they started; ``confidence`` from 0 to 1 and ``success`` are the landmarker's own.
    """
    images = Images([image])
    found = pipeline.locator.locate(images)[0]
    if not len(found):
        return []
    states = pipeline.landmarker.start(
        images, [0] * len(found), found.boxes, multi_view=pipeline.options.multi_view
    )  # fmt: skip
    return [
        {
            "box": _px(box), "score": _score(score), "success": bool(accepted), "confidence": _score(state.confidence),
            "points": _px(state.landmarks if state.points is None else state.points),
            "landmarks": _px(state.landmarks),
        }
        for box, score, state, accepted in zip(found.boxes, found.scores, states, states.accepted, strict=True)
    ]  # fmt: skip


def look_at(pipeline: StagedPipeline, inputs: Sequence[Input], faces_of: FacesOf) -> Iterator[Looked]:
    """Every input in order; an image that cannot be read does not end the others."""
    for item in inputs:
        if item.kind == "photograph":
            yield _look(pipeline, item.path, faces_of)
        else:
            problem = item.problem or f"{printable(item.path)}: {NOT_AN_IMAGE}"
            yield Looked(item.path, None, problem, notice=item.kind == "notice")


def _look(pipeline: StagedPipeline, path: Path, faces_of: FacesOf) -> Looked:
    try:
        image, complaints = read_photograph(path)
        digest = fingerprint_of_file(path).sha256
    except (VideoError, OSError) as error:
        return Looked(path, None, str(error))
    height, width = image.shape[:2]
    entry: Entry = {"path": str(path), "sha256": digest, "width": width, "height": height}
    entry["faces"] = faces_of(pipeline, image)
    if complaints:
        entry["warnings"] = list(complaints)
    return Looked(path, entry)


def document(bundle: Bundle, variants: dict[str, str], results: Sequence[Looked]) -> str:
    """The JSON document: what was used, every image with its faces, and what failed. px count from 0 at the middle of
    the first pixel."""
    used = {key: bundle.meta.source[key] for key in ("detector", "landmarks", "start") if key in bundle.meta.source}
    content = {
        "auparity": __version__,
        "bundle": {"name": bundle.meta.name, "content_hash": bundle.content_hash},
        "used": description_of(bundle),
        "networks": used,
        "notices": notices_of(bundle),
        "variants": variants,
        "images": [result.entry for result in results if result.entry is not None],
        "problems": [
            {"path": str(result.path), "problem": result.problem}
            for result in results
            if result.entry is None and not result.notice
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _px(values: Array) -> list[Any]:
    rounded: list[Any] = np.round(np.asarray(values, np.float64), PX_DIGITS).tolist()
    return rounded


def _score(value: float) -> float:
    return round(float(value), SCORE_DIGITS)
