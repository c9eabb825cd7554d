"""The examples in docstrings run, in a process of their own, because some of them register variants and engines."""

from __future__ import annotations

import sys

from auparity.parity_tests.unit.helpers.documentation import ROOT, run

FOLDERS = ("accelerated", "benchmarks", "conversion", "models", "parity_tests", "reference", "reports", "auparity")
RUN_ALL = """
import doctest, importlib, sys
failed = tried = 0
for name in sys.argv[1:]:
    outcome = doctest.testmod(importlib.import_module(name))
    failed, tried = failed + outcome.failed, tried + outcome.attempted
print(failed, tried)
"""


def modules_with_examples():
    """Names of the modules below the folders of the package, not of its tests, that have examples."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "unit" not in path.parts and ">>> " in path.read_text(encoding="utf-8"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                yield name if folder == "auparity" else f"auparity.{name}"


def test_the_examples_of_docstrings_run(tmp_path):
    names = list(modules_with_examples())
    assert len(names) >= 5
    done = run([sys.executable, "-c", RUN_ALL, *names], tmp_path)
    assert done.returncode == 0, done.stderr
    failed, tried = map(int, done.stdout.split()[-2:])
    assert failed == 0, done.stdout
    assert tried >= len(names)
