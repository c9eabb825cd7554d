"""One ONNX graph in several runtimes, one thread each, to decide whether another runtime deserves its own variants.

``auparity dev runtimes [--models SOURCE]``, with `onnxruntime` and `openvino` installed (the latter is
not a dependency of auparity). The graphs are those of the ONNX variants, at the sizes of a 320x240 frame; the Numba
networks run beside them on the same input. Runtimes take turns; the best time of each counts, in processor time, which
other programs of the machine do not add to.

``--network FILE`` times network detectors and landmarkers instead (network_runtimes.py), without OpenVINO.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.convnet import Network
from auparity.accelerated.onnx.session import Session
from auparity.accelerated.yardstick import sgemm_gflops
from auparity.benchmarks.network_runtimes import network_table
from auparity.conversion.onnx.graphs import expert, grouped_experts, metadata_of, network
from auparity.errors import VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.models.types import CENExperts, ConvNet

Array = npt.NDArray[Any]
Run = Callable[[Array], Array]

POSITIONS = 82  # of a 9 x 9 map on its checkerboard, an area and its mirror image
VIEW = 0  # frontal


def openvino_runner(model: Any) -> Run:
    """A graph compiled by OpenVINO for one thread in float32 (by default it uses bfloat16 if the processor has it).

    Raises
    ------
    VariantUnavailable : OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise VariantUnavailable("OpenVINO is not installed: pip install openvino") from error
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    core = openvino.Core()
    request = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings).create_infer_request()

    def run(values: Array) -> Array:
        return np.array(next(iter(request.infer([values]).values())))

    return run


def cases(bundle: Bundle) -> list[tuple[str, Any, Array, Run | None]]:
    """Name, graph, input, and the Numba network if there is one for this graph."""
    rng, metadata = np.random.default_rng(0), metadata_of("", "", "", "")
    mtcnn, listed = bundle.detector, []

    def add(name: str, net: ConvNet, shape: tuple[int, ...], per_pixel: bool = False) -> None:
        graph = network(net, shape[1], "net", metadata, per_pixel=per_pixel)
        listed.append((name, graph, rng.normal(size=shape).astype(np.float32), Network(net).forward))

    add("P-Net, one level 144 x 192", mtcnn.pnet, (1, 3, 144, 192), True)
    add("R-Net, 64 crops", mtcnn.rnet, (64, 3, 24, 24))
    add("O-Net, 16 crops", mtcnn.onet, (16, 3, 48, 48))
    if bundle.face.validator is not None:
        add("validator", bundle.face.validator.views[VIEW].net, (1, 1, 60, 60))
    result: list[tuple[str, Any, Array, Run | None]] = list(listed)
    for k, experts in enumerate(bundle.face.main.experts):
        if isinstance(experts, CENExperts):
            patches = [patch for patch in experts.patches[VIEW] if patch.layers]
            inputs = patches[0].layers[0].weights.shape[1]
            values = rng.normal(size=(len(patches), POSITIONS, inputs)).astype(np.float32)
            graph = grouped_experts(patches, "experts", metadata)
            result.append((f"CE-CLM experts, scale {k}, {len(patches)} in one graph", graph, values, None))
    return result


def best_times(runs: dict[str, Callable[[Array], Any]], values: Array, rounds: int) -> dict[str, float]:
    """Milliseconds of each, the best of `rounds` turns."""
    for run in runs.values():
        run(values)
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run(values)
            best[name] = min(best[name], 1000 * (time.process_time() - start))
    return best


def grouped_or_single(bundle: Bundle, rounds: int) -> list[str]:
    """Experts of the frontal view in one ONNX graph, and in one graph for each expert: rows of a table."""
    metadata, rng, rows = metadata_of("", "", "", ""), np.random.default_rng(0), []
    for k, experts in enumerate(bundle.face.main.experts):
        if not isinstance(experts, CENExperts):
            continue
        patches = [patch for patch in experts.patches[VIEW] if patch.layers]
        inputs = patches[0].layers[0].weights.shape[1]
        values = rng.normal(size=(len(patches), POSITIONS, inputs)).astype(np.float32)
        together = Session(grouped_experts(patches, "experts", metadata))
        sessions = [Session(expert(patch, "expert", metadata)) for patch in patches]

        def singly(values: Array, sessions: list[Session] = sessions) -> Array:
            return np.stack([session(rows) for session, rows in zip(sessions, values, strict=True)])

        times = best_times({"one": together, "each": singly}, values, rounds)
        apart = float(np.abs(together(values) - singly(values)).max())
        rows.append(
            f"| scale {k}, {len(patches)} experts | {times['one']:.3f} | {times['each']:.3f} "
            f"| {times['each'] / times['one']:.2f} | {apart:.1e} |"
        )
    return rows


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev runtimes", description=__doc__)
    parser.add_argument("--models", metavar="SOURCE", default="embedded", help="default: embedded")
    parser.add_argument("--rounds", type=int, default=60, help="calls of each, interleaved (default: 60)")
    about = 'time a published network in place of the models; "star": STAR with random weights; may be given again'
    parser.add_argument("--network", action="append", metavar="FILE", help=about)
    chosen = parser.parse_args(arguments)
    rate = sgemm_gflops(clock=time.process_time)  # as all times here
    if chosen.network:
        table = network_table(chosen.network, best_times, chosen.rounds, rate)
        print(f"SGEMM {rate:.0f} GFLOP/s on one thread, " + "\n".join(table))
        return 0
    bundle = open_bundle(chosen.models, "auto", networks=False)
    bundle = bundle.widen() if chosen.models == "embedded" else bundle
    print(f"bundle {bundle.meta.name} {bundle.short_hash}; SGEMM {rate:.0f} GFLOP/s on one thread\n")
    print("| experts | one graph, ms | a graph each, ms | times as fast | differ by |\n|---|---|---|---|---|")
    print("\n".join(grouped_or_single(bundle, chosen.rounds)) + "\n")
    print("| graph | ONNX Runtime, ms | OpenVINO, ms | Numba, ms | OpenVINO differs by |\n|---|---|---|---|---|")
    for name, graph, values, numba in cases(bundle):
        runs: dict[str, Run] = {"onnx": Session(graph), "openvino": openvino_runner(graph)}
        if numba is not None:
            runs["numba"] = numba
        times = best_times(runs, values, chosen.rounds)
        apart = float(np.abs(runs["onnx"](values) - runs["openvino"](values)).max())
        ours = f"{times['numba']:.3f}" if "numba" in times else ""
        print(f"| {name} | {times['onnx']:.3f} | {times['openvino']:.3f} | {ours} | {apart:.1e} |")
    return 0
