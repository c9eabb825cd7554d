"""The bundle that a user means by names or files of networks: what finds faces and landmarks, and where fits begin.

Names are those of `store.NETWORKS`: of files in the store or, with the embedded models, of the networks embedded beside
them. Anything else is the path of a published file. What was chosen goes into `meta.source`, and so into every sidecar,
with the SHA-256 of the file. Where nothing is chosen, the embedded models have the networks of `EMBEDDED_NETWORKS`, and
all others none.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.errors import AuparityError
from auparity.models import embedded
from auparity.models.bundle import Bundle
from auparity.models.contents import DEFAULT_NAMES, face_model_in
from auparity.models.formats.files import StrPath
from auparity.models.networks.serving import (
    EMBEDDED_NETWORKS,
    described,
    embedded_network,
    with_detector,
    with_start,
)
from auparity.models.sources import EMBEDDED, is_embedded, means_embedded, open_bundle
from auparity.models.types import MTCNN, PDM, LandmarkNetwork, NetworkStart, RetinaFace

if TYPE_CHECKING:
    from auparity.models.networks.published import Published

AUTO, OWN_DETECTOR, NO_START = "auto", "mtcnn", "none"
#: Constrained local models of OpenFace's folder.
LOCAL_MODELS = (AUTO, "ceclm", "clnf")
DETECTORS = ("retinaface",)
LANDMARKERS = ("pfld", "mobilefacenet", "star", "face-api")
#: What is said wherever a network's landmarks are used.
APPROXIMATION = "an approximation of OpenFace's, never parity: action units differ with them (docs/networks.md)"


def choose_bundle(
    source: StrPath | None = None,
    *,
    landmarks: str | None = None,
    detector: str | None = None,
    start: str | None = None,
) -> Bundle:
    """The bundle of a source, with networks in place of its own models.

    Parameters
    ----------
    source : as of `open_bundle`.
    landmarks : "auto" or None, "ceclm", "clnf": constrained local models, as of `open_bundle`; a name of `LANDMARKERS`
        or a file: that network's landmarks. A name means the file in the store; if the source is "embedded", or is None
        and turns out to be it and the store has no such file, it means the embedded network.
    detector : "mtcnn": the bundle's own; "retinaface" or a file; None: RetinaFace with the embedded models, else the
        bundle's own.
    start : a name of `LANDMARKERS` or a file: constrained local models fit a new face once, from the landmarks of this
        network; "none": OpenFace's search over eleven head orientations; None: PFLD with the embedded models, else
        that search.

    Raises
    ------
    ModelFormatError : a file is missing, damaged, or of another network.
    AuparityError : a name that is none, or choices that exclude each other.
    """
    local = is_local(landmarks)
    if start not in (None, NO_START) and not local:
        raise AuparityError(
            f"--start {start} begins a fit of constrained local models, and --landmarks {landmarks} has none: leave "
            "one of them out."
        )
    model = (landmarks or AUTO) if local else AUTO
    if local and detector is None and start is None:
        return open_bundle(source, model)
    bundle = open_bundle(source, model, networks=False)
    usual = means_embedded(source)
    read = _Reader(own=is_embedded(bundle), own_first=str(source) == EMBEDDED)
    if detector is not None:
        bundle = _with_detector(bundle, detector, read)
    elif usual:
        bundle = with_detector(bundle, embedded_network(EMBEDDED_NETWORKS["detector"]))
    if landmarks is not None and not local:
        return _with_landmarks(bundle, landmarks, read)
    if start is None and usual:
        return with_start(bundle, embedded_network(EMBEDDED_NETWORKS["start"]))
    if start == NO_START:
        return _without_start(bundle)
    return bundle if start is None else _with_start(bundle, start, read)


def is_local(landmarks: str | None) -> bool:
    """Whether a choice of landmarks means constrained local models."""
    return landmarks is None or landmarks in LOCAL_MODELS


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Finds what a name or a path means.

    Parameters
    ----------
    own : whether names may mean embedded networks. own_first : whether they mean these even if the store has the file.
    """

    own: bool
    own_first: bool

    def __call__(self, text: str, names: tuple[str, ...], option: str) -> Published:
        from auparity.models.networks import store
        from auparity.models.networks.published import read_network

        if text in names:
            stored = store.installed(text)
            if self.own and text in embedded.NETWORKS and (self.own_first or stored is None):
                return embedded_network(text)
            return store.read_of_kind(stored or store.find(text), text)
        if not Path(text).is_file():
            others = {"--detector": (OWN_DETECTOR,), "--landmarks": LOCAL_MODELS}.get(option, ())
            known = ", ".join([*others, *names])
            raise AuparityError(f"{option} {text}: there is no such file, and the names are {known}.")
        return read_network(text)


