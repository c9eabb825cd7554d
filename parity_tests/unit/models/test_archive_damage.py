"""Archives that lie about what they hold: each ends in a `ModelFormatError`, within a bound on the memory."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from functools import cache
from typing import Any

import numpy as np
import pytest

from auparity.errors import ContractError, ModelFormatError
from auparity.models import archive, embedded
from auparity.models.bundle import Bundle, content_hash_of
from auparity.parity_tests.unit.helpers.factories import make_bundle

BOMB = 192 * 2**20
MEMORY = BOMB // 2


@cache
def intact() -> bytes:
    stream = io.BytesIO()
    bundle = make_bundle(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "save_bytes", lambda path, data: stream.write(data))
        archive.save(bundle, "b.zip")
    return stream.getvalue()


def members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(intact())) as whole:
        return {name: whole.read(name) for name in whole.namelist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as out:
        for name, data in content.items():
            out.writestr(name, data)
    return stream.getvalue()


def with_head(change: Any) -> bytes:
    """The archive with its structure changed in place by `change`."""
    content = members()
    head = json.loads(content[archive.STRUCTURE])
    change(head)
    content[archive.STRUCTURE] = json.dumps(head).encode()
    return packed(content)


def refused(tmp_path, data: bytes, match: str) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match=match):
        archive.load(path)


def refused_cheaply(tmp_path, data: bytes, match: str) -> None:
    """The same, with less memory than the bomb would take."""
    tracemalloc.start()
    try:
        refused(tmp_path, data, match)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def first_array(head: dict[str, Any]) -> list[Any]:
    """[type, shape, stored type, offset, exponent] of the weights of the detector's first convolution."""
    array: list[Any] = head["models"]["mtcnn"]["f"][0]["f"][0][0]["f"][0]["a"]
    return array


def test_the_embedded_bundle_is_the_known_one():
    bundle = archive.load(embedded.path())  # computes the content hash and compares it with the stored one
    assert bundle.content_hash == embedded.KNOWN_FILE[1] == Bundle.embedded(networks=False).content_hash
    assert Bundle.embedded(networks=False).content_hash == content_hash_of_bundle(bundle)


def content_hash_of_bundle(bundle: Bundle) -> str:
    fresh = Bundle(bundle.meta, bundle.models, bundle.serves)
    assert "content_hash" not in fresh.__dict__
    return fresh.content_hash


def test_the_known_hash_is_believed_for_that_very_file_only(tmp_path):
    data = packed({**members(), "f4.bin": bytes(len(members()["f4.bin"]))})
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(ModelFormatError, match="content hash"):
        archive.load(tmp_path / "b.zip", embedded.KNOWN_FILE)


def test_the_same_weights_under_another_description_keep_their_hash():
    bundle = Bundle.embedded(networks=False)
    other = bundle.with_meta(bundle.meta)
    assert other.__dict__["content_hash"] == bundle.content_hash
    assert len(content_hash_of(bundle.meta.name)) == 64


def test_other_weights_than_the_stored_hash_says_are_refused(tmp_path):
    content = members()
    numbers = bytearray(content["f8.bin"])
    numbers[0] ^= 1
    refused(tmp_path, packed({**content, "f8.bin": bytes(numbers)}), "content hash")


def test_a_structure_that_inflates_to_gigabytes_is_not_inflated(tmp_path):
    refused_cheaply(tmp_path, packed({archive.STRUCTURE: b" " * BOMB}, zipfile.ZIP_DEFLATED), "at most 8388608 bytes")


def test_weights_that_inflate_to_gigabytes_are_not_inflated(tmp_path):
    refused_cheaply(tmp_path, packed({**members(), "f2.bin": bytes(BOMB)}, zipfile.ZIP_DEFLATED), "inflate to 8 times")


def test_a_member_larger_than_it_says_is_not_inflated(tmp_path):
    data = bytearray(packed({**members(), "f2.bin": bytes(BOMB)}, zipfile.ZIP_DEFLATED))
    data = data.replace(struct.pack("<I", BOMB), struct.pack("<I", 1000))
    refused_cheaply(tmp_path, bytes(data), "f2.bin")


