"""Pipelines that are awaited: the numbers of `Pipeline`, and nothing that runs after a task was cancelled."""

from __future__ import annotations

import asyncio
import threading

import cv2
import numpy as np
import pytest

from auparity import Pipeline
from auparity.accelerated.asynchronous import AsyncPipeline
from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories

BUNDLE = factories.make_bundle(0)
IMAGES = [np.random.default_rng(k).integers(0, 256, (90, 120, 3), dtype=np.uint8) for k in range(4)]
FRAMES = [(image, k / 30) for k, image in enumerate(IMAGES)]


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.from_spec({}, BUNDLE)


@pytest.fixture
def clip(tmp_path):
    for k, image in enumerate(IMAGES):
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
    return tmp_path


async def one_after_another(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("frames", [FRAMES, one_after_another(FRAMES)], ids=["iterable", "asynchronous"])
def test_a_clip_has_the_numbers_of_the_pipeline(pipeline, frames):
    async def measured():
        async with AsyncPipeline(pipeline) as awaited:
            clip = awaited.start_video()
            results = [result async for result in clip.results(frames)]
            return results, await clip.finish()

    results, aus = asyncio.run(measured())
    expected = pipeline.process_frames(FRAMES)
    assert [result.timestamp for result in results] == [time for _, time in FRAMES]
    for ours, theirs in zip(results, expected.frames, strict=True):
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)
        np.testing.assert_array_equal(ours.au_intensity, theirs.au_intensity)
    np.testing.assert_array_equal(aus.intensity, expected.aus.intensity)


def test_clips_and_images_are_measured_together_and_progress_is_told_by_the_event_loop(pipeline, clip):
    told, threads = [], set()

    def progress(done, count):
        told.append((done, count))
        threads.add(threading.current_thread())

    async def measured():
        async with AsyncPipeline(pipeline, threads=3) as awaited:
            video, images, image = await asyncio.gather(
                awaited.process_video(clip, progress=progress),
                images_of(awaited),
                awaited.process_image(IMAGES[0]),
            )
            await asyncio.sleep(0)
            return video, images, image

    async def images_of(awaited):
        return [faces async for faces in awaited.iterate_images(iter(IMAGES))]

    video, images, image = asyncio.run(measured())
    assert told == [(k + 1, 4) for k in range(4)]
    assert threads == {threading.main_thread()}
    np.testing.assert_array_equal(video.aus.intensity, pipeline.process_video(clip).aus.intensity)
    assert [len(faces) for faces in images] == [len(faces) for faces in pipeline.process_images(IMAGES)]
    assert len(image) == len(images[0])


class Slow:
    """In place of a pipeline: `process_video` goes on until its progress raises, `process_image` until it is let."""

    def __init__(self):
        self.began, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.frames = 0

    def process_video(self, path, *, progress):
        self.began.set()
        try:
            while True:
                self.frames += 1
                progress(self.frames, None)
                self.go_on.wait(0.001)
        finally:
            self.ended.set()

    def process_image(self, image):
        self.began.set()
        assert self.go_on.wait(60)
        self.ended.set()


@pytest.mark.parametrize("what", ["video", "image"])
def test_a_cancelled_task_ends_when_its_frame_is_done_and_nothing_goes_on(what):
    slow = Slow()

    async def cancelled():
        async with AsyncPipeline(slow, threads=1) as awaited:
            work = awaited.process_video("clip") if what == "video" else awaited.process_image(IMAGES[0])
            task = asyncio.create_task(work)
            await asyncio.to_thread(slow.began.wait)
            waiting = asyncio.create_task(awaited.process_image(IMAGES[0]))  # has not begun: there is one thread
            await asyncio.sleep(0)
            waiting.cancel()
            task.cancel()
            asyncio.get_running_loop().call_later(0.05, slow.go_on.set)
            for each in (task, waiting):
                with pytest.raises(asyncio.CancelledError):
                    await each
            assert slow.ended.is_set()
            return slow.frames

    frames = asyncio.run(cancelled())
    assert slow.frames == frames


def test_an_error_reaches_the_task(pipeline):
    async def wrong():
        async with AsyncPipeline(pipeline) as awaited:
            await awaited.start_video().process_frame(IMAGES[0][..., 0], 0.0)

    with pytest.raises(ContractError, match="image"):
        asyncio.run(wrong())
    with pytest.raises(ContractError, match="threads"):
        AsyncPipeline(pipeline, threads=0)
