"""The real inputs of stages, with the reference outputs: captured calls of a reference run.

A captured call has the parts from which the stage was built, its arguments and its result, so that any variant of the
stage can be built from the same parts and called with the same arguments. Stateful stages (running medians) are
captured completely, in order.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.models.types import LandmarkNetwork, RetinaFace
from auparity.reference.networks.crops import Square
from auparity.reference.networks.parts import parts_of
from auparity.reference.numerics import FLOAT32
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.stages import Stages, reference_stages, stage_table

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a reference stage."""

    stage: str
    parts: tuple[Any, ...]  #: parts from which the stage was built
    method: str | None
    arguments: tuple[Any, ...]
    result: Any
    instance: int  #: number of the stage object, so that calls of a stateful one can be repeated


@dataclass
class Capture:
    """Calls by stage. At most `most` of a stage, part and method are kept; of stateful stages all."""

    most: int = 24
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    _seen: dict[tuple[str, int, str | None], int] = field(default_factory=lambda: defaultdict(int))

    def record(self, call: Call) -> None:
        key = (call.stage, call.instance, call.method)
        self._seen[key] += 1
        if stage_table()[call.stage].stateful or self._seen[key] <= self.most:
            self.calls[call.stage].append(call)

    def stages(self, reference: Stages) -> Stages:
        """The same stages, with captured calls."""
        return Stages(**{f.name: self._builder(f.name, getattr(reference, f.name)) for f in dataclasses.fields(Stages)})

    def _builder(self, stage: str, build: Callable[..., Any]) -> Callable[..., Any]:
        numbers = iter(range(1 << 30))

        def built(*parts: Any) -> Any:
            made, instance = build(*parts), next(numbers)
            spec = stage_table()[stage]
            if spec.is_function:
                return self._recorded(stage, parts, None, made, instance)
            return _Recorded(made, {
                method: self._recorded(stage, parts, method, getattr(made, method), instance)
                for method in spec.methods
            })  # fmt: skip

        return built

    def _recorded(
        self, stage: str, parts: tuple[Any, ...], method: str | None, function: Callable[..., Any], instance: int
    ) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before = copy.deepcopy(arguments)
            result = function(*arguments)
            self.record(Call(stage, parts, method, before, copy.deepcopy(result), instance))
            return result

        return _RecordedFunction(function, call)


class _RecordedFunction:
    """A function whose calls are captured; a pickle has the function alone."""

    def __init__(self, function: Callable[..., Any], call: Callable[..., Any]) -> None:
        self._function, self._call = function, call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._function,)


def _itself(value: Any) -> Any:
    return value


class _Recorded:
    """A stage object whose method calls are captured; everything else is passed on. A pickle has the stage alone."""

    def __init__(self, stage: Any, methods: dict[str, Callable[..., Any]]) -> None:
        self._stage = stage
        for name, method in methods.items():
            setattr(self, name, method)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._stage,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying calls this before there is an object
            raise AttributeError(name)
        return getattr(self._stage, name)


def capture(bundle: Bundle, clips: Iterable[Iterable[Array]], photographs: Iterable[Array], most: int = 24) -> Capture:
    """Run the reference pipeline over clips (frames (H, W, 3) uint8) and images, capturing calls of every stage."""
    taken = Capture(most)
    pipeline = StagedPipeline(bundle, taken.stages(reference_stages(FLOAT32)), FLOAT32)
    for frames in clips:
        session = pipeline.start_video()
        for index, image in enumerate(frames):
            session.process_frame(image, index / 30)
    for image in photographs:
        pipeline.process_image(image, multi_view=False)
    return taken


def capture_networks(bundle: Bundle, images: Iterable[Array], most: int = 24) -> Capture:
    """Call the reference's stages of every network of a bundle, whatever it serves, capturing the calls.

    RetinaFace gets each image (H, W, 3) uint8 alone and twice in a batch; networks of points get crops of its middle.
    """
    taken, shown = Capture(most), list(images)
    stages = taken.stages(reference_stages(FLOAT32))
    for model in bundle.models.values():
        match model:
            case RetinaFace():
                find_faces = stages.face_network(model)
                for image in shown:
                    find_faces(image[None])
                find_faces(np.stack([shown[0], shown[0][::-1]]))
            case LandmarkNetwork():
                find_points, side = stages.point_network(model.network), parts_of(model.network).side or 0
                crops = [_middle(image).cut(image, side) for image in shown]
                find_points(np.stack(crops[:1]))
                find_points(np.stack(crops[1:]))
    return taken


def _middle(image: Array) -> Square:
    """The largest square in the middle of an image."""
    height, width = image.shape[:2]
    size = min(height, width)
    return Square((width - size) // 2, (height - size) // 2, size)


def play(call: Call, stage: Any) -> Any:
    """The same call on another implementation, with copies of the arguments."""
    function = getattr(stage, call.method) if call.method else stage
    return function(*copy.deepcopy(call.arguments))
