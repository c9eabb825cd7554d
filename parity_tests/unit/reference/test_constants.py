"""Numbers of the algorithm that have no other witness: those that the specification states, written down once more.

Tests of a stage that compare with a formula use the stage's own constants, and would follow them anywhere.
"""

from __future__ import annotations

import numpy as np
import pytest

from auparity.reference import (
    action_units,
    analysis,
    boxes,
    detection,
    face_results,
    fitting,
    gaze,
    head_pose,
    hypotheses,
    landmarks,
    pdm,
    postprocessing,
    running_median,
    tracking,
    validation,
)


@pytest.mark.parametrize(
    ("section", "module", "stated"),
    [
        ("00", fitting, {"INITIAL_LIKELIHOOD": -10}),
        ("00", face_results, {"GAZE_WITHOUT_EYES": (0, 0, -1)}),
        (
            "20",
            detection,
            {
                "MIN_FACE": 60, "PYRAMID_FACTOR": 0.709, "PNET_SUPPORT": 12, "PNET_STRIDE": 2, "RNET_INPUT": 24,
                "ONET_INPUT": 48, "PNET_THRESHOLD": np.float32(0.6), "RNET_THRESHOLD": np.float32(0.7),
                "ONET_THRESHOLD": np.float32(0.7), "NMS_SCALE": 0.5, "NMS_PROPOSALS": 0.7, "NMS_REFINED": 0.7,
                "NMS_FINAL": 0.7, "INPUT_MEAN": 127.5, "INPUT_FACTOR": 1 / 128,
            },
        ),
        (
            "20.9",
            boxes,
            {
                "CORRECTION_X": -0.0075, "CORRECTION_Y": 0.2459, "CORRECTION_WIDTH": 1.0323,
                "CORRECTION_HEIGHT": 0.7751,
            },
        ),
        ("30.6", pdm, {"CLAMP_DEVIATIONS": 3}),
        (
            "50.2 to 50.5",
            fitting,
            {
                "CONVERGED": 0.01, "GRID_STEP": 0.1, "INVISIBLE_LIKELIHOOD": -1e8, "SMALLEST_SCALE": 0.25,
                "LIKELIHOOD_SCALE": 0.3,
            },
        ),
        ("50.7", landmarks, {"PART_SCALE_SHARE": 0.9}),
        ("50.8", validation, {"VALIDATION_BOUNDARY": np.float32(0.725), "BOX_MARGIN": 3}),
        (
            "50.9",
            hypotheses,
            {
                "FRONTAL": ((0, 0, 0),),
                "MULTI_VIEW": (
                    (0, 0, 0), (0, -0.5236, 0), (0, 0.5236, 0), (0, -0.96, 0), (0, 0.96, 0), (0, 0, 0.5236),
                    (0, 0, -0.5236), (0, -1.57, 0), (0, 1.57, 0), (0, -1.22, 0.698), (0, 1.22, -0.698),
                ),
                "FINALISTS": 3,
            },
        ),
        ("50.10", tracking, {"REINIT_EVERY": 2, "REINIT_FACTOR": 6, "MAX_FAILURES": 100}),
        ("60.5", running_median, {"HOG_HISTOGRAM": (1000, -0.005, 1), "GEOMETRY_HISTOGRAM": (10000, -60, 60)}),
        ("60.7", analysis, {"KEPT_FRAMES": 3000}),
        ("60.7", postprocessing, {"INTENSITY_WINDOW": 3, "PRESENCE_WINDOW": 7}),
        (
            "60.7, 60.8",
            action_units,
            {
                "LOWEST_INTENSITY": 0, "HIGHEST_INTENSITY": 5, "NO_CUTOFF": -1, "ONLINE_BINS": 200, "ONLINE_LOW": -3,
                "ONLINE_HIGH": 5, "ONLINE_QUANTILE": 0.1, "ONLINE_FRAMES": 10,
            },
        ),
        ("70.2", head_pose, {"MAX_ITERATIONS": 20, "CONVERGED": 2.0**-23}),
        (
            "70.4",
            gaze,
            {
                "EYEBALL_RADIUS": 12, "CORNERS_TO_CENTRE": (0, -3.5, 7), "IRIS_POINTS": 8,
                "EYE_CORNERS": ((36, 39), (42, 45)),
            },
        ),
        ("70.6", face_results, {"EYE_PARTS": ("left_eye_28", "right_eye_28")}),
    ],
)  # fmt: skip
def test_a_constant_is_the_specifications(section, module, stated):
    assert {name: getattr(module, name) for name in stated} == stated, f"section {section}"
