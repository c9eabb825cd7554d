"""Images as FaceLandmarkImg measures them without options, with -multi_view 1 and with -wild (spec 50.1, 80.3).

The recordings are printed tables of another build of the C++ program, so the limits are those of two correct programs
on the same images: 1.25 times the widest published platform floor, plus the rounding of the printed decimals.
"""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.fidelity.recordings import Table, require_shared
from auparity.parity_tests.suite.platform_floor import PUBLISHED_FLOORS
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

pytestmark = pytest.mark.golden

#: Mean difference caused by rounding to one and to two decimals: a quarter of the unit of the last decimal.
LANDMARK_DECIMALS, AU_DECIMALS = 0.025, 0.0025
PHOTOGRAPHS = ("sample", "sample1", "sample2", "sample3", "three_faces")


def recorded(folder: str, photograph: str) -> Table:
    path = require_shared() / "golden" / "options" / folder / f"{photograph}.csv.gz"
    with gzip.open(path, "rt", encoding="ascii") as file:
        names, *rows = csv.reader(file)
    return Table(names, np.array(rows, np.float64))


@pytest.mark.parametrize(
    ("folder", "multi_view", "wild", "photographs"),
    [
        ("images", False, False, PHOTOGRAPHS),
        # Eleven orientations, and wider windows, take the reference half a minute a face: one image each.
        ("images_multiview", True, False, PHOTOGRAPHS[:1]),
        ("images_wild", None, True, PHOTOGRAPHS[:1]),
    ],
)
def test_photographs_are_measured_as_the_official_program_does_with_this_option(folder, multi_view, wild, photographs):
    bundle = Bundle.from_openface(require_shared() / "openface", landmark_model="clnf")
    parameters = DetectorParameters.for_model(bundle.face, wild=wild)
    pipeline = ReferencePipeline(bundle, options=PipelineOptions(landmarks=parameters))
    distances, intensities, presences = [], [], []
    for photograph in photographs:
        table = recorded(folder, photograph)
        faces = pipeline.process_image(golden_data.load_image(f"{photograph}.jpg"), multi_view=multi_view)
        assert [face.face_id for face in faces] == list(table.columns("face").ravel())
        confidence = [[face.confidence] for face in faces]
        np.testing.assert_allclose(table.columns("confidence"), confidence, rtol=0, atol=5e-4)
        x, y = (table.columns(*(f"{axis}_{i}" for i in range(68))) for axis in "xy")
        distances.append(np.abs(np.stack([face.landmarks for face in faces]) - np.stack([x, y], axis=2)))
        aus = table.columns(*(f"{name}_r" for name in INTENSITY_AUS))
        intensities.append(np.abs(np.stack([face.au_intensity for face in faces]) - aus))
        aus = table.columns(*(f"{name}_c" for name in PRESENCE_AUS))
        presences.append(np.stack([face.au_presence for face in faces]) != aus)
    floors = PUBLISHED_FLOORS.values()
    factor = tolerance("chained", "floor_factor").tolerance
    landmark_limit = factor * max(floor.landmarks_mean for floor in floors) + LANDMARK_DECIMALS
    au_limit = factor * max(floor.au_online_mean for floor in floors) + AU_DECIMALS
    assert np.concatenate(distances).mean() <= landmark_limit
    assert np.concatenate(intensities).mean() <= au_limit
    # Always the same few presences have decision values next to zero (see photographs.float32.presences_differing).
    assert np.concatenate(presences).sum() <= 3


def test_one_orientation_is_another_measurement_than_eleven():
    """The recordings of the two options differ by many pixels, so that the test above could not pass by mistake."""
    frontal, eleven = (
        recorded(folder, "sample3").columns("x_0", "x_8", "y_30") for folder in ("images", "images_multiview")
    )
    assert np.abs(frontal - eleven).max() > 5
