"""The cost of a fresh process: `auparity dev cold-start` prints the times of import and first result, and peak memory.

The caches of compiled kernels are not touched: run the command twice for warm ones. It measures one rendered frame, or
the first frame of a clip.
"""

from __future__ import annotations

import time

START = time.perf_counter()  # before anything of ours is imported

import argparse  # noqa: E402
import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402


def cold_start(models: str, landmark_model: str, spec: str, picture: Path) -> dict[str, float]:
    """Seconds from the start of a process to the import of auparity and to its first result, and its peak MiB.

    Raises
    ------
    AuparityError : the process failed; the message has its last line.
    """
    from auparity.errors import AuparityError
    from auparity.json_files import parse_json  # not at the top, because the fresh process measures imports

    command = [sys.executable, "-m", "auparity.benchmarks.cold", models, str(picture)]
    command += ["--landmark-model", landmark_model, "--variants", spec]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AuparityError(f"a fresh process failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    last = (done.stdout.splitlines() or [""])[-1]
    return parse_json(last, "a fresh process", "its figures", dict[str, float])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    chosen = _parser().parse_args(arguments)
    print(json.dumps(cold_start(chosen.models, chosen.landmark_model, chosen.variants, chosen.picture)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auparity dev cold-start", description=__doc__)
    parser.add_argument("models", help="where the models are, as --models of `auparity extract`")
    parser.add_argument("picture", type=Path, help="an image with a face")
    parser.add_argument("--landmark-model", default="auto", help="default: auto")
    parser.add_argument("--variants", default="best", help="as `auparity extract` (default: best)")
    return parser


def _measure() -> None:
    """What the fresh process does."""
    chosen = _parser().parse_args()
    import_module("auparity")
    imported = time.perf_counter() - START
    from auparity.accelerated.choices import parse_spec
    from auparity.accelerated.pipeline import Pipeline
    from auparity.media import read_image
    from auparity.models.sources import open_bundle

    bundle = open_bundle(chosen.models, chosen.landmark_model)
    pipeline = Pipeline.of_choices(bundle, parse_spec(bundle, chosen.variants))
    pipeline.start_video().process_frame(read_image(chosen.picture), 0.0)
    first = time.perf_counter() - START
    from auparity.benchmarks.memory import peak_mib

    print(json.dumps({"import_s": round(imported, 3), "first_result_s": round(first, 3), "peak_mib": peak_mib()}))


if __name__ == "__main__":
    _measure()
