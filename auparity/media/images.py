"""Decode one image file in the calling process. Users call `auparity.media.read_image`, which isolates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auparity.errors import VariantUnavailable, VideoError
from auparity.media.complaints import Complaints, judge_image_complaints
from auparity.media.content import Content, identify_bytes, require_file
from auparity.media.image_headers import Size, declared_size, png_damage, png_is_animated, tiff_pages
from auparity.media.memory_limit import memory_for
from auparity.media.names import printable
from auparity.media.types import Image

#: 16-bit images are divided by this, rounded half to even as OpenCV rounds, and limited to 255 (spec 00).
SIXTEEN_BIT_LEVELS = 256.0


class DecodedImage(NamedTuple):
    image: Image  #: (H, W, 3) uint8 BGR
    warnings: list[str]


def decode_image(path: Path, max_pixels: int, complaints: Complaints) -> DecodedImage:
    """Decode one image file to (H, W, 3) uint8 BGR.

    Gray images are repeated in the three channels, transparency is dropped, the orientation that the file states is
    applied, 16-bit values keep their upper byte.

    Parameters
    ----------
    max_pixels : more declared pixels are refused before decoding.
    complaints : collects the messages of the decoder.

    Raises
    ------
    VideoError : missing, empty, damaged, too large, animated, not an image, or of a depth other than 8 or 16 bits.
    """
    require_file(path)
    shown = printable(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VideoError(f"{shown}: cannot be read ({error.strerror}).") from error
    content = identify_bytes(data, path.suffix.lower())
    size = _check(shown, content, data, max_pixels)
    decode = _decode_heif if content.format in ("heif", "avif") else _decode
    complaints.take()
    try:
        with memory_for(size.pixels):
            image = decode(data, content.format)
    except MemoryError as error:
        raise VideoError(
            f"{shown}: needs more memory to decode than its {size.width} x {size.height} pixels should; it is damaged."
        ) from error
    except VariantUnavailable as error:
        raise VideoError(f"{shown}: {error}") from error
    damage, warnings = judge_image_complaints(complaints.take())
    if image is None or damage:
        raise _undecodable(shown, damage)
    if image.dtype != np.uint8:
        raise VideoError(f"{shown}: has {image.dtype} pixels; save it with 8 or 16 bits a channel.")
    if content.format == "tiff" and tiff_pages(data) > 1:
        warnings.append("holds several pages, of which the first is measured")
    return DecodedImage(np.ascontiguousarray(image), [f"{shown}: {warning}" for warning in warnings])


def _check(shown: str, content: Content, data: bytes, max_pixels: int) -> Size:
    """Refuse files that must not be decoded; returns the declared size."""
    if content.kind == "video":
        raise VideoError(f"{shown}: is a video, not an image.")
    if not content.format:
        raise _undecodable(shown, "its content is of no known kind")
    if content.format == "camera raw":
        raise VideoError(f"{shown}: is a camera's raw picture. Develop it to JPEG, PNG or TIFF and measure that.")
    if content.animated and (content.format != "png" or png_is_animated(data)):
        raise VideoError(
            f"{shown}: is a {content.format.upper()} file, which holds moving pictures or may hold them. Convert it: "
            "ffmpeg -i INPUT OUTPUT.mp4 makes a clip of it, and a viewer exports a still picture as PNG."
        )
    if content.format == "png" and (damage := png_damage(data)):
        raise _undecodable(shown, damage)
    size = declared_size(content.format, data)
    if size is None:
        raise _undecodable(shown, "its header does not state its size")
    check_pixels(shown, size.width, size.height, max_pixels)
    return size


def _undecodable(shown: str, why: str = "") -> VideoError:
    detail = f" ({why})" if why else ""
    return VideoError(
        f"{shown}: cannot be decoded as an image; it is truncated, damaged or of another type{detail}. Open it in an "
        "image viewer, and copy or export it again."
    )


def check_pixels(shown: str, width: int, height: int, max_pixels: int) -> None:
    """Raise `VideoError` for more pixels than are allowed."""
    if width * height > max_pixels:
        raise VideoError(
            f"{shown}: is {width} x {height} pixels, {width * height / 1e6:.4g} megapixels, above the limit of "
            f"{max_pixels / 1e6:.4g}. If that is its true size, allow it: `auparity extract --max-pixels "
            f"{width * height}`."
        )


def _decode(data: bytes, image_format: str) -> npt.NDArray[Any] | None:
    import cv2

    try:
        image: npt.NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        )
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        return None
    if image is not None and image.dtype == np.uint16:
        return np.asarray(cv2.convertScaleAbs(image, alpha=1 / SIXTEEN_BIT_LEVELS))
    return image


def _decode_heif(data: bytes, image_format: str) -> npt.NDArray[Any] | None:
    """HEIC and AVIF, whose orientation libheif and Pillow apply."""
    import io

    try:
        if image_format == "heif":
            import pillow_heif

            picture = np.asarray(pillow_heif.open_heif(data, bgr_mode=True))
            return picture[:, :, :3] if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
        from PIL import Image as PillowImage
        from PIL import ImageOps

        with PillowImage.open(io.BytesIO(data), formats=("AVIF",)) as opened:
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))[:, :, ::-1]
    except ImportError as error:
        raise VariantUnavailable(
            f"is a picture in the {'HEIC' if image_format == 'heif' else 'AVIF'} format, which needs an extra: "
            "pip install 'auparity[heif]', or convert it to JPEG or PNG."
        ) from error
    except (OSError, ValueError, RuntimeError, EOFError, SyntaxError):  # what the two libraries raise on damaged data
        return None
