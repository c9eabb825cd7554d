"""The face detector: P-Net, R-Net and O-Net (Zhang et al. 2016, MTCNN), each trained on what the previous one accepts.

Layers are those of spec 10.5 with fewer channels. Faces are rendered; negatives are squares in backgrounds and in
pictures that overlap the face by less than 0.3. R-Net and O-Net learn from the proposals of the earlier networks on the
training pictures (so false ones are hard ones), and from shifted squares around the faces. The last step shifts the
bias of the face logit, because the thresholds of the pipeline are fixed (detector/calibration.py).
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models import archive
from auparity.models.synthetic.detector import samples
from auparity.models.synthetic.detector.calibration import calibrate, measure
from auparity.models.synthetic.detector.networks import (
    SIDES,
    STRUCTURE,
    build,
    convert,
    inputs_of,
    propose,
    refine,
)
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import MTCNN

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

EPOCHS = {"pnet": 10, "rnet": 8, "onet": 4}
BATCH, RATE = 512, 4e-3
CHECKPOINT_SECONDS = 60.0
POSITIVE, PART, NEGATIVE = (
    0.65,
    0.4,
    0.3,
)  #: overlaps with a face: a face from, a part from, neither up to


@dataclass(frozen=True, eq=False)
class Crops:
    """Labelled crops: 1 face, 0 none, -1 part of one (counts for the box only)."""

    pixels: Array  #: (K, side, side, 3) uint8 BGR
    label: Array  #: (K,) int8
    box: Array  #: (K, 4) regression, valid unless label is 0

    @staticmethod
    def join(parts: list[Crops]) -> Crops:
        return Crops(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("pixels", "label", "box")))


def _label(image: Array, boxes: Array, face: Array | None, side: int) -> Crops:
    """Crops of squares with their labels; ambiguous squares are left out."""
    share = np.zeros(len(boxes)) if face is None else samples.overlap(boxes, face)
    label = np.select([share >= POSITIVE, share >= PART, share <= NEGATIVE], [1, -1, 0], 9)
    kept = label != 9
    box = np.zeros((len(boxes), 4)) if face is None else samples.regression(boxes, face)
    return Crops(samples.cut(image, boxes[kept], side), label[kept].astype(np.int8), box[kept].astype(np.float32))


def _random_squares(rng: np.random.Generator, shape: tuple[int, ...], face: Array | None) -> Array:
    if face is None:
        return samples.anywhere(rng, shape, 22)
    return np.concatenate(
        [
            samples.around(rng, face, 9, 0.6),
            samples.around(rng, face, 7, 1.6),
            samples.around(rng, face, 5, 4.0),
            samples.anywhere(rng, shape, 6),
        ]
    )


def _augment(x: torch.Tensor, box: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror half of a batch; change exposure, white balance and grain; some pictures become grey."""
    import torch

    count = len(x)
    flip = torch.rand(count, generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    mirrored = torch.stack([-box[:, 2], box[:, 1], -box[:, 0], box[:, 3]], dim=1)
    box = torch.where(flip[:, None], mirrored, box)
    gain = torch.exp(
        0.25 * torch.randn(count, 1, 1, 1, generator=generator)
        + 0.08 * torch.randn(count, 3, 1, 1, generator=generator)
    )
    x = ((x + 1) * gain - 1 + 0.15 * torch.randn(count, 1, 1, 1, generator=generator)).clamp(-1, 1)
    grey = torch.rand(count, 1, 1, 1, generator=generator) < 0.12
    x = torch.where(grey, x.mean(dim=1, keepdim=True).expand_as(x), x)
    return x + 0.02 * torch.randn(x.shape, generator=generator), box


def fit(workspace: Workspace, name: str, crops: Crops, seed: int, epochs: int | None = None) -> torch.nn.Sequential:
    """Train one network, from its last checkpoint if there is one."""
    import torch

    torch.manual_seed(seed)
    net = build(name)
    generator = torch.Generator().manual_seed(seed + 1)
    epochs = epochs or EPOCHS[name]
    steps = max(1, len(crops.label) // BATCH) * epochs
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    label, box = torch.from_numpy(crops.label.astype(np.int64)), torch.from_numpy(crops.box)
    partial, first = f"detector_{name}_partial", 0
    parts = {"net": net, "optimiser": optimiser, "schedule": schedule}
    if workspace.has(partial):
        first = _restore(workspace.load(partial)["state"], parts, generator)
        workspace.log(f"{name}: resumes at step {first} of {steps}")
    net.train()
    saved = time.monotonic()
    for step in range(first, steps):
        pick = torch.randint(0, len(label), (BATCH,), generator=generator)
        x, target = _augment(inputs_of(crops.pixels[pick.numpy()]), box[pick], generator)
        out = net(x).flatten(1)
        what = label[pick]
        labelled = what >= 0
        loss = torch.nn.functional.cross_entropy(out[labelled][:, :2], what[labelled])
        faced = what != 0
        loss = loss + 4.0 * torch.nn.functional.smooth_l1_loss(out[faced][:, 2:6], target[faced], beta=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % max(1, steps // 4) == 0 or step == steps - 1:
            workspace.log(f"{name}: step {step + 1} of {steps}, loss {float(loss.detach()):.3f}")
        if time.monotonic() - saved >= CHECKPOINT_SECONDS:
            workspace.save(partial, state=_checkpoint(step + 1, parts, generator))
            saved = time.monotonic()
    return net.eval()


def _checkpoint(step: int, parts: dict[str, Any], generator: torch.Generator) -> Array:
    """(n,) uint8: the state with which `fit` resumes as if it had not been interrupted."""
    import torch

    stream = io.BytesIO()
    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({**state, "generator": generator.get_state(), "step": step}, stream)
    return np.frombuffer(stream.getvalue(), np.uint8)


def _restore(stored: Array, parts: dict[str, Any], generator: torch.Generator) -> int:
    """The inverse of `_checkpoint`; returns the step."""
    import torch

    state = torch.load(io.BytesIO(stored.tobytes()), weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    generator.set_state(state["generator"])
    return int(state["step"])


def _gather(name: str, photos: Any, faces: Array, backgrounds: Array, nets: list[Any], seed: int, log: Any) -> Crops:
    """Crops for a network: squares drawn at random and, for the later ones, what the earlier networks accept."""
    rng = np.random.default_rng([41, seed])
    parts, side = [], SIDES[name]
    total = len(photos) + len(backgrounds)
    for k in range(total):
        image = np.asarray(photos[k] if k < len(photos) else backgrounds[k - len(photos)])
        face = faces[k] if k < len(photos) else None
        boxes = _random_squares(rng, image.shape, face)
        if nets:
            # A lower threshold gives the network more negatives that it must refuse.
            passed = propose(nets[0], image, 0.5)
            if len(nets) > 1:
                passed = refine(nets[1], image, passed, 0.5)
            keep = rng.permutation(len(boxes))[: 10 if name == "rnet" else 8]
            boxes = np.concatenate([boxes[keep], passed[:30]])
        parts.append(_label(image, boxes[(boxes[:, 2] >= 12)], face, side))
        if k % 2000 == 1999:
            log(f"{name}: crops of {k + 1} of {total} pictures")
    return Crops.join(parts)


def train(
    workspace: Workspace, photos: PhotoSet, validation: PhotoSet, backgrounds: Array, empty: Array, threads: int = 2
) -> None:
    """Train the networks that are missing, set the biases, and report the detections of the reference with them.

    Parameters
    ----------
    backgrounds, empty : (M, h, w, 3) uint8 pictures without a face, for training and for biases and report. Of
        `validation` and `empty`, every other picture is used for the biases and the rest for the report.
    """
    if workspace.has("detector"):
        return
    torch = require_torch()
    torch.set_num_threads(threads)
    faces = samples.detector_boxes(np.asarray(photos.landmarks, np.float64))
    nets: list[Any] = []
    for number, name in enumerate(STRUCTURE):
        if not workspace.has(f"detector_{name}"):
            start = time.monotonic()
            crops = _gather(name, photos.images, faces, backgrounds, nets, number, workspace.log)
            workspace.log(f"{name}: {len(crops.label)} crops, {(crops.label == 1).sum()} of them faces")
            net = fit(workspace, name, crops, 3000 + number)
            workspace.save(
                f"detector_{name}", **{f"w{k:02d}": p.detach().numpy() for k, p in enumerate(net.parameters())}
            )
            (workspace.folder / f"detector_{name}_partial.npz").unlink(missing_ok=True)
            workspace.log(f"{name}: done, {time.monotonic() - start:.0f} s")
        nets.append(_restored(workspace, name))
    thresholds = calibrate(nets, validation, empty[1::2], range(1, len(validation), 2))
    mtcnn = archive.rounded(MTCNN(*(convert(net) for net in nets)))
    figures = measure(mtcnn, validation, empty[::2], range(0, len(validation), 2))
    workspace.save(
        "detector",
        **{
            f"{name}_{k:02d}": p.detach().numpy()
            for name, net in zip(STRUCTURE, nets, strict=True)
            for k, p in enumerate(net.parameters())
        },
    )
    workspace.report("detector", **thresholds, **figures)
    workspace.log(
        f"detector: recall {figures['recall']:.4f}, {figures['false_boxes_per_100']:.2f} false boxes per 100 pictures"
    )


def _restored(workspace: Workspace, name: str) -> Any:
    import torch

    net = build(name)
    stored = workspace.load(f"detector_{name}")
    with torch.no_grad():
        for parameter, key in zip(net.parameters(), sorted(stored), strict=True):
            parameter.copy_(torch.from_numpy(stored[key]))
    return net.eval()


def load_detector(workspace: Workspace) -> MTCNN:
    """The trained networks."""
    import torch

    stored = workspace.load("detector")
    nets = []
    for name in STRUCTURE:
        net = build(name)
        keys = sorted(key for key in stored if key.startswith(name))
        with torch.no_grad():
            for parameter, key in zip(net.parameters(), keys, strict=True):
                parameter.copy_(torch.from_numpy(stored[key]))
        nets.append(convert(net))
    return MTCNN(*nets)
