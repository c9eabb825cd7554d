"""What OpenFace's models find in rendered clips: the figures that `auparity dev seen-landmarks` makes of it."""

from __future__ import annotations

import numpy as np

from auparity.parity_tests.truth.seen import LEFT, main, report
from auparity.reference.results import INTENSITY_AUS


def clip(down: float = 0.0, outwards: float = 0.0, follows: float = 1.0) -> dict[str, np.ndarray]:
    """A clip of 100 tracked frames whose brows are found beside their places, and whose AU12 is followed or not."""
    rng = np.random.default_rng(3)
    offsets = rng.normal(0, 0.2, (100, 68, 2))
    offsets[:, 17:27, 1] += down
    offsets[:, 17:27, 0] += outwards * np.where(np.isin(np.arange(17, 27), LEFT), -1, 1)
    true = np.zeros((100, len(INTENSITY_AUS)))
    column = INTENSITY_AUS.index("AU12")
    true[:, column] = 2 + 2 * np.sin(np.arange(100) / 5)
    found = rng.normal(0, 0.01, true.shape)
    found[:, column] += follows * true[:, column]
    distances = np.linalg.norm(offsets, axis=2).mean(axis=1) / 0.9
    return {"offsets": offsets, "distances": distances, "yaw": np.zeros(100), "found": found, "true": true,
            "share": np.array(1.0)}  # fmt: skip


def line(text: str, name: str) -> list[str]:
    return next(row for row in text.splitlines() if row.startswith(name)).split()


def test_the_offset_of_a_group_is_found_and_mirrored_halves_are_counted_outwards():
    text = report([clip(down=2.0, outwards=1.0), clip(down=2.0, outwards=1.0)])
    _, outwards, down = line(text, "brows")
    assert abs(float(down) - 2.0) < 0.1
    assert abs(float(outwards) - 1.0) < 0.1
    assert all(abs(float(value)) < 0.1 for value in line(text, "nose")[1:])


def test_an_action_unit_counts_in_clips_in_which_it_moves():
    text = report([clip(follows=1.0), clip(follows=-1.0), clip()])
    assert line(text, "AU12")[1:] == ["3", "+0.33"]
    assert line(text, "AU01")[1:] == ["0", "-"]


def test_a_missing_model_is_reported(tmp_path, capsys):
    assert main(["--models", str(tmp_path), "--faces", str(tmp_path / "none.npz")]) == 1
    assert "error" in capsys.readouterr().err
