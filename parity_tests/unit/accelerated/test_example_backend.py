"""A technology of your own: the package of docs/examples, found through its entry point and held to the reference."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from auparity.accelerated import registry as registries
from auparity.accelerated.pipeline import Pipeline
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.suite.stage_capture import capture
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reference import hypotheses

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "auparity-example-backend"
pytestmark = pytest.mark.skipif(not EXAMPLE.is_dir(), reason="not a checkout of the repository")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The example, as pip would install it beside auparity."""
    about = tmp_path / "auparity_example_backend-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: auparity-example-backend\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text("[auparity.variants]\nexample = auparity_example.variants\n")
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registries, "_shared", None)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "auparity_example"]:
        del sys.modules[name]


def test_it_is_found_passes_parity_and_is_taken_when_it_is_named(installed, monkeypatch):
    variant = registries.registry().get("geometry", "example")
    assert variant.provider == "auparity-example-backend"
    assert registries.registry().broken == {}
    monkeypatch.setattr(hypotheses, "MULTI_VIEW", hypotheses.FRONTAL)
    bundle = Bundle.embedded(networks=False)
    taken = capture(bundle, [[picture.image for picture in render_clip(3_470_000, 2, canvas=(200, 160))]], [])
    records = check_stage(variant, taken)
    assert records
    assert all(record.passed for record in records), "\n".join(map(str, records))
    assert Pipeline.best(bundle).variants["geometry"] != "example", "its rank is negative"
    assert Pipeline.from_spec({"geometry": "example"}, bundle).variants["geometry"] == "example"
