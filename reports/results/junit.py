"""Runs as JUnit XML, which CI systems display: a suite for each workload and way, a case for each figure.

`Results` in, one file out. A figure that failed is a failure with error, tolerance, baseline and reason; what was not
run is a skipped case, so that it is visible.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from auparity.atomic_files import write_bytes_atomically
from auparity.reports.results.figures import baseline_notes, failed_because, figure_name
from auparity.reports.results.records import MeasuredError, Results
from auparity.reports.results.text import short

NOT_RUN = "not run"


def write_junit(results: Sequence[Results], path: Path) -> None:
    """Write the file, atomically."""
    root = ET.Element("testsuites", name="auparity")
    for run in results:
        where = run.provenance
        for workload, way in dict.fromkeys((error.workload, error.way) for error in run.errors):
            some = [error for error in run.errors if (error.workload, error.way) == (workload, way)]
            suite = _suite(root, f"{run.kind} {workload} {way}", where.date, len(some))
            for error in some:
                _case(suite, error)
            suite.set("failures", str(sum(bool(failed_because(error)) for error in some)))
            if notes := baseline_notes([replace(run, errors=some)]):
                ET.SubElement(suite, "system-out").text = _clean("\n".join(notes))
        if run.skipped:
            suite = _suite(root, f"{run.kind} {NOT_RUN}", where.date, len(run.skipped))
            suite.set("skipped", str(len(run.skipped)))
            for entry in run.skipped:
                case = ET.SubElement(suite, "testcase", classname=NOT_RUN, name=_clean(entry.what), time="0")
                ET.SubElement(case, "skipped", message=_clean(entry.why))
    for name in ("tests", "failures", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    write_bytes_atomically(path, ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _suite(root: ET.Element, name: str, date: str, tests: int) -> ET.Element:
    about = {"name": _clean(" ".join(name.split())), "timestamp": _clean(date[:19]), "tests": str(tests)}
    return ET.SubElement(root, "testsuite", about | {"failures": "0", "skipped": "0", "errors": "0"})


def _case(suite: ET.Element, error: MeasuredError) -> None:
    group = ".".join(filter(None, [error.way, error.stage, error.variant]))
    case = ET.SubElement(suite, "testcase", classname=_clean(group), name=_clean(figure_name(error)), time="0")
    why = failed_because(error)
    if why:
        message = f"{why}: {short(error.error)} {error.unit}".strip()
        message += f", tolerance {short(error.tolerance)}, baseline {short(error.baseline)}"
        failure = ET.SubElement(case, "failure", message=_clean(message), type=_clean(why))
        failure.text = _clean(error.reason)


def _clean(text: str) -> str:
    """Without the characters that XML forbids."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
