"""Reads a network from the file that its authors published, and finds out which one it is.

PyTorch's state dicts (any suffix), .safetensors, ONNX files (.onnx, with the extra `onnx`), OpenVINO's (.xml) and
TensorFlow.js's (.json). What is read is held strictly against the names and shapes of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auparity.errors import ModelFormatError
from auparity.models.formats.files import StrPath
from auparity.models.formats.named_arrays import NamedArrays, expect
from auparity.models.formats.onnx_file import read_onnx
from auparity.models.formats.openvino_file import read_openvino
from auparity.models.formats.safetensors_file import read_safetensors
from auparity.models.formats.tensorflow_js import read_tensorflow_js
from auparity.models.formats.torch_file import read_torch
from auparity.models.networks import shapes
from auparity.models.networks.checks import star_sizes
from auparity.models.networks.face_api_names import FIRST, from_tensorflow
from auparity.models.networks.folded import is_folded_retinaface, unfold_mobilefacenet, unfold_retinaface
from auparity.models.types import F32, PFLD, STAR, FaceApi, MobileFaceNet, RetinaFace, Tensors

Network = RetinaFace | PFLD | MobileFaceNet | STAR | FaceApi

#: Shapes and steps that PyTorch's exporter stores among the weights, under numbers.
EXPORTED = ("[0-9]*", "onnx::*")
#: What a .safetensors file of STAR may say beside its weights (`STAR.margin`).
MARGIN = "crop_margin"
KNOWN = "a RetinaFace, PFLD, MobileFaceNet, STAR or face-api"


@dataclass(frozen=True, eq=False)
class Published:
    """A network and the file that it came from."""

    network: Network
    file: str
    sha256: str  #: of the file that holds the weights, 64 hexadecimal digits


def read_network(path: StrPath) -> Published:
    """The network of a published file.

    Raises
    ------
    ModelFormatError : the file is missing, damaged, of another network, or holds more than weights.
    VariantUnavailable : an .onnx file, and the `onnx` package is not installed.
    """
    readers = {
        ".onnx": read_onnx, ".xml": read_openvino, ".safetensors": read_safetensors, ".json": read_tensorflow_js,
    }  # fmt: skip
    reader = readers.get(Path(path).suffix.lower(), read_torch)
    found = reader(path)
    return Published(network_of(found), found.file, found.sha256)


def network_of(found: NamedArrays) -> Network:
    """The network whose weights these are; ModelFormatError for any other."""
    for name, make in _BY_NAME.items():
        if name in found.arrays:
            return make(found)
    if is_folded_retinaface(found):
        return _folded_retinaface(found)
    if Path(found.file).suffix.lower() == ".xml":
        expected = shapes.mobilefacenet()
        return MobileFaceNet(tensors(expect(unfold_mobilefacenet(found, expected), expected)))
    shown = ", ".join(ascii(name)[1:-1][:60] for name in list(found.arrays)[:3])
    raise ModelFormatError(found.file, None, f"the weights of {KNOWN}", f"arrays named {shown}, ...")


def tensors(arrays: dict[str, F32]) -> Tensors:
    return Tensors(tuple(arrays), tuple(arrays.values()))


def _retinaface(found: NamedArrays) -> RetinaFace:
    backbone: shapes.Backbone = "resnet50" if "body.conv1.weight" in found.arrays else "mobile0.25"
    return RetinaFace(backbone, tensors(expect(found, shapes.retinaface(backbone), (*shapes.COUNTERS, *EXPORTED))))


def _folded_retinaface(found: NamedArrays) -> RetinaFace:
    expected = shapes.retinaface("mobile0.25")
    return RetinaFace("mobile0.25", tensors(expect(unfold_retinaface(found, expected), expected)))


def _pfld(found: NamedArrays) -> PFLD:
    return PFLD(tensors(expect(found, shapes.pfld(), (*shapes.PFLD_UNUSED, *EXPORTED))))


def _mobilefacenet(found: NamedArrays) -> MobileFaceNet:
    return MobileFaceNet(tensors(expect(found, shapes.mobilefacenet(), (*shapes.COUNTERS, *EXPORTED))))


def _star(found: NamedArrays) -> STAR:
    expected = shapes.star(*star_sizes(found.file, found.arrays))
    found_tensors = tensors(expect(found, expected, (*shapes.STAR_UNUSED, *EXPORTED)))
    margin = found.remarks.get(MARGIN)
    try:
        return STAR(found_tensors, None if margin is None else float(margin))
    except ValueError as error:
        raise ModelFormatError(found.file, None, f"a number as {MARGIN}", ascii(margin)[:40]) from error


def _face_api(found: NamedArrays) -> FaceApi:
    return FaceApi(tensors(expect(found, shapes.face_api_like(found.arrays))))


#: A name that only one network has.
_BY_NAME: dict[str, Callable[[NamedArrays], Network]] = {
    "ClassHead.0.conv1x1.weight": _retinaface,
    "conv1_extra.weight": _pfld,
    "conv2_dw.conv.weight": _mobilefacenet,
    "e2h_transform.weight": _star,
    "dense0.conv0.weight": _face_api,
    FIRST: lambda found: _face_api(from_tensorflow(found)),
}
