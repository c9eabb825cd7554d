"""What finds faces in place of the bundle's detector: a Haar cascade (`-fdloc`), or boxes from files (`-bboxdir`).

Both are models that serve as locator (docs/extending.md), so the content hash of the bundle, which goes into every
result, covers the cascade and the boxes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, ContractError
from auparity.models.consistency import register_kind
from auparity.reference.detection import Detections
from auparity.reference.images import Images
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.model_families import locator
from auparity.reference.numerics import Numerics
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]

#: How OpenFace runs a cascade: step of the pyramid, neighbours that a face needs, smallest face in px (spec 20.11).
SCALE_FACTOR, MIN_NEIGHBOURS, MIN_SIZE = 1.2, 2, 50
#: The correction of a cascade's box, in parts of its size: tight around the 68 landmarks (spec 20.11).
SHIFT_X, SHIFT_Y, WIDTH, HEIGHT = 0.0578, 0.2166, 0.8924, 0.8676


@dataclass(frozen=True, eq=False)
class HaarCascade:
    """A cascade of OpenCV as the text of its file."""

    xml: str


@dataclass(frozen=True, eq=False)
class GivenBoxes:
    """Boxes of images, by the images' names without suffix."""

    names: tuple[str, ...]
    boxes: tuple[Array, ...]  #: of each image (K, 4) float32 x, y, width, height px


class HaarLocator:
    """Viola and Jones' detector (CVPR 2001) by OpenCV, with OpenFace's settings and correction (spec 20.11).

    Raises
    ------
    AuparityError : OpenCV cannot read the cascade.
    """

    def __init__(self, cascade: HaarCascade) -> None:
        import cv2

        with tempfile.TemporaryDirectory() as folder:  # OpenCV reads all kinds of cascades from files only
            path = Path(folder) / "cascade.xml"
            path.write_text(cascade.xml, encoding="utf-8")
            self._classifier = cv2.CascadeClassifier()
            try:
                good = self._classifier.load(str(path))
            except cv2.error as error:
                raise AuparityError(f"-fdloc: OpenCV cannot read the cascade ({error.err}).") from error
        if not good:
            raise AuparityError("-fdloc: OpenCV cannot read the cascade; it is not one.")

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        """The faces of each image in the cascade's order; scores 1, as OpenFace has them, and no points (NaN)."""
        import cv2

        located = []
        for image in images:
            gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            found = self._classifier.detectMultiScale(gray, SCALE_FACTOR, MIN_NEIGHBOURS, 0, (MIN_SIZE, MIN_SIZE))
            located.append(_detections(corrected(np.asarray(found, np.float64).reshape(-1, 4))))
        return located


class BoxesLocator:
    """Says the boxes of the image that was named last."""

    def __init__(self, given: GivenBoxes) -> None:
        self._boxes = dict(zip(given.names, given.boxes, strict=True))
        self._current: Array | None = None

    def select(self, path: Path) -> None:
        """The image at this path comes next; it has no boxes if its name is not there."""
        self._current = self._boxes.get(path.stem)

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        """The boxes of the one image, in the order of its file; ContractError before `select`, or for more images."""
        if self._current is None or len(list(images)) != 1:
            raise ContractError("locator", "images", "one image, selected before", "none selected, or several")
        return [_detections(self._current)]


@locator(HaarCascade)
def _haar(weights: HaarCascade, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None) -> Any:
    return HaarLocator(weights)


@locator(GivenBoxes)
def _boxes(weights: GivenBoxes, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None) -> Any:
    return BoxesLocator(weights)


register_kind(HaarCascade)
register_kind(GivenBoxes)


def corrected(boxes: Array) -> Array:
    """A cascade's boxes (K, 4) x, y, width, height px, made tight around the 68 landmarks (spec 20.11), float32."""
    x, y, width, height = boxes.astype(np.float64).T
    moved = (x + SHIFT_X * width, y + SHIFT_Y * height, WIDTH * width, HEIGHT * height)
    return np.stack(moved, axis=-1).astype(np.float32)


def read_cascade(path: Path) -> HaarCascade:
    """The cascade in a file; AuparityError where it cannot be read as text."""
    try:
        return HaarCascade(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AuparityError(f"-fdloc {path}: cannot be read ({reason}).") from error


def read_boxes(path: Path) -> Array:
    """The boxes in a file, one a line as ``x_min y_min x_max y_max`` px (spec 87).

    Returns
    -------
    (K, 4) float32 x, y, width, height px; K = 0 for an empty file.

    Raises
    ------
    AuparityError : the file cannot be read, or a line is not a box.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise AuparityError(f"{path}: the boxes cannot be read ({reason}).") from error
    boxes = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            x_min, y_min, x_max, y_max = (np.float32(word) for word in line.replace(",", " ").split())
        except ValueError:
            raise _no_box(path, number, line) from None
        box = (x_min, y_min, x_max - x_min, y_max - y_min)
        if not np.isfinite(box).all() or min(box[2:]) <= 0:
            raise _no_box(path, number, line)
        boxes.append(box)
    return np.array(boxes, np.float32).reshape(-1, 4)


def _no_box(path: Path, number: int, line: str) -> AuparityError:
    expected = "x_min y_min x_max y_max in px, the second two larger than the first two"
    return AuparityError(f"{path}, line {number}: expected {expected}, found {line.strip()[:60]!r}.")


def _detections(boxes: Array) -> Detections:
    count = len(boxes)
    return Detections(boxes, np.ones(count, np.float32), np.full((count, 5, 2), np.nan, np.float32))
