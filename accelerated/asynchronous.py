"""A pipeline for programs that are built on asyncio: frames are measured in threads, and the event loop goes on.

The kernels release the interpreter lock, so one pipeline works for many tasks at once, as many as there are threads;
what is asked of it beyond that waits. Results are those of `Pipeline`, bit for bit. A task that is cancelled ends after
the frame or image that is being measured, because no thread can be interrupted: nothing works on a session that its
task has left.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import numpy.typing as npt

from auparity.accelerated.hardware import usable_cores
from auparity.accelerated.pipeline import Pipeline, ProgressCallback
from auparity.accelerated.results import ImageResult
from auparity.errors import AuparityError, ContractError

Array = npt.NDArray[Any]
T = TypeVar("T")


class AsyncPipeline:
    """A pipeline whose methods are awaited; an asynchronous context manager that closes its threads.

    Parameters
    ----------
    pipeline : what measures; it stays open.
    threads : frames and images that are measured at the same time; None for as many as cores may be used.

    Raises
    ------
    ContractError : `threads` is less than 1.
    """

    def __init__(self, pipeline: Pipeline, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ContractError("pipeline", "threads", "1 or more", str(threads))
        self.pipeline = pipeline
        self._threads = ThreadPoolExecutor(threads or usable_cores(), thread_name_prefix="auparity-async")

    async def process_image(self, image: Array, **options: Any) -> ImageResult:
        """Every face of an image; `options` and errors as of `Pipeline.process_image`."""
        return await self._in_thread(lambda: self.pipeline.process_image(image, **options))

    async def iterate_images(
        self, images: Iterable[Array] | AsyncIterable[Array], **options: Any
    ) -> AsyncGenerator[ImageResult]:
        """Results of images in their order, one at a time, as soon as they are there."""
        async for image in self._each(images):
            yield await self.process_image(image, **options)

    async def process_video(self, path: Any, *, progress: ProgressCallback | None = None, **options: Any) -> Any:
        """Every frame of a video file or a folder of images; `options`, result and errors as of
        `Pipeline.process_video`. `progress` is called by the event loop."""
        loop, left = asyncio.get_running_loop(), threading.Event()

        def tell(done: int, count: int | None) -> None:
            if left.is_set():
                raise _Cancelled("the task was cancelled")
            if progress is not None:
                loop.call_soon_threadsafe(progress, done, count)

        return await self._in_thread(
            lambda: self.pipeline.process_video(path, progress=tell, **options), left
        )  # fmt: skip

    def start_video(self, **options: Any) -> AsyncClip:
        """Begin a clip; `options` and errors as of `Pipeline.start_video`."""
        return AsyncClip(self, self.pipeline.start_video(**options))

    async def aclose(self) -> None:
        """End the threads when they have done what they are at."""
        await asyncio.to_thread(self._threads.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _in_thread(self, function: Callable[[], T], left: threading.Event | None = None) -> T:
        """The result of a call in a thread; a task that is cancelled waits until the call has ended.

        Parameters
        ----------
        left : set when the task is cancelled.
        """
        submitted = self._threads.submit(function)
        result = asyncio.wrap_future(submitted)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            if left is not None:
                left.set()
            if not submitted.cancel():
                await asyncio.wait([result])
                if not result.cancelled():
                    result.exception()  # is seen: nobody else asks for it
            raise

    async def _each(self, items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
        """Items one by one; a generator that reads files runs in a thread, too."""
        if isinstance(items, AsyncIterable):
            async for item in items:
                yield item
            return
        rest, end = iter(items), cast("T", object())
        while (item := await self._in_thread(lambda: next(rest, end))) is not end:
            yield item


class AsyncClip:
    """A clip whose frames are awaited, one after the other; made by `AsyncPipeline.start_video`."""

    def __init__(self, pipeline: AsyncPipeline, session: Any) -> None:
        self._pipeline, self.session = pipeline, session

    async def process_frame(self, image: Array, timestamp: float) -> Any:
        """The result of the next frame; arguments and errors as of the sessions of `Pipeline.start_video`."""
        return await self._pipeline._in_thread(lambda: self.session.process_frame(image, timestamp))

    async def results(
        self, frames: Iterable[tuple[Array, float]] | AsyncIterable[tuple[Array, float]]
    ) -> AsyncGenerator[Any]:
        """The result of each frame, as soon as it is there; `frames` are pairs of an image and its time in seconds."""
        async for image, timestamp in self._pipeline._each(frames):
            yield await self.process_frame(image, timestamp)

    async def finish(self) -> Any:
        """What `finish` of the session gives: post-processed AUs, or the stretches of several faces."""
        return await self._pipeline._in_thread(self.session.finish)

    def close(self) -> None:
        """Give back what the session holds; `finish` still works."""
        self.session.close()


class _Cancelled(AuparityError):
    """Ends a clip whose task was cancelled."""
