"""Other programs on the same frames: what they are asked, what is made of their answers, and what of their failures.

OpenFace's program is a script that writes a table of its columns; the Python packages are modules of the same
interface. Where the real packages are installed their signatures are held against the calls of the adapters.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import json
import math
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from auparity.benchmarks.peers import (
    Clip,
    OpenFaceBinary,
    PeerRun,
    PyCLNF,
    PyFaceAU,
    PyMTCNN,
    all_peers,
    command,
    read_clip,
)
from auparity.benchmarks.peers import openface_binary as openface_module
from auparity.benchmarks.peers.comparison import OurPipeline, difference
from auparity.benchmarks.peers.frame_files import write_avi, write_bmp
from auparity.benchmarks.peers.packages import PYCLNF, PYMTCNN
from auparity.errors import AuparityError, ContractError, VariantUnavailable, VideoError
from auparity.media import VideoFile, read_image
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

FRAMES = 6
PACKAGES = ("pyfaceau", "pyclnf", "pymtcnn")
posix = pytest.mark.skipif(
    os.name != "posix", reason="the stand-in for OpenFace's program is a script with a first line"
)


def frames(count: int = FRAMES, height: int = 12, width: int = 14) -> list[np.ndarray]:
    """Noise; the first pixel says which frame it is, from 1."""
    rng = np.random.default_rng(7)
    images = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]
    for k, image in enumerate(images):
        image[0, 0] = k + 1
    return images


@pytest.fixture
def folder(tmp_path):
    """A folder of images."""
    place = tmp_path / "clip"
    place.mkdir()
    for k, image in enumerate(frames()):
        write_bmp(place / f"{k:04d}.bmp", image)
    return place


@pytest.fixture
def clip(folder):
    return read_clip(folder)


# Frames and files


@pytest.mark.parametrize(("height", "width"), [(12, 14), (33, 47), (64, 97), (2, 2)])
def test_frames_come_back_from_files_as_they_were_written(tmp_path, height, width):
    images = frames(4, height, width)
    write_avi(tmp_path / "clip.avi", images)
    write_bmp(tmp_path / "image.bmp", images[1])
    with VideoFile(tmp_path / "clip.avi") as source:
        found = [frame.image for frame in source]
        assert source.n_frames == 4
    np.testing.assert_array_equal(np.stack(found), np.stack(images))
    np.testing.assert_array_equal(read_image(tmp_path / "image.bmp"), images[1])


def test_a_clip_that_no_uncompressed_video_can_hold_is_refused_before_anything_is_written(tmp_path):
    large = np.zeros((4000, 6000, 3), np.uint8)
    with pytest.raises(AuparityError, match=r"30 frames of 6000x4000 pixels .* at most 29"):
        write_avi(tmp_path / "clip.avi", [large] * 30)
    assert not (tmp_path / "clip.avi").exists()


def test_the_beginning_of_a_clip_is_known_to_be_one(folder):
    assert [(len(found), found.whole) for found in (read_clip(folder), read_clip(folder, 6), read_clip(folder, 5))] == [
        (6, True),
        (6, True),
        (5, False),
    ]
    with pytest.raises(VideoError):
        read_clip(folder / "none.mp4")
    with pytest.raises(ContractError):
        read_clip(folder, 0)


# OpenFace's program

SCRIPT = '''#!{python}
"""Stands in for FeatureExtraction: the same arguments, and a table of its columns whose numbers tell the frame."""
import json, os, sys, time

here = os.path.dirname(os.path.abspath(__file__))
mode = open(os.path.join(here, "mode")).read()
words = [word for word in sys.argv[1:] if word not in ("-2Dfp", "-aus")]
arguments = dict(zip(words[::2], words[1::2]))
images = sorted(os.listdir(arguments["-fdir"])) if "-fdir" in arguments else []
count = len(images) or {video_frames}
with open(os.path.join(here, "calls"), "a") as file:
    file.write(json.dumps([sys.argv[1:], images, os.getcwd()]) + "\\n")
print("Attempting to read")
if mode == "fails":
    print("ERROR: Could not load the landmark detector")
    print("a complaint on the error output", file=sys.stderr)
    sys.exit(3)
if mode == "crashes":
    os.kill(os.getpid(), 11)
if mode == "hangs":
    print("waiting", flush=True)
    time.sleep(60)
    open(os.path.join(here, "ended by itself"), "w").close()
if mode == "opens nothing":
    print("Failed to open the video file")
    sys.exit(0)
if mode == "one row short":
    count -= 1
aus, presences = {aus}, {presences}
comma = ", " if mode == "spaces" else ","
names = ["frame", "face_id", "timestamp", "confidence", "success"]
names += [f"{{axis}}_{{i}}" for axis in "xy" for i in range(68)]
names += [] if mode == "no AU models" else [f"{{au}}_r" for au in aus] + [f"{{au}}_c" for au in presences]
names = [name for name in names if mode != "no landmarks" or not name[:2] in ("x_", "y_")]
with open(os.path.join(arguments["-out_dir"], arguments["-of"] + ".csv"), "w") as file:
    file.write(comma.join(names) + "\\n")
    for frame in range(1, count + 1):
        row = dict(frame=frame, face_id=0, timestamp=0, confidence=0.98, success=int(frame != 2))
        row |= {{f"x_{{i}}": f"{{100 * frame + i:.1f}}" for i in range(68)}}
        row |= {{f"y_{{i}}": f"{{2000 + frame + i:.1f}}" for i in range(68)}}
        row |= {{f"{{au}}_r": f"{{frame / 100 + k / 10:.2f}}" for k, au in enumerate(aus)}}
        row |= {{f"{{au}}_c": "1.0" for au in presences}}
        if mode == "no number" and frame == 3:
            row["y_5"] = "-nan(ind)"
        if mode == "replays":
            row |= json.load(open(os.path.join(here, "table.json")))[frame - 1]
        cells = [str(row[name]) for name in names]
        file.write(comma.join(cells[:-1] if mode == "torn" and frame == 3 else cells) + "\\n")
'''


class Program:
    """The stand-in, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "FeatureExtraction"
        script = SCRIPT.format(
            python=sys.executable, video_frames=FRAMES, aus=list(INTENSITY_AUS), presences=list(PRESENCE_AUS)
        )
        self.path.write_text(script, encoding="utf-8")
        self.path.chmod(0o755)
        self.mode("works")

    def mode(self, mode: str) -> None:
        (self.path.parent / "mode").write_text(mode, encoding="utf-8")

    @property
    def calls(self) -> list[tuple[list[str], list[str], str]]:
        lines = (self.path.parent / "calls").read_text(encoding="utf-8").splitlines()
        return [tuple(json.loads(line)) for line in lines]


