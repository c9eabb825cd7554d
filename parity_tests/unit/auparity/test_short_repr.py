"""What is printed of results, models and states fits a line or a few, whatever they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from auparity.accelerated.pipeline import Pipeline
from auparity.media import Frame
from auparity.models.bundle import Bundle
from auparity.models.types import Tensors
from auparity.reference.head_pose import Camera
from auparity.reference.video_pipeline import TrackedFaces
from auparity.short_repr import short_repr, shown

LONGEST = 600  # characters: about eight lines


def parts_of(value):
    """A dataclass and all that are in it."""
    if dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from parts_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from parts_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from parts_of(item)


def test_a_bundle_and_every_model_in_it_print_shortly():
    bundle = Bundle.embedded(networks=False)
    assert repr(bundle).startswith("<Bundle embedded 2 (Apache-2.0): locator ")
    parts = list(parts_of(bundle))
    assert len(parts) > 100
    assert max(len(repr(part)) for part in parts) < LONGEST


def test_a_pipeline_and_what_it_makes_of_a_frame_print_shortly():
    image = np.zeros((60, 80, 3), np.uint8)
    pipeline = Pipeline.from_spec({}, Bundle.embedded(networks=False))
    assert repr(pipeline).startswith("<Pipeline of embedded: reference; float32;")
    session = pipeline.start_video()
    tracked = session.track(image, 0.0)
    for value in (tracked, tracked.state, session.describe(image, tracked), session.process_frame(image, 0.1)):
        assert len(repr(value)) < LONGEST
    assert repr(Frame(image, 0.5)) == "<Frame of 80x60 px at 0.500 s>"


def test_arrays_are_shown_by_shape_and_small_ones_by_value():
    assert shown(np.zeros((68, 2), np.float32)) == "float32 (68, 2)"
    assert shown(np.array([0.12345678, 2])) == "[0.1235, 2.0]"
    assert shown(np.zeros((0,))) == "float64 (0,)"


@pytest.mark.parametrize(
    ("value", "text"),
    [((1, 2.5, 3), "3 of float or int"), ([], "none"), ({"a": 1}, "1 by name"), ("x", "'x'"), (None, "None"),
     ("y" * 100, "'" + "y" * 76 + "...")],
)  # fmt: skip
def test_other_values_are_shown_by_their_kind(value, text):
    assert shown(value) == text


def test_what_is_inside_is_named_only():
    faces = TrackedFaces(3, 0.1, [], Camera(500, 500, 320, 240))
    assert repr(faces) == "TrackedFaces(index=3, timestamp=0.1, faces=none, camera=Camera(...))"
    assert repr(Tensors(("a",), (np.zeros((9, 9)),))) == "Tensors(names=1 of str, values=1 of ndarray)"


def test_fields_that_are_not_to_be_shown_are_not():
    @short_repr
    @dataclasses.dataclass
    class Kept:
        value: int
        secret: int = dataclasses.field(default=1, repr=False)

    assert repr(Kept(2)).endswith("Kept(value=2)")
