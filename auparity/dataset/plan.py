"""Which clips' rows go into which file of a data set, so that a later run rewrites as few files as possible.

A file is named by a hash of what is in it: the clips in order, the SHA-256 of their tables, their labels, and the
columns. A file of an earlier run that would have the same name now is therefore the file that is wanted, and stays.
Clips that are new or changed, and those of small files, are put together in the order of their names and packed into
files of a given number of rows; a clip is never divided.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from auparity.dataset.clips import Clip

FRAMES = "frames"  #: the folder of the rows
#: A file with a smaller share of the wanted rows is put together with others when there are some.
SMALL = 0.5
#: Bytes of a folder's name; file systems allow 255.
LONGEST = 200
#: In a folder's name, where a clip has no such label. Hive's own word for it keeps pandas from reading the data set.
NO_VALUE = "no_value"
_KEY_DIGITS = 24


@dataclass(frozen=True)
class RowFile:
    """A file of the data set: the rows of some clips."""

    path: str  #: below the data set, with / between folders
    clips: tuple[Clip, ...]

    @property
    def rows(self) -> int:
        return sum(clip.rows for clip in self.clips)


@dataclass(frozen=True)
class Layout:
    """How files are made."""

    signature: Sequence[str]  #: names and types of the columns
    partition: str  #: "none", "clip" or a label
    rows: int  #: of a file, about

    def file(self, clips: Sequence[Clip]) -> RowFile:
        """The file of some clips of one partition."""
        content = [self.signature, [[clip.clip, clip.table_sha256, sorted(clip.labels.items())] for clip in clips]]
        key = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_KEY_DIGITS]
        folder = self.folder(clips[0])
        return RowFile("/".join(filter(None, [FRAMES, folder, f"part-{key}.parquet"])), tuple(clips))

    def folder(self, clip: Clip) -> str:
        """The folder below `FRAMES` of a clip's partition; "" without partitions."""
        if self.partition == "none":
            return ""
        value = clip.clip if self.partition == "clip" else clip.labels.get(self.partition, "")
        return f"by_{_for_path(self.partition)}={_for_path(value) or NO_VALUE}"


def plan(clips: Iterable[Clip], layout: Layout, earlier: Mapping[str, Sequence[str]]) -> list[RowFile]:
    """The files of a data set of these clips.

    Parameters
    ----------
    clips : those with rows.
    earlier : the files of the data set as it is, with the names of the clips whose rows each has, in order.
    """
    left = {clip.clip: clip for clip in clips}
    kept = []
    for path, names in earlier.items():
        members = [left[name] for name in names if name in left]
        if len(members) < len(names):
            continue
        file = layout.file(members)
        fits = file.rows <= layout.rows or len(members) == 1
        if file.path == path and fits and file.rows >= SMALL * layout.rows:
            kept.append(file)
            for name in names:
                del left[name]
    pools: dict[str, list[Clip]] = {}
    for name in sorted(left):
        pools.setdefault(layout.folder(left[name]), []).append(left[name])
    packed = [layout.file(group) for pool in pools.values() for group in _pack(pool, layout.rows)]
    return sorted([*kept, *packed], key=lambda file: (file.path.rpartition("/")[0], file.clips[0].clip))


def _pack(clips: Sequence[Clip], rows: int) -> list[list[Clip]]:
    groups: list[list[Clip]] = []
    count = rows
    for clip in clips:
        if not groups or count + clip.rows > rows:
            groups.append([])
            count = 0
        groups[-1].append(clip)
        count += clip.rows
    return groups


def _for_path(value: str) -> str:
    """A value as part of a folder's name, encoded as in addresses; one that is too long is cut and gets a hash."""
    text = quote(value, safe="")
    if text.endswith("."):  # which Windows would drop
        text = text[:-1] + "%2E"
    if len(text) > LONGEST:
        start = re.sub(r"%.?\Z", "", text[: LONGEST - 17])
        text = f"{start}~{hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return text
