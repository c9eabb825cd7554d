"""The tensors of each network: name and shape, under the names of the published state dicts (spec 95.1 to 95.4, 95.6).

They are the strict half of reading a file: what is missing, not known or of another shape is an error. Tensors that
published files hold and that no network uses are listed as patterns beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Backbone = Literal["mobile0.25", "resnet50"]
Pairs = Iterator[tuple[str, Shape]]

#: Counted in training, and never used.
COUNTERS = ("*.num_batches_tracked",)
#: PFLD's published file holds a norm that the network does not run.
PFLD_UNUSED = (*COUNTERS, "bn8.*")
#: Every residual block of STAR's file has a skip layer, used only where the number of channels changes; exporters drop
#: the others. (The copy of the weights that training averages is another entry of the file, `net_ema`.)
STAR_UNUSED = (*COUNTERS, "*.skip_layer.conv.*")

#: Outputs of RetinaFace at each anchor: four of the box, two of the class, ten of the points; two anchors a place.
ANCHORS = 2
HEADS = {"ClassHead": 2, "BboxHead": 4, "LandmarkHead": 10}
LEVELS = 3
#: Blocks of each part of MobileNet 0.25, as (outputs) of its depthwise separable convolutions.
MOBILE_STAGES = {"stage1": (8, 16, 32, 32, 64, 64), "stage2": (128,) * 6, "stage3": (256,) * 2}
#: Blocks, width and outputs of ResNet-50's layers.
RESNET_LAYERS = {"layer1": (3, 64), "layer2": (4, 128), "layer3": (6, 256), "layer4": (3, 512)}
EXPANSION = 4

#: STAR: channels after the first convolution and after `pre.1`, depth of an hourglass.
STAR_FIRST, STAR_SECOND, HOURGLASS = 64, 128, 4
POINTS_68 = 136


def conv(name: str, outputs: int, inputs: int, kernel: int, *, bias: bool = False) -> Pairs:
    """A convolution; `inputs` are those of one group."""
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    if bias:
        yield f"{name}.bias", (outputs,)


def norm(name: str, channels: int) -> Pairs:
    """A batch norm."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)


def retinaface(backbone: Backbone) -> Shapes:
    """RetinaFace with the backbone "mobile0.25" or "resnet50"."""
    mobile = backbone == "mobile0.25"
    width = 64 if mobile else 256
    inputs = (64, 128, 256) if mobile else (512, 1024, 2048)
    return dict([*(_mobile() if mobile else _resnet()), *_pyramid(inputs, width), *_heads(width)])


def _mobile() -> Pairs:
    inputs = 3
    for stage, widths in MOBILE_STAGES.items():
        for k, outputs in enumerate(widths):
            name = f"body.{stage}.{k}"
            if inputs == 3:
                yield from conv(f"{name}.0", outputs, inputs, 3)
                yield from norm(f"{name}.1", outputs)
            else:
                yield from conv(f"{name}.0", inputs, 1, 3)
                yield from norm(f"{name}.1", inputs)
                yield from conv(f"{name}.3", outputs, inputs, 1)
                yield from norm(f"{name}.4", outputs)
            inputs = outputs


def _resnet() -> Pairs:
    yield from conv("body.conv1", 64, 3, 7)
    yield from norm("body.bn1", 64)
    inputs = 64
    for layer, (blocks, width) in RESNET_LAYERS.items():
        for k in range(blocks):
            name, outputs = f"body.{layer}.{k}", EXPANSION * width
            for number, (out, into, kernel) in enumerate(((width, inputs, 1), (width, width, 3), (outputs, width, 1))):
                yield from conv(f"{name}.conv{number + 1}", out, into, kernel)
                yield from norm(f"{name}.bn{number + 1}", out)
            if k == 0:
                yield from conv(f"{name}.downsample.0", outputs, inputs, 1)
                yield from norm(f"{name}.downsample.1", outputs)
            inputs = outputs


