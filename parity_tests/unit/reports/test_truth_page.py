"""The page of a clip stands alone, says how far the measures are from the truth, and can be read by everyone.

What its scripts do is tested in a browser (`test_clip_page_browser`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from html.parser import HTMLParser

import cv2
import pytest

from auparity.cli.clip_report import report_clip
from auparity.cli.report import add_parser
from auparity.errors import AuparityError
from auparity.extraction.table_writers import open_table
from auparity.models.synthetic.truth_file import OF_PEOPLE, shows_drawn_head
from auparity.parity_tests.unit.helpers.fake_pipeline import result, write_images
from auparity.parity_tests.unit.helpers.rendered_truth import (
    FRAMES,
    SIZE,
    describe,
    pictures,
    write_clip_truth,
    write_results,
    write_small_video,
)
from auparity.reports.clips import page
from auparity.reports.clips.page import Video, write_page
from auparity.reports.clips.table import read_result_table

VOID = {"meta", "img", "br", "link", "input"}


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
        if self.open and self.open[-1] not in ("style", "title", "script"):
            self.text.append(data)


def read(page):
    checker = Checker()
    checker.feed(page.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker, " ".join(" ".join(checker.text).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture
def clip(tmp_path):
    """A folder with results that are 0.4 px (1 % of the inter-ocular distance) off, their truth and a video."""
    write_results(tmp_path / "clip.csv", shift=0.4)
    write_clip_truth(tmp_path / "clip")
    write_small_video(pictures(), tmp_path / "clip.webm")
    return tmp_path


def test_a_good_run_reaches_its_targets_and_says_so_first(clip):
    figures = write_page(
        read_result_table(clip / "clip.csv"), clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv"
    )
    assert figures is not None
    assert figures.landmarks.mean == pytest.approx(0.01, abs=1e-3)
    assert figures.intensities["AU12"].r == pytest.approx(1, abs=1e-3)
    _, text = read(clip / "clip.html")
    assert text.index("All 4 targets that apply to one clip are reached.") < text.index("measurements over time")
    assert "1 % mean landmark error" in text


def test_a_bad_run_names_what_it_missed(tmp_path):
    csv = write_results(tmp_path / "clip.csv", shift=8.0, lost=4)
    write_page(read_result_table(csv), tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip"))
    _, text = read(tmp_path / "clip.html")
    assert "2 of 4 targets missed: mean landmark error; frames lost or off by more than 10 %." in text
    assert "Shaded: no face tracked." in text


def test_an_au_that_rests_has_no_correlation_and_does_not_count_as_missed(tmp_path):
    csv = write_results(tmp_path / "clip.csv")
    figures = write_page(
        read_result_table(csv), tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip")
    )
    resting = set(figures.intensities) - set(figures.moving)
    assert resting == {"AU20", "AU23", "AU25", "AU26", "AU45"}  # those whose turn did not come in 12 frames
    assert all(figures.intensities[name].r is None for name in resting)
    assert {v.target.name: v.value for v in figures.verdicts}["aus_correlated"] == 17


def test_nothing_comes_from_elsewhere(clip):
    video = Video(clip / "clip.webm", SIZE)
    table = read_result_table(clip / "clip.csv")
    write_page(table, clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv", video=video)
    checker, _ = read(clip / "clip.html")
    for tag, attributes in checker.tags:
        assert tag != "iframe"
        for name in ("src", "href", "poster"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, name)
    text = (clip / "clip.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text.partition("<script")[0]
    assert str(clip) not in text


def test_everything_shown_is_also_told_to_those_who_do_not_see_it(clip):
    write_page(read_result_table(clip / "clip.csv"), clip / "clip.html", fps=30.0, truth=clip / "clip" / "truth.csv",
               video=Video(clip / "clip.webm", SIZE))  # fmt: skip
    checker, _ = read(clip / "clip.html")
    drawings = [attributes for tag, attributes in checker.tags if tag in ("svg", "canvas")]
    assert len(drawings) == 2  # the face and the overlay; charts are made by scripts
    assert all(attributes["role"] == "img" and len(attributes["aria-label"]) > 20 for attributes in drawings)
    assert all(attributes.get("alt") for tag, attributes in checker.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in checker.tags if tag == "video")
    assert [attributes["lang"] for tag, attributes in checker.tags if tag == "html"] == ["en"]
    assert all(attributes.get("scope") for tag, attributes in checker.tags if tag == "th")


def test_light_dark_and_paper_are_styled(clip):
    write_page(read_result_table(clip / "clip.csv"), clip / "clip.html", fps=30.0)
    text = (clip / "clip.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_without_a_truth_nothing_is_compared(clip):
    assert write_page(read_result_table(clip / "clip.csv"), clip / "clip.html", fps=30.0) is None
    _, text = read(clip / "clip.html")
    assert "Measurements" in text
    assert "truth" not in text
    assert "MAE" not in text


def test_names_are_not_markup(tmp_path):
    csv = write_results(tmp_path / "<b>&.csv")
    write_page(read_result_table(csv), tmp_path / "page.html", fps=30.0, commands=["auparity extract '<x>&'"])
    _, text = read(tmp_path / "page.html")
    assert "<b>&: 12 frames" in text
    assert "auparity extract '<x>&'" in text


def test_a_large_video_lies_beside_the_page(clip, monkeypatch):
    monkeypatch.setattr("auparity.reports.clips.page.LARGEST_EMBEDDED", 10)
    write_page(
        read_result_table(clip / "clip.csv"), clip / "clip.html", fps=30.0, video=Video(clip / "clip.webm", SIZE)
    )
    checker, text = read(clip / "clip.html")
    assert [attributes["src"] for tag, attributes in checker.tags if tag == "video"] == ["clip.webm"]
    assert "The video is beside this page." in text


def test_the_truth_of_another_clip_is_refused(tmp_path):
    csv = write_results(tmp_path / "clip.csv", frames=5)
    with pytest.raises(AuparityError, match=r"5 frames, its truth .* 12: they are of different clips"):
        write_page(read_result_table(csv), tmp_path / "clip.html", fps=30.0, truth=write_clip_truth(tmp_path / "clip"))
    assert not (tmp_path / "clip.html").exists()


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
        assert sorted(path.name for path in tmp_path.glob("clip.*")) == ["clip.csv", "clip.csv.json", "clip.html"]

    def test_an_overlay_is_drawn_where_it_is_asked_for(self, tmp_path, capsys):
        table = self.extracted(tmp_path)
        assert self.run(table, "--overlay") == 0
        assert str(tmp_path / "clip.overlay.webm") in capsys.readouterr().out
        assert (tmp_path / "clip.overlay.webm").is_file()

    def test_a_video_that_browsers_play_goes_into_the_page_as_it_is(self, tmp_path):
        video = write_small_video(pictures(), tmp_path / "in.webm").path
        table = write_results(tmp_path / "clip.csv")
        assert report_clip(table, clip=video) is not None
        held = b64encode(video.read_bytes()).decode()
        assert held in (tmp_path / "clip.html").read_text()

    def test_a_video_with_fewer_frames_than_the_table_is_of_another_clip(self, tmp_path):
        video = write_small_video(pictures(7), tmp_path / "in.webm").path
        with pytest.raises(AuparityError, match="has rows of frame 12, but the clip gave 7 frames"):
            report_clip(write_results(tmp_path / "clip.csv"), clip=video)
        assert not (tmp_path / "clip.html").exists()

    def test_a_small_video_that_is_too_large_for_a_page_stays_beside_it(self, tmp_path, monkeypatch):
        table = self.extracted(tmp_path)
        monkeypatch.setattr("auparity.reports.clips.page.LARGEST_EMBEDDED", 10)
        written = report_clip(table)
        assert written is not None
        assert written.beside == (tmp_path / "clip.clip.webm",)
        checker, _ = read(tmp_path / "clip.html")
        assert [attributes["src"] for tag, attributes in checker.tags if tag == "video"] == ["clip.clip.webm"]

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

    def test_recordings_of_a_camera_have_a_page_without_a_picture(self, tmp_path):
        table = self.extracted(tmp_path, input={"path": "camera:0", "kind": "camera"})
        assert report_clip(table) is not None
        checker, text = read(tmp_path / "clip.html")
        assert not [tag for tag, _ in checker.tags if tag == "video"]
        assert "auparity report clip.csv" in text
        with pytest.raises(AuparityError, match="its frames were not kept; leave --overlay out"):
            report_clip(table, overlay=True)

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

    def test_a_photograph_has_a_page_with_its_faces(self, tmp_path):
        picture = write_images(tmp_path / "in", 1, size=(160, 120)) / "000.png"
        table = open_table(tmp_path / "face.csv", "photograph", "csv")
        table.append(result(face_id=0))
        table.finish(None).put(tmp_path / "face.csv")
        table.discard_part()
        describe(tmp_path / "face.csv", input={"path": str(picture), "kind": "photograph"})
        assert self.run(tmp_path) == 0
        checker, text = read(tmp_path / "face.html")
        assert "1 face found." in text
        assert [attributes["alt"] for tag, attributes in checker.tags if tag == "img"] == ["The image face"]
        assert not (tmp_path / "face.overlay.jpg").exists()
        assert self.run(tmp_path / "face.csv", "--overlay") == 0
        assert cv2.imread(str(tmp_path / "face.overlay.jpg")).shape == (480, 640, 3)


def test_the_embedded_models_have_no_targets_on_drawn_heads(tmp_path):
    csv = write_results(tmp_path / "clip.csv", shift=8.0, lost=4)
    sidecar = {"bundle": {"name": "embedded", "version": "2"}}
    truth = write_clip_truth(tmp_path / "clip")
    figures = write_page(read_result_table(csv), tmp_path / "clip.html", fps=30.0, truth=truth)
    assert shows_drawn_head(truth)
    verdict = page._verdict(1.0, figures, page._has_targets(sidecar), drawn=True)
    assert (verdict.judged, page._has_targets({})) == ("", True)
    assert verdict.text.startswith("Landmarks are")
    assert "a drawn head is new to them" in verdict.more
    assert not any(tile.target for tile in page._truth_tiles(figures, sidecar))


def test_a_clip_of_a_person_is_not_called_a_drawn_head(tmp_path):
    csv = write_results(tmp_path / "clip.csv", shift=8.0, lost=4)
    truth = write_clip_truth(tmp_path / "clip")
    described = truth.with_suffix(".json")
    text = json.loads(described.read_text())
    described.write_text(json.dumps(text | {"generator": text["generator"] + OF_PEOPLE}))
    figures = write_page(read_result_table(csv), tmp_path / "clip.html", fps=30.0, truth=truth)
    assert not shows_drawn_head(truth)
    assert "head" not in page._verdict(1.0, figures, False, drawn=False).more
