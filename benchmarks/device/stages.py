"""The stages of a step of the GPU pipeline: times, launches, bytes and floors.

The objects of the pipeline are wrapped from outside, in a pipeline that is made only for this; therefore only this
module knows their internal names. Stages have their usual names; in addition there are those of a device: upload,
download, tracking (the state machine and the masks between fits), batching (gathering frames and separating results)
and results (head pose and gaze on the host).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.accelerated.cupy.clm import ClmBatch
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.benchmarks.device import floors
from auparity.benchmarks.device.contenders import Film, Image
from auparity.benchmarks.device.rates import Rates
from auparity.benchmarks.device.watch import Counting, StageFigures, WatchedDevice
from auparity.models.bundle import Bundle
from auparity.models.types import PDM, ConvNet, LandmarkModel
from auparity.reference.clip_options import ClipOptions
from auparity.reference.options import PipelineOptions
from auparity.reports.results.records import StageSpeed

ON_HOST = ("batching", "results")
WITH_HOST = ("tracking", "detection")


@dataclass(frozen=True)
class Staged:
    """The figures of some watched steps."""

    steps: list[float]  #: ms of each, waiting included
    frames: int  #: of a step
    figures: StageFigures  #: of all steps

    def stages(self) -> list[StageSpeed]:
        """Time a frame of every stage, longest first."""
        count = len(self.steps) * self.frames
        times, least = self.figures.times, self.figures.least
        speeds = [
            StageSpeed(
                stage, _where(stage), _round(1000 * seconds / count), round(times.calls[stage] / count, 3),
                floor_ms=_round(1000 * least[stage] / count) if least.get(stage) else None,
            )
            for stage, seconds in times.seconds.items()
        ]  # fmt: skip
        return sorted(speeds, key=lambda entry: -entry.ms)

    def launches(self) -> float:
        """Launches of our kernels in a step."""
        return sum(c.launches for c in self.figures.counts.values()) / len(self.steps)

    def note(self, rates: Rates) -> str:
        """Facts that have no column."""
        steps, counts = len(self.steps), self.figures.counts
        by_stage = sorted(((c.launches / steps, stage) for stage, c in counts.items() if c.launches), reverse=True)
        arrays = sum(c.array_calls for c in counts.values()) / steps
        up, down = (sum(getattr(c, way) for c in counts.values()) / steps / self.frames for way in ("up", "down"))
        listed = ", ".join(f"{stage} {number:.4g}" for number, stage in by_stage)
        return (
            f"every stage waited for, so that a step is slower than without; {self.launches():.4g} launches of our "
            f"kernels a step ({listed}), at {rates.launch_us:.3g} us each {self.launches() * rates.launch_us / 1e3:.3g}"
            f" ms; beside them {arrays:.4g} calls of array functions, and comparisons, arithmetic and indexing of "
            f"arrays, which are not counted; {up / 1e3:.4g} kB up and {down / 1e3:.4g} kB down a frame"
        )


def _where(stage: str) -> str:
    return "host" if stage in ON_HOST else "cupy, host" if stage in WITH_HOST else "cupy"


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def time_steps(bundle: Bundle, device: Any, film: Film, streams: int, steps: int, rates: Rates) -> Staged:
    """The steady steps of some streams: all frames once to warm up, then again from new sessions, the first frame of
    which (detection, all hypotheses) does not count.

    Raises
    ------
    DeviceError : the device's memory does not suffice.
    """
    watched = WatchedDevice(device, rates)
    pipeline = DevicePipeline(bundle, watched, PipelineOptions(streams=streams))
    taken: list[float] = []
    for watching in (False, True):
        sessions = [pipeline.start_clip(ClipOptions()) for _ in range(streams)]
        for k in range(steps):
            if k == 1:
                watched.reset()
            images = [film.image(s, k) for s in range(streams)]
            start = time.perf_counter()
            pipeline.advance(sessions, images, [k / 30] * streams)
            device.synchronize()
            if watching and k:
                taken.append(1000 * (time.perf_counter() - start))
            watched.settle()
        figures = watched.figures
        watched.reset()  # closing is not part of a step
        for session in reversed(sessions):
            session.close()
        if not watching:
            watch_models(pipeline, watched)
            watch_streams(pipeline, watched)
    return Staged(taken, streams, figures)


def time_photographs(bundle: Bundle, device: Any, images: Sequence[Image], batches: int, rates: Rates) -> Staged:
    """Images, all in one batch, several times; errors as of `time_steps`."""
    watched = WatchedDevice(device, rates)
    pipeline = DevicePipeline(bundle, watched)
    pipeline.process_images(images)
    watch_models(pipeline, watched)
    watch_photographs(pipeline, watched)
    watched.settle()
    watched.reset()
    taken = []
    for _ in range(batches):
        start = time.perf_counter()
        pipeline.process_images(images)
        taken.append(1000 * (time.perf_counter() - start))
        watched.settle()
    return Staged(taken, len(images), watched.figures)


class _Wrapped:
    """An object with its call timed, and methods where they are named; everything else is the object's own."""

    def __init__(self, inner: Any, call: Callable[..., Any], **methods: Callable[..., Any]) -> None:
        self._inner, self._call = inner, call
        for name, method in methods.items():
            setattr(self, name, method)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._call(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _replace(watched: WatchedDevice, owner: Any, name: str, stage: str, counting: Counting | None = None) -> None:
    setattr(owner, name, watched.timed(stage, getattr(owner, name), counting))


def watch_models(pipeline: DevicePipeline, watched: WatchedDevice) -> None:
    """Detection, landmark models, validation, and what the host adds."""
    landmarker, bundle = pipeline.models.landmarker, pipeline.bundle
    assert isinstance(landmarker, ClmBatch), "the benchmark's models are constrained local ones"
    landmarks = landmarker.detector
    models = [(landmarks.main, bundle.face.main)]
    models += [(own.model, part.model) for own, part in zip(landmarks._parts, bundle.face.parts, strict=True)]
    for own, model in models:
        _replace(watched, own.shapes, "shape_2d", "pdm", _of_faces(floors.shapes, model.pdm))
        _replace(watched, own.fitter, "fit", "fitting", _fit_work(watched, model))
        _replace(watched, own.fitter._experts, "response_maps", "patch_experts", _maps_work(watched, model))
        _replace(watched, own, "fit_shape", "fit_shape", _of_faces(floors.fit_shape, model.pdm))
    view = bundle.face.validator.views[0]
    size = (int(view.warp.mask.shape[0]), int(view.warp.mask.shape[1]))
    _replace(
        watched, landmarks, "validator", "validation",
        lambda given, _: floors.validation(view.net, size, _wanted(watched, given[4], len(given[2]))),
    )  # fmt: skip
    _replace(watched, pipeline.models.locator, "detect", "detection")
    for name in ("pnet", "rnet", "onet"):
        net, own_net = getattr(bundle.detector, name), getattr(pipeline.models.locator, f"_{name}")
        own_net.run = watched.counted("detection", own_net.run, _network_work(net))
    _replace(watched, pipeline.models.results, "_result", "results")


def watch_streams(pipeline: DevicePipeline, watched: WatchedDevice) -> None:
    """Tracking and analysis of the batches that there are."""
    for batch in _batches(pipeline):
        for name in ("send", "run"):
            _replace(watched, batch, name, "batching")
        _replace(watched, batch.work.tracker, "track", "tracking")
        analysis = batch.work.analysis
        _watch_descriptors(analysis._describe, pipeline.bundle.video_aus.pdm, watched)
        analysis._batch = _watched_values(analysis._batch, watched)
        analysis._medians = tuple(
            _Wrapped(median, watched.timed("running_median", median, _median_work(median)))
            for median in analysis._medians
        )


def watch_photographs(pipeline: DevicePipeline, watched: WatchedDevice) -> None:
    """What photographs have of their own; after the first of them."""
    own: Any = pipeline._single_images
    _replace(watched, own, "measure", "batching")
    aus = own._aus
    _watch_descriptors(aus._describe, pipeline.bundle.image_aus.pdm, watched)
    aus._batch = _watched_values(aus._batch, watched)


def _batches(pipeline: DevicePipeline) -> Iterator[Any]:
    for of_size in pipeline.streams._batches.values():
        yield from of_size


def _watch_descriptors(describe: Any, pdm: PDM, watched: WatchedDevice) -> None:
    _replace(watched, describe, "_fit_shape", "fit_shape", _of_faces(floors.fit_shape, pdm))
    _replace(watched, describe, "_align", "alignment", lambda given, _: floors.alignment(len(given[2])))
    _replace(watched, describe, "_fhog", "fhog", lambda given, _: floors.fhog(len(given[0])))
    _replace(watched, describe, "_geometry", "geometry", _of_faces(floors.geometry, pdm))


def _watched_values(models: Any, watched: WatchedDevice) -> Any:
    def counting(given: tuple[Any, ...], result: Any) -> floors.Work:
        sizes = given[0].shape[1], given[1].shape[1]
        return floors.action_units(models.n_models, *sizes, len(result), medians=len(given) > 2)

    timed = (watched.timed("action_units", function, counting) for function in (models, models.plain))
    return _Wrapped(models, next(timed), plain=next(timed))


def _of_faces(work: Callable[[PDM, int], floors.Work], pdm: PDM) -> Counting:
    """Work for as many faces as the first argument has."""
    return lambda given, _: work(pdm, len(given[0]))


def _median_work(median: Any) -> Counting:
    return lambda _, result: floors.running_median(median.dimensions, median.dtype.itemsize, len(result))


def _network_work(net: ConvNet) -> Counting:
    """Of `NetworkBatch.run(maps)`."""
    return lambda given, _: floors.network(net, given[0].channels, given[0].sizes, len(given[0].data))


def _maps_work(watched: WatchedDevice, model: LandmarkModel) -> Counting:
    """Of `response_maps(gray, frame, g, p, window, scale_index, active)`, by the views that it chose."""

    def counting(given: tuple[Any, ...], maps: Any) -> floors.Work:
        down = watched.watched.download
        views = down(maps.view)[down(maps.good) != 0]
        return floors.response_maps(model, given[5], given[4], views)

    return counting


def _fit_work(watched: WatchedDevice, model: LandmarkModel) -> Counting:
    """Of `fit(gray, frame, g, p, parameters, active)`: faces that were fitted to the end at every scale."""

    def counting(given: tuple[Any, ...], fits: Any) -> floors.Work:
        windows = given[4].windows[: len(model.experts)]
        return floors.fitting(model.pdm, windows, _wanted(watched, fits.success, len(given[2])))

    return counting


def _wanted(watched: WatchedDevice, flags: Any, count: int) -> int:
    """How many of (B,) flags on the device are set; all `count` where there are none."""
    return count if flags is None else int(np.count_nonzero(watched.watched.download(flags)))
