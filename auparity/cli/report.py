"""``auparity report``: pages of extracted clips, and pages of parity runs and benchmarks.

Tables of ``auparity extract``: the sidecar says which clip a table was made from. A rendered clip has its truth beside
its frames, and then every figure is compared with it. Writes ``NAME.overlay.webm``, ``NAME.overlay.jpg`` and
``NAME.html`` beside the table; for an image only ``NAME.overlay.jpg``. The page of a clip of several people (``auparity
extract --faces``, or OpenFace's FaceLandmarkVidMulti) has a choice of person, and is not compared with a truth.

Result files of ``auparity parity`` and ``auparity bench``: one page of all named files, ``NAME.html`` (self-contained,
works offline, can be printed), with ``NAME.md`` for a pull request, ``NAME.junit.xml`` for CI and pictures in
``NAME-plots``. NAME is that of the first file, or of ``-o``. The page charts earlier runs that are stored in
``reports/history``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.reports.clips.sidecar import Landmarks, Sidecar, Source

ASSUMED_FPS = 30.0
_EPILOG = """\
examples:
  auparity report out/                                  a page and an overlay for every table in a folder
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
        type=Path,
        metavar="FILE",
        help="tables (CSV, Parquet) or folders of them, or result files (JSON)",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE", help="page of result files; default: NAME.html")
    parser.add_argument("--clip", type=Path, help="video or folder of images, if the sidecar does not name it")
    parser.add_argument("--truth", type=Path, metavar="CSV", help="truth.csv, if it is not beside the frames")
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Written:
    """What was made of one table."""

    page: Path  #: what to look at first
    video: Path | None
    with_truth: bool


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity report``; 1 when a table could not be reported on (the others are)."""
    files = [path for path in arguments.tables if path.suffix == ".json"]
    if files:
        if len(files) != len(arguments.tables):
            raise AuparityError("tables and result files cannot be reported on together; name one kind at a time.")
        return report_results(files, arguments.output)
    if arguments.output is not None:
        raise AuparityError("-o names the page of result files; pages of tables are written beside them.")
    tables = [pair for path in arguments.tables for pair in (_tables_in(path) if path.is_dir() else [(path, True)])]
    if (arguments.clip, arguments.truth) != (None, None) and len(tables) != 1:
        raise AuparityError(f"--clip and --truth are for one table; there are {len(tables)}.")
    written, failed = [], 0
    for table, named in tables:
        try:
            if named or _is_due(table):
                made = report_clip(table, clip=arguments.clip, truth=arguments.truth)
                written += [] if made is None else [made]
        except (AuparityError, OSError) as error:  # OSError: disk full, or no permission to write beside the table
            print(f"auparity: error: {error}", file=sys.stderr)
            failed += 1
    for made in written:
        print(f"Look at {made.page}" + ("" if made.video is None else f"\n    and {made.video}"))
    if failed:
        print(f"{failed} of {len(tables)} tables could not be reported on; see the errors above.", file=sys.stderr)
    return 1 if failed else 0


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
    plots = write_plots(results, page.with_name(f"{page.stem}-plots"))
    print(f"Look at {page}\n    and {page.with_suffix('.md')}, {page.with_suffix('.junit.xml')}, {len(plots)} plots")
    return 0


def report_clip(table: Path, *, clip: Path | None = None, truth: Path | None = None) -> Written | None:
    """Overlay and page of one table (of an image only the overlay); None, with a message, for a table without rows.

    Raises
    ------
    AuparityError : the clip is unknown or does not belong to the table, or something cannot be read.
    """
    from auparity.media import open_clip, read_image
    from auparity.models.synthetic.clip_folder import TRUTH
    from auparity.reports.clips.overlay import SUFFIX, write_overlay, write_photograph
    from auparity.reports.clips.page import write_page
    from auparity.reports.clips.sidecar import read_sidecar
    from auparity.reports.clips.table import read_result_table

    sidecar = read_sidecar(table)
    result = read_result_table(table)
    if not len(result):
        print(f"{table}: has no rows, so there is nothing to draw.", file=sys.stderr)
        return None
    clip = clip or _clip_of(table, sidecar)
    if result.photograph:
        picture = _beside(table, ".overlay.jpg")
        write_photograph(read_image(clip), table, picture)
        return Written(picture, None, False)
    if result.persons is not None:
        return _report_people(table, clip, sidecar, truth)
    if truth is None and (clip / TRUTH).is_file():
        truth = clip / TRUTH
    video, poster, page = (_beside(table, end) for end in (f".overlay{SUFFIX}", ".overlay.jpg", ".html"))
    with open_clip(clip) as source:
        fps = source.fps or ASSUMED_FPS
        write_overlay((frame.image for frame in source), table, video, truth, fps=fps, poster=poster)
    commands = _commands(table, clip, sidecar, truth)
    write_page(table, page, fps=fps, truth=truth, video=video, poster=poster, commands=commands)
    return Written(page, video, truth is not None)


def _report_people(table: Path, clip: Path, sidecar: Sidecar, truth: Path | None) -> Written:
    """Overlay and page of a clip of several people."""
    from auparity.media import open_clip
    from auparity.models.synthetic.clip_folder import TRUTH
    from auparity.reports.clips.overlay import SUFFIX
    from auparity.reports.clips.overlay_people import write_people_overlay
    from auparity.reports.clips.page import write_people_page

    if truth is not None:
        raise AuparityError(f"{table}: has several people, and a truth is of one face; leave --truth out.")
    notes = []
    if (clip / TRUTH).is_file():
        notes.append(f"The {TRUTH} of this clip is of one face, so nothing on this page is compared with it.")
        print(f"{table}: {notes[0]}", file=sys.stderr)
    video, poster, page = (_beside(table, end) for end in (f".overlay{SUFFIX}", ".overlay.jpg", ".html"))
    with open_clip(clip) as source:
        fps = source.fps or ASSUMED_FPS
        made = write_people_overlay(
            (frame.image for frame in source), table, video, count=sidecar.get("frames"), fps=fps, poster=poster
        )
    write_people_page(
        table, page, fps=fps, frames=made.frames, notes=notes, video=video, poster=poster, portraits=made.portraits,
        commands=_commands(table, clip, sidecar, None),
    )  # fmt: skip
    return Written(page, video, False)


def _tables_in(folder: Path) -> list[tuple[Path, bool]]:
    """The tables in a folder that have a sidecar, none of them named by the user."""
    from auparity.reports.clips.sidecar import sidecar_of
    from auparity.reports.clips.table_files import tables_in

    tables = [(path, False) for path in tables_in(folder) if sidecar_of(path).is_file()]
    if not tables:
        raise AuparityError(f"{folder}: holds no table of `auparity extract`.")
    return tables


def _is_due(table: Path) -> bool:
    """Whether a table found in a folder is ours and newer than its page; prints the reason if not."""
    from auparity.reports.clips.sidecar import read_sidecar

    sidecar = read_sidecar(table)
    if not sidecar:
        print(f"{table}: left out, because nothing beside it says that `auparity extract` wrote it.", file=sys.stderr)
        return False
    # A clip's page is written after its overlay, so that an interrupted report is made again.
    photograph = sidecar.get("input", {}).get("kind") == "photograph"
    page = _beside(table, ".overlay.jpg" if photograph else ".html")
    if page.is_file() and page.stat().st_mtime >= table.stat().st_mtime:
        print(f"{table}: already has a report, see {page}", file=sys.stderr)
        return False
    return True


def _beside(table: Path, suffix: str) -> Path:
    """The file made from a table: NAME and the suffix, or NAME.parquet and the suffix if there is a NAME.csv."""
    from auparity.reports.clips.table_files import shown_name

    return table.with_name(shown_name(table) + suffix)


def _clip_of(table: Path, sidecar: Sidecar) -> Path:
    recorded = sidecar.get("input", {}).get("path")
    if sidecar.get("input", {}).get("kind") == "camera":
        raise AuparityError(f"{table}: was recorded from a camera, and its frames were not kept.")
    if recorded is None:
        raise AuparityError(f"{table}: nothing beside it says which clip it is of; name it: --clip VIDEO.")
    if not os.path.exists(recorded):  # Path.exists raises where a name is too long
        raise AuparityError(f"{table}: its clip {recorded} is no longer there; name it: --clip VIDEO.")
    return Path(recorded)


def _commands(table: Path, clip: Path, sidecar: Sidecar, truth: Path | None) -> list[str]:
    """Command lines that make table, video and page again, with placeholders for this machine's folders."""
    from auparity.benchmarks.repeat_command import described

    name, commands = clip.name, []
    if truth is not None:
        from auparity.models.synthetic.truth_file import read_truth

        true = read_truth(truth)
        meta = true.meta
        commands.append(
            f"auparity models render --seed {meta.seed} --frames {len(true)} --size {meta.width}x{meta.height} "
            f"-o {shlex.quote(name)}"
        )
    request, bundle = sidecar.get("request", {}), sidecar.get("bundle", {})
    camera = request.get("intrinsics", {})
    asked = {
        "fx": camera.get("fx"), "fy": camera.get("fy"), "cx": camera.get("cx"), "cy": camera.get("cy"),
        "max-frames": request.get("max_frames"), "fps": request.get("fps"),
    }  # fmt: skip
    options = "".join(f" --{option} {value:g}" for option, value in asked.items() if value is not None)
    if request.get("timestamps") == "index" and request.get("fps") is None:
        options += " --timestamps index"
    if request.get("multi_view") is False:
        options += " --no-multi-view"
    if request.get("columns") is not None:
        options += f" --columns {','.join(request.get('columns') or [])}"
    if request.get("static_aus"):
        options += " --static-aus"
    for option in ("faces", "aus", "face"):
        if request.get(option) is not None:
            options += f" --{option} {request[option]}"
    options += _networks(bundle.get("source", {}))
    options += _landmark_options(request.get("landmarks"), bundle.get("source", {}).get("landmark_model"))
    models, which = "embedded", ""
    if bundle.get("name") != models:
        models, kind = "DIR", bundle.get("source", {}).get("landmark_model", "unknown")
        which = f"  # DIR is {described(str(bundle.get('name')), kind, str(bundle.get('content_hash'))[:12])}"
    commands.append(f"auparity extract {shlex.quote(name)} --models {models}{options} -o .{which}")
    commands.append(f"auparity report {shlex.quote(table.name)}")
    return commands


