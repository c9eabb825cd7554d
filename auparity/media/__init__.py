"""Where frames come from: video files, folders of images, single images and cameras (spec 00, "Data flow").

Everything is decoded into what the stages expect: (H, W, 3) uint8, blue-green-red, C-contiguous, with a time stamp in
seconds. Files are decoded in a child process, so that a decoder that crashes on a damaged or hostile file makes
only this input fail (docs/inputs.md). Everything that cannot be read raises a `VideoError` that names the file and says
what to do; a damaged image or a video that ends early is never passed on as if it were whole.
"""

from __future__ import annotations

from auparity.media.camera import CameraStream
from auparity.media.content import Content, identify, kind_by_suffix
from auparity.media.decoder import prestart
from auparity.media.folders import images_in
from auparity.media.names import printable, printable_lines
from auparity.media.seeking import SeekPoint, VideoIndex
from auparity.media.sources import ImageSequence, VideoFile, is_image, open_clip, read_image, read_photograph
from auparity.media.types import ASSUMED_FPS, MAX_PIXELS, Frame, FrameSource, Image, Notes, Timestamps

__all__ = [
    "ASSUMED_FPS",
    "MAX_PIXELS",
    "CameraStream",
    "Content",
    "Frame",
    "FrameSource",
    "Image",
    "ImageSequence",
    "Notes",
    "SeekPoint",
    "Timestamps",
    "VideoFile",
    "VideoIndex",
    "identify",
    "images_in",
    "is_image",
    "kind_by_suffix",
    "open_clip",
    "prestart",
    "printable",
    "printable_lines",
    "read_image",
    "read_photograph",
]
