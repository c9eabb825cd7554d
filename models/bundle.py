"""A bundle: the weights of one whole pipeline. Detector, landmark model with parts and validator, and the
action unit models for videos and for images, as frozen dataclasses of read-only arrays, with a content hash that goes
into every result. Bundles are read from, and written to, the folder layout of OpenFace 2.2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from functools import cached_property
from typing import Any

import numpy as np

from auparity.models.formats import layout
from auparity.models.formats.files import StrPath
from auparity.models.types import MTCNN, AUPredictors, BundleMeta, FaceModel

SHORT_HASH = 12  # hexadecimal digits: enough to distinguish the bundles of a study


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """The weights of one pipeline."""

    meta: BundleMeta
    detector: MTCNN
    face: FaceModel
    video_aus: AUPredictors
    image_aus: AUPredictors

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) over names, types, shapes and values of everything but `meta`."""
        digest = hashlib.sha256()
        for item in dataclasses.fields(self):
            if item.name != "meta":
                _digest(digest.update, item.name)
                _digest(digest.update, getattr(self, item.name))
        return digest.hexdigest()

    @property
    def short_hash(self) -> str:
        return self.content_hash[:SHORT_HASH]

    def with_meta(self, meta: BundleMeta) -> Bundle:
        """The same weights under another description; a content hash that was already computed is kept."""
        other = dataclasses.replace(self, meta=meta)
        if "content_hash" in self.__dict__:
            other.trust_hash(self.content_hash)
        return other

    def trust_hash(self, content_hash: str) -> None:
        """Use a content hash that was verified elsewhere instead of computing it, which takes a fifth of a second."""
        self.__dict__["content_hash"] = content_hash  # where `cached_property` keeps it

    @classmethod
    def embedded(cls) -> Bundle:
        """The bundle that comes with auparity: trained on rendered faces, for tests and for trying auparity.

        It finds and measures rendered faces; real faces need OpenFace's models (docs/embedded.md). Read on the first
        call, then kept.
        """
        from auparity.models import embedded  # on demand: it reads a file through this module

        return embedded.load()

    def widen(self) -> Bundle:
        """The same bundle with CE-CLM experts of OpenFace's true layer sizes, which respond as before to 1e-5.

        For benchmarks: the widened experts cost what OpenFace's cost (`auparity.models.widen`).

        Raises
        ------
        ContractError : the bundle has no CE-CLM experts, or they are wider than OpenFace's.
        """
        from auparity.models.widen import widen_model

        face = dataclasses.replace(self.face, main=widen_model(self.face.main))
        return dataclasses.replace(
            self, face=face, meta=dataclasses.replace(self.meta, name=f"{self.meta.name}-widened")
        )

    @classmethod
    def from_openface(cls, directory: StrPath, landmark_model: str = "auto") -> Bundle:
        """Read the model folder of OpenFace 2.2.

        Parameters
        ----------
        directory : holds ``model/`` and ``AU_predictors/``, or is the root of an installed OpenFace
            (``lib/local/LandmarkDetector/model``, ``lib/local/FaceAnalyser/AU_predictors``).
        landmark_model : "auto" (CE-CLM when all of its expert files are there, else CLNF), "ceclm", "clnf", or the
            name of another main list in ``model/``, e.g. "main_clnf_wild". What was chosen, and why, is in
            ``meta.source``.

        Raises
        ------
        ModelFormatError : it is not such a folder, or a file is missing, damaged, or does not fit the others.
        """
        folders = layout.find(directory)
        choice = layout.choose_landmark_model(folders, landmark_model)
        return cls(
            meta=layout.read_meta(folders, choice),
            detector=layout.read_detector(folders),
            face=layout.read_face(folders, choice),
            video_aus=layout.read_aus(folders, layout.VIDEO_AUS),
            image_aus=layout.read_aus(folders, layout.IMAGE_AUS),
        )

    def to_openface(self, directory: StrPath) -> None:
        """Write the model folder of OpenFace 2.2, and ``bundle.json`` with the bundle's name and licence.

        `from_openface` reads it back to the same content hash, and the C++ program runs on it. Files are replaced one
        by one, each whole; files of other models in the same folder stay.

        Raises
        ------
        ContractError : a name cannot be a file name, two parts have one name, or a file cannot store its array.
        """
        layout.write(directory, self.meta, self.detector, self.face, self.video_aus, self.image_aus)


def content_hash_of(*values: Any) -> str:
    """SHA-256 (64 hexadecimal digits) over parts of a bundle, or anything else of their types."""
    digest = hashlib.sha256()
    _digest(digest.update, values)
    return digest.hexdigest()


def _digest(update: Any, value: Any) -> None:
    """Feed a value to a hash so that two different values never feed the same bytes."""
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        update(f"array {little.dtype.str} {value.shape};".encode("ascii"))
        update(little.data.cast("B") if little.size else b"")
    elif dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        update(f"record {type(value).__name__} {len(fields)};".encode("ascii"))
        for item in fields:
            _digest(update, item.name)
            _digest(update, getattr(value, item.name))
    elif isinstance(value, tuple):
        update(f"tuple {len(value)};".encode("ascii"))
        for member in value:
            _digest(update, member)
    elif isinstance(value, str):
        text = value.encode("utf-8")
        update(f"text {len(text)};".encode("ascii") + text)
    elif isinstance(value, bool | int | np.integer | np.bool_):
        update(f"integer {int(value)};".encode("ascii"))
    elif isinstance(value, float | np.floating):
        # All NaNs are hashed alike: an empty CCNF record has no confidence, and bits of NaNs have no meaning.
        update(b"real " + (b"nan" if math.isnan(value) else struct.pack("<d", value)) + b";")
    elif value is None:
        update(b"none;")
    else:
        raise TypeError(f"a bundle holds a {type(value).__name__}, for which no hash is defined")
