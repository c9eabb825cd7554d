"""Bundles in one file: exact, compact, deterministic, and honest about damage."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from auparity.errors import ModelFormatError
from auparity.models import archive, embedded
from auparity.models.bundle import Bundle
from auparity.parity_tests.unit.helpers.factories import make_bundle


@pytest.mark.parametrize("kind", ["clnf", "ceclm"])
def test_a_bundle_comes_back_with_the_same_content(tmp_path, kind):
    bundle = make_bundle(3, kind)
    archive.save(bundle, tmp_path / "b.zip")
    back = archive.load(tmp_path / "b.zip")
    assert back.content_hash == bundle.content_hash == archive.stored_hash(tmp_path / "b.zip")
    assert (back.meta.name, back.meta.version, back.meta.licence) == (
        bundle.meta.name,
        bundle.meta.version,
        bundle.meta.licence,
    )
    assert not back.face.main.pdm.mean.flags.writeable


def test_more_than_one_model_for_a_role_comes_back_with_who_serves(tmp_path):
    bundle = make_bundle(3).with_serving("locator", "another", make_bundle(4).detector)
    archive.save(bundle, tmp_path / "b.zip")
    back = Bundle.from_archive(tmp_path / "b.zip")
    assert (dict(back.serves), set(back.models)) == (dict(bundle.serves), set(bundle.models))
    assert back.content_hash == bundle.content_hash


def as_version_1(path):
    """The file as the first version wrote it: one model a role, by the name of the role."""
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    head = json.loads(members[archive.STRUCTURE])
    models = head.pop("models")
    del head["serves"]
    head["parts"] = {"detector": models["mtcnn"], "face": models["clm"]}
    head |= {"auparity bundle": 1, "parts": head["parts"] | {k: models[k] for k in ("video_aus", "image_aus")}}
    members[archive.STRUCTURE] = json.dumps(head).encode()
    with zipfile.ZipFile(path, "w") as out:
        for name, data in members.items():
            out.writestr(name, data)
    return head


def test_a_file_of_the_first_version_is_the_same_bundle(tmp_path):
    bundle = make_bundle(3)
    archive.save(bundle, tmp_path / "b.zip")
    as_version_1(tmp_path / "b.zip")
    back = archive.load(tmp_path / "b.zip")
    assert back.content_hash == bundle.content_hash == archive.stored_hash(tmp_path / "b.zip")
    assert dict(back.serves) == dict(bundle.serves)


def test_the_embedded_file_is_of_the_second_version_and_loads():
    assert Bundle.embedded(networks=False).content_hash == embedded.KNOWN_FILE[1]
    with zipfile.ZipFile(embedded.path()) as whole:
        assert json.loads(whole.read(archive.STRUCTURE))["auparity bundle"] == 2


def test_the_same_bundle_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        archive.save(make_bundle(1), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rounded_weights_take_two_bytes_and_change_little(tmp_path):
    bundle = make_bundle(2, "ceclm")
    rounded = archive.round_weights(bundle)
    archive.save(bundle, tmp_path / "full")
    archive.save(rounded, tmp_path / "half")
    assert (tmp_path / "half").stat().st_size < 0.75 * (tmp_path / "full").stat().st_size
    np.testing.assert_array_equal(rounded.face.main.pdm.mean, bundle.face.main.pdm.mean)
    before, after = bundle.detector.rnet.layers[0].weights, rounded.detector.rnet.layers[0].weights
    assert np.abs(after - before).max() <= np.abs(before).max() * 2**-11
    assert archive.round_weights(rounded).content_hash == rounded.content_hash


def test_an_array_that_occurs_twice_is_stored_once(tmp_path):
    bundle = make_bundle(4)
    models = bundle.video_aus.models
    shared = tuple(dataclasses.replace(model, means=models[0].means) for model in models)
    same = bundle.with_models(video_aus=dataclasses.replace(bundle.video_aus, models=shared))
    archive.save(bundle, tmp_path / "each")
    archive.save(same, tmp_path / "shared")
    assert (tmp_path / "shared").stat().st_size < (tmp_path / "each").stat().st_size


@given(arrays.arrays(np.float32, 9, elements=st.floats(-(2.0**90), 2.0**90, width=32)))
def test_rounding_is_relative_to_the_largest_value(values):
    rounded = archive.to_half(values)
    assert np.abs(rounded - values).max() <= np.abs(values).max() * 2**-11
    np.testing.assert_array_equal(archive.to_half(rounded), rounded)


def test_damage_is_named(tmp_path):
    path = tmp_path / "b.zip"
    archive.save(make_bundle(5), path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"PK\x03\x04", whole[:3000] + b"\0" * 64 + whole[3064:]):
        path.write_bytes(damaged)
        with pytest.raises(ModelFormatError, match="bundle written by auparity"):
            archive.load(path)
    with pytest.raises(ModelFormatError):
        archive.load(tmp_path / "nothing")


def test_one_changed_byte_anywhere_is_noticed(tmp_path):
    path = tmp_path / "b.zip"
    archive.save(make_bundle(6), path)
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    expected = archive.load(path).content_hash
    for place in rng.integers(0, len(whole), 60):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(changed)
        try:
            assert archive.load(path).content_hash == expected, "a byte that means nothing (a date, a flag)"
        except ModelFormatError:
            continue


def test_a_newer_file_asks_for_a_newer_auparity(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "VERSION", 9)
    archive.save(make_bundle(0), tmp_path / "new")
    monkeypatch.undo()
    with pytest.raises(ModelFormatError, match="newer auparity"):
        archive.load(tmp_path / "new")


def test_a_file_is_a_source_like_any_other(tmp_path):
    from auparity.models.sources import open_bundle

    bundle = make_bundle(7)
    archive.save(bundle, tmp_path / "mine.zip")
    opened = open_bundle(tmp_path / "mine.zip")
    assert opened.content_hash == bundle.content_hash
    assert opened.meta.source["landmark_model"] == bundle.face.name
    bundle.to_openface(tmp_path / "folder")
    assert isinstance(open_bundle(tmp_path / "folder"), Bundle)
