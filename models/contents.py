"""What a bundle holds: models by name, and which of them serves which role (design 4). Frozen dataclasses of read-only
arrays, with a content hash that goes into every result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar, get_args

import numpy as np

from auparity.errors import ContractError
from auparity.models.types import (
    MTCNN,
    AUPredictors,
    BundleMeta,
    FaceModel,
    LandmarkNetwork,
    NetworkStart,
    PointNetwork,
)

T = TypeVar("T")

#: What a pipeline needs a model for: to find faces, to find and follow their landmarks, and to tell the action units of
#: videos and of single images.
Role = Literal["locator", "landmarker", "video_aus", "image_aus"]
ROLES: tuple[Role, ...] = get_args(Role)
#: Names that models have where nobody gave them others.
DEFAULT_NAMES: dict[str, str] = {
    "locator": "mtcnn", "landmarker": "clm", "video_aus": "video_aus", "image_aus": "image_aus",
}  # fmt: skip
#: What roles are called in the content hash: the names of the fields that bundles had when each role had one model.
HASHED_AS: dict[str, str] = {
    "locator": "detector", "landmarker": "face", "video_aus": "video_aus", "image_aus": "image_aus",
}  # fmt: skip
SHORT_HASH = 12  # hexadecimal digits: enough to tell the bundles of any one study apart


@dataclasses.dataclass(frozen=True, eq=False)
class BundleContents:
    """Models and what each of them serves as.

    Parameters
    ----------
    meta : name, version, licence and source.
    models : frozen dataclasses of arrays by name; more than one may suit a role (two face detectors).
    serves : for each role the name of the model that serves it.

    Raises
    ------
    ContractError : a role that no model serves, or one that is not there.
    """

    meta: BundleMeta
    models: Mapping[str, Any]
    serves: Mapping[str, str]

    def __repr__(self) -> str:
        served = ", ".join(f"{role} {name}" for role, name in self.serves.items())
        return f"<{type(self).__name__} {self.meta.name} {self.meta.version} ({self.meta.licence}): {served}>"

    def __post_init__(self) -> None:
        if set(self.serves) != set(ROLES):
            raise ContractError("bundle", "serves", f"a model for each of {', '.join(ROLES)}", f"{dict(self.serves)}")
        missing = sorted(set(self.serves.values()) - set(self.models))
        if missing:
            known = ", ".join(sorted(self.models))
            raise ContractError("bundle", "serves", f"names of models that are there ({known})", ", ".join(missing))
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))
        object.__setattr__(self, "serves", MappingProxyType({role: self.serves[role] for role in ROLES}))

    @classmethod
    def of(cls, meta: BundleMeta, **models: Any) -> Self:
        """A bundle with one model a role: ``of(meta, locator=..., landmarker=..., video_aus=..., image_aus=...)``."""
        by_name = {DEFAULT_NAMES[role]: models[role] for role in ROLES}
        return cls(meta, by_name, DEFAULT_NAMES)

    def serving(self, role: Role) -> Any:
        """The model of a role."""
        return self.models[self.serves[role]]

    @property
    def detector(self) -> MTCNN:
        """The MTCNN that finds faces; ContractError where another kind of model does."""
        return self._of_kind("locator", MTCNN)

    @property
    def face(self) -> FaceModel:
        """The constrained local model that finds landmarks; ContractError where another kind of model does."""
        own = face_model_in(self.serving("landmarker"))
        return self._of_kind("landmarker", FaceModel) if own is None else own

    @property
    def landmarker_name(self) -> str:
        """What the model that finds landmarks calls itself; a network has the name that it has in the bundle."""
        own = face_model_in(self.serving("landmarker"))
        return self.serves["landmarker"] if own is None else own.name

    @property
    def video_aus(self) -> AUPredictors:
        """The action unit models for videos."""
        return self._of_kind("video_aus", AUPredictors)

    @property
    def image_aus(self) -> AUPredictors:
        """The action unit models for single images."""
        return self._of_kind("image_aus", AUPredictors)

    def _of_kind(self, role: Role, kind: type[T]) -> T:
        model = self.serving(role)
        if not isinstance(model, kind):
            found = f"{self.serves[role]!r}, a {type(model).__name__}"
            raise ContractError("bundle", role, f"a model of kind {kind.__name__}", found)
        return model

    def with_models(self, **models: Any) -> Self:
        """The same bundle with other models in some roles, e.g. ``with_models(landmarker=model)``, which keep their
        names."""
        unknown = sorted(set(models) - set(ROLES))
        if unknown:
            raise ContractError("bundle", "models", f"roles among {', '.join(ROLES)}", ", ".join(unknown))
        changed = {self.serves[role]: model for role, model in models.items()}
        return dataclasses.replace(self, models={**self.models, **changed})

    def with_serving(self, role: Role, name: str, model: Any = None) -> Self:
        """The same bundle with a role served by another of its models, or by one that is added under a new name."""
        models = self.models if model is None else {**self.models, name: model}
        return dataclasses.replace(self, models=models, serves={**self.serves, role: name})

    def map_models(self, change: Callable[[Any], Any]) -> Self:
        """The same bundle with every model changed."""
        return dataclasses.replace(self, models={name: change(model) for name, model in self.models.items()})

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) over names, types, shapes and values of everything but `meta`."""
        digest = hashlib.sha256()
        for role in ROLES:
            _digest(digest.update, HASHED_AS[role])
            _digest(digest.update, self.serving(role))
        for name in sorted(set(self.models) - set(self.serves.values())):
            _digest(digest.update, f"also {name}")
            _digest(digest.update, self.models[name])
        return digest.hexdigest()

    @property
    def short_hash(self) -> str:
        return self.content_hash[:SHORT_HASH]

    def with_meta(self, meta: BundleMeta) -> Self:
        """The same weights under another description. A content hash that is known already is kept."""
        other = dataclasses.replace(self, meta=meta)
        if "content_hash" in self.__dict__:
            other.trust_hash(self.content_hash)
        return other

    def trust_hash(self, content_hash: str) -> None:
        """Take a content hash that was verified elsewhere in place of computing it, which takes a fifth of a second."""
        self.__dict__["content_hash"] = content_hash  # where `cached_property` keeps it

    def __reduce__(self) -> tuple[Any, ...]:
        """Read-only mappings cannot be pickled; processes get plain ones."""
        known = self.__dict__.get("content_hash")
        return _unpickled, (type(self), self.meta, dict(self.models), dict(self.serves), known)


