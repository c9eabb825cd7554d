"""A whole bundle in one compact file: a zip with ``bundle.json`` (names, structure) and one member of numbers a type.

Every array is stored in the narrowest of float16 with a power of two, float32 and its own type that holds all of its
values exactly, so reading gives the same content hash; an array that occurs more than once is stored once. Bytes of
equal significance are stored together (all high bytes, then all low ones), which halves the time to deflate them. The
same bundle always gives the same bytes.

Reading trusts nothing: sizes are bounded before anything is inflated, the structure is checked against the types of a
bundle (`archive_values`), the parts against each other (`consistency`), and the content hash against the stored one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError, FileFormatError, ModelFormatError
from auparity.json_files import parse_json
from auparity.json_schema import MismatchError, build, quoted
from auparity.models import types
from auparity.models.archive_values import STORED_TYPES, Numbers, ValueWriter, half_exponent, read_value
from auparity.models.consistency import CHECKS, check_bundle, load_kinds
from auparity.models.contents import DEFAULT_NAMES, BundleContents, Role
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.files import save as save_bytes
from auparity.models.types import BundleMeta

Array = npt.NDArray[Any]
T = TypeVar("T")
B = TypeVar("B", bound=BundleContents)

#: Version 1 had one model a role and no names: `parts` in place of `models` and `serves`. It is still read.
VERSION, OLDEST = 2, 1
STRUCTURE = "bundle.json"
MEMBERS = {kind: f"{kind[1:]}.bin" for kind in STORED_TYPES}
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip needs a date; always the same one
ADVICE = "Reinstall auparity, or fetch the file again."
#: Largest bytes of the structure (that of the embedded bundle has half a million), and of all members relative to the
#: file. Weights deflate to at least a third of their size; a bundle of zeros is not accepted.
MAX_STRUCTURE = 8 * 2**20
MAX_RATIO, MAX_EXTRA = 8, 16 * 2**20

#: The parts of a file of version 1: the role and the kind of each.
PARTS: dict[str, tuple[Role, type[Any]]] = {
    "detector": ("locator", types.MTCNN),
    "face": ("landmarker", types.FaceModel),
    "video_aus": ("video_aus", types.AUPredictors),
    "image_aus": ("image_aus", types.AUPredictors),
}
#: The structure. `models` are read against the kinds of models that are known, the kind of each stands in its record.
Head = TypedDict(
    "Head",
    {
        "auparity bundle": int, "meta": dict[str, str], "content_hash": str, "models": dict[str, Any],
        "serves": dict[str, str],
    },
)  # fmt: skip
FirstHead = TypedDict(
    "FirstHead", {"auparity bundle": int, "meta": dict[str, str], "content_hash": str, "parts": dict[str, Any]}
)


def to_half(values: Array) -> Array:
    """The nearest values that `half_exponent` and float16 can hold, in the array's own type."""
    exponent = half_exponent(values)
    return np.ldexp(np.ldexp(values, exponent).astype(np.float16).astype(values.dtype), -exponent)


def round_weights(bundle: B) -> B:
    """The bundle with the weights of networks, experts and AU models rounded to what float16 holds.

    Shape models, warps and other geometry keep their precision.
    """
    return bundle.map_models(rounded)


def rounded(part: T) -> T:
    """The same for one part of a bundle."""
    kinds = (types.CENPatch, types.CCNFPatch, types.ConvNet, types.AUModel)
    result: T = _map_records(part, kinds)
    return result


