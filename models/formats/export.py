"""A bundle's parts as the files of OpenFace's model folder (spec 10.2): relative paths and bytes, one file at a time,
so that expert files of hundreds of megabytes are never in memory together. The C++ program reads these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from auparity.errors import ContractError
from auparity.models.formats.au import write_au
from auparity.models.formats.ccnf import write_ccnf
from auparity.models.formats.cen import write_cen
from auparity.models.formats.early_termination import write_early_termination
from auparity.models.formats.lists import Entry, part_value, write_list
from auparity.models.formats.mtcnn import write_mtcnn_net
from auparity.models.formats.pdm import write_pdm
from auparity.models.formats.triangulation import write_triangulation, write_triangulations
from auparity.models.formats.validator import write_validator
from auparity.models.types import MTCNN, AUPredictors, CENExperts, FaceModel, LandmarkModel

File = tuple[PurePosixPath, bytes]
DETECTOR = "mtcnn_detector/MTCNN_detector.txt"  # below the folder of the landmark models
STAGE = "Bundle.to_openface"
_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*")


def bundle_files(
    detector: MTCNN, face: FaceModel, aus: dict[str, AUPredictors], places: tuple[PurePosixPath, PurePosixPath]
) -> Iterator[File]:
    """Every file of a bundle.

    Parameters
    ----------
    aus : AU models by the name of their main list.
    places : folders of the landmark models and of the AU models.
    """
    model, au_folder = places
    yield from _below(model, face_files(face))
    yield from _below(model, detector_files(detector))
    for main_name, predictors in aus.items():
        yield from _below(au_folder, au_files(predictors, main_name))


def _below(folder: PurePosixPath, files: Iterator[File]) -> Iterator[File]:
    """The files inside a folder; ContractError when two have the same path."""
    seen = set()
    for path, data in files:
        if path in seen:
            raise ContractError(STAGE, "names", "names that differ for different files", f"{path} twice")
        seen.add(path)
        yield folder / path, data


def file_name(name: str, what: str) -> str:
    """`name` if it can be part of a list and of a path; else ContractError."""
    if not _NAME.fullmatch(name):
        raise ContractError(STAGE, what, "a name of letters, digits and ._+-", repr(name))
    return name


def face_files(face: FaceModel) -> Iterator[File]:
    """Main list, module lists, PDMs, experts, parts and validator, below ``model/``."""
    name = file_name(face.name, "face.name")
    main = file_name(face.main.name, "face.main.name")
    validator = f"detection_validation/validator_{name}.dat"
    lines = [Entry("LandmarkDetector", f"{main}.txt")]
    for part in face.parts:
        where = f"model_{file_name(part.name, 'part name')}"
        lines.append(Entry("LandmarkDetector_part", part_value(f"{where}/main_part.txt", part.name, part.mapping)))
        module = file_name(part.model.name, "part.model.name")
        yield PurePosixPath(where, "main_part.txt"), write_list([Entry("LandmarkDetector", f"{module}.txt")])
        for path, data in landmark_model_files(part.model):
            yield PurePosixPath(where) / path, data
    lines.append(Entry("DetectionValidator", validator))
    yield from landmark_model_files(face.main)
    yield PurePosixPath(validator), write_validator(face.validator)
    yield PurePosixPath(f"{name}.txt"), write_list(lines)


def landmark_model_files(model: LandmarkModel) -> Iterator[File]:
    """The module list and what it names, below its own folder."""
    name = model.name
    lines = [Entry("PDM", f"pdms/{name}_pdm.txt")]
    yield PurePosixPath(lines[0].value), write_pdm(model.pdm)
    if model.triangulations:
        lines.append(Entry("Triangulations", f"{name}_triangulations.txt"))
        yield PurePosixPath(lines[-1].value), write_triangulations(model.triangulations)
    for experts in model.experts:
        if isinstance(experts, CENExperts):
            lines.append(Entry("PatchesCEN", f"patch_experts/{name}_cen_{float(experts.scale)}.dat"))
            yield PurePosixPath(lines[-1].value), write_cen(experts)
        else:
            lines.append(Entry("PatchesCCNF", f"patch_experts/{name}_ccnf_{float(experts.scale)}.dat"))
            yield PurePosixPath(lines[-1].value), write_ccnf(experts)
    if model.early_termination is not None:
        lines.append(Entry("EarlyTermination", f"{name}_early_termination.txt"))
        yield PurePosixPath(lines[-1].value), write_early_termination(model.early_termination)
    yield PurePosixPath(f"{name}.txt"), write_list(lines)


def detector_files(detector: MTCNN) -> Iterator[File]:
    """The three nets, and the list that names them, below ``model/``."""
    list_path = PurePosixPath(DETECTOR)
    nets = {"PNet": detector.pnet, "RNet": detector.rnet, "ONet": detector.onet}
    for name, net in nets.items():
        yield list_path.with_name(f"{name}.dat"), write_mtcnn_net(net)
    yield list_path, write_list(Entry(name, f"{name}.dat") for name in nets) + b"\n"


def au_files(predictors: AUPredictors, main_name: str) -> Iterator[File]:
    """AU models, their list, PDM and mask triangulation, and the main list, below ``AU_predictors/``."""
    stem = main_name.removesuffix(".txt")
    lines = []
    for model in predictors.models:
        aus = [file_name(au, "AU name") for au in model.au_names]
        kind = f"{'dynamic' if model.dynamic else 'static'}_{model.task}"
        lines.append(Entry(f"{stem}/{'_'.join(aus)}_{kind}.dat", ",".join(aus)))
        yield PurePosixPath(lines[-1].key), write_au(model)
    yield PurePosixPath(f"{stem}_models.txt"), write_list(lines)
    yield PurePosixPath(f"{stem}_pdm.txt"), write_pdm(predictors.pdm)
    yield PurePosixPath(f"{stem}_triangulation.txt"), write_triangulation(predictors.triangulation)
    entries = [("AUPredictor", "models"), ("PDM", "pdm"), ("Triangulation", "triangulation")]
    yield PurePosixPath(main_name), write_list(Entry(key, f"{stem}_{what}.txt") for key, what in entries)
