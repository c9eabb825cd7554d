"""The page of a clip stands alone, says how far the measures are from the truth, and can be read by everyone."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from auparity.cli.report import add_parser, report_clip
from auparity.errors import AuparityError
from auparity.extraction.table_writers import open_table
from auparity.parity_tests.unit.helpers.fake_pipeline import result, write_images
from auparity.parity_tests.unit.helpers.rendered_truth import (
    FRAMES,
    describe,
    pictures,
    write_clip_truth,
    write_results,
)
from auparity.reports.clips.overlay import write_overlay
from auparity.reports.clips.page import write_page
from auparity.reports.plots import MOST_POINTS, Axis, Line, line_chart

VOID = {"meta", "img", "br", "link", "input", "path", "rect"}


class Checker(HTMLParser):
    """Remembers tags; fails on any that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)


def read(page):
    checker = Checker()
    checker.feed(page.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker, " ".join(" ".join(checker.text).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def clip(tmp_path):
    """A folder with results that are 0.4 px (1 % of the inter-ocular distance) off, their truth, video and poster."""
    csv = write_results(tmp_path / "clip.csv", shift=0.4)
    truth = write_clip_truth(tmp_path / "clip")
    write_overlay(pictures(), csv, tmp_path / "clip.webm", truth, poster=tmp_path / "clip.jpg")
    return tmp_path


def test_a_good_run_reaches_its_targets_and_says_so_first(clip):
    figures = write_page(clip / "clip.csv", clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv")
    assert figures is not None
    assert figures.landmarks.mean == pytest.approx(0.01, abs=1e-3)
    assert figures.intensities["AU12"].r == pytest.approx(1, abs=1e-3)
    _, text = read(clip / "clip.html")
    assert text.index("All 4 targets that apply to one clip are reached.") < text.index("Action units over time")
    assert "1 % mean landmark error" in text


def test_a_bad_run_names_what_it_missed(tmp_path):
    csv = write_results(tmp_path / "clip.csv", shift=8.0, lost=4)
    write_page(csv, tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip"))
    _, text = read(tmp_path / "clip.html")
    assert "2 of 4 targets missed: mean landmark error; frames lost or off by more than 10 %." in text
    assert "Shaded: no face tracked." in text


def test_an_au_that_rests_has_no_correlation_and_does_not_count_as_missed(tmp_path):
    csv = write_results(tmp_path / "clip.csv")
    figures = write_page(csv, tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip"))
    resting = set(figures.intensities) - set(figures.moving)
    assert resting == {"AU20", "AU23", "AU25", "AU26", "AU45"}  # those whose turn did not come in 12 frames
    assert all(figures.intensities[name].r is None for name in resting)
    assert {v.target.name: v.value for v in figures.verdicts}["aus_correlated"] == 17


def test_nothing_comes_from_elsewhere(clip):
    write_page(
        clip / "clip.csv", clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv", video=clip / "clip.webm",
        poster=clip / "clip.jpg",
    )  # fmt: skip
    checker, _ = read(clip / "clip.html")
    for tag, attributes in checker.tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, name)
    text = (clip / "clip.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert str(clip) not in text


def test_everything_shown_is_also_told_to_those_who_do_not_see_it(clip):
    write_page(clip / "clip.csv", clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv",
               video=clip / "clip.webm", poster=clip / "clip.jpg")  # fmt: skip
    checker, _ = read(clip / "clip.html")
    charts = [attributes for tag, attributes in checker.tags if tag == "svg"]
    assert len(charts) == 17 + 3 + 2 + 1
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in charts)
    assert all(attributes.get("alt") for tag, attributes in checker.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in checker.tags if tag == "video")
    assert [attributes["lang"] for tag, attributes in checker.tags if tag == "html"] == ["en"]
    assert all(attributes.get("scope") for tag, attributes in checker.tags if tag == "th")


def test_light_dark_and_paper_are_styled(clip):
    write_page(clip / "clip.csv", clip / "clip.html", fps=30.0)
    text = (clip / "clip.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_without_a_truth_nothing_is_compared(clip):
    assert write_page(clip / "clip.csv", clip / "clip.html", fps=30.0) is None
    _, text = read(clip / "clip.html")
    assert "Measurements" in text
    assert "truth" not in text
    assert "MAE" not in text


def test_names_are_not_markup(tmp_path):
    csv = write_results(tmp_path / "<b>&.csv")
    write_page(csv, tmp_path / "page.html", fps=30.0, commands=["auparity extract '<x>&'"])
    _, text = read(tmp_path / "page.html")
    assert "<b>&: 12 frames" in text
    assert "auparity extract '<x>&'" in text


def test_a_large_video_lies_beside_the_page(clip, monkeypatch):
    monkeypatch.setattr("auparity.reports.clips.page.LARGEST_EMBEDDED", 10)
    write_page(clip / "clip.csv", clip / "clip.html", fps=30.0, video=clip / "clip.webm")
    checker, text = read(clip / "clip.html")
    assert [attributes["src"] for tag, attributes in checker.tags if tag == "video"] == ["clip.webm"]
    assert "The video is beside this page." in text


def test_the_truth_of_another_clip_is_refused(tmp_path):
    csv = write_results(tmp_path / "clip.csv", frames=5)
    with pytest.raises(AuparityError, match=r"5 frames, its truth .* 12: they are of different clips"):
        write_page(csv, tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip"))
    assert not (tmp_path / "clip.html").exists()


class TestCharts:
    def test_a_line_has_a_gap_where_nothing_is_known(self):
        values = np.array([1, 2, np.nan, 3, np.nan, 4, 5.0])
        chart = line_chart("x", np.arange(7) / 10, [Line("found", values)], Axis(0, 5, (0, 5)))
        path = re.search(r'class="line found" d="([^"]*)"', chart).group(1)
        assert (path.count("M"), path.count("L"), path.count("h.5")) == (3, 2, 1)

    def test_long_series_are_thinned_but_keep_their_peaks(self):
        values = np.zeros(100_000)
        values[54_321] = 5
        chart = line_chart("x", np.arange(100_000) / 30, [Line("found", values)], Axis(0, 5, (0, 5)))
        path = re.search(r'class="line found" d="([^"]*)"', chart).group(1)
        assert path.count("L") < MOST_POINTS
        heights = {float(pair.split()[1]) for pair in re.findall(r"[ML]([\d. ]+)", path)}
        assert min(heights) == 6  # the top of the chart

    def test_a_gap_in_a_long_series_stays_a_gap(self):
        values = np.tile([0.0, 5.0], 5_000)
        values[4_321] = np.nan  # in the middle of a bin of 16
        chart = line_chart("x", np.arange(10_000) / 30, [Line("found", values)], Axis(0, 5, (0, 5)))
        path = re.search(r'class="line found" d="([^"]*)"', chart).group(1)
        assert path.count("M") == 2

    @pytest.mark.parametrize("values", [[0.0, 0.0], [-3.0, 12.0], [np.nan, 4.0], [np.nan], [1e-3, 2e-3]])
    def test_an_axis_holds_all_values_and_has_round_ticks(self, values):
        axis = Axis.around(np.array(values), least=1.0)
        known = [v for v in values if np.isfinite(v)]
        assert axis.low <= min(known, default=0)
        assert axis.high >= max(known, default=0)
        assert 2 <= len(axis.ticks) <= 8
        assert axis.high - axis.low >= 0.4

    def test_one_frame_is_a_chart_too(self):
        chart = line_chart("x", np.zeros(1), [Line("found", np.ones(1))], Axis(0, 5, (0, 5)), lost=np.ones(1, bool))
        assert chart.startswith("<svg")
        assert "nan" not in chart


class TestCommand:
    """`auparity report`"""

    @staticmethod
    def run(*arguments):
        import argparse

        parser = argparse.ArgumentParser()
        add_parser(parser.add_subparsers())
        parsed = parser.parse_args(["report", *map(str, arguments)])
        return parsed.run(parsed)

    @staticmethod
    def extracted(folder, name="clip", **facts):
        """A clip's table, its sidecar, and its frames in a folder of their own."""
        write_images(folder / "in" / name, FRAMES, size=(160, 120))
        table = write_results(folder / f"{name}.csv")
        describe(table, **{"input": {"path": str(folder / "in" / name), "kind": "images"}, **facts})
        return table

    def test_the_sidecar_says_which_clip_it_is(self, tmp_path, capsys):
        table = self.extracted(tmp_path)
        assert self.run(table) == 0
        assert f"Look at {tmp_path / 'clip.html'}" in capsys.readouterr().out
        assert (tmp_path / "clip.overlay.webm").is_file()

    def test_a_truth_beside_the_frames_is_used(self, tmp_path):
        table = self.extracted(tmp_path)
        write_clip_truth(tmp_path / "in" / "clip")
        assert report_clip(table).with_truth
        _, text = read(tmp_path / "clip.html")
        assert "auparity models render --seed 3000000 --frames 12 --size 160x120 -o clip" in text

    def test_a_folder_is_reported_on_once(self, tmp_path, capsys):
        self.extracted(tmp_path)
        assert self.run(tmp_path) == 0
        assert self.run(tmp_path) == 0
        assert "already has a report" in capsys.readouterr().err

    def test_a_clip_that_is_gone_does_not_cost_the_others(self, tmp_path, capsys):
        self.extracted(tmp_path, "a", input={"path": str(tmp_path / "gone.mp4"), "kind": "video"})
        self.extracted(tmp_path, "b")
        assert self.run(tmp_path) == 1
        assert "gone.mp4 is no longer there; name it: --clip VIDEO" in capsys.readouterr().err
        assert (tmp_path / "b.html").is_file()

    def test_a_table_of_someone_else_needs_its_clip_named(self, tmp_path):
        table = write_results(tmp_path / "clip.csv")
        with pytest.raises(AuparityError, match="name it: --clip VIDEO"):
            report_clip(table)
        assert report_clip(table, clip=write_images(tmp_path / "in", FRAMES, size=(160, 120))) is not None

    def test_recordings_of_a_camera_have_no_frames_to_draw_on(self, tmp_path):
        table = self.extracted(tmp_path, input={"path": "camera:0", "kind": "camera"})
        with pytest.raises(AuparityError, match="its frames were not kept"):
            report_clip(table)

    def test_a_table_that_was_changed_since_is_reported_with_a_warning(self, tmp_path):
        table = self.extracted(tmp_path, warnings=["said by the extraction"])
        table.write_text(table.read_text().replace("0.975", "0.970"))
        with table.open("a") as file:
            file.write(table.read_text().splitlines()[-1] + "\n")
        (tmp_path / "in" / "clip" / "zzz.png").write_bytes((tmp_path / "in" / "clip" / "000.png").read_bytes())
        assert self.run(table) == 0
        _, text = read(tmp_path / "clip.html")
        assert "said by the extraction" in text
        assert "not the one that its description was written for" in text

    def test_an_empty_folder_says_so(self, tmp_path):
        with pytest.raises(AuparityError, match="holds no table"):
            self.run(tmp_path)

    def test_a_photograph_becomes_a_picture_of_its_faces(self, tmp_path):
        picture = write_images(tmp_path / "in", 1, size=(160, 120)) / "000.png"
        table = open_table(tmp_path / "face.csv", "photograph", "csv")
        table.append(result(face_id=0))
        table.finish(None).put(tmp_path / "face.csv")
        table.discard_part()
        describe(tmp_path / "face.csv", input={"path": str(picture), "kind": "photograph"})
        assert self.run(tmp_path) == 0
        assert cv2.imread(str(tmp_path / "face.overlay.jpg")).shape == (480, 640, 3)
        assert not (tmp_path / "face.html").exists()
