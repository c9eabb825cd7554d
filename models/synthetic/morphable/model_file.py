"""The morphable model: read from the user's file and brought into the renderer's axes, in millimetres.

ICT-FaceKit (Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; MIT licence): principal
components of scanned heads and expression shapes made by artists, all in one topology. No part of it is in auparity.
The file is an .npz of its arrays: `neutral` (V, 3) cm, `identity` (100, V, 3) and `expression` (57, V, 3) as
displacements, `expression_names`, `faces` (P, 4) with -1 in the last place of triangles, `index_idx_to_landmark_verts`
(68,).
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, ChecksumError, FileFormatError

Array = npt.NDArray[Any]

VARIABLE = "AUPARITY_FACES"  #: environment variable with the path of the file
SHA256 = "aa0cddc457cbc405107f73c803f563581a33849d10580477cd23cdefaf4f02c0"
HOW_TO_GET_IT = (
    "It is made from the OBJ files of ICT-FaceKit's light model (https://github.com/ICT-VGL/ICT-FaceKit, MIT licence), "
    "as docs/embedded.md says; name it with --faces PATH or in the environment variable AUPARITY_FACES."
)
MM_PER_CM = 10.0
#: Degrees by which the model's own axes nod against those of the truth's pose; see docs/embedded.md.
NOD = 0.0


class Part(IntEnum):
    """What a polygon of the model belongs to."""

    FACE = 0
    HEAD = 1
    MOUTH = 2  #: the inside of the cheeks and lips
    EYE_SOCKET = 3
    GUMS = 4  #: and the tongue
    TEETH = 5


@dataclass(frozen=True)
class Layout:
    """Where the parts of a model are: first vertices and polygons, and the vertices of both eyeballs."""

    polygons: tuple[int, ...]  #: first polygon of every part, and the end of the last
    eyeballs: tuple[tuple[int, int], tuple[int, int]]  #: first vertex and end; left of the picture first
    vertices: int  #: vertices of all parts, which come first in the file


#: ICT-FaceKit's light model. Lacrimal fluid, eyelashes and the iris as meshes are not used.
ICT_FACEKIT = Layout((0, 9230, 11144, 13226, 14034, 17006, 21496), ((23021, 23791), (21451, 22221)), 21451)


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A model in millimetres: x right in the picture of a face that looks at the camera, y down, z away from it."""

    neutral: Array  #: (V, 3) float32
    identity: Array  #: (K, V, 3) float32, times standard normal numbers
    expression: Array  #: (E, V, 3) float32, at full strength
    expression_names: tuple[str, ...]
    triangles: Array  #: (T, 3) int32; corners clockwise as seen from outside on a screen with y down
    part: Array  #: (T,) int8, Part
    landmarks: Array  #: (68,) int, vertices
    eyeballs: tuple[Array, Array]  #: (K + 1, n, 3) their surfaces: at rest, then what every component moves

    @property
    def n_vertices(self) -> int:
        """Vertices of all parts."""
        return int(self.neutral.shape[0])


def find_model(path: str | os.PathLike[str] | None = None) -> Path:
    """The file: `path`, else what AUPARITY_FACES names; AuparityError that says how to get it."""
    named = path or os.environ.get(VARIABLE)
    if not named:
        raise AuparityError(f"Rendering real people's shapes needs the file of a morphable model. {HOW_TO_GET_IT}")
    if not Path(named).is_file():
        raise AuparityError(f"{named} is not a file; it should be the morphable model. {HOW_TO_GET_IT}")
    return Path(named)


def read_model(path: str | os.PathLike[str]) -> MorphableModel:
    """ICT-FaceKit from its file.

    Raises
    ------
    ChecksumError : it is another file, or damaged. AuparityError : it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise AuparityError(f"{path} cannot be read ({error.strerror}). {HOW_TO_GET_IT}") from error
    if found != SHA256:
        raise ChecksumError(path, SHA256, found)
    try:
        with np.load(path) as stored:
            return from_arrays({name: stored[name] for name in stored.files}, ICT_FACEKIT)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FileFormatError(path, "", "the arrays of ICT-FaceKit", str(error), HOW_TO_GET_IT) from error


def from_arrays(arrays: dict[str, Array], layout: Layout) -> MorphableModel:
    """A model from the arrays of a file in the form of ICT-FaceKit's (module docstring) and the places of its parts."""
    landmarks = np.asarray(arrays["index_idx_to_landmark_verts"], np.int64)
    used = slice(0, layout.vertices)
    neutral = _turned(arrays["neutral"])
    origin = neutral[landmarks].mean(axis=0)
    identity, expression = _turned(arrays["identity"]), _turned(arrays["expression"])
    polygons = np.asarray(arrays["faces"], np.int64)
    part = np.repeat(np.arange(len(Part)), np.diff(layout.polygons))
    polygons = polygons[layout.polygons[0] : layout.polygons[-1]]
    quads = polygons[:, 3] >= 0
    # Looking along -z of the file at y up is the same view as along +z at y down: the winding stays.
    triangles = np.concatenate([polygons[:, :3], polygons[quads][:, [0, 2, 3]]])
    return MorphableModel(
        neutral=np.ascontiguousarray(neutral[used] - origin),
        identity=np.ascontiguousarray(identity[:, used]),
        expression=np.ascontiguousarray(expression[:, used]),
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        triangles=np.ascontiguousarray(triangles, np.int32),
        part=np.concatenate([part, part[quads]]).astype(np.int8),
        landmarks=landmarks,
        eyeballs=tuple(
            np.concatenate([neutral[None, first:end] - origin, identity[:, first:end]])
            for first, end in layout.eyeballs
        ),  # type: ignore[arg-type]  # of two
    )


def _turned(points: Array) -> Array:
    """(..., 3) float32 mm in the renderer's axes, from cm with y up and z towards the camera."""
    across, down, away = (np.asarray(points[..., k], np.float32) for k in range(3))
    nod = np.radians(NOD)
    down, away = -down, -away
    turned = np.stack([across, np.cos(nod) * down - np.sin(nod) * away, np.sin(nod) * down + np.cos(nod) * away], -1)
    return np.asarray(turned * np.float32(MM_PER_CM), np.float32)
