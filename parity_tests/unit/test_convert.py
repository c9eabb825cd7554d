"""Exports hold what the reference computes, go on where they stopped, and notice every change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from auparity import __version__, cli
from auparity.conversion import to_onnx
from auparity.conversion.catalogue import About, items
from auparity.conversion.export import export, inspect
from auparity.conversion.manifest import load
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle

BUNDLE = Bundle.embedded()
ABOUT = About(BUNDLE.content_hash, "", __version__, "float32")
SOME = (
    "detection/*", "validation/view_0", "action_units/*", "analysis/*", "patch_experts/*/scale_0.25/*",
    "patch_experts/*/*/view_0*",
)  # fmt: skip


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
    arguments = ["convert", "--to", "onnx", "--models", "embedded", "-o", str(tmp_path), "--verify"]
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
    with pytest.raises(AuparityError, match="no ONNX file"):
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
    with pytest.raises(AuparityError, match=r"no ONNX file that can be used here .*version"):
        inspect(path)


def test_the_command_writes_and_inspects(tmp_path, capsys):
    arguments = ["convert", "--to", "onnx", "--models", "embedded", "-o", str(tmp_path), "--only", "detection/onet"]
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