def _networks(source: Source) -> str:
    """The options of `auparity extract` that choose these networks, by the names of their files."""
    chosen = {
        "detector": source.get("detector"), "landmarks": source.get("landmarks"), "start": source.get("start"),
    }  # fmt: skip
    return "".join(
        f" --{option} {shlex.quote(Path(network['file']).name)}"
        for option, network in chosen.items()
        if network is not None and "file" in network
    )


def _landmark_options(landmarks: Landmarks | None, model: str | None) -> str:
    """The options of `auparity extract` that give these settings of landmark detection; "" for the usual ones."""
    if landmarks is None:
        return ""
    from auparity.reference.landmarks import CECLM, CECLM_REG, CECLM_SIGMA, DetectorParameters

    usual = DetectorParameters().init_windows
    windows, fitting = landmarks.get("init_windows", list(usual)), landmarks.get("fitting", {})
    # The factors of CE-CLM come on top of what the options say.
    sigma, reg = (CECLM_SIGMA, CECLM_REG) if model == CECLM else (1.0, 1.0)
    numbers = {
        "iterations": fitting.get("iterations"), "sigma": _over(fitting.get("sigma"), sigma),
        "reg": _over(fitting.get("reg_factor"), reg), "w-reg": fitting.get("weight_factor"),
    }  # fmt: skip
    options = "" if tuple(windows) == usual else " --wild"
    options += "" if landmarks.get("validate", True) else " --no-validate"
    return options + "".join(f" --{name} {value:g}" for name, value in numbers.items() if value is not None)


def _over(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor
