"""``auparity dev fuzz --count N --seed S``: mutated input for every reader; status 1 if there is a finding.

A million cases (``--count 25000`` over some forty readers) take several hours on two cores; pictures and archives are
the slow ones.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from auparity.parity_tests.fuzz.registry import registry
from auparity.parity_tests.fuzz.runner import TIMEOUT, run_all, summary


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="cases of each reader; default: 1000")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="default: 1")
    parser.add_argument(
        "--loader", action="append", metavar="NAME", help="only this reader, or those whose names begin so"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the inputs of findings")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, metavar="SECONDS", help="limit of one case; default: 10"
    )
    parser.add_argument("--list", action="store_true", help="list the readers and exit")
    chosen = parser.parse_args(arguments)
    names = [n for n in registry() if chosen.loader is None or any(n.startswith(start) for start in chosen.loader)]
    if chosen.list:
        print("\n".join(names))
        return 0
    if not names:
        parser.error(f"there is no such reader; there are {', '.join(registry())}")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # for the child processes: threads take address space
        os.environ.setdefault(name, "1")
    outcomes = run_all(
        names, chosen.count, chosen.seed, lambda line: print(line, flush=True), keep=chosen.keep, timeout=chosen.timeout
    )
    print(summary(outcomes))
    return 1 if any(outcome.findings for outcome in outcomes) else 0
