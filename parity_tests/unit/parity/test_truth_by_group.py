"""Groups of rendered people: skin by its colour, and tables that count each picture where it belongs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from auparity.parity_tests.truth import by_group


def test_the_typology_angle_is_that_of_lab():
    cv2 = pytest.importorskip("cv2")
    for linear in ([0.80, 0.55, 0.43], [0.30, 0.17, 0.11], [0.06, 0.03, 0.02], [0.004, 0.002, 0.001]):
        linear = np.array(linear)
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        lightness, _, yellow = cv2.cvtColor(encoded.astype(np.float32)[None, None], cv2.COLOR_RGB2Lab)[0, 0]
        expected = np.degrees(np.arctan2(lightness - 50, yellow))
        # OpenCV's tables are good to a few hundredths of L* and b*, which is a degree where both are small.
        assert by_group.typology_angle(linear) == pytest.approx(expected, abs=1.0)


def test_bounds_of_a_share_are_wilsons():
    low, high = by_group.wilson(81, 263)  # the example of Newcombe, Statistics in Medicine 1998, method 3
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert by_group.wilson(5, 5)[1] == 1.0
    assert by_group.wilson(0, 5)[0] == 0.0


def test_groups_cover_every_value_once():
    for groups in by_group.GROUPS.values():
        assert len({name for name, *_ in groups}) == len(groups)
        bounds = sorted((low, high) for _, _, low, high in groups)
        assert all(before[1] == after[0] for before, after in pairwise(bounds))


def test_a_row_counts_faces_inside_the_picture_and_failures_apart():
    arrays = {
        "ita": np.array([50.0, 50, -40, 50]), "age": np.full(4, 0.5), "male": np.array([0.0, 1, 1, 0]),
        "brightness": np.full(4, 100.0), "yaw": np.full(4, 5.0), "width": np.full(4, 100.0),
        "inside": np.array([1.0, 1, 1, 0.5]), "found": np.ones(4),
        "error": np.array([0.02, 0.12, np.nan, 0.5]), "au_error": np.array([0.4, 0.6, np.nan, 3.0]),
    }  # fmt: skip
    lines = by_group.table(arrays)
    everybody = lines[2].split(" | ")
    assert everybody[1:3] == ["3", "66.7% (20.8% to 93.9%)"]
    assert everybody[3].startswith("7.00 ± ")
    assert everybody[4] == "50.0%"
    assert everybody[5].startswith("0.50 ± ")
    dark = next(line for line in lines if "under -30" in line)
    assert "| 1 | 0.0% (0.0% to 79.3%) | – | – | – |" in dark
    assert not any("young" in line for line in lines)  # nobody of that age


def test_without_a_model_file_it_says_so(tmp_path, capsys):
    status = by_group.main(["--faces", str(tmp_path / "none.npz"), "--pictures", "1", "--work", str(tmp_path / "work")])
    assert status == 2
    assert "none.npz" in capsys.readouterr().err
