"""Which part of the gap to OpenFace is whose: a bundle with single parts exchanged for OpenFace's.

A change is a name of `CHANGES` or several joined by "+"; `changed` applies them in order. What is exchanged is weights;
the pipeline stays. If a figure rises where one part is OpenFace's, that part was missing; what stays low with all parts
but one is the fault of that one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.contents import face_model_in
from auparity.models.types import AUModel, AUPredictors, FaceModel, NetworkStart


class Change(NamedTuple):
    """One change."""

    what: str  #: in words, after "with"
    of: Callable[[Bundle, Bundle], Bundle]  #: of the bundle and OpenFace's


def _role(*roles: Any) -> Callable[[Bundle, Bundle], Bundle]:
    """Whole models are exchanged."""

    def of(bundle: Bundle, openface: Bundle) -> Bundle:
        return bundle.with_models(**{role: openface.serving(role) for role in roles})

    return of


def _part(change: Callable[[FaceModel, FaceModel], FaceModel]) -> Callable[[Bundle, Bundle], Bundle]:
    """Parts of the constrained local model are exchanged."""

    def of(bundle: Bundle, openface: Bundle) -> Bundle:
        landmarker = bundle.serving("landmarker")
        own = face_model_in(landmarker)
        if own is None:
            raise AuparityError(
                "shape, experts, parts and validator are parts of constrained local models, but landmarks come from "
                f"{bundle.landmarker_name}: exchange detector, landmarks or aus, or leave --landmarks out."
            )
        face = change(own, openface.face)
        started = isinstance(landmarker, NetworkStart)
        return bundle.with_models(landmarker=dataclasses.replace(landmarker, face=face) if started else face)

    return of


def _shape(own: FaceModel, other: FaceModel) -> FaceModel:
    return dataclasses.replace(own, main=dataclasses.replace(own.main, pdm=other.main.pdm))


def _experts(own: FaceModel, other: FaceModel) -> FaceModel:
    main = dataclasses.replace(
        own.main, experts=other.main.experts, early_termination=other.main.early_termination
    )  # fmt: skip
    return dataclasses.replace(own, name=other.name, main=main)  # the name decides the settings of the fit (spec 50.1)


def _only(half: Literal["appearance", "geometry"]) -> Callable[[Bundle, Bundle], Bundle]:
    """AU models that see one of their two descriptors: the weights of the other are 0."""

    def each(predictors: AUPredictors) -> AUPredictors:
        geometry = 3 * predictors.pdm.n_points + predictors.pdm.n_modes  # length of the descriptor, which comes last

        def reduced(model: AUModel) -> AUModel:
            weights = model.weights.copy()
            weights[-geometry:] *= half == "geometry"
            weights[:-geometry] *= half == "appearance"
            return dataclasses.replace(model, weights=weights)

        return dataclasses.replace(predictors, models=tuple(map(reduced, predictors.models)))

    def of(bundle: Bundle, openface: Bundle) -> Bundle:
        return bundle.with_models(video_aus=each(bundle.video_aus), image_aus=each(bundle.image_aus))

    return of


CHANGES = {
    "detector": Change("OpenFace's face detector (MTCNN)", _role("locator")),
    "landmarks": Change(
        "OpenFace's landmarks: shape model, patch experts, eyes, validator; the AU models stay", _role("landmarker")
    ),
    "shape": Change("OpenFace's shape model (PDM) of the 68 landmarks; that of the AU models stays", _part(_shape)),
    "experts": Change("OpenFace's patch experts and early termination", _part(_experts)),
    "parts": Change(
        "OpenFace's models of the eyes and the inner face",
        _part(lambda own, other: dataclasses.replace(own, parts=other.parts)),
    ),
    "validator": Change(
        "OpenFace's landmark validator",
        _part(lambda own, other: dataclasses.replace(own, validator=other.validator)),
    ),
    "aus": Change("OpenFace's AU models, with their shape model", _role("video_aus", "image_aus")),
    "appearance-only": Change("AU models whose weights of the geometry are 0", _only("appearance")),
    "geometry-only": Change("AU models whose weights of the appearance (FHOG) are 0", _only("geometry")),
}
#: What `--exchange all` means. The last two say what each half of the AU models makes of OpenFace's landmarks.
ALL = (
    "detector", "landmarks", "shape", "experts", "shape+experts", "parts", "validator", "aus", "landmarks+aus",
    "appearance-only", "geometry-only", "landmarks+appearance-only", "landmarks+geometry-only",
)  # fmt: skip


def changed(bundle: Bundle, text: str, openface: Bundle) -> Bundle:
    """The bundle with the changes that `text` names.

    Raises
    ------
    AuparityError : a name that is none, or a part that the bundle does not have.
    """
    for name in text.split("+"):
        if name not in CHANGES:
            raise AuparityError(f"--exchange {text}: there is no {name!r}; there are {', '.join(CHANGES)} and all.")
        bundle = CHANGES[name].of(bundle, openface)
    return bundle


def words_of(text: str) -> str:
    """The changes in words."""
    return "; ".join(CHANGES[name].what for name in text.split("+"))
