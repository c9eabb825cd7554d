"""``auparity dev train-networks -o FOLDER``: RetinaFace, PFLD and a small STAR, trained on rendered faces.

They learn from the same pictures as the embedded bundle (`training/run.py`), so the folder of such a training may be
named, or one that this command has begun. Finished parts are not repeated, and a network goes on from its last
checkpoint; --seconds ends a sitting. FOLDER/progress.log has the progress, FOLDER/report.json the figures on faces that
training never saw, FOLDER/retinaface.safetensors, pfld.safetensors and star.safetensors the weights, as float16.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.models import embedded
from auparity.models.formats.safetensors_file import write_safetensors
from auparity.models.networks.published import MARGIN, read_network
from auparity.models.synthetic.networks.crops import OWN_STAR_MARGIN
from auparity.models.synthetic.networks.face_training import calibrated, judge, train_retinaface
from auparity.models.synthetic.networks.point_training import point_errors, train_pfld, train_star
from auparity.models.synthetic.training.run import (
    BACKGROUND_SEEDS,
    META,
    PHOTOGRAPHS,
    TRAINING,
    VALIDATION,
    VALIDATION_PHOTOGRAPHS,
    drawn_heads,
    with_drawn_heads,
)
from auparity.models.synthetic.training.samples import Framing, PhotoSet, background_set, photo_set
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace

Array = npt.NDArray[Any]

#: Pictures without a face, more than the other detector needs: RetinaFace looks everywhere at once.
BACKGROUNDS = 5000
#: Pictures of the whole range of sizes and turns that RetinaFace is for, shown to it as they were rendered: a small
#: face that a camera saw is not a large one made smaller.
FRAMED, FRAMED_SEEDS, FRAMING = 6000, 300_000, Framing((14.0, 230.0), yaw=65.0, roll=50.0)
#: Pictures with and without a face by which its scores are calibrated, as large as those of cameras: the larger a
#: picture, the more places there are where nothing should be found.
WIDE, WIDE_SEEDS, WIDE_FRAMING = 500, 400_000, Framing((20.0, 300.0), yaw=60.0, roll=45.0, canvas=(640, 480))
NETWORKS = ("pfld", "retinaface", "star")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev train-networks", description=__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("results/training"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument(
        "--faces", type=Path, metavar="MODEL", help="train on people of this morphable model (docs/embedded.md)"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch, default: 2")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="default: all")
    parser.add_argument(
        "--embedded", action="store_true", help="begin with the embedded weights instead of random ones"
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each network in this sitting")
    chosen = parser.parse_args(arguments)
    try:
        require_torch().set_num_threads(chosen.threads)
        _train(Workspace(chosen.output, chosen.faces), chosen.networks, chosen.seconds, embedded_first=chosen.embedded)
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _train(workspace: Workspace, networks: list[str], seconds: float, *, embedded_first: bool) -> None:
    photos = photo_set(workspace, "photos_train", PHOTOGRAPHS, TRAINING)
    unseen = photo_set(workspace, "photos_validation", VALIDATION_PHOTOGRAPHS, VALIDATION)
    backgrounds = background_set(workspace, "backgrounds_networks", BACKGROUNDS, TRAINING + BACKGROUND_SEEDS + 100_000)
    for name in networks:
        remarks = {"trained_on": "rendered faces", "licence": META.licence}
        path = embedded.network_path(name)
        first = read_network(path).network.tensors.by_name() if embedded_first else None
        if name == "retinaface":
            framed = photo_set(workspace, "photos_framed", FRAMED, TRAINING + FRAMED_SEEDS, framing=FRAMING)
            trainer = train_retinaface(workspace, photos, framed, backgrounds, seconds, first)
            weights = rounded(trainer.result())
            judged = judge(weights, *wide(workspace))
            threshold = judged.threshold()
            weights = calibrated(weights, threshold)
            figures = {**judged.figures(threshold), "calibrated_from": threshold}
        else:
            shown = with_drawn_heads(workspace, photos, drawn_heads(workspace))
            trainer = (train_pfld if name == "pfld" else train_star)(workspace, shown, seconds, first)
            weights = rounded(trainer.result())
            errors = point_errors(weights, unseen)
            if name == "star":
                remarks[MARGIN] = str(OWN_STAR_MARGIN)
            figures = {"nme": float(errors.mean()), "nme_median": float(np.median(errors))}
        write_network(workspace.folder / f"{name}.safetensors", weights, remarks)
        workspace.report(name, steps=trainer.step, of_steps=trainer.steps, **figures)
        workspace.log(f"{name}: step {trainer.step} of {trainer.steps}, {figures}")


def wide(workspace: Workspace) -> tuple[list[PhotoSet], Array]:
    """Large pictures with faces of all sizes, and without one, that no training sees."""
    first = VALIDATION + WIDE_SEEDS
    faces = photo_set(workspace, "wide_validation", WIDE, first, framing=WIDE_FRAMING)
    nothing = background_set(workspace, "wide_backgrounds", WIDE, first + BACKGROUND_SEEDS, WIDE_FRAMING.canvas)
    return [faces], nothing


def rounded(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of convolutions and layers as float16 keeps them, the rest as it is; float32."""
    return {
        name: values.astype(np.float16).astype(np.float32) if values.ndim > 1 else values
        for name, values in weights.items()
    }


def write_network(path: Path, weights: Mapping[str, Array], remarks: Mapping[str, str]) -> None:
    """Write rounded weights, with what is said of them; WriteError."""
    stored = {name: values.astype(np.float16) if values.ndim > 1 else values for name, values in weights.items()}
    write_safetensors(path, stored, remarks)
