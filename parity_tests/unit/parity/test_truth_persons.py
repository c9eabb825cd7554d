"""`auparity dev persons` on a tiny clip with a pipeline that is told what to answer."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.models.synthetic import groups
from auparity.models.synthetic.groups import Scene, make_group, walk
from auparity.models.types import BundleMeta
from auparity.parity_tests.truth import persons
from auparity.parity_tests.truth.persons_file import FiguresFile
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.reference.persons import NOBODY

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

        return [stretch(0, 0, 0, 1, 2), stretch(1, 1, 0), stretch(1, NOBODY, 1), stretch(1, 2, 2)]

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
    assert seen[-1] == (f"tiny, seed {persons.SEEDS}, frames", FRAMES, FRAMES)
    assert fake.sessions[-1].closed


@pytest.fixture
def command(fake, monkeypatch):
    """`main`, whose pipeline is the one above and whose only clip is tiny."""
    monkeypatch.setattr(persons, "SCENES", {"tiny": TINY})
    monkeypatch.setattr(persons, "load_bundle", lambda source: fake.bundle)
    monkeypatch.setattr(persons, "one_blas_thread", nullcontext)
    monkeypatch.setattr(persons, "Pipeline", SimpleNamespace(best=lambda bundle, options: fake))
    return lambda *arguments: persons.main(["--clips", "tiny", *arguments])


def test_the_command_prints_a_table_and_writes_the_figures(fake, command, tmp_path, capsys):
    file = tmp_path / "new" / "persons.json"
    assert command("-o", str(file)) == 0
    output = capsys.readouterr()
    row = "| 1: two people (`tiny`) | 3 | 6 | 83.3 % | 0 / 0 / 1 | 0 | 3 | 3 / 2 | 1 | 0 | 80.0 % | 72.7 % | 90.9 % |"
    assert output.out.splitlines()[-1] == row
    assert f"tiny, seed {persons.SEEDS}, frames: 3 of 3" in output.err
    assert "clips: 1 of 1" in output.err
    written = json.loads(file.read_text())
    assert written["clips"][0]["found_share"] == pytest.approx(5 / 6)
    assert written["variants"] == fake.variants


def test_shares_of_several_seeds_are_means_with_their_range():
    assert persons._percent([0.5, 1.0, None, 0.75]) == "75.0 % (50.0 to 100.0)"
    assert (persons._percent([0.5]), persons._percent([None])) == ("50.0 %", "–")


def test_an_interrupted_run_keeps_the_clips_that_are_done_and_the_same_command_resumes(
    fake, command, tmp_path, capsys, monkeypatch
):
    file = tmp_path / "persons.json"
    measure, measured = persons.measure, []

    def interrupted(pipeline, name, scene, seed, progress):
        if seed == persons.SEEDS + 2 and len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(seed)
        return replace(measure(pipeline, name, scene, persons.SEEDS, progress), seed=seed)

    monkeypatch.setattr(persons, "measure", interrupted)
    assert command("--seeds", "3", "-o", str(file)) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert [clip["seed"] for clip in json.loads(file.read_text())["clips"]] == [persons.SEEDS, persons.SEEDS + 1]
    assert [path.name for path in tmp_path.iterdir()] == ["persons.json"]
    measured.append(0)
    assert command("--seeds", "3", "-o", str(file)) == 0
    output = capsys.readouterr()
    assert "2 of 3 clips are in" in output.err
    assert measured == [persons.SEEDS, persons.SEEDS + 1, 0, persons.SEEDS + 2]
    assert output.out.splitlines()[-1].startswith("| 3: two people (`tiny`) | 9 | 18 | 83.3 % (83.3 to 83.3) |")
    # A later run of other clips keeps these.
    assert command("--first-seed", str(persons.SEEDS + 9), "-o", str(file)) == 0
    assert len(json.loads(file.read_text())["clips"]) == 4


def test_a_run_without_a_file_keeps_nothing_and_says_so(command, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(persons, "measure", interrupted)
    assert command() == 130
    assert "nothing is kept without --output" in capsys.readouterr().err


def test_clips_of_other_settings_are_never_mixed_in(fake, command, tmp_path, capsys, monkeypatch):
    file = tmp_path / "persons.json"
    assert command("-o", str(file)) == 0
    before = file.read_bytes()
    monkeypatch.setattr(persons, "measuring_code", lambda: "another")
    assert command("-o", str(file)) == 2
    assert "its clips were measured with another code; delete it or name another" in capsys.readouterr().err
    assert file.read_bytes() == before
    for text in ("{", "[]", "{}", '{"clips": [{}]}'):
        file.write_text(text)
        assert command("-o", str(file)) == 2
        assert "is not a file of figures" in capsys.readouterr().err
        assert file.read_text() == text


def test_figures_read_back_are_those_written(fake, tmp_path):
    settings = {"hash": "01"}
    clip = persons.measure(fake, "tiny", TINY, persons.SEEDS, lambda *progress: None)
    written = FiguresFile(tmp_path / "a.json", settings)
    written.add(clip)
    read = FiguresFile(tmp_path / "a.json", settings)
    assert read.clips == {("tiny", persons.SEEDS): clip}
    read.add(replace(clip, seed=1))
    assert {clip["seed"] for clip in json.loads((tmp_path / "a.json").read_text())["clips"]} == {1, persons.SEEDS}


def test_a_file_that_cannot_be_written_is_named(fake, command, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command("-o", str(tmp_path / "file" / "persons.json")) == 2
    assert f"{tmp_path / 'file' / 'persons.json'}: cannot be written" in capsys.readouterr().err


def test_an_unknown_clip_is_named(capsys):
    assert persons.main(["--clips", "dance"]) == 2
    assert "no clip 'dance'; there are cross, return" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_numbers_are_at_least_one(number, capsys):
    with pytest.raises(SystemExit):
        persons.main(["--seeds", number])
    assert "is not a whole number of at least 1" in capsys.readouterr().err
