"""Trains the landmark validator: seven small CNNs of the structure of validator_cnn_68 (spec 10.10, 50.8).

Four networks are trained, for heads that look ahead and to the left; those for heads that look to the right are their
mirror images. Each estimates from a 60 x 60 face the error of the landmarks, as one of 20 bins (labels are spread over
neighbouring bins); bins 0 to 4 mean success. Images and backgrounds in, `types.Validator` out. The steps are
samples ("validator/samples_...") and networks ("validator/network_..."); each is stored when it is done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.processes import run_tasks
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.validator.network import (
    BINS,
    PARAMETERS,
    build_validator,
    frames_of,
    trainable_network,
)
from auparity.models.synthetic.validator.samples import BACKGROUND, Sampler, Samples
from auparity.models.synthetic.warps import VIEWS, piecewise_warp
from auparity.models.types import PDM, Convolution, FullyConnected, Validator
from auparity.reference.convnet import forward
from auparity.reference.grayscale import to_gray

Array = npt.NDArray[Any]

RESULT = "validator"
#: Numbers of samples for training, all views together, and for judging.
SAMPLES, HELD_OUT = 64_000, 8_000
MOST_BACKGROUNDS = 500  #: each gives samples at many places
PARTS = 8  #: number of tasks for the sampling
#: The same of other faces that are to be known as well, if there are any.
OTHER_SAMPLES, OTHER_PARTS = 16_000, 2
EPOCHS, BATCH, PEAK_RATE, WEIGHT_DECAY = 12, 64, 3e-3, 1e-4
SPREAD = 1.2  #: bins, deviation of the label around the true position
JUDGED = 256  #: held-out samples judged at a time, to limit memory
LAST_SUCCESS = 4  #: the last bin above the validation boundary (spec 50.8)
#: Errors of a fit and of a miss in the report; between them either answer is right.
FIT_BELOW, MISS_ABOVE = 0.05, 0.10
#: Deviations of pixels are stored as at least this, so that a pixel that hardly varies is not amplified.
LEAST_DEVIATION = 0.05


def train(
    workspace: Workspace,
    pdm: PDM,
    photos: PhotoSet,
    validation: PhotoSet,
    backgrounds: Array,
    others: PhotoSet | None = None,
) -> None:
    """Train the validator and store it as "validator".

    Parameters
    ----------
    photos, validation : rendered images for training, and others for judging.
    backgrounds : (K, H, W, 3) uint8 pictures without a face; the last quarter of those used is kept for judging.
    others : images of faces of another kind that count as faces, too, for training.
    """
    if workspace.has(RESULT):
        return
    require_torch()
    gray = to_gray(backgrounds[:MOST_BACKGROUNDS])
    kept = len(gray) * 3 // 4
    drawn = [("train", part, _handle(photos), gray[:kept], SAMPLES) for part in range(PARTS)]
    if others is not None:
        drawn += [("others", part, _handle(others), gray[:kept], OTHER_SAMPLES) for part in range(OTHER_PARTS)]
    drawn.append(("held_out", 0, _handle(validation), gray[kept:], HELD_OUT))
    run_tasks(workspace, "validator samples", _sample, [(workspace, pdm, *task) for task in drawn])
    run_tasks(workspace, "validator networks", _train_view, [(workspace, pdm, view) for view in range(4)])
    stored = [workspace.load(f"validator/network_{view}") for view in range(4)]
    workspace.report("validator", **_figures(workspace, pdm, stored))
    workspace.save(
        RESULT,
        **{f"{name}_{view}": values for view, arrays in enumerate(stored) for name, values in arrays.items()},
        mean_shape=pdm.mean, components=pdm.components, eigenvalues=pdm.eigenvalues,
    )  # fmt: skip


def _handle(photos: PhotoSet) -> PhotoSet | Path:
    """The argument for another process: the folder of a set on disk, not gigabytes of pixels."""
    return Path(str(photos.images.filename)).parent if isinstance(photos.images, np.memmap) else photos


def _sample(
    workspace: Workspace, pdm: PDM, name: str, part: int, source: PhotoSet | Path, backgrounds: Array, count: int
) -> None:
    """Draw one part of the samples and store it."""
    result = f"validator/samples_{name}_{part}"
    if workspace.has(result):
        return
    photos = PhotoSet.open(source) if isinstance(source, Path) else source
    chosen = np.arange(part, len(photos.landmarks), _parts(name))
    each = max(1, round(count / len(photos.landmarks)))
    seed = 2 * (part + (PARTS if name == "others" else 0)) + (name == "held_out")
    drawn = Sampler(pdm).draw(photos, chosen, backgrounds, each, seed)
    arrays = {
        f"{field}_{v}": getattr(s, field)
        for v, s in enumerate(drawn)
        for field in ("pixels", "position", "error", "kind")
    }
    workspace.save(result, **arrays)


def _parts(name: str) -> int:
    return {"train": PARTS, "others": OTHER_PARTS}.get(name, 1)


def _samples(workspace: Workspace, name: str, view: int) -> Samples:
    names = [f"validator/samples_{name}_{k}" for k in range(_parts(name))]
    if name == "train":
        others = [f"validator/samples_others_{k}" for k in range(OTHER_PARTS)]
        names += [other for other in others if workspace.has(other)]
    parts = [workspace.load(each) for each in names]
    fields = ("pixels", "position", "error", "kind")
    return Samples.join([Samples(*(part[f"{field}_{view}"] for field in fields)) for part in parts])


def soft_labels(position: Array) -> Array:
    """(N, 20) labels: a bell around the true position on the scale of bins."""
    centres = np.arange(BINS) + 0.5
    bell = np.exp(-0.5 * ((centres - np.asarray(position)[:, None]) / SPREAD) ** 2)
    labels: Array = (bell / bell.sum(axis=1, keepdims=True)).astype(np.float32)
    return labels


def _statistics(samples: Samples) -> tuple[Array, Array]:
    """Mean and deviation (P,) of the pixels of faces seen through good landmarks."""
    good = samples.pixels[samples.error < FIT_BELOW].astype(np.float32)
    return good.mean(axis=0), np.maximum(good.std(axis=0), LEAST_DEVIATION)


def _train_view(workspace: Workspace, pdm: PDM, view: int) -> None:
    """Train the network of one of the first four views and store it."""
    result = f"validator/network_{view}"
    if workspace.has(result):
        return
    torch = require_torch()
    torch.set_num_threads(1)
    torch.manual_seed(view)
    samples, held_out = (_samples(workspace, name, view) for name in ("train", "held_out"))
    mean, deviation = _statistics(samples)
    warp = piecewise_warp(pdm, VIEWS[view])
    labels = torch.from_numpy(soft_labels(samples.position))
    network = trainable_network(torch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * (len(samples) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, total_steps=steps, pct_start=0.2)
    criterion = torch.nn.CrossEntropyLoss()
    rng, curve = np.random.default_rng([31, view]), []
    for epoch in range(EPOCHS):
        order, losses = rng.permutation(len(samples)), []
        for start in range(0, len(samples) - BATCH + 1, BATCH):
            batch = np.sort(order[start : start + BATCH])
            inputs = torch.from_numpy(frames_of(samples.pixels[batch], mean, deviation, warp))
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            loss = criterion(network(inputs), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            inputs = torch.from_numpy(frames_of(held_out.pixels, mean, deviation, warp))
            scores = torch.cat([network(piece) for piece in inputs.split(JUDGED)])
            held_loss = float(criterion(scores, torch.from_numpy(soft_labels(held_out.position))))
        curve.append([float(np.mean(losses)), held_loss])
        workspace.log(
            f"validator view {view}: epoch {epoch + 1}/{EPOCHS}, loss {curve[-1][0]:.3f}, held out {held_loss:.3f}"
        )
    trained = [module for module in network if hasattr(module, "weight")]
    arrays = {f"{name}_weight": m.weight.detach().numpy() for name, m in zip(PARAMETERS, trained, strict=True)}
    arrays |= {f"{name}_bias": m.bias.detach().numpy() for name, m in zip(PARAMETERS, trained, strict=True)}
    workspace.save(result, **arrays, mean=mean, deviation=deviation, curve=np.array(curve))


def load_validator(workspace: Workspace) -> Validator:
    """The trained validator of a workspace; AuparityError if there is none."""
    stored = workspace.load(RESULT)
    pdm = PDM(stored["mean_shape"], stored["components"], stored["eigenvalues"])
    names = [f"{name}_{what}" for name in PARAMETERS for what in ("weight", "bias")] + ["mean", "deviation"]
    return build_validator(pdm, [{name: stored[f"{name}_{view}"] for name in names} for view in range(4)])


def roc_auc(fits: Array, misses: Array) -> float:
    """Probability that a fit is more certain than a miss; equal confidences count half."""
    ordered = np.sort(misses)
    below, not_above = np.searchsorted(ordered, fits, "left"), np.searchsorted(ordered, fits, "right")
    return float((below + not_above).mean() / (2 * len(misses)))


def _figures(workspace: Workspace, pdm: PDM, networks: list[dict[str, Array]]) -> dict[str, Any]:
    """Held-out figures: how well confidence separates fits from misses, success against error, loss curves."""
    validator = build_validator(pdm, networks)
    joined: dict[str, list[Array]] = {"confidence": [], "error": [], "kind": []}
    by_view = []
    for view in range(4):
        samples, arrays = _samples(workspace, "held_out", view), networks[view]
        inputs = frames_of(samples.pixels, arrays["mean"], arrays["deviation"], validator.views[view].warp)
        pieces = [inputs[k : k + JUDGED] for k in range(0, len(inputs), JUDGED)]
        best = np.concatenate([forward(validator.views[view].net, piece) for piece in pieces]).argmax(axis=1)
        confidence = 1 - (best + 0.5) / BINS
        fits, misses = confidence[samples.error < FIT_BELOW], confidence[samples.error > MISS_ABOVE]
        by_view.append(roc_auc(fits, misses))
        for name, values in (("confidence", confidence), ("error", samples.error), ("kind", samples.kind)):
            joined[name].append(values)
    confidence, error, kind = (np.concatenate(joined[name]) for name in ("confidence", "error", "kind"))
    success = confidence > 1 - (LAST_SUCCESS + 1) / BINS
    edges = np.arange(0, 0.2501, 0.01)
    near = {f"{low:.2f}": (error >= low) & (error < low + 0.01) for low in edges[:-1]}
    layers = [layer for view in validator.views for layer in view.net.layers]
    return {
        "auc": roc_auc(confidence[error < FIT_BELOW], confidence[error > MISS_ABOVE]),
        "auc_by_view": dict(zip(("0", "20", "45", "70"), by_view, strict=True)),
        "fits_accepted": float(success[error < 0.04].mean()),
        "misses_accepted": float(success[error > MISS_ABOVE].mean()),
        "backgrounds_accepted": float(success[kind == BACKGROUND].mean()),
        "held_out_samples": len(error),
        "success_against_error": {low: float(success[those].mean()) for low, those in near.items() if those.any()},
        "loss_curves": {f"{-VIEWS[v]:.0f}": arrays["curve"].tolist() for v, arrays in enumerate(networks)},
        "parameters": sum(x.weights.size + x.bias.size for x in layers if isinstance(x, Convolution | FullyConnected)),
    }