def test_many_references_to_one_array_share_its_memory(tmp_path):
    def repeat(head: dict[str, Any]) -> None:
        layers = head["models"]["mtcnn"]["f"][0]["f"][0]
        shape = members()["f4.bin"]
        layers[:] = [{"r": "PReLU", "f": [{"a": ["<f4", [len(shape) // 4], "<f4", 0, 0]}]}] * 5000

    refused_cheaply(tmp_path, with_head(repeat), "belong to one array each")


def test_arrays_that_overlap_are_refused(tmp_path):
    def overlap(head: dict[str, Any]) -> None:
        size = len(members()["f4.bin"]) // 4 - 5000
        entries = [{"r": "PReLU", "f": [{"a": ["<f4", [size], "<f4", start, 0]}]} for start in range(5000)]
        head["models"]["mtcnn"]["f"][0]["f"][0] = entries

    refused_cheaply(tmp_path, with_head(overlap), "belong to one array each")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_exotic_compression_is_refused(tmp_path, method):
    refused(tmp_path, packed(members(), method), "compression method")


def test_an_encrypted_member_is_refused(tmp_path):
    data = bytearray(intact())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    refused(tmp_path, bytes(data), "encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path):
    stream = io.BytesIO(intact())
    with zipfile.ZipFile(stream, "a") as out:
        out.writestr("f4.bin", b"")
    refused(tmp_path, stream.getvalue(), "two of one name")


def test_members_that_no_bundle_has_are_refused(tmp_path):
    refused(tmp_path, packed({**members(), "../x": b""}), r"\.\./x")
    refused(tmp_path, packed({"f4.bin": b""}), "a member bundle.json")
    refused(tmp_path, packed({**members(), "f8.bin": b"12345"}), "whole numbers of 8 bytes")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    broken = np.frombuffer(members()["f4.bin"], np.uint8).reshape(4, -1).T.copy().view("<f4").reshape(-1).copy()
    broken[3] = value
    refused(tmp_path, packed({**members(), "f4.bin": archive._shuffled(broken)}), "finite numbers")
    bundle = make_bundle(2)
    bundle.video_aus.models[0].weights[0] = value
    with pytest.raises(ContractError, match="finite numbers"):
        archive.save(bundle, tmp_path / "never.zip")
    assert not (tmp_path / "never.zip").exists()


def change_of(path: str, value: Any) -> Any:
    def change(head: dict[str, Any]) -> None:
        *inner, last = [int(key) if key.isdigit() else key for key in path.split(".")]
        node: Any = head
        for key in inner:
            node = node[key]
        node[last] = value

    return change


DETECTOR, FACE = "models.mtcnn.f.0.f.0.0", "models.clm"


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("auparity bundle", 3, "newer auparity"),
        ("auparity bundle", "1", "version 1"),
        ("auparity bundle", None, "version 1"),
        ("meta", {"name": "x"}, "name, version and licence"),
        ("meta", [], "an object"),
        ("meta.version", 3, "text"),
        ("content_hash", 5, "text"),
        ("models", {}, "names of models that are there"),
        ("serves", {}, "a model for each of locator"),
        ("serves.locator", "nobody", "names of models that are there"),
        ("models.mtcnn", None, "a model of a known kind"),
        ("models.mtcnn.r", "FaceModel", "FaceModel"),
        ("models.mtcnn.r", "Widget", "a model of a known kind"),
        ("models.mtcnn.f", [], "the 3 fields of a MTCNN"),
        (f"{DETECTOR}.r", "Widget", "Convolution or MaxPool"),
        (f"{DETECTOR}.r", {"a": 1}, "Convolution or MaxPool"),
        (f"{DETECTOR}.f.0", 5, r"mtcnn\.pnet\.layers\[0\]\.weights"),
        (f"{DETECTOR}.f.0.a", {}, "type, shape, stored type"),
        (f"{DETECTOR}.f.0.a.0", "<f8", "an array of float32"),
        (f"{DETECTOR}.f.0.a.0", "O", "types, sizes"),
        (f"{DETECTOR}.f.0.a.1", [3, -3, 3, 3], "sizes"),
        (f"{DETECTOR}.f.0.a.1", [2.5], "sizes"),
        (f"{DETECTOR}.f.0.a.1", [0, 2**62, 2**62, 2**62], "sizes"),
        (f"{DETECTOR}.f.0.a.1", [1] * 70, "sizes"),
        (f"{DETECTOR}.f.0.a.1", [54], "array of any x 3"),
        (f"{DETECTOR}.f.0.a.2", "<i4", "that <i4 can hold"),
        (f"{DETECTOR}.f.0.a.3", 10**12, "the end after"),
        (f"{DETECTOR}.f.0.a.3", True, "offset"),
        (f"{DETECTOR}.f.0.a.4", 3, "exponent 3"),
        (f"{FACE}.f.0", None, "text"),
        (f"{FACE}.f.3.f.1", [], "at least one view|1 x 3|0 x 3"),
        ("models.image_aus.f.0.0.f.0", "mood", "intensity.* or .*presence"),
        ("models.image_aus.f.0.0.f.5", {"x": "nan"}, "a finite number"),
        ("models.image_aus.f.0.0.f.5", {"x": "0x1p99999"}, "hexadecimal"),
        ("models.image_aus.f.0", [], "at least one model"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(tmp_path, path, value, match):
    refused(tmp_path, with_head(change_of(path, value)), match)


def test_deep_nesting_is_refused(tmp_path):
    refused(tmp_path, packed({**members(), archive.STRUCTURE: b"[" * 1_500_000}), "64 levels")
