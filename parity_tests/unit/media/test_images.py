"""What a picture is follows from its content; what is damaged, moving or too large is refused before it is measured."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.media import ImageSequence, identify, open_clip, read_image, read_photograph
from auparity.media.image_headers import declared_size
from auparity.parity_tests.unit.helpers.media_files import overwrite, pictures

PICTURE = pictures(1, (120, 90))[0]
SUFFIXES = ("jpg", "png", "bmp", "tif", "webp", "ppm", "jp2")


def save(path, image=PICTURE, suffix=None, *options):
    path.write_bytes(cv2.imencode(f".{suffix or path.suffix[1:]}", image, list(options))[1].tobytes())
    return path


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", ["face", "face.jfif", "face.mp4", "face.png"])
def test_a_picture_is_one_whatever_it_is_called(tmp_path, suffix, name):
    path = save(tmp_path / name, suffix=suffix)
    assert identify(path).kind == "image"
    np.testing.assert_array_equal(read_image(path), cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_headers_state_the_size_that_decoding_gives(tmp_path, suffix):
    data = save(tmp_path / f"a.{suffix}").read_bytes()
    assert declared_size(identify(tmp_path / f"a.{suffix}").format, data) == (120, 90)


@pytest.mark.parametrize("options", [(cv2.IMWRITE_WEBP_QUALITY, 101), (cv2.IMWRITE_WEBP_QUALITY, 60)])
def test_both_kinds_of_webp_state_their_size(tmp_path, options):
    assert declared_size("webp", save(tmp_path / "a.webp", PICTURE, None, *options).read_bytes()) == (120, 90)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_more_pixels_than_allowed_are_refused_before_decoding(tmp_path, suffix, monkeypatch):
    path = save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(VideoError, match=r"is 120 x 90 pixels, 0\.0108 megapixels.*--max-pixels 10800"):
        read_image(path, max_pixels=10799, isolate=False)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    head = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(head + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b""))
    with pytest.raises(VideoError, match="is 30000 x 30000 pixels, 900 megapixels, above the limit of 100"):
        read_image(tmp_path / "a.png")


def test_a_decoder_that_asks_for_far_more_than_the_picture_needs_is_stopped(tmp_path):
    """Small files whose own numbers are absurd: strips, chunks and tables of gigabytes."""
    path = save(tmp_path / "a.png", suffix="png")
    overwrite(path, path.read_bytes().index(b"IDAT") - 4, b"\x7f\xff\xff\xf0")
    with pytest.raises(VideoError, match=r"a\.png: cannot be decoded as an image.*IDAT chunk is cut off"):
        read_image(path)


def test_half_a_jpeg_closed_by_an_end_marker_is_refused(tmp_path):
    path = save(tmp_path / "a.jpg", pictures(1, (320, 240))[0])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    with pytest.raises(VideoError, match=r"damaged or of another type \(Corrupt JPEG data: premature end"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("place", [0.4, 0.7])
def test_a_lost_sector_is_noticed(tmp_path, suffix, place):
    path = save(tmp_path / f"a.{suffix}", pictures(1, (320, 240))[0])
    overwrite(path, int(place * path.stat().st_size), bytes(512))
    with pytest.raises(VideoError, match="damaged"):
        read_image(path)


def test_a_few_bytes_of_padding_in_a_jpeg_are_a_warning(tmp_path):
    path = save(tmp_path / "a.jpg")
    data = path.read_bytes()
    path.write_bytes(data[:-2] + bytes(3) + data[-2:])
    image, warnings = read_photograph(path)
    np.testing.assert_array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert "extraneous bytes" in warnings[0]


def test_whole_pictures_raise_no_alarm(tmp_path):
    for suffix in SUFFIXES:
        assert read_photograph(save(tmp_path / f"a.{suffix}"))[1] == []
    for quality in (1, 50, 100):
        assert read_photograph(save(tmp_path / "a.jpg", PICTURE, None, cv2.IMWRITE_JPEG_QUALITY, quality))[1] == []
    for options in ((cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)):
        assert read_photograph(save(tmp_path / "a.jpg", PICTURE, None, *options))[1] == []


@pytest.mark.parametrize("value", [0, 127, 128, 129, 383, 384, 385, 65408, 65535])
def test_sixteen_bits_are_rounded_half_to_even(tmp_path, value):
    image = np.full((4, 4, 3), value, np.uint16)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", image)), np.minimum(np.rint(image / 256), 255))


def test_moving_pictures_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + bytes(64))
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0x02, 0, 0, 0]) + bytes(6)
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", len(webp)) + webp)
    data = save(tmp_path / "still.png").read_bytes()
    start = data.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(data[:start] + png_chunk(b"acTL", struct.pack(">II", 3, 0)) + data[start:])
    for name in ("a.gif", "a.webp", "a.png"):
        with pytest.raises(VideoError, match=r"holds moving pictures or may hold them\. Convert it: ffmpeg"):
            read_image(tmp_path / name)


def test_a_cameras_raw_picture_is_not_measured_by_its_thumbnail(tmp_path):
    with pytest.raises(VideoError, match="is a camera's raw picture"):
        read_image(save(tmp_path / "a.nef", suffix="tif"))


def test_a_second_page_is_mentioned(tmp_path):
    cv2.imwritemulti(str(tmp_path / "a.tif"), [PICTURE, PICTURE])
    assert "holds several pages" in read_photograph(tmp_path / "a.tif")[1][0]


def test_a_video_is_no_picture(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(32))
    with pytest.raises(VideoError, match="is a video, not an image"):
        read_image(tmp_path / "a.jpg")


def test_heic_and_avif_are_read_with_the_extra(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = cv2.GaussianBlur(PICTURE, (0, 0), 3)
    pillow_heif.from_bytes("BGR", (120, 90), smooth.tobytes()).save(str(tmp_path / "a.jpg"), format="HEIF", quality=95)
    from PIL import Image

    Image.fromarray(smooth[:, :, ::-1].copy()).save(tmp_path / "b.jpg", format="AVIF", quality=95)
    for name, kind in (("a.jpg", "heif"), ("b.jpg", "avif")):
        assert identify(tmp_path / name) == ("image", kind, False)
        image = read_image(tmp_path / name)
        assert image.shape == (90, 120, 3)
        assert np.abs(image.astype(int) - smooth).mean() < 3
        with pytest.raises(VideoError, match="is 120 x 90 pixels"):
            read_image(tmp_path / name, max_pixels=100)


def test_heic_without_the_extra_names_it(tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(
        b"\x00\x00\x00\x18ftypheic" + bytes(12) + struct.pack(">I4sIII", 20, b"ispe", 0, 8, 8) + bytes(8)
    )
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(VideoError, match=r"a\.heic: is a picture in the HEIC format.*pip install 'auparity\[heif\]'"):
        read_image(tmp_path / "a.heic", isolate=False)


# Folders


def test_pictures_of_all_kinds_in_a_folder_are_frames(tmp_path):
    for number, suffix in enumerate(("jfif", "PNG", "jpeg")):
        save(tmp_path / f"{number}.{suffix}", suffix={"jfif": "jpg"}.get(suffix, suffix.lower()))
    assert [file.name for file in ImageSequence(tmp_path).files] == ["0.jfif", "1.PNG", "2.jpeg"]


def test_a_folder_has_times_where_a_rate_is_given(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png")
    with open_clip(tmp_path, fps=10) as clip:
        assert [frame.timestamp for frame in clip] == [0.0, 0.1, 0.2]
        assert (clip.fps, clip.timestamps) == (10, "index")
    with open_clip(tmp_path) as clip:
        assert [frame.timestamp for frame in clip] == [0.0, 0.0, 0.0]
        assert (clip.fps, clip.timestamps) == (None, "none")


def test_an_image_that_a_link_promises_and_does_not_have_makes_the_clip_incomplete(tmp_path):
    save(tmp_path / "0.png")
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    clip = ImageSequence(tmp_path)
    assert len(clip.files) == 1
    assert "1.png: is a broken link" in clip.problems[0]


def test_what_is_left_out_of_a_folder_is_said(tmp_path):
    save(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("x")
    (tmp_path / "model.bin").write_bytes(b"x" * 100)
    assert ImageSequence(tmp_path).warnings == ["left out, being no images: model.bin"]
