"""Photographs are fitted from as many orientations as asked for; the comparison of both ways counts what it says."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.accelerated.pipeline import Pipeline
from auparity.models.bundle import Bundle
from auparity.models.synthetic.render import render_photograph
from auparity.parity_tests.truth.multi_view import Measured, measure, render
from auparity.parity_tests.truth.runs import PHOTOGRAPH_SEEDS
from auparity.reference import hypotheses
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline

BUNDLE = Bundle.embedded(networks=False)
PICTURE = render_photograph(PHOTOGRAPH_SEEDS).image


@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("setting", [True, False])
def test_the_argument_decides_and_without_it_the_options(monkeypatch, asked, setting):
    seen = []

    def detect(*arguments, multi_view):
        seen.append(multi_view)
        return hypotheses.detect_in_box(*arguments, multi_view=False)

    monkeypatch.setattr("auparity.reference.clm.detect_in_box", detect)
    options = PipelineOptions(multi_view=setting)
    assert ReferencePipeline(BUNDLE, options=options).process_image(PICTURE, multi_view=asked)
    assert seen == [setting if asked is None else asked]


def test_eleven_orientations_are_the_default():
    assert PipelineOptions().multi_view
    assert (len(hypotheses.MULTI_VIEW), len(hypotheses.FRONTAL)) == (11, 1)


def test_a_profile_is_found_from_eleven_orientations_only():
    pipeline = Pipeline.best(BUNDLE, PipelineOptions(device="cpu"))
    measured = measure(pipeline, 24)
    turned = np.abs(measured.rotation[:, 1]) > 30
    assert turned.sum() >= 5
    assert np.median(measured.errors[True][turned]) < 15 < np.median(measured.errors[False][turned])


def test_the_table_counts_failures_and_which_way_is_better():
    rotation = np.array([[0.0, 5.0, 1.0], [0.0, -20.0, 1.0], [0.0, 50.0, -12.0], [0.0, 2.0, 0.0]])
    errors = {True: np.array([3.0, 3.0, 4.0, 11.0]), False: np.array([3.5, 12.0, 60.0, 5.0])}
    success = {True: np.array([True, True, True, False]), False: np.array([True, True, False, True])}
    table = render(Measured(rotation, success, errors)).splitlines()
    assert table[2] == "| all | 4 | 3.50 / 8.50 | 5.25 / 20.12 | 25.0% / 50.0% | 25.0% / 25.0% | 2 / 1 |"
    assert [line.split(" | ")[:2] for line in table[3:]] == [
        ["| yaw 0 to 15 degrees", "2"],
        ["| yaw 15 to 30 degrees", "1"],
        ["| yaw 45 to 70 degrees", "1"],
        ["| roll 0 to 10 degrees", "3"],
        ["| roll 10 to 20 degrees", "1"],
    ]
