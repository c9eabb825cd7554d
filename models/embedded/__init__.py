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
    "9387444be41ab59d2f8d66308044c40b3dcf7148446cc961abd1f8549570fafd",
    "d191d4d630b06dfdf7dd19a2f8a24bd668edf6036d931a203c7b472c2470f253",
)


def path() -> Path:
    """The file."""
    return Path(str(resources.files(__package__) / FILE))


#: SHA-256 of each network's file. A newly trained network needs a new value here.
NETWORKS: dict[str, str] = {
    "retinaface": "d81288ac8c0ff25d18633b01bcab81fddae9d9b7f25741a8948f4efc078d1af0",
    "pfld": "f93c204a7a3d2e4231d228daf4a2bd0d7f6aa30383b0d201293a446f856e9876",
    "star": "bd80843d5766d0bc6485db87426e381694ac82c85bfc0a61ad83f4b30e93ebf5",
}


def network_path(name: str) -> Path:
    """The file of an embedded network, by a name of `NETWORKS`."""
    return Path(str(resources.files(__package__) / f"{name}.safetensors"))
