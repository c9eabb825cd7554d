"""A bundle: the weights of one whole pipeline (design 4), from the files of OpenFace 2.2, from a file of our own, or
the one that comes with auparity. What it holds is said in `contents.py`.
"""

from __future__ import annotations

import dataclasses
import os
from functools import lru_cache

from auparity.models import archive, embedded
from auparity.models.compiled import compiled
from auparity.models.contents import (
    DEFAULT_NAMES,
    ROLES,
    SHORT_HASH,
    BundleContents,
    Role,
    content_hash_of,
)
from auparity.models.formats import layout
from auparity.models.formats.files import StrPath
from auparity.models.types import NetworkStart
from auparity.models.widen import widen_model

__all__ = [
    "DEFAULT_NAMES",
    "ROLES",
    "SHORT_HASH",
    "Bundle",
    "Role",
    "content_hash_of",
    "stored_archive",
    "stored_openface",
]


class Bundle(BundleContents):
    """The weights of one pipeline: models by name, and which of them serves which role; see `BundleContents`."""

    @classmethod
    def embedded(cls, *, networks: bool = True) -> Bundle:
        """The bundle that comes with auparity, trained on rendered people and free for any use (docs/embedded.md).

        How well it measures real faces is in docs/real-faces.md. Read on the first call, then kept.

        Parameters
        ----------
        networks : the embedded RetinaFace finds faces, and fits of new faces begin at the landmarks of the embedded
            PFLD; False for MTCNN and OpenFace's eleven head orientations, which find fewer faces, and with which the
            bundle is of the kinds of OpenFace's models and can be written as its files.

        Raises
        ------
        ModelFormatError : the installation is damaged.

        Examples
        --------
        >>> from auparity import Bundle
        >>> Bundle.embedded().serves["locator"], Bundle.embedded(networks=False).serves["locator"]
        ('retinaface', 'mtcnn')
        """
        return _embedded(networks)

    @classmethod
    def from_archive(cls, path: StrPath, known_file: tuple[str, str] | None = None) -> Bundle:
        """Read a bundle from a file that `auparity.models.archive.save` wrote; see `archive.load`."""
        return _bundle(archive.load(path, known_file))

    def widen(self) -> Bundle:
        """The same bundle with CE-CLM experts of OpenFace's true layer sizes, which respond as before to 1e-5.

        For benchmarks: the widened experts cost what OpenFace's cost (`auparity.models.widen`).

        Raises
        ------
        ContractError : the bundle has no CE-CLM experts, or they are wider than OpenFace's.
        """
        served, face = self.serving("landmarker"), dataclasses.replace(self.face, main=widen_model(self.face.main))
        wider = dataclasses.replace(served, face=face) if isinstance(served, NetworkStart) else face
        return self.with_models(landmarker=wider).with_meta(
            dataclasses.replace(self.meta, name=f"{self.meta.name}-widened")
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
        found = layout.find(directory)
        choice = layout.choose_landmark_model(found, landmark_model)
        return cls.of(
            layout.read_meta(found, choice),
            locator=layout.read_detector(found),
            landmarker=layout.read_face(found, choice),
            video_aus=layout.read_aus(found, layout.VIDEO_AUS),
            image_aus=layout.read_aus(found, layout.IMAGE_AUS),
        )

    def to_openface(self, directory: StrPath) -> None:
        """Write the model folder of OpenFace 2.2, and ``bundle.json`` with the bundle's name and licence.

        `from_openface` reads it back to the same content hash, and the C++ program runs on it. Files are replaced one
        by one, each whole; files of other models in the same folder stay.

        Raises
        ------
        ContractError : models of other kinds than OpenFace's, a name that cannot be a file's, two parts of one name, or
            an array that its file cannot store.
        """
        layout.write(directory, self.meta, self.detector, self.face, self.video_aus, self.image_aus)


@lru_cache(maxsize=2)
def _embedded(networks: bool) -> Bundle:
    """Read once; ModelFormatError where the installation is damaged."""
    if not networks:
        return stored_archive(embedded.path(), embedded.KNOWN_FILE)
    from auparity.models.networks.serving import with_embedded_networks

    return with_embedded_networks(_embedded(False))


def stored_archive(path: StrPath, known_file: tuple[str, str] | None = None) -> Bundle:
    """`Bundle.from_archive`, quicker if the same file was read before; see `auparity.models.compiled`."""
    return _bundle(compiled(f"archive\n{os.path.abspath(path)}", lambda: Bundle.from_archive(path, known_file)))


def stored_openface(directory: StrPath, landmark_model: str = "auto") -> Bundle:
    """`Bundle.from_openface`, quicker if the same files were read before; see `auparity.models.compiled`."""
    found = layout.find(directory)
    choice = layout.choose_landmark_model(found, landmark_model)
    lists = (found.root, found.model, found.aus, choice.main)
    recipe = "\n".join(["openface", *(os.path.abspath(path) for path in lists)])
    contents = compiled(recipe, lambda: Bundle.from_openface(directory, choice.main.stem))
    return _bundle(contents).with_meta(layout.read_meta(found, choice))


def _bundle(contents: BundleContents) -> Bundle:
    bundle = Bundle(contents.meta, contents.models, contents.serves)
    bundle.trust_hash(contents.content_hash)
    return bundle
