"""Descriptions of the inputs and outputs of graphs that several targets share."""

from __future__ import annotations

from auparity.models.types import ConvNet, FullyConnected

#: Outputs of a detector's network that also locates the five points (O-Net).
WITH_POINTS = 16


def detector_contract(net: ConvNet, side: int | None) -> str:
    """Contract of a detector's network for crops of `side` px; None for the one that takes whole images."""
    size = "H, W" if side is None else f"{side}, {side}"
    last = [layer for layer in net.layers if isinstance(layer, FullyConnected)][-1]
    points = ", ten of the points" if last.weights.shape[1] == WITH_POINTS else ""
    each = " for every pixel of the smaller map" if side is None else ""
    return f"maps (N, 3, {size}) float32 R,G,B, (value - 127.5) / 128, to two logits, four of the box{points}{each}"