@pytest.fixture
def program(tmp_path, monkeypatch):
    place = tmp_path / "program"
    place.mkdir()
    found = Program(place)
    monkeypatch.setenv("OPENFACE_BIN", str(found.path))
    return found


@posix
@pytest.mark.parametrize("mode", ["works", "spaces"])
def test_the_table_of_openface_comes_back_as_arrays(program, clip, mode):
    program.mode(mode)
    run = OpenFaceBinary().run(clip)
    frame, landmark = np.arange(1, FRAMES + 1), np.arange(68)
    assert run.landmarks.shape == (FRAMES, 68, 2)
    np.testing.assert_array_equal(run.landmarks[:, :, 0], 100 * frame[:, None] + landmark)
    np.testing.assert_array_equal(run.landmarks[:, :, 1], 2000 + frame[:, None] + landmark)
    assert tuple(run.aus) == INTENSITY_AUS
    np.testing.assert_allclose(run.aus["AU01"], frame / 100)
    np.testing.assert_allclose(run.aus["AU45"], frame / 100 + 1.6, atol=1e-12)
    assert run.success.tolist() == [True, False, True, True, True, True]
    assert run.ms is None
    assert run.version.startswith("sha256 ")


@posix
def test_openface_is_given_images_in_order_and_the_landmark_model_asked_for(program, clip):
    OpenFaceBinary("main_clnf_general").run(clip)
    assert [images for _, images, _ in program.calls] == [
        [f"{k:06d}.bmp" for k in range(count)] for count in (3, 3, FRAMES)
    ], "two runs on the first half for its start-up, then the clip"
    arguments = program.calls[-1][0]
    assert arguments[0] == "-fdir"
    assert {"-2Dfp", "-aus"} <= set(arguments)
    assert arguments[-2:] == ["-mloc", "model/main_clnf_general.txt"]
    OpenFaceBinary().run(clip)
    assert "-mloc" not in program.calls[-1][0], "its own default"


