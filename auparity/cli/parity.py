"""``auparity parity``: compare variants with the reference and with their baselines."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Verify that variants compute what the reference computes: every stage on the inputs of a reference
run, one step from the states of the reference, and whole clips within the platform floor. This runs on rendered clips
with the embedded models, and on the recorded clips with OpenFace's models if AUPARITY_SHARED (or ../shared beside the
repository) has them.

Every figure is compared with its tolerance (parity_tests/tolerances.toml, each with its reason) and with its baseline,
the error that was last accepted (reports/baselines) with the same version of the technology, instruction set and, if a
variant uses one, BLAS kernel. Without a baseline the tolerance alone decides, and the page says so. A variant that
cannot run here is skipped, with the reason, and never counts as passed."""
_EPILOG = """\
examples:
  auparity parity --technology numba --quick
  auparity parity --variant fhog=mine                  a registered variant, of your own package for example
  auparity parity --variant my_package.fhog:variants   a function that returns one or several `Variant`
  auparity parity --variant fhog=mine --quick --stages-only --no-recordings
  auparity parity --technology coreml --emulate-coreml
  auparity parity --technology cpu --update-baseline   accept what was measured; review the diff of reports/baselines
  auparity parity --technology cpu --quick --no-baselines   judge by the tolerances alone
  auparity report results/parity.json                  make a page of the result

exit status: 0 all passed, 1 a figure failed or drifted, 2 usage, 5 nothing could run here, 130 interrupted"""
EXIT_GOOD, EXIT_FAILED, EXIT_NOTHING = 0, 1, 5


def add_parser(subparsers: Any) -> None:
    """Add ``parity`` to the command line."""
    parser = subparsers.add_parser(
        "parity", help="verify variants against the reference pipeline", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--technology", metavar="NAME", help="all variants of numba, onnx, torch ...; cpu: all that run on a processor"
    )
    what.add_argument(
        "--variant", action="append", metavar="SPEC", help="stage=name or package.module:factory; may be given again"
    )
    parser.add_argument("--quick", action="store_true", help="fewer frames; two minutes instead of ten")
    parser.add_argument(
        "--stages-only",
        action="store_true",
        help="only stages on reference inputs; half a minute, useful while you write a variant",
    )
    parser.add_argument("--no-recordings", action="store_true", help="use rendered clips only")
    parser.add_argument(
        "--emulate-coreml", action="store_true",
        help="with --technology coreml, without a Mac: interpret the Core ML packages in NumPy",
    )  # fmt: skip
    parser.add_argument(
        "--emulate-cuda", action="store_true",
        help="with --technology cupy, without a GPU: run the CUDA kernels thread by thread on the host (needs g++)",
    )  # fmt: skip
    drift = parser.add_mutually_exclusive_group()
    drift.add_argument(
        "--update-baseline", action="store_true", help="accept the measured errors, unless they are out of tolerance"
    )
    drift.add_argument("--no-baselines", action="store_true", help="judge by the tolerances alone")
    parser.add_argument(
        "--baselines", type=Path, default=Path("reports") / "baselines", metavar="DIR",
        help="default: reports/baselines",
    )  # fmt: skip
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="result file for `auparity report`; NAME.drift.md beside it",
    )
    parser.add_argument(
        "--record", action="store_true", help="also keep the figures in reports/history, for the drift chart"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity parity``; returns the exit code."""
    if "numpy" not in sys.modules:  # sums of BLAS depend on the number of its threads
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    from auparity.accelerated.cupy.device import Device
    from auparity.benchmarks.repeat_command import repeating
    from auparity.parity_tests.compare.provenance import provenance
    from auparity.parity_tests.suite import run as suite
    from auparity.reports.results.records import save
    from auparity.reports.results.stored import record

    named = [variant for text in arguments.variant or () for variant in suite.named_variant(text)]
    device: Device | None
    if arguments.emulate_cuda:
        variants, device = suite.emulated_cuda()
    else:
        variants = named or suite.variants_of(arguments.technology, emulated=arguments.emulate_coreml)
        device = suite.device_for(arguments.technology)
    report = suite.run(
        variants, quick=arguments.quick, recordings=not arguments.no_recordings, stages_only=arguments.stages_only,
        device=device,
    )  # fmt: skip
    for variant, why in report.skipped.items():
        print(f"skipped {variant}: {why}")
    if not report.figures:
        print("nothing could run here")
        return EXIT_NOTHING
    # "cpu" means every technology. Those not installed are reported as skipped; their baselines are not required.
    expected = [v for v in variants if v.unavailable_reason() is None] if arguments.technology == "cpu" else variants
    baselines = None if arguments.no_baselines else arguments.baselines
    judged = suite.judge(report, expected, baselines, whole=not arguments.variant)
    print("\n".join(report.texts))
    print(f"\n{judged.page}", end="")
    command = repeating("auparity parity", arguments.words, without=["--record", "--update-baseline"])
    results = judged.results(provenance(command, yardstick=False))
    if arguments.output:
        save(results, arguments.output)
        arguments.output.with_suffix(".drift.md").write_text(judged.page, encoding="utf-8")
    if arguments.record:
        print(f"Recorded: {record(results)}")
    if device is not None and suite.prove(report, device):
        print(f"{device.name} passed the parity suite: Pipeline.best() uses it from now on")
    if arguments.update_baseline:
        files = judged.update()
        print(f"{len(report.figures)} figures recorded in {', '.join(map(str, files))}")
        return EXIT_GOOD
    print(judged.conclusion)
    return EXIT_GOOD if judged.passed else EXIT_FAILED