def notices_of(bundle: Bundle) -> list[str]:
    """What readers of results must know of the networks in a bundle."""
    model, name = bundle.serving("landmarker"), bundle.serves["landmarker"]
    if isinstance(model, LandmarkNetwork):
        return [f"The landmarks are those of a network ({type(model.network).__name__}): {APPROXIMATION}."]
    if isinstance(model, NetworkStart):
        if is_embedded(bundle) and (bundle.meta.source.get("start") or {}).get("file") == EMBEDDED:
            return []  # with all models auparity's own, nobody expects OpenFace's numbers
        return [
            f"Fits of new faces begin at the landmarks of a network ({type(model.network).__name__}), not at "
            "OpenFace's eleven head orientations (docs/networks.md)."
        ]
    return [] if face_model_in(model) is not None else [f"The landmarks are those of {name!r}, not OpenFace's."]


def description_of(bundle: Bundle) -> dict[str, str]:
    """Who finds faces and landmarks, in words: name, and of networks the file with the start of its SHA-256."""
    source, own = bundle.meta.source, face_model_in(bundle.serving("landmarker"))
    words = {
        "detector": bundle.serves["locator"],
        "landmarks": bundle.serves["landmarker"] if own is None else own.name,
    }
    for key in ("detector", "landmarks", "start"):
        if isinstance(chosen := source.get(key), dict):
            words[key] = f"{chosen['network']}, {chosen['file']} (SHA-256 {chosen['sha256'][:12]})"
    if own is None:
        words["landmarks"] += f"; {APPROXIMATION}"
    return words


def _with_detector(bundle: Bundle, text: str, read: _Reader) -> Bundle:
    if text == OWN_DETECTOR:
        return bundle.with_serving("locator", _own_detector(bundle))
    found = read(text, DETECTORS, "--detector")
    if not isinstance(found.network, RetinaFace):
        _wrong("--detector", found, "RetinaFace")
    return with_detector(bundle, found)


def _own_detector(bundle: Bundle) -> str:
    names = [name for name, model in bundle.models.items() if isinstance(model, MTCNN)]
    if not names:
        raise AuparityError(f"--detector mtcnn: the bundle {bundle.meta.name} has none. Leave --detector out.")
    return names[0]


def _with_landmarks(bundle: Bundle, text: str, read: _Reader) -> Bundle:
    found = _points(text, "--landmarks", read)
    name = type(found.network).__name__
    model = LandmarkNetwork(found.network, _shape_of(bundle))  # type: ignore[arg-type]
    chosen = described(bundle.with_serving("landmarker", name.lower(), model), "landmarks", found, note=APPROXIMATION)
    source = {**chosen.meta.source, "landmark_model": name, "reason": f"requested: {text}"}
    return chosen.with_meta(dataclasses.replace(chosen.meta, source=source))


def _with_start(bundle: Bundle, text: str, read: _Reader) -> Bundle:
    found = _points(text, "--start", read)
    if face_model_in(bundle.serving("landmarker")) is None:
        raise AuparityError(f"--start {text}: the bundle {bundle.meta.name} has no constrained local models to start.")
    return with_start(bundle, found)


def _without_start(bundle: Bundle) -> Bundle:
    model = bundle.serving("landmarker")
    if not isinstance(model, NetworkStart):
        return bundle
    source = {key: value for key, value in bundle.meta.source.items() if key != "start"}
    searching = bundle.with_serving("landmarker", DEFAULT_NAMES["landmarker"], model.face)
    return searching.with_meta(dataclasses.replace(bundle.meta, source=source))


def _points(text: str, option: str, read: _Reader) -> Published:
    found = read(text, LANDMARKERS, option)
    if isinstance(found.network, RetinaFace):
        _wrong(option, found, "PFLD, MobileFaceNet, STAR or face-api")
    return found


def _wrong(option: str, found: Published, wanted: str) -> None:
    kind = type(found.network).__name__
    raise AuparityError(f"{option} {found.file}: is a file of {kind}; {option} takes {wanted}.")


def _shape_of(bundle: Bundle) -> PDM:
    """The shape model of 68 points that explains landmarks: the landmarker's, else that of the AU models."""
    model = bundle.serving("landmarker")
    own = face_model_in(model)
    if own is not None:
        return own.main.pdm
    return model.shape if isinstance(model, LandmarkNetwork) else bundle.video_aus.pdm
