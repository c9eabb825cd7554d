"""The table of stages: which models of a bundle each is built from, and what is true of all of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from auparity.models.types import LandmarkNetwork
from auparity.parity_tests.unit.helpers import factories, random_networks
from auparity.reference.numerics import FLOAT64
from auparity.reference.stages import landmark_models, reference_stages, shape_models, stage_table

BUNDLE = factories.make_bundle(0, m=6)
#: A bundle whose faces are found, and their landmarks, by models of another kind.
OTHER = SimpleNamespace(serving=lambda role: object(), video_aus=BUNDLE.video_aus, image_aus=BUNDLE.image_aus)
#: Stages that only constrained local models, or MTCNN, have a use for; and those of networks.
OF_OUR_KINDS = {"detection", "patch_experts", "fitting", "validation"}
OF_NETWORKS = {"face_network", "point_network"}
NETWORKS = BUNDLE.with_serving("locator", "retinaface", random_networks.retinaface()).with_serving(
    "landmarker", "pfld", LandmarkNetwork(random_networks.pfld(), BUNDLE.video_aus.pdm)
)


def test_landmark_models_are_the_face_and_then_its_parts():
    face = BUNDLE.serving("landmarker")
    assert landmark_models(BUNDLE) == [face.main, *(part.model for part in face.parts)]
    assert [id(pdm) for pdm in shape_models(BUNDLE)] == [id(model.pdm) for model in landmark_models(BUNDLE)]


def test_landmark_models_of_another_kind_leave_pose_to_the_shape_of_the_action_units():
    assert landmark_models(OTHER) == []
    (pdm,) = shape_models(OTHER)
    assert pdm is BUNDLE.video_aus.pdm


@pytest.mark.parametrize("name", stage_table())
def test_a_stage_is_built_from_as_many_models_as_its_row_says(name):
    spec = stage_table()[name]
    for models in spec.models(BUNDLE):
        assert len(models) <= len(spec.built_from)  # fitting's second one is the stage of patch experts
    assert bool(list(spec.models(BUNDLE))) == (name not in OF_NETWORKS)
    assert bool(list(spec.models(NETWORKS))) == (name not in OF_OUR_KINDS)
    assert bool(list(spec.models(OTHER))) == (name not in OF_OUR_KINDS | OF_NETWORKS)


def test_medians_alone_depend_on_the_calls_before():
    assert [name for name, spec in stage_table().items() if spec.stateful] == ["running_median"]


def test_a_frame_meets_the_stages_in_this_order():
    assert [*stage_table()] == [
        "grayscale", "detection", "face_network", "pdm", "point_network", "patch_experts", "fitting", "validation",
        "fit_shape", "alignment", "fhog", "geometry", "running_median", "action_units", "head_pose", "gaze",
    ]  # fmt: skip


def test_functions_are_called_themselves_and_objects_by_their_public_methods():
    table = stage_table()
    assert table["fhog"].is_function
    assert table["fhog"].methods == ()
    assert not table["head_pose"].is_function
    assert table["head_pose"].methods == ("pose", "landmarks_in_camera")
    assert table["running_median"].methods == ("step",)


def test_methods_that_are_private_are_none_of_a_stages():
    class Made:
        def __init__(self): ...
        def shown(self): ...
        def also_shown_(self): ...
        def _hidden(self): ...

    assert replace(stage_table()["head_pose"], contract=Made).methods == ("shown", "also_shown_")


def test_the_reference_builds_each_stage_in_the_working_precision():
    shape = reference_stages(FLOAT64).pdm(BUNDLE.video_aus.pdm)
    assert shape.numerics is FLOAT64