def _map_records(value: Any, kinds: tuple[type, ...], inside: bool = False) -> Any:
    if isinstance(value, np.ndarray):
        return to_half(value) if inside and value.dtype.kind == "f" and value.size > 1 else value
    if isinstance(value, tuple):
        return tuple(_map_records(member, kinds, inside) for member in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        within = inside or isinstance(value, kinds)
        changes = {f.name: _map_records(getattr(value, f.name), kinds, within) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changes)
    return value


def save(bundle: BundleContents, path: StrPath) -> None:
    """Write a bundle to one file, whole or not at all.

    Raises
    ------
    ContractError : its parts do not fit each other, or hold NaN or infinite weights.
    OSError : the file cannot be written.
    """
    writer = ValueWriter()
    try:
        check_bundle(bundle)
    except MismatchError as error:
        raise ContractError("archive.save", error.place, error.expected, error.found) from error
    models = {name: writer.describe(model) for name, model in bundle.models.items()}
    meta = {"name": bundle.meta.name, "version": bundle.meta.version, "licence": bundle.meta.licence}
    head: Head = {
        "auparity bundle": VERSION, "meta": meta, "content_hash": bundle.content_hash, "models": models,
        "serves": dict(bundle.serves),
    }  # fmt: skip
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        _put(archive, STRUCTURE, json.dumps(head, separators=(",", ":")).encode("ascii"))
        for kind, arrays in writer.buffers.items():
            if arrays:
                values = np.concatenate(arrays)
                if not np.isfinite(values).all():
                    raise ContractError("archive.save", "weights", "finite numbers", "NaN or infinite ones")
                _put(archive, MEMBERS[kind], _shuffled(values))
    save_bytes(Path(path), stream.getvalue())


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    archive.writestr(info, data, compresslevel=6)


def _shuffled(values: Array) -> bytes:
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.dtype.itemsize).T).tobytes()


def load(path: StrPath, known_file: tuple[str, str] | None = None) -> BundleContents:
    """Read a bundle that `save` wrote.

    Parameters
    ----------
    known_file : SHA-256 of a file, and the content hash of its bundle. For this file the content hash is not computed
        again, which would take longer than reading.

    Raises
    ------
    ModelFormatError : the file does not exist, is damaged, truncated, of a newer version or of another kind, or its
        bundle has another content than it states.
    """
    data = read_bytes(Path(path))
    try:
        members = _members(data)
        head = _head(members.get(STRUCTURE, b""), path)
        bundle = _bundle(head, {kind: _numbers(members.get(name, b""), kind) for kind, name in MEMBERS.items()}, path)
        check_bundle(bundle)
    except MismatchError as error:
        raise _damaged(path, error) from error
    known_sha256, known_hash = known_file or ("", "")
    if known_sha256 and hashlib.sha256(data).hexdigest() == known_sha256:
        bundle.trust_hash(known_hash)
    if bundle.content_hash != head["content_hash"]:
        found = f"one of {bundle.content_hash[:12]}"
        raise ModelFormatError(path, None, f"a bundle of content hash {head['content_hash'][:12]}", found, ADVICE)
    return bundle


def stored_hash(path: StrPath) -> str:
    """The content hash that the file states for its bundle.

    Raises
    ------
    ModelFormatError : as `load`.
    """
    try:
        return _head(_members(read_bytes(Path(path)), only=STRUCTURE).get(STRUCTURE, b""), path)["content_hash"]
    except MismatchError as error:
        raise _damaged(path, error) from error


def _damaged(path: StrPath, error: MismatchError) -> ModelFormatError:
    where = f" with {error.expected} at {error.place}" if error.place else f": {error.expected}"
    return ModelFormatError(path, None, f"a bundle written by auparity{where}", error.found, ADVICE)


def _members(data: bytes, only: str | None = None) -> dict[str, bytes]:
    """The content of each member, inflated within bounds; MismatchError where that is not possible."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:  # bytes from outside: `zipfile` promises no type of error
        raise MismatchError("", "a zip file", f"{type(error).__name__}: {error}") from error
    with archive:
        entries = archive.infolist()
        _check_entries(entries, len(data))
        return {entry.filename: _inflated(archive, entry) for entry in entries if only in (None, entry.filename)}


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Check that the members are those that `save` writes, and that their declared sizes are within bounds."""
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise MismatchError("", "every member once", "two of one name")
    unknown = sorted(set(names) - {STRUCTURE, *MEMBERS.values()})
    if unknown or STRUCTURE not in names:
        raise MismatchError("", f"a member {STRUCTURE} and numbers", f"{len(names)} members, {unknown[:3]}")
    for entry in entries:
        if entry.flag_bits & 1:
            raise MismatchError(entry.filename, "no encryption", "an encrypted member")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MismatchError(entry.filename, "a deflated member", f"compression method {entry.compress_type}")
        if entry.filename == STRUCTURE and entry.file_size > MAX_STRUCTURE:
            raise MismatchError(STRUCTURE, f"at most {MAX_STRUCTURE} bytes", f"{entry.file_size}")
    total = sum(entry.file_size for entry in entries)
    if total > MAX_RATIO * size + MAX_EXTRA:
        raise MismatchError("", f"members that inflate to {MAX_RATIO} times the file", f"{total} bytes from {size}")


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as stream:
            # With a size, at most that many bytes are inflated, whatever the member holds.
            content = stream.read(entry.file_size + 1)
    except Exception as error:  # as above
        raise MismatchError(entry.filename, "a whole member", f"{type(error).__name__}: {error}") from error
    if len(content) != entry.file_size:
        raise MismatchError(entry.filename, f"{entry.file_size} bytes", f"{len(content)}")
    return content


