"""Proof on more than one processor: the kernels compiled for others of x86-64, and AArch64 under emulation.

`in_turns.py` runs parity and speed on processors that this one can play (`kinds.py`): AVX2 without AVX-512, and no AVX.
`arm64.py` makes a small Debian of AArch64 (`arm64_root.py`), computes the same work there and here (`same_work.py`),
and compares the results (`comparison.py`).
"""
