"""Constrained local models as a landmarker: what `Landmarker` promises of every kind of model."""

from __future__ import annotations

import inspect

import pytest

from auparity.reference.clm import ClmLandmarker
from auparity.reference.landmarker import Landmarker


@pytest.mark.parametrize("method", ["initial", "start", "follow"])
def test_a_method_is_called_as_the_protocol_says_with_the_same_defaults(method):
    promised, made = (inspect.signature(getattr(kind, method)).parameters for kind in (Landmarker, ClmLandmarker))
    assert [(p.name, p.kind, p.default) for p in made.values()] == [
        (p.name, p.kind, p.default) for p in promised.values()
    ]


def test_a_search_looks_in_all_directions_unless_it_is_told_otherwise():
    assert inspect.signature(Landmarker.start).parameters["multi_view"].default is True
