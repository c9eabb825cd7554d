"""All GPUs of a machine as one pipeline: clips and photographs are shared out among them.

Every GPU has a `DevicePipeline` of its own with the same models; a clip stays on the one that it began on, the one with
the fewest open clips then. Which one that is changes no number. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy.typing as npt

from auparity.accelerated.cupy.device import shared_device
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.accelerated.cupy.sessions import BatchSession, DeviceFacesSession, DeviceSession, R
from auparity.accelerated.cupy.together import advance
from auparity.reference.clip_options import ClipOptions, FacesOptions
from auparity.reference.head_pose import Camera
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import StartsVideo, VideoPipeline

if TYPE_CHECKING:
    from auparity.accelerated.cupy.device import Device
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]


class ManyDevices(StartsVideo):
    """Several devices behind the interface of one; a `VideoPipeline`."""

    advances_together = True
    precision = "float32"

    def __init__(self, bundle: Bundle, devices: Sequence[Device], options: PipelineOptions | None = None) -> None:
        options = options or PipelineOptions()
        each = replace(options, streams=-(-options.streams // len(devices)))
        #: One a device; the first is asked what is true of all.
        self.pipelines = [DevicePipeline(bundle, device, each) for device in devices]
        self.options = options
        self._open, self._turn = [0] * len(devices), itertools.cycle(range(len(devices)))
        self._sharing = threading.RLock()  # also taken by the garbage collector, at any moment

    @property
    def bundle(self) -> Bundle:
        return self.pipelines[0].bundle

    @property
    def variants(self) -> dict[str, str]:
        return self.pipelines[0].variants

    def start_clip(self, clip: ClipOptions) -> DeviceSession:
        """Begin a clip of one face on the device that has the fewest clips."""
        number = self._begun()
        return self.pipelines[number].start_clip(clip, lambda: self._ended(number))

    def start_faces(self, clip: FacesOptions) -> DeviceFacesSession:
        """Begin a clip of several faces on the device that has the fewest clips."""
        number = self._begun()
        return self.pipelines[number].start_faces(clip, lambda: self._ended(number))

    def _begun(self) -> int:
        with self._sharing:
            number = min(range(len(self._open)), key=self._open.__getitem__)
            self._open[number] += 1
        return number

    def _ended(self, number: int) -> None:
        with self._sharing:
            self._open[number] -= 1

    def advance(
        self, sessions: Sequence[BatchSession[Any, R]], images: Sequence[Array], timestamps: Sequence[float]
    ) -> list[R]:
        """The next frame of each of several clips, on all devices at once; errors as of `process_frame`."""
        groups: dict[int, list[int]] = {}
        for k, session in enumerate(sessions):
            groups.setdefault(id(session.streams), []).append(k)
        results: dict[int, R] = {}

        def run(own: list[int]) -> None:
            found = advance([sessions[k] for k in own], [images[k] for k in own], [timestamps[k] for k in own])
            results.update(zip(own, found, strict=True))

        with ThreadPoolExecutor(len(groups)) as pool:
            list(pool.map(run, groups.values()))
        return [results[k] for k in range(len(sessions))]

    def stream(
        self, sessions: Sequence[BatchSession[Any, R]], rounds: Iterable[tuple[Sequence[Array], Sequence[float]]]
    ) -> Iterator[list[R]]:
        """As `DevicePipeline.stream`; rounds end together on all devices, so only the devices overlap."""
        for images, timestamps in rounds:
            yield self.advance(sessions, images, timestamps)

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a single image, as `StagedPipeline.process_image`."""
        return self.process_images([image], camera=camera, multi_view=multi_view)[0]

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[list[FrameResult]]:
        """Every face of many images, those of a device side by side; errors as of `DevicePipeline`."""
        if len(images) == 1:  # on the devices in turns
            with self._sharing:
                chosen = self.pipelines[next(self._turn)]
            return chosen.process_images(images, camera=camera, multi_view=multi_view)
        count = len(self.pipelines)
        shares = [list(range(k, len(images), count)) for k in range(count)]
        results: list[list[FrameResult]] = [[] for _ in images]

        def run(pair: tuple[DevicePipeline, list[int]]) -> None:
            pipeline, own = pair
            found = pipeline.process_images([images[k] for k in own], camera=camera, multi_view=multi_view)
            for k, faces in zip(own, found, strict=True):
                results[k] = faces

        with ThreadPoolExecutor(count) as pool:
            list(pool.map(run, [pair for pair in zip(self.pipelines, shares, strict=True) if pair[1]]))
        return results

    def close(self) -> None:
        """Let go of the memory of all devices."""
        for pipeline in self.pipelines:
            pipeline.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        names = ", ".join(pipeline.device.name for pipeline in self.pipelines)
        return f"{self.pipelines[0]}\n  shared out over {names}"


def device_pipeline(bundle: Bundle, options: PipelineOptions | None = None) -> VideoPipeline:
    """A pipeline on all visible GPUs (CUDA_VISIBLE_DEVICES says which those are).

    Raises
    ------
    VariantUnavailable : there is no GPU that can be used, with the reason.
    """
    options = options or PipelineOptions()
    first = shared_device()
    count = first.xp.cuda.runtime.getDeviceCount()
    if count == 1 or options.streams == 1:
        return DevicePipeline(bundle, first, options)
    return ManyDevices(bundle, [shared_device(k) for k in range(min(count, options.streams))], options)
