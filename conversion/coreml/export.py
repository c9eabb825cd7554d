"""A bundle as Core ML packages, one for every item of the catalogue, checked by interpreting what was written.

ML Programs for macOS 13, built with coremltools' own builder from the bundle's arrays (programs.py). Weights and layers
are float16 or float32, inputs and outputs float32; the packages recommend all compute units. `verify` reads a package
back from the disk and runs it op by op in NumPy (conversion/mil/interpreter.py). This verifies the file that ships, not
the device that runs it. No Mac has run these packages yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from auparity.conversion.catalogue import About, Item, Precision
from auparity.conversion.coreml import fhog as coreml_fhog
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import Precision as Compute
from auparity.conversion.coreml.network_programs import network_program
from auparity.conversion.mil.interpreter import Program

SUFFIX = ".mlpackage"
#: Largest error against the reference, relative to the largest value. Float32: what the reference's own sums of up to
#: 4702 terms and the rounding of each layer leave; with sums of the interpreter's in float32, too, two of 306 files
#: were off by 1.03e-6 under one BLAS kernel. Float16: weights and every layer rounded to 2**-11 (1.5e-3 was measured).
TOLERANCE: dict[Precision, float] = {"float32": 1e-6, "float16": 5e-3}
#: Of network detectors and landmarkers, which have up to a hundred layers one after another: of the published files of
#: RetinaFace 4.7e-6 was measured in float32 and 1.9e-2 in float16, where small outputs are differences of large
#: features; of points in crops 2.6e-7 and 1.6e-3. Points of heat maps, in parts of the crop: a value at the border of a
#: mask may move one, in float16 by half a pixel of 256 (spec 95.10), of a largest point of a half or more.
NETWORK_TOLERANCE: dict[str, dict[Precision, float]] = {
    "face_network": {"float32": 1e-5, "float16": 4e-2},
    "point_network": {"float32": 1e-5, "float16": 5e-3},
    "heat_map_network": {"float32": 1e-4, "float16": 4e-3},
}
#: Kinds whose layers are float32 also in a float16 package.
ALWAYS_FLOAT32 = ("fhog",)
_COMPUTE: dict[Precision, Compute] = {"float32": "FLOAT32", "float16": "FLOAT16"}


def write(item: Item, path: Path, about: About) -> None:
    """Write one item as a package, atomically.

    Raises
    ------
    VariantUnavailable : coremltools is not installed, or its build for this system cannot write.
    """
    metadata = programs.metadata_of(about.bundle_hash, about.licence, item.stage, item.contract, about.version)
    if item.note:
        metadata["note"] = item.note
    name, precision = item.name.rsplit("/", 1)[1], _COMPUTE[about.precision]
    if item.kind in ("network", "per_pixel_network"):
        per_pixel = item.kind == "per_pixel_network"
        (maps,) = item.inputs(np.random.default_rng(0))
        size = None if per_pixel else (int(maps.shape[2]), int(maps.shape[3]))
        model = programs.network(
            item.model, item.channels, name, metadata, size=size, per_pixel=per_pixel, precision=precision
        )  # fmt: skip
    elif item.kind in NETWORK_TOLERANCE:
        (maps,) = item.inputs(np.random.default_rng(0))
        batch, _, height, width = maps.shape
        size = (height, width)
        model = network_program(item.model, name, metadata, size=size, batch=batch, precision=precision)
    elif item.kind == "grouped_experts":
        model = programs.grouped_experts(item.model, name, metadata, precision=precision)
    elif item.kind == "expert":
        model = programs.expert(item.model, name, metadata, precision=precision)
    elif item.kind == "grouped_neurons":
        model = programs.grouped_ccnf(item.model, name, metadata, precision=precision)
    elif item.kind == "fhog":
        model = coreml_fhog.fhog(name, metadata, precision=precision)
    elif item.kind == "analysis":
        model = coreml_fhog.analysis(item.model, name, metadata, precision=precision)
    else:
        model = programs.action_units(item.model, name, metadata, precision=precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    programs.save(model, path)


def verify(item: Item, path: Path, about: About) -> tuple[float, float]:
    """Error of a written package, interpreted, against the reference, relative to the largest value; its tolerance.

    Raises
    ------
    AuparityError : it is damaged, inconsistent, or of another bundle.
    """
    program = Program.load(path)
    about.refuse_others(path, program.metadata.user_defined.get("bundle", ""))
    arrays = item.inputs(np.random.default_rng(0))
    feeds = {name: np.asarray(array, np.float32) for name, array in zip(program.inputs, arrays, strict=True)}
    precision: Precision = "float32" if item.kind in ALWAYS_FLOAT32 else about.precision
    tolerance = NETWORK_TOLERANCE.get(item.kind, TOLERANCE)[precision]
    return item.error(path, arrays, list(program.run(feeds).values())), tolerance


def inspect(path: Path) -> dict[str, Any]:
    """The content of a package: inputs, outputs, versions, metadata, operators and weights.

    Raises
    ------
    ModelFormatError : it is damaged, not an ML Program, or of a later version.
    """
    program = Program.load(path)
    about = program.metadata
    return {
        "format": "Core ML ML Program", "opset": program.opset, "specification": program.specification_version,
        "inputs": {name: str(feature) for name, feature in program.inputs.items()},
        "outputs": {name: str(feature) for name, feature in program.outputs.items()},
        "weights": program.parameters.count, "bytes": program.parameters.bytes, "operators": dict(program.operators),
        "unknown operators": program.unknown_operators, "metadata": dict(about.user_defined),
    }  # fmt: skip
