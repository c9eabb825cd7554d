"""Sizes that the headers of image files declare, read without decoding, and damage that their structure shows.

A decoder allocates what a header asks for; so the size is checked first, and the checksums of a PNG's chunks are
verified before libpng reads them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: JPEG markers without a length: TEM, RST0 to RST7, SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
#: Start of frame: all of C0 to CF but DHT (C4), JPG (C8), DAC (CC).
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: PNG chunks without influence on the pixels may be damaged (all lower-case ones but the orientation).
_ORIENTATION_CHUNK = b"eXIf"


class Size(NamedTuple):
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def declared_size(image_format: str, data: bytes) -> Size | None:
    """The size that the header of a whole file in memory declares; None if none can be found.

    Parameters
    ----------
    image_format : as `content.identify` names it.
    """
    reader = _READERS.get(image_format)
    try:
        return reader(data) if reader else None
    except (struct.error, IndexError, ValueError):  # a header that ends early or holds no numbers
        return None


def png_damage(data: bytes) -> str | None:
    """What is wrong with a PNG's chunks, or None: each must be inside the file and match its checksum, up to IEND."""
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return f"its {_name(name)} chunk is cut off"
        counts = name[:1].isupper() or name == _ORIENTATION_CHUNK
        if (
            counts
            and zlib.crc32(memoryview(data)[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]
        ):
            return f"its {_name(name)} chunk is damaged (wrong checksum)"
        if name == b"IEND":
            return None
        position = end
    return "its end is missing"


def png_is_animated(data: bytes) -> bool:
    """Whether an acTL chunk announces more than one picture."""
    at = data.find(b"acTL")
    first = data.find(b"IDAT")
    return 0 < at < first and struct.unpack_from(">I", data, at + 4)[0] > 1


def tiff_pages(data: bytes) -> int:
    """How many images a TIFF file holds (2 where there are more)."""
    order, big = _tiff_layout(data)
    offset = _tiff_first(data, order, big)
    count, _, after = _tiff_directory(data, offset, order, big)
    return 2 if count and after else 1


def _name(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")


def _jpeg(data: bytes) -> Size | None:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        elif marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return Size(width, height)
        else:
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _png(data: bytes) -> Size:
    return Size(*struct.unpack_from(">II", data, 16))


def _bmp(data: bytes) -> Size:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return Size(*struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Size(abs(width), abs(height))  # a negative height: stored from the top


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return Size(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", data, 26)
    return Size(width & 0x3FFF, height & 0x3FFF)


def _pnm(data: bytes) -> Size | None:
    tokens = _pnm_tokens(data)
    magic = next(tokens)
    if magic == b"P7":
        pairs = dict(zip(tokens, tokens, strict=False))
        return Size(int(pairs[b"WIDTH"]), int(pairs[b"HEIGHT"])) if pairs.keys() >= {b"WIDTH", b"HEIGHT"} else None
    return Size(int(next(tokens)), int(next(tokens)))


def _pnm_tokens(data: bytes) -> Iterator[bytes]:
    """Words of a PNM header, comments left out; of a PAM header up to ENDHDR. Looks at the first 4 KiB."""
    for line in data[:4096].split(b"\n"):
        for word in line.split(b"#")[0].split():
            if word == b"ENDHDR":
                return
            yield word
    raise ValueError("the header ends early")


def _jpeg2000(data: bytes) -> Size | None:
    if data.startswith(b"\xff\x4f\xff\x51"):
        right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
        return Size(right - left, bottom - top)
    at = data.find(b"ihdr")
    if at < 0:
        return None
    height, width = struct.unpack_from(">II", data, at + 4)
    return Size(width, height)


def _heif(data: bytes) -> Size | None:
    """The largest `ispe` property: those of the tiles of a grid are smaller than that of the whole."""
    sizes, at = [], data.find(b"ispe")
    while at >= 0:
        sizes.append(Size(*struct.unpack_from(">II", data, at + 8)))
        at = data.find(b"ispe", at + 4, 1 << 20)
    return max(sizes, key=lambda size: size.pixels, default=None)


def _tiff_layout(data: bytes) -> tuple[str, bool]:
    return ("<" if data[:2] == b"II" else ">"), (43 in (data[2], data[3]))


def _tiff_first(data: bytes, order: str, big: bool) -> int:
    return int(struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0])


def _tiff_directory(data: bytes, offset: int, order: str, big: bool) -> tuple[int, dict[int, int], int]:
    """Entries of a directory: how many, the values of those that hold one short or long, where the next one is."""
    count = int(struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0])
    start, step = offset + (8 if big else 2), 20 if big else 12
    values = {}
    for k in range(min(count, 4096)):
        entry = start + k * step
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if kind in (3, 4, 16):
            code = {3: "H", 4: "I", 16: "Q"}[kind]
            values[tag] = int(struct.unpack_from(order + code, data, entry + (12 if big else 8))[0])
    end = start + count * step
    following = int(struct.unpack_from(order + ("Q" if big else "I"), data, end)[0])
    return count, values, following


def _tiff(data: bytes) -> Size | None:
    order, big = _tiff_layout(data)
    _, values, _ = _tiff_directory(data, _tiff_first(data, order, big), order, big)
    return Size(values[256], values[257]) if values.keys() >= {256, 257} else None


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "bmp": _bmp,
    "webp": _webp,
    "pnm": _pnm,
    "jpeg2000": _jpeg2000,
    "heif": _heif,
    "avif": _heif,
    "tiff": _tiff,
}
