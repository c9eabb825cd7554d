"""A page about one extracted clip: verdict, figures, overlay video, every measure over time, how to reproduce it.

Reads the table that `auparity extract` wrote, its sidecar and, for a rendered clip, ``truth.csv``; writes one HTML file
that needs nothing else (styles, charts, poster and video are inside it), for screens light and dark, telephones and
paper. Without a truth the page shows what was measured and compares nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError
from auparity.reports.action_units import ACTION_UNITS
from auparity.reports.clips.charts import au_charts, landmark_chart, pose_charts
from auparity.reports.clips.figures import N_AUS, TruthFigures, truth_figures
from auparity.reports.clips.sidecar import Sidecar, read_sidecar
from auparity.reports.clips.table import ResultTable, read_result_table
from auparity.reports.page_text import degrees, number, percent
from auparity.reports.results.text import safe
from auparity.reports.truth.targets import AU_CORRELATION, TargetResult, targets

Array = npt.NDArray[Any]

#: Videos up to this size (bytes) go into the page; larger ones stay beside it and are linked.
LARGEST_EMBEDDED = 24 << 20


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
        raise AuparityError(f"{csv}: has several people; pages are made of clips of one face. See `auparity summary`.")
    true = None if truth is None else read_result_table(truth)
    figures = None if true is None else truth_figures(table, true)
    sidecar, seconds = read_sidecar(csv), table.seconds(fps)
    body = [
        _head(table, figures, sidecar, seconds),
        _warnings(sidecar),
        _tiles(_measured_tiles(table, sidecar) if figures is None else _truth_tiles(table, figures, sidecar)),
        _video(csv.stem, out_path, video, poster, figures is not None),
        au_charts(table, true, figures, seconds),
        pose_charts(table, true, figures, seconds),
        *([] if figures is None else [landmark_chart(table, figures, seconds)]),
        _au_table(table, figures),
        _reproduce(sidecar, commands),
    ]
    style = (resources.files("auparity.reports") / "page.css").read_text(encoding="utf-8")
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>auparity: {safe(csv.stem)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )
    write_text_atomically(out_path, page)
    return figures


def _head(table: ResultTable, figures: TruthFigures | None, sidecar: Sidecar, seconds: Array) -> str:
    share, bundle = table.success.mean(), sidecar.get("bundle", {})
    length = f"{len(table)} frames, {seconds[-1]:.1f} s" if seconds[-1] > 0 else f"{len(table)} frames"
    weights = f", models {safe(str(bundle['name']))} {safe(str(bundle.get('version', '')))}" if "name" in bundle else ""
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
    return (
        f'<header><h1>{title}</h1>\n<p class="faint">{safe(table.path.stem)}: {length}{weights}</p>\n'
        f'<p class="verdict">{verdict}</p></header>'
    )


def _warnings(sidecar: Sidecar) -> str:
    """Warnings of the extraction, shown before any figure."""
    items = "".join(f"<li>{safe(text)}</li>" for text in sidecar.get("warnings", []))
    return f'<ul class="warnings">{items}</ul>' if items else ""


def _tiles(tiles: Sequence[tuple[str, str, str]]) -> str:
    """Figures as (value, what it is, HTML remark)."""
    items = (f"<li><b>{safe(value)}</b><span>{safe(what)}</span>{note}</li>" for value, what, note in tiles)
    return '<ul class="tiles">\n' + "\n".join(items) + "\n</ul>"


def _measured_tiles(table: ResultTable, sidecar: Sidecar) -> list[tuple[str, str, str]]:
    good = table.success
    tiles = [(percent(good.mean()), "of the frames with a tracked face", "")]
    if "confidence" in table.columns and good.any():
        tiles.append((f"{table.columns['confidence'][good].mean():.2f}", "mean confidence, of 1", ""))
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
    if video is None:
        return ""
    alt = (
        f"Video of {name}: 68 landmarks, eyes, head axes and gaze drawn on the face, and a bar for every action unit "
        "beside it." + (" Rings and ticks mark the truth." if with_truth else "")
    )
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


def _au_table(table: ResultTable, figures: TruthFigures | None) -> str:
    good = table.success
    intensity, presence = table.aus("r"), table.aus("c")
    heads = ["AU", "mean", "largest", "present"]
    if figures is not None:
        heads += ["truly present", "MAE", "r", "F1 of presence"]
    rows = []
    for name in dict.fromkeys([*intensity, *presence]):
        values = intensity[name][good] if name in intensity else np.zeros(0)
        cells = [number(_or_none(np.mean, values)), number(_or_none(np.max, values))]
        cells.append(percent(_or_none(np.mean, presence[name][good] if name in presence else np.zeros(0))))
        if figures is not None:
            one, other = figures.intensities.get(name), figures.presences.get(name)
            cells += [
                percent(None if other is None else other.true_share),
                number(None if one is None else one.mae), number(None if one is None else one.r),
                number(None if other is None else other.f1),
            ]  # fmt: skip
        label = f'<th scope="row"><b>{safe(name)}</b> {safe(ACTION_UNITS.get(name, ""))}</th>'
        rows.append(f"<tr>{label}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    if not rows:
        return ""
    compared = (
        " MAE and r compare intensities with the truth; a dash: the AU does not move in this clip or has no intensity."
        if figures is not None
        else ""
    )
    head = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        '<section><h2>Action units</h2>\n<div class="scroll"><table>\n<caption>Over the frames with a tracked face; '
        f"intensities from 0 to 5.{compared}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div></section>"
    )


def _reproduce(sidecar: Sidecar, commands: Sequence[str]) -> str:
    bundle, facts = sidecar.get("bundle", {}), []
    for label, value in (
        ("made by", f"auparity {sidecar['auparity']}" if "auparity" in sidecar else None),
        ("models", " ".join(filter(None, (bundle.get("name"), bundle.get("version")))) or None),
        ("models' hash", bundle.get("content_hash")),
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


def _or_none(statistic: Any, values: Array) -> float | None:
    return float(statistic(values)) if len(values) else None
