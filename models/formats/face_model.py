"""A landmark model from its lists (spec 10.2): the main list names a module list (PDM, patch experts, ...), parts with
main lists of their own, and the validator. This module assembles the parts and checks that they fit each other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auparity.errors import ModelFormatError
from auparity.models.formats.ccnf import read_ccnf
from auparity.models.formats.cen import read_cen
from auparity.models.formats.early_termination import read_early_termination
from auparity.models.formats.files import StrPath
from auparity.models.formats.lists import EntryList, part_entry, read_list
from auparity.models.formats.pdm import read_pdm
from auparity.models.formats.triangulation import read_triangulations
from auparity.models.formats.validator import read_validator
from auparity.models.types import CENExperts, FaceModel, LandmarkModel, PartModel, PatchExperts


def module_list_of(main_path: StrPath, named_by: StrPath | None = None) -> tuple[EntryList, EntryList]:
    """The main list at `main_path`, and the module list that it names."""
    main = read_list(main_path, named_by)
    return main, read_list(main.path(main.one("LandmarkDetector")), main_path)


def expert_paths(modules: EntryList) -> tuple[str, list[Path]]:
    """Kind ("PatchesCEN" or "PatchesCCNF") and files of the experts: CEN overrides CCNF, CCNF overrides SVR."""
    for key in ("PatchesCEN", "PatchesCCNF"):
        entries = modules.all(key)
        if entries:
            return key, [modules.path(entry) for entry in entries]
    if modules.all("PatchesIntensity"):
        advice = "Use a model with CCNF or CEN experts, such as main_clnf_general.txt or main_ceclm_general.txt."
        found = "only SVR experts (PatchesIntensity), which are not supported"
        raise ModelFormatError(modules.label, None, "PatchesCEN or PatchesCCNF", found, advice)
    modules.fail("a line 'PatchesCEN' or 'PatchesCCNF'", f"lines {sorted({e.key for e in modules.entries})[:10]}")


def read_landmark_model(modules: EntryList) -> LandmarkModel:
    """The PDM, experts and extras that a module list names."""
    here = modules.label
    pdm = read_pdm(modules.path(modules.one("PDM")), here)
    kind, paths = expert_paths(modules)
    experts: list[PatchExperts] = []
    for path in paths:
        experts.append(read_cen(path, here) if kind == "PatchesCEN" else read_ccnf(path, here))
        check_experts(experts[-1], pdm.n_points, path)
    scales = [e.scale for e in experts]
    if scales != sorted(set(scales)):
        modules.fail(f"the lines {kind!r} in order of ascending scales", f"scales {scales}")
    termination_entry = modules.optional("EarlyTermination")
    termination = None
    if termination_entry is not None:
        path = modules.path(termination_entry)
        termination = read_early_termination(path, here)
        views = len(experts[0].view_centres)
        if termination.weights.size != views:
            found = f"{3 * termination.weights.size}"
            raise ModelFormatError(path, None, f"3 numbers for each of the {views} views", found)
    triangles = modules.optional("Triangulations")
    triangulations = () if triangles is None else read_triangulations(modules.path(triangles), here)
    return LandmarkModel(Path(here).stem, pdm, tuple(experts), termination, triangulations)


def check_experts(experts: PatchExperts, n_points: int, path: StrPath) -> None:
    """Raise ModelFormatError if a landmark that is visible in a view has no expert there (CEN: and no mirrored one)."""
    if experts.visibility.shape[1] != n_points:
        found = f"{experts.visibility.shape[1]}"
        raise ModelFormatError(path, None, f"experts for the {n_points} points of the PDM", found)
    if isinstance(experts, CENExperts):
        present = np.array([[bool(patch.layers) for patch in view] for view in experts.patches])
        present |= present[experts.mirror_views.ravel()][:, experts.mirror_landmarks.ravel()]
    else:
        present = np.array([[patch.n_neurons > 0 for patch in view] for view in experts.patches])
    missing = np.argwhere((experts.visibility != 0) & ~present)
    if missing.size:
        view, landmark = missing[0].tolist()
        expected = "an expert for every visible landmark"
        raise ModelFormatError(path, None, expected, f"none for landmark {landmark} in view {view}")


def read_face_model(main_path: StrPath, named_by: StrPath | None = None) -> FaceModel:
    """Everything that a main list names (spec 10.2).

    Parameters
    ----------
    main_path : e.g. ``model/main_clnf_general.txt``.
    named_by : the list that names it, for errors.

    Raises
    ------
    ModelFormatError : a file is missing, damaged, or does not fit the others.
    """
    main, modules = module_list_of(main_path, named_by)
    model = read_landmark_model(modules)
    parts = []
    for entry in main.all("LandmarkDetector_part"):
        named = part_entry(main, entry)
        part = read_landmark_model(module_list_of(named.path, main.label)[1])
        sizes = (model.pdm.n_points, part.pdm.n_points)
        if (named.mapping >= np.array(sizes)).any():
            main.fail(f"pairs of indices below {sizes} for part {named.name!r}", "a larger index", entry)
        parts.append(PartModel(named.name, part, named.mapping))
    validator_path = main.path(main.one("DetectionValidator"))
    validator = read_validator(validator_path, main.label)
    for view in validator.views:
        if view.warp.destination.size != 2 * model.pdm.n_points:
            found = f"{view.warp.destination.size // 2}"
            raise ModelFormatError(validator_path, None, f"{model.pdm.n_points} destination landmarks", found)
    return FaceModel(Path(main_path).stem, model, tuple(parts), validator)
