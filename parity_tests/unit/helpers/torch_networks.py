"""The networks in PyTorch's own operations, as a second witness; written apart from the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, RetinaFace


class Net:
    """Weights by name, and the operations that use them, in float64."""

    def __init__(self, weights: Any) -> None:
        import torch

        self.torch, self.f = torch, torch.nn.functional
        self.w = {name: torch.from_numpy(a.astype(np.float64)) for name, a in weights.tensors.by_name().items()}

    def conv(self, x: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
        weight = self.w[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return self.f.conv2d(x, weight, self.w.get(f"{name}.bias"), stride, padding, groups=groups)

    def norm(self, x: Any, name: str) -> Any:
        mean, var, weight, bias = (
            self.w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return self.f.batch_norm(x, mean, var, weight, bias, eps=1e-5)

    def cn(self, x: Any, conv: str, norm: str, stride: int = 1, padding: int = 0) -> Any:
        return self.norm(self.conv(x, conv, stride, padding), norm)


def retinaface(weights: RetinaFace, images: np.ndarray) -> tuple[np.ndarray, ...]:
    n = Net(weights)
    mobile = weights.backbone == "mobile0.25"

    def act(x: Any) -> Any:
        return n.f.leaky_relu(x, 0.1 if mobile else 0.0)

    x = n.torch.from_numpy(images.astype(np.float64) - [104.0, 117.0, 123.0]).permute(0, 3, 1, 2)
    levels = []
    if mobile:
        for stage, count in ((1, 6), (2, 6), (3, 2)):
            for k in range(count):
                b = f"body.stage{stage}.{k}"
                stride = 2 if k == 0 or (stage == 1 and k in (2, 4)) else 1
                x = act(n.cn(x, f"{b}.0", f"{b}.1", stride, 1))
                x = act(n.cn(x, f"{b}.3", f"{b}.4")) if f"{b}.3.weight" in n.w else x
            levels.append(x)
    else:
        x = n.f.max_pool2d(n.cn(x, "body.conv1", "body.bn1", 2, 3).relu(), 3, 2, 1)
        for layer, count in ((1, 3), (2, 4), (3, 6), (4, 3)):
            for k in range(count):
                b, stride = f"body.layer{layer}.{k}", 2 if k == 0 and layer > 1 else 1
                y = n.cn(x, f"{b}.conv1", f"{b}.bn1").relu()
                y = n.cn(y, f"{b}.conv2", f"{b}.bn2", stride, 1).relu()
                y = n.cn(y, f"{b}.conv3", f"{b}.bn3")
                x = (y + (n.cn(x, f"{b}.downsample.0", f"{b}.downsample.1", stride) if k == 0 else x)).relu()
            levels.append(x)
    p = [act(n.cn(x, f"fpn.output{k}.0", f"fpn.output{k}.1")) for k, x in enumerate(levels[-3:], 1)]
    for k in (1, 0):
        p[k] = p[k] + n.f.interpolate(p[k + 1], size=p[k].shape[2:], mode="nearest")
        p[k] = act(n.cn(p[k], f"fpn.merge{k + 1}.0", f"fpn.merge{k + 1}.1", 1, 1))
    outputs: dict[str, list[Any]] = {"BboxHead": [], "ClassHead": [], "LandmarkHead": []}
    for k, x in enumerate(p):

        def ssh(x: Any, name: str, k: int = k) -> Any:
            return n.cn(x, f"ssh{k + 1}.{name}.0", f"ssh{k + 1}.{name}.1", 1, 1)

        five = act(ssh(x, "conv5X5_1"))
        seven = ssh(act(ssh(five, "conv7X7_2")), "conv7x7_3")
        x = n.torch.cat([ssh(x, "conv3X3"), ssh(five, "conv5X5_2"), seven], 1).relu()
        for head, size in (("BboxHead", 4), ("ClassHead", 2), ("LandmarkHead", 10)):
            y = n.conv(x, f"{head}.{k}.conv1x1").permute(0, 2, 3, 1).reshape(len(x), -1, size)
            outputs[head].append(y)
    boxes, classes, points = (n.torch.cat(outputs[head], 1) for head in ("BboxHead", "ClassHead", "LandmarkHead"))
    return boxes.numpy(), n.f.softmax(classes, -1)[..., 1].numpy(), points.numpy()


def pfld(weights: PFLD, maps: np.ndarray) -> np.ndarray:
    n = Net(weights)
    x = n.cn(n.torch.from_numpy(maps), "conv1", "bn1", 2, 1).relu()
    x = n.conv(n.cn(x, "dw_pool", "dw_bn", 1, 1), "conv1_extra").relu()
    names = ["conv3_1", *(f"block3_{k}" for k in range(2, 6)), "conv4_1", "conv5_1"]
    for name in [*names, *(f"block5_{k}" for k in range(2, 7)), "conv6_1"]:
        y = n.cn(x, f"{name}.conv.0", f"{name}.conv.1").relu()
        y = n.cn(y, f"{name}.conv.3", f"{name}.conv.4", 2 if name in ("conv3_1", "conv4_1") else 1, 1).relu()
        y = n.cn(y, f"{name}.conv.6", f"{name}.conv.7")
        x = x + y if name.startswith("block") else y
    seven = n.cn(x, "conv7.0", "conv7.1", 2, 1).relu()
    views = [x.mean((2, 3)), seven.mean((2, 3)), n.conv(seven, "conv8").relu().flatten(1)]
    return (n.torch.cat(views, 1) @ n.w["fc.weight"].T + n.w["fc.bias"]).numpy()


def mobilefacenet(weights: MobileFaceNet, maps: np.ndarray) -> np.ndarray:
    n = Net(weights)

    def block(x: Any, name: str, stride: int = 1, padding: int = 0) -> Any:
        x = n.cn(x, f"{name}.conv", f"{name}.bn", stride, padding)
        slopes = n.w.get(f"{name}.prelu.weight")
        return x if slopes is None else n.f.prelu(x, slopes)

    x = block(block(n.torch.from_numpy(maps), "conv1", 2, 1), "conv2_dw", 1, 1)
    for group, count in (("23", 0), ("3", 4), ("34", 0), ("4", 6), ("45", 0), ("5", 2)):
        for name in [f"conv_{group}.model.{k}" for k in range(count)] or [f"conv_{group}"]:
            y = block(block(x, f"{name}.conv"), f"{name}.conv_dw", 1 if count else 2, 1)
            y = block(y, f"{name}.project")
            x = x + y if count else y
    x = block(block(x, "conv_6_sep"), "output_layer.conv_6_dw").flatten(1)
    return n.norm(x @ n.w["output_layer.linear.weight"].T, "output_layer.bn").numpy()


def face_api(weights: FaceApi, maps: np.ndarray) -> np.ndarray:
    """Of maps from 0 to 1; the padding of TensorFlow's strided convolutions is written out."""
    n = Net(weights)
    means = n.torch.tensor([122.782, 117.001, 104.298], dtype=n.torch.float64) / 255
    x = n.torch.from_numpy(maps) - means.view(1, 3, 1, 1)
    tiny = "dense3.conv0.depthwise.weight" not in n.w

    def separable(x: Any, name: str, stride: int = 1, padding: int = 1) -> Any:
        return n.conv(n.conv(x, f"{name}.depthwise", stride, padding), f"{name}.pointwise")

    for block in range(3 if tiny else 4):
        b, padded = f"dense{block}", n.f.pad(x, (0, 1, 0, 1))
        first = (separable(padded, f"{b}.conv0", 2, 0) if block else n.conv(padded, f"{b}.conv0", 2)).relu()
        second = separable(first, f"{b}.conv1")
        third = separable((first + second).relu(), f"{b}.conv2")
        x = (first + second + third).relu()
        if not tiny:
            x = (first + second + third + separable(x, f"{b}.conv3")).relu()
    return (x.mean((2, 3)) @ n.w["fc.weight"].T + n.w["fc.bias"]).numpy()


