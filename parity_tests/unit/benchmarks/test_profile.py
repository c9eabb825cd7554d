"""The profile adds up, finds a planted bottleneck, and its timeline shows every call."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import pytest

from auparity import cli
from auparity.accelerated import choices
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import Registry, Variant, registry
from auparity.benchmarks import profiler, stage_timer
from auparity.benchmarks.profiler import profile
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.numerics import FLOAT32
from auparity.reference.stages import reference_stages
from auparity.reports.results.records import Provenance, Results, Speed, StageSpeed
from auparity.reports.results.timeline import Bar, timeline

BUNDLE = Bundle.embedded(networks=False)
FRAMES = [picture.image for picture in render_clip(3_430_000, 7)]


PLANTED = 0.05  #: s that the planted variant takes, on the clock of these tests


@pytest.fixture(scope="module", autouse=True)
def _few_repeats():
    """Every other variant that is installed is timed once after its first call: no statement here is about noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiler, "TURNS", 1)
        patch.setattr(profiler, "KEPT_FRAMES", 2)
        yield


class Clock:
    """Time that passes in the planted variant only, and a little whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture(scope="module")
def found():
    """A profile with a slow variant of `geometry`, and a kept record of one that is not installed."""
    clock = Clock()

    def build(*parts):
        reference = reference_stages(FLOAT32).geometry(*parts)

        def run(*arguments):
            clock.now += PLANTED
            return reference(*arguments)

        return run

    made = Registry()
    for each in registry():
        made.add(each)
    made.add(Variant("geometry", "slow", build, rank=-1))
    made.add(Variant("geometry", "absent", build, requires=("no_such_package_at_all",), rank=-1))
    stages = [StageSpeed("geometry", "slow", 8.0, 1.0)]
    speed = Speed("clip", "a", {}, 1.0, 1.0, 1.0, [1.0], stages=stages)
    other = replace(speed, pipeline="b", stages=[StageSpeed("geometry", "absent", 2.0, 1.0)])
    where = Provenance("2026-11-20T00:00:00+0000", "", "", "", {})
    kept = [Results("benchmark", where, speeds=[speed, other])]
    with pytest.MonkeyPatch.context() as patch:
        for module in (profiler, choices):
            patch.setattr(module, "registry", lambda: made)
        for module in (profiler, stage_timer):
            patch.setattr(module, "time", clock)
        return profile(Pipeline.from_spec({"geometry": "slow"}, BUNDLE, default="best"), FRAMES, kept)


def test_a_planted_bottleneck_is_found_and_its_remedy(found):
    assert (found.bottleneck.stage, found.bottleneck.variant) == ("geometry", "slow")
    assert found.bottleneck.ms > 1000 * PLANTED
    assert sum(s.ms for s in found.stages) + found.between_ms == pytest.approx(found.frame_ms)
    assert found.bottleneck.bound == pytest.approx(found.frame_ms / (found.frame_ms - found.bottleneck.ms))
    best = found.alternatives[0]
    assert best.stage == "geometry"
    assert best.source == "measured"
    assert best.frame_ms == pytest.approx(found.frame_ms - found.bottleneck.ms, abs=2)
    assert "no_such_package_at_all" in found.not_tried["geometry absent"]
    assert len(found.timeline) == 3
    assert all({"fitting", "geometry"} <= {event.stage for event in frame} for frame in found.timeline)


def test_variants_that_are_not_installed_are_judged_by_records(found):
    option = next(o for o in found.alternatives if o.variant == "absent")
    assert option.source == "record of 2026-11-20"
    assert option.ms == pytest.approx(found.bottleneck.ms / 4)


def test_too_few_frames_are_refused():
    with pytest.raises(AuparityError, match="at least 5 frames"):
        profile(Pipeline.best(BUNDLE), FRAMES[:3])


def test_the_command_prints_the_stages_and_writes_the_timeline(tmp_path, capsys):
    clip = tmp_path / "clip"
    clip.mkdir()
    for k, image in enumerate(FRAMES):
        cv2.imwrite(str(clip / f"{k}.png"), image)
    picture = tmp_path / "deep" / "p.svg"
    assert cli.main(["profile", str(clip), "--models", "embedded", "--max-frames", "6", "-o", str(picture)]) == 0
    said = capsys.readouterr().out
    for word in ("patch_experts", "Bottleneck:", "times as fast", "clip, embedded"):
        assert word in said
    root = ET.fromstring(picture.read_text())
    space = {"s": "http://www.w3.org/2000/svg"}
    assert root.find("s:title", space).text == "clip: stages of 3 frames"
    assert "ms" in root.find("s:desc", space).text


def test_a_timeline_counts_calls_inside_others_once():
    frame = [Bar("fit", 0.0, 2.0, 0), Bar("maps", 0.5, 1.5, 1), Bar("<hog>", 2.0, 1.0, 0)]
    drawn = timeline([frame], "a & b")
    assert "fit 0.500 ms" in drawn
    assert "maps 1.500 ms" in drawn
    assert "&lt;hog&gt;" in drawn
    root = ET.fromstring(drawn)
    bars = [
        r
        for r in root.iter("{http://www.w3.org/2000/svg}rect")
        if r.find("{http://www.w3.org/2000/svg}title") is not None
    ]
    assert len(bars) == 3
    assert timeline([], "nothing").startswith("<svg")