@posix
def test_openface_reads_a_whole_video_itself_and_the_beginning_of_one_from_images(program, tmp_path):
    write_avi(tmp_path / "face.avi", frames())
    OpenFaceBinary().run(read_clip(tmp_path / "face.avi"))
    assert program.calls[-1][0][:2] == ["-f", str(tmp_path / "face.avi")]
    run = OpenFaceBinary().run(read_clip(tmp_path / "face.avi", 4))
    assert program.calls[-1][1] == [f"{k:06d}.bmp" for k in range(4)]
    assert len(run.landmarks) == 4


@posix
def test_what_openface_does_not_take_for_images_is_handed_over_as_bitmaps(program, tmp_path):
    place = tmp_path / "other"
    place.mkdir()
    for k, image in enumerate(frames(2)):
        write_bmp(place / f"{k}.bmp", image)
        (place / f"{k}.bmp").rename(place / (f"{k}.BMP" if k else "0.dib.tiff"))  # decoders look at the content
    OpenFaceBinary().run(read_clip(place))
    assert program.calls[-1][1] == ["000000.bmp", "000001.bmp"]


@posix
def test_the_time_of_openface_is_without_its_start_up(program, clip, monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 26.0])  # s around two runs on 3 frames, and one on all 6
    monkeypatch.setattr(openface_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    run = OpenFaceBinary().run(clip)
    assert (run.seconds, run.frames_timed) == (4.0, 3)
    assert run.ms_a_frame == pytest.approx(4000 / 3)
    assert "2.0 s for start-up and 3 frames subtracted" in run.note


@posix
def test_start_up_that_cannot_be_told_apart_stays_in_and_is_said(program, clip, monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 19.0, 20.0, 26.0])
    monkeypatch.setattr(openface_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    run = OpenFaceBinary().run(clip)
    assert (run.seconds, run.frames_timed) == (6.0, FRAMES)
    assert "start-up, decoding and writing included" in run.note


@posix
def test_a_single_frame_is_timed_with_its_start_up(program, clip):
    run = OpenFaceBinary().run(Clip(clip.path, clip.images[:1], whole=False))
    assert [len(images) for _, images, _ in program.calls] == [1], "there is nothing to subtract it from"
    assert run.frames_timed == len(run.landmarks) == 1
    assert "start-up, decoding and writing included" in run.note


@posix
@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", r"ended with status 3\. Its last lines:[\s\S]*Could not load the landmark detector[\s\S]*complaint"),
        ("crashes", r"ended by signal 11\."),
        ("opens nothing", r"ended with status 0, but wrote no table\.[\s\S]*Failed to open the video file"),
        ("no landmarks", r"has no column x_0, x_1, x_2, x_3 and 132 more\.$"),
        ("no AU models", r"has no column AU01_r, .* and 13 more\. Are its AU models \(AU_predictors\) beside"),
        ("one row short", r"has 2 rows for a clip of 3 frames|has 5 rows for a clip of 6 frames"),
        ("no number", r"line 4: y_5 is '-nan\(ind\)', not a number"),
        ("torn", r"line 4: expected 176 values, found 175"),
    ],
)
def test_failures_of_openface_say_what_happened(program, clip, mode, message):
    program.mode(mode)
    with pytest.raises(AuparityError, match=message):
        OpenFaceBinary().run(clip)


