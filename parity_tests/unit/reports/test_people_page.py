"""The page of a clip of several people: each has figures, curves with gaps, a colour and a number; one is chosen."""

from __future__ import annotations

import re

import numpy as np
import pytest

from auparity.cli import main
from auparity.errors import AuparityError, FileFormatError
from auparity.parity_tests.unit.helpers.chromium import chromium, opened
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images
from auparity.parity_tests.unit.helpers.people import SIZE, write_people
from auparity.parity_tests.unit.helpers.rendered_truth import describe, write_clip_truth
from auparity.parity_tests.unit.reports.test_truth_page import read
from auparity.reports.clips.page import write_page, write_people_page
from auparity.reports.clips.people import COLOURS, people_of
from auparity.reports.clips.summary import summarise
from auparity.reports.clips.table import read_result_table

FRAMES = 40
#: Person 0 goes and comes back, 3 stays, and 7 is there for two frames.
VISITS = {0: [*range(10), *range(20, 30)], 3: range(FRAMES), 7: [14, 15]}


@pytest.fixture
def csv(tmp_path):
    return write_people(tmp_path / "group.csv", VISITS)


def sections(page):
    """The part of each person, by number."""
    parts = re.split(r'<div class="sections person-(\d+)">', page.read_text(encoding="utf-8"))
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_each_person_has_frames_share_and_times(csv):
    people = people_of(read_result_table(csv), 50, 10.0)
    assert [person.number for person in people.persons] == [0, 3, 7]
    assert [person.figures.tracked for person in people.persons] == [20, 40, 2]
    assert [person.visits for person in people.persons] == [[(0, 10), (20, 30)], [(0, 40)], [(14, 16)]]
    assert [person.ends for person in people.persons] == [(0.0, 2.9), (0.0, 3.9), (1.4, 1.5)]
    assert (people.frames, people.tracked_frames, people.at_once, people.seconds) == (50, 40, 2, (0.0, 4.9))
    assert people.most_seen.number == 3
    assert len({person.colours for person in people.persons}) == 3


def test_a_lost_face_is_not_tracked(tmp_path):
    csv = write_people(tmp_path / "group.csv", {0: range(6), 1: range(6)}, lost=[(1, 2), *((0, k) for k in range(6))])
    people = people_of(read_result_table(csv), None, 30.0)
    assert [person.visits for person in people.persons] == [[(0, 2), (3, 6)]]
    assert people.untracked == (0,)
    write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0)
    _, text = read(tmp_path / "group.html")
    assert "1 person tracked, one at a time, in 83.3 % of the frames." in text
    assert "no face was ever tracked under it: 0." in text
    assert "nan" not in (tmp_path / "group.html").read_text().partition("<script>")[0].lower()


def test_rows_of_nobody_are_nobodys(tmp_path):
    csv = write_people(tmp_path / "group.csv", {-1: range(6), 1: range(6)}, lost=[(-1, k) for k in range(6)])
    people = people_of(read_result_table(csv), None, 30.0)
    assert ([person.number for person in people.persons], people.untracked) == ([1], ())
    text = summarise(csv)
    assert "Person -1" not in text
    assert "### Person 1" in text


def test_a_clip_in_which_nobody_is_tracked_says_so(tmp_path):
    csv = write_people(tmp_path / "group.csv", {0: [1], 1: [2]}, lost=[(0, 1), (1, 2)])
    assert write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0).persons == ()
    checker, text = read(tmp_path / "group.html")
    assert "No face was found in this clip" in text
    assert "no face was ever tracked under them: 0, 1." in text
    assert not [tag for tag, _ in checker.tags if tag in ("input", "svg")]


def test_times_of_frames_without_a_row_lie_between_those_of_the_others(tmp_path):
    csv = write_people(tmp_path / "group.csv", {0: [0, 1], 1: [9, 10]})
    lines = [line.split(",") for line in csv.read_text().splitlines()]
    for line, stamp in zip(lines[1:], ("0.0", "0.1", "0.9", "1.1"), strict=True):
        line[2] = stamp
    csv.write_text("\n".join(",".join(line) for line in lines))
    people = people_of(read_result_table(csv), 12, 10.0)
    assert people.seconds == pytest.approx((0.0, 1.2))
    np.testing.assert_array_equal(people.grid, [0, 1, 2, 8, 9, 10, 11])
    np.testing.assert_allclose(people.times, [0.0, 0.1, 0.2, 0.8, 0.9, 1.1, 1.2])
    np.testing.assert_array_equal(people.grid[people.persons[1].places], [9, 10])


