"""A bundle in which a published network serves: as what finds faces, or as where fits begin.

What was chosen goes into `meta.source`, and so into every sidecar, with the SHA-256 of the file.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from auparity.models import embedded
from auparity.models.contents import BundleContents, face_model_in
from auparity.models.networks.published import Published, read_network
from auparity.models.types import NetworkStart

B = TypeVar("B", bound=BundleContents)

#: What finds faces and where fits begin with the embedded models.
EMBEDDED_NETWORKS = {"detector": "retinaface", "start": "pfld"}


def embedded_network(name: str) -> Published:
    """The embedded network of a name of `embedded.NETWORKS`."""
    return dataclasses.replace(read_network(embedded.network_path(name)), file=embedded.NAME)


def with_embedded_networks(bundle: B) -> B:
    """The embedded bundle with `EMBEDDED_NETWORKS`.

    Raises
    ------
    ModelFormatError : a file of these networks is missing or damaged.
    """
    known = bundle.content_hash == embedded.KNOWN_FILE[1]
    found = {role: embedded_network(name) for role, name in EMBEDDED_NETWORKS.items()}
    bundle = with_start(with_detector(bundle, found["detector"]), found["start"])
    if known and all(embedded.NETWORKS[name] == found[role].sha256 for role, name in EMBEDDED_NETWORKS.items()):
        bundle.trust_hash(embedded.WITH_NETWORKS)
    return bundle


def with_detector(bundle: B, found: Published) -> B:
    """The bundle whose faces a RetinaFace finds."""
    return described(bundle.with_serving("locator", "retinaface", found.network), "detector", found)


def with_start(bundle: B, found: Published) -> B:
    """The bundle, which has constrained local models, whose fits begin at the points of a network."""
    model = face_model_in(bundle.serving("landmarker"))
    assert model is not None
    name = f"{bundle.serves['landmarker']} from {type(found.network).__name__}"
    started = NetworkStart(model, found.network)  # type: ignore[arg-type]
    return described(bundle.with_serving("landmarker", name, started), "start", found)


def described(bundle: B, key: str, found: Published, **more: Any) -> B:
    """The bundle whose source says under `key` which network it has."""
    file = embedded.NAME if found.file == embedded.NAME else str(Path(found.file).resolve())
    chosen = {"network": type(found.network).__name__, "file": file, "sha256": found.sha256, **more}
    source = {**bundle.meta.source, key: chosen}
    return bundle.with_meta(dataclasses.replace(bundle.meta, source=source))
