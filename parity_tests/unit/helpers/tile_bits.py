"""Prints hashes of what register tiles compute: the same on every processor that kernels are compiled for."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from auparity.accelerated.numba.ccnf import exp_f64
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fit_tiles import rigid_tile
from auparity.accelerated.numba.fused import is_instruction
from auparity.accelerated.numba.gemm import SLACK, pack_weights, padded_units, product
from auparity.accelerated.numba.vectors import LANES, TILE_UNITS

UNITS, DEPTH, POSITIONS, LENGTH = 13, 40, 3 * LANES, 24


@kernel
def rigid(rows, columns, out):
    rigid_tile(rows, 0, 1, rows.shape[1], columns, out)


@kernel
def powers(values, out):
    for i in range(values.shape[0]):
        out[i] = exp_f64(values[i])


def main() -> None:
    """One line of JSON: sizes of tiles, whether fusing is an instruction, and the hashes."""
    rng = np.random.default_rng(11)
    weights, inputs = (rng.normal(size=shape).astype(np.float32) for shape in ((UNITS, DEPTH), (DEPTH, POSITIONS)))
    sums = np.zeros(padded_units(UNITS) * POSITIONS + SLACK, np.float32)
    rows = (np.arange(DEPTH) * POSITIONS).astype(np.int64)
    flat = np.concatenate([inputs.ravel(), np.zeros(SLACK, np.float32)])
    product(pack_weights(weights), 0, UNITS, flat, 0, rows, DEPTH, POSITIONS, sums, 0, POSITIONS)
    sides, columns = rng.normal(size=(2, LENGTH)).astype(np.float32), rng.normal(size=(7, LENGTH))
    rigid_sums, exponentials = np.zeros(14), np.zeros(1000)
    rigid(sides, columns, rigid_sums)
    powers(rng.uniform(-40, 40, len(exponentials)), exponentials)
    found = {"product": sums[: UNITS * POSITIONS], "rigid": rigid_sums, "powers": exponentials}
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest()[:16] for name, array in found.items()}
    close = bool(np.allclose(sums[: UNITS * POSITIONS].reshape(UNITS, -1), weights @ inputs, atol=1e-4))
    print(json.dumps({"units": TILE_UNITS, "instruction": is_instruction(), "right": close, "hashes": hashes}))


if __name__ == "__main__":
    main()
