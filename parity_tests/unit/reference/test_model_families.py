"""A detector and landmarks of your own, as docs/examples have them: added to a bundle, stored, and measured with."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from auparity.accelerated.pipeline import Pipeline
from auparity.errors import ContractError, ModelFormatError
from auparity.models import archive
from auparity.models.archive_values import RECORDS
from auparity.models.bundle import Bundle
from auparity.models.consistency import CHECKS
from auparity.models.synthetic.clips import render_clip
from auparity.reference import model_families
from auparity.reference.face_states import FaceStates
from auparity.reference.images import Images
from auparity.reference.model_families import landmarker_of, locator_of
from auparity.reference.pipeline import ReferencePipeline

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="not a checkout of the repository")
BUNDLE = Bundle.embedded(networks=False)
FRAMES = list(render_clip(3_450_000, 4))


@pytest.fixture(scope="module")
def examples():
    """The two example modules, registered for these tests and forgotten after them."""
    before = [dict(table) for table in (model_families._LOCATORS, model_families._LANDMARKERS, CHECKS, RECORDS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("locator"), importlib.import_module("landmarker")
    for name in ("locator", "landmarker"):
        sys.modules.pop(name)
    for table, content in zip(
        (model_families._LOCATORS, model_families._LANDMARKERS, CHECKS, RECORDS), before, strict=True
    ):
        table.clear()
        table.update(content)


@pytest.fixture(scope="module")
def with_locator(examples):
    portrait = examples[0].PortraitBox(np.array([0.33, 0.3, 0.34, 0.42]))
    return BUNDLE.with_serving("locator", "portrait", portrait)


@pytest.fixture(scope="module")
def with_landmarker(examples):
    return BUNDLE.with_serving("landmarker", "mean shape", examples[1].MeanShape(BUNDLE.face.main.pdm))


def test_the_bundles_own_models_are_still_there(with_locator, with_landmarker):
    assert with_locator.models["mtcnn"] is BUNDLE.detector
    assert len({bundle.content_hash for bundle in (BUNDLE, with_locator, with_landmarker)}) == 3
    assert with_locator.with_serving("locator", "mtcnn").serves == BUNDLE.serves


def test_another_detector_finds_the_face_that_the_landmark_models_then_fit(with_locator):
    session = Pipeline.best(with_locator).start_video()
    results = [session.process_frame(frame.image, k / 30) for k, frame in enumerate(FRAMES)]
    assert all(result.success for result in results)
    for result, frame in zip(results, FRAMES, strict=True):
        eyes = np.linalg.norm(frame.truth.landmarks[36] - frame.truth.landmarks[45])
        assert np.linalg.norm(result.landmarks - frame.truth.landmarks, axis=1).mean() < 0.1 * eyes
    assert Pipeline.best(with_locator).choices["detection"].reason == "these models do not need it"


def test_another_landmarker_is_measured_with_everything_that_follows(with_landmarker):
    for pipeline in (ReferencePipeline(with_landmarker), Pipeline.best(with_landmarker)):
        session = pipeline.start_video()
        results = [session.process_frame(frame.image, k / 30) for k, frame in enumerate(FRAMES[:2])]
        assert all(result.success and result.confidence == 1 for result in results)
        assert all(np.isfinite(result.pose).all() and result.pose[2] > 0 for result in results)
        assert np.abs(results[0].params_local).max() == 0
        assert not results[0].eye_landmarks.any(), "it has no eyes"
        assert results[0].au_intensity.shape == (17,)
        (faces,) = pipeline.process_images([FRAMES[0].image])
        assert len(faces) == 1
        np.testing.assert_array_equal(faces[0].gaze, np.tile([0, 0, -1], (2, 1)))


def test_several_faces_in_several_images_are_one_call(with_landmarker):
    landmarker = landmarker_of(with_landmarker)
    images = Images([FRAMES[0].image, FRAMES[1].image])
    boxes = np.array([frame.truth.box for frame in (FRAMES[1], FRAMES[0], FRAMES[1])])
    states = landmarker.start(images, [1, 0, 1], boxes)
    assert isinstance(states, FaceStates)
    assert states.landmarks.shape == (3, 68, 2)
    assert states.accepted.all()
    np.testing.assert_array_equal(states.landmarks[0], states.landmarks[2])
    followed = landmarker.follow(images, [1, 0], states[:2])
    assert np.abs(followed.landmarks - states[:2].landmarks).max() < 1, "the same images: nothing has moved"


def test_the_faces_of_a_call_do_not_depend_on_each_other():
    """The constrained local models: two streams in one call, and alone."""
    landmarker = landmarker_of(BUNDLE)
    boxes = np.array([frame.truth.box for frame in FRAMES[:2]], np.float32)
    initial = [landmarker.initial()] * 2
    both = landmarker.start(Images([frame.image for frame in FRAMES[:2]]), [0, 1], boxes, initial)
    followed = landmarker.follow(Images([frame.image for frame in FRAMES[2:]]), [1, 0], list(both))
    for k in range(2):
        alone = landmarker.start(Images([FRAMES[k].image]), [0], boxes[k : k + 1], initial[:1])
        np.testing.assert_array_equal(alone.landmarks[0], both.landmarks[k])
        after = landmarker.follow(Images([FRAMES[3 - k].image]), [0], list(alone))
        np.testing.assert_array_equal(after.landmarks[0], followed.landmarks[k])


def test_bundles_with_them_are_stored_and_come_back(with_locator, tmp_path):
    archive.save(with_locator, tmp_path / "b.zip")
    back = Bundle.from_archive(tmp_path / "b.zip")
    assert back.content_hash == with_locator.content_hash
    (here,), (there,) = (locator_of(bundle).locate([FRAMES[0].image]) for bundle in (with_locator, back))
    np.testing.assert_array_equal(here.boxes, there.boxes)


def test_a_kind_that_nobody_has_registered_is_named(tmp_path):
    strange = BUNDLE.with_serving("locator", "strange", BUNDLE.image_aus)
    with pytest.raises(ContractError, match=r"'locator'.*registered kind \(.*MTCNN.*AUPredictors"):
        ReferencePipeline(strange)
    with pytest.raises(ContractError, match="a class that has no family yet"):
        model_families.locator(type(BUNDLE.detector))(lambda *_: None)


def test_an_archive_of_a_kind_that_is_not_installed_is_refused(with_locator, tmp_path, monkeypatch):
    archive.save(with_locator, tmp_path / "b.zip")
    kind = type(with_locator.models["portrait"])
    monkeypatch.delitem(CHECKS, kind)
    with pytest.raises(ModelFormatError, match=r"a model of a known kind .* at portrait"):
        archive.load(tmp_path / "b.zip")