def _pyramid(inputs: tuple[int, ...], width: int) -> Pairs:
    layers = [(f"fpn.output{k + 1}", width, channels, 1) for k, channels in enumerate(inputs)]
    layers += [(f"fpn.merge{k}", width, width, 3) for k in (1, 2)]
    half, quarter = width // 2, width // 4
    for k in range(1, LEVELS + 1):
        layers += [
            (f"ssh{k}.conv3X3", half, width, 3),
            (f"ssh{k}.conv5X5_1", quarter, width, 3),
            (f"ssh{k}.conv5X5_2", quarter, quarter, 3),
            (f"ssh{k}.conv7X7_2", quarter, quarter, 3),
            (f"ssh{k}.conv7x7_3", quarter, quarter, 3),
        ]
    for name, outputs, into, kernel in layers:
        yield from conv(f"{name}.0", outputs, into, kernel)
        yield from norm(f"{name}.1", outputs)


def _heads(width: int) -> Pairs:
    for head, values in HEADS.items():
        for level in range(LEVELS):
            yield from conv(f"{head}.{level}.conv1x1", ANCHORS * values, width, 1, bias=True)


#: PFLD's inverted residuals: name to (inputs, outputs, expansion).
PFLD_BLOCKS = {
    "conv3_1": (64, 64, 1),
    **{f"block3_{k}": (64, 64, 1) for k in range(2, 6)},
    "conv4_1": (64, 128, 1),
    "conv5_1": (128, 128, 2),
    **{f"block5_{k}": (128, 128, 2) for k in range(2, 7)},
    "conv6_1": (128, 16, 1),
}


def pfld() -> Shapes:
    """PFLD for 68 points, crops of 112 x 112."""

    def pairs() -> Pairs:
        yield from conv("conv1", 64, 3, 3)
        yield from norm("bn1", 64)
        yield from conv("dw_pool", 64, 1, 3)
        yield from norm("dw_bn", 64)
        yield from conv("conv1_extra", 64, 64, 1)
        for name, (inputs, outputs, expansion) in PFLD_BLOCKS.items():
            middle = inputs * expansion
            for index, (out, into, kernel) in {
                0: (middle, inputs, 1),
                3: (middle, 1, 3),
                6: (outputs, middle, 1),
            }.items():
                yield from conv(f"{name}.conv.{index}", out, into, kernel)
                yield from norm(f"{name}.conv.{index + 1}", out)
        yield from conv("conv7.0", 32, 16, 3)
        yield from norm("conv7.1", 32)
        yield from conv("conv8", 128, 32, 7, bias=True)
        yield "fc.weight", (POINTS_68, 16 + 32 + 128)
        yield "fc.bias", (POINTS_68,)

    return dict(pairs())


#: MobileFaceNet's bottlenecks: name to (inputs, outputs, expanded).
MOBILEFACENET_BLOCKS = {
    "conv_23": (64, 64, 128),
    **{f"conv_3.model.{k}": (64, 64, 128) for k in range(4)},
    "conv_34": (64, 128, 256),
    **{f"conv_4.model.{k}": (128, 128, 256) for k in range(6)},
    "conv_45": (128, 128, 512),
    **{f"conv_5.model.{k}": (128, 128, 256) for k in range(2)},
}


def mobilefacenet() -> Shapes:
    """MobileFaceNet for 68 points, crops of 112 x 112."""

    def block(name: str, outputs: int, inputs: int, kernel: int, *, linear: bool = False) -> Pairs:
        yield from conv(f"{name}.conv", outputs, inputs, kernel)
        yield from norm(f"{name}.bn", outputs)
        if not linear:
            yield f"{name}.prelu.weight", (outputs,)

    def pairs() -> Pairs:
        yield from block("conv1", 64, 3, 3)
        yield from block("conv2_dw", 64, 1, 3)
        for name, (inputs, outputs, expanded) in MOBILEFACENET_BLOCKS.items():
            yield from block(f"{name}.conv", expanded, inputs, 1)
            yield from block(f"{name}.conv_dw", expanded, 1, 3)
            yield from block(f"{name}.project", outputs, expanded, 1, linear=True)
        yield from block("conv_6_sep", 512, 128, 1)
        yield from block("output_layer.conv_6_dw", 512, 1, 7, linear=True)
        yield "output_layer.linear.weight", (POINTS_68, 512)
        yield from norm("output_layer.bn", POINTS_68)

    return dict(pairs())