def test_figures_are_those_of_the_summary(csv, tmp_path):
    write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0)
    parts = summarise(csv).split("### Person ")[1:]
    assert [int(part.split()[0]) for part in parts] == [0, 3, 7]
    for part in parts:
        rows = re.findall(r"^\| (AU\d\d) \| ([\d.]+) \| ([\d.]+) \| (\d+)% \|", part, re.MULTILINE)
        table = sections(tmp_path / "group.html")[int(part.split()[0])].rpartition("<tbody>")[2]
        shown = re.findall(r"<b>(AU\d\d)</b>.*?<td>([\d.]+)</td><td>([\d.]+)</td><td>(\d+)", table)
        assert len(rows) == 17
        assert shown == rows


def test_one_person_is_chosen_and_everybody_can_be(csv, tmp_path):
    write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0)
    checker, text = read(tmp_path / "group.html")
    choice = [attributes for tag, attributes in checker.tags if tag == "input" and attributes["type"] == "radio"]
    assert [(each["type"], each["name"], each["aria-label"]) for each in choice] == [
        ("radio", "person", name) for name in ("Person 0", "Person 3", "Person 7", "Everybody")
    ]
    assert ["checked" in each for each in choice] == [False, True, False, False]  # who is seen most
    assert "Person 7: action units" in text
    assert "3 people tracked, up to 2 at once, in 100 % of the frames." in text
    assert "2 5 % 0.47 s 0.50 s" in text
    style = (tmp_path / "group.html").read_text()
    for place, number in enumerate(VISITS):
        assert f".person-{number} {{ --tag: {COLOURS[place][0]}; --own: {COLOURS[place][1]}; }}" in style
        assert f"body:has(#choose-{number}:checked) .sections.person-{number}" in style
    strips = [each["aria-label"] for tag, each in checker.tags if tag == "svg" and each.get("class") == "strip"]
    assert strips[0].replace("\N{NO-BREAK SPACE}", " ") == "Person 0: 2 stretches, 0.00 s to 0.97 s"


def test_slots_of_openface_are_not_called_people(tmp_path):
    csv = write_people(tmp_path / "multi.csv", VISITS, persons=False)
    assert "person_id" not in read_result_table(csv).columns
    write_people_page(read_result_table(csv), tmp_path / "multi.html", fps=30.0)
    _, text = read(tmp_path / "multi.html")
    assert "3 face slots with a face, up to 2 at once" in text
    assert "a number can stand for several people in turn" in text
    assert "by the static models" in text
    assert "### Face slot 7" in summarise(csv)


def test_one_slot_with_frames_without_a_row_is_a_table_of_several(tmp_path):
    """FaceLandmarkVidMulti writes no row without a face, and a table of one face has one for each frame."""
    with_gap = write_people(tmp_path / "gap.csv", {0: [0, 1, 5]}, persons=False)
    without = write_people(tmp_path / "one.csv", {0: range(5)}, persons=False)
    assert read_result_table(with_gap).persons is not None
    assert read_result_table(without).persons is None
    with pytest.raises(AuparityError, match="has several people"):
        write_page(read_result_table(with_gap), tmp_path / "x.html", fps=30.0)
    with pytest.raises(AuparityError, match="is not of several people"):
        write_people_page(read_result_table(without), tmp_path / "x.html", fps=30.0)


def test_twenty_people_and_missing_columns_do_not_break_a_page(tmp_path):
    csv = write_people(tmp_path / "crowd.csv", {k: [0, k + 1] for k in range(20)}, groups=("2d",))
    people = write_people_page(read_result_table(csv), tmp_path / "crowd.html", fps=30.0)
    assert people.persons[len(COLOURS)].colours == COLOURS[0]
    checker, text = read(tmp_path / "crowd.html")
    assert sum(tag == "input" and each["type"] == "radio" for tag, each in checker.tags) == 20 + 1  # and everybody
    assert "action units" not in text.lower()


@pytest.mark.parametrize(("column", "value"), [("person_id", "0.5"), ("frame", "0"), ("frame", "1.5")])
def test_numbers_of_people_and_frames_are_whole(csv, tmp_path, column, value):
    lines = [line.split(",") for line in csv.read_text().splitlines()]
    lines[2][lines[0].index(column)] = value
    csv.write_text("\n".join(",".join(line) for line in lines))
    with pytest.raises(FileFormatError, match=f"row 2: expected the number of a {column.split('_')[0]}, whole"):
        write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0)


def test_a_far_frame_costs_no_memory(csv, tmp_path):
    lines = [line.split(",") for line in csv.read_text().splitlines()]
    lines[-1][0] = str(10**12)
    csv.write_text("\n".join(",".join(line) for line in lines))
    assert write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0).frames == 10**12


