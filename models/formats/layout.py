"""Where the files of a bundle are in OpenFace's model folder (spec 10.2), which of several landmark models is used, and
the messages about missing files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypedDict

from auparity.errors import FileFormatError, ModelFormatError
from auparity.json_files import load_json
from auparity.models.formats.au import read_au_predictors
from auparity.models.formats.export import DETECTOR, bundle_files
from auparity.models.formats.face_model import expert_paths, module_list_of, read_face_model
from auparity.models.formats.files import StrPath, save
from auparity.models.formats.mtcnn import read_mtcnn
from auparity.models.types import MTCNN, AUPredictors, BundleMeta, FaceModel

CECLM = "main_ceclm_general"
CLNF = "main_clnf_general"
VIDEO_AUS = "main_dynamic_svms.txt"
IMAGE_AUS = "main_static_svms.txt"
#: Folders of landmark models and AU models below the named folder, as bundles are written.
WRITTEN = (Path("model"), Path("AU_predictors"))
#: The same as bundles are read: as in OpenFace's repository, which is also the layout of the store, or as they are
#: written. The repository comes first, because a store may hold both and renews only that one. The last is an earlier
#: spelling of ours.
PLACES = (
    (Path("lib/local/LandmarkDetector/model"), Path("lib/local/FaceAnalyser/AU_predictors")),
    WRITTEN,
    (Path("lib/local/LandmarkDetector/model"), Path("lib/local/FaceAnalysis/AU_predictors")),
)
#: File that we write beside the two folders, so that a bundle that is not OpenFace's keeps its name and licence.
META_FILE = "bundle.json"


class StoredMeta(TypedDict):
    """The content of `META_FILE`."""

    name: str
    version: str
    licence: str
    landmark_model: str


META_KEYS = tuple(StoredMeta.__annotations__)
OPENFACE = BundleMeta("openface", "2.2.0", "OpenFace 2.2: academic or non-profit organisation, non-commercial research")
ADVICE = (
    "Get the models with `auparity models fetch openface --accept-license`, or say where they are: --models DIR "
    "(of OpenFace's programs by name: -mloc FILE)."
)


@dataclass(frozen=True)
class Layout:
    """The folders of one set of models."""

    root: Path
    model: Path
    aus: Path


@dataclass(frozen=True)
class Choice:
    """The chosen main list, and why it was chosen."""

    main: Path
    reason: str


def find(directory: StrPath) -> Layout:
    """The folders below `directory`; ModelFormatError with the searched places, and how to get the models."""
    root = Path(directory)
    places = [Layout(root, root / model, root / aus) for model, aus in PLACES]
    there = [place for place in places if place.model.is_dir() and place.aus.is_dir()]
    if there:
        # Other packages that share a store may have fetched only the part that they need.
        return next((place for place in there if _has_lists(place)), there[0])
    looked = " or ".join(f"{model} and {aus}" for model, aus in PLACES[:2])
    found = "no such pair of folders" if root.is_dir() else "no such folder"
    raise ModelFormatError(root, None, f"a folder that holds {looked}", found, ADVICE)


def has_lists(directory: StrPath) -> bool:
    """Whether a folder has the main lists of a bundle; files that they name may still be missing."""
    root = Path(directory)
    return any(_has_lists(Layout(root, root / model, root / aus)) for model, aus in PLACES)


def _has_lists(layout: Layout) -> bool:
    lists = (layout.aus / VIDEO_AUS, layout.aus / IMAGE_AUS, layout.model / DETECTOR)
    return all(path.is_file() for path in lists) and any(layout.model.glob("main_*.txt"))


def choose_landmark_model(layout: Layout, landmark_model: str) -> Choice:
    """The main list for "auto", "ceclm", "clnf" or another name.

    "auto" uses the list that `META_FILE` names; without that file CE-CLM if all of its files exist, else CLNF.
    """
    if landmark_model == "auto":
        stored = _stored_meta(layout)
        if stored is not None:
            return Choice(_main_list(layout, stored["landmark_model"]), f"auto: {META_FILE} names it")
        missing = _missing_of_ceclm(layout)
        if not missing:
            return Choice(_main_list(layout, CECLM), "auto: CE-CLM, the most accurate, is complete")
        return Choice(_main_list(layout, CLNF), f"auto: CLNF, because CE-CLM lacks {', '.join(missing)}")
    name = {"ceclm": CECLM, "clnf": CLNF}.get(landmark_model, landmark_model)
    return Choice(_main_list(layout, name), f"requested: {landmark_model}")


def _missing_of_ceclm(layout: Layout) -> list[str]:
    main = layout.model / f"{CECLM}.txt"
    if not main.is_file():
        return [main.name]
    _, experts = expert_paths(module_list_of(main)[1])
    return [path.name for path in experts if not os.path.isfile(path)]


def _main_list(layout: Layout, name: str) -> Path:
    path = layout.model / f"{name.removesuffix('.txt')}.txt"
    if not os.path.isfile(path):
        there = ", ".join(sorted(p.stem for p in layout.model.glob("main_*.txt"))) or "no main list at all"
        raise ModelFormatError(path, None, "a main list of landmark models", f"no such file, but {there}", ADVICE)
    return path


def read_face(layout: Layout, choice: Choice) -> FaceModel:
    return read_face_model(choice.main)


def read_detector(layout: Layout) -> MTCNN:
    return read_mtcnn(layout.model / DETECTOR)


def read_aus(layout: Layout, name: str) -> AUPredictors:
    return read_au_predictors(layout.aus / name)


def read_meta(layout: Layout, choice: Choice) -> BundleMeta:
    """Name, version and licence from `META_FILE` if it exists, else those of OpenFace; `source` says from where.

    `source` holds "format", "directory", "landmark_model" (stem of the main list) and "reason", all text.
    """
    source = {
        "format": "openface",
        "directory": str(layout.root.resolve()),
        "landmark_model": choice.main.stem,
        "reason": choice.reason,
    }
    stored = _stored_meta(layout)
    if stored is None:
        return BundleMeta(OPENFACE.name, OPENFACE.version, OPENFACE.licence, source)
    return BundleMeta(stored["name"], stored["version"], stored["licence"], source)


def _stored_meta(layout: Layout) -> StoredMeta | None:
    """The content of `META_FILE`, all text; None if it does not exist."""
    path = layout.root / META_FILE
    if not path.is_file():
        return None
    try:
        stored = load_json(path, "the description of a bundle", StoredMeta)
    except FileFormatError as error:
        expected = f"a JSON object with text for {', '.join(META_KEYS)}: {error.expected}"
        raise ModelFormatError(path, None, expected, error.found) from error
    return stored


def write(
    directory: StrPath, meta: BundleMeta, detector: MTCNN, face: FaceModel, video: AUPredictors, image: AUPredictors
) -> None:
    """Write a bundle's files below `directory`, each completely or not at all, `META_FILE` last.

    Raises
    ------
    ContractError : a name cannot be a file name, two parts have one name, or a file cannot store its array.
    """
    root = Path(directory)
    places = (PurePosixPath(WRITTEN[0]), PurePosixPath(WRITTEN[1]))
    for path, data in bundle_files(detector, face, {VIDEO_AUS: video, IMAGE_AUS: image}, places):
        save(root / path, data)
    values = (meta.name, meta.version, meta.licence, face.name)
    save(root / META_FILE, (json.dumps(dict(zip(META_KEYS, values, strict=True)), indent=2) + "\n").encode("utf-8"))
