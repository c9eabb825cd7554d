"""What a clip is begun with: it checks itself, and keywords make the same."""

import pytest

from auparity.errors import ContractError
from auparity.reference.clip_options import ClipOptions, FacesOptions, options_of
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera

CAMERA = Camera(500, 500, 320, 240)


def test_keywords_make_the_object_of_their_kind():
    assert options_of() == ClipOptions()
    choice = FaceChoice("central")
    assert options_of(camera=CAMERA, online=True, face=choice) == ClipOptions(CAMERA, True, choice)
    assert options_of(faces=3) == FacesOptions(3, "static")
    assert options_of(faces="all", aus="calibrated", camera=CAMERA) == FacesOptions("all", "calibrated", CAMERA)
    assert FacesOptions().faces == 4  # OpenFace's program


@pytest.mark.parametrize(
    ("make", "given", "argument"),
    [
        (ClipOptions, {"camera": (500, 500)}, "camera"),
        (ClipOptions, {"face": "largest"}, "face"),
        (FacesOptions, {"camera": (500, 500)}, "camera"),
        (FacesOptions, {"faces": 0}, "faces"),
        (FacesOptions, {"faces": 1.5}, "faces"),
        (FacesOptions, {"aus": "dynamic"}, "aus"),
        (FacesOptions, {"aus": None}, "aus"),
        (options_of, {"aus": "static"}, "aus"),
        (options_of, {"faces": 2, "face": FaceChoice("largest")}, "face"),
    ],
)
def test_what_means_nothing_is_refused(make, given, argument):
    with pytest.raises(ContractError, match=f"'{argument}'"):
        make(**given)