@posix
def test_openface_is_ended_when_it_takes_too_long(program, clip):
    program.mode("hangs")
    with pytest.raises(AuparityError, match=r"longer than 2 s\. Its last lines:[\s\S]*waiting"):
        OpenFaceBinary(timeout=2.0).run(clip)
    assert not (program.path.parent / "ended by itself").exists()
    directory = program.calls[-1][2]
    assert not Path(directory).exists(), "the temporary folder is removed"


@posix
def test_a_file_that_the_system_cannot_start_is_said_to_be_one(tmp_path, clip, monkeypatch):
    broken = tmp_path / "FeatureExtraction"
    broken.write_bytes(b"\0\1\2\3")
    broken.chmod(0o755)
    monkeypatch.setenv("OPENFACE_BIN", str(broken))
    assert OpenFaceBinary().unavailable_reason() is None
    with pytest.raises(AuparityError, match="cannot be started"):
        OpenFaceBinary().run(clip)


@posix
def test_openface_says_why_it_cannot_run(tmp_path, clip, monkeypatch):
    monkeypatch.delenv("OPENFACE_BIN", raising=False)
    assert "OPENFACE_BIN is not set: set it to the path of" in OpenFaceBinary().unavailable_reason()
    with pytest.raises(VariantUnavailable, match="OPENFACE_BIN is not set"):
        OpenFaceBinary().run(clip)
    text = tmp_path / "notes.txt"
    text.write_text("no program")
    text.chmod(0o644)
    for path, reason in ((tmp_path / "none", "does not exist"), (tmp_path, "a folder"), (text, "chmod \\+x")):
        monkeypatch.setenv("OPENFACE_BIN", str(path))
        with pytest.raises(VariantUnavailable, match=reason):
            OpenFaceBinary().run(clip)


# Python packages


def install(monkeypatch, name: str, *, ready: bool = True, **attributes) -> ModuleType:
    """A module in the place of a package, with its module of models."""
    package, models = ModuleType(name), ModuleType(f"{name}.models")
    package.__dict__.update({"__version__": "9.8.7", "models": models, **attributes})
    models.__dict__["models_ready"] = lambda cache_dir=None: ready
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, f"{name}.models", models)
    return package


@pytest.fixture
def nothing_installed(monkeypatch):
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)


class FakeMTCNN:
    """Two faces in odd frames, the wider one second; none in even frames."""

    def __init__(self, backend=None, model_dir=None, verbose=False, debug_mode=False, **kwargs):
        self.images: list[np.ndarray] = []

    def detect(self, img, return_debug=False):
        self.images.append(img)
        number = int(img[0, 0, 0])
        if number % 2 == 0:
            return np.empty((0, 4)), np.empty((0, 5, 2))
        return np.array([[1.0, 2, 30, 40], [number, 6, 70, 50]]), np.zeros((2, 5, 2))

    def get_backend_info(self):
        return {"backend": "ONNX + CPU", "provider": "CPUExecutionProvider"}


class FakeCLNF:
    """Landmarks that tell the frame; frame 2 has no face, frame 4 is not accepted and asks to detect again."""

    def __init__(self, model_dir=None, detector="pymtcnn", **kwargs):
        print("[OK] loaded")
        self.detector = FakeMTCNN()
        self.events: list[str] = []
        FakeCLNF.latest = self

    def detect_and_fit(self, image, return_all_faces=False, return_params=False):
        number = int(image[0, 0, 0])
        self.events.append(str(number))
        if number == 2:
            raise ValueError("No faces detected in image")
        info = {"converged": False, "validation_passed": number != 4, "needs_redetection": number == 4}
        return np.stack([number + np.arange(68), np.arange(68)], axis=1).astype(np.float32), info

    def reset_temporal_state(self):
        self.events.append("reset")


