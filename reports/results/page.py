"""One page about some runs: verdict, parity, speed, landmarks, action units, drift, skipped parts, how to repeat it.

Result files in (`records.Results`), one self-contained HTML file out: styles and charts are inside it, without scripts,
fonts or anything from a network; for screens light and dark, telephones and paper. All content comes from the files:
the page runs nothing, and a number that a file does not have is a dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from auparity.atomic_files import write_text_atomically
from auparity.reports.results import parity as results_parity
from auparity.reports.results.figures import verdict
from auparity.reports.results.history import history_section, machine_name, run_label
from auparity.reports.results.records import Results
from auparity.reports.results.series import au_section, landmark_section
from auparity.reports.results.tables import (
    provenance_section,
    reproduce_section,
    skipped_section,
    speed_section,
    stage_section,
)
from auparity.reports.results.text import counted, listed, safe


def write_results_page(results: Sequence[Results], history: Sequence[Results], path: Path) -> None:
    """Write the page, atomically.

    Parameters
    ----------
    results : the runs that the page is about, with one verdict over all of them.
    history : earlier runs, for drift only; runs that are also among `results` count once.
    """
    write_text_atomically(path, results_page(results, history))


def results_page(results: Sequence[Results], history: Sequence[Results] = ()) -> str:
    """The page as text."""
    series = [one for run in results for one in run.series]
    sections = [
        ("parity", "Parity", _parity(results)),
        ("speed", "Speed", speed_section(results)),
        ("stages", "Where the time goes", stage_section(results)),
        ("landmarks", "Landmark error", landmark_section(series)),
        ("aus", "Agreement of action units", au_section(series)),
        ("drift", "Drift over stored runs", history_section(results, history)),
        ("skipped", "What was not run", skipped_section(results)),
        ("reproduce", "How to repeat every number", reproduce_section(results)),
        ("provenance", "Where the numbers come from", provenance_section(results)),
    ]
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in sections)
    body = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{title}</h2>\n{content}</section>'
        for key, title, content in sections
    )
    folder = resources.files("auparity.reports")
    style = "".join((folder / name).read_text(encoding="utf-8") for name in ("page.css", "results.css"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>auparity results: {verdict(results).word.lower()}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        '<a class="skip-link" href="#results">Skip to the results</a>\n'
        f'<header><h1>Parity and speed</h1>\n<p class="faint">{_about(results)}</p></header>\n'
        f'<main id="results">\n<section aria-label="Verdict">{results_parity.head(results)}\n'
        f"{results_parity.tiles(results)}</section>\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _parity(results: Sequence[Results]) -> str:
    return (
        "<p>Every variant is compared with the reference, and the reference with the C++ program. An error's share "
        "of its tolerance says how much room is left: 100 % is the limit.</p>\n"
        f"<h3>Variants by stage</h3>\n{results_parity.matrix_table(results)}\n"
        f"<h3>Whole pipelines by workload</h3>\n{results_parity.pipelines_table(results)}\n"
        f"{results_parity.every_figure(results)}"
    )


def _about(results: Sequence[Results]) -> str:
    if not results:
        return "No result file was given."
    machines = listed(dict.fromkeys(machine_name(run) for run in results))
    workloads = dict.fromkeys(work.name for run in results for work in run.workloads)
    runs = "; ".join(f"{run.kind} {run_label(run)}" for run in results[:4]) + ("; …" if len(results) > 4 else "")
    on = f", on {listed(workloads)}" if workloads else ""
    return safe(f"{counted(len(results), 'run')} on {machines}{on}: {runs}")
