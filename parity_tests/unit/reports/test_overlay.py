"""Overlays show what was measured where it was measured, on pictures of any size, and are videos that can be played."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auparity.errors import AuparityError, VideoError
from auparity.parity_tests.unit.helpers.rendered_truth import FRAMES, SIZE, pictures, write_clip_truth, write_results
from auparity.reference.pdm import rotation_from_euler
from auparity.reports.clips.overlay import HIGHEST, NARROWEST, WIDEST, Overlay, write_overlay
from auparity.reports.clips.overlay_face import LOST, MEASURED, TRUTH, Display, rotation_matrix
from auparity.reports.clips.overlay_panel import HEIGHT
from auparity.reports.clips.summary import summarise
from auparity.reports.clips.table import read_result_table


@pytest.fixture
def table(tmp_path):
    return read_result_table(write_results(tmp_path / "clip.csv"))


def near(image: np.ndarray, colour: tuple[int, int, int], distance: int = 40) -> np.ndarray:
    """(H, W) bool: pixels of about this colour."""
    return np.abs(image.astype(int) - colour).max(axis=2) < distance


def frames_of(path):
    capture, found = cv2.VideoCapture(str(path)), []
    while True:
        good, image = capture.read()
        if not good:
            return found
        found.append(image)


def test_every_landmark_carries_a_dot(table):
    overlay = Overlay(table, SIZE)
    drawn = overlay.draw(pictures()[0], 0)
    places = np.rint(Display(NARROWEST / SIZE[0]).points(table.landmarks[0])).astype(int)
    dots = near(drawn, MEASURED)
    # The head axes and the gaze are drawn over a few of them.
    assert np.mean(dots[places[:, 1], places[:, 0]]) > 0.8


def test_centres_of_pixels_stay_centres():
    np.testing.assert_allclose(Display(4.0).points([[0.0, 0.0], [9.5, 1.0]]), [[1.5, 1.5], [39.5, 5.5]])


def test_truth_is_drawn_only_where_it_is_given(table, tmp_path):
    truth = read_result_table(write_clip_truth(tmp_path / "clip"))
    without = Overlay(table, SIZE).draw(pictures()[3], 3)
    with_truth = Overlay(table, SIZE, truth=truth).draw(pictures()[3], 3)
    assert np.count_nonzero(near(without, TRUTH)) == 0
    assert np.count_nonzero(near(with_truth[:, :NARROWEST], TRUTH)) > 68  # rings on the face
    assert np.count_nonzero(near(with_truth[:, NARROWEST:], TRUTH)) > 17  # ticks on the bars


def test_bars_are_as_long_as_the_intensities(table):
    """AU12 rises from frame to frame by the same amount."""
    overlay = Overlay(table, SIZE)
    row = overlay.panel._row_centre(list(table.aus("r")).index("AU12"))
    bars = [overlay.panel.draw(k)[None, round(row), :330] for k in range(FRAMES)]  # beyond it: the dot of presence
    lengths = [np.count_nonzero(near(bar, MEASURED)) for bar in bars]
    steps = np.diff(lengths[1:-1])
    assert steps.min() > 0
    assert np.ptp(steps) <= 1


def test_a_lost_face_is_grey_and_said_to_be_lost(tmp_path):
    table = read_result_table(write_results(tmp_path / "clip.csv", lost=5))
    overlay = Overlay(table, SIZE)
    drawn = overlay.draw(pictures()[5], 5)[:, :NARROWEST]
    assert np.count_nonzero(near(drawn, MEASURED, 25)) == 0
    assert np.count_nonzero(near(drawn, LOST, 10)) > 100


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((160, 120), (NARROWEST, 480)),
        ((800, 600), (800, 600)),
        ((3840, 2160), (WIDEST, 720)),
        ((720, 1280), (540, HIGHEST)),
        ((1000, 100), (1000, 100)),
    ],
)
def test_pictures_are_brought_to_a_legible_size(table, size, shown):
    overlay = Overlay(table, size)
    drawn = overlay.draw(np.zeros((size[1], size[0], 3), np.uint8), 0)
    width, height = overlay.size
    assert drawn.shape == (height, width, 3)
    assert (width % 2, height % 2) == (0, 0)  # VP8 halves the colours
    assert height >= max(HEIGHT, shown[1])
    assert width - overlay.panel.width - shown[0] in (0, 1)


def test_the_picture_given_is_left_as_it_was(table):
    picture = pictures()[0]
    kept = picture.copy()
    Overlay(table, SIZE).draw(picture, 0)
    np.testing.assert_array_equal(picture, kept)


def test_rotations_are_those_of_the_pipeline():
    euler = np.array([0.3, -0.8, 0.2])
    np.testing.assert_allclose(rotation_matrix(euler), rotation_from_euler(euler[None])[0], atol=1e-6)


def test_the_video_is_webm_and_has_every_frame(tmp_path, capfd):
    csv = write_results(tmp_path / "clip.csv")
    video = tmp_path / "out" / "clip.webm"
    assert write_overlay(pictures(), csv, video, fps=25.0) == FRAMES
    assert b"V_VP8" in video.read_bytes()[:4096]
    frames = frames_of(video)
    assert len(frames) == FRAMES
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == pytest.approx(25.0)
    still = Overlay(read_result_table(csv), SIZE, fps=25.0).draw(pictures()[3], 3)
    assert np.abs(still.astype(int) - frames[3]).mean() < 4
    assert [path.name for path in video.parent.iterdir()] == ["clip.webm"]
    assert "tag" not in capfd.readouterr().err  # OpenCV's remark on WebM


def test_a_clip_that_is_too_short_leaves_no_video(tmp_path):
    csv = write_results(tmp_path / "clip.csv")
    with pytest.raises(AuparityError, match="has 12 rows, but the clip gave 7 frames"):
        write_overlay(pictures(7), csv, tmp_path / "clip.webm")
    assert not list(tmp_path.glob("*.webm"))
    assert not list(tmp_path.glob(".*"))


def test_frames_must_be_of_one_size(tmp_path):
    csv = write_results(tmp_path / "clip.csv")
    frames = pictures()
    frames[4] = frames[4][:-1]
    with pytest.raises(VideoError, match="frame 5"):
        write_overlay(frames, csv, tmp_path / "clip.webm")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "the columns: expected a column x_0"),
        ("", "the columns: expected a column x_0"),
        (None, "does not exist"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "other.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AuparityError, match=message):
        write_overlay(pictures(), path, tmp_path / "x.webm")


def test_a_damaged_line_is_named(tmp_path):
    path = write_results(tmp_path / "clip.csv")
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("0.90", "high", 1)
    path.write_text("\n".join(lines))
    with pytest.raises(AuparityError, match="line 4: expected a number for confidence, found 'high'"):
        read_result_table(path)
    path.write_text("\n".join([*lines[:3], "1,2,3"]))
    with pytest.raises(AuparityError, match="line 4: expected 714 values, found 3"):
        read_result_table(path)


def test_tables_of_earlier_versions_and_of_the_fork_are_read_by_column_name(tmp_path):
    path = write_results(tmp_path / "clip.csv")
    table = read_result_table(path)
    rows = [line.split(",") for line in path.read_text().splitlines()]
    place = rows[0].index("face_id") + 1
    rows = [[*row[:place], "frame_name" if k == 0 else "", *row[place:]] for k, row in enumerate(rows)]
    older = tmp_path / "older.csv"
    older.write_text("\n".join(",".join(row) for row in rows) + "\n")
    read = read_result_table(older)
    assert list(read.columns) == list(table.columns)
    for name, column in table.columns.items():
        np.testing.assert_array_equal(read.columns[name], column)
    assert summarise(older).replace("older", "clip") == summarise(path)
