"""The page of one table of ``auparity extract``, with the video that it shows, and the overlay if that is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.cli.repeat_commands import repeat_commands
from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.media import Frame, ImageSequence, VideoFile
    from auparity.reports.clips.page import Video
    from auparity.reports.clips.sidecar import Sidecar
    from auparity.reports.clips.table import ResultTable

ASSUMED_FPS = 30.0


@dataclass(frozen=True)
class Written:
    """What was made of one table."""

    page: Path  #: what to look at first
    beside: tuple[Path, ...]  #: other files: the overlay, and a video that is too large for the page
    with_truth: bool


def report_clip(
    table: Path, *, clip: Path | None = None, truth: Path | None = None, overlay: bool = False
) -> Written | None:
    """The page of one table; None, with a message, for a table without rows.

    Parameters
    ----------
    clip : the video, folder of images or image; None for the one that the sidecar names. The frames of a camera were
        not kept: its page shows the landmarks without a picture.
    truth : ``truth.csv`` of a rendered clip; None for the one among its frames or, as ``NAME.truth.csv``, beside its
        video, if there is one.
    overlay : also draw the measurements into a video, or into a picture.

    Raises
    ------
    AuparityError : the clip is unknown or does not belong to the table, or something cannot be read.
    """
    from auparity.models.synthetic.clip_folder import truth_beside
    from auparity.models.synthetic.truth_file import shows_drawn_head
    from auparity.reports.clips.page import write_page
    from auparity.reports.clips.sidecar import read_sidecar
    from auparity.reports.clips.table import IN_SPACE, read_result_table

    sidecar, result = read_sidecar(table), read_result_table(table, left_out=IN_SPACE)
    if not len(result):
        print(f"{table}: has no rows, so there is nothing to draw.", file=sys.stderr)
        return None
    from_camera = clip is None and sidecar.get("input", {}).get("kind") == "camera"
    if from_camera and overlay:
        raise AuparityError(f"{table}: was recorded from a camera, and its frames were not kept; leave --overlay out.")
    clip = clip or (None if from_camera else _clip_of(table, sidecar))
    if clip is not None and result.photograph:
        return _report_photograph(result, clip, sidecar, overlay)
    if result.persons is not None:
        return _report_people(result, clip, sidecar, truth, overlay)
    if clip is not None and truth is None and truth_beside(clip).is_file():
        truth = truth_beside(clip)
    page = beside(table, ".html")
    shown = _shown(result, clip, sidecar)
    made = [] if clip is None or not overlay else [*_overlay(result, clip, shown.fps, sidecar, truth)]
    commands = repeat_commands(table, clip, sidecar, truth)
    drawn = truth is not None and shows_drawn_head(truth)
    write_page(result, page, fps=shown.fps, truth=truth, drawn=drawn, video=shown.video, commands=commands)
    return Written(page, (*made, *_kept(shown.video)), truth is not None)


def _report_people(
    result: ResultTable, clip: Path | None, sidecar: Sidecar, truth: Path | None, overlay: bool
) -> Written:
    """The page of a clip of several people."""
    from auparity.models.synthetic.clip_folder import TRUTH
    from auparity.reports.clips.page import write_people_page

    table, notes = result.path, []
    if truth is not None:
        raise AuparityError(f"{table}: has several people, and a truth is of one face; leave --truth out.")
    if clip is not None and (clip / TRUTH).is_file():
        notes.append(f"The {TRUTH} of this clip is of one face, so nothing on this page is compared with it.")
        print(f"{table}: {notes[0]}", file=sys.stderr)
    page, shown = beside(table, ".html"), _shown(result, clip, sidecar)
    made = [] if clip is None or not overlay else [*_overlay(result, clip, shown.fps, sidecar, None)]
    write_people_page(
        result, page, fps=shown.fps, frames=shown.frames, notes=notes, video=shown.video,
        commands=repeat_commands(table, clip, sidecar, None),
    )  # fmt: skip
    return Written(page, (*made, *_kept(shown.video)), False)


def _report_photograph(result: ResultTable, clip: Path, sidecar: Sidecar, overlay: bool) -> Written:
    """The page of an image."""
    from auparity.media import read_image
    from auparity.reports.clips.overlay import write_photograph
    from auparity.reports.clips.photograph_page import write_photograph_page

    image, page, made = read_image(clip), beside(result.path, ".html"), []
    if overlay:
        made.append(beside(result.path, ".overlay.jpg"))
        write_photograph(image, result.path, made[0])
    write_photograph_page(result, image, page, commands=repeat_commands(result.path, clip, sidecar, None))
    return Written(page, tuple(made), False)


@dataclass(frozen=True)
class _Shown:
    video: Video | None  #: None of a camera
    frames: int | None  #: of the clip, those that were measured
    fps: float


def _shown(result: ResultTable, clip: Path | None, sidecar: Sidecar) -> _Shown:
    """The video of a page: the clip itself where browsers play it, else a small one, written beside the table."""
    from auparity.media import VideoFile, open_clip
    from auparity.media.web_video import SUFFIX, played_by_browsers, write_web_video
    from auparity.reports.clips.page import Video

    if clip is None:
        return _Shown(None, sidecar.get("frames"), ASSUMED_FPS)
    with open_clip(clip) as source:
        fps = source.fps or ASSUMED_FPS
        # Under OpenFace's rule frames have other times than in the file, which browsers go by.
        own_times = sidecar.get("request", {}).get("timestamps") != "index"
        if isinstance(source, VideoFile) and own_times and played_by_browsers(Path(source.path), source.encoding):
            first = next(iter(source), None)
            count = _require_frames(result, sidecar, source, clip)
            size = (1, 1) if first is None else first.image.shape[1::-1]
            return _Shown(Video(Path(source.path), size), count, fps)
        size, count, path = (1, 1), 0, beside(result.path, f".clip{SUFFIX}")

        def timed() -> Iterator[Frame]:
            nonlocal size, count
            time_of = _times(result, fps)
            for frame in _watched(islice(source, sidecar.get("frames")), clip.name, source.n_frames):
                size, count = frame.image.shape[1::-1], count + 1
                yield frame._replace(timestamp=time_of(count - 1))

        try:
            write_web_video(timed(), path, fps)
            _check(result, count)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return _Shown(Video(path, size, is_clip=False), count, fps)


def _times(result: ResultTable, fps: float) -> Any:
    """The time in seconds, since the first frame, of a frame counted from 0, as the table has it."""
    import numpy as np

    from auparity.reports.clips.people import Clock

    clock = Clock(result, fps)
    start = float(clock.at(np.zeros(1))[0])
    return lambda frame: float(clock.at(np.array([frame]))[0]) - start


def _require_frames(result: ResultTable, sidecar: Sidecar, source: Any, clip: Path) -> int:
    """The number of frames of a video, of those that were measured; AuparityError where the table has more."""
    from auparity.media import open_clip

    count = source.index().frames
    if count < result.columns["frame"].max():  # packets are not pictures in every file: see what it gives
        with open_clip(clip, pixels=False) as again:
            count = sum(1 for _ in again)
    count = min(count, sidecar.get("frames") or count)
    _check(result, count)
    return int(count)


def _check(result: ResultTable, count: int) -> None:
    last = int(result.columns["frame"].max())
    if count < last:
        raise AuparityError(
            f"{result.path}: has rows of frame {last}, but the clip gave {count} frames; it is another clip's."
        )


def _overlay(result: ResultTable, clip: Path, fps: float, sidecar: Sidecar, truth: Path | None) -> Iterator[Path]:
    """Write the overlay video, and yield its path."""
    from auparity.media import open_clip
    from auparity.reports.clips.overlay import SUFFIX, write_overlay
    from auparity.reports.clips.overlay_people import write_people_overlay

    path = beside(result.path, f".overlay{SUFFIX}")
    with open_clip(clip) as source:
        images = (frame.image for frame in _watched(source, f"{clip.name}: overlay", source.n_frames))
        if result.persons is None:
            write_overlay(images, result.path, path, truth, fps=fps)
        else:
            write_people_overlay(images, result.path, path, count=sidecar.get("frames"), fps=fps)
    yield path


def _kept(video: Video | None) -> tuple[Path, ...]:
    """The small video if it is too large for the page; else it is inside, and the file goes."""
    from auparity.reports.clips.page import is_inside

    if video is None or video.is_clip:
        return ()
    if is_inside(video):
        video.path.unlink()
        return ()
    return (video.path,)


def _watched(frames: Iterable[Frame] | VideoFile | ImageSequence, name: str, total: int | None) -> Iterator[Frame]:
    """Frames, with a bar on a terminal that says how far they are."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from auparity.media import printable

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from frames
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        yield from bars.track(frames, total=total, description=printable(name))


def beside(table: Path, suffix: str) -> Path:
    """The file made from a table: NAME and the suffix, or NAME.parquet and the suffix if there is a NAME.csv."""
    from auparity.tables.files import shown_name

    return table.with_name(shown_name(table) + suffix)


def _clip_of(table: Path, sidecar: Sidecar) -> Path:
    recorded = sidecar.get("input", {}).get("path")
    if recorded is None:
        raise AuparityError(f"{table}: nothing beside it says which clip it is of; name it: --clip VIDEO.")
    if not os.path.exists(recorded):  # Path.exists raises where a name is too long
        raise AuparityError(f"{table}: its clip {recorded} is no longer there; name it: --clip VIDEO.")
    return Path(recorded)
