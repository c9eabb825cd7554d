"""What comes with auparity, trained on rendered faces (docs/embedded.md): a whole pipeline in one file, and networks in
one file each."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

FILE = "bundle.zip"
#: What its bundle calls itself.
NAME = "embedded"
#: SHA-256 of the file, and the content hash of its bundle, so that the hash is known without computing it. A test
#: computes both. A newly trained bundle needs new values here.
KNOWN_FILE = (
    "b1f377249e27c4387b297b56a90d67551a1ecdefe8d19bf9e27c014d20ccd714",
    "0e2607d0a09082af4b3b08e74694e2b94003758036e1af5a5d376fd7d2179d1a",
)
#: Content hash of the bundle whose faces are found by RetinaFace and whose fits begin at PFLD's landmarks: what
#: `Bundle.embedded()` is. A test computes it.
WITH_NETWORKS = "57e67cc77e4fa0055f483645b477002a866009aa21e1665719437d88ab327285"


def path() -> Path:
    """The file."""
    return Path(str(resources.files(__package__) / FILE))


#: SHA-256 of each network's file. A newly trained network needs a new value here.
NETWORKS: dict[str, str] = {
    "retinaface": "c915141af244d515fca54bedeaf31ba5e74a7282c9a345d1a6bc1fb78a153a86",
    "pfld": "6dfc3edac92cf02eaee076c9b830f60e7b9006d77c605ec1359278cac8591bb9",
    "star": "0558858b7b29204d7b01ef7858cfa6a98d8da47f2ddbd6004ddc3868fa9620bb",
}


def network_path(name: str) -> Path:
    """The file of an embedded network, by a name of `NETWORKS`."""
    return Path(str(resources.files(__package__) / f"{name}.safetensors"))
