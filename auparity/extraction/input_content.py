"""The files that a clip or an image is read from, and whether they change meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auparity.fingerprints import Fingerprint, fingerprint_of_file, fingerprint_of_files
from auparity.media import FrameSource, ImageSequence


def files_of(source: FrameSource) -> Sequence[Path]:
    """The files that a clip is read from, in order."""
    return source.files if isinstance(source, ImageSequence) else [Path(source.path)]


class InputContent:
    """The content of an input when its extraction begins, to see whether it is still the same at the end."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._stamps = self._look()
        self.fingerprint: Fingerprint = (
            fingerprint_of_file(files[0]) if len(files) == 1 else fingerprint_of_files(files)
        )

    def changes(self) -> list[str]:
        """A problem if the input was changed in the meantime, by a recorder or a copy that was still running."""
        try:
            same = self._look() == self._stamps
        except OSError:
            same = False
        return [] if same else ["the input was changed while it was measured; wait until it is written, then repeat"]

    def _look(self) -> list[tuple[int, int]]:
        return [(status.st_size, status.st_mtime_ns) for status in (file.stat() for file in self._files)]
