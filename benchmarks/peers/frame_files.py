"""Frames written to files without loss, for peers that only read files: images (BMP) and a video (AVI).

Both hold the pixels as they are, so that a peer sees exactly what auparity sees, and decoding is hardly more than
copying. Fields are those of Microsoft's BITMAPINFOHEADER and AVI RIFF; rows are padded to four bytes. Images have their
rows from the bottom up, as most readers expect. Videos have them from the top down (a negative height says so): on
bottom-up ones OpenCV's FFmpeg reader writes past its buffers (seen with opencv-python-headless 4.14.0.94) and the
process dies. In: (H, W, 3) uint8 BGR.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError

Image = npt.NDArray[np.uint8]

FPS = 30  # of the videos; peers that read them do not measure time
#: AVI counts bytes with 32 bits, and some readers take them for signed.
LARGEST_AVI = 2**31 - 1

_BMP_HEADER = 14  # bytes before the BITMAPINFOHEADER
_HAS_INDEX = 0x10  # AVIF_HASINDEX
_KEY_FRAME = 0x10  # AVIIF_KEYFRAME


def write_bmp(path: Path, image: Image) -> None:
    """One image."""
    pixels, header = _rows(image[::-1]), _bitmap_header(image, top_down=False)
    start = _BMP_HEADER + len(header)
    path.write_bytes(struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + pixels)


def write_avi(path: Path, images: Sequence[Image]) -> None:
    """A video of these frames, all of one size.

    Raises
    ------
    AuparityError : more than an AVI file can hold; says how many frames it can.
    """
    height, width = images[0].shape[:2]
    chunk = height * _stride(width)
    each = 8 + chunk + 16  # with its header and its entry in the index
    if len(images) * each > LARGEST_AVI:
        raise AuparityError(
            f"{len(images)} frames of {width}x{height} pixels do not fit into one uncompressed video; take at most "
            f"{LARGEST_AVI // each}."
        )
    microseconds, count = 1_000_000 // FPS, len(images)
    rate = min(chunk * FPS, 2**32 - 1)  # bytes a second
    main = struct.pack("<14I", microseconds, rate, 0, _HAS_INDEX, count, 0, 1, chunk, width, height, 0, 0, 0, 0)
    stream = struct.pack(
        "<4s4sIHHIIIIIIII4H", b"vids", b"DIB ", 0, 0, 0, 0, 1, FPS, 0, count, chunk, 0xFFFFFFFF, 0, 0, 0, width, height
    )
    strl = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", _bitmap_header(images[0], top_down=True)))
    hdrl = _list(b"hdrl", _chunk(b"avih", main) + strl)
    movi_size = 4 + count * (8 + chunk)
    index = b"".join(struct.pack("<4sIII", b"00db", _KEY_FRAME, 4 + k * (8 + chunk), chunk) for k in range(count))
    idx1 = _chunk(b"idx1", index)
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 4 + len(hdrl) + 8 + movi_size + len(idx1), b"AVI "))
        file.write(hdrl)
        file.write(struct.pack("<4sI4s", b"LIST", movi_size, b"movi"))
        for image in images:  # one after the other: all at once would be the clip in memory again
            file.write(_chunk(b"00db", _rows(image)))
        file.write(idx1)


def _rows(image: Image) -> bytes:
    """Pixels with rows padded to four bytes."""
    height, width = image.shape[:2]
    rows = np.zeros((height, _stride(width)), np.uint8)
    rows[:, : 3 * width] = image.reshape(height, 3 * width)
    return rows.tobytes()


def _stride(width: int) -> int:
    return -(-3 * width // 4) * 4


def _bitmap_header(image: Image, *, top_down: bool) -> bytes:
    height, width = image.shape[:2]
    signed = -height if top_down else height
    return struct.pack("<IiiHHIIiiII", 40, width, signed, 1, 24, 0, height * _stride(width), 0, 0, 0, 0)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def _list(name: bytes, content: bytes) -> bytes:
    return _chunk(b"LIST", name + content)
