"""Writers of single outputs: FHOG descriptors, aligned faces, the text with the details of a run (spec 10.12, 80.4).

Each takes the rows of the table in its order, writes at once, and is cut to the number of rows that the table has in
the end: an interruption may come between an output and the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from auparity.extraction.outputs.files import PartFile, PartFolder
from auparity.extraction.outputs.settings import AlignedFaces, Output, OutputSettings
from auparity.fingerprints import fingerprint_of_file
from auparity.media import Image
from auparity.models.formats.fhog_file import fhog_record
from auparity.reference.face_crops import FaceCrops, gray_face
from auparity.reference.head_pose import Camera
from auparity.reference.results import FrameResult
from auparity.tables.columns import GROUPS, Layout

#: Groups of columns in the order and with the names of the details file, and the names of its outputs.
_GROUP_LINES = {
    "gaze": "Gaze", "aus": "AUs", "2d": "Landmarks 2D", "3d": "Landmarks 3D", "pose": "Pose",
    "params": "Shape parameters",
}  # fmt: skip
assert set(_GROUP_LINES) == set(GROUPS)


class OutputWriter(Protocol):
    """One output of a clip or image: `append` rows, `finish`, then `put`, `keep` or `discard`."""

    def append(self, image: Image, results: list[FrameResult]) -> None:
        """The rows of the next frame, or all faces of an image; raises `OSError`."""

    def finish(self, n_rows: int) -> dict[str, Any]:
        """Complete it for a table of so many rows; what the sidecar says of it, besides its name. Raises `OSError`."""

    def put(self, target: Path) -> None: ...
    def keep(self) -> None: ...
    def discard(self) -> None: ...


def landmarks_of(result: FrameResult, layout: Layout) -> Any:
    """The landmarks that the AUs were measured with; None in a clip of one face where the model's own flag says that
    there is none. FaceLandmarkImg and FaceLandmarkVidMulti measure also faces whose fit was rejected (spec 60.1, 85.2).
    """
    return result.landmarks if layout != "clip" or result.detection_success else None


class HogWriter:
    """``NAME.hog``: a record for each row. Failed ones have the flag -1, and in a clip of one face the descriptor of a
    black face."""

    def __init__(self, target: Path, faces: FaceCrops, layout: Layout) -> None:
        self._part, self._faces, self._layout = PartFile(target), faces, layout
        self._record_size = 0

    def append(self, image: Image, results: list[FrameResult]) -> None:
        for result in results:
            face = landmarks_of(result, self._layout)
            record = fhog_record(self._faces.descriptor(image, face), result.detection_success)
            self._record_size = len(record)
            self._part.file.write(record)
        self._part.file.flush()

    def finish(self, n_rows: int) -> dict[str, Any]:
        self._part.file.truncate(n_rows * self._record_size)
        self._part.file.flush()
        return {"records": n_rows, "sha256": fingerprint_of_file(self._part.path).sha256}

    def put(self, target: Path) -> None:
        self._part.put(target)

    def keep(self) -> None:
        self._part.keep()

    def discard(self) -> None:
        self._part.discard()


class AlignedWriter:
    """``NAME_aligned``: a picture for each row, named by face and frame, or by face in images."""

    def __init__(self, target: Path, faces: FaceCrops, layout: Layout, settings: AlignedFaces) -> None:
        self._part, self._faces, self._layout, self._settings = PartFolder(target), faces, layout, settings
        self._names: list[str | None] = []  # of each row's picture

    def append(self, image: Image, results: list[FrameResult]) -> None:
        for result in results:
            name = None
            if result.success or not self._settings.skip_failed:
                name = self._name(result)
                self._part.write(name, self._picture(image, result))
            self._names.append(name)

    def finish(self, n_rows: int) -> dict[str, Any]:
        for name in self._names[n_rows:]:
            if name is not None:
                (self._part.path / name).unlink(missing_ok=True)
        return {"files": sum(name is not None for name in self._names[:n_rows])}

    def put(self, target: Path) -> None:
        self._part.put(target)

    def keep(self) -> None:
        self._part.keep()

    def discard(self) -> None:
        self._part.discard()

    def _name(self, result: FrameResult) -> str:
        suffix = self._settings.file_format
        if self._layout == "photograph":
            return f"face_det_{result.face_id:06d}.{suffix}"
        return f"frame_det_{result.face_id:02d}_{result.index + 1:06d}.{suffix}"

    def _picture(self, image: Image, result: FrameResult) -> bytes:
        import cv2  # not for those who write no pictures: importing it takes a while

        aligned = self._faces.aligned(image, landmarks_of(result, self._layout), self._settings.crop)
        good, data = cv2.imencode(
            f".{self._settings.file_format}", gray_face(aligned) if self._settings.gray else aligned
        )
        assert good  # encoding to memory an array of the right type does not fail
        return data.tobytes()


def details_text(
    path: str, camera: Camera, layout: Layout, settings: OutputSettings, table: Path, written: Mapping[Output, Path]
) -> str:
    """The text of ``NAME_of_details.txt``: input, camera, names of the outputs, and which groups the table has.

    Parameters
    ----------
    path : the input as it was named. written : the outputs that there are.
    """
    intrinsics = ",".join(f"{value:g}" for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    lines = [f"Input:{path}", f"Input full path:{_full(path)}", f"Camera parameters:{intrinsics}"]
    labels: dict[Output, str] = {
        "hog": "Output HOG", "tracked": "Output image" if layout == "photograph" else "Output video",
        "aligned": "Output aligned directory",
    }  # fmt: skip
    lines += [f"{label}:{written[output].name}" for output, label in labels.items() if output in written]
    lines.append(f"Output csv:{table.name}")
    chosen = GROUPS if settings.columns is None else settings.columns
    lines += [f"{label}: {int(group in chosen)}" for group, label in _GROUP_LINES.items()]
    return "\n".join(lines) + "\n"


def _full(path: str) -> str:
    return str(Path(path).resolve()) if Path(path).exists() else path  # a camera has no path