class FakeProcessor:
    """Reads the video, calls back after every frame and writes a table as pandas does; frame 3 fails."""

    def __init__(self, device=None, weights_dir=None, use_clnf_refinement=True, num_threads=6, verbose=False, **kwargs):
        self.events: list[str] = []
        self.seen: list[np.ndarray] = []
        FakeProcessor.latest = self

    def process_video(self, video_path, output_csv_path, progress_callback=None):
        with VideoFile(Path(video_path)) as source:
            self.seen = [frame.image for frame in source]
        self.events.append(f"{len(self.seen)} frames")
        with open(output_csv_path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", "timestamp", "success", "AU12_r", "AU01_r"])
            for k in range(len(self.seen)):
                good = k != 2
                writer.writerow([k, k / 30, good, k / 4, k / 8 if good else ""])
                if progress_callback is not None:
                    progress_callback(k + 1, len(self.seen), 30.0)
        return len(self.seen) - 1

    def clear_cache(self):
        self.events.append("clear")


@pytest.fixture
def packages(monkeypatch):
    install(monkeypatch, "pymtcnn", MTCNN=FakeMTCNN)
    install(monkeypatch, "pyclnf", CLNF=FakeCLNF)
    return install(monkeypatch, "pyfaceau", OpenFaceProcessor=FakeProcessor)


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("peer", "advice"),
    [
        (PyFaceAU(), 'pyfaceau is not installed: pip install "pyfaceau>=1.4"'),
        (PyCLNF(), 'pyclnf is not installed: pip install "pyclnf>=0.4"'),
        (PyMTCNN(), 'pymtcnn is not installed: pip install "pymtcnn[onnx]>=1.2"'),
    ],
)
def test_absent_packages_say_how_to_install_them(peer, advice, clip):
    assert peer.unavailable_reason() == advice
    with pytest.raises(VariantUnavailable) as caught:
        peer.run(clip)
    assert str(caught.value) == advice


def test_nothing_is_imported_before_it_is_asked_for():
    for name in ("packages", "peer_pyclnf", "peer_pyfaceau", "peer_pymtcnn", "openface_binary"):
        module = importlib.import_module(f"auparity.benchmarks.peers.{name}")
        held = {value.__name__ for value in vars(module).values() if isinstance(value, ModuleType)}
        assert held.isdisjoint(PACKAGES)
    names = [peer.name for peer in all_peers("main_clnf_general")]
    assert names == ["OpenFace", *PACKAGES]
    assert all_peers("main_clnf_general")[0].landmark_model == "main_clnf_general"


@pytest.mark.usefixtures("packages")
def test_a_package_without_its_models_or_what_it_needs_is_not_run(monkeypatch, clip):
    assert [peer.unavailable_reason() for peer in (PyFaceAU(), PyCLNF(), PyMTCNN())] == [None] * 3
    install(monkeypatch, "pyclnf", ready=False, CLNF=FakeCLNF)
    assert PyCLNF().unavailable_reason() == PyFaceAU().unavailable_reason()
    with pytest.raises(VariantUnavailable, match="model files of pyclnf are not prepared: run pyclnf-download-models"):
        PyFaceAU().run(clip)
    del sys.modules["pyclnf.models"].models_ready
    assert "too old: pip install --upgrade" in PyCLNF().unavailable_reason()
    monkeypatch.setitem(sys.modules, "pyclnf.models", None)
    assert "too old: pip install --upgrade" in PyCLNF().unavailable_reason()


