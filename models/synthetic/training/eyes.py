"""CCNF patch experts of the two eye models (Baltrusaitis et al. 2013, without edge features).

An expert is a mixture of logistic neurons over a normalised 11 x 11 patch, trained on patches at known distances from
true landmarks; with no edge features, spec 40.8 divides the sum of the neurons by the sum of their weights, so the
fit gets the mixture itself. The left eye learns from left eyes and mirrored right eyes; the right model is its mirror.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.expert_samples import Faces, Patches, collect, left_eyes_of
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_28, load_pdm
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import CCNFExperts, CCNFPatch, LandmarkModel, PartModel

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

SCALES = (1.0, 1.5)  #: px/mm
NEURONS = 7
WINDOWS = (3, 5, 7, 9, 11, 15)  #: as in OpenFace's files of eyes, without edge components
REACH = 4.5  #: px: half of the window that the fit uses, plus its error
SIGMA = 1.0  #: px, of the target
PATCHES, BATCH, STEPS, RATE = 32, 1024, 800, 8e-3
MAX_FACES = 4000
MAX_TURN = np.radians(50)  #: faces turned further are left out, because there is one view for all
LEAST_ALPHA = 1e-3  #: above the weight below which the fit leaves neurons out (spec 40.8)
#: Landmarks of the face that are landmarks of an eye: (in the face, in the eye).
MAPPINGS = {
    "left_eye_28": [(36, 8), (37, 10), (38, 12), (39, 14), (40, 16), (41, 18)],
    "right_eye_28": [(42, 8), (43, 10), (44, 12), (45, 14), (46, 16), (47, 18)],
}


def _mixture(parameters: list[torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """(n, B) responses, 0 to 1, of raw patches (n, B, 121)."""
    import torch

    values = pixels.to(torch.float32)
    values = values - values.mean(dim=2, keepdim=True)
    length = values.norm(dim=2, keepdim=True)
    values = values / torch.where(length == 0, torch.ones_like(length), length)
    weights, bias, alpha = parameters
    neurons = torch.sigmoid(torch.baddbmm(bias, values, weights))
    return (neurons * torch.softmax(alpha, dim=2)).sum(dim=2)


def fit_group(patches: Patches, held_out: Patches, seed: int, steps: int = STEPS) -> tuple[list[Array], dict[str, Any]]:
    """Weights (n, 121, K), biases (n, 1, K), mixture (n, 1, K) of all landmarks, and figures on unseen faces."""
    import torch

    count, total = patches.distance.shape
    generator = torch.Generator().manual_seed(seed)
    parameters = [
        torch.randn(count, 121, NEURONS, generator=generator) * 1.5,
        -1.0 + torch.randn(count, 1, NEURONS, generator=generator) * 0.5,
        torch.randn(count, 1, NEURONS, generator=generator) * 0.1,
    ]
    parameters = [p.requires_grad_() for p in parameters]
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE * 5, total_steps=steps, pct_start=0.1)
    pixels, distance = torch.from_numpy(patches.pixels), torch.from_numpy(patches.distance)
    curve = []
    for step in range(steps):
        pick = torch.randint(0, total, (min(BATCH, total),), generator=generator)
        target = torch.exp(-0.5 * (distance[:, pick] / SIGMA) ** 2)
        response = _mixture(parameters, pixels[:, pick]).clamp(1e-6, 1 - 1e-6)
        loss = torch.nn.functional.binary_cross_entropy(response, target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 99 or step == steps - 1:
            curve.append({"step": step + 1, "train": float(loss.detach())})
    with torch.no_grad():
        response = _mixture(parameters, torch.from_numpy(held_out.pixels))
        target = torch.exp(-0.5 * (torch.from_numpy(held_out.distance) / SIGMA) ** 2)
    a, b = response - response.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    correlation = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-9)).numpy()
    mixture = torch.softmax(parameters[2].detach(), dim=2).numpy()
    weights, bias = parameters[0].detach().numpy(), parameters[1].detach().numpy()
    return [weights, bias, mixture, correlation], {"curve": curve, "correlation": float(correlation.mean())}


def _turned_to_us(eyes: Faces, limit: int, seed: int) -> Faces:
    rows = np.flatnonzero(np.abs(eyes.rotations[:, 1]) < MAX_TURN)
    return eyes.take(np.sort(np.random.default_rng([37, seed]).permutation(rows)[:limit]))


def train(workspace: Workspace, photos: PhotoSet, validation: PhotoSet, threads: int = 2) -> None:
    """Train both scales; one checkpoint each."""
    names = [f"eyes/{scale:.1f}" for scale in SCALES]
    if all(workspace.has(name) for name in names):
        return
    require_torch().set_num_threads(threads)
    eyes, unseen = left_eyes_of(photos), left_eyes_of(validation)
    for number, (name, scale) in enumerate(zip(names, SCALES, strict=True)):
        if workspace.has(name):
            continue
        start = time.monotonic()
        patches = collect(_turned_to_us(eyes, MAX_FACES, number), scale, REACH, PATCHES, seed=300 + number)
        checks = collect(_turned_to_us(unseen, 300, 5), scale, REACH, PATCHES, seed=310)
        (weights, bias, mixture, correlation), figures = fit_group(patches, checks, seed=2000 + number)
        workspace.save(name, weights=weights, bias=bias, mixture=mixture, correlation=correlation)
        workspace.report("eyes", **{f"{scale:.1f}": figures})
        workspace.log(
            f"eyes: scale {scale}: held-out correlation {figures['correlation']:.3f}, {time.monotonic() - start:.0f} s"
        )


def _experts(workspace: Workspace, scale: float, mirrored: bool) -> CCNFExperts:
    arrays = workspace.load(f"eyes/{scale:.1f}")
    patches = []
    for landmark in range(28):
        row = int(MIRROR_28[landmark]) if mirrored else landmark
        kernels = arrays["weights"][row].T.reshape(NEURONS, 11, 11).transpose(0, 2, 1)  # column-major -> rows are y
        if mirrored:
            kernels = kernels[:, :, ::-1]
        patches.append(
            CCNFPatch(
                11,
                11,
                np.zeros(NEURONS, np.int32),
                np.ones(NEURONS),
                arrays["bias"][row, 0].astype(np.float64),
                np.maximum(arrays["mixture"][row, 0], LEAST_ALPHA).astype(np.float64),
                np.ascontiguousarray(kernels, np.float32),
                np.zeros(0),
                float(arrays["correlation"][row]),
            )
        )
    components = tuple(np.zeros((0, window * window, window * window), np.float32) for window in WINDOWS)
    return CCNFExperts(scale, np.zeros((1, 3)), np.ones((1, 28), np.int32), WINDOWS, components, (tuple(patches),))


def load_eye_parts(workspace: Workspace) -> tuple[PartModel, PartModel]:
    """The two eye models, as parts of the face's model."""
    parts = []
    for name, mapping in MAPPINGS.items():
        experts = tuple(_experts(workspace, scale, mirrored=name.startswith("right")) for scale in SCALES)
        model = LandmarkModel(f"clnf_{name}", load_pdm(workspace, f"pdm_{name.removesuffix('_28')}"), experts)
        parts.append(PartModel(name, model, np.array(mapping, np.int32)))
    return parts[0], parts[1]
