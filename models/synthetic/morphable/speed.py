"""``python -m auparity.models.synthetic.morphable.speed --faces MODEL``: how long rendered photographs take.

People of the morphable model and drawn heads in turns, in this process: processor time a picture, everything included.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.morphable.heads import morphable_heads
from auparity.models.synthetic.render import DRAWN, render_photograph

CANVAS = (256, 256)
FIRST_SEED = 9_500_000


def timed(heads: Heads, first: int, count: int) -> float:
    """Processor time of a picture, ms."""
    start = time.process_time()
    for seed in range(first, first + count):
        render_photograph(seed, canvas=CANVAS, heads=heads)
    return (time.process_time() - start) / count * 1000


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m auparity.models.synthetic.morphable.speed", description=__doc__)
    parser.add_argument("--faces", type=Path, metavar="MODEL", help="file of the morphable model (or AUPARITY_FACES)")
    parser.add_argument("--pictures", type=int, default=64, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    sources: dict[str, Heads] = {"morphable model": morphable_heads(chosen.faces), "drawn heads": DRAWN}
    for heads in sources.values():
        timed(heads, FIRST_SEED, 4)  # compiles
    rounds = [
        {name: timed(heads, FIRST_SEED + k * chosen.pictures, chosen.pictures) for name, heads in sources.items()}
        for k in range(chosen.rounds)
    ]
    for name in sources:
        times = [each[name] for each in rounds]
        middle = statistics.median(times)
        spread = f"{min(times):.1f} to {max(times):.1f}"
        print(f"{name}: {middle:.1f} ms of one core ({spread}), {1000 / middle:.1f} pictures a second")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
