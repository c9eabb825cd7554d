"""Linear action unit models (spec 10.11): one file for each AU and task; static or dynamic (person-calibrated),
intensity (SVR) or presence (SVM). Means (1 x D) and weights (D x 1) float64, D = 4702 in OpenFace.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auparity.errors import ContractError, ModelFormatError
from auparity.models.formats.binary import WRITER, BinaryReader, BinaryWriter
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.lists import au_names_of, read_list
from auparity.models.formats.pdm import read_pdm
from auparity.models.formats.triangulation import read_triangulation
from auparity.models.types import AUModel, AUPredictors

#: Kind of file -> task, dynamic
KINDS = {0: ("intensity", False), 1: ("intensity", True), 4: ("presence", False), 5: ("presence", True)}


def parse_au(data: bytes, label: StrPath = "<bytes>", au_names: tuple[str, ...] = ()) -> AUModel:
    """Parse the bytes of an AU model file; ModelFormatError if they are not one, or of kind 2, 3, 6 or 7.

    The file does not name its AU: `au_names` come from the list that names the file.
    """
    reader = BinaryReader(data, label)
    kind = reader.i32("kind of AU model")
    if kind not in KINDS:
        reader.fail("AU model of kind 0, 1, 4 or 5 (linear)", f"kind {kind}", 0)
    intensity, dynamic = KINDS[kind][0] == "intensity", KINDS[kind][1]
    cutoff = reader.f64("cut-off") if intensity and dynamic else None
    means = reader.matrix("means", np.float64, (1, None)).reshape(-1)
    start = reader.offset
    weights = reader.matrix("weights", np.float64, (means.size, 1)).reshape(-1)
    if weights.size == 0:
        reader.fail("at least one weight", "none", start)
    bias = reader.f64("bias")
    positive, negative = (None, None) if intensity else (reader.f64("positive class"), reader.f64("negative class"))
    reader.end()
    return AUModel(
        "intensity" if intensity else "presence", dynamic, au_names, means, weights, bias, cutoff, positive, negative
    )


def read_au(path: StrPath, au_names: tuple[str, ...] = (), named_by: StrPath | None = None) -> AUModel:
    return parse_au(read_bytes(path, named_by), path, au_names)


def write_au(model: AUModel) -> bytes:
    """The bytes of an AU model file. ContractError if a number that its kind stores is missing."""
    kind = next(kind for kind, meaning in KINDS.items() if meaning == (model.task, model.dynamic))
    writer = BinaryWriter()
    writer.i32(kind)
    if kind == 1:
        writer.f64(_stored(model.cutoff, "cut-off", model))
    writer.row("means", model.means, np.float64)
    writer.column("weights", model.weights, np.float64)
    writer.f64(model.bias)
    if model.task == "presence":
        writer.f64(_stored(model.pos_class, "positive class", model), _stored(model.neg_class, "negative class", model))
    return writer.getvalue()


def _stored(number: float | None, what: str, model: AUModel) -> float:
    if number is None:
        raise ContractError(WRITER, what, f"a number in the {model.task} model of {','.join(model.au_names)}", "None")
    return number


def read_au_predictors(main_path: StrPath, named_by: StrPath | None = None) -> AUPredictors:
    """Everything that an AU main list (main_dynamic_svms.txt: video; main_static_svms.txt: images) names.

    Raises
    ------
    ModelFormatError : a file is missing, damaged, or does not fit the others.
    """
    main = read_list(main_path, named_by)
    models = read_list(main.path(main.one("AUPredictor")), main_path)
    folder = Path(models.label).parent
    predictors = []
    for entry in models.entries:
        path = folder / entry.key
        predictors.append(read_au(path, au_names_of(models, entry), models.label))
        size, first = predictors[-1].weights.size, predictors[0].weights.size
        if size != first:
            raise ModelFormatError(path, None, f"{first} weights, as in the first file of the list", f"{size}")
    pdm = read_pdm(main.path(main.one("PDM")), main_path)
    triangulation_path = main.path(main.one("Triangulation"))
    triangulation = read_triangulation(triangulation_path, main_path)
    if (triangulation >= pdm.n_points).any():
        expected = f"indices of the {pdm.n_points} points of the PDM"
        raise ModelFormatError(triangulation_path, None, expected, f"{triangulation.max()}")
    return AUPredictors(tuple(predictors), pdm, triangulation)