class TestCommand:
    """`auparity report` and `auparity summary`"""

    @staticmethod
    def extracted(folder, frames=FRAMES + 2, **facts):
        write_images(folder / "in" / "group", frames, size=SIZE)
        table = write_people(folder / "group.csv", VISITS)
        request = {"faces": "all", "aus": "calibrated"}
        describe(table, input={"path": str(folder / "in" / "group"), "kind": "images"}, request=request, **facts)
        return table

    def test_a_page_an_overlay_and_how_to_make_them_again(self, tmp_path, capsys):
        table = self.extracted(tmp_path, frames=FRAMES + 2)
        assert main(["report", str(tmp_path)]) == 0
        assert f"Look at {tmp_path / 'group.html'}" in capsys.readouterr().out
        assert not (tmp_path / "group.overlay.webm").exists()
        checker, text = read(tmp_path / "group.html")
        assert "group: 42 frames" in text  # those of the clip, of which the table has 40
        assert "auparity extract group --models DIR --faces all --aus calibrated -o ." in text
        assert "calibrated to each face" in text
        portraits = [each["aria-label"] for tag, each in checker.tags if each.get("class") == "portrait"]
        assert portraits == ["Person 0", "Person 3", "Person 7"]
        assert main(["report", str(tmp_path)]) == 0
        assert f"{table}: already has a report" in capsys.readouterr().err

    def test_only_the_frames_that_were_measured_are_drawn(self, tmp_path):
        self.extracted(tmp_path, frames=FRAMES + 5, **{"seconds": 1.0})
        describe(
            tmp_path / "group.csv", frames=FRAMES + 1, input={"path": str(tmp_path / "in/group"), "kind": "images"}
        )
        assert main(["report", str(tmp_path)]) == 0
        assert "group: 41 frames" in read(tmp_path / "group.html")[1]

    def test_a_clip_that_is_too_short_is_another_one(self, tmp_path, capsys):
        self.extracted(tmp_path, frames=FRAMES - 3)
        assert main(["report", str(tmp_path)]) == 1
        assert "has rows of frame 40, but the clip gave 37 frames" in capsys.readouterr().err
        assert not (tmp_path / "group.html").exists()
        assert not list(tmp_path.glob("*.webm"))

    def test_nobody_is_compared_with_the_truth_of_one_face(self, tmp_path, capsys):
        table = self.extracted(tmp_path)
        truth = write_clip_truth(tmp_path / "in" / "group")
        assert main(["report", str(table), "--truth", str(truth)]) == 1
        assert "a truth is of one face; leave --truth out" in capsys.readouterr().err
        assert main(["report", str(table)]) == 0
        assert "truth.csv of this clip is of one face" in read(tmp_path / "group.html")[1]

    def test_summary_and_report_read_parquet_tables(self, tmp_path):
        pytest.importorskip("pyarrow")
        write_people(tmp_path / "group.csv", VISITS)
        write_people(tmp_path / "group.parquet", VISITS, table_format="parquet")
        write_people(tmp_path / "other.parquet", {0: range(3)}, table_format="parquet")
        assert main(["summary", str(tmp_path)]) == 0
        text = (tmp_path / "summary.md").read_text()
        assert [line for line in text.splitlines() if line.startswith("## ")] == [
            "## group", "## group.parquet", "## other"
        ]  # fmt: skip
        assert text.count("### Person 3") == 2
        frames = write_images(tmp_path / "in", FRAMES, size=SIZE)
        assert main(["report", str(tmp_path / "group.parquet"), "--clip", str(frames)]) == 0
        assert (tmp_path / "group.parquet.html").is_file()


def test_a_browser_shows_the_table_of_the_chosen_person_and_paper_everybodys(csv, tmp_path):
    write_people_page(read_result_table(csv), tmp_path / "group.html", fps=30.0)
    every = "[...document.querySelectorAll('.sections')]"
    shown = f"{every}.filter(e => e.offsetHeight).map(e => e.className.split('-')[1]).join()"
    with chromium() as browser:
        for width in (1280, 500):
            with opened(browser, tmp_path / "group.html", width) as page:
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.evaluate(shown) == "3"
                page.locator("#choose-7").check(force=True)
                assert page.evaluate(shown) == "7"
                page.locator("#choose-all").check(force=True)
                assert page.evaluate(shown) == "0,3,7"
                page.locator("#choose-0").check(force=True)
                page.emulate_media(media="print")
                assert page.evaluate(shown) == "0,3,7"
