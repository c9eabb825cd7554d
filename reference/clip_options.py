"""What a clip is begun with: one object for a clip of one face, one for a clip of several, the same for every pipeline.

`start_video` takes the same as keywords; `options_of` makes one of the two of them. They check themselves, so that a
pipeline that gets one has nothing left to refuse but what it cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from auparity.errors import ContractError
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera, check_camera
from auparity.reference.many_faces import FACES, Faces, check_faces

#: Which AUs the faces of a clip of several people have.
AUMode = Literal["static", "calibrated"]
AU_MODES: tuple[AUMode, ...] = get_args(AUMode)


@dataclass(frozen=True)
class ClipOptions:
    """A clip of one face.

    Parameters
    ----------
    camera : None for OpenFace's guess from the first frame.
    online : a live camera; intensities are then corrected as they are shown (spec 60.8).
    face : which face is followed where there are several; None for the widest, as OpenFace does wherever it looks for a
        face.

    Raises
    ------
    ContractError : `camera` is no `Camera`, `face` no `FaceChoice`.
    """

    camera: Camera | None = None
    online: bool = False
    face: FaceChoice | None = None

    def __post_init__(self) -> None:
        check_camera("pipeline", self.camera)
        if self.face is not None and not isinstance(self.face, FaceChoice):
            raise ContractError("pipeline", "face", "a FaceChoice or None", repr(self.face))


@dataclass(frozen=True)
class FacesOptions:
    """A clip of several faces (spec 85).

    Parameters
    ----------
    faces : number of slots, each of which follows a face; "all" for as many as there are faces.
    aus : "static" (the default, as OpenFace has them) or "calibrated" for each stretch.
    camera, online : as of `ClipOptions`.

    Raises
    ------
    ContractError : `faces` is neither an integer of at least 1 nor "all"; `aus` is none of `AU_MODES`; `camera` is no
        `Camera`.
    """

    faces: Faces = FACES
    aus: AUMode = "static"
    camera: Camera | None = None
    online: bool = False

    def __post_init__(self) -> None:
        check_camera("pipeline", self.camera)
        object.__setattr__(self, "faces", check_faces(self.faces))
        if not (isinstance(self.aus, str) and self.aus in AU_MODES):
            raise ContractError("pipeline", "aus", f"one of {', '.join(AU_MODES)}", repr(self.aus))


def options_of(
    *, camera: Camera | None = None, online: bool = False, faces: Any = None, aus: Any = None, face: Any = None
) -> ClipOptions | FacesOptions:
    """The keywords of `start_video` as one object: `ClipOptions` where `faces` is None, else `FacesOptions`.

    Raises
    ------
    ContractError : as of these two; `aus` is given for a clip of one face, whose AUs are always calibrated, or `face`
        for a clip of several.
    """
    if faces is None:
        if aus is not None:
            raise ContractError("pipeline", "aus", "None where `faces` is None", repr(aus))
        return ClipOptions(camera, online, face)
    if face is not None:
        raise ContractError("pipeline", "face", "None where `faces` is given: all of these are followed", repr(face))
    return FacesOptions(faces, "static" if aus is None else aus, camera, online)
