"""Stage records are sorted by the order of the file: a name's suffix counts its own occurrences, not hypotheses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.fidelity.recordings import read_record


class Recorder:
    """Writes arrays as the golden recordings stand: in order, a name that comes again with #1, #2, ..."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._seen: dict[str, int] = {}

    def add(self, name: str, values: object) -> None:
        count = self._seen.get(name, 0)
        self._seen[name] = count + 1
        array = np.asarray(values, np.float32)
        self.arrays[f"{name}#{count}" if count else name] = array.reshape(-1, 1) if array.ndim < 2 else array

    def fit(self, points: int, scale: int, window: int, start: float, view: int = 0, visible: tuple[int, ...] = (0, 1)):
        prefix = f"m{points}.s{scale}.w{window}."
        self.add(prefix + "pglobal_in", np.full(6, start))
        self.add(prefix + "plocal_in", np.zeros(3))
        for landmark in visible:
            self.add(f"{prefix}response.{landmark}", np.full((window, window), start))
        for name in ("sim_img_to_ref", "sim_ref_to_img"):
            self.add(prefix + name, np.eye(2))
        self.add(prefix + "view", view)
        self.add(prefix + "reg_sigma_weight", [[25, 1.5, 0]])
        for name in ("pglobal_rigid", "pglobal_out"):
            self.add(prefix + name, np.full(6, start + 1))
        for name in ("plocal_rigid", "plocal_out"):
            self.add(prefix + name, np.zeros(3))
        self.add(prefix + "lhoods", np.zeros((0, 0)))
        self.add(prefix + "model_likelihood", -10)

    def validated(self, certainty: float) -> None:
        self.add("m68.certainty", certainty)
        self.add("m68.landmarks_final", np.arange(136))

    def detector(self) -> None:
        for name in ("boxes_after_pnet_scale_nms", "boxes_into_rnet", "boxes_after_rnet"):
            self.add(f"mtcnn.{name}", np.zeros((0, 5)))

    def save(self, folder: Path) -> golden_data.FrameRecord:
        np.savez(folder / "f0000.npz", **self.arrays)
        return read_record(folder / "f0000.npz")


def test_a_landmark_unseen_in_one_view_keeps_its_map_in_the_next(tmp_path):
    recorder = Recorder()
    recorder.fit(68, 0, 11, start=1, view=0, visible=(0, 1))
    recorder.validated(0.9)
    recorder.fit(68, 0, 11, start=2, view=3, visible=(0,))
    recorder.validated(0.1)
    recorder.fit(68, 0, 11, start=3, view=0, visible=(0, 1))  # its response.1 is #1, its response.0 is #2
    recorder.validated(0.5)
    record = recorder.save(tmp_path)
    assert [sorted(fit.responses) for fit in record.fits] == [[0, 1], [0], [0, 1]]
    for fit in record.fits:
        assert all((response == fit.pglobal_in[0]).all() for response in fit.responses.values())
    assert [round(d.certainty, 3) for d in record.landmark_detections] == [0.9, 0.1, 0.5]


def test_eyes_take_turns_with_all_their_scales(tmp_path):
    recorder = Recorder()
    for hypothesis in (10, 20):
        recorder.fit(68, 0, 11, start=hypothesis)
        recorder.fit(51, 0, 9, start=hypothesis + 1)
        for eye in (2, 4):
            recorder.fit(28, 0, 3, start=hypothesis + eye)
            recorder.fit(28, 1, 5, start=hypothesis + eye + 1)
        recorder.validated(0.9)
    for hypothesis, detection in zip((10, 20), recorder.save(tmp_path).landmark_detections, strict=True):
        starts = {part: [fit.pglobal_in[0] - hypothesis for fit in detection.of(part)] for part in PARTS}
        assert starts == {"main": [0], "inner": [1], "left_eye": [2, 3], "right_eye": [4, 5]}


PARTS = ("main", "inner", "left_eye", "right_eye")


def test_a_fit_that_failed_before_validation_is_a_detection_of_its_own(tmp_path):
    recorder = Recorder()
    recorder.fit(68, 0, 11, start=1)
    recorder.fit(68, 0, 11, start=2)
    recorder.validated(0.9)
    detections = recorder.save(tmp_path).landmark_detections
    assert [d.certainty is None for d in detections] == [True, False]
    assert detections[1].landmarks_final.tolist()[1] == [1, 69]  # x block, then y block


def test_fits_before_and_after_the_face_detector_are_told_apart(tmp_path):
    recorder = Recorder()
    recorder.fit(68, 1, 9, start=1)
    recorder.fit(68, 2, 7, start=2)
    recorder.validated(0.1)
    recorder.detector()
    recorder.fit(68, 0, 11, start=3)
    recorder.validated(0.9)
    record = recorder.save(tmp_path)
    assert record.fits_before_detection == 2
    assert record.detection.after_rnet.shape == (0, 5)
    assert [len(d.fits) for d in record.landmark_detections] == [2, 1]


def test_an_array_of_no_open_fit_is_an_error(tmp_path):
    recorder = Recorder()
    recorder.fit(68, 0, 11, start=1)
    recorder.add("m68.s0.w11.view", 0)
    with pytest.raises(ValueError, match="does not belong"):
        recorder.save(tmp_path)


def test_a_named_folder_without_recordings_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AUPARITY_SHARED", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="AUPARITY_SHARED"):
        golden_data.shared_dir()
    (tmp_path / "golden").mkdir()
    assert golden_data.shared_dir() == tmp_path.resolve()
