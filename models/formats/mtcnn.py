"""The three networks of the MTCNN face detector (spec 10.5): one file each, and the list that names them."""

from __future__ import annotations

from auparity.models.formats.binary import BinaryReader, BinaryWriter
from auparity.models.formats.convnet import (
    CONVOLUTION,
    FULLY_CONNECTED,
    POOL,
    PRELU,
    SIGMOID,
    Dialect,
    read_layers,
    write_layers,
)
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.lists import read_list
from auparity.models.types import MTCNN, ConvNet

COLOURS = 3  # input maps of every net
DIALECT: Dialect = {0: CONVOLUTION, 1: POOL, 2: FULLY_CONNECTED, 3: PRELU, 4: SIGMOID}


def parse_mtcnn_net(data: bytes, label: StrPath = "<bytes>") -> ConvNet:
    """Parse the bytes of PNet.dat, RNet.dat or ONet.dat; ModelFormatError when they are none."""
    reader = BinaryReader(data, label)
    net = read_layers(reader, DIALECT, COLOURS)
    reader.end()
    return net


def read_mtcnn_net(path: StrPath, named_by: StrPath | None = None) -> ConvNet:
    return parse_mtcnn_net(read_bytes(path, named_by), path)


def read_mtcnn(list_path: StrPath, named_by: StrPath | None = None) -> MTCNN:
    """The three nets that a list such as MTCNN_detector.txt names."""
    nets = read_list(list_path, named_by)
    p, r, o = (read_mtcnn_net(nets.path(nets.one(key)), list_path) for key in ("PNet", "RNet", "ONet"))
    return MTCNN(p, r, o)


def write_mtcnn_net(net: ConvNet) -> bytes:
    """The bytes of a net's file. ContractError for a layer that such files cannot store."""
    writer = BinaryWriter()
    write_layers(writer, DIALECT, net)
    return writer.getvalue()
