"""How the networks of points are trained: PFLD on 68 points (spec 95.2), and a small STAR on 98 (spec 95.4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models.networks import shapes
from auparity.models.synthetic.networks import losses, star_maps
from auparity.models.synthetic.networks.boxes import box_of
from auparity.models.synthetic.networks.crops import Crop, random_crop, square_crop, star_crop
from auparity.models.synthetic.networks.trainer import Trainer, first_weights
from auparity.models.synthetic.points_98 import MIRROR_98
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.networks import pfld
from auparity.reference.networks.star import StarGraph

if TYPE_CHECKING:
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]

#: Steps, pictures of a step, and largest rate.
PFLD_TRAINING = (9000, 32, 1.5e-3)
STAR_TRAINING = (4000, 16, 1.5e-3)
#: The small STAR: hourglasses and their width.
STAR_STACKS, STAR_WIDTH = 2, 64
FIXED_SEED = 9
#: Outer corners of the eyes, whose distance errors are in parts of: of 68 points, and of 98.
EYE_CORNERS = {68: (36, 45), 98: (60, 72)}


def maps_of(crops: Array) -> torch.Tensor:
    """(N, 3, H, W) red, green, blue from 0 to 1 of crops (N, H, W, 3) uint8 BGR: what PFLD sees."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float() / 255


def signed_maps_of(crops: Array) -> torch.Tensor:
    """(N, 3, H, W) blue, green, red from -1 to 1 of crops (N, H, W, 3) uint8 BGR: what STAR sees."""
    import torch

    maps = torch.from_numpy(crops).permute(0, 3, 1, 2)  # channels stay last in memory, which is fastest
    return maps.float() / 255 * 2 - 1


def _random_crops(photos: PhotoSet, size: int, star: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    """So many crops (size, side, side, 3), and their points (size, n, 2)."""
    points, mirror = (photos.points_98, MIRROR_98) if star else (photos.landmarks, MIRROR_68)
    cut = star_crop if star else square_crop

    def crop_of(k: int) -> Crop:
        image, landmarks, own = (np.asarray(values[k]) for values in (photos.images, photos.landmarks, points))
        return random_crop(cut, image, landmarks, own, mirror, rng)

    crops = [crop_of(k) for k in rng.integers(0, len(photos), size)]
    return np.stack([crop.image for crop in crops]), np.stack([crop.points for crop in crops])


def train_pfld(
    workspace: Workspace, photos: PhotoSet, seconds: float = math.inf, first: Weights | None = None
) -> Trainer:
    """Train PFLD, or go on training it, for so long; from weights that it has already, or from random ones."""
    steps, size, rate = PFLD_TRAINING
    trainer = Trainer(workspace, "pfld", first or first_weights(shapes.pfld(), FIXED_SEED), steps, rate)

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        return _random_crops(photos, size, False, rng)

    def loss_of(net: TorchLayers, given: tuple[Array, Array]) -> torch.Tensor:
        import torch

        with trainer.precision():
            found = pfld.graph(net, maps_of(given[0])).float()
        return losses.wing(found.view(len(found), -1, 2), torch.from_numpy(given[1]), pfld.SIDE)

    trainer.run(batch, loss_of, seconds)
    return trainer


def first_star() -> dict[str, Array]:
    """The small STAR before its training: which point lies on which edge is not learned."""
    given = shapes.star(98, len(star_maps.EDGES_98), STAR_STACKS, STAR_WIDTH)
    return first_weights(given, FIXED_SEED) | star_maps.edges_to_points()


def train_star(
    workspace: Workspace, photos: PhotoSet, seconds: float = math.inf, first: Weights | None = None
) -> Trainer:
    """Train the small STAR, as `train_pfld`."""
    steps, size, rate = STAR_TRAINING
    trainer = Trainer(workspace, "star", first or first_star(), steps, rate, fixed=tuple(star_maps.edges_to_points()))

    def batch(rng: np.random.Generator) -> tuple[Array, ...]:
        images, points = _random_crops(photos, size, True, rng)
        return images, points, *star_maps.target_maps(points)

    def loss_of(net: TorchLayers, given: tuple[Array, ...]) -> torch.Tensor:
        import torch

        points, hills, walls = (torch.from_numpy(values) for values in given[1:])
        hills, walls = (maps.contiguous(memory_format=torch.channels_last) for maps in (hills, walls))
        with trainer.precision():
            said = StarGraph(net, STAR_STACKS)(signed_maps_of(given[0]))
        loss = torch.zeros(())
        for stack, stack_maps in enumerate(said):
            _, pointmaps, edgemaps, fused = (maps.float() for maps in stack_maps)
            of_maps = star_maps.map_loss(pointmaps, hills) + star_maps.map_loss(edgemaps, walls)
            of_stack = star_maps.star_loss(fused, points) + star_maps.MAP_WEIGHT * of_maps
            loss = loss + of_stack * 2.0 ** (stack + 1 - STAR_STACKS)  # later hourglasses count more
        return loss

    trainer.run(batch, loss_of, seconds)
    return trainer


def point_errors(weights: dict[str, Array], photos: PhotoSet, limit: int = 600) -> Array:
    """(N,) mean error of the points of each picture in parts of the distance of the outer eye corners.

    From the box of the true landmarks; PFLD or STAR, whichever the weights are.
    """
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers
    from auparity.reference.networks.star import centres_of_mass

    net = TorchLayers.of_arrays(weights, torch.device("cpu"))
    star = "e2h_transform.weight" in weights
    points, cut = (photos.points_98, star_crop) if star else (photos.landmarks, square_crop)
    errors = []
    for k in range(min(limit, len(photos))):
        box = box_of(np.asarray(photos.landmarks[k], np.float64)[None])[0]
        crop = cut(np.asarray(photos.images[k]), np.asarray(points[k], np.float64), box)
        with torch.inference_mode():
            if star:
                fused = StarGraph(net, STAR_STACKS)(signed_maps_of(crop.image[None]))[-1][-1]
                found = centres_of_mass(fused.numpy())[0]
            else:
                found = pfld.graph(net, maps_of(crop.image[None])).numpy().reshape(-1, 2)
        off = np.linalg.norm(found - crop.points, axis=1).mean()
        first, last = EYE_CORNERS[len(crop.points)]
        errors.append(off / np.linalg.norm(crop.points[first] - crop.points[last]))
    return np.array(errors)
