"""A page about one extracted clip: verdict, figures, the clip with overlay, every measure over time, how to repeat it.

Reads the table that `auparity extract` wrote, its sidecar and, for a rendered clip, ``truth.csv``; writes one HTML file
that works offline (styles, scripts, measurements and a small video are inside it), for screens light and dark,
telephones and paper. Without a truth the page shows what was measured and compares nothing. What it looks like is in
the template and the scripts of `reports/clips/web`, what they draw in `page_data`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reports.clips.au_table import au_table, au_tables_of_people
from auparity.reports.clips.figures import N_AUS, TruthFigures, truth_figures
from auparity.reports.clips.measures import measures
from auparity.reports.clips.page_data import Subject, clip_data
from auparity.reports.clips.page_parts import LAYERS, Tile, Verdict, models_of, write_html
from auparity.reports.clips.people import People, people_of
from auparity.reports.clips.people_sections import (
    people_intensities,
    people_overview,
    people_style,
    people_tiles,
    people_verdict,
)
from auparity.reports.clips.sidecar import Sidecar, read_sidecar
from auparity.reports.clips.table import ResultTable, read_result_table
from auparity.reports.page_text import degrees, percent
from auparity.reports.truth.targets import AU_CORRELATION, TargetResult, targets

Array = npt.NDArray[Any]

#: Videos up to this size (bytes) go into the page; larger ones stay beside it and are linked.
LARGEST_EMBEDDED = 24 << 20
#: Types of the videos that pages hold.
_TYPES = {".webm": "video/webm", ".mov": "video/quicktime"}
#: Scripts of a clip's page, in the order in which they need each other.
SCRIPTS = (
    "vendor/uPlot.iife.min.js", "data.js", "thin.js", "player.js", "overlay.js", "heat.js", "svg_context.js",
    "drawing.js", "chart.js", "files.js", "save.js", "page.js",
)  # fmt: skip
INTENSITIES = "Intensity from 0 to 5 after calibration and smoothing over the clip"


@dataclass(frozen=True)
class Video:
    """The video that a page shows: the clip itself or a small one of it.

    `size` is that of the measured pictures, (width, height) px, which the video may have at another scale.
    """

    path: Path
    size: tuple[int, int]
    is_clip: bool = True  #: False for a small video that was made for the page


def write_page(
    table: ResultTable,
    out_path: Path,
    *,
    fps: float,
    truth: Path | None = None,
    drawn: bool = False,
    video: Video | None = None,
    commands: Sequence[str] = (),
) -> TruthFigures | None:
    """Write the page of one clip, atomically; the figures against the truth, if there is one.

    Parameters
    ----------
    table : of a clip.
    fps : frames a second, for tables whose time stamps are all 0.
    truth : ``truth.csv`` of the rendered clip. drawn : it shows a drawn head, not a person of a morphable model.
    video : what is shown below the landmarks; None for a plain ground.
    commands : command lines that reproduce everything.

    Raises
    ------
    AuparityError : the table is empty or of images, or the truth cannot be read or is not of the same clip.
    """
    csv = table.path
    if table.photograph or not len(table):
        raise AuparityError(
            f"{csv}: {'is of an image' if table.photograph else 'has no rows'}; pages are made of clips."
        )
    if table.persons is not None:
        raise AuparityError(f"{csv}: has several people; write_people_page makes their page.")
    true = None if truth is None else read_result_table(truth)
    figures = None if true is None else truth_figures(table, true)
    sidecar, seconds, found = read_sidecar(csv), table.seconds(fps), measures(table)
    frames = table.columns["frame"]
    subject = Subject(None, csv.stem, ("#2dd4bf", "#0b7d74"), table, np.arange(len(table)), true, figures)
    unit_table = au_table(found.aus, figures)
    _write(
        out_path, csv.stem, sidecar, commands, video, [subject], frames, seconds,
        title="Measurements" if figures is None else "Measured against the truth",
        about=_about(csv.stem, len(table), float(seconds[-1]), sidecar),
        verdict=_verdict(found.share, figures, _has_targets(sidecar), drawn),
        warnings=sidecar.get("warnings", []),
        tiles=(_measured_tiles(table, sidecar) if figures is None else _truth_tiles(figures, sidecar)),
        intensities=INTENSITIES, tables=[] if unit_table is None else [(None, unit_table)],
        shaded="" if table.success.all() else " Shaded: no face tracked.",
    )  # fmt: skip
    return figures


def write_people_page(
    table: ResultTable,
    out_path: Path,
    *,
    fps: float,
    frames: int | None = None,
    notes: Sequence[str] = (),
    video: Video | None = None,
    commands: Sequence[str] = (),
) -> People:
    """Write the page of a clip of several people, atomically; the figures of each of them.

    Parameters
    ----------
    table : of a clip, with `persons`.
    fps : frames a second, for tables whose time stamps are all 0.
    frames : length of the clip; None for what the sidecar says, or that of the last row's frame.
    notes : what else is to be said at the top of the page.
    video, commands : as of `write_page`.

    Raises
    ------
    AuparityError : the table is empty, or is not of several people.
    """
    csv, sidecar = table.path, read_sidecar(table.path)
    if table.persons is None or not len(table):
        raise AuparityError(f"{csv}: {'is not of several people' if len(table) else 'has no rows'}.")
    people = people_of(table, frames or sidecar.get("frames"), fps)
    persons = people.persons
    subjects = [Subject(each.number, each.name, each.colours, each.table, each.places) for each in persons]
    text, judged = people_verdict(people)
    tables = [(each.number, au_table(each.figures.aus, None, f"{each.name}: action units")) for each in persons]
    _write(
        out_path, csv.stem, sidecar, commands, video, subjects, people.grid + 1, people.times,
        title="Measurements", about=_about(csv.stem, people.frames, people.seconds[1], sidecar),
        verdict=Verdict(text, judged), warnings=[*sidecar.get("warnings", []), *notes],
        tiles=[Tile(*pair) for pair in people_tiles(people)] + _speed_tile(sidecar),
        overview=people_overview(people), people=persons,
        chosen=people.most_seen.number if persons else None, intensities=people_intensities(people, sidecar),
        comparison=au_tables_of_people(persons),
        tables=[(number, one) for number, one in tables if one is not None],
        shaded=" Shaded: the person is not tracked, and nothing is drawn.",
        style=people_style(people),
    )  # fmt: skip
    return people


def _write(
    out_path: Path,
    name: str,
    sidecar: Sidecar,
    commands: Sequence[str],
    video: Video | None,
    subjects: Sequence[Subject],
    frames: Array,
    seconds: Array,
    style: str = "",
    **parts: Any,
) -> None:
    """Fill the template and write the page."""
    size = None if video is None else video.size
    data = clip_data(name, subjects, frames, seconds, size) if subjects else ({}, "")
    charts = data[0].get("charts", [])
    truth = any(subject.truth is not None for subject in subjects)
    limit = f"target for the mean error, {100 * targets()['landmark_error'].limit:g} %"
    values: dict[str, Any] = {
        "name": name, "overview": None, "people": (), "chosen": None, "comparison": [], "pictures": video is not None,
        "video": None if video is None else _video(video, out_path), "truth": truth, "commands": commands,
        "layers": [*LAYERS, *([("truth", "truth")] if truth else [])],
        "limit": limit if any("limit" in chart for chart in charts) else "",
        "strips": any(chart["strip"] for chart in charts),
        "drawn": f"Video of {name}: 68 landmarks, eyes, head axes and gaze drawn on {_on(subjects)}."
        + (" Rings mark the truth." if truth else ""),
        **parts,
    }  # fmt: skip
    sheets = ("vendor/uPlot.min.css", *(("people.css",) if "overview" in parts else ()))
    write_html(
        out_path, "clip.html.j2", sidecar, data, sheets=sheets, style=style, script_files=SCRIPTS, **values
    )  # fmt: skip


def _on(subjects: Sequence[Subject]) -> str:
    several = any(subject.number is not None for subject in subjects)
    return "every face, in the colour and with the number of its person" if several else "the face"


#: What the bundle that comes with auparity calls itself in sidecars.
EMBEDDED = "embedded"


def _has_targets(sidecar: Sidecar) -> bool:
    """Whether the models are to reach targets on rendered faces: the embedded ones learned from other faces than clips
    show that are rendered without a file (docs/embedded.md)."""
    return sidecar.get("bundle", {}).get("name") != EMBEDDED


def _verdict(share: float, figures: TruthFigures | None, has_targets: bool, drawn: bool = False) -> Verdict:
    if figures is None:
        if not share:
            return Verdict("No face was found in this clip: its rows hold no measurements.", "bad")
        return Verdict(f"A face was tracked in {percent(share)} of the frames.")
    missed = [v for v in figures.verdicts if not v.reached]
    kept = f"All {len(figures.verdicts)} targets that apply to one clip are reached."
    lost = f"{len(missed)} of {len(figures.verdicts)} targets missed: " + "; ".join(v.target.title for v in missed)
    more = (
        f" {figures.aus_following} of the {len(figures.moving)} AUs that move in this clip follow the truth with r "
        f"of {targets()[AU_CORRELATION].limit} or more."
    )
    if not has_targets:
        off = percent(figures.landmarks.mean)
        aside = " The embedded models are made for people; a drawn head is new to them." if drawn else ""
        return Verdict(f"Landmarks are {off} of the inter-ocular distance off on average.", more=more + aside)
    return Verdict(f"{lost}." if missed else kept, "bad" if missed else "good", more)


def _about(name: str, frames: int, seconds: float, sidecar: Sidecar) -> str:
    length = f"{frames} frames, {seconds:.1f} s" if seconds > 0 else f"{frames} frames"
    return f"{name}: {length}{models_of(sidecar)}"


def _measured_tiles(table: ResultTable, sidecar: Sidecar) -> list[Tile]:
    figures = measures(table)
    tiles = [Tile(percent(figures.share), "of the frames with a tracked face")]
    if figures.confidence is not None:
        tiles.append(Tile(f"{figures.confidence:.2f}", "mean confidence, of 1"))
    return tiles + _speed_tile(sidecar)


def _truth_tiles(figures: TruthFigures, sidecar: Sidecar) -> list[Tile]:
    tiles = _tiles_with_targets(figures, sidecar)
    return tiles if _has_targets(sidecar) else [Tile(tile.value, tile.what) for tile in tiles]


def _tiles_with_targets(figures: TruthFigures, sidecar: Sidecar) -> list[Tile]:
    verdicts = {v.target.name: v for v in figures.verdicts}
    landmarks, missed = figures.landmarks, "of the frames lost or off by more than 10\N{NO-BREAK SPACE}%"
    tiles = [
        _judged(
            percent(landmarks.mean), "mean landmark error, of the inter-ocular distance", verdicts["landmark_error"]
        ),
        _judged(percent(landmarks.failures), missed, verdicts["landmark_failures"]),
    ]
    if "pose_error" in verdicts:
        pose = verdicts["pose_error"]
        tiles.append(_judged(degrees(pose.value), "mean head orientation error", pose))
    aus, followed = verdicts.get("aus_correlated"), f"{figures.aus_following} of {len(figures.moving)}"
    most = "" if aus is None else f"at most {N_AUS - aus.target.limit:g} do not"
    tiles.append(Tile(followed, "moving AUs follow the truth", most, aus is not None and aus.reached))
    if figures.gaze_error is not None:
        tiles.append(Tile(degrees(figures.gaze_error), "mean gaze direction error"))
    if figures.translation_error is not None:
        tiles.append(Tile(f"{figures.translation_error:.0f} mm", "mean head position error, most of it depth"))
    return tiles + _speed_tile(sidecar)


def _speed_tile(sidecar: Sidecar) -> list[Tile]:
    time = sidecar.get("frame_ms")
    return [Tile(f"{time:.3g} ms", "from one frame to the next, on the machine that measured it")] if time else []


def _judged(value: str, what: str, verdict: TargetResult) -> Tile:
    limit = percent(verdict.target.limit) if verdict.target.unit.startswith("share") else degrees(verdict.target.limit)
    side = "at most" if verdict.target.at == "most" else "at least"
    return Tile(value, what, f"{side} {limit}", verdict.reached)


def _video(video: Video, page: Path) -> dict[str, Any]:
    """Where the page finds the video, and what it says of it."""
    inside = is_inside(video)
    notes = [] if video.is_clip else ["A small video made for this page."]
    notes += [] if inside else ["The video is beside this page."]
    source = _data(video.path) if inside else link(video.path, page)
    return {"source": source, "sound": video.is_clip, "note": " ".join(notes)}


def is_inside(video: Video) -> bool:
    """Whether a page holds the video; it links others."""
    return video.path.stat().st_size <= LARGEST_EMBEDDED


def link(target: Path, page: Path) -> str:
    """The relative address of a file, whatever characters its name has."""
    return quote(os.fsencode(Path(os.path.relpath(target, page.parent)).as_posix()))


def _data(path: Path) -> str:
    kind = _TYPES.get(path.suffix.lower(), "video/mp4")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
