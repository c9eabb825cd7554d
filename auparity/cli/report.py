"""``auparity report``: pages of extracted clips, of studies of many, and of parity runs and benchmarks.

Tables of ``auparity extract``: the sidecar says which clip a table was made from. A rendered clip has its truth among
its frames (``truth.csv``) or beside its video (``NAME.truth.csv``), and then every figure is compared with it.
Writes ``NAME.html`` beside the table: one page with the clip, landmarks, head axes and gaze drawn over it, and every
measurement over time. It holds the clip itself if browsers play it and it is not large (large ones are linked), and of
other clips and folders of images a small video. The page of a
clip of several people (``auparity extract --faces``, or OpenFace's FaceLandmarkVidMulti) has a choice of person, and is
not compared with a truth. With ``--overlay`` also ``NAME.overlay.webm``, or of images ``NAME.overlay.jpg``: pictures
with the marks drawn into them.

Folders of tables, or a data set of ``auparity dataset``: besides the pages of clips that have none yet, one page of all
of them, ``study.html`` in the first folder: quality, action units by group, what stands out, and a table to filter and
sort. Groups are labels of the clips, which ``--labels`` adds from a list (CSV). Clips of a data set get no pages.
Folders and data sets may be at addresses such as ``s3://bucket/results``: what the page needs is copied to this
machine, the page is written into the current folder, and their clips get no pages.

Result files of ``auparity parity`` and ``auparity bench``: one page of all named files, ``NAME.html`` (self-contained,
works offline, can be printed), with ``NAME.md`` for a pull request, ``NAME.junit.xml`` for CI and pictures in
``NAME-plots``. NAME is that of the first file, or of ``-o``. The page charts earlier runs that are stored in
``reports/history``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from auparity.cli.types import path_or_address, whole
from auparity.errors import AddressError, AuparityError, VariantUnavailable

if TYPE_CHECKING:
    from auparity.cli.clip_report import Written
    from auparity.cli.study_report import StudyReport

_EPILOG = """\
examples:
  auparity report out/                                  a page of the study, and one for every table in the folder
  auparity report out/ --no-clip-pages --labels study.csv   of the study only, with labels from a list
  auparity report s3://bucket/results -o study.html     of the study only, of results at an address
  auparity report out/face.csv --overlay                and a video with the landmarks drawn into it
  auparity report results/parity.json results/bench.json -o report.html

exit status: 0 good (also if the reported run failed), 1 something could not be read or drawn, 2 usage"""


def add_parser(subparsers: Any) -> None:
    """Add ``report`` to the command line."""
    parser = subparsers.add_parser(
        "report", help="pages of extracted clips, parity runs and benchmarks", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "tables",
        nargs="+",
        type=path_or_address,
        metavar="FILE",
        help="tables (CSV, Parquet), folders of them or a data set (also at addresses), or result files (JSON)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PAGE",
        help="page of the study, or of result files; default: study.html in the folder (in the current one for "
        "results at an address), or NAME.html",
    )  # fmt: skip
    parser.add_argument(
        "--labels", metavar="LIST",
        help="CSV, TSV or Parquet file with a column path, clip or name, whose other columns become labels of clips",
    )  # fmt: skip
    parser.add_argument(
        "--within", metavar="LABEL",
        help="what stands out of a study is compared within clips of the same label, as condition; default: with all",
    )  # fmt: skip
    parser.add_argument(
        "--clip-pages", action=argparse.BooleanOptionalAction, default=True,
        help="of folders, make also the pages of clips that have none yet; default: yes",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=whole(1), metavar="N", help="processes that read tables of a study; default: as many as pay"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder in which copies of what is at addresses are kept, so that the next run fetches what has changed; "
        "default: the system's temporary folder, and nothing is kept",
    )  # fmt: skip
    parser.add_argument("--clip", type=Path, help="video or folder of images, if the sidecar does not name it")
    parser.add_argument("--truth", type=Path, metavar="CSV", help="truth.csv, if it is elsewhere")
    parser.add_argument(
        "--overlay", action="store_true", help="also write a video (of images a picture) with the marks drawn into it"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity report``; 1 when a table could not be reported on (the others are)."""
    here = [path for path in arguments.tables if isinstance(path, Path)]
    files = [path for path in here if path.suffix == ".json"]
    folders = [str(path) for path in arguments.tables if not isinstance(path, Path) or path.is_dir()]
    _refuse_files_at_addresses([path for path in arguments.tables if not isinstance(path, Path)])
    if not folders and (arguments.labels, arguments.within, arguments.processes) != (None, None, None):
        raise AuparityError("--labels, --within and --processes are for the page of a study; name folders of tables.")
    if files:
        if len(files) != len(arguments.tables):
            raise AuparityError("tables and result files cannot be reported on together; name one kind at a time.")
        return report_results(files, arguments.output)
    if arguments.output is not None and not folders:
        raise AuparityError("-o names the page of a study or of result files; pages of tables are written beside them.")
    from auparity.cli.study_report import folders_here

    with folders_here(folders, arguments.scratch) as copies:
        return _report(arguments, copies)