def _unpickled(kind: type[T], meta: BundleMeta, models: Any, serves: Any, content_hash: str | None) -> T:
    made: Any = kind(meta, models, serves)  # type: ignore[call-arg]
    if content_hash is not None:
        made.trust_hash(content_hash)
    return made


def face_model_in(landmarker: Any) -> FaceModel | None:
    """The constrained local model in what serves as landmarker; None where there is none."""
    if isinstance(landmarker, NetworkStart):
        return landmarker.face
    return landmarker if isinstance(landmarker, FaceModel) else None


def point_network_in(landmarker: Any) -> PointNetwork | None:
    """The network of points in what serves as landmarker; None where there is none."""
    return landmarker.network if isinstance(landmarker, LandmarkNetwork | NetworkStart) else None


def content_hash_of(*values: Any) -> str:
    """SHA-256 (64 hexadecimal digits) over parts of a bundle, or anything else of their types."""
    digest = hashlib.sha256()
    _digest(digest.update, values)
    return digest.hexdigest()


def _digest(update: Any, value: Any) -> None:
    """Feed a value to a hash so that two different values never feed the same bytes."""
    if isinstance(value, np.ndarray):
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        update(f"array {little.dtype.str} {value.shape};".encode("ascii"))
        update(little.data.cast("B") if little.size else b"")
    elif dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        update(f"record {type(value).__name__} {len(fields)};".encode("ascii"))
        for item in fields:
            _digest(update, item.name)
            _digest(update, getattr(value, item.name))
    elif isinstance(value, tuple):
        update(f"tuple {len(value)};".encode("ascii"))
        for member in value:
            _digest(update, member)
    elif isinstance(value, str):
        text = value.encode("utf-8")
        update(f"text {len(text)};".encode("ascii") + text)
    elif isinstance(value, bool | int | np.integer | np.bool_):
        update(f"integer {int(value)};".encode("ascii"))
    elif isinstance(value, float | np.floating):
        # One NaN for all: an empty CCNF record has no confidence, and NaNs differ in bits that mean nothing.
        update(b"real " + (b"nan" if math.isnan(value) else struct.pack("<d", value)) + b";")
    elif value is None:
        update(b"none;")
    else:
        raise TypeError(f"a bundle holds a {type(value).__name__}, for which no hash is defined")
