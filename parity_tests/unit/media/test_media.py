"""Frames as the stages expect them, and what is said of inputs that cannot be read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.media import CameraStream, ImageSequence, VideoFile, images_in, open_clip, read_image
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images, write_video

RNG = np.random.default_rng(3)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def test_a_gray_image_is_repeated_in_three_channels(tmp_path):
    gray = noise(6, 8)
    cv2.imwrite(str(tmp_path / "a.png"), gray)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(gray[:, :, None], 3, axis=2))


def test_transparency_is_dropped(tmp_path):
    image = noise(6, 8, 4)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image[:, :, :3])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_divided_by_256(tmp_path, suffix):
    image = noise(6, 8, 3, dtype=np.uint16)
    image[0, 0] = 65535
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), image)
    read = read_image(tmp_path / f"a.{suffix}")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, np.minimum(np.rint(image / 256), 255))


def test_floating_point_pixels_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tiff"), np.ones((4, 4, 3), np.float32))
    with pytest.raises(VideoError, match="float32 pixels; save it with 8 or 16 bits"):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_image_is_refused_not_filled_with_gray(tmp_path, suffix, share):
    file = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(file), noise(120, 160, 3))
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(VideoError, match=rf"a\.{suffix}: cannot be decoded as an image; it is truncated, damaged"):
        read_image(file)


def test_missing_and_empty_files_are_named_as_such(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "empty.avi").touch()
    for opener in (read_image, VideoFile):
        with pytest.raises(VideoError, match=r"nowhere: does not exist"):
            opener(tmp_path / "nowhere")
    with pytest.raises(VideoError, match=r"empty\.png: is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(VideoError, match=r"empty\.avi: is empty"):
        VideoFile(tmp_path / "empty.avi")


def test_a_video_is_a_clip_of_the_name_rate_and_length_that_the_file_states(tmp_path):
    with open_clip(write_video(tmp_path / "a.avi", 7, fps=25)) as clip:
        frames = list(clip)
    assert (clip.kind, clip.name, clip.n_frames, clip.fps) == ("video", "a", 7, 25.0)
    assert [frame.timestamp for frame in frames] == [k / 25 for k in range(7)]
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert all(frame.image.flags.c_contiguous for frame in frames)
    assert not clip.warnings


def test_reading_can_begin_at_any_frame(tmp_path):
    path = write_video(tmp_path / "a.avi", 7)
    with open_clip(path) as whole, open_clip(path) as part:
        expected, found = list(whole)[4:], list(part.frames_from(4))
    assert [frame.timestamp for frame in found] == [frame.timestamp for frame in expected]
    np.testing.assert_array_equal([frame.image for frame in found], [frame.image for frame in expected])


def test_a_file_that_is_no_video_is_refused_with_advice(tmp_path):
    (tmp_path / "notes_001.txt").write_text("no video")
    with pytest.raises(VideoError, match=r"notes_001\.txt: cannot be opened as a video.*ffmpeg"):
        VideoFile(tmp_path / "notes_001.txt")


@pytest.mark.parametrize("length", [20, 100])
def test_a_truncated_video_gives_its_frames_and_then_says_that_the_end_is_missing(tmp_path, length):
    file = write_video(tmp_path / "a.avi", length)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    frames = []
    with VideoFile(file) as clip, pytest.raises(VideoError, match=rf"ends after \d+ of {length} frames.*truncated"):
        frames.extend(clip)
    assert 0.4 * length <= len(frames) <= 0.5 * length


class FakeCapture:
    """A capture device that gives `n` frames."""

    def __init__(self, n: int, properties: dict[int, float] | None = None, opens: bool = True) -> None:
        self.left, self.properties, self.opens = n, properties or {}, opens

    def isOpened(self):
        return self.opens

    def get(self, key):
        return self.properties.get(key, 0.0)

    def read(self):
        self.left -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self):
        self.left = 0


def test_an_image_sequence_is_sorted_by_name_and_untimed(tmp_path):
    folder = write_images(tmp_path / "subject.01", 4)
    (folder / "notes.txt").write_text("left out")
    (folder / "._000.png").write_bytes(b"left out, too")
    with open_clip(folder) as clip:
        frames = list(clip)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2, 3]
    assert {frame.timestamp for frame in frames} == {0.0}
    assert (clip.name, clip.n_frames, clip.kind) == ("subject.01", 4, "images")


def test_names_whose_numbers_sort_otherwise_are_warned_about(tmp_path):
    for k in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"frame{k}.png"), np.zeros((4, 4, 3), np.uint8))
    clip = ImageSequence(tmp_path)
    assert [file.name for file in clip.files] == ["frame1.png", "frame10.png", "frame2.png"]
    assert "leading zeros" in clip.warnings[0]


def test_a_sequence_names_its_damaged_image(tmp_path):
    folder = write_images(tmp_path / "clip", 4)
    (folder / "002.png").write_bytes(b"damaged")
    frames = []
    with pytest.raises(VideoError, match=r"002\.png: cannot be decoded"):
        frames.extend(ImageSequence(folder))
    assert len(frames) == 2


def test_a_sequence_names_the_first_image_of_another_size(tmp_path):
    folder = write_images(tmp_path / "clip", 2)
    cv2.imwrite(str(folder / "100.png"), np.zeros((10, 20, 3), np.uint8))
    with pytest.raises(VideoError, match=r"100\.png: is 20x10 pixels, the images before it are 64x48.*--photographs"):
        list(ImageSequence(folder))


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    write_video(tmp_path / "a.avi", 2)
    with pytest.raises(
        VideoError, match=r"holds no images.*holds 1 videos \(a\.avi\): .*`auparity extract --recursive`"
    ):
        images_in(tmp_path)
    with pytest.raises(VideoError, match="is not a directory"):
        images_in(tmp_path / "a.avi")


def test_a_camera_is_timed_from_its_first_frame(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(3))
    ticks = iter([100.0, 100.25, 101.0])
    frames = []
    with CameraStream(1, clock=lambda: next(ticks)) as camera, pytest.raises(VideoError, match="gives no more frames"):
        frames.extend(camera)
    assert [frame.timestamp for frame in frames] == [0.0, 0.25, 1.0]
    assert camera.live
    assert camera.name.startswith("camera1_")


@pytest.mark.parametrize(("gives", "warnings"), [((640, 480), 0), ((320, 240), 1)])
def test_a_camera_is_asked_for_a_size_and_may_give_another(monkeypatch, gives, warnings):
    sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    device, asked = FakeCapture(1, dict(zip(sides, gives, strict=True))), {}
    device.set = asked.__setitem__
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: device)
    with CameraStream(0, size=(640, 480)) as camera:
        assert asked == dict(zip(sides, (640, 480), strict=True))
        assert len(camera.warnings) == warnings


def test_a_camera_that_is_not_there_says_what_to_check(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: FakeCapture(0, opens=False))
    with pytest.raises(VideoError, match=r"camera 7: cannot be opened\. Check"):
        CameraStream(7)
