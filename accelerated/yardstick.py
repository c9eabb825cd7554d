"""The best rates of this machine, measured with every benchmark: matrix products and memory, on one thread.

Milliseconds of two machines can only be compared relative to these. BLAS must be limited to one thread before NumPy is
loaded (OMP_NUM_THREADS=1, OPENBLAS_NUM_THREADS=1).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SIZE = 1024  # of the square matrices: 12 MiB in all, the kernel's best case
COPY = 1 << 26  # bytes


def sgemm_gflops(repeats: int = 12, clock: Callable[[], float] = time.perf_counter) -> float:
    """Billions of float32 operations a second of NumPy's matrix product, the best of some repeats.

    Parameters
    ----------
    clock : in s; that of what the rate is held against.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIZE, SIZE), np.float32) for _ in range(2))
    out = np.empty_like(a)
    return 2 * SIZE**3 / _best(lambda: np.matmul(a, b, out=out), repeats, clock) / 1e9


def memory_gbs(repeats: int = 8) -> float:
    """Billions of bytes a second read and written by copying a large array, the best of some repeats."""
    source = np.ones(COPY, np.uint8)
    target = np.empty_like(source)
    return 2 * COPY / _best(lambda: np.copyto(target, source), repeats) / 1e9


def _best(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    work()
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best
