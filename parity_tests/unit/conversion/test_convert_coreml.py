"""Core ML packages hold what the reference computes, which is found by running what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("coremltools")

from auparity import __version__, cli
from auparity.conversion.catalogue import About, items
from auparity.conversion.coreml import export as to_coreml
from auparity.conversion.export import export, inspect
from auparity.conversion.manifest import load
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle

BUNDLE = Bundle.embedded(networks=False)
#: One of every kind.
SOME = (
    "detection/pnet", "detection/rnet", "validation/view_0", "action_units/*", "patch_experts/main/scale_0.25/view_0",
    "patch_experts/main/scale_0.25/landmark_30", "patch_experts/left_eye_28/scale_1/view_0",
)  # fmt: skip
#: `auparity convert` of the models with the three networks of MTCNN.
WITH_MTCNN = ("--models", "embedded", "--detector", "mtcnn")


def run(folder: Path, **named):
    return export(BUNDLE, "coreml", folder, version=__version__, **named)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_every_kind_of_package_is_the_reference(tmp_path, precision):
    done = run(tmp_path, only=SOME, verify=True, precision=precision)
    assert done.passed
    assert len(done.written) == 8
    held = load(tmp_path)
    assert held.precision == precision
    for name, entry in held.entries.items():
        assert (tmp_path / name / "Manifest.json").is_file()
        assert entry.error <= entry.tolerance == to_coreml.TOLERANCE[precision]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_package_says_what_it_is(tmp_path):
    run(tmp_path, only=["validation/view_0"], precision="float16")
    found = inspect(tmp_path / "validation" / "view_0.mlpackage")
    assert found["metadata"]["bundle"] == BUNDLE.content_hash
    assert found["metadata"]["compute_units"] == "ALL"
    assert found["specification"] == 7  # macOS 13
    assert "float32 (1..1024, 1, 60, 60)" in found["inputs"].values()
    assert not found["unknown operators"]
    assert "as exported from bundle embedded" in found["manifest"]


def test_an_export_goes_on_and_keeps_to_its_precision(tmp_path):
    only = ["detection/?net"]
    assert len(run(tmp_path, only=["detection/rnet"]).written) == 1
    done = run(tmp_path, only=only, jobs=2)
    assert done.kept == ["detection/rnet.mlpackage"]
    assert len(done.written) == 2
    with pytest.raises(AuparityError, match="holds the coreml export \\(float32\\)"):
        run(tmp_path, only=only, precision="float16")
    with pytest.raises(AuparityError, match="holds the coreml export"):
        export(BUNDLE, "onnx", tmp_path, version=__version__)


def test_a_changed_or_damaged_package_is_noticed(tmp_path):
    only = ["detection/rnet"]
    run(tmp_path, only=only)
    package = tmp_path / "detection" / "rnet.mlpackage"
    (item,) = [item for item in items(BUNDLE) if item.name == "detection/rnet"]
    about = About(BUNDLE.content_hash, "", __version__, "float32")
    (blob,) = package.rglob("weight.bin")
    data = bytearray(blob.read_bytes())
    data[len(data) // 2 + 3] ^= 0x40  # an exponent's bit
    blob.write_bytes(data)
    error, tolerance = to_coreml.verify(item, package, about)
    assert error > tolerance
    assert "CHANGED" in inspect(package)["manifest"]
    with pytest.raises(AuparityError, match=f"is of bundle {BUNDLE.short_hash}, not of 000000000000"):
        to_coreml.verify(item, package, About("0" * 64, "", __version__, "float32"))
    blob.write_bytes(data[:-100])
    with pytest.raises(AuparityError, match="damaged"):
        to_coreml.verify(item, package, about)
    done = run(tmp_path, only=only, verify=True)
    assert done.passed
    assert done.written == ["detection/rnet.mlpackage"]


def test_the_command(tmp_path, capsys):
    arguments = ["convert", "--to", "coreml", "--precision", "float16", *WITH_MTCNN, "-o", str(tmp_path)]
    assert cli.main([*arguments, "--only", "detection/rnet", "--verify"]) == 0
    assert "as coreml (float16): 1 files written, 0 were there, all verified" in capsys.readouterr().out
    assert cli.main(["convert", "--inspect", str(tmp_path / "detection" / "rnet.mlpackage")]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "Core ML ML Program"
