"""The content of a folder: images, videos, sub-folders, and other files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from auparity.errors import VideoError
from auparity.media.content import identify
from auparity.media.names import printable

#: Suffixes and names of ordinary companions of footage, which are left out without a message.
COMPANION_SUFFIXES = frozenset(
    {".csv", ".tsv", ".json", ".txt", ".md", ".rst", ".pdf", ".xml", ".yaml", ".yml", ".toml", ".log", ".html"}
    | {".parquet", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".edf", ".vhdr", ".vmrk", ".eeg", ".eaf", ".srt", ".vtt"}
    | {".wav", ".mp3", ".m4a", ".aac", ".flac", ".md5", ".sha256", ".thm", ".xmp", ".aae", ".py", ".r", ".m", ".sh"}
)
COMPANION_NAMES = frozenset({"thumbs.db", "desktop.ini", "readme", "license", "changes"})
#: A file with such a suffix and other content is a damaged image. If it were left out of a clip, all later frames would
#: get a number that is too low; so it is read, which raises an error about it.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"}
    | {".heic", ".heif", ".avif"}
)
#: Names of a list that a message shows.
SHOWN = 5


@dataclass
class Survey:
    """The entries of one folder, each sorted by name; hidden ones and companions are left out."""

    folder: Path
    images: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)  #: files that are neither, e.g. of unknown content
    unreadable: list[tuple[Path, str]] = field(default_factory=list)  #: broken links, empty files; with a sentence


def survey(folder: Path) -> Survey:
    """List a folder, without the folders below it.

    Raises
    ------
    VideoError : it is not a directory, or cannot be listed.
    """
    shown = printable(folder)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except NotADirectoryError as error:
        raise VideoError(f"{shown}: is not a directory.") from error
    except OSError as error:
        raise VideoError(f"{shown}: cannot be listed ({error.strerror}).") from error
    content = Survey(folder)
    for entry in entries:
        if not entry.name.startswith("."):
            _sort_in(content, entry)
    return content


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, identified by content and sorted by name; raises `VideoError` if there are none."""
    content = survey(folder)
    if content.images:
        return content.images
    raise without_images(content)


def without_images(content: Survey) -> VideoError:
    """The error for a folder without images; it says what there is instead."""
    return VideoError(f"{printable(content.folder)}: holds no images.{_what_it_holds(content)}")


def names_of(paths: list[Path]) -> str:
    """The names of a few files, and how many more there are."""
    shown = ", ".join(printable(path.name) for path in paths[:SHOWN])
    return shown if len(paths) <= SHOWN else f"{shown} and {len(paths) - SHOWN} more"


def _sort_in(content: Survey, entry: Path) -> None:
    if entry.is_dir():
        content.folders.append(entry)
        return
    companion = entry.suffix.lower() in COMPANION_SUFFIXES or entry.name.lower() in COMPANION_NAMES
    if companion and not entry.is_symlink():
        return
    try:
        kind = identify(entry).kind
    except VideoError as error:
        content.unreadable.append((entry, str(error)))
        return
    if kind == "other" and entry.suffix.lower() in PICTURE_SUFFIXES:
        kind = "image"
    if companion and kind == "other":
        return
    {"image": content.images, "video": content.videos, "other": content.others}[kind].append(entry)


def _what_it_holds(content: Survey) -> str:
    if content.videos:
        return (
            f" It holds {len(content.videos)} videos ({names_of(content.videos)}): name them, or measure each as a "
            "clip with `auparity extract --recursive`."
        )
    if content.unreadable:
        return f" {content.unreadable[0][1]}"
    if content.folders:
        count, names = len(content.folders), names_of(content.folders)
        return f" It holds {count} folders ({names}): `auparity extract --recursive` looks into them."
    return f" It holds files of other kinds ({names_of(content.others)})." if content.others else ""
