"""Identifies a file by its first bytes: an image, a video or neither. The suffix is used only where the bytes do not
decide: a raw MJPEG stream is a row of JPEG files, a camera's raw picture is a TIFF file, and a damaged file may begin
with anything."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

from auparity.errors import VideoError
from auparity.media.names import printable

#: Bytes of a file that are looked at.
HEAD_BYTES = 4096

_PNM = re.compile(rb"P[1-7]\s")
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
#: Major brands of ISO base media files (ISO/IEC 14496-12) that hold pictures: stills and sequences of them.
_STILL_BRANDS = {b"heic": "heif", b"heix": "heif", b"heim": "heif", b"heis": "heif", b"mif1": "heif", b"avif": "avif"}
_SEQUENCE_BRANDS = {
    b"hevc": "heif sequence",
    b"hevx": "heif sequence",
    b"msf1": "heif sequence",
    b"avis": "avif sequence",
}
_SOUND_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P "})
#: Suffixes of cameras' raw pictures, whose TIFF structure begins with a thumbnail.
_RAW_SUFFIXES = frozenset({".cr2", ".nef", ".nrw", ".dng", ".arw", ".srf", ".sr2", ".pef", ".srw", ".3fr", ".iiq"})
_MJPEG_SUFFIXES = frozenset({".mjpeg", ".mjpg"})
#: Suffixes that say what a file of unknown content was meant to be: reading it will report what is wrong.
_IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm", ".jp2", ".j2k"}
    | {".gif", ".heic", ".heif", ".avif"}
    | _RAW_SUFFIXES
)
_VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".vob", ".ts"}
    | {".mts", ".m2ts", ".mxf", ".ogv", ".dv", ".h264", ".hevc"}
    | _MJPEG_SUFFIXES
)
_VIDEO_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "asf"),
    (0, b"FLV\x01", "flv"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"\x00\x00\x01\xb3", "mpegvideo"),
    (0, b"\x00\x00\x00\x01", "video stream"),
    (0, b"OggS", "ogg"),
    (0, bytes.fromhex("060e2b34020501010d0102"), "mxf"),
    (0, b"nut/multimedia container", "nut"),
    (0, b"YUV4MPEG2 ", "yuv4mpeg"),
    (0, b"DKIF", "ivf"),
    (0, b".RMF", "realmedia"),
    (0, b"\x1f\x07\x00", "dv"),
)
#: Boxes that a QuickTime file without `ftyp` may begin with.
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})


class Content(NamedTuple):
    """What a file is."""

    kind: Literal["image", "video", "other"]
    format: str  #: e.g. "jpeg", "heif", "mp4"; "" where the bytes do not say it
    animated: bool = False  #: the format holds (or may hold) several pictures shown one after the other


def identify(path: Path) -> Content:
    """Look at a file's first bytes.

    Raises
    ------
    VideoError : missing, no regular file, empty or unreadable.
    """
    return identify_bytes(read_head(path), path.suffix.lower())


def read_head(path: Path, n_bytes: int = HEAD_BYTES) -> bytes:
    """The first bytes of a regular file that is not empty; raises `VideoError`."""
    require_file(path)
    try:
        with path.open("rb") as file:
            return file.read(n_bytes)
    except OSError as error:
        raise VideoError(f"{printable(path)}: cannot be read ({error.strerror}).") from error


def require_file(path: Path) -> int:
    """The size in bytes of a regular file; raises `VideoError` where it is missing, something else or empty."""
    shown = printable(path)
    try:
        if path.is_symlink() and not path.exists():
            raise VideoError(f"{shown}: is a broken link to {printable(os.readlink(path))}.")
        if not path.exists():
            raise VideoError(f"{shown}: does not exist.")
        if not path.is_file():
            raise VideoError(f"{shown}: is not a file.")
        size = path.stat().st_size
    except OSError as error:  # a loop of links, a name that is too long
        raise VideoError(f"{shown}: cannot be read ({error.strerror}).") from error
    if size == 0:
        raise VideoError(f"{shown}: is empty (0 bytes). Copy it again from its source.")
    return size


def identify_bytes(head: bytes, suffix: str = "") -> Content:
    """`identify` of a file that begins with `head`."""
    return _image(head, suffix) or _iso_media(head) or _video(head) or _meant(suffix)


def kind_by_suffix(name: str) -> Literal["image", "video", "other"]:
    """What a file's name promises; its content decides once it is there."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _IMAGE_SUFFIXES:
        return "image"
    return "video" if suffix in _VIDEO_SUFFIXES else "other"


def _meant(suffix: str) -> Content:
    return Content(kind_by_suffix(f"_{suffix}"), "")


def _image(head: bytes, suffix: str) -> Content | None:
    if head.startswith(b"\xff\xd8\xff"):
        return Content("video", "mjpeg") if suffix in _MJPEG_SUFFIXES else Content("image", "jpeg")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Content("image", "png", b"acTL" in head)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return Content("image", "gif", True)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Content("image", "webp", head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02))
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        raw = suffix in _RAW_SUFFIXES or head[8:10] == b"CR"
        return Content("image", "camera raw" if raw else "tiff")
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return Content("image", "bmp")
    if head.startswith((b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return Content("image", "jpeg2000")
    if _PNM.match(head):
        return Content("image", "pnm")
    return None


def _iso_media(head: bytes) -> Content | None:
    kind, brand = head[4:8], head[8:12]
    if kind == b"ftyp":
        if brand in _STILL_BRANDS:
            return Content("image", _STILL_BRANDS[brand])
        if brand in _SEQUENCE_BRANDS:
            return Content("image", _SEQUENCE_BRANDS[brand], True)
        return Content("other", "sound") if brand in _SOUND_BRANDS else Content("video", "mp4")
    return Content("video", "mp4") if kind in _QUICKTIME_BOXES else None


def _video(head: bytes) -> Content | None:
    if head.startswith(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return Content("video", "avi")
    for offset, magic, name in _VIDEO_MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Content("video", name)
    for start, size in ((0, 188), (4, 192), (0, 204)):
        syncs = head[start::size]
        if len(syncs) >= 3 and set(syncs) == {0x47}:
            return Content("video", "mpegts")
    return None
