"""A bundle as TensorRT engines, one for every item of the catalogue, built on the GPU that runs them.

``trtexec`` and `tensorrt.Runtime` read the engines. NAME.engine.json beside each engine describes it, because an engine
has no place for metadata, and runs only with the TensorRT version and on the GPU that it was built with. Weights and
layers are float32 without TF32, or float16 with matrix products summed in float32; inputs and outputs float32, aligned
faces uint8. The graphs are verified on the processor in both precisions (unit/conversion/test_tensorrt_graphs.py). No
NVIDIA machine has built or run an engine yet; this command does both: ``auparity convert --to tensorrt --models
embedded -o engines --verify``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auparity.atomic_files import write_bytes_atomically, write_text_atomically
from auparity.conversion import manifest as manifests
from auparity.conversion.catalogue import About, Item, Precision
from auparity.conversion.tensorrt.engine import Workshop, workshop
from auparity.errors import AuparityError, VariantUnavailable
from auparity.json_files import checked, load_json

SUFFIX = ".engine"
#: Suffix of the header, after the whole name of the engine.
BESIDE = ".json"
FORMAT, VERSION = "auparity-tensorrt-engine", 1
#: Largest error against the reference, relative to the largest value. Float32: sums in another order, as with ONNX
#: (1.8e-6 was measured of the same graphs on a processor); 4e-7 for the AUs, which are float64 in the reference, and
#: 3e-7 for features and AUs of faces, where a GPU's root and quotient may add two units in the last place.
TOLERANCE = {"action_units": 1e-6, "fhog": 1e-6, "analysis": 1e-6, "heat_map_network": 1e-4}
FLOAT32_TOLERANCE = 1e-5
#: Weights and activations are rounded to 2**-11 (1.6e-3 was measured of the same graphs). Detector networks: a hundred
#: layers one after another, and outputs that are differences of large features.
FLOAT16_TOLERANCE = 5e-3
FLOAT16_TOLERANCES = {"face_network": 4e-2}


@dataclass(frozen=True)
class Header:
    """The header of an engine, in a file beside it."""

    sha256: str  #: of the engine alone, as sha256sum prints it
    bundle: str
    licence: str
    stage: str
    contract: str
    note: str
    precision: Precision
    layers: str  #: precision of the layers: float32 also in a float16 export if float16 cannot hold the numbers
    auparity: str
    tensorrt: str
    gpu: str
    compute_capability: str
    inputs: dict[str, list[list[int]]]  #: smallest, usual and largest shape, in the order of the contract
    outputs: list[str]  #: in the order of the contract


def header_of(path: Path) -> Path:
    """The file beside an engine."""
    return path.with_name(path.name + BESIDE)


def write(item: Item, path: Path, about: About) -> None:
    """Build the engine of one item and write it with its header, each atomically.

    Raises
    ------
    AuparityError : TensorRT refuses the graph.
    VariantUnavailable : TensorRT, a GPU or onnx is missing.
    """
    shop, graphs = workshop(), _graphs()
    model = graphs.graph(item, about)
    profile = graphs.profile_of(item, model)
    data = shop.build(model.SerializeToString(), profile, item.name)
    header = Header(
        hashlib.sha256(data).hexdigest(), about.bundle_hash, about.licence, item.stage, item.contract, item.note,
        about.precision, graphs.layers_of(item, about), about.version, shop.version, shop.gpu.name,
        shop.gpu.capability, {name: [list(shape) for shape in shapes] for name, shapes in profile.items()},
        [value.name for value in model.graph.output],
    )  # fmt: skip
    content = {"format": FORMAT, "version_of_format": VERSION, **asdict(header)}
    # The header identifies its engine by hash, so it can never be taken for the header of another one.
    write_text_atomically(header_of(path), json.dumps(content, indent=1) + "\n")
    write_bytes_atomically(path, data)


def _graphs() -> Any:
    try:
        from auparity.conversion.tensorrt import graphs as tensorrt_graphs
    except ModuleNotFoundError as error:
        raise VariantUnavailable(f"{error.name} is not installed: pip install 'auparity[tensorrt]'") from None
    return tensorrt_graphs


def read_header(path: Path) -> Header:
    """The header of an engine.

    Raises
    ------
    AuparityError : it is missing, damaged, or of a later version.
    """
    beside = header_of(path)
    if not beside.exists():
        raise AuparityError(f"{beside}: is missing, and only it describes {path.name}. Export it again.")
    content = load_json(beside, "the header of an engine", dict, advice="Export it again.")
    if (content.pop("format", None), content.pop("version_of_format", None)) != (FORMAT, VERSION):
        raise AuparityError(f"{beside}: is not of format {FORMAT} {VERSION}. Export it again.")
    return checked(content, beside, "the header of an engine", Header, advice="Export it again.")


def _not_here(header: Header, shop: Workshop) -> str:
    """Why an engine is not for this machine; empty when it is."""
    if header.tensorrt != shop.version:
        return f"was built with TensorRT {header.tensorrt}, here is {shop.version}"
    made_for = f"{header.gpu} (compute capability {header.compute_capability})"
    here = f"{shop.gpu.name} (compute capability {shop.gpu.capability})"
    return "" if made_for == here else f"was built on {made_for}, here is {here}"


def fits(path: Path) -> bool:
    """Whether an engine was built with this TensorRT on this kind of GPU; an export keeps no others.

    Raises
    ------
    VariantUnavailable : TensorRT or a GPU is missing.
    """
    return not _not_here(read_header(path), workshop())


def verify(item: Item, path: Path, about: About) -> tuple[float, float]:
    """Error of a written engine against the reference, relative to the largest value, and its tolerance.

    Raises
    ------
    AuparityError : it is damaged, of another bundle, TensorRT or GPU, or does not run.
    VariantUnavailable : TensorRT or a GPU is missing.
    """
    header = _whole(path)
    about.refuse_others(path, header.bundle)
    shop = workshop()
    if why := _not_here(header, shop):
        raise AuparityError(f"{path}: {why}. An engine runs only where it was made: export it again on this machine.")
    engine = shop.load(path.read_bytes(), str(path))
    arrays = item.inputs(np.random.default_rng(0))
    try:
        outputs = engine.run(dict(zip(header.inputs, arrays, strict=True)))
    except AuparityError:
        raise
    except Exception as error:  # CuPy and PyTorch have no common base of their errors
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuparityError(f"{path}: does not run ({first}). Export it again.") from None
    return item.error(path, arrays, [outputs[name] for name in header.outputs]), tolerance_of(item, header.layers)


def tolerance_of(item: Item, layers: str) -> float:
    """The largest error of an item whose layers have this precision."""
    if layers == "float16":
        return FLOAT16_TOLERANCES.get(item.kind, FLOAT16_TOLERANCE)
    return TOLERANCE.get(item.kind, FLOAT32_TOLERANCE)


def _whole(path: Path) -> Header:
    """The header, if it belongs to the engine."""
    header = read_header(path)
    if not path.is_file():
        raise AuparityError(f"{path}: does not exist. Export it again.")
    if manifests.digest(path)[0] != header.sha256:
        raise AuparityError(f"{path}: is damaged, its SHA-256 is not that of {header_of(path).name}. Export it again.")
    return header


def inspect(path: Path) -> dict[str, Any]:
    """A description of an engine, with its inputs and outputs if it can be loaded, else why it cannot.

    Raises
    ------
    AuparityError : it or its header is missing or damaged.
    """
    header = _whole(path)
    return {"format": "TensorRT engine", "bytes": path.stat().st_size, **asdict(header), **_tensors(path, header)}


def _tensors(path: Path, header: Header) -> dict[str, Any]:
    try:
        shop = workshop()
    except VariantUnavailable as error:
        return {"not loaded": str(error)}
    if why := _not_here(header, shop):
        return {"not loaded": why}
    engine = shop.load(path.read_bytes(), str(path))
    named = {name: f"{engine.dtype(name)} {engine.shape(name)}" for name in engine.names}
    return {
        "tensors in": {name: text for name, text in named.items() if engine.is_input(name)},
        "tensors out": {name: text for name, text in named.items() if not engine.is_input(name)},
    }