#: face-api's blocks: channels of each, and how many convolutions follow the first of a block; likewise of the tiny one.
FACE_API, FACE_API_TINY = ((32, 64, 128, 256), 3), ((32, 64, 128), 2)


def face_api(*, tiny: bool = False) -> Shapes:
    """face-api's landmark network, 68 points, crops of 112 x 112; `face_api_names` has the names of its files."""
    widths, following = FACE_API_TINY if tiny else FACE_API

    def separable(name: str, outputs: int, inputs: int) -> Pairs:
        yield from conv(f"{name}.depthwise", inputs, 1, 3)
        yield from conv(f"{name}.pointwise", outputs, inputs, 1, bias=True)

    def pairs() -> Pairs:
        inputs = 3
        for block, width in enumerate(widths):
            first = f"dense{block}.conv0"
            yield from conv(first, width, inputs, 3, bias=True) if block == 0 else separable(first, width, inputs)
            for k in range(1, following + 1):
                yield from separable(f"dense{block}.conv{k}", width, width)
            inputs = width
        yield "fc.weight", (POINTS_68, inputs)
        yield "fc.bias", (POINTS_68,)

    return dict(pairs())


def face_api_like(names: Iterable[str]) -> Shapes:
    """The tensors of that network of face-api's, the larger or the tiny one, which these names are nearer to."""
    return face_api(tiny=not any(name.startswith(f"dense{len(FACE_API[0]) - 1}.") for name in names))


def star(points: int, edges: int, stacks: int, width: int) -> Shapes:
    """STAR: `stacks` hourglasses of `width` channels, for so many points on so many edges."""

    def layer(name: str, outputs: int, inputs: int, kernel: int = 1, *, normed: bool = False) -> Pairs:
        yield from conv(f"{name}.conv", outputs, inputs, kernel, bias=True)
        if normed:
            yield from norm(f"{name}.bn", outputs)

    def residual(name: str, inputs: int, outputs: int) -> Pairs:
        middle = outputs // 2
        for k, (out, into, kernel) in enumerate(((middle, inputs, 1), (middle, middle, 3), (outputs, middle, 1)), 1):
            yield from norm(f"{name}.bn{k}", into)
            yield from layer(f"{name}.conv{k}", out, into, kernel)
        if inputs != outputs:
            yield from layer(f"{name}.skip_layer", outputs, inputs)

    def hourglass(name: str, depth: int) -> Pairs:
        for block in ("up1", "low1", "low3"):
            yield from residual(f"{name}.{block}", width, width)
        inner = f"{name}.low2"
        yield from hourglass(inner, depth - 1) if depth > 1 else residual(inner, width, width)

    def pairs() -> Pairs:
        yield from layer("pre.0", STAR_FIRST, 6, 7, normed=True)
        yield from residual("pre.1", STAR_FIRST, STAR_SECOND)
        yield from residual("pre.3", STAR_SECOND, STAR_SECOND)
        yield from residual("pre.4", STAR_SECOND, width)
        maps = {"heatmaps": points, "pointmaps": points, "edgemaps": edges}
        for s in range(stacks):
            yield from layer(f"hgs.{s}.coordconv", width, width + (3 if s == 0 else 5))
            yield from hourglass(f"hgs.{s}", HOURGLASS)
            yield from residual(f"features.{s}.0", width, width)
            yield from layer(f"features.{s}.1", width, width, normed=True)
            for kind, channels in maps.items():
                yield from layer(f"out_{kind}.{s}", channels, width)
            if s < stacks - 1:
                for kind, channels in {"features": width, **maps}.items():
                    yield from layer(f"merge_{kind}.{s}", width, channels)
        yield "e2h_transform.weight", (points, edges, 1, 1)
        yield "e2h_transform.bias", (points,)

    return dict(pairs())
