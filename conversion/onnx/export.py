"""A bundle as ONNX files, one for every item of the catalogue, checked by `onnx.checker` and by running them.

Graphs are built with `onnx.helper` from the bundle's arrays (graphs.py, fhog.py), without another framework. They use
opset 17 and weights in float32 as stored (AU models float64); metadata: bundle hash, stage, contract, licence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import write_bytes_atomically
from auparity.conversion.catalogue import About, Item
from auparity.errors import AuparityError, VariantUnavailable

Array = npt.NDArray[Any]

SUFFIX = ".onnx"
#: Largest error against the reference, relative to the largest value: float32 sums in another order; the AU models are
#: float64 as the reference is. FHOG: votes summed in another order; the suite's 2e-7 of a feature, the largest of which
#: are 0.4 and more. AU values of aligned faces: 4464 features with that error, in a sum (1e-7 was measured). Heat maps:
#: their points in parts of the crop, of which a value at the border of a mask may move one (spec 95.10: 2e-4 of half a
#: crop; 5e-7 was measured).
TOLERANCE = {"action_units": 1e-12, "fhog": 5e-7, "analysis": 1e-6, "heat_map_network": 1e-4}
FLOAT32_TOLERANCE = 1e-5


def graph_of(item: Item, about: About) -> Any:
    """The checked `onnx.ModelProto` of one item, with its metadata; float32, AU models float64.

    Raises
    ------
    VariantUnavailable : onnx is not installed.
    """
    try:
        from auparity.conversion.onnx import fhog as onnx_fhog
        from auparity.conversion.onnx import graphs
        from auparity.conversion.onnx.network_graphs import network_graph
    except ModuleNotFoundError as error:
        raise VariantUnavailable(f"{error.name} is not installed: pip install 'auparity[onnx]'") from None
    metadata = graphs.metadata_of(about.bundle_hash, about.licence, item.stage, item.contract)
    if item.note:
        metadata["note"] = item.note
    name = item.name.rsplit("/", 1)[1]
    if item.kind in ("network", "per_pixel_network"):
        per_pixel = item.kind == "per_pixel_network"
        return graphs.network(item.model, item.channels, name, metadata, per_pixel=per_pixel)
    if item.kind in ("face_network", "point_network", "heat_map_network"):
        return network_graph(item.model, name, metadata)
    if item.kind == "grouped_experts":
        return graphs.grouped_experts(item.model, name, metadata)
    if item.kind == "expert":
        return graphs.expert(item.model, name, metadata)
    if item.kind == "grouped_neurons":
        return graphs.grouped_neurons(item.model, name, metadata)
    if item.kind == "fhog":
        return onnx_fhog.fhog(name, metadata)
    if item.kind == "analysis":
        return onnx_fhog.analysis(item.model, name, metadata)
    return graphs.action_units(item.model, name, metadata)


def write(item: Item, path: Path, about: About) -> None:
    """Write one item, atomically.

    Raises
    ------
    VariantUnavailable : onnx is not installed.
    """
    model = graph_of(item, about)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, model.SerializeToString())


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
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # ONNX Runtime has no common base of its errors
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AuparityError(f"{path}: does not run ({first}). Export it again.") from None
    about.refuse_others(path, session.get_modelmeta().custom_metadata_map.get("bundle", ""))
    return item.error(path, arrays, outputs), TOLERANCE.get(item.kind, FLOAT32_TOLERANCE)


def inspect(path: Path) -> dict[str, Any]:
    """The content of an ONNX file: inputs, outputs, opset, metadata, operators and size of the weights.

    Raises
    ------
    AuparityError : it is not an ONNX file, or is of a newer version than the installed onnx reads.
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
        raise AuparityError(f"{path}: is not an ONNX file that can be used here ({first}).") from None
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