def test_a_package_that_cannot_be_imported_says_so(monkeypatch, tmp_path):
    for name in ("pyclnf", "pymtcnn"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / name).mkdir()
    (tmp_path / "pyclnf" / "__init__.py").write_text("import a_module_that_is_nowhere")
    (tmp_path / "pymtcnn" / "__init__.py").write_text("raise OSError('libGL.so.1 is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "a_module_that_is_nowhere, which it needs, is not: pip install" in PYCLNF.unavailable_reason()
    assert "cannot be imported (OSError: libGL.so.1 is missing)" in PYMTCNN.unavailable_reason()


@pytest.mark.usefixtures("packages")
def test_pymtcnn_gives_the_widest_face_of_every_frame(clip):
    run = PyMTCNN().run(clip)
    assert run.success.tolist() == [True, False, True, False, True, False]
    np.testing.assert_array_equal(run.boxes[[0, 2, 4]], [[1, 6, 70, 50], [3, 6, 70, 50], [5, 6, 70, 50]])
    assert np.isnan(run.boxes[1]).all()
    assert run.ms.shape == (FRAMES,)
    assert run.ms_a_frame == np.median(run.ms[1:])
    assert run.seconds == pytest.approx(run.ms.sum() / 1000)
    assert (run.version, run.landmarks, run.aus) == ("pymtcnn 9.8.7", None, None)
    assert "ONNX + CPU" in run.note


@pytest.mark.usefixtures("packages")
def test_pyclnf_tracks_after_a_warm_up_and_detects_again_where_it_lost_the_face(clip, capsys):
    run = PyCLNF().run(clip)
    assert FakeCLNF.latest.events == [
        *("1", "2", "3", "4", "reset", "5", "reset"),  # warm-up; frame 4 asks for a new detection
        *("1", "2", "3", "4", "reset", "5", "6"),
    ]
    assert run.success.tolist() == [True, False, True, False, True, True]
    np.testing.assert_array_equal(run.landmarks[2], np.stack([3 + np.arange(68), np.arange(68)], axis=1))
    assert np.isnan(run.landmarks[1]).all()
    assert np.isfinite(run.landmarks[3]).all(), "landmarks that the validator refuses are still given"
    assert run.version == "pyclnf 9.8.7, pymtcnn 9.8.7"
    printed = capsys.readouterr()
    assert "[OK] loaded" not in printed.out, "tables go to the standard output"
    assert "[OK] loaded" in printed.err


@pytest.mark.usefixtures("packages")
def test_failures_of_pyclnf_are_no_empty_frames(monkeypatch, clip):
    class Without(FakeCLNF):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.detector = None

    install(monkeypatch, "pyclnf", CLNF=Without)
    with pytest.raises(VariantUnavailable, match=r'could not build its face detector .* pip install "pymtcnn\[onnx\]'):
        PyCLNF().run(clip)

    class Broken(FakeCLNF):
        def detect_and_fit(self, image, return_all_faces=False, return_params=False):
            raise ValueError("operands could not be broadcast")

    install(monkeypatch, "pyclnf", CLNF=Broken)
    with pytest.raises(AuparityError, match=r"pyclnf 9\.8\.7 failed: ValueError: operands could not be broadcast"):
        PyCLNF().run(clip)

    class Other(FakeCLNF):
        def detect_and_fit(self, image, return_all_faces=False, return_params=False):
            return np.zeros((51, 2)), {}

    install(monkeypatch, "pyclnf", CLNF=Other)
    with pytest.raises(AuparityError, match=r"shape \(51, 2\), expected \(68, 2\); is it a version with another"):
        PyCLNF().run(clip)


@pytest.mark.usefixtures("packages")
def test_pyfaceau_reads_the_very_frames_and_its_table_comes_back_by_name(clip):
    run = PyFaceAU().run(clip)
    assert FakeProcessor.latest.events == ["5 frames", "clear", "6 frames"]
    np.testing.assert_array_equal(np.stack(FakeProcessor.latest.seen), np.stack(clip.images))
    assert run.success.tolist() == [True, True, False, True, True, True]
    assert sorted(run.aus) == ["AU01", "AU12"]
    np.testing.assert_array_equal(run.aus["AU12"], [0, 0.25, math.nan, 0.75, 1, 1.25])
    np.testing.assert_array_equal(run.aus["AU01"], [0, 0.125, math.nan, 0.375, 0.5, 0.625])
    assert run.ms.shape == (FRAMES,)
    assert (run.ms >= 0).all()
    assert run.seconds >= run.ms.sum() / 1000
    assert run.version == "pyfaceau 9.8.7, pyclnf 9.8.7, pymtcnn 9.8.7"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "wrote no table"),
        ("frame,AU01_r\n0,1\n", "no column success"),
        ("frame,success,AU01_r\n0,True,1\n", "1 rows for 2 frames"),
        ("frame,success,AU01_r\n1,True,1\n0,True,1\n", "out of order"),
        ("frame,success,AU01_r\n0,True,high\n1,True,1\n", "could not convert string to float: 'high'"),
        ("frame,success,AU01_r\n0,yes,1\n1,True,1\n", "holds 'yes'"),
        ("frame,success\n0,True\n1,False\n", "no AU columns, although frames succeeded"),
    ],
)
def test_a_table_that_is_not_pyfaceaus_is_refused(monkeypatch, clip, packages, table, message):
    class Processor(FakeProcessor):
        def process_video(self, video_path, output_csv_path, progress_callback=None):
            if table is not None:
                Path(output_csv_path).write_text(table)

    packages.OpenFaceProcessor = Processor
    with pytest.raises(AuparityError, match=message):
        PyFaceAU().run(Clip(clip.path, clip.images[:2], whole=False))


