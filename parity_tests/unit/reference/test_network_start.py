"""Fits that begin at a network's points: one in place of eleven, judged and followed as any other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.json_schema import MismatchError
from auparity.media import read_image
from auparity.models import archive
from auparity.models.bundle import Bundle
from auparity.models.contents import face_model_in, point_network_in
from auparity.models.types import LandmarkNetwork, NetworkStart
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.clm import ClmLandmarker
from auparity.reference.images import Images
from auparity.reference.model_families import landmarker_of
from auparity.reference.networks.crops import box_of_mtcnn, square_of
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.networks.network_start import NetworkStartLandmarker
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.stages import stage_table

BUNDLE = Bundle.embedded(networks=False)
PICTURE = read_image(Path(random_networks.__file__).with_name("rendered_face.png"))
IMAGES = Images([PICTURE])
MODEL = BUNDLE.face


@pytest.fixture(scope="module")
def searched():
    """The face as eleven hypotheses find it, and its box."""
    pipeline = ReferencePipeline(BUNDLE)
    boxes = pipeline.locator.locate(IMAGES)[0].boxes
    return boxes, pipeline.landmarker.start(IMAGES, [0], boxes[:1])[0]


def drawing(boxes, landmarks):
    """A network that draws these landmarks in the crop of the first box."""
    square = square_of(box_of_mtcnn(boxes[:1])[0])
    points = ((landmarks - [square.left, square.top]) / square.size).astype(np.float32)
    return NetworkLandmarker(lambda crops: np.repeat(points[None], len(crops), axis=0), MODEL.main.pdm)


def test_one_fit_from_the_points_finds_what_the_search_finds(searched, monkeypatch):
    boxes, wanted = searched
    shifted = wanted.landmarks + np.float32([3, -2])
    landmarker = NetworkStartLandmarker(MODEL, drawing(boxes, shifted))
    detect, calls = landmarker.detector.detect, []

    def counted(gray, state, windows, **options):
        calls.append((state, windows))
        return detect(gray, state, windows, **options)

    monkeypatch.setattr(landmarker.detector, "detect", counted)
    found = landmarker.start(IMAGES, [0], boxes[:1])
    assert [windows for _, windows in calls] == [landmarker.detector.parameters.init_windows]
    begin = calls[0][0]
    drawn = landmarker.detector.main.shape.shape_2d(begin.params_global, begin.params_local)
    assert np.abs(drawn - shifted).mean() < 1  # the crop is of whole pixels, the shape model explains the rest
    assert found.accepted.tolist() == [True]
    assert found[0].confidence > 0.5
    apart = np.linalg.norm(found[0].landmarks - wanted.landmarks, axis=1).mean()
    # Two fits of one face that begin 3.6 px apart: what a fit depends on its start.
    assert apart < 1.5
    followed = landmarker.follow(IMAGES, [0], found)
    assert np.array_equal(followed.landmarks, ClmLandmarker(MODEL).follow(IMAGES, [0], found).landmarks)


def test_a_box_without_area_is_no_face_and_keeps_what_was_before(searched):
    boxes, before = searched
    landmarker = NetworkStartLandmarker(MODEL, drawing(boxes, before.landmarks))
    found = landmarker.start(IMAGES, [0], np.zeros((1, 4), np.float32), [before])
    assert found.accepted.tolist() == [False]
    assert found[0] is before
    with pytest.raises(ContractError):
        landmarker.start(IMAGES, [0], np.full((1, 4), np.nan, np.float32))


def test_the_validator_judges_and_not_the_network(searched):
    boxes, before = searched
    nothing = Images([np.full_like(PICTURE, 127)])
    network = drawing(boxes, before.landmarks)
    assert network.start(nothing, [0], boxes[:1]).accepted[0]  # this network draws a face anywhere
    assert not NetworkStartLandmarker(MODEL, network).start(nothing, [0], boxes[:1]).accepted[0]


def started() -> Bundle:
    return BUNDLE.with_serving("landmarker", "started", NetworkStart(MODEL, random_networks.pfld()))


def test_a_bundle_with_a_start_has_all_stages_of_both():
    bundle = started()
    for stage in ("patch_experts", "fitting", "validation", "fit_shape"):
        assert len(stage_table()[stage].models(bundle)) == len(stage_table()[stage].models(BUNDLE))
    assert stage_table()["point_network"].models(bundle) == [(bundle.serving("landmarker").network,)]
    pipeline = ReferencePipeline(bundle)
    assert isinstance(pipeline.clm, NetworkStartLandmarker)
    assert pipeline.clm.part_shapes.keys() == ClmLandmarker(MODEL).part_shapes.keys()
    faces = pipeline.process_image(PICTURE)  # random weights: the fit may fail, but gives a result
    assert len(faces) == 1
    assert np.isfinite(faces[0].landmarks).all()


def test_a_bundle_with_a_start_is_stored_and_read_back(tmp_path):
    bundle = started()
    archive.save(bundle, tmp_path / "b.zip")
    again = Bundle.from_archive(tmp_path / "b.zip")
    assert again.content_hash == bundle.content_hash != BUNDLE.content_hash
    assert isinstance(landmarker_of(again), NetworkStartLandmarker)
    wrong = dataclasses.replace(bundle.serving("landmarker"), network=random_networks.star(29, 7))
    from auparity.models.consistency import check_bundle

    with pytest.raises(MismatchError):
        check_bundle(bundle.with_serving("landmarker", "started", wrong))


def test_what_is_in_a_landmarker():
    network = random_networks.pfld()
    assert face_model_in(MODEL) is MODEL
    assert face_model_in(NetworkStart(MODEL, network)) is MODEL
    assert face_model_in(LandmarkNetwork(network, MODEL.main.pdm)) is None
    assert point_network_in(MODEL) is None
    assert point_network_in(NetworkStart(MODEL, network)) is network
