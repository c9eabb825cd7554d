"""One page about some runs: verdict, what was compared, parity, speed, drift, what was not run, words, origin.

Result files in (`records.Results`), one self-contained HTML file out: styles and charts are inside it, without scripts,
fonts or anything from a network; for screens light and dark, telephones and paper. All content comes from the files:
the page runs nothing, and a number that a file does not have is a dash. A section without content is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auparity.atomic_files import write_text_atomically
from auparity.reports.page_templates import unescaped
from auparity.reports.page_text import style_sheet
from auparity.reports.results import origin, parity, series, speed
from auparity.reports.results.figures import baseline_notes
from auparity.reports.results.history import drift, machine_name, run_label
from auparity.reports.results.records import Results
from auparity.reports.results.templates import rendered, web_file
from auparity.reports.results.text import counted, listed
from auparity.reports.results.verdict import judge
from auparity.reports.results.words import pieces, words

#: Runs that the line below the title names.
MOST_NAMED = 4


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
    clips = [one for run in results for one in run.series]
    return rendered(
        "page.html.j2", style=unescaped(style_sheet("page.css") + web_file("results.css")), about=_about(results),
        judged=judge(results), notes=baseline_notes(results), not_passed=parity.not_passed(results),
        compared=parity.compared(results), matrix=parity.stage_matrix(results), pipelines=parity.pipelines(results),
        every_figure=parity.every_figure(results), speeds=speed.workload_speeds(results),
        stage_times=speed.stage_times(results), faces=series.faces(clips), clips=series.clips(clips),
        drift=drift(results, history), skipped=origin.skipped(results), commands=origin.commands(results),
        machines=origin.machines(results), workloads=origin.workloads(results), words=words(), pieces=pieces,
    )  # fmt: skip


def _about(results: Sequence[Results]) -> str:
    if not results:
        return "No result file was given."
    machines = listed(dict.fromkeys(machine_name(run) for run in results))
    runs = "; ".join(f"{run.kind} {run_label(run)}" for run in results[:MOST_NAMED])
    return f"{counted(len(results), 'run')} on {machines}: {runs}{'; …' if len(results) > MOST_NAMED else ''}"
