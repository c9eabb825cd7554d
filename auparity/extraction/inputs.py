"""Which inputs the names on a command line mean.

Every file that was named, or found in a named folder, becomes a clip, an image, a problem (which makes the run fail) or
a notice (which is printed); nothing is left out silently. The content of a file decides what it is.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from auparity.errors import AddressError, VideoError
from auparity.extraction import stores
from auparity.extraction.lists import Listed
from auparity.media import identify, kind_by_suffix, printable
from auparity.media.folders import Survey, names_of, survey

__all__ = ["Input", "find_inputs", "printable"]

#: Folders that systems and tools make; a recursive search leaves them out.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "__pycache__", "System Volume Information", "@eaDir"})
_WILDCARDS = frozenset("*?[")


@dataclass(frozen=True)
class Input:
    """One thing to measure, or to report.

    Attributes
    ----------
    kind : "clip" (a video file or a folder of images), "photograph" (a single image), "problem" (nothing to measure,
        counts as a failed input) or "notice" (something was left out; the run does not fail for it).
    path : where it is, as named or found, links not resolved; of an address the path in its words.
    root : the named folder in which the input was found, for outputs that keep relative folders; else None.
    problem : the message of a problem or notice, a whole sentence that is safe to print.
    address : of an input that is not on this machine; else "".
    labels : what a list says of it.
    """

    kind: Literal["clip", "photograph", "problem", "notice"]
    path: Path
    root: Path | None = None
    problem: str = ""
    address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def find_inputs(
    names: Sequence[str], *, listed: Sequence[Listed] = (), photographs: bool = False, recursive: bool = False
) -> list[Input]:
    """The inputs that names on a command line and entries of lists mean, in their order; the same path named twice is
    one input, with the labels of the first.

    Parameters
    ----------
    names : files, folders, or wildcards that the shell has not expanded (``'*.mp4'``); addresses of the same.
    listed : entries of lists (`extraction.lists`).
    photographs : measure every image of a folder by itself, instead of as a frame of one clip.
    recursive : search folders below a folder: every video is a clip, and so is every folder of only images (or, with
        `photographs`, each of its images).
    """
    inputs = [item for name in names for item in _named(name, photographs, recursive)]
    for entry in listed:
        inputs += [replace(item, labels=entry.labels) for item in _named(entry.name, photographs, recursive)]
    seen: set[tuple[str, str]] = set()
    unique = []
    for item in inputs:
        key = (item.address or os.path.abspath(item.path), item.problem)
        if key not in seen:
            seen.add(key)
            unique.append(item)
    return unique


def _named(name: str, photographs: bool, recursive: bool) -> Iterator[Input]:
    if stores.is_address(name):
        yield from _at_address(name, recursive)
        return
    path = Path(name)
    if os.path.lexists(path) or not _WILDCARDS & set(name):
        yield from _from_path(path, photographs, recursive)
    elif "**" in name:
        text = "** is not expanded. Name the folder above and add --recursive."
        yield Input("problem", path, problem=f"{printable(name)}: {text}")
    else:
        matches = sorted(glob.glob(name))
        if not matches:
            yield Input("problem", path, problem=f"{printable(name)}: no file matches.")
        for match in matches:
            yield from _from_path(Path(match), photographs, recursive)


def _at_address(address: str, recursive: bool) -> Iterator[Input]:
    """Files at an address. They are told by their suffixes, without asking for each: a list may have many."""
    kind = kind_by_suffix(stores.name_in(address))
    found, folder = [address], Path(address)
    try:
        if _WILDCARDS & set(address) and not stores.is_web(address):
            found = stores.matching(address)
            if not found:
                yield Input("problem", folder, problem=f"{printable(address)}: no file matches.")
        elif kind == "other" and stores.is_folder(address):
            found = [each for each in stores.files_below(address, recursive=recursive) if _is_media(each)]
            if not found:
                advice = "" if recursive else " Add --recursive to look into its folders."
                yield Input("problem", folder, problem=f"{printable(address)}: holds no videos or images.{advice}")
    except AddressError as error:
        yield Input("problem", folder, problem=str(error))
        return
    for each in found:
        image = kind_by_suffix(stores.name_in(each)) == "image"
        yield Input("photograph" if image else "clip", Path(each), address=each)


def _is_media(address: str) -> bool:
    return kind_by_suffix(stores.name_in(address)) != "other"


def _from_path(path: Path, photographs: bool, recursive: bool) -> Iterator[Input]:
    if path.is_dir():
        if recursive:
            yield from _Search(path, photographs).below(path)
        else:
            yield from _folder(path, photographs)
        return
    try:
        kind = identify(path).kind
    except VideoError as error:
        yield Input("problem", path, problem=str(error))
        return
    # A file of unknown content may still be a video stream without a signature; opening it will show.
    yield Input("photograph" if kind == "image" else "clip", path)


def _folder(folder: Path, photographs: bool) -> Iterator[Input]:
    """The inputs of one folder without `recursive`."""
    try:
        content = survey(folder)
    except VideoError as error:
        yield Input("problem", folder, problem=str(error))
        return
    yield from _unreadable(content, None)
    shown = printable(folder)
    if content.videos and not (photographs and content.images):
        beside = f" beside {len(content.images)} images" if content.images else ""
        yield Input(
            "problem",
            folder,
            problem=f"{shown}: holds {len(content.videos)} videos ({names_of(content.videos)}){beside}. "
            "Add --recursive to measure each video as a clip, or name the files.",
        )
        return
    if content.images:
        yield from _images(content, photographs, None)
        passed_over = content.folders + content.videos + content.others
        if passed_over:
            text = f"left out, being no images: {names_of(passed_over)}. Add --recursive to look into folders."
            yield Input("notice", folder, problem=f"{shown}: {text}")
    elif not content.unreadable:
        inside = "holds no images or videos itself; add --recursive to look into its folders."
        yield Input("problem", folder, problem=f"{shown}: {inside if content.folders else _nothing_in(content)}")


def _images(content: Survey, photographs: bool, root: Path | None) -> Iterator[Input]:
    if photographs:
        for image in content.images:
            yield Input("photograph", image, root or content.folder)
    else:
        yield Input("clip", content.folder, root)


def _unreadable(content: Survey, root: Path | None) -> Iterator[Input]:
    for path, text in content.unreadable:
        yield Input("problem", path, root, text)


def _nothing_in(content: Survey) -> str:
    return (
        f"holds no images or videos ({names_of(content.others)})." if content.others else "holds no images or videos."
    )


@dataclass
class _Search:
    """A recursive search of one named folder; links to folders are followed, each folder once."""

    root: Path
    photographs: bool
    _visited: dict[tuple[int, int], Path] = field(default_factory=dict)

    def below(self, folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Input]:
        """All inputs in and below `folder`; `above` identifies the folders that it lies in."""
        shown = printable(folder)
        try:
            status = folder.stat()
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                yield self._problem(folder, "is a link to a folder that it lies in; it was not followed.")
                return
            if identity in self._visited:
                first = printable(self._visited[identity])
                yield Input("notice", folder, self.root, f"{shown}: is the same folder as {first}, measured once.")
                return
            self._visited[identity] = folder
            content = survey(folder)
        except VideoError as error:
            yield Input("problem", folder, self.root, str(error))
            return
        except OSError as error:
            yield self._problem(folder, f"cannot be read ({error.strerror}).")
            return
        yield from self._inputs(content)
        for below in content.folders:
            if below.name not in _SYSTEM_FOLDERS:
                yield from self.below(below, above | {identity})
        if folder == self.root and not (content.images or content.videos or content.folders or content.unreadable):
            yield self._problem(folder, _nothing_in(content))

    def _inputs(self, content: Survey) -> Iterator[Input]:
        yield from _unreadable(content, self.root)
        for video in content.videos:
            yield Input("clip", video, self.root)
        left_out = list(content.others)
        if content.images and (self.photographs or not content.videos):
            yield from _images(content, self.photographs, self.root)
        else:
            left_out += content.images
        if left_out:
            text = f"left out, being neither videos nor a folder of only images: {names_of(left_out)}."
            yield Input("notice", content.folder, self.root, f"{printable(content.folder)}: {text}")

    def _problem(self, path: Path, text: str) -> Input:
        return Input("problem", path, self.root, f"{printable(path)}: {text}")
