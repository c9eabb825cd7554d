"""Recipes by which the actors of Ray build fake pipelines, and clips that do something to the actor that has them.

What a clip does is known by its width, because an actor is another process and may be on another machine.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_info

from auparity.errors import VariantUnavailable
from auparity.extraction.engines.ray.actor import PipelineRecipe
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, FakeSession
from auparity.reference.options import PipelineOptions
from auparity.reference.video_pipeline import VideoPipeline

#: Widths of clips: an ordinary one; frames that kill their actor, always or once, wait for another clip, or are slow.
ORDINARY, DEADLY, DEADLY_ONCE, TOGETHER, SLOW = 64, 80, 96, 112, 128
SLOW_FRAME = 0.1  # s


class _Session(FakeSession):
    def __init__(self, owner: _Pipeline) -> None:
        super().__init__(owner)
        self._does = owner.does

    def track(self, image: np.ndarray, timestamp: float) -> tuple[int, float]:
        self._does(image.shape[1], self.tracked)
        return super().track(image, timestamp)


class _Pipeline(FakePipeline):
    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place, self._meeting = place, threading.Barrier(2)

    def start_video(self, **options: Any) -> FakeSession:
        self.sessions.append(options)
        return _Session(self)

    def does(self, width: int, frame: int) -> None:
        """What a frame of a clip of this width does."""
        if width == DEADLY and frame == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if width == DEADLY_ONCE and frame == 1 and not (self._place / "killed").exists():
            (self._place / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if width == TOGETHER and frame == 1:
            self._meeting.wait(60.0)
        if width == SLOW:
            time.sleep(SLOW_FRAME)
        if frame == 0:
            blas = [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]
            threads = {"opencv": cv2.getNumThreads(), "blas": blas, "numba": os.environ.get("NUMBA_NUM_THREADS")}
            (self._place / f"{os.getpid()}.json").write_text(json.dumps(threads))


@dataclass(frozen=True)
class FakeRecipe(PipelineRecipe):
    """Builds a fake pipeline."""

    place: Path = Path()  #: of notes about the actors, named by their process ids

    def build(self) -> VideoPipeline:
        pipeline: Any = _Pipeline(self.place)
        return pipeline


@dataclass(frozen=True)
class NothingInstalled(PipelineRecipe):
    """Cannot build a pipeline."""

    def build(self) -> VideoPipeline:
        raise VariantUnavailable("numba is not installed there")


def fake_recipe(place: Path, *, on_gpu: bool = False, streams: int = 1) -> FakeRecipe:
    """A recipe without models; `place` is where actors leave notes."""
    nothing: Any = None
    return FakeRecipe(nothing, {}, PipelineOptions(streams=streams), on_gpu, place)
