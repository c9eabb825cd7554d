"""Constrained local models as a landmarker: what `Landmarker` promises of every kind of model."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.clm import ClmLandmarker
from auparity.reference.face_states import FaceState
from auparity.reference.images import Images
from auparity.reference.landmarker import Landmarker
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER

MODEL = factories.make_bundle(0, m=6).face
IMAGES = Images([np.full((90, 100, 3), level, np.uint8) for level in (10, 200)])
BOXES = np.array([[10, 20, 40, 50], [30, 20, 40, 50]], np.float32)


@pytest.fixture
def landmarker():
    """A landmarker whose fits compute no likelihood and leave the start as it is; its calls are kept in `calls`."""
    made = ClmLandmarker(MODEL)
    real, calls = made.detector, []

    def detect(gray, state, windows, *, refine_parts=None, validate=None):
        calls.append((gray, state, windows))
        return replace(state, detection_success=len(calls) % 2 == 1)

    made.detector = SimpleNamespace(
        detect=detect, main=real.main, numerics=real.numerics, parameters=real.parameters, early_termination=None,
        side_by_side=ONE_AFTER_THE_OTHER,
        initial_state=real.initial_state, calls=calls,
    )  # fmt: skip
    return made


@pytest.mark.parametrize("method", ["initial", "start", "follow"])
def test_a_method_is_called_as_the_protocol_says_with_the_same_defaults(method):
    promised, made = (inspect.signature(getattr(kind, method)).parameters for kind in (Landmarker, ClmLandmarker))
    assert [(p.name, p.kind, p.default) for p in made.values()] == [
        (p.name, p.kind, p.default) for p in promised.values()
    ]


def test_a_search_looks_in_all_directions_unless_it_is_told_otherwise(landmarker):
    landmarker.start(IMAGES, [0], BOXES[:1])
    assert len(landmarker.detector.calls) == 11
    landmarker.start(IMAGES, [0], BOXES[:1], multi_view=False)
    assert len(landmarker.detector.calls) == 12


def test_what_a_search_does_not_compute_is_that_of_the_same_face_before(landmarker):
    before = [replace(landmarker.initial(), likelihood=number) for number in (0.25, 0.75)]
    found = landmarker.start(IMAGES, [0, 1], BOXES, before, multi_view=False)
    assert [face.likelihood for face in found] == [0.25, 0.75]
    assert found.accepted.tolist() == [True, False]
    grays = [gray[0, 0] for gray, _, _ in landmarker.detector.calls]
    assert grays == [10, 200]  # each in the image that it is in


def test_without_a_state_before_it_is_that_of_the_face_before_in_the_picture(landmarker):
    likelihoods = iter([0.5, None])  # the second fit computes none

    def detect(gray, state, windows, **_):
        likelihood = next(likelihoods)
        return state if likelihood is None else replace(state, likelihood=likelihood)

    landmarker.detector.detect = detect
    found = landmarker.start(IMAGES, [0, 0], BOXES, multi_view=False)
    assert [face.likelihood for face in found] == [0.5, 0.5]


def test_a_face_is_followed_from_where_it_was_in_small_windows_after_a_success_and_in_large_ones_else(landmarker):
    states = [
        replace(landmarker.initial(), detection_success=success, likelihood=number)
        for success, number in ((True, 0.25), (False, 0.75))
    ]
    found = landmarker.follow(IMAGES, [1, 0], states)
    calls = landmarker.detector.calls
    assert [windows for _, _, windows in calls] == [(0, 9, 7, 0), (11, 9, 7, 5)]
    assert [start.likelihood for _, start, _ in calls] == [0.25, 0.75]
    assert [gray[0, 0] for gray, _, _ in calls] == [200, 10]
    assert found.accepted.tolist() == found.success.tolist() == [True, False]


def test_states_of_another_landmarker_and_wrong_boxes_are_refused(landmarker):
    own = landmarker.initial()
    other = FaceState(
        params_global=own.params_global, params_local=own.params_local, landmarks=own.landmarks,
        detection_success=True, confidence=1.0,
    )  # fmt: skip
    with pytest.raises(TypeError, match="not a FaceState"):
        landmarker.follow(IMAGES, [0], [other])
    with pytest.raises(TypeError, match="not a FaceState"):
        landmarker.start(IMAGES, [0], BOXES[:1], [other])
    for boxes in (BOXES, BOXES[:1, :3], BOXES[:1] * np.float32(np.nan)):
        with pytest.raises(ContractError, match="boxes"):
            landmarker.start(IMAGES, [0], boxes)


def test_its_shapes_are_those_of_the_model_and_of_its_parts_by_name():
    made = ClmLandmarker(MODEL)
    assert made.shape is MODEL.main.pdm
    assert [*made.part_shapes] == [part.name for part in MODEL.parts]
    assert all(made.part_shapes[part.name] is part.model.pdm for part in MODEL.parts)
