"""Which format a file of episodes has, by its suffix, and writing it in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auparity.atomic_files import write_text_atomically, writing
from auparity.errors import AuparityError
from auparity.tables.episode import Episode
from auparity.tables.episode_files.bids import events_json, events_tsv
from auparity.tables.episode_files.elan import eaf_document
from auparity.tables.episode_files.subtitles import srt_text, webvtt_text

#: Suffix and what it is.
EPISODE_FILES = {".eaf": "ELAN", ".srt": "SubRip subtitles", ".vtt": "WebVTT subtitles", ".tsv": "BIDS events"}


def sidecar_of(path: Path) -> Path:
    """The JSON file that describes a BIDS table."""
    return path.with_suffix(".json")


def write_episodes(path: Path, episodes: Sequence[Episode], media: Path | None = None) -> list[Path]:
    """Write episodes, in order of onset; see `Episodes.write`.

    Raises
    ------
    AuparityError : there is no such format. WriteError : it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".eaf":
        texts = {path: eaf_document(episodes, media, path.resolve().parent)}
    elif suffix == ".srt":
        texts = {path: srt_text(episodes)}
    elif suffix == ".vtt":
        texts = {path: webvtt_text(episodes)}
    elif suffix == ".tsv":
        texts = {sidecar_of(path): events_json(episodes), path: events_tsv(episodes)}
    else:
        known = ", ".join(f"{name} ({what})" for name, what in EPISODE_FILES.items())
        raise AuparityError(f"{path}: episodes are written as {known}, by the suffix.")
    if episodes and episodes[0].onset < 0 and suffix != ".tsv":
        raise AuparityError(
            f"{path}: {EPISODE_FILES[suffix]} cannot hold times before 0, and an episode begins at "
            f"{episodes[0].onset:.3f} s."
        )
    for file, text in texts.items():
        with writing(file):
            write_text_atomically(file, text)
    return list(texts)
