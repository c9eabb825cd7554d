"""Where one can begin to decode in the middle of a video, and still know the number of every frame.

Seeking in containers goes by time, lands on key frames, and is not exact in all of them. So the packets of the stream
are read once without being decoded (a few MB of headers or the whole file, as the container has it): their presentation
times in order say how many pictures there are, and the number of every key frame. A reader that begins at a key frame
decodes from there, and goes back to the beginning of the file where the first picture is not that key frame's.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Frames between two key frames that are remembered, so that a file of key frames alone has no endless list.
SPACING = 30


class SeekPoint(NamedTuple):
    """A key frame, in units of the stream's time base."""

    number: int  #: of the frame, from 0
    presented: int  #: its presentation time
    decoded: int  #: its decoding time, by which some containers are searched
    first: int  #: presentation time of frame 0, from which time stamps count


@dataclass(frozen=True)
class VideoIndex:
    """Number of pictures of a stream, and where reading may begin; no such places if its times cannot be relied on."""

    frames: int
    points: tuple[SeekPoint, ...] = ()

    def before(self, frame: int) -> SeekPoint | None:
        """The last place at or before a frame; None for the beginning of the file."""
        place = bisect_right(self.points, frame, key=lambda point: point.number)
        return self.points[place - 1] if place and self.points[place - 1].number else None


def index_of(packets: Any) -> VideoIndex:
    """The index of a stream of packets, as `av` demuxes them.

    Without places where times are missing or come twice, or a packet is marked corrupt: numbers of frames would be
    guesses there.
    """
    import av  # here, because those who only name places do without it

    times, keys, reliable = array("q"), [], True
    try:
        for packet in packets:
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None or packet.is_corrupt:
                reliable = False
            times.append(packet.pts or 0)
            if packet.is_keyframe and packet.pts is not None:
                keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
    except (av.FFmpegError, OSError):
        reliable = False
    ordered = array("q", sorted(times))
    if not reliable or any(ordered[k] == ordered[k + 1] for k in range(len(ordered) - 1)):
        return VideoIndex(len(times))
    points: list[SeekPoint] = []
    for presented, decoded in sorted(keys):
        number = bisect_left(ordered, presented)
        if not points or number >= points[-1].number + SPACING:
            points.append(SeekPoint(number, presented, decoded, ordered[0]))
    return VideoIndex(len(times), tuple(points))