def test_pyfaceau_without_one_face_has_no_intensities(clip, packages):
    class Processor(FakeProcessor):
        def process_video(self, video_path, output_csv_path, progress_callback=None):
            Path(output_csv_path).write_text("frame,timestamp,success\n0,0.0,False\n1,0.1,False\n")
            for k in (1, 2):
                progress_callback and progress_callback(k, 2, 30.0)

    packages.OpenFaceProcessor = Processor
    run = PyFaceAU().run(Clip(clip.path, clip.images[:2], whole=False))
    assert run.aus is None
    assert run.success.tolist() == [False, False]


def test_pyfaceau_that_does_not_report_every_frame_cannot_be_timed(clip, packages):
    class Silent(FakeProcessor):
        def process_video(self, video_path, output_csv_path, progress_callback=None):
            return super().process_video(video_path, output_csv_path)

    packages.OpenFaceProcessor = Silent
    with pytest.raises(AuparityError, match=r"pyfaceau 9\.8\.7 reported 0 frames of 6"):
        PyFaceAU().run(clip)


@pytest.mark.parametrize(
    ("package", "path", "positional", "named"),
    [
        ("pymtcnn", "MTCNN", 0, ()),
        ("pymtcnn", "MTCNN.detect", 2, ()),
        ("pymtcnn", "MTCNN.get_backend_info", 1, ()),
        ("pyclnf", "CLNF", 0, ()),
        ("pyclnf", "CLNF.detect_and_fit", 2, ()),
        ("pyclnf", "CLNF.reset_temporal_state", 1, ()),
        ("pyfaceau", "OpenFaceProcessor", 0, ("verbose",)),
        ("pyfaceau", "OpenFaceProcessor.process_video", 3, ("progress_callback",)),
        ("pyfaceau", "OpenFaceProcessor.clear_cache", 1, ()),
    ],
)
def test_installed_packages_take_the_calls_of_the_adapters(package, path, positional, named):
    found = pytest.importorskip(package, reason=f"{package} is not installed")
    for name in path.split("."):
        found = getattr(found, name)
    inspect.signature(found).bind(*range(positional), **dict.fromkeys(named))
    assert callable(importlib.import_module(f"{package}.models").models_ready)


# Beside auparity


def run_of(count: int = 4, **arrays) -> PeerRun:
    return PeerRun(version="x", seconds=1.0, frames_timed=count, **arrays)


