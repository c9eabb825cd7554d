"""The cost of several faces, measured on a pipeline that only counts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from auparity.benchmarks import several_faces
from auparity.benchmarks.several_faces import CROWD, FRAMES, Cost, measure, render
from auparity.reference.many_faces import LOCATE_EVERY


class Counting:
    """Finds as many faces as the first pixel of an image says."""

    def __init__(self):
        self.frames, self.modes = 0, []

    def start_video(self, *, faces):
        self.modes.append(faces)
        return SimpleNamespace(process_frame=lambda image, timestamp: self._frame(image, faces))

    def _frame(self, image, faces):
        self.frames += 1
        return self.process_image(image) if faces else SimpleNamespace(success=True)

    def process_image(self, image):
        return [SimpleNamespace(success=True)] * int(image[0, 0, 0])


def test_every_case_is_timed_in_every_round(monkeypatch):
    monkeypatch.setattr(several_faces, "clip", lambda people: [np.full((2, 2, 3), people, np.uint8)] * FRAMES)
    monkeypatch.setattr(several_faces, "crowd", lambda people: np.full((2, 2, 3), people, np.uint8))
    pipeline, seen = Counting(), []
    costs = measure(pipeline, 2, lambda *progress: seen.append(progress))
    assert [cost.faces for cost in costs] == [1, 2, 4, 1, 1, CROWD]
    assert all(len(cost.wall_ms) == len(cost.cpu_ms) == 2 for cost in costs)
    assert all(min(cost.wall_ms) > 0 for cost in costs)
    assert pipeline.modes == ["all", "all", "all", None] * 3  # a round of warm-up and two more
    assert pipeline.frames == 4 * 3 * FRAMES
    assert FRAMES % LOCATE_EVERY == 0
    assert seen[-1] == ("rounds of the cost", 3, 3)


def test_the_table_has_medians_and_ratios_of_equal_rounds():
    costs = [
        Cost("clip, 1 face", 1.0, [10, 20, 12], [5, 5, 5]),
        Cost("clip, 2 faces", 2.0, [15, 40, 24], [10, 10, 10]),
        Cost("photograph, 1 face", 1.0, [100, 100, 100], [90, 90, 90]),
    ]
    assert render(costs).splitlines()[2:] == [
        "| clip, 1 face | 1 | 12.0 | 5.0 | 1.00 | 1.00 |",
        "| clip, 2 faces | 2 | 24.0 | 10.0 | 2.00 | 2.00 |",
        "| photograph, 1 face | 1 | 100.0 | 90.0 | 1.00 | 1.00 |",
    ]


def test_the_command_prints_the_table(monkeypatch, capsys):
    cost = Cost("clip, 1 face", 1, [2.0], [3.0])
    monkeypatch.setattr(several_faces, "measure", lambda pipeline, rounds, progress: [cost])
    assert several_faces.main(["--rounds", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "| clip, 1 face | 1 | 2.0 | 3.0 | 1.00 | 1.00 |"
    assert several_faces.main(["--models", "/nowhere"]) == 2
    assert "several-faces: error:" in capsys.readouterr().err
