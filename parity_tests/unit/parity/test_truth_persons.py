"""`auparity dev persons` on a tiny clip with a pipeline that is told what to answer."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.models.synthetic import groups
from auparity.models.synthetic.groups import Scene, make_group, walk
from auparity.models.types import BundleMeta
from auparity.parity_tests.truth import persons
from auparity.parity_tests.unit.helpers.fake_pipeline import result

FRAMES = 3
TINY = Scene(
    "two people", (160, 100), lambda rng: [walk(FRAMES, [(0, x, 50, 24), (2, x, 50, 24)]) for x in (40.0, 120.0)]
)


class Session:
    """Finds both people, but the second one not in frame 1 (a failed row) and as somebody else after that."""

    def __init__(self, truths):
        self.truths, self.frames, self.closed = truths, 0, False

    def process_frame(self, image, timestamp):
        assert image.shape == (100, 160, 3)
        index = self.frames
        self.frames += 1
        assert timestamp == pytest.approx(index / 30)
        return [
            result(index, face_id=k, success=(k, index) != (1, 1), landmarks=seen.landmarks.astype(np.float32))
            for k, seen in enumerate(self.truths[index].people)
        ]

    def finish(self):
        def stretch(face, person, *frames):
            return SimpleNamespace(face_id=face, person_id=person, frames=np.array(frames))

        return [stretch(0, 0, 0, 1, 2), stretch(1, 1, 0, 1), stretch(1, 2, 2)]

    def close(self):
        self.closed = True


class Fake:
    def __init__(self):
        group = make_group(TINY, persons.SEEDS)
        self.truths = [group.frame(k) for k in range(FRAMES)]
        self.bundle = SimpleNamespace(meta=BundleMeta("fake", "1", "none", {}), content_hash="01", short_hash="0")
        self.variants = {"fhog": "fake"}
        self.sessions = []

    def start_video(self, *, camera, faces):
        assert faces == "all"
        assert (camera.fx, camera.cx, camera.cy) == (groups.FOCAL * 160, 80, 50)
        self.sessions.append(Session(self.truths))
        return self.sessions[-1]


@pytest.fixture(scope="module")
def fake():
    return Fake()


def test_the_figures_of_a_clip(fake):
    seen = []
    clip = persons.measure(fake, "tiny", TINY, persons.SEEDS, lambda *progress: seen.append(progress))
    figures = clip.identities
    assert (clip.stretches, figures.people, figures.persons) == (3, 2, 3)
    assert (figures.true_rows, figures.found_rows, figures.switches, figures.merges) == (6, 5, 1, 0)
    assert clip.numbers == {0: [(0, 3)], 1: [(1, 1), (2, 1)]}
    assert seen[-1] == (f"tiny, seed {persons.SEEDS}", FRAMES, FRAMES)
    assert fake.sessions[-1].closed


def test_the_command_prints_a_table_and_writes_the_figures(fake, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(persons, "SCENES", {"tiny": TINY})
    monkeypatch.setattr(persons, "load_bundle", lambda source: fake.bundle)
    monkeypatch.setattr(persons, "one_blas_thread", nullcontext)
    monkeypatch.setattr(persons, "Pipeline", SimpleNamespace(best=lambda bundle, options: fake))
    file = tmp_path / "new" / "persons.json"
    assert persons.main(["--clips", "tiny", "-o", str(file)]) == 0
    output = capsys.readouterr()
    row = "| 1: two people (`tiny`) | 3 | 6 | 83.3 % | 0 | 3 | 3 / 2 | 1 | 0 | 80.0 % | 72.7 % |"
    assert output.out.splitlines()[-1] == row
    assert f"tiny, seed {persons.SEEDS}: 3 of 3" in output.err
    written = json.loads(file.read_text())
    assert written["clips"][0]["found_share"] == pytest.approx(5 / 6)
    assert (written["costs"], written["variants"]) == (None, fake.variants)


def test_an_unknown_clip_is_named(capsys):
    assert persons.main(["--clips", "dance"]) == 2
    assert "no clip 'dance'; there are cross, return" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_numbers_are_at_least_one(number, capsys):
    with pytest.raises(SystemExit):
        persons.main(["--seeds", number])
    assert "is not a whole number of at least 1" in capsys.readouterr().err
