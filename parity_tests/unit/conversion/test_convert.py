"""Exports hold what the reference computes, go on where they stopped, and notice every change."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from auparity import __version__, cli
from auparity.conversion.catalogue import About, items
from auparity.conversion.export import export, inspect
from auparity.conversion.manifest import load
from auparity.conversion.onnx import export as to_onnx
from auparity.conversion.onnx import graphs as onnx_graphs
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.types import CCNFPatch
from auparity.reference.patch_experts import PatchExpertBank, normalised_patches
from auparity.reference.pdm import ShapeModel

BUNDLE = Bundle.embedded(networks=False)
ABOUT = About(BUNDLE.content_hash, "", __version__, "float32")
SOME = (
    "detection/*", "validation/view_0", "action_units/*", "analysis/*", "patch_experts/*/scale_0.25/*",
    "patch_experts/*/*/view_0*",
)  # fmt: skip
#: `auparity convert` of the models with the three networks of MTCNN.
WITH_MTCNN = ("--models", "embedded", "--detector", "mtcnn")


def run(folder: Path, **named):
    return export(BUNDLE, "onnx", folder, version=__version__, **named)


def test_the_catalogue_has_one_expert_for_each_landmark_and_scale():
    found = list(items(BUNDLE))
    names = [item.name for item in found]
    assert len(names) == len(set(names))
    assert sum(item.kind == "expert" for item in found) == 272
    assert {item.stage for item in found} == {
        "detection", "patch_experts", "validation", "action_units", "fhog", "analysis",
    }  # fmt: skip
    kinds = {item.kind for item in found}
    assert kinds == {
        "network", "per_pixel_network", "grouped_experts", "expert", "grouped_neurons", "action_units",
        "fhog", "analysis",
    }  # fmt: skip


def test_every_kind_of_file_is_the_reference(tmp_path):
    done = run(tmp_path, only=SOME, verify=True)
    assert done.passed
    held = load(tmp_path)
    assert held.bundle_hash == BUNDLE.content_hash
    assert set(held.entries) == set(done.written)
    for name, entry in held.entries.items():
        assert (tmp_path / name).stat().st_size == entry.bytes
        assert entry.error <= entry.tolerance <= 1e-5
    assert not list(tmp_path.rglob("*.part"))


def test_two_stages_of_one_image_are_what_the_contract_says(tmp_path):
    run(tmp_path, only=["detection/pnet"])
    found = inspect(tmp_path / "detection" / "pnet.onnx")
    assert found["inputs"] == {"maps": ["N", 3, "H", "W"]}
    assert found["metadata"]["bundle"] == BUNDLE.content_hash
    assert found["metadata"]["stage"] == "detection"
    assert "R,G,B" in found["metadata"]["contract"]
    contracts = {item.name: item.contract for item in items(BUNDLE) if item.stage == "detection"}
    assert "(N, 3, H, W)" in contracts["detection/pnet"]
    assert "(N, 3, 24, 24)" in contracts["detection/rnet"]
    assert ["points" in contracts[f"detection/{name}"] for name in ("pnet", "rnet", "onet")] == [False, False, True]
    assert found["opset"] == 17
    assert "as exported from bundle embedded" in found["manifest"]


def test_an_export_goes_on_where_it_stopped(tmp_path):
    only = ["validation/view_*"]
    seen: list[str] = []

    def stop(name, done, total):
        seen.append(name)
        if done == 2:  # two are in the manifest
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, only=only, progress=stop)
    before = set(load(tmp_path).entries)
    assert len(before) == 2
    done = run(tmp_path, only=only)
    assert set(done.kept) == before
    assert set(done.written).isdisjoint(before)
    assert not run(tmp_path, only=only).written


def test_processes_write_what_one_process_writes(tmp_path):
    only = ["action_units/*", "patch_experts/main/scale_0.25/landmark_0*"]
    alone = run(tmp_path / "alone", only=only, verify=True)
    together = run(tmp_path / "together", only=only, verify=True, jobs=2)
    assert together.passed
    assert sorted(together.written) == sorted(alone.written)
    assert len(alone.written) == 12
    assert load(tmp_path / "together") == load(tmp_path / "alone")


def test_a_changed_file_is_noticed_and_written_again(tmp_path):
    only = ["action_units/video"]
    run(tmp_path, only=only)
    path = tmp_path / "action_units" / "video.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 + 6] ^= 0x40  # an exponent's bit of one of the weights
    path.write_bytes(data)
    assert "CHANGED" in inspect(path)["manifest"]
    (item,) = [item for item in items(BUNDLE) if item.name == "action_units/video"]
    error, tolerance = to_onnx.verify(item, path, ABOUT)
    assert error > tolerance, "one flipped bit"
    assert run(tmp_path, only=only, verify=True).written == ["action_units/video.onnx"]
    assert "verified" in inspect(path)["manifest"]


def test_what_fails_verification_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(to_onnx, "FLOAT32_TOLERANCE", 0.0)
    arguments = ["convert", "--to", "onnx", *WITH_MTCNN, "-o", str(tmp_path), "--verify"]
    assert cli.main([*arguments, "--only", "detection/rnet"]) == 1
    said = capsys.readouterr()
    assert "detection/rnet.onnx: differs from the reference by" in said.err
    assert "1 FAILED" in said.out


def test_damaged_foreign_and_unknown_things_are_refused(tmp_path):
    run(tmp_path, only=["detection/rnet"])
    path = tmp_path / "detection" / "rnet.onnx"
    path.write_bytes(path.read_bytes()[:200])
    (item,) = [item for item in items(BUNDLE) if item.name == "detection/rnet"]
    with pytest.raises(AuparityError, match="does not run"):
        to_onnx.verify(item, path, ABOUT)
    with pytest.raises(AuparityError, match="not an ONNX file"):
        inspect(path)
    run(tmp_path, only=["detection/rnet"])
    other = About("0" * 64, "", __version__, "float32")
    with pytest.raises(AuparityError, match=f"is of bundle {BUNDLE.short_hash}, not of 000000000000"):
        to_onnx.verify(item, path, other)
    with pytest.raises(AuparityError, match="does not exist"):
        inspect(tmp_path / "none.onnx")
    with pytest.raises(AuparityError, match="no format"):
        inspect(tmp_path / "manifest.json")
    with pytest.raises(AuparityError, match=r"holds the onnx export \(float32\) of bundle embedded"):
        export(BUNDLE.widen(), "onnx", tmp_path, version=__version__)
    with pytest.raises(AuparityError, match="nothing in bundle embedded is called detection/qnet"):
        run(tmp_path / "other", only=["detection/qnet"])
    with pytest.raises(AuparityError, match="no target 'abacus'"):
        export(BUNDLE, "abacus", tmp_path, version=__version__)
    with pytest.raises(AuparityError, match="onnx is written in float32, not in float16"):
        run(tmp_path / "other", precision="float16")
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "auparity-export"}))
    with pytest.raises(AuparityError, match="damaged"):
        run(tmp_path)


def test_a_newer_version_of_the_format_is_refused(tmp_path):
    import onnx

    run(tmp_path, only=["detection/rnet"])
    path = tmp_path / "detection" / "rnet.onnx"
    model = onnx.load(str(path))
    model.ir_version = 99
    path.write_bytes(model.SerializeToString())
    (item,) = [item for item in items(BUNDLE) if item.name == "detection/rnet"]
    with pytest.raises(AuparityError, match=r"does not run .*version"):
        to_onnx.verify(item, path, ABOUT)
    with pytest.raises(AuparityError, match=r"not an ONNX file that can be used here .*version"):
        inspect(path)


def test_the_command_writes_and_inspects(tmp_path, capsys):
    arguments = ["convert", "--to", "onnx", *WITH_MTCNN, "-o", str(tmp_path), "--only", "detection/onet"]
    assert cli.main([*arguments, "--verify"]) == 0
    assert "1 files written, 0 were there, all verified" in capsys.readouterr().out
    assert cli.main(["convert", "--inspect", str(tmp_path / "detection" / "onet.onnx")]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "ONNX"
    assert cli.main(["convert", "--to", "onnx"]) == 1
    assert "-o DIR" in capsys.readouterr().err


def test_examples_are_what_the_stage_gives_its_networks():
    rng = np.random.default_rng(0)
    for item in items(BUNDLE):
        if item.stage == "patch_experts":
            (patches,) = item.inputs(rng)
            np.testing.assert_allclose(np.linalg.norm(patches[..., 1:], axis=-1), 1, atol=1e-5)
            np.testing.assert_array_equal(patches[..., 0], 1)


@pytest.mark.parametrize("name", ["patch_experts/main/scale_0.25/view_3", "patch_experts/left_eye_28/scale_1/view_0"])
def test_the_checks_of_experts_are_the_maps_of_the_reference(name):
    """What a file is held to is what the reference stage gives for an area, at the places that its networks look at."""
    (item,) = [item for item in items(BUNDLE) if item.name == name]
    part, scale, view = name.split("/")[1:]
    model = {"main": BUNDLE.face.main, **{p.name: p.model for p in BUNDLE.face.parts}}[part]
    index = [f"scale_{experts.scale:g}" for experts in model.experts].index(scale)
    bank = PatchExpertBank(model, ShapeModel(model.pdm))
    patches = model.experts[index].patches[int(view[-1])]
    landmark, patch = next((k, p) for k, p in enumerate(patches) if p is item.model[0])
    area = np.random.default_rng(1).uniform(0, 255, (1, patch.height + 4, patch.width + 4)).astype(np.float32)
    (expected,) = bank.area_responses(area, np.array([landmark]), index, int(view[-1]))
    cut = normalised_patches(area, (patch.height, patch.width))[0].reshape(25, -1)
    found = item.reference(np.repeat(cut[None], len(item.model), axis=0))[0].reshape(5, 5)
    if part == "main":
        odd = np.add.outer(np.arange(5), np.arange(5)) % 2 == 1
        np.testing.assert_allclose(found[odd], expected[odd], atol=2e-6)
    else:  # the caller's Sigma and minimum
        smooth = (bank.experts_at(index).sigmas(int(view[-1]), 5)[landmark] @ found.ravel()).reshape(5, 5)
        np.testing.assert_allclose(smooth - min(smooth.min(), 0), expected, atol=2e-6)


def transposed(patch):
    """An expert as a builder gives it that takes the pixels of a patch row by row."""
    if isinstance(patch, CCNFPatch):
        return dataclasses.replace(patch, weights=patch.weights.transpose(0, 2, 1))
    first = patch.layers[0]
    pixels = (
        first.weights[:, 1:].reshape(-1, patch.width, patch.height).transpose(0, 2, 1).reshape(len(first.weights), -1)
    )
    weights = np.concatenate([first.weights[:, :1], pixels], axis=1)
    return dataclasses.replace(patch, layers=(dataclasses.replace(first, weights=weights), *patch.layers[1:]))


def undoubled(patch):
    """A CCNF expert whose alphas are taken as they are, a CEN expert that lacks its last bias."""
    if isinstance(patch, CCNFPatch):
        return dataclasses.replace(patch, alphas=patch.alphas / 2)
    last = patch.layers[-1]
    return dataclasses.replace(patch, layers=(*patch.layers[:-1], dataclasses.replace(last, bias=last.bias * 0)))


@pytest.mark.parametrize("error", [transposed, undoubled])
@pytest.mark.parametrize(
    ("builder", "name"),
    [
        ("grouped_experts", "patch_experts/main/scale_0.25/view_2"),
        ("expert", "patch_experts/main/scale_0.25/landmark_30"),
        ("expert", "patch_experts/main/scale_0.25/landmark_00"),
        ("expert", "patch_experts/main/scale_0.25/landmark_16"),
        ("grouped_neurons", "patch_experts/left_eye_28/scale_1/view_0"),
    ],
)
def test_verification_finds_an_error_of_the_builder(tmp_path, monkeypatch, builder, name, error):
    right = getattr(onnx_graphs, builder)

    def wrong(model, *rest):
        return right([error(patch) for patch in model] if isinstance(model, list) else error(model), *rest)

    assert run(tmp_path / "right", only=[name], verify=True).passed
    monkeypatch.setattr(onnx_graphs, builder, wrong)
    done = run(tmp_path / "wrong", only=[name], verify=True)
    assert not done.passed
    assert "differs from the reference" in done.wrong[f"{name}.onnx"]