def star(weights: STAR, crops: np.ndarray) -> np.ndarray:
    """Points of every stack (stacks, N, P, 2); convolutions of joined maps as sums of convolutions."""
    n = Net(weights)
    t = n.torch

    def res(x: Any, name: str) -> Any:
        y = x
        for k in (1, 2, 3):
            y = n.conv(n.norm(y, f"{name}.bn{k}").relu(), f"{name}.conv{k}.conv", 1, int(k == 2))
        return y + (x if y.shape[1] == x.shape[1] else n.conv(x, f"{name}.skip_layer.conv"))

    def hourglass(x: Any, name: str, depth: int) -> Any:
        y = res(n.f.max_pool2d(x, 2), f"{name}.low1")
        y = res(y, f"{name}.low2") if depth == 1 else hourglass(y, f"{name}.low2", depth - 1)
        return res(x, f"{name}.up1") + n.f.interpolate(res(y, f"{name}.low3"), scale_factor=2, mode="nearest")

    def grid(size: int) -> Any:
        c = t.linspace(-1, 1, size, dtype=t.float64)
        rows, columns = t.meshgrid(c, c, indexing="ij")
        return t.stack([rows, columns, (rows**2 + columns**2).sqrt() / 2**0.5])[None]

    image = t.from_numpy(crops.astype(np.float64)).permute(0, 3, 1, 2) / 255 * 2 - 1
    w = n.w["pre.0.conv.weight"]
    x = n.f.conv2d(image, w[:, :3], n.w["pre.0.conv.bias"], 2, 3) + n.f.conv2d(grid(256), w[:, 3:], None, 2, 3)
    x = n.f.max_pool2d(res(n.norm(x, "pre.0.bn").relu(), "pre.1"), 2)
    x = res(res(x, "pre.3"), "pre.4")
    c, heat, points = grid(64), None, []
    width = x.shape[1]
    for s in range(sum("coordconv.conv.weight" in name for name in n.w)):
        w = n.w[f"hgs.{s}.coordconv.conv.weight"]
        y = n.f.conv2d(x, w[:, :width], n.w[f"hgs.{s}.coordconv.conv.bias"])
        y = y + n.f.conv2d(c, w[:, width : width + 3])
        if heat is not None:
            y = y + n.f.conv2d((heat[:, -1:] > 0.05) * c[:, :2], w[:, width + 3 :])
        feature = res(hourglass(y, f"hgs.{s}", 4), f"features.{s}.0")
        feature = n.cn(feature, f"features.{s}.1.conv", f"features.{s}.1.bn").relu()
        heat = n.f.instance_norm(n.conv(feature, f"out_heatmaps.{s}.conv")).relu()
        point = n.conv(feature, f"out_pointmaps.{s}.conv").sigmoid()
        edge = n.conv(feature, f"out_edgemaps.{s}.conv").sigmoid()
        fused = n.conv(edge, "e2h_transform") * point * heat
        mass = fused.sum((2, 3)).clamp(1e-6)
        points.append(t.stack([(fused * c[:, 1:2]).sum((2, 3)) / mass, (fused * c[:, :1]).sum((2, 3)) / mass], -1))
        if f"merge_features.{s}.conv.weight" in n.w:
            for kind, maps in (("features", feature), ("heatmaps", heat), ("pointmaps", point), ("edgemaps", edge)):
                x = x + n.conv(maps, f"merge_{kind}.{s}.conv")
    return t.stack(points).numpy()
