"""Messages of decoders about damage. FFmpeg, libjpeg, libpng and libtiff write to the standard error stream of the
process; the decoding child's is a file, which is read after every frame."""

from __future__ import annotations

import os
import re

#: The file of complaints is emptied beyond this many bytes: a damaged file can cause a line for every block.
EMPTY_BEYOND = 1 << 20
#: Bytes of complaints that are looked at after one frame.
LOOK_AT = 1 << 16

#: libjpeg found bytes between the picture and the next marker. A few are padding by cameras; many mean damage.
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker")
EXTRANEOUS_BYTES = 64
_DAMAGE = re.compile(r"corrupt|premature|truncat|damaged|invalid|bad |error|cut off|unsupported marker", re.IGNORECASE)
#: libtiff warns of tags that it does not know, OpenCV tells where in its sources it was.
_HARMLESS = re.compile(r"TIFF.*Warning|Warning.*tag|^\[ *(INFO|DEBUG)", re.IGNORECASE)

_LIBAV_LINE = re.compile(r"^\[(?P<who>[^@\]]+?) @ (?:0x)?[0-9a-fA-F]+\] (?P<text>.*)$")


class Complaints:
    """No complaints can be collected: decoding takes place in the process of the caller, whose stream is not ours."""

    def take(self) -> list[str]:
        """The lines since the last call."""
        return []


class StderrComplaints(Complaints):
    """Complaints in the file that is the standard error stream of this process, opened for appending."""

    def __init__(self) -> None:
        self._read = os.fstat(2).st_size

    def take(self) -> list[str]:
        size = os.fstat(2).st_size
        if size == self._read:
            return []
        os.lseek(2, self._read, os.SEEK_SET)
        text = os.read(2, min(size - self._read, LOOK_AT)).decode("utf-8", "replace")
        self._read = size
        if size > EMPTY_BEYOND:
            os.ftruncate(2, 0)
            self._read = 0
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def judge_image_complaints(lines: list[str]) -> tuple[str, list[str]]:
    """Interpret the messages of an image decoder: the first one about damage ("" if none), and warnings."""
    damage, warnings = "", []
    for line in lines:
        padding = _EXTRANEOUS.search(line)
        if padding and int(padding[1]) <= EXTRANEOUS_BYTES:
            warnings.append(f"the decoder says: {line}")
        elif _HARMLESS.search(line):
            continue
        elif _DAMAGE.search(line):
            damage = damage or line
        else:
            warnings.append(f"the decoder says: {line}")
    return damage, warnings


def from_decoder(lines: list[str], names: tuple[str, ...]) -> list[str]:
    """The texts of those FFmpeg messages that come from one of the named decoders or demuxers."""
    matches = (_LIBAV_LINE.match(line) for line in lines)
    return [match["text"] for match in matches if match and match["who"].strip() in names]