def _refuse_files_at_addresses(addresses: list[str]) -> None:
    for address in addresses:
        if PurePosixPath(address).suffix in (".csv", ".parquet", ".json"):
            raise AddressError(
                address, "only folders and data sets are read from addresses",
                "Copy the file to this machine (a table with its sidecar, NAME.csv.json), or name the folder.",
            )  # fmt: skip


def _report(arguments: argparse.Namespace, folders: dict[Path, str]) -> int:
    """The pages of tables and folders that are on this machine; `folders` with how each was named."""
    tables = _tables(arguments, folders)
    if (arguments.clip, arguments.truth) != (None, None) and len(tables) != 1:
        raise AuparityError(f"--clip and --truth are for one table; there are {len(tables)}.")
    study, failed = _study(arguments, folders)
    told = set() if study is None else set(study.study.problems)
    try:
        written, not_reported = _report_clips(arguments, tables, told)
    finally:  # also after Ctrl-C: links to the pages that are there
        if study is not None:
            study.write()
    if study is not None:
        print(f"Look at {study.page}")
    for made in written:
        print("\n    and ".join([f"Look at {made.page}", *map(str, made.beside)]))
    if not_reported:
        print(
            f"{not_reported} of {len(tables)} tables could not be reported on; see the errors above.", file=sys.stderr
        )
    return 1 if failed or not_reported else 0


def _tables(arguments: argparse.Namespace, folders: dict[Path, str]) -> list[tuple[Path, bool]]:
    """The tables that get pages, and whether the user named each; none of those that are copies."""
    from auparity.cli.study_report import check_folders
    from auparity.dataset.find import described_tables

    data_set = check_folders(folders)
    named = [(path, True) for path in arguments.tables if isinstance(path, Path) and path not in folders]
    if data_set or not arguments.clip_pages:
        return named
    here = [folder for folder, name in folders.items() if str(folder) == name]
    return named + [(table, False) for folder in here for table in described_tables(folder)]


def _study(arguments: argparse.Namespace, folders: dict[Path, str]) -> tuple[StudyReport | None, bool]:
    """The page of the folders, written before the pages of clips are made, and whether something failed."""
    from auparity.cli.study_report import StudyReport, StudyRequest

    if not folders:
        return None, False
    study = StudyReport(
        StudyRequest(folders, arguments.output, arguments.labels, arguments.within, arguments.processes)
    )
    for problem in study.study.problems:
        print(f"auparity: error: {problem}", file=sys.stderr)
    study.write()
    return study, bool(study.study.problems)


def _report_clips(
    arguments: argparse.Namespace, tables: list[tuple[Path, bool]], told: set[str]
) -> tuple[list[Written], int]:
    """The pages of tables that need one, and how many could not be made; errors that were `told` are not repeated."""
    from auparity.cli.clip_report import report_clip

    written, failed = [], 0
    for place, (table, named) in enumerate(tables, 1):
        try:
            if named or _is_due(table):
                if len(tables) > 1:
                    print(f"[{place}/{len(tables)}] {table}", file=sys.stderr)
                made = report_clip(table, clip=arguments.clip, truth=arguments.truth, overlay=arguments.overlay)
                written += [] if made is None else [made]
        except (AuparityError, OSError) as error:  # OSError: disk full, or no permission to write beside the table
            if str(error) not in told:
                print(f"auparity: error: {error}", file=sys.stderr)
            failed += 1
    return written, failed


def report_results(files: list[Path], page: Path | None) -> int:
    """One page, Markdown, JUnit and plots of result files.

    Raises
    ------
    AuparityError : a file is no result file.
    """
    from auparity.reports.results.junit import write_junit
    from auparity.reports.results.markdown import results_markdown
    from auparity.reports.results.page import write_results_page
    from auparity.reports.results.png import write_plots
    from auparity.reports.results.records import load
    from auparity.reports.results.stored import history

    results = [load(path) for path in files]
    page = page or files[0].with_suffix(".html")
    machines = sorted({str(run.provenance.machine.get("id", "")) for run in results})
    kept = [run for machine in machines for run in history(machine)]
    write_results_page(results, kept, page)
    page.with_suffix(".md").write_text("\n".join(results_markdown(run) for run in results), encoding="utf-8")
    write_junit(results, page.with_suffix(".junit.xml"))
    try:
        plots = write_plots(results, page.with_name(f"{page.stem}-plots"))
    except VariantUnavailable as error:  # the page says the same
        plots = []
        print(f"auparity: no plots beside the page: {error}", file=sys.stderr)
    print(f"Look at {page}\n    and {page.with_suffix('.md')}, {page.with_suffix('.junit.xml')}, {len(plots)} plots")
    return 0


def _is_due(table: Path) -> bool:
    """Whether a table found in a folder is ours and newer than its page; prints the reason if not."""
    from auparity.cli.clip_report import beside
    from auparity.reports.clips.sidecar import read_sidecar

    sidecar = read_sidecar(table)
    if not sidecar:
        print(f"{table}: left out, because nothing beside it says that `auparity extract` wrote it.", file=sys.stderr)
        return False
    # A page is written last, so that an interrupted report is made again.
    page = beside(table, ".html")
    if page.is_file() and page.stat().st_mtime >= table.stat().st_mtime:
        print(f"{table}: already has a report, see {page}", file=sys.stderr)
        return False
    return True
