"""Bundles with single parts of another bundle: which weights change and which stay."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import AuparityError
from auparity.models.types import PFLD, LandmarkNetwork, NetworkStart, Tensors
from auparity.parity_tests.real.exchange import ALL, CHANGES, changed, words_of
from auparity.parity_tests.unit.helpers.factories import make_bundle

#: Of the 68 landmarks in three dimensions, and the 34 modes (spec 60.4).
GEOMETRY = 238


@pytest.fixture(scope="module")
def ours():
    return make_bundle(1, "ceclm")


@pytest.fixture(scope="module")
def openface():
    return make_bundle(2, "clnf")


@pytest.mark.parametrize(
    ("change", "roles"),
    [("detector", {"locator"}), ("landmarks", {"landmarker"}), ("aus", {"video_aus", "image_aus"})],
)
def test_whole_models_are_exchanged_and_the_others_stay(change, roles, ours, openface):
    made = changed(ours, change, openface)
    for role in ("locator", "landmarker", "video_aus", "image_aus"):
        assert made.serving(role) is (openface if role in roles else ours).serving(role)


def test_parts_of_the_local_model_are_exchanged(ours, openface):
    shape = changed(ours, "shape", openface).face
    assert shape.main.pdm is openface.face.main.pdm
    assert shape.main.experts is ours.face.main.experts
    experts = changed(ours, "experts", openface).face
    assert experts.main.pdm is ours.face.main.pdm
    assert experts.main.experts is openface.face.main.experts
    assert experts.main.early_termination is openface.face.main.early_termination
    # The name tells the settings of the fit, which belong to the kind of experts.
    assert (experts.name, shape.name) == ("main_clnf_general", "main_ceclm_general")
    assert changed(ours, "parts", openface).face.parts is openface.face.parts
    assert changed(ours, "validator", openface).face.validator is openface.face.validator
    assert changed(ours, "shape", openface).video_aus is ours.video_aus


def test_changes_are_joined(ours, openface):
    both = changed(ours, "shape+experts", openface).face
    assert (both.main.pdm, both.main.experts) == (openface.face.main.pdm, openface.face.main.experts)
    assert both.validator is ours.face.validator


@pytest.mark.parametrize(("change", "silent"), [("appearance-only", slice(-GEOMETRY, None)),
                                                ("geometry-only", slice(None, -GEOMETRY))])  # fmt: skip
def test_one_half_of_the_au_models_is_silenced(change, silent, ours, openface):
    made = changed(ours, change, openface)
    for before, after in ((ours.video_aus, made.video_aus), (ours.image_aus, made.image_aus)):
        for old, new in zip(before.models, after.models, strict=True):
            kept = np.ones(len(old.weights), bool)
            kept[silent] = False
            assert not new.weights[~kept].any()
            np.testing.assert_array_equal(new.weights[kept], old.weights[kept])
            assert old.weights[~kept].any()  # the bundle that was changed is as it was


def test_every_change_gives_other_weights(ours, openface):
    hashes = {changed(ours, change, openface).content_hash for change in ALL}
    assert len(hashes | {ours.content_hash}) == len(ALL) + 1


def test_a_start_of_a_network_stays_when_parts_are_exchanged(ours, openface):
    network = PFLD(Tensors((), ()))
    started = ours.with_models(landmarker=NetworkStart(ours.face, network))
    landmarker = changed(started, "validator", openface).serving("landmarker")
    assert landmarker.network is network
    assert landmarker.face.validator is openface.face.validator


def test_a_network_has_no_parts_of_local_models(ours, openface):
    network = ours.with_models(landmarker=LandmarkNetwork(PFLD(Tensors((), ())), ours.face.main.pdm))
    with pytest.raises(AuparityError, match=r"experts.*landmarks come from clm"):
        changed(network, "experts", openface)
    assert changed(network, "aus", openface).video_aus is openface.video_aus


def test_a_name_that_is_none_is_an_error_that_lists_the_names(ours, openface):
    with pytest.raises(AuparityError, match=r"no 'nose'; there are detector, landmarks"):
        changed(ours, "shape+nose", openface)


def test_changes_are_explained():
    assert all(change.what for change in CHANGES.values())
    assert words_of("shape+aus") == f"{CHANGES['shape'].what}; {CHANGES['aus'].what}"
