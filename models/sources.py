"""The bundle that a user means: by name, by folder, by file, or by default."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from auparity.models import embedded, store
from auparity.models.bundle import Bundle, stored_archive, stored_openface
from auparity.models.contents import face_model_in
from auparity.models.formats.files import StrPath

EMBEDDED = "embedded"
OPENFACE = "openface"
#: Warning for users who get the embedded bundle without having requested it.
EMBEDDED_NOTICE = (
    "These are auparity's own models, trained on rendered people: on real faces, landmarks and strong action units "
    "follow OpenFace's, weak ones do not. For research get OpenFace's models: auparity models fetch openface "
    "--accept-license"
)


def open_bundle(
    source: StrPath | None = None, landmark_model: str = "auto", *, networks: bool = True
) -> Bundle:  # fmt: skip
    """The bundle of a source.

    Parameters
    ----------
    source : "embedded"; "openface", for OpenFace's models in this machine's store; a folder of OpenFace's models, or a
        file written by `auparity.models.archive`; None for OpenFace's models if the store has them, else the
        embedded bundle.
    landmark_model : see `Bundle.from_openface`; the embedded bundle and files have one landmark model only.
    networks : of the embedded bundle, see `Bundle.embedded`.

    Returns
    -------
    Bundle; `meta.source["reason"]` says why this one.

    Raises
    ------
    ModelFormatError : there is no such bundle, or it is damaged.
    """
    if means_embedded(source):
        reason = "asked for" if source is not None else f"OpenFace's models are not in {store.place()}"
        return _because(Bundle.embedded(networks=networks), reason)
    if source is None:
        return stored_openface(store.find_openface(), landmark_model)
    if str(source) == OPENFACE:
        return stored_openface(store.find_openface(), landmark_model)
    if Path(source).is_file():
        return _because(stored_archive(source), "asked for")
    return stored_openface(source, landmark_model)


def means_embedded(source: StrPath | None) -> bool:
    """Whether a source of `open_bundle` is the embedded bundle."""
    return store.installed_openface() is None if source is None else str(source) == EMBEDDED


def is_embedded(bundle: Bundle) -> bool:
    """Whether this is the bundle that comes with auparity."""
    return bundle.meta.name == embedded.NAME


def _because(bundle: Bundle, reason: str) -> Bundle:
    own = face_model_in(bundle.serving("landmarker"))
    name = bundle.serves["landmarker"] if own is None else own.name
    source = {**bundle.meta.source, "landmark_model": name, "reason": reason}
    return bundle.with_meta(dataclasses.replace(bundle.meta, source=source))
