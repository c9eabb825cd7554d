"""CE-CLM in bfloat16: its own tolerance class, only where the processor has the instruction, only by name."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.accelerated.numba.cen_bfloat16 import _pack, _round, pack_weights
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite.stage_capture import capture
from auparity.parity_tests.suite.stage_parity import check_stage

VARIANT = registry().get("patch_experts", "numba-bf16")
BUNDLE = Bundle.embedded(networks=False)


def as_float(bits):
    return (np.asarray(bits, np.uint32) << np.uint32(16)).view(np.float32)


def test_rounding_is_to_nearest_and_ties_go_to_even():
    for value, expected in (
        (1.0, 1.0),
        (1 + 2**-8, 1.0),
        (1 + 3 * 2**-8, 1 + 2**-6),
        (-3.14159, -3.140625),
        (0.0, 0.0),
    ):
        assert as_float(_round(np.float32(value).view(np.uint32))) == np.float32(expected)


def test_neighbouring_rows_share_a_word():
    values = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.25]], np.float32)
    words = np.zeros(4, np.uint32)
    _pack(values.reshape(-1), 3, 2, words)
    low, high = as_float(words & np.uint32(0xFFFF)), as_float(words >> np.uint32(16))
    np.testing.assert_array_equal(low, [1.0, 2.0, 0.5, 0.25])
    np.testing.assert_array_equal(high, [3.0, -4.0, 0.0, 0.0])
    assert len(pack_weights(np.ones((7, 3), np.float32))) % 2 == 0


def test_it_is_never_chosen_unasked():
    assert Pipeline.best(BUNDLE).variants["patch_experts"] != "numba-bf16"
    assert VARIANT.unsupported_reason is not None
    assert "CE-CLM" in str(VARIANT.unsupported_reason(BUNDLE.face.parts[0].model))


@pytest.mark.skipif(VARIANT.unavailable_reason() is not None, reason=str(VARIANT.unavailable_reason()))
def test_it_holds_its_tolerances_and_not_those_of_float32():
    taken = capture(BUNDLE, [[picture.image for picture in render_clip(3_800_000, 3)]], [], most=6)
    records = check_stage(VARIANT, taken)
    assert all(record.passed for record in records), "\n".join(map(str, records))
    (median,) = (record for record in records if record.name.endswith("response_maps_median"))
    assert median.tolerance_needed > 1e-5
    pipeline = Pipeline.from_spec({"patch_experts": "numba-bf16|numba"}, BUNDLE, default="numba")
    assert pipeline.precision == "bfloat16"
