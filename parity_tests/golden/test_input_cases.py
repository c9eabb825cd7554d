"""Six inputs that once failed, each of another kind: whole clips are whole, and damaged files are refused by name."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.extraction.inputs import find_inputs
from auparity.media import open_clip, read_image
from auparity.parity_tests.fidelity.recordings import require_shared

pytestmark = pytest.mark.golden


def case(name):
    path = require_shared() / "cases" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    return path


def read(name, **arguments):
    with open_clip(case(name), **arguments) as source:
        return list(source), source


def test_an_avi_stored_bottom_up_decodes_instead_of_ending_the_process():
    frames, source = read("bottomup330.avi")
    assert [frame.image.shape for frame in frames] == [(246, 330, 3)] * 10
    assert source.problems == source.warnings == []


def test_a_clip_trimmed_by_its_edit_list_is_whole():
    frames, source = read("trim12.mp4")
    assert len(frames) == 12
    assert source.problems == source.warnings == []


def test_a_picture_that_begins_after_the_sound_is_whole():
    frames, source = read("late_video.mkv")
    assert len(frames) == 60
    assert frames[0].timestamp == 0.0
    assert source.problems == source.warnings == []


def test_a_pause_in_a_clip_is_in_its_times():
    frames, source = read("vfr.mp4")
    steps = np.diff([frame.timestamp for frame in frames])
    assert len(frames) == 60
    assert steps.max() > 2.0
    assert np.median(steps) == pytest.approx(1 / 26, abs=1e-3)
    assert "differ by up to 1.003 s" in source.warnings[0]
    by_rule, source = read("vfr.mp4", timestamps="index")
    assert [frame.timestamp for frame in by_rule] == [k / source.fps for k in range(60)]
    assert "as OpenFace has them" in source.warnings[0]


def test_half_a_jpeg_with_an_end_marker_is_refused():
    with pytest.raises(VideoError, match=r"half_eoi\.jpg: cannot be decoded as an image.*premature end"):
        read_image(case("half_eoi.jpg"))


def test_a_phones_photograph_is_a_photograph():
    path = case("photo.heic")
    assert [item.kind for item in find_inputs([str(path)])] == ["photograph"]
    if find_spec("pillow_heif") is None:
        with pytest.raises(VideoError, match=r"pip install 'auparity\[heif\]'"):
            read_image(path)
    else:
        assert read_image(path).shape == (400, 640, 3)
