"""Files of faces beside the table of one person of several (`PersonChoice`), written in a second pass over the clip.

Who somebody is follows from the whole clip, so it is known at its end which row of a frame is the person's. HOG
descriptors, aligned faces and the overlay need the picture as well as the result. Writing them for every face of every
frame and dropping most of it would cost an aligned face and a descriptor for each, and could not work for the overlay,
whose encoded frames hang together. So the results of all rows go to a nameless file while the clip is measured (about
8 kB each), and at its end the clip is decoded once more; nothing is measured again, and no more than one frame and one
result are in memory.
"""

from __future__ import annotations

import pickle
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

from auparity.atomic_files import close_quietly, writing
from auparity.errors import ContractError, VideoError
from auparity.extraction.outputs.clip_outputs import ClipOutputs
from auparity.media import FrameSource, Image, ImageSequence, VideoFile, printable
from auparity.reference.results import FrameResult


def is_repeatable(source: FrameSource) -> TypeGuard[VideoFile | ImageSequence]:
    """Whether the clip can be read once more from its beginning."""
    return isinstance(source, VideoFile | ImageSequence)


class Spool:
    """The results of all rows of a clip, on disk: appended in order, read by number.

    Parameters
    ----------
    folder : where there is room for them. The file has no name there, so nothing stays of it, however the program ends.

    Raises
    ------
    OSError : the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, `close` closes it
        self._places = array("Q")

    def append(self, image: Image, results: list[FrameResult]) -> None:
        """The rows of the next frame, whose picture is not kept; raises `WriteError`."""
        with writing(self._folder):
            for result in results:
                self._places.append(self._file.tell())
                pickle.dump(result, self._file, pickle.HIGHEST_PROTOCOL)

    def read(self, number: int) -> FrameResult:
        """The row of this number, from 0, as it was appended; raises `WriteError`."""
        with writing(self._folder):  # what waits to be written is, before anything is read
            self._file.seek(self._places[number])
            result: FrameResult = pickle.load(self._file)  # our own, from a file that nobody else can open
        return result

    def close(self) -> None:
        """Give the space back; does nothing the second time."""
        close_quietly(self._file)


def spool_for(source: FrameSource, folder: Path) -> Spool:
    """Where the rows of a clip wait for the second pass.

    Raises
    ------
    ContractError : the clip cannot be read twice. OSError : as of `Spool`.
    """
    if not is_repeatable(source):
        raise ContractError(
            "extraction", "outputs",
            "none of files of faces where one person of a camera is asked for, because the person is known at the end "
            "alone and the frames are gone then; record a video and measure that",
            printable(source.path),
        )  # fmt: skip
    return Spool(folder)


def write_faces(source: FrameSource, spool: Spool, kept: Sequence[int], outputs: ClipOutputs) -> None:
    """Read the clip once more and write the outputs of the rows that stay, one for each frame.

    Parameters
    ----------
    kept : numbers of these rows, in the order of the frames.

    Raises
    ------
    VideoError : the clip gives fewer frames than the first time. WriteError : an output cannot be written.
    """
    assert is_repeatable(source)
    done = 0
    with source.again() as again:
        for number, frame in zip(kept, again, strict=False):  # a clip may have been measured in part
            outputs.append(frame.image, [spool.read(number)])
            done += 1
    if done < len(kept):
        raise VideoError(
            f"{printable(source.path)}: gave {len(kept)} frames when it was measured, but {done} when it was read once "
            "more for the files beside the table."
        )
