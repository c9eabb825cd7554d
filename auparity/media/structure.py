"""Whether a file holds all bytes that its video container declares.

Containers nest pieces of declared size. A truncated file ends inside one of them, which can be seen without
decoding and does not depend on estimates of duration or frame counts:

| container | what must end within the file |
|---|---|
| MP4, MOV, 3GP | every top-level box |
| AVI | every RIFF list |
| Matroska, WebM | the segment, where its size is known (live recordings leave it open) |
| ASF (WMV) | every top-level object |
| FLV | the last tag, whose size is repeated behind it |
| MPEG program stream | the last packet |
| MPEG transport stream | the last packet of 188 (192, 204) bytes, and payloads of declared length |

Other containers, and cuts that fall exactly between two pieces, are left to the demuxer and the decoder.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from auparity.media.content import HEAD_BYTES, identify_bytes

#: Some writers count the 8 bytes of a RIFF header twice.
RIFF_SLACK = 9
#: Bytes at the end of a program stream in which its packets are followed.
TAIL_BYTES = 1 << 20
_PACK, _END = 0xBA, 0xB9
_TS_SYNC = 0x47
#: A loop bound for files of nothing but tiny pieces.
_MOST_PIECES = 1_000_000


def missing_end(path: Path) -> str | None:
    """How the file is truncated, in words; None if nothing shows it. Raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        check = _CHECKS.get(identify_bytes(head).format)
        return check(file, size) if check else None


def _cut(what: str, end: int, size: int) -> str | None:
    return f"{what} should end {end - size} bytes behind the end of the file" if end > size else None


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _boxes(file: BinaryIO, size: int) -> str | None:
    position = 0
    for _ in range(_MOST_PIECES):
        header = _read(file, position, 16)
        if len(header) < 8 or not header[4:8].isalnum():
            return None  # the end, or padding
        length, kind = struct.unpack_from(">I4s", header)
        if length == 1 and len(header) == 16:
            length = struct.unpack_from(">Q", header, 8)[0]
        if length < 8:  # 0: up to the end of the file
            return None
        position += length
        if position > size:
            return _cut(f"its {kind.decode('ascii')} box", position, size)
    return None


def _riff(file: BinaryIO, size: int) -> str | None:
    position = 0
    for _ in range(_MOST_PIECES):
        header = _read(file, position, 8)
        if len(header) < 8 or header[:4] != b"RIFF":
            return None
        length = struct.unpack_from("<I", header, 4)[0]
        if length == 0:  # written to a pipe
            return None
        position += 8 + length + length % 2
        if position > size + RIFF_SLACK:
            return _cut("its RIFF list", position, size)
    return None


def _asf(file: BinaryIO, size: int) -> str | None:
    position = 0
    for _ in range(_MOST_PIECES):
        header = _read(file, position, 24)
        length = struct.unpack_from("<Q", header, 16)[0] if len(header) == 24 else 0
        if length < 24:  # the end, or a broadcast
            return None
        position += length
        if position > size:
            return _cut("one of its objects", position, size)
    return None


def _matroska(file: BinaryIO, size: int) -> str | None:
    head = _read(file, 0, HEAD_BYTES)
    length, used = _ebml_number(head, 4)
    if length is None:
        return None
    segment = 4 + used + length
    header = _read(file, segment, 12)
    if header[:4] != b"\x18\x53\x80\x67":
        return None
    length, used = _ebml_number(header, 4)
    return None if length is None else _cut("its segment", segment + 4 + used + length, size)


def _ebml_number(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of variable length, None for "unknown", and the bytes that it takes."""
    if at >= len(data) or data[at] == 0:
        return None, 0
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _flv(file: BinaryIO, size: int) -> str | None:
    last = int.from_bytes(_read(file, max(size - 4, 0), 4), "big")
    tag = _read(file, size - 4 - last, 11) if 11 <= last < size - 4 else b""
    whole = len(tag) == 11 and tag[0] & 0x1F in (8, 9, 18) and int.from_bytes(tag[1:4], "big") + 11 == last
    return None if whole else "its last tag is cut off"


def _program_stream(file: BinaryIO, size: int) -> str | None:
    start = max(size - TAIL_BYTES, 0)
    tail = _read(file, start, TAIL_BYTES)
    position = tail.find(bytes((0, 0, 1, _PACK)))
    while 0 <= position < len(tail):
        if not tail[position:].strip(b"\0"):
            return None
        if len(tail) - position < 6:
            # An end code takes 4 bytes.
            return None if tail[position : position + 4] == bytes((0, 0, 1, _END)) else "its last packet is cut off"
        if tail[position : position + 3] != b"\0\0\1":
            return None  # not a stream of packets: nothing can be said
        code = tail[position + 3]
        if code == _PACK:
            position += (
                14 + (tail[position + 13] & 7) if len(tail) > position + 13 and tail[position + 4] & 0xC0 else 12
            )
        elif code == _END:
            position += 4
        else:
            position += 6 + int.from_bytes(tail[position + 4 : position + 6], "big")
    return _cut("its last packet", start + position, size) if position > len(tail) else None


def _transport_stream(file: BinaryIO, size: int) -> str | None:
    head = _read(file, 0, HEAD_BYTES)
    for start, length in ((0, 188), (4, 192), (0, 204)):
        if set(head[start::length]) == {_TS_SYNC}:
            rest = size % length
            begins = _read(file, size - rest + start, 1) if rest > start else b""
            if rest and (begins == bytes((_TS_SYNC,)) or rest <= start):
                return f"its last packet is cut off, {length - rest} bytes are missing"
            return _unfinished_payload(file, size - rest, start, length)
    return None


def _unfinished_payload(file: BinaryIO, end: int, start: int, length: int) -> str | None:
    """Whether any stream's last payload (PES packet, ISO/IEC 13818-1) of declared length is not finished at the end.

    Pictures mostly declare none; sound does, and lies between them.
    """
    first = max(end - TAIL_BYTES // length * length, 0)
    tail = _read(file, first, end - first)
    left: dict[int, int] = {}  # bytes to come of the payload at hand, by stream
    for at in range(start, len(tail) - 187, length):
        packet = tail[at : at + 188]
        if packet[0] != _TS_SYNC or not packet[3] & 0x10:
            continue  # without payload
        stream = int.from_bytes(packet[1:3], "big") & 0x1FFF
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40 and payload[:3] == b"\0\0\1" and len(payload) >= 6:
            declared = int.from_bytes(payload[4:6], "big")
            left[stream] = declared + 6 - len(payload) if declared else 0
        elif stream in left:
            left[stream] -= len(payload)
    missing = max(left.values(), default=0)
    return f"its last payload is not finished, {missing} bytes are missing" if missing > 0 else None


_CHECKS: dict[str, Callable[[BinaryIO, int], str | None]] = {
    "mp4": _boxes,
    "avi": _riff,
    "asf": _asf,
    "matroska": _matroska,
    "flv": _flv,
    "mpeg": _program_stream,
    "mpegts": _transport_stream,
}
