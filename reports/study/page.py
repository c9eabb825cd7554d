"""A page about a study: quality, action units by group, what stands out, and all clips, to filter, sort and save.

A `Study` in, one HTML file out, which works offline like the page of a clip. What it looks like is in the template
``study.html.j2`` and the scripts ``study*.js`` of `reports/clips/web`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auparity.errors import AuparityError
from auparity.reports.clips.page import link
from auparity.reports.clips.page_parts import Tile, Verdict, write_html
from auparity.reports.clips.sidecar import Sidecar
from auparity.reports.page_text import percent
from auparity.reports.results.text import counted
from auparity.reports.study.outliers import FEWEST, LIMIT, LIMIT_OF_UNITS, Outlier, outliers
from auparity.reports.study.page_data import study_data, told
from auparity.reports.study.records import DONE, FaceRow, Study

SCRIPTS = (
    "vendor/uPlot.iife.min.js", "data.js", "svg_context.js", "drawing.js", "files.js", "save.js", "study_data.js",
    "study_table.js", "study_charts.js", "study.js",
)  # fmt: skip
#: Outliers and failures that the page lists at its top; all are in its tables and in `.auparity-failures`.
SHOWN_OUTLIERS, SHOWN_FAILURES = 10, 200


@dataclass(frozen=True)
class _Standing:
    """A face that stands out, as the page lists it."""

    name: str
    page: str | None
    distance: str
    why: list[str]


@dataclass(frozen=True)
class _Warning:
    text: str
    clips: int
    example: str


def write_study_page(study: Study, out_path: Path, *, commands: Sequence[str] = ()) -> list[list[Outlier]]:
    """Write the page of a study, atomically; what stands out of each row.

    Parameters
    ----------
    commands : command lines that reproduce it.

    Raises
    ------
    AuparityError : there is nothing to show.
    """
    rows = study.rows
    if not rows and not study.failures:
        raise AuparityError("there is no clip to make a page of.")
    found = outliers(rows, study.within)
    document = study_data(study, found, out_path)
    order = sorted(
        (place for place, each in enumerate(found) if each), key=lambda place: -abs(found[place][0].distance)
    )
    standing = [_standing(rows[place], found[place], out_path) for place in order[:SHOWN_OUTLIERS]]
    alike = Counter((row.kind, study.within and row.labels.get(study.within)) for row in rows)
    compared = max(alike.values(), default=0) >= FEWEST
    write_html(
        out_path, "study.html.j2", Sidecar(), (document if rows else {}, ""),
        sheets=("vendor/uPlot.min.css", "study.css"), script_files=SCRIPTS,
        name=study.name, title="A study", about=_about(study), verdict=_verdict(study, len(order)),
        warnings=study.notes, tiles=_tiles(study, len(order)), commands=commands, compared=compared,
        standing=standing, more=len(order) - len(standing), limit=LIMIT,
        unit_limit=LIMIT_OF_UNITS, fewest=FEWEST, within=study.within,
        failures=study.failures[:SHOWN_FAILURES], more_failures=max(len(study.failures) - SHOWN_FAILURES, 0),
        told_warnings=_warnings(rows), labels=study.labels,
    )  # fmt: skip
    return found


def _clips(rows: Sequence[FaceRow]) -> dict[str, FaceRow]:
    """A row of each clip."""
    return {row.clip: row for row in rows}


def _about(study: Study) -> str:
    kinds = Counter(row.kind for row in _clips(study.rows).values())
    parts = [counted(kinds[kind], kind) for kind in ("clip", "image") if kinds[kind]]
    frames = sum(row.frames or 0 for row in _clips(study.rows).values())
    parts += [counted(frames, "frame")] if frames else []
    return f"{study.name}: {', '.join(parts) or 'no results'}"


def _share(rows: Sequence[FaceRow]) -> float | None:
    """Share of the frames of clips of one face in which it is tracked; None without such clips."""
    clips = [row for row in rows if row.frames and row.person is None]
    frames = sum(row.frames or 0 for row in clips)
    return sum(row.figures.tracked for row in clips) / frames if frames else None


def _confidence(rows: Sequence[FaceRow]) -> float | None:
    known = [row.figures for row in rows if row.figures.confidence is not None]
    total = sum(each.tracked for each in known)
    return sum((each.confidence or 0) * each.tracked for each in known) / total if total else None


def _verdict(study: Study, standing: int) -> Verdict:
    share, failures = _share(study.rows), len(study.failures)
    several = any(row.person is not None for row in study.rows)
    parts = [] if share is None or several else [f"A face is tracked in {percent(share)} of the frames"]
    faces = counted(len(study.rows), "face of a clip", "faces of clips") if several else counted(
        len(study.rows), "clip" if share is not None else "image"
    )  # fmt: skip
    parts.append(f"{standing} of {faces} stand{'s' if standing == 1 else ''} out")
    text = "; ".join(parts)
    text = f"{text[0].upper()}{text[1:]}."
    return Verdict(f"{counted(failures, 'input')} failed.", "bad", f" {text}") if failures else Verdict(text)


def _tiles(study: Study, standing: int) -> list[Tile]:
    clips = _clips(study.rows).values()
    tiles = [Tile(f"{len(clips):,}", "clips and images" if len({row.kind for row in clips}) > 1 else "images" if any(
        row.kind == "image" for row in clips) else "clips")]  # fmt: skip
    if len(study.rows) > len(clips):
        tiles.append(Tile(f"{len(study.rows):,}", "faces in them"))
    share, confidence = _share(study.rows), _confidence(study.rows)
    if share is not None:
        of = ", in clips of one face" if len(study.rows) > len(clips) else ""
        tiles.append(Tile(percent(share), f"of the frames with the face{of}"))
    if confidence is not None:
        tiles.append(Tile(f"{confidence:.2f}", "mean confidence"))
    tiles.append(Tile(f"{standing:,}", "stand out"))
    tiles.append(Tile(f"{sum(bool(row.warnings) for row in clips):,}", "with warnings"))
    unfinished = sum(row.status != DONE for row in clips)
    tiles += [Tile(f"{unfinished:,}", "not whole")] if unfinished else []
    tiles.append(Tile(f"{len(study.failures):,}", "failed"))
    return tiles


def _standing(row: FaceRow, found: Sequence[Outlier], page: Path) -> _Standing:
    target = link(row.page, page) if row.page is not None and row.page.is_file() else None
    return _Standing(row.name, target, f"{abs(found[0].distance):.1f}", [told(each) for each in found])


def _warnings(rows: Sequence[FaceRow]) -> list[_Warning]:
    """The warnings of sidecars, the most frequent first, with one of the clips that have each."""
    examples: dict[str, list[str]] = {}
    for row in _clips(rows).values():
        for text in dict.fromkeys(row.warnings):
            examples.setdefault(text, []).append(row.clip)
    ordered = sorted(examples.items(), key=lambda pair: -len(pair[1]))
    return [_Warning(text, len(clips), clips[0]) for text, clips in ordered]
