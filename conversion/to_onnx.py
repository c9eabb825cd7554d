"""A bundle as ONNX files, one for every item of the catalogue, checked by `onnx.checker` and by running them.

Graphs are built with `onnx.helper` from the bundle's arrays (onnx_graphs.py); no other framework takes part. Opset 17,
weights float32 as stored (AU models float64), metadata: bundle hash, stage, contract, licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.catalogue import About, Item
from auparity.errors import AuparityError, VariantUnavailable

Array = npt.NDArray[Any]

SUFFIX = ".onnx"
#: Largest error against the reference, relative to the largest value: float32 sums in another order; the AU models are
#: float64 as the reference is.
TOLERANCE = {"action_units": 1e-12}
FLOAT32_TOLERANCE = 1e-5


def write(item: Item, path: Path, about: About) -> None:
    """Write one item; its precision is float32, of the AU models float64.

    Raises
    ------
    VariantUnavailable : onnx is not installed.
    """
    try:
        from auparity.conversion import onnx_graphs as graphs
    except ModuleNotFoundError as error:
        raise VariantUnavailable(f"{error.name} is not installed: pip install 'auparity[onnx]'") from None
    metadata = graphs.metadata_of(about.bundle_hash, about.licence, item.stage, item.contract)
    if item.note:
        metadata["note"] = item.note
    name = item.name.rsplit("/", 1)[1]
    if item.kind in ("network", "per_pixel_network"):
        per_pixel = item.kind == "per_pixel_network"
        model = graphs.network(item.model, item.channels, name, metadata, per_pixel=per_pixel)
    elif item.kind == "grouped_experts":
        model = graphs.grouped_experts(item.model, name, metadata)
    elif item.kind == "expert":
        model = graphs.expert(item.model, name, metadata)
    elif item.kind == "grouped_neurons":
        model = graphs.grouped_neurons(item.model, name, metadata)
    else:
        model = graphs.action_units(item.model, name, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(model.SerializeToString())
    part.replace(path)


def verify(item: Item, path: Path, about: About) -> tuple[float, float]:
    """Error of a written file against the reference, relative to the largest value, and its tolerance.

    Raises
    ------
    AuparityError : the file is damaged, does not run, or is of another bundle.
    VariantUnavailable : ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise VariantUnavailable("onnxruntime is not installed: pip install 'auparity[onnx]'") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    arrays = item.inputs(np.random.default_rng(0))
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [entry.name for entry in session.get_inputs()]
        (found,) = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # ONNX Runtime has no common base of its errors
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuparityError(f"{path}: does not run ({first}). Export it again.") from None
    about.refuse_others(path, session.get_modelmeta().custom_metadata_map.get("bundle", ""))
    expected = item.reference(*arrays)
    if found.shape != expected.shape:
        raise AuparityError(f"{path}: gives {found.shape}, the reference {expected.shape}. Export it again.")
    apart = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    return apart, TOLERANCE.get(item.kind, FLOAT32_TOLERANCE)


def inspect(path: Path) -> dict[str, Any]:
    """What an ONNX file holds: inputs, outputs, opset, metadata, operators and size of the weights.

    Raises
    ------
    AuparityError : it is no ONNX file, or of a newer version than the installed onnx reads.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise VariantUnavailable("onnx is not installed: pip install 'auparity[onnx]'") from None
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker have several
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuparityError(f"{path}: is no ONNX file that can be used here ({first}).") from None
    operators: dict[str, int] = {}
    for node in model.graph.node:
        operators[node.op_type] = operators.get(node.op_type, 0) + 1

    def shapes(values: Any) -> dict[str, list[Any]]:
        return {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
        }

    weights = sum(int(np.prod(array.dims)) for array in model.graph.initializer)
    return {
        "format": "ONNX", "opset": model.opset_import[0].version, "producer": model.producer_name,
        "inputs": shapes(model.graph.input), "outputs": shapes(model.graph.output), "weights": weights,
        "operators": operators, "metadata": {entry.key: entry.value for entry in model.metadata_props},
    }  # fmt: skip
