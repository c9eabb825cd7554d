"""From landmarks to action units against the C++ program: stages on recorded inputs, then a whole clip (spec 60)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from auparity.models.bundle import Bundle
from auparity.models.types import AUPredictors
from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.parity_tests.fidelity.recordings import AnalysisRecord
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.alignment import align_faces
from auparity.reference.analysis import FaceDescriber, ImageAnalyser, VideoAnalyser
from auparity.reference.fhog import fhog
from auparity.reference.fit_shape import fit_shape
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.pdm import ShapeModel
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reference.running_median import geometry_median, hog_median, running_medians

pytestmark = pytest.mark.golden

CLIPS = ("video01", "default", "lost", "hard")
PHOTOGRAPHS = ("sample.jpg", "sample1.jpg", "sample2.jpg", "sample3.jpg")
#: Clips whose first six frames were recorded, so that their medians can be followed from the beginning.
FROM_THE_BEGINNING = ("video01", "default")

#: Spec 90.10: an aligned face may differ by a level in this many of its 37632 values. Measured: 0 in all 26.
ALIGNED_VALUES = 5
#: Spec 90.10. Measured: 6e-8, and 99.8 % of the values bit for bit.
FHOG_TOLERANCE = 2e-7
#: Spec 90.10: float64 sums of up to 4702 products in another order.
DESCRIPTOR_TOLERANCE = 1e-12
#: AUs of images are recorded in float32, with values up to 5.
FLOAT32_TOLERANCE = 5e-7
#: Spec 90.10, AUs on recorded landmarks: median over the frames of the frame's maximum, and worst. Measured on `lost`:
#: 2e-6 and 2.4e-4, from the last places of CalcParams.
ONLINE_MEDIAN, ONLINE_WORST = 5e-3, 0.2
#: The CSV has two decimals. Measured: nothing beyond its rounding, where spec 90.10 would allow 0.06.
CSV_ROUNDING = 0.005 + 1e-3


def recorded(with_face: bool = True) -> Iterator[tuple[str, np.ndarray, np.ndarray, AnalysisRecord]]:
    """Name, image, landmarks and AU-half record of every recorded frame and image (with a face, or without)."""
    for clip in CLIPS:
        for k in golden_data.recorded_frames(clip):
            record = golden_data.load_record(clip, k)
            if record.analysis and record.state and (record.analysis.pglobal is not None) == with_face:
                yield f"{clip} frame {k}", golden_data.load_frame(clip, k), record.state.landmarks, record.analysis
    for name in PHOTOGRAPHS if with_face else ():
        record = golden_data.load_image_record(name)
        assert record.analysis is not None
        yield name, golden_data.load_image(name), record.faces[0].landmarks, record.analysis


def align(image: np.ndarray, landmarks: np.ndarray, record: AnalysisRecord, aus: AUPredictors) -> np.ndarray:
    assert record.pglobal is not None
    params_global = record.pglobal.astype(np.float32)
    aligned: np.ndarray = align_faces(image[None], landmarks[None], params_global[None], aus.pdm, aus.triangulation)[0]
    return aligned


def test_aligned_faces_are_the_recorded_ones(openface_bundle: Bundle) -> None:
    names = []
    for name, image, landmarks, record in recorded():
        difference = np.abs(align(image, landmarks, record, openface_bundle.video_aus).astype(int) - record.aligned)
        count = np.count_nonzero(difference)
        assert count <= ALIGNED_VALUES, f"{name}: {count} of {difference.size} values differ"
        assert difference.max() <= 1, f"{name}: a value differs by {difference.max()} levels"
        names.append(name)
    assert len(names) == 26


def test_the_mask_has_the_hole_that_contraction_tears(openface_bundle: Bundle) -> None:
    """Pixel (70, 44) of frame 156 lies on the edge of two triangles, and the C++ program finds it in neither."""
    record = golden_data.load_record("video01", 156)
    assert record.analysis is not None
    assert record.state is not None
    image = golden_data.load_frame("video01", 156)
    aligned = align(image, record.state.landmarks, record.analysis, openface_bundle.video_aus)
    around = aligned[43:46, 69:72].any(axis=-1)
    assert np.argwhere(~around).tolist() == [[1, 1]]
    assert np.array_equal(around, record.analysis.aligned[43:46, 69:72].any(axis=-1))


def test_fhog_of_recorded_faces() -> None:
    exact = []
    for name, _, _, record in (*recorded(), *recorded(with_face=False)):
        difference = np.abs(fhog(record.aligned[None])[0] - record.hog)
        assert difference.max() <= FHOG_TOLERANCE, f"{name}: {difference.max()}"
        exact.append(np.mean(difference == 0))
    assert np.mean(exact) > 0.99


def test_a_failed_frame_is_described_as_a_black_face(openface_bundle: Bundle) -> None:
    hog, geometry = FaceDescriber(openface_bundle.video_aus).describe_no_face()
    names = []
    for name, _, _, record in recorded(with_face=False):
        assert not record.aligned.any(), name
        assert np.array_equal(hog, record.hog), name
        assert np.array_equal(geometry, record.geom), name
        names.append(name)
    assert len(names) == 6


def test_geometry_of_recorded_parameters(openface_bundle: Bundle) -> None:
    for name, _, _, record in recorded():
        assert record.plocal is not None
        descriptor = geometry_descriptor(record.plocal.astype(np.float32)[None], openface_bundle.video_aus.pdm)[0]
        assert np.abs(descriptor - record.geom).max() <= DESCRIPTOR_TOLERANCE, name


@pytest.mark.parametrize("clip", FROM_THE_BEGINNING)
def test_medians_of_recorded_descriptors(clip: str) -> None:
    records = [golden_data.load_record(clip, k).analysis for k in range(6)]
    success = golden_data.load_state(clip).detection_success[:6]
    for descriptor, state in (("hog", hog_median()), ("geom", geometry_median())):
        medians = running_medians(np.stack([getattr(r, descriptor) for r in records]), success, state)
        expected = np.stack([getattr(r, f"{descriptor}_median") for r in records])
        assert np.abs(medians - expected).max() <= DESCRIPTOR_TOLERANCE, descriptor


def test_action_units_of_recorded_descriptors_and_medians(openface_bundle: Bundle) -> None:
    models = ActionUnitModels(openface_bundle.video_aus)
    for clip in CLIPS:
        state = golden_data.load_state(clip)
        for k in golden_data.recorded_frames(clip):
            record = golden_data.load_record(clip, k).analysis
            if record is None or record.pglobal is None:
                continue
            assert record.hog_median is not None
            assert record.geom_median is not None
            intensity, presence = models.predict(
                record.hog[None], record.geom[None], record.hog_median[None], record.geom_median[None]
            )
            error = np.abs(intensity[0] - state.au_r[k]).max()
            assert error <= DESCRIPTOR_TOLERANCE, f"{clip} frame {k}: {error}"
            assert np.array_equal(presence[0], state.au_c[k]), f"{clip} frame {k}"


def test_photographs_are_measured_with_the_static_models(openface_bundle: Bundle) -> None:
    analyser = ImageAnalyser(openface_bundle.image_aus)
    for name in PHOTOGRAPHS:
        record = golden_data.load_image_record(name)
        face = record.faces[0]
        assert record.analysis is not None
        intensity, presence = analyser.models.predict_static(record.analysis.hog[None], record.analysis.geom[None])
        assert np.abs(intensity[0] - face.au_r).max() <= FLOAT32_TOLERANCE, name
        assert np.array_equal(presence[0], face.au_c), name


def test_a_clip_with_lost_faces_from_its_golden_landmarks(openface_bundle: Bundle) -> None:
    """Everything after tracking, in one run of 83 frames of which 14 failed: online values, then the offline CSV."""
    state, offline = golden_data.load_state("lost"), golden_data.load_csv("lost", "offline")
    analyser = VideoAnalyser(openface_bundle.video_aus)
    model = ShapeModel(openface_bundle.video_aus.pdm)
    rows = []
    for k, found in enumerate(state.detection_success):
        landmarks = state.landmarks[k]
        fit = fit_shape(model, landmarks[None]) if found else None
        g, p = (fit[0][0], fit[1][0]) if fit else (None, None)
        rows.append(analyser.step(golden_data.load_frame("lost", k), landmarks, g, p, k / 30))
    intensity, presence = (np.stack(v) for v in zip(*rows, strict=True))

    error = np.abs(intensity - state.au_r).max(axis=1)
    assert not error[~state.detection_success].any()
    assert np.median(error[state.detection_success]) <= ONLINE_MEDIAN
    assert error.max() <= ONLINE_WORST
    assert np.array_equal(presence, state.au_c)

    result = analyser.finish()
    csv_intensity = offline.columns(*(f"{name}_r" for name in INTENSITY_AUS))
    csv_presence = offline.columns(*(f"{name}_c" for name in PRESENCE_AUS))
    assert np.abs(result.intensity - csv_intensity).max() <= CSV_ROUNDING
    assert np.array_equal(result.presence, csv_presence)
