"""The frames of one clip as they come in: checked, and with what all of them share."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_image, check_timestamp
from auparity.reference.head_pose import Camera, check_camera

Array = npt.NDArray[Any]


class ClipFrames:
    """Accepts the frames of a clip, which must be of one size and in order.

    Parameters
    ----------
    camera : None for OpenFace's guess from the size of the first frame.
    """

    def __init__(self, camera: Camera | None) -> None:
        self._camera = check_camera("pipeline", camera)
        self._shape: tuple[int, ...] | None = None
        self._seconds: float | None = None  # time stamp of the frame before

    def accept(self, image: Array, timestamp: float) -> tuple[float, Camera]:
        """Check the next frame (H, W, 3) uint8 BGR and its time stamp in seconds; the time stamp and the camera.

        Raises
        ------
        ContractError : wrong shape or dtype, or another size than the frames before; a time stamp that is no finite
            number or goes back.
        """
        check_image("pipeline", image)
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ContractError("pipeline", "image", f"the size of the first frame, {self._shape}", str(image.shape))
        self._seconds = check_timestamp("pipeline", timestamp, self._seconds)
        self._camera = self._camera or Camera.for_image(image.shape[1], image.shape[0])
        return self._seconds, self._camera
