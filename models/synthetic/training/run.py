"""The training of the embedded bundle, from seeds to file: ``auparity dev train -o FOLDER``.

Renders the faces, trains every part on them, assembles the parts and writes ``bundle.zip``. Finished steps are not
repeated, so the same command resumes an interrupted training. FOLDER/progress.log has its progress, FOLDER/report.json
the figures on faces that training never saw.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from auparity.errors import AuparityError
from auparity.models import archive
from auparity.models.bundle import Bundle
from auparity.models.synthetic.training import aus as train_aus
from auparity.models.synthetic.training import detector as train_detector
from auparity.models.synthetic.training import early_termination as train_early_termination
from auparity.models.synthetic.training import experts as train_experts
from auparity.models.synthetic.training import eyes as train_eyes
from auparity.models.synthetic.training import shape as train_shape
from auparity.models.synthetic.training import validator as train_validator
from auparity.models.synthetic.training.samples import PhotoSet, background_set, joined, photo_set
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.warps import mask_triangulation
from auparity.models.types import MTCNN, BundleMeta, FaceModel, LandmarkModel

#: First seeds. Training, validation (cut-offs, early stopping, the report's curves) and tests never share one.
TRAINING, VALIDATION, TESTS = 1_000_000, 2_000_000, 3_000_000
PHOTOGRAPHS, VALIDATION_PHOTOGRAPHS = 7000, 600
BACKGROUNDS, VALIDATION_BACKGROUNDS = 1500, 300
#: Drawn heads beside people of a morphable model: the validator must know both as faces, and so do networks.
DRAWN_PHOTOGRAPHS, DRAWN_FOLDER = 1500, "drawn"
BACKGROUND_SEEDS = 500_000  #: offset of the seeds of backgrounds from the first seed of their set
META = BundleMeta("embedded", "2", "Apache-2.0")
#: OpenFace's name for CE-CLM models, which selects its settings for them (spec 50.1).
FACE_MODEL, LANDMARK_MODEL = "main_ceclm_general", "cen_general"
REPORT = "report.json"


def train(folder: Path, threads: int = 2, faces: Path | None = None) -> Bundle:
    """Run every step that is missing; returns the bundle, which is also in FOLDER/bundle.zip.

    faces: file of the morphable model whose people are shown; None: drawn heads.

    Raises
    ------
    AuparityError : PyTorch is not installed, or a file of an earlier run is damaged.
    """
    require_torch()
    workspace = Workspace(folder, faces)
    start = time.monotonic()
    photos = photo_set(workspace, "photos_train", PHOTOGRAPHS, TRAINING)
    unseen = photo_set(workspace, "photos_validation", VALIDATION_PHOTOGRAPHS, VALIDATION)
    empty = background_set(workspace, "backgrounds_train", BACKGROUNDS, TRAINING + BACKGROUND_SEEDS)
    unseen_empty = background_set(
        workspace, "backgrounds_validation", VALIDATION_BACKGROUNDS, VALIDATION + BACKGROUND_SEEDS
    )
    drawn = drawn_heads(workspace)
    train_shape.train(workspace, photos, unseen)
    pdm = train_shape.load_pdm(workspace, "pdm")
    triangulation = mask_triangulation(pdm)

    def face() -> FaceModel:
        return face_model(workspace)

    def detector() -> MTCNN:
        return archive.rounded(train_detector.load_detector(workspace))

    steps: list[tuple[str, Callable[[], None]]] = [
        ("experts", lambda: train_experts.train(workspace, photos, unseen, threads)),
        ("eyes", lambda: train_eyes.train(workspace, photos, unseen, threads)),
        ("detector", lambda: train_detector.train(workspace, photos, unseen, empty, unseen_empty, threads)),
        ("validator", lambda: train_validator.train(workspace, pdm, photos, unseen, empty, drawn)),
        (
            "early termination",
            lambda: train_early_termination.train(workspace, face_model(workspace, early=False), unseen),
        ),
        ("action units", lambda: train_aus.train(workspace, pdm, triangulation, face(), photos, unseen, detector())),
    ]
    for name, step in steps:
        begun = time.monotonic()
        step()
        workspace.log(f"{name}: {time.monotonic() - begun:.0f} s in this run")
    bundle = assemble(workspace)
    archive.save(bundle, folder / "bundle.zip")
    workspace.report("bundle", content_hash=bundle.content_hash, bytes=(folder / "bundle.zip").stat().st_size)
    workspace.log(f"bundle {bundle.short_hash}: {time.monotonic() - start:.0f} s in this run")
    return bundle


def drawn_heads(workspace: Workspace) -> PhotoSet | None:
    """Pictures of drawn heads beside those of a morphable model's people; None where all people are drawn."""
    if workspace.faces is None:
        return None
    return photo_set(Workspace(workspace.folder / DRAWN_FOLDER), "photos_train", DRAWN_PHOTOGRAPHS, TRAINING)


def with_drawn_heads(workspace: Workspace, people: PhotoSet, drawn: PhotoSet | None) -> PhotoSet:
    """Both in one set."""
    return people if drawn is None else joined(workspace, "photos_and_drawn", (people, drawn))


def face_model(workspace: Workspace, *, early: bool = True) -> FaceModel:
    """The landmark models and the validator that have been trained, weights rounded as they will be stored."""
    main = LandmarkModel(
        LANDMARK_MODEL,
        train_shape.load_pdm(workspace, "pdm"),
        train_experts.load_experts(workspace),
        train_early_termination.load_early_termination(workspace) if early else None,
    )
    parts, validator = train_eyes.load_eye_parts(workspace), train_validator.load_validator(workspace)
    return archive.rounded(FaceModel(FACE_MODEL, main, parts, validator))


def assemble(workspace: Workspace) -> Bundle:
    """The bundle of everything that has been trained."""
    video, image = train_aus.load_aus(workspace)
    bundle = Bundle.of(
        META, locator=train_detector.load_detector(workspace), landmarker=face_model(workspace), video_aus=video,
        image_aus=image,
    )  # fmt: skip
    return archive.round_weights(bundle)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev train", description=__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("results/training"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument(
        "--faces", type=Path, metavar="MODEL", help="train on people of this morphable model (docs/embedded.md)"
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch, default: 2")
    chosen = parser.parse_args(arguments)
    try:
        train(chosen.output, chosen.threads, chosen.faces)
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0