def _head(structure: bytes, path: StrPath) -> Head:
    try:
        content = parse_json(structure, STRUCTURE, "a structure", dict, max_bytes=MAX_STRUCTURE)
    except FileFormatError as error:
        raise MismatchError(f"{STRUCTURE} {error.place}".strip(), error.expected, error.found) from error
    version = content.get("auparity bundle")
    if isinstance(version, int) and version > VERSION:
        advice = "Use a newer auparity."
        raise ModelFormatError(path, None, f"a bundle of version {VERSION}", f"version {version}", advice)
    if version == OLDEST:
        return _renamed(build(FirstHead, content))
    if version != VERSION:
        raise MismatchError("", f"version {OLDEST} or {VERSION}", f"{version!r}"[:40])
    head: Head = build(Head, content)
    return head


def _renamed(first: FirstHead) -> Head:
    """The structure of a file of version 1 as one of today."""
    if first["parts"].keys() != PARTS.keys():
        raise MismatchError("parts", ", ".join(PARTS), ", ".join(sorted(first["parts"]))[:80])
    models = {}
    for part, (role, kind) in PARTS.items():
        described = first["parts"][part]
        stated = described.get("r", kind.__name__) if isinstance(described, dict) else None
        if stated != kind.__name__:
            raise MismatchError(part, f"a {kind.__name__}", quoted(stated))
        models[DEFAULT_NAMES[role]] = {"r": kind.__name__, **described}
    return {
        "auparity bundle": VERSION, "meta": first["meta"], "content_hash": first["content_hash"], "models": models,
        "serves": {role: DEFAULT_NAMES[role] for role, _ in PARTS.values()},
    }  # fmt: skip


def _kind(name: str, described: Any) -> type[Any]:
    """The kind of model that a record says it is; those of other packages are looked for when it is none of ours."""
    stated = described.get("r") if isinstance(described, dict) else described
    for look in (dict, load_kinds):
        look()
        kinds = {kind.__name__: kind for kind in CHECKS}
        if isinstance(stated, str) and stated in kinds:
            return kinds[stated]
    raise MismatchError(name, f"a model of a known kind ({', '.join(sorted(kinds))})", quoted(stated))


def _numbers(raw: bytes, kind: str) -> Array:
    """All numbers of one stored type; float16 as float32."""
    dtype = np.dtype(kind)
    if len(raw) % dtype.itemsize:
        raise MismatchError(MEMBERS[kind], f"whole numbers of {dtype.itemsize} bytes", f"{len(raw)} bytes")
    shuffled = np.frombuffer(raw, np.uint8)
    values = np.ascontiguousarray(shuffled.reshape(dtype.itemsize, -1).T).reshape(-1).view(dtype)
    if kind == "<f2":  # one conversion of everything is much quicker than one of every array
        values = values.astype(np.float32)
    if dtype.kind == "f" and values.size and not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise MismatchError(MEMBERS[kind], "finite numbers", "NaN or infinite ones")
    return values


def _bundle(head: Head, buffers: dict[str, Array], path: StrPath) -> BundleContents:
    meta = head["meta"]
    if meta.keys() != {"name", "version", "licence"}:
        raise MismatchError("meta", "name, version and licence", ", ".join(sorted(meta))[:80])
    numbers, models = Numbers(buffers), {}
    for name, described in head["models"].items():
        kind = _kind(name, described)
        try:
            models[name] = read_value(kind, described, numbers)
        except MismatchError as error:
            raise MismatchError(f"{name}.{error.place}", error.expected, error.found) from error
    source = {"format": "archive", "file": str(path)}
    try:
        return BundleContents(BundleMeta(**meta, source=source), models, head["serves"])
    except ContractError as error:
        raise MismatchError("serves", error.expected, error.got) from error
