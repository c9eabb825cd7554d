"""The charts of pipelines on a results page: how fast each is, and where its time goes.

`Speed` in, `Drawing` out; see `svg` for the pieces. Names are above their bars, so that they may be long and the
drawing is readable on a telephone as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from auparity.reports.results.figures import PEER, REFERENCE, golden_ratio, ordered_stages
from auparity.reports.results.records import Results, Speed
from auparity.reports.results.svg import Drawing, Scale, Shape, box, linear, logarithmic, rule, text
from auparity.reports.results.text import TIMES, listed, milliseconds, short, times

WIDTH = 400
_LEFT, _RIGHT, _TOP, _ROW, _BAR, _FOOT = 6.0, 388.0, 6.0, 31.0, 10.0, 34
_LONGEST = 46


def ratio_bars(speeds: Sequence[Speed], run: Results) -> tuple[list[tuple[Speed, float, bool]], Scale] | None:
    """Pipelines with a ratio to the reference, fastest first, and a logarithmic scale about them; None without any."""
    ratios = [(speed, *golden_ratio(speed, run)) for speed in speeds]
    valid = [(s, r, paired) for s, r, paired in ratios if r is not None and math.isfinite(r) and r > 0]
    if not any(speed.pipeline != REFERENCE for speed, _, _ in valid):
        return None
    spread = [v for s, _, _ in valid for v in s.golden_ratios if v > 0 and math.isfinite(v)]
    values = [1.0, *(ratio for _, ratio, _ in valid), *spread]
    return sorted(valid, key=lambda entry: -entry[1]), logarithmic(min(values), max(values), _LEFT, _RIGHT)


def speed_chart(key: str, workload: str, speeds: Sequence[Speed], run: Results) -> Drawing | None:
    """Bars of times as fast as the reference, logarithmic, with the range over passes; None without a ratio."""
    bars_and_scale = ratio_bars(speeds, run)
    if bars_and_scale is None:
        return None
    bars, scale = bars_and_scale
    bottom = _TOP + _ROW * len(bars)
    parts = _ticks(
        scale, bottom, TIMES, f"times as fast as the reference on the same frames (log), 1{TIMES} = reference"
    )
    one = scale.at(1.0)
    for k, (speed, ratio, paired) in enumerate(bars):
        y, end = _TOP + _ROW * k, scale.at(ratio)
        style = (
            "bar reference" if speed.pipeline == REFERENCE else "bar peer" if speed.pipeline.startswith(PEER) else "bar"
        )
        label = f"{'' if paired else '≈'}{times(ratio)}  {milliseconds(speed.ms_median)} ms"
        parts += _named(y, speed.pipeline, label)
        parts.append(box(min(one, end) - 1, y + 16, abs(end - one) + 2, _BAR, style))
        some = [value for value in speed.golden_ratios if value > 0]
        if len(some) > 1:
            parts += _whisker(scale.at(min(some)), scale.at(max(some)), y + 16 + _BAR / 2)
    parts.append(rule(one, _TOP, one, bottom, "edge"))
    description_parts = listed(
        f"{speed.pipeline} {times(ratio)} at {milliseconds(speed.ms_median)} ms a frame" for speed, ratio, _ in bars
    )
    description = f"Bars on a logarithmic axis of times as fast as the reference, fastest first: {description_parts}."
    return Drawing(key, f"Speed of every pipeline on {workload}", description, (WIDTH, int(bottom) + _FOOT), parts)


def stage_chart(key: str, speed: Speed) -> Drawing:
    """Bars of ms a frame by stage, with a mark at the floor where one is known."""
    by_name = {stage.stage: stage for stage in speed.stages}
    stages = [by_name[name] for name in ordered_stages(by_name)]
    highest = max([1e-6, *(max(stage.ms, stage.floor_ms or 0.0) for stage in stages)])
    scale = linear(0.0, highest, _LEFT, _RIGHT)
    bottom = _TOP + _ROW * len(stages)
    floors = any(stage.floor_ms is not None for stage in stages)
    parts = _ticks(scale, bottom, "", f"ms a frame, all calls{'; mark: floor of this machine' if floors else ''}")
    for k, stage in enumerate(stages):
        y = _TOP + _ROW * k
        floor = "" if stage.floor_ms is None else f"  floor {milliseconds(stage.floor_ms)}"
        parts += _named(y, f"{stage.stage}, {stage.variant}", f"{milliseconds(stage.ms)} ms{floor}")
        parts.append(box(_LEFT, y + 16, scale.at(stage.ms) - _LEFT, _BAR, "bar"))
        if stage.floor_ms is not None:
            mark = scale.at(stage.floor_ms)
            parts.append(rule(mark, y + 13, mark, y + 19 + _BAR, "edge"))
    description_parts = listed(
        f"{stage.stage} {milliseconds(stage.ms)} ms"
        + ("" if stage.floor_ms is None else f" (floor {milliseconds(stage.floor_ms)} ms)")
        for stage in stages
    )
    title = f"Time of each stage of {speed.pipeline} on {speed.workload}"
    return Drawing(
        key, title, f"Bars of milliseconds a frame: {description_parts}.", (WIDTH, int(bottom) + _FOOT), parts
    )


def _ticks(scale: Scale, bottom: float, unit: str, title: str) -> list[Shape]:
    parts = []
    for tick in scale.ticks:
        place = scale.at(tick)
        anchor = "x" if scale.start + 12 < place < scale.end - 4 else "x end" if place > scale.start + 12 else ""
        parts += [rule(place, _TOP, place, bottom, "grid"), text(place, bottom + 13, f"{short(tick)}{unit}", anchor)]
    return [*parts, text((scale.start + scale.end) / 2, bottom + 28, title, "x")]


def _named(y: float, name: str, value: str) -> list[Shape]:
    name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return [text(_LEFT, y + 12, name, "name"), text(_RIGHT, y + 12, value, "y name")]


def _whisker(low: float, high: float, y: float) -> list[Shape]:
    lines = ((low, y, high, y), (low, y - 3, low, y + 3), (high, y - 3, high, y + 3))
    return [rule(*ends, "edge") for ends in lines]
