"""A page about one extracted clip: verdict, figures, overlay video, every measure over time, how to reproduce it.

Reads the table that `auparity extract` wrote, its sidecar and, for a rendered clip, ``truth.csv``; writes one HTML file
that needs nothing else (styles, charts, poster and video are inside it), for screens light and dark, telephones and
paper. Without a truth the page shows what was measured and compares nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy.typing as npt

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError
from auparity.reports.clips.au_table import au_table
from auparity.reports.clips.charts import au_charts, landmark_chart, pose_charts
from auparity.reports.clips.figures import N_AUS, TruthFigures, truth_figures
from auparity.reports.clips.measures import measures
from auparity.reports.clips.people import People, people_of
from auparity.reports.clips.people_sections import (
    people_charts,
    people_choice,
    people_comparison,
    people_overview,
    people_style,
    people_tiles,
    people_verdict,
)
from auparity.reports.clips.sidecar import Network, Sidecar, read_sidecar
from auparity.reports.clips.table import ResultTable, read_result_table
from auparity.reports.page_text import degrees, percent
from auparity.reports.results.text import safe
from auparity.reports.truth.targets import AU_CORRELATION, TargetResult, targets

Array = npt.NDArray[Any]

#: Videos up to this size (bytes) go into the page; larger ones stay beside it and are linked.
LARGEST_EMBEDDED = 24 << 20
#: Networks in place of the bundle's own models: what the page calls them, and the sidecar.
NETWORK_FACTS = (("faces found by", "detector"), ("landmarks found by", "landmarks"), ("fits begin at", "start"))
PEOPLE_DRAWN = (
    "68 landmarks, eyes, head axes and gaze drawn on every face, in the colour and with the number of its person, and "
    "beside them a column of bars for each person, with the intensity of every action unit."
)


def write_page(
    csv: Path,
    out_path: Path,
    *,
    fps: float,
    truth: Path | None = None,
    video: Path | None = None,
    poster: Path | None = None,
    commands: Sequence[str] = (),
) -> TruthFigures | None:
    """Write the page of one clip, atomically; the figures against the truth, if there is one.

    Parameters
    ----------
    csv : the table of a clip.
    fps : frames a second, for tables whose time stamps are all 0.
    truth : ``truth.csv`` of the rendered clip.
    video, poster : what `write_overlay` wrote.
    commands : command lines that reproduce everything.

    Raises
    ------
    AuparityError : a table cannot be read, is empty or of images, or is not of the same clip as the truth.
    """
    table = read_result_table(csv)
    if table.photograph or not len(table):
        raise AuparityError(
            f"{csv}: {'is of an image' if table.photograph else 'has no rows'}; pages are made of clips."
        )
    if table.persons is not None:
        raise AuparityError(f"{csv}: has several people; write_people_page makes their page.")
    true = None if truth is None else read_result_table(truth)
    figures = None if true is None else truth_figures(table, true)
    sidecar, seconds = read_sidecar(csv), table.seconds(fps)
    body = [
        _head(table, figures, sidecar, seconds),
        _warnings(sidecar.get("warnings", [])),
        _tiles(_measured_tiles(table, sidecar) if figures is None else _truth_tiles(table, figures, sidecar)),
        _video(csv.stem, out_path, video, poster, figures is not None),
        au_charts(table, true, figures, seconds),
        pose_charts(table, true, figures, seconds),
        *([] if figures is None else [landmark_chart(table, figures, seconds)]),
        au_table(measures(table).aus, figures),
        _reproduce(sidecar, commands),
    ]
    write_text_atomically(out_path, _document(csv.stem, _style("page.css"), body))
    return figures


def write_people_page(
    csv: Path,
    out_path: Path,
    *,
    fps: float,
    frames: int | None = None,
    notes: Sequence[str] = (),
    video: Path | None = None,
    poster: Path | None = None,
    portraits: Mapping[int, bytes] | None = None,
    commands: Sequence[str] = (),
) -> People:
    """Write the page of a clip of several people, atomically; the figures of each of them.

    Parameters
    ----------
    csv : the table of a clip, with `persons`.
    fps : frames a second, for tables whose time stamps are all 0.
    frames : length of the clip; None for what the sidecar says, or that of the last row's frame.
    notes : what else is to be said at the top of the page.
    video, poster, portraits : what `write_people_overlay` made.
    commands : command lines that reproduce everything.

    Raises
    ------
    AuparityError : the table cannot be read, is empty, or is not of several people.
    """
    table, sidecar = read_result_table(csv), read_sidecar(csv)
    if table.persons is None or not len(table):
        raise AuparityError(f"{csv}: {'is not of several people' if len(table) else 'has no rows'}.")
    people = people_of(table, frames or sidecar.get("frames"), fps)
    body = [
        _title("Measurements", csv.stem, people.frames, people.seconds[1], sidecar, people_verdict(people)),
        _warnings([*sidecar.get("warnings", []), *notes]),
        _tiles(people_tiles(people) + _speed_tile(sidecar)),
        people_overview(people, portraits or {}),
        _figure(f"Video of {csv.stem}: {PEOPLE_DRAWN}", out_path, video, poster),
        *([people_comparison(people), people_choice(people), people_charts(people, sidecar)] if people.persons else []),
        _reproduce(sidecar, commands),
    ]
    style = _style("page.css") + _style("people.css") + people_style(people)
    write_text_atomically(out_path, _document(csv.stem, style, body))
    return people


def _style(name: str) -> str:
    return (resources.files("auparity.reports") / name).read_text(encoding="utf-8")


def _document(name: str, style: str, body: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>auparity: {safe(name)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _head(table: ResultTable, figures: TruthFigures | None, sidecar: Sidecar, seconds: Array) -> str:
    share = measures(table).share
    if figures is None:
        title = "Measurements"
        verdict = f"A face was tracked in {percent(share)} of the frames."
        if not share:
            verdict = '<strong class="bad">No face was found in this clip: its rows hold no measurements.</strong>'
    else:
        title = "Measured against the truth"
        missed = [v for v in figures.verdicts if not v.reached]
        kept = f"All {len(figures.verdicts)} targets that apply to one clip are reached."
        lost = f"{len(missed)} of {len(figures.verdicts)} targets missed: " + "; ".join(v.target.title for v in missed)
        verdict = f'<strong class="{"bad" if missed else "good"}">{safe(lost + "." if missed else kept)}</strong>'
        verdict += (
            f" {figures.aus_following} of the {len(figures.moving)} AUs that move in this clip follow the truth with r "
            f"of {targets()[AU_CORRELATION].limit} or more."
        )
    return _title(title, table.path.stem, len(table), seconds[-1], sidecar, verdict)


def _title(title: str, name: str, frames: int, seconds: float, sidecar: Sidecar, verdict: str) -> str:
    bundle = sidecar.get("bundle", {})
    length = f"{frames} frames, {seconds:.1f} s" if seconds > 0 else f"{frames} frames"
    weights = f", models {safe(str(bundle['name']))} {safe(str(bundle.get('version', '')))}" if "name" in bundle else ""
    return (
        f'<header><h1>{title}</h1>\n<p class="faint">{safe(name)}: {length}{weights}</p>\n'
        f'<p class="verdict">{verdict}</p></header>'
    )


def _warnings(warnings: Sequence[str]) -> str:
    """Warnings, those of the extraction first, shown before any figure."""
    items = "".join(f"<li>{safe(text)}</li>" for text in warnings)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _tiles(tiles: Sequence[tuple[str, str, str]]) -> str:
    """Figures as (value, what it is, HTML remark)."""
    items = (f"<li><b>{safe(value)}</b><span>{safe(what)}</span>{note}</li>" for value, what, note in tiles)
    return '<ul class="tiles">\n' + "\n".join(items) + "\n</ul>"


def _measured_tiles(table: ResultTable, sidecar: Sidecar) -> list[tuple[str, str, str]]:
    figures = measures(table)
    tiles = [(percent(figures.share), "of the frames with a tracked face", "")]
    if figures.confidence is not None:
        tiles.append((f"{figures.confidence:.2f}", "mean confidence, of 1", ""))
    return tiles + _speed_tile(sidecar)


def _truth_tiles(table: ResultTable, figures: TruthFigures, sidecar: Sidecar) -> list[tuple[str, str, str]]:
    verdicts = {v.target.name: v for v in figures.verdicts}
    landmarks = figures.landmarks
    tiles = [
        (
            percent(landmarks.mean),
            "mean landmark error, of the inter-ocular distance",
            _note(verdicts["landmark_error"]),
        ),
        (
            percent(landmarks.failures),
            "of the frames lost or off by more than 10\N{NO-BREAK SPACE}%",
            _note(verdicts["landmark_failures"]),
        ),
    ]
    if "pose_error" in verdicts:
        tiles.append(
            (degrees(verdicts["pose_error"].value), "mean head orientation error", _note(verdicts["pose_error"]))
        )
    aus = verdicts.get("aus_correlated")
    remark = "" if aus is None else _remark(f"target: at most {N_AUS - aus.target.limit:g} do not", aus.reached)
    tiles.append((f"{figures.aus_following} of {len(figures.moving)}", "moving AUs follow the truth", remark))
    if figures.gaze_error is not None:
        tiles.append((degrees(figures.gaze_error), "mean gaze direction error", ""))
    return tiles + _speed_tile(sidecar)


def _speed_tile(sidecar: Sidecar) -> list[tuple[str, str, str]]:
    frames, seconds = sidecar.get("frames"), sidecar.get("seconds")
    if not frames or not seconds:
        return []
    return [(f"{1000 * seconds / frames:.0f} ms", "a frame, on the machine that measured it", "")]


def _note(verdict: TargetResult) -> str:
    limit = percent(verdict.target.limit) if verdict.target.unit.startswith("share") else degrees(verdict.target.limit)
    side = "at most" if verdict.target.at == "most" else "at least"
    return _remark(f"target {side} {limit}", verdict.reached)


def _remark(target: str, reached: bool) -> str:
    word, style = ("reached", "good") if reached else ("missed", "bad")
    return f'<span>{target}: <i class="{style}">{word}</i></span>'


def _video(name: str, page: Path, video: Path | None, poster: Path | None, with_truth: bool) -> str:
    alt = (
        f"Video of {name}: 68 landmarks, eyes, head axes and gaze drawn on the face, and a bar for every action unit "
        "beside it." + (" Rings and ticks mark the truth." if with_truth else "")
    )
    return _figure(alt, page, video, poster)


def _figure(alt: str, page: Path, video: Path | None, poster: Path | None) -> str:
    """The video with its description; "" without one."""
    if video is None:
        return ""
    image = "" if poster is None else _data(poster, "image/jpeg")
    small = video.stat().st_size <= LARGEST_EMBEDDED
    source = _data(video, "video/webm") if small else safe(_link(video, page))
    still = f'<img class="poster" src="{image}" alt="{safe(alt)}">' if image else ""
    shown = f' poster="{image}"' if image else ""
    return (
        f'<figure>\n<video controls loop muted playsinline preload="metadata"{shown} src="{source}" '
        f'aria-label="{safe(alt)}"></video>\n{still}\n<figcaption>{safe(alt)}'
        f"{'' if small else ' The video is beside this page.'}</figcaption>\n</figure>"
    )


def _link(target: Path, page: Path) -> str:
    """The relative address of a file, whatever characters its name has."""
    return quote(os.fsencode(Path(os.path.relpath(target, page.parent)).as_posix()))


def _network(chosen: Network | None) -> str | None:
    """A network that was chosen, with what must be said of it; None where none was."""
    if not chosen:
        return None
    note = f"; {chosen['note']}" if "note" in chosen else ""
    return f"{chosen.get('network')}, SHA-256 {chosen.get('sha256')}{note}"


def _reproduce(sidecar: Sidecar, commands: Sequence[str]) -> str:
    bundle, facts = sidecar.get("bundle", {}), []
    source: dict[str, Any] = dict(bundle.get("source", {}))
    for label, value in (
        ("made by", f"auparity {sidecar['auparity']}" if "auparity" in sidecar else None),
        ("models", " ".join(filter(None, (bundle.get("name"), bundle.get("version")))) or None),
        ("models' hash", bundle.get("content_hash")),
        *((label, _network(source.get(key))) for label, key in NETWORK_FACTS),
        ("date", sidecar.get("date")),
    ):
        if value:
            facts.append(f"<dt>{label}</dt><dd>{safe(str(value))}</dd>")
    if not facts and not commands:
        return ""
    lines = f"<pre><code>{safe(chr(10).join(commands))}</code></pre>\n" if commands else ""
    return f"<section><h2>How to reproduce</h2>\n{lines}<dl>{''.join(facts)}</dl></section>"


def _data(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
