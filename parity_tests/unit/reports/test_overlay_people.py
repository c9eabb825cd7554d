"""Overlays of several people show every face with its number and colour, and a column of bars for each person."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import AuparityError, VideoError
from auparity.parity_tests.unit.helpers.people import SIZE, intensity_of, pictures, place_of, write_people
from auparity.parity_tests.unit.reports.test_overlay import frames_of, near
from auparity.reports.clips.overlay_face import LOST
from auparity.reports.clips.overlay_people import MOST_COLUMNS, PeopleOverlay, write_people_overlay
from auparity.reports.clips.people import colours_of
from auparity.reports.clips.table import read_result_table


def bgr(place: int) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colours_of(place)[0][1:])[::-1])


def of_frame(table, frame):
    return table.rows(table.columns["frame"] == frame + 1)


def around(image: np.ndarray, number: int) -> np.ndarray:
    """The part of a picture about a person's face and the number above it."""
    low, high = place_of(number).min(axis=0).astype(int), place_of(number).max(axis=0).astype(int)
    return image[max(low[1] - 40, 0) : high[1] + 8, max(low[0] - 8, 0) : high[0] + 8]


def test_every_face_has_the_colour_of_its_person(tmp_path):
    table = read_result_table(write_people(tmp_path / "x.csv", {2: range(3), 5: range(3), 9: [1]}, lost=[(5, 2)]))
    overlay = PeopleOverlay(table, SIZE)
    drawn = [overlay.draw(picture, k + 1, of_frame(table, k)) for k, picture in enumerate(pictures(3))]
    for place, number in enumerate((2, 5)):
        own = np.count_nonzero(near(around(drawn[0], number), bgr(place), 25))
        assert own > 150  # dots, corners and the plate of the number
        others = [np.count_nonzero(near(around(drawn[0], number), bgr(k), 25)) for k in range(3) if k != place]
        assert max(others) < own / 10
    assert np.count_nonzero(near(around(drawn[0], 9), bgr(2), 25)) == 0  # not there yet
    assert np.count_nonzero(near(around(drawn[1], 9), bgr(2), 25)) > 150
    assert np.count_nonzero(near(around(drawn[2], 5), bgr(1), 25)) == 0  # lost
    assert np.count_nonzero(near(around(drawn[2], 5), LOST, 10)) > 150


def test_the_number_of_a_face_at_the_border_stays_in_the_picture(tmp_path):
    csv = write_people(tmp_path / "x.csv", {12: [0], 3: [0]})
    rows = [line.split(",") for line in csv.read_text().splitlines()]
    for k in range(68):  # person 3 is the first row
        rows[1][rows[0].index(f"y_{k}")] = str(float(rows[1][rows[0].index(f"y_{k}")]) - 60)
    csv.write_text("\n".join(",".join(row) for row in rows))
    table = read_result_table(csv)
    drawn = PeopleOverlay(table, SIZE).draw(pictures(1)[0], 1, table)
    assert np.count_nonzero(near(drawn[60:80, : SIZE[0]], bgr(0), 25)) > 150  # the picture begins at row 60


@pytest.mark.parametrize("people", [2, 12, 14])
def test_the_panel_has_a_column_for_everybody_who_is_there(tmp_path, people):
    table = read_result_table(write_people(tmp_path / "x.csv", {k: [0, 1] if k else [1] for k in range(people)}))
    overlay = PeopleOverlay(table, SIZE)
    panel = overlay.panel.draw(2, 0.0, of_frame(table, 1))
    heads = panel[64:74]
    shown = [place for place in range(min(people, 12)) if np.count_nonzero(near(heads, bgr(place), 20)) > 40]
    assert shown == list(range(min(people, MOST_COLUMNS)))
    first = overlay.panel.draw(1, 0.0, of_frame(table, 0))[64:74, : round(overlay.panel._left + overlay.panel._width)]
    colours = [np.count_nonzero(near(first, bgr(place), 20)) for place in (0, 1)]
    # Person 0 is away: the place stays empty, or, where there are too few places, is taken by person 1.
    assert (colours[0], colours[1] > 40) == (0, people > MOST_COLUMNS)


def test_bars_are_as_long_as_the_intensities(tmp_path):
    table = read_result_table(write_people(tmp_path / "x.csv", {k: [0, 1] for k in range(4)}))
    panel = PeopleOverlay(table, SIZE).panel
    drawn = panel.draw(2, 0.0, of_frame(table, 1))
    row = drawn[None, round(panel._centre(list(table.aus("r")).index("AU12")))]
    lengths = [np.count_nonzero(near(row, bgr(number), 20)) for number in range(4)]
    full = panel._width - max(3.0, 0.12 * panel._width)
    np.testing.assert_allclose(lengths, [full * intensity_of(number, 1) / 5 for number in range(4)], atol=2)  # px


def test_the_video_has_the_frames_without_anybody(tmp_path):
    csv = write_people(tmp_path / "x.csv", {0: [2, 3], 1: [3, 6], 2: [6]}, lost=[(2, 6)])
    assert write_people_overlay(pictures(9), csv, tmp_path / "x.webm", fps=25.0) == 9
    frames = frames_of(tmp_path / "x.webm")
    assert len(frames) == 9
    table = read_result_table(csv)
    fullest = PeopleOverlay(table, SIZE, fps=25.0).draw(pictures(1)[0], 4, of_frame(table, 3))
    closeness = [np.abs(fullest.astype(int) - frame).mean() for frame in frames]
    assert int(np.argmin(closeness)) == 3


def test_faces_that_are_never_tracked_are_grey_and_have_no_column(tmp_path):
    table = read_result_table(write_people(tmp_path / "x.csv", {0: [0], 1: [0]}, lost=[(0, 0)]))
    drawn = PeopleOverlay(table, SIZE).draw(pictures(1)[0], 1, table)
    assert np.count_nonzero(near(around(drawn[60:], 0), LOST, 10)) > 100
    assert np.count_nonzero(near(drawn[60:75, SIZE[0] :], bgr(0), 25)) > 1000  # the one head of the panel
    nobody = read_result_table(write_people(tmp_path / "y.csv", {0: [0], 1: [0]}, lost=[(0, 0), (1, 0)]))
    assert PeopleOverlay(nobody, SIZE).draw(pictures(1)[0], 1, nobody).shape == drawn.shape


def test_frames_are_of_one_size_and_of_this_clip(tmp_path):
    csv = write_people(tmp_path / "x.csv", {0: range(4), 1: range(4)})
    with pytest.raises(AuparityError, match="rows of frame 4, but the clip gave 2 frames"):
        write_people_overlay(pictures(2), csv, tmp_path / "x.webm")
    with pytest.raises(AuparityError, match="rows of frame 4, but the clip gave 3 frames"):
        write_people_overlay(pictures(9), csv, tmp_path / "x.webm", count=3)
    odd = pictures(4)
    odd[2] = odd[2][:-2]
    with pytest.raises(VideoError, match="frame 3"):
        write_people_overlay(odd, csv, tmp_path / "x.webm")
    assert not list(tmp_path.glob("*.webm"))
