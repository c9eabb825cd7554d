"""Network detectors and landmarkers in every variant of one thread of a processor that is installed, beside the least
time that their arithmetic takes on this machine (`auparity dev runtimes --network FILE`).

Least time: multiply-adds as the network is described, at the rate of Numba's own register tiles on maps in the cache.
PyTorch takes the threads that OMP_NUM_THREADS grants; times are processor time, which counts all of them.
NumPy's matrix product (SGEMM) is no bound: on processors with wide registers its BLAS may reach half of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.network_floor import network_flop, tile_gflops
from auparity.accelerated.numba.networks import build as build_numba
from auparity.accelerated.numba.networks import unsupported_reason
from auparity.accelerated.onnx.networks import build as build_onnx
from auparity.models.networks.published import read_network
from auparity.parity_tests.suite import random_networks
from auparity.reference.networks.parts import Network, parts_of
from auparity.reference.networks.retinaface import RawFaces

Array = npt.NDArray[Any]
BestTimes = Callable[[dict[str, Callable[[Array], Any]], Array, int], dict[str, float]]

VARIANTS = ("onnx", "numba", "torch")
#: Networks of which nobody may hand on trained weights, by the names that stand for random ones.
RANDOM: dict[str, Callable[[], Network]] = {"star": partial(random_networks.star, 98, 9, 4, 256)}
#: Heights and widths of images where a network takes any.
SIZES = ((360, 480), (480, 640))


def network_table(networks: Sequence[str], best_times: BestTimes, rounds: int, sgemm: float) -> list[str]:
    """Rows of a table, each network on each size.

    Parameters
    ----------
    networks : files, or "star" for STAR at its published size with random weights. sgemm : GFLOP/s.

    Raises
    ------
    AuparityError : a file that is no network.
    """
    rate = tile_gflops()
    rows = [
        f"register tiles {rate:.0f} GFLOP/s\n",
        f"| network | image | multiply-adds, M | least time, ms | SGEMM, ms | {' | '.join(VARIANTS)} | fastest | "
        "of SGEMM | of ONNX Runtime | differ by |",
        "|---|---|---|---|---|" + "---|" * (len(VARIANTS) + 4),
    ]
    for name in networks:
        weights = RANDOM[name]() if name in RANDOM else read_network(Path(name)).network
        side = parts_of(weights).side
        runs = _built(weights)
        for height, width in SIZES if side is None else ((side, side),):
            images = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
            times = best_times(runs, images, rounds)
            flop = network_flop(weights, height, width)
            outputs = [_points(run(images)) for run in runs.values()]
            apart = max(float(np.abs(output - outputs[0]).max()) for output in outputs)
            fastest = min(times, key=lambda variant: times[variant])
            row = (
                Path(name).stem, f"{width} x {height}", f"{flop / 2e6:.0f}", f"{flop / rate / 1e6:.2f}",
                f"{flop / sgemm / 1e6:.2f}", *(f"{times[each]:.2f}" if each in times else "" for each in VARIANTS),
                fastest, f"{times[fastest] / (flop / sgemm / 1e6):.2f}", f"{times[fastest] / times['onnx']:.2f}",
                f"{apart:.1e}",
            )  # fmt: skip
            rows.append(f"| {' | '.join(row)} |")
    return rows


def _built(weights: Network) -> dict[str, Callable[[Array], Any]]:
    """The variants that can run a network here."""
    runs: dict[str, Callable[[Array], Any]] = {"onnx": build_onnx(weights)}
    if unsupported_reason(weights) is None:
        runs["numba"] = build_numba(weights)
    if find_spec("torch") is not None:
        from auparity.accelerated.torch.networks import build as build_torch

        runs["torch"] = build_torch(weights, "cpu")
    return runs


def _points(result: Any) -> Array:
    return np.asarray(result.points if isinstance(result, RawFaces) else result)