def test_runs_are_compared_where_both_have_a_face():
    landmarks = np.arange(4 * 68 * 2, dtype=float).reshape(4, 68, 2)
    aus = {name: np.full(4, float(k)) for k, name in enumerate(INTENSITY_AUS)}
    boxes = np.tile([10.0, 20, 30, 40], (4, 1))
    ours = run_of(landmarks=landmarks, aus=aus, boxes=boxes, success=np.array([True, True, True, False]))
    moved = landmarks + [3.0, 4.0]
    moved[0] = np.nan  # their frame without a face
    theirs = run_of(
        landmarks=moved, aus={"AU12": aus["AU12"] - 0.5, "AU99": aus["AU01"]},
        boxes=boxes + [1.0, 0, 1, 0], success=np.array([False, True, True, True]),
    )  # fmt: skip
    apart = difference(ours, theirs)
    assert (apart.frames, apart.landmarks, apart.aus) == (2, 5.0, 0.5)
    assert apart.boxes == pytest.approx((1 + 0 + 2 + 0) / 4), "left and right edges moved by 1 and 2 px"
    alone = difference(ours, run_of(success=np.array([False, False, False, True])))
    assert (alone.frames, alone.landmarks, alone.aus, alone.boxes) == (0, None, None, None)
    with pytest.raises(ContractError):
        difference(ours, run_of(success=np.ones(5, bool)))
    with pytest.raises(ContractError):
        difference(ours, run_of())


def test_ms_a_frame_leaves_out_the_first_where_frames_are_timed():
    assert run_of(ms=np.array([900.0, 5, 7, 6])).ms_a_frame == 6
    assert run_of(1, ms=np.array([900.0])).ms_a_frame == 900
    assert PeerRun(version="x", seconds=3.0, frames_timed=20).ms_a_frame == 150


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A rendered face in four frames, and what the reference pipeline says of it."""
    place = tmp_path_factory.mktemp("rendered")
    for k, picture in enumerate(render_clip(3_300_000, 4)):
        write_bmp(place / f"{k}.bmp", picture.image)
    return place, OurPipeline(ReferencePipeline(Bundle.embedded(networks=False)), read_clip(place)).measure()


@posix
@pytest.mark.usefixtures("nothing_installed")
def test_the_command_prints_speed_differences_and_why_the_others_cannot_run(rendered, program, tmp_path, capsys):
    place, ours = rendered
    assert ours.success.all(), "a face that everybody finds"
    rows = []
    for k in range(4):
        row = {f"{axis}_{i}": ours.landmarks[k, i, a] + (3, 4)[a] for a, axis in enumerate("xy") for i in range(68)}
        row |= {f"{name}_r": ours.aus[name][k] + 0.25 for name in INTENSITY_AUS}
        rows.append({**row, "success": int(k != 2)})
    (program.path.parent / "table.json").write_text(json.dumps(rows))
    program.mode("replays")
    out = tmp_path / "out" / "peers.json"
    status = command.main([str(place), "--models", "embedded", "--variants", "reference", "-o", str(out)])
    printed = capsys.readouterr().out
    assert status == 0
    line = next(line for line in printed.splitlines() if line.startswith("| OpenFace"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert (cells[2], cells[6], cells[7]) == ("3 of 4", "5.000", "0.250")
    assert 'pyclnf cannot run here: pyclnf is not installed: pip install "pyclnf>=0.4"' in printed
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["peers"][0]["landmarks_px"] == pytest.approx(5.0)
    assert record["peers"][0]["frames_compared"] == 3
    assert sorted(record["skipped"]) == sorted(PACKAGES)


@posix
@pytest.mark.usefixtures("packages")
def test_a_peer_that_fails_does_not_stop_the_others(rendered, program, capsys):
    program.mode("fails")
    place, _ = rendered
    arguments = [str(place), "--models", "embedded", "--variants", "reference", "--max-frames", "2"]
    assert command.main([*arguments, "--peers", "openface,pymtcnn"]) == 1
    printed = capsys.readouterr().out
    assert "OpenFace failed: " in printed
    assert "ended with status 3" in printed
    assert "| pymtcnn: faces | pymtcnn 9.8.7 |" in printed


def test_what_cannot_be_read_or_is_not_known_ends_with_status_2(tmp_path, rendered, capsys):
    assert command.main([str(tmp_path / "none.mp4"), "--models", "embedded"]) == 2
    assert "none.mp4" in capsys.readouterr().err
    assert command.main([str(rendered[0]), "--models", "embedded", "--peers", "dlib"]) == 2
    assert "got dlib" in capsys.readouterr().err
