"""CE-CLM patch experts (Zadeh et al. 2017, "Convolutional experts constrained local model"), small ones.

An expert is a network 122-24-16-8-1 over a contrast-normalised 11 x 11 patch that gives the probability that its
landmark is at the patch's centre. All experts of one scale and view are trained together, as batched matrix products,
on patches at known distances from true landmarks: target exp(-d^2 / 2), d in pixels of the scale. Storage is as in
OpenFace: the frontal view keeps one expert of every mirrored pair, the views that look to one side keep all visible
landmarks, and those to the other side use them mirrored (spec 40.7).
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.expert_samples import Faces, Patches, collect, faces_of
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import CENExperts, CENLayer, CENPatch

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

SCALES = (0.25, 0.35, 0.5, 1.0)
VIEWS = (0.0, -20.0, -45.0, -70.0, 70.0, 45.0, 20.0)  #: ry of each view, degrees
MIRROR_VIEWS = (0, 6, 5, 4, 3, 2, 1)
TRAINED_VIEWS = (0, 1, 2, 3)  #: the others are their mirror images
#: Range of ry (degrees) from which each trained view learns, with a margin because views are chosen by a noisy pose.
VIEW_RANGES = {0: (-16.0, 16.0), 1: (-39.0, -4.0), 2: (-64.0, -26.0), 3: (-90.0, -50.0)}
HIDDEN = (24, 16, 8)
INPUTS = 122
REACH = {0.25: 8.0, 0.35: 7.5, 0.5: 7.0, 1.0: 7.0}  #: px: half of the largest window, plus its error
SIGMA = 1.0  #: px, of the target
SEEN = 0.4  #: share of a view's faces that must show a landmark for it to belong to the view
PATCHES = 32  #: of each landmark in each face
BATCH, STEPS, RATE = 1024, 1100, 4e-3
MAX_FACES = 4000
RELU, SIGMOID = 2, 0


def stored_landmarks(view: int, visible: Array) -> Array:
    """Landmarks whose experts are trained and stored in a view."""
    shown = np.flatnonzero(visible)
    return shown[shown <= MIRROR_68[shown]] if view == 0 else shown


def _normalise(pixels: torch.Tensor) -> torch.Tensor:
    """(n, B, 122) network inputs of raw patches (n, B, 121) (spec 40.6)."""
    import torch

    values = pixels.to(torch.float32)
    values = values - values.mean(dim=2, keepdim=True)
    length = values.norm(dim=2, keepdim=True)
    values = values / torch.where(length == 0, torch.ones_like(length), length)
    return torch.cat([torch.ones_like(length), values], dim=2)


def _initial(count: int, seed: int) -> list[torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    sizes = (INPUTS, *HIDDEN, 1)
    parameters = []
    for inputs, outputs in pairwise(sizes):
        # A normalised patch has length 1, not 1 for each element, so the first layer starts with larger weights.
        spread = 1.6 if inputs == INPUTS else (2.0 / inputs) ** 0.5
        parameters.append(torch.randn(count, inputs, outputs, generator=generator) * spread)
        parameters.append(torch.zeros(count, 1, outputs))
    parameters[0][:, 0] = 0
    parameters[-1] -= 2.0  # most patches are not the landmark
    return [p.requires_grad_() for p in parameters]


def _logits(parameters: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """(n, B) before the sigmoid."""
    import torch

    for k in range(0, len(parameters) - 2, 2):
        x = torch.relu(torch.baddbmm(parameters[k + 1], x, parameters[k]))
    return torch.baddbmm(parameters[-1], x, parameters[-2])[..., 0]


def fit_group(patches: Patches, held_out: Patches, seed: int, steps: int = STEPS) -> tuple[list[Array], dict[str, Any]]:
    """Train the experts of all landmarks in `patches` together; weights, and the curve of held-out loss."""
    import torch

    torch.manual_seed(seed)
    count, total = patches.distance.shape
    pixels, distance = torch.from_numpy(patches.pixels), torch.from_numpy(patches.distance)
    parameters = _initial(count, seed)
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed + 1)
    curve = []
    for step in range(steps):
        pick = torch.randint(0, total, (min(BATCH, total),), generator=generator)
        target = torch.exp(-0.5 * (distance[:, pick] / SIGMA) ** 2)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            _logits(parameters, _normalise(pixels[:, pick])), target
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99 or step == steps - 1:
            curve.append(
                {
                    "step": step + 1,
                    "train": float(loss.detach()),
                    "held_out": float(_held_out(parameters, held_out)[0].mean()),
                }
            )
    loss_each, correlation = _held_out(parameters, held_out)
    figures = {"curve": curve, "loss": float(loss_each.mean()), "correlation": float(correlation.mean())}
    return [p.detach().numpy() for p in parameters] + [correlation], figures


def _held_out(parameters: list[torch.Tensor], patches: Patches) -> tuple[Array, Array]:
    """Loss and correlation with the target of every landmark."""
    import torch

    with torch.no_grad():
        logits = _logits(parameters, _normalise(torch.from_numpy(patches.pixels)))
        target = torch.exp(-0.5 * (torch.from_numpy(patches.distance) / SIGMA) ** 2)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
        response = torch.sigmoid(logits)
    a, b = response - response.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    r = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)
    return loss.numpy(), r.numpy()


def faces_in_view(faces: Faces, view: int, limit: int, seed: int) -> Faces:
    """Up to `limit` faces, chosen at random, whose pose is in the range of a view."""
    ry = np.degrees(faces.rotations[:, 1])
    low, high = VIEW_RANGES[view]
    rows = np.flatnonzero((ry >= low) & (ry <= high))
    rng = np.random.default_rng([31, seed])
    return faces.take(np.sort(rng.permutation(rows)[:limit]))


def train(workspace: Workspace, photos: PhotoSet, validation: PhotoSet, threads: int = 2) -> None:
    """Train every scale and view that is missing; one checkpoint each."""
    names = {(s, v): f"experts/{scale:.2f}_{v}" for s, scale in enumerate(SCALES) for v in TRAINED_VIEWS}
    if all(workspace.has(name) for name in names.values()):
        return
    require_torch().set_num_threads(threads)
    faces, unseen = faces_of(photos), faces_of(validation)
    for (s, view), name in names.items():
        if workspace.has(name):
            continue
        start, scale = time.monotonic(), SCALES[s]
        seen = faces_in_view(faces, view, MAX_FACES, seed=10 * s + view)
        visible = seen.visible.mean(axis=0) >= SEEN
        if view == 0:
            visible[:] = True
        kept = stored_landmarks(view, visible)
        patches = collect(seen, scale, REACH[scale], PATCHES, seed=100 + 10 * s + view)
        checks = collect(faces_in_view(unseen, view, 150, seed=1), scale, REACH[scale], PATCHES, seed=7)
        parameters, figures = fit_group(
            Patches(patches.pixels[kept], patches.distance[kept]), Patches(checks.pixels[kept], checks.distance[kept]),
            seed=1000 + 10 * s + view,
        )  # fmt: skip
        arrays = {f"p{k}": value for k, value in enumerate(parameters)}
        workspace.save(name, kept=kept, visible=visible, **arrays)
        workspace.report(
            "experts", **{name.split("/")[1]: {**figures, "faces": len(seen.rows), "landmarks": len(kept)}}
        )
        workspace.log(
            f"experts: scale {scale}, view {VIEWS[view]:.0f}: {len(kept)} landmarks, {len(seen.rows)} faces, held-out "
            f"correlation {figures['correlation']:.3f}, {time.monotonic() - start:.0f} s"
        )


def _patch(arrays: dict[str, Array], row: int) -> CENPatch:
    layers = []
    depth = len(HIDDEN) + 1
    for k in range(depth):
        weights, bias = arrays[f"p{2 * k}"][row], arrays[f"p{2 * k + 1}"][row]
        layers.append(
            CENLayer(
                SIGMOID if k == depth - 1 else RELU,
                np.ascontiguousarray(bias, np.float32),
                np.ascontiguousarray(weights.T, np.float32),
            )
        )
    return CENPatch(11, 11, tuple(layers), float(arrays[f"p{2 * depth}"][row]))


def load_experts(workspace: Workspace) -> tuple[CENExperts, ...]:
    """The trained experts, one for each scale. An expert's confidence is its held-out correlation."""
    nothing = CENPatch(11, 11, (), 0.0)
    out = []
    for scale in SCALES:
        patches: list[tuple[CENPatch, ...]] = []
        visibility = np.zeros((len(VIEWS), 68), np.int32)
        for view in range(len(VIEWS)):
            records = [nothing] * 68
            trained = view if view in TRAINED_VIEWS else MIRROR_VIEWS[view]
            arrays = workspace.load(f"experts/{scale:.2f}_{trained}")
            shown = arrays["visible"] if view == trained else arrays["visible"][MIRROR_68]
            visibility[view] = shown
            if view == trained:
                for row, landmark in enumerate(arrays["kept"]):
                    records[landmark] = _patch(arrays, row)
            patches.append(tuple(records))
        centres = np.stack([np.zeros(7), np.array(VIEWS), np.zeros(7)], axis=1)
        out.append(
            CENExperts(
                scale,
                centres,
                visibility,
                MIRROR_68.astype(np.int32)[:, None],
                np.array(MIRROR_VIEWS, np.int32)[:, None],
                tuple(patches),
            )
        )
    return tuple(out)
