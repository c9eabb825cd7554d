"""Decode one video file with FFmpeg (PyAV) in the calling process. Users call `open_clip`, which isolates it.

Pixels are those of OpenCV's FFmpeg backend, which the recordings were made with: conversion to BGR by swscale with
bicubic chroma, rotation by the file's display matrix in steps of 90 degrees.

Whether a clip is whole is judged by its picture stream, never by declared durations, which are estimates:

1. The container's own pieces end within the file (`structure.missing_end`), or every stored picture could be read
   nevertheless; and the demuxer reads to the end without an error. Otherwise the clip is truncated: `VideoError` after
   its last good frame. The last, cut packet is not decoded.
2. The headers of AVI and MXF count the stored pictures of the stream; the last one read must be the last one counted.
   Otherwise rule 1 applies, or rule 3 if the end of an AVI is present and pictures before it are missing.
3. Every frame decodes without an error of the decoder and without the mark "corrupt". Otherwise reading goes on, and
   `problems` and `damaged_frames` of the clip say where.

A stream that is cut exactly between two pictures cannot be distinguished from a shorter or a trimmed one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer

from auparity.errors import VideoError
from auparity.media.complaints import Complaints, from_decoder
from auparity.media.content import identify, require_file
from auparity.media.images import check_pixels
from auparity.media.memory_limit import memory_for
from auparity.media.names import printable
from auparity.media.seeking import SeekPoint, index_of
from auparity.media.structure import missing_end
from auparity.media.timing import Clock
from auparity.media.types import ASSUMED_FPS, Encoding, Frame, Image, Notes, Timestamps, black

#: Threads of the decoder; more hold more frames in memory and gain nothing for one face tracker.
THREADS = 4
#: Bytes that are read at a time.
BUFFER_BYTES = 1 << 18
#: Numbers of damaged frames that are kept, and shown in a message.
MOST_DAMAGED, SHOWN_DAMAGED = 1_000, 10
#: Pictures that a decoder may hold back, with room for its threads.
MOST_REORDERED = 64
#: The header may count one picture too many if the writer was stopped between two.
COUNT_SLACK = 1
#: Demuxers that return only whole packets; with the others the last packet of a truncated file is incomplete.
_WHOLE_PACKETS = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
_BREAKS_OFF = ("ended prematurely", "partial file", "truncated")
_NO_VIDEO = (
    "cannot be opened as a video; it is damaged, not finished or not a video. If a player shows it, convert it: "
    "ffmpeg -i INPUT OUTPUT.mp4"
)
#: FFmpeg reads single pictures through demuxers of these names.
_PICTURE_FORMATS = frozenset({"image2", "gif", "apng", "webp", "ico", "tty"})


class VideoReader:
    """The frames of one video file.

    Attributes
    ----------
    fps : frames a second of the rule frame number / rate: as asked for, as the file states, or `ASSUMED_FPS`.
    n_frames : the number of pictures that the container states; None if it states none.
    notes : grows while reading.
    index : with `indexed`, where reading may begin; the frames of this reader cannot be read then.

    Without `pixels` frames are black: they are decoded, but not converted.
    """

    def __init__(
        self, path: Path, *, timestamps: Timestamps, fps: float | None, max_pixels: int, complaints: Complaints,
        pixels: bool = True, indexed: bool = False,
    ) -> None:  # fmt: skip
        require_file(path)
        self._shown = printable(path)
        self.notes = Notes()
        self._complaints, self._max_pixels, self._pixels_wanted = complaints, max_pixels, pixels
        content = identify(path)
        if content.kind == "image" and content.format:
            raise VideoError(f"{self._shown}: is an image, not a video.")
        try:
            self._missing = missing_end(path)
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise VideoError(f"{self._shown}: cannot be read ({error.strerror}).") from error
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise
        self.fps: float | None = fps or self._rate()
        self.n_frames: int | None = self._stream.frames or self._estimated_frames()
        context = self._stream.codec_context
        self.encoding: Encoding | None = Encoding(
            self._container.format.name, context.codec.canonical_name, context.pix_fmt or ""
        )
        self._timestamps = timestamps
        self._in_avi = self._container.format.name == "avi"
        self._begin()
        self.index = None
        if indexed:
            with memory_for(self._pixels()):
                self.index = index_of(self._container.demux(self._stream))
            if self._in_avi and self._stream.codec_context.has_b_frames:  # whose times FFmpeg guesses
                self.index = replace(self.index, points=())

    def close(self) -> None:
        self._container.close()
        self._file.close()

    def frames(self, first: int, point: SeekPoint | None = None) -> Generator[Frame]:
        """Iterate from frame `first` on. Earlier frames are decoded as well, those from `point` on where it is given;
        what is said of the whole file (`notes`) is then that of the part that was read.

        The image may be a view of the decoder's memory with any strides; it stays valid.
        """
        packets, last_dts = 0, None
        with memory_for(self._pixels()):
            if point is not None and not self._seek(point):
                self._reopen()
            for packet, is_last in self._packets():
                if packet.size:
                    packets += 1
                    last_dts = packet.dts
                    if is_last and self._is_cut(packet):
                        continue
                    self._places.append(packet.dts)
                for frame in self._decode(packet):
                    if frame.pts is not None and frame.pts < self._from:  # shown before the key frame
                        continue
                    timed = self._timed(frame, self._given >= first)
                    if self._given > first:
                        yield timed
        self.notes.warnings.extend(self._clock.warnings())
        self._note_damage()
        self._check_end(packets, last_dts)

    # Opening

    def _begin(self) -> None:
        """Nothing of the stream was decoded yet."""
        self._clock = Clock(self._timestamps, self.fps or ASSUMED_FPS)
        self._places: deque[int | None] = deque(maxlen=MOST_REORDERED)
        self._size: tuple[int, int] | None = None
        self._given, self._from = 0, -(1 << 63)
        self._n_damaged, self._last_damaged = 0, -1

    def _reopen(self) -> None:
        """Back to the beginning of the file."""
        self._container.close()
        self._file.seek(0)
        self._open()
        self._begin()

    def _seek(self, point: SeekPoint) -> bool:
        """Go to a key frame, whose number and time count from there; False if the container does not lead there."""
        try:
            self._container.seek(point.decoded, stream=self._stream, backward=True)
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and packet.size and packet.pts >= point.presented:
                    if packet.pts != point.presented:
                        return False
                    break
            self._container.seek(point.decoded, stream=self._stream, backward=True)
        except (av.FFmpegError, OSError):
            return False
        self._given, self._from = point.number, point.presented
        self._clock.begin_at(point.number, point.first * cast(Fraction, self._stream.time_base))
        return True

    def _open(self) -> None:
        # A file object instead of the name: names may look like protocols (a colon) or not be UTF-8. No protocol is
        # allowed, so that playlists cannot make FFmpeg open other files or addresses.
        options = {**self._codec_limit(), "protocol_whitelist": "none"}
        self._complaints.take()
        try:
            with memory_for(self._max_pixels):
                self._container = cast(
                    InputContainer,
                    av.open(self._file, options=options, metadata_errors="replace", buffer_size=BUFFER_BYTES),
                )
        except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
            lines = [line.rpartition("] ")[2] for line in self._complaints.take()]
            reason = f" ({lines[0]})" if lines else ""
            detail = f"; {self._missing}" if self._missing else ""
            raise VideoError(f"{self._shown}: {_NO_VIDEO}{reason}{detail}.") from error
        self._complaints.take()  # discards messages of probing; important ones come again during decoding
        try:
            self._stream = self._choose_stream()
            context = self._stream.codec_context
            check_pixels(self._shown, context.width, context.height, self._max_pixels)
            context.options = self._codec_limit()
            context.thread_count = THREADS
            context.thread_type = "AUTO"
        except BaseException:
            self._container.close()
            raise
        self._decoder_names = (context.name, context.codec.canonical_name)
        self._demuxer_names = tuple({self._container.format.name} - set(self._decoder_names))

    def _codec_limit(self) -> dict[str, str]:
        """Set the decoder's own limit as a second safeguard; it counts padding, too, so it is wider than ours."""
        return {"max_pixels": str(min(2 * self._max_pixels + (1 << 20), (1 << 31) - 1))}

    def _choose_stream(self) -> Any:
        name = self._container.format.name
        if name.endswith("_pipe") or name in _PICTURE_FORMATS:
            kind = name.removesuffix("_pipe")
            raise VideoError(f"{self._shown}: is an image of a kind that is not read here ({kind}). Convert it to PNG.")
        streams = [s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise VideoError(f"{self._shown}: holds no moving picture (sound or other data only).")
        if streams[0].codec_context is None:
            raise VideoError(f"{self._shown}: {_NO_VIDEO} (no decoder for its codec).")
        if len(streams) > 1:
            self.notes.warnings.append(f"holds {len(streams)} picture streams, of which the first is measured")
        return streams[0]

    def _rate(self) -> float:
        rate = self._stream.average_rate or self._stream.guessed_rate  # as OpenCV, and with it OpenFace, has it
        if rate and rate > 0:
            return float(rate)
        self.notes.warnings.append(
            f"the file states no frame rate; frame number / rate assumes {ASSUMED_FPS:g} frames a second"
        )
        return ASSUMED_FPS

    def _estimated_frames(self) -> int | None:
        stream, length = self._stream, self._container.duration
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif length:
            seconds = length / av.time_base
        else:
            return None
        count = round(seconds * (self.fps or ASSUMED_FPS))
        return count if 0 < count < 2**31 else None

    # Decoding

    def _pixels(self) -> int:
        context = self._stream.codec_context
        return int(context.width * context.height) * (context.thread_count or 1)

    def _packets(self) -> Iterator[tuple[av.Packet[Any], bool]]:
        """Packets of the picture stream, and whether each is the last with data; an empty one flushes the decoder."""
        held: Any = None
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError, MemoryError) as error:
                self._missing = self._missing or f"reading it fails ({error})"
                break
            if held is not None:
                yield held, packet.size == 0
                held = None
            if packet.size == 0 and packet.dts is None:
                yield packet, False
            else:
                held = packet
        if held is not None:
            yield held, True
        yield av.Packet(), False

    def _is_cut(self, packet: Any) -> bool:
        """Whether the last packet of the stream is incomplete; decoding it would give a partly invented picture."""
        if packet.is_corrupt:
            self._missing = self._missing or "its last picture is cut off"
            return True
        return self._missing is not None and self._container.format.name not in _WHOLE_PACKETS

    def _decode(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = self._stream.decode(packet if packet.size else None)
        except av.FFmpegError as error:
            self._damaged(self._given)
            frames = []
            if isinstance(error, MemoryError):
                raise VideoError(
                    f"{self._shown}: needs more memory to decode than its size should; it is damaged."
                ) from error
        if from_decoder(self._complaints_seen(), self._decoder_names):
            self._damaged(self._given)
        return frames

    def _timed(self, frame: Any, wanted: bool) -> Frame:
        if frame.is_corrupt:
            self._damaged(self._given)
        size = (frame.width, frame.height)
        if self._size is None:
            check_pixels(self._shown, *size, self._max_pixels)
            self._size = size
        if size != self._size:
            raise VideoError(
                f"{self._shown}: frame {self._given} is {size[0]}x{size[1]} pixels, those before it are "
                f"{self._size[0]}x{self._size[1]}. One clip has one size: cut the file where it changes."
            )
        self._given += 1
        image = _bgr(frame) if wanted and self._pixels_wanted else _black(frame)
        return Frame(image, self._clock.stamp(self._presentation_time(frame)))

    def _presentation_time(self, frame: Any) -> Fraction | None:
        """In seconds, as the container states it."""
        pts = frame.pts
        if self._in_avi and self._stream.codec_context.has_b_frames:
            # AVI stores no presentation times, and FFmpeg's guesses are wrong where pictures are reordered; but every
            # stored picture has a place on a regular grid, and pictures are shown in the order of these places.
            pts = self._places.popleft() if self._places else None
        return None if pts is None else pts * self._stream.time_base

    # Judging

    def _complaints_seen(self) -> list[str]:
        lines = self._complaints.take()
        for text in from_decoder(lines, self._demuxer_names):
            if any(word in text for word in _BREAKS_OFF):
                self._missing = self._missing or text.rstrip(".")
            elif len(self.notes.problems) < SHOWN_DAMAGED:
                self.notes.problems.append(f"reading the file near frame {self._given}: {text}")
        return lines

    def _damaged(self, index: int) -> None:
        if index > self._last_damaged:
            self._n_damaged, self._last_damaged = self._n_damaged + 1, index
            if self._n_damaged <= MOST_DAMAGED:
                self.notes.damaged_frames.append(index)

    def _note_damage(self) -> None:
        self._complaints_seen()
        numbers = self.notes.damaged_frames
        if not numbers:
            return
        shown = ", ".join(map(str, numbers[:SHOWN_DAMAGED])) + (", ..." if len(numbers) > SHOWN_DAMAGED else "")
        self.notes.problems.append(
            f"{self._n_damaged} frames decoded with errors (at or shortly after frame {shown}); pictures there, and up "
            "to the next key frame, are partly invented or left out. Copy the file again from its source"
        )

    def _check_end(self, packets: int, last_dts: int | None) -> None:
        if self._given == 0:
            detail = f" ({self._missing})" if self._missing else ""
            raise VideoError(
                f"{self._shown}: opens as a video, but not one frame can be decoded{detail}. Convert or copy it again."
            )
        counted = self._counted()
        if counted is not None and last_dts is not None and last_dts + 1 < counted - COUNT_SLACK:
            if self._in_avi and not self._missing:  # its end is present, so pictures before it were lost
                self.notes.problems.append(
                    f"its header counts {counted} pictures, of which {last_dts + 1} could be found; the numbers and "
                    "times of the frames after lost ones are too low. Copy the file again from its source"
                )
            else:
                self._missing = self._missing or f"its header counts {counted} pictures"
        if self._missing and 0 < self._stream.frames <= packets:
            self.notes.warnings.append(f"all its pictures are there, but the file breaks off: {self._missing}")
        elif self._missing:
            of = f" of {self._stream.frames}" if self._stream.frames else ""
            raise VideoError(
                f"{self._shown}: ends after {self._given}{of} frames; it is truncated or damaged ({self._missing}). "
                "Copy it again from its source."
            )

    def _counted(self) -> int | None:
        """Pictures that the header counts, in formats whose decoding times count pictures from 0."""
        if self._in_avi:
            return int(self._stream.frames)
        return self._stream.duration if self._container.format.name == "mxf" else None


def _black(frame: Any) -> Image:
    """Black, of the size that `_bgr` gives."""
    is_turned = frame.rotation % 180 == 90
    return black(frame.width, frame.height) if is_turned else black(frame.height, frame.width)


def _bgr(frame: Any) -> Image:
    """(H, W, 3) uint8 of a frame as OpenCV would give it; a view of the converted frame's memory."""
    converted = frame.reformat(format="bgr24", interpolation="BICUBIC")
    plane = converted.planes[0]
    if plane.line_size < 0:
        image: Image = converted.to_ndarray()
    else:
        shape = (converted.height, converted.width, 3)
        image = np.ndarray(shape, np.uint8, buffer=plane, strides=(plane.line_size, 3, 1))
    turns = round(frame.rotation / 90) if frame.rotation % 90 == 0 else 0
    return np.rot90(image, turns) if turns else image
