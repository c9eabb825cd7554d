"""The tables of a results page besides parity: speed, stages, skipped parts, how to repeat, provenance.

`Results` in, HTML out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from auparity.reports.results.charts import speed_chart, stage_chart
from auparity.reports.results.figures import PEER, REFERENCE, golden_ratio, ordered_stages, peer_ratios
from auparity.reports.results.history import machine_name, run_label
from auparity.reports.results.records import Results, Speed
from auparity.reports.results.text import (
    TIMES,
    counted,
    fixed,
    listed,
    milliseconds,
    row,
    safe,
    share,
    short,
    table,
    times,
)

NONE = "–"
#: Keys of a machine with their own rows, and their titles; all others follow under their own names.
_MACHINE = {
    "id": "kind of hardware", "cpu": "processor", "cores": "cores used", "vectors": "vector instructions",
    "memory_gib": "memory, GiB", "system": "system", "gpus": "GPUs", "blas": "BLAS", "python": "Python",
    "threads": "thread limits", "packages": "versions",
}  # fmt: skip


def speed_section(results: Sequence[Results]) -> str:
    """Chart and table of every workload of every run."""
    parts = []
    for k, run in enumerate(results):
        for j, workload in enumerate(dict.fromkeys(speed.workload for speed in run.speeds)):
            speeds = [speed for speed in run.speeds if speed.workload == workload]
            parts.append(f"<h3>{safe(workload)}{_of(run, results)}</h3>")
            if chart := speed_chart(f"speed{k}-{j}", workload, speeds, run):
                parts.append(f'<div class="bars"><figure>{chart}</figure></div>')
            parts.append(_speed_table(f"{k + 1}.{j + 1}", speeds, run, workload))
    if not parts:
        return "<p>No speed was measured.</p>"
    about = (
        "<p>Milliseconds a frame (of images: an image) over steady frames. Frames a second are 1000 over the "
        "mean. Times reference: interleaved passes over the same frames in one process, in brackets the range over the "
        "passes; \N{ALMOST EQUAL TO} marks a ratio of medians of separate processes. Times a peer are ratios of "
        "medians. Start: from nothing to the first result, in a fresh process with warm caches.</p>"
    )
    return "\n".join([about, *parts])


def _speed_table(key: str, speeds: Sequence[Speed], run: Results, workload: str) -> str:
    rows = []
    for speed in speeds:
        ratio, paired = golden_ratio(speed, run)
        peers = [f"{times(value)} {safe(name)}" for name, value in peer_ratios(speed, run).items()]
        name = safe(speed.pipeline) + (f"<small>{safe(_variants(speed))}</small>" if speed.variants else "")
        rows.append(
            (
                name,
                [
                    milliseconds(speed.ms_median), milliseconds(speed.ms_mean), milliseconds(speed.ms_p95),
                    fixed(1000 / speed.ms_mean, 1) if speed.ms_mean > 0 else NONE,
                    f"{'' if paired or ratio is None else '≈'}{times(ratio)}{_range(speed.golden_ratios)}",
                    "<br>".join(peers) or NONE, milliseconds(speed.first_frame_ms), fixed(speed.start_s, 2),
                    fixed(speed.peak_mib, 0), _passes(speed.repeats), safe(speed.note) or NONE,
                ],
            )
        )  # fmt: skip
    heads = [
        "pipeline", "median, ms", "mean, ms", "p95, ms", "frames a second", "times reference", "times peers",
        "first frame, ms", "start, s", "peak memory, MiB", "medians of passes, ms", "note",
    ]  # fmt: skip
    kept = [k for k in range(len(heads) - 1) if any(cells[k] != NONE for _, cells in rows)]  # without empty columns
    heads = [heads[0], *(heads[k + 1] for k in kept)]
    lines = [row(name, [cells[k] for k in kept]) for name, cells in rows]
    label = f"Speed {key}: {workload}"
    return table(label, heads, lines, f"{safe(workload)}: {counted(len(speeds), 'pipeline')}", "speed")


def _variants(speed: Speed) -> str:
    """The variants of the stages; a variant of many stages is named once."""
    by_variant: dict[str, list[str]] = {}
    for stage in ordered_stages(speed.variants):
        by_variant.setdefault(speed.variants[stage], []).append(stage)
    if len(by_variant) == 1:
        return f"{next(iter(by_variant))} in every stage"
    most = max(by_variant, key=lambda name: len(by_variant[name]))
    others = [f"{name} in {listed(stages)}" for name, stages in by_variant.items() if name != most]
    return f"{most}; {'; '.join(others)}"


def _range(values: Iterable[float]) -> str:
    numbers = list(values)
    return f" ({times(min(numbers))} to {times(max(numbers))})" if len(numbers) > 1 else ""


def _passes(values: Sequence[float]) -> str:
    if not values:
        return NONE
    return f"{milliseconds(min(values))} to {milliseconds(max(values))} in {counted(len(values), 'pass', 'passes')}"


def stage_section(results: Sequence[Results]) -> str:
    """Chart and table of every pipeline with timed stages; the reference is in columns of the other tables."""
    parts = []
    for k, run in enumerate(results):
        for j, speed in enumerate(run.speeds):
            alone = not any(s.stages and s.pipeline != REFERENCE for s in run.speeds if s.workload == speed.workload)
            if speed.stages and not speed.pipeline.startswith(PEER) and (alone or speed.pipeline != REFERENCE):
                title = f"{safe(speed.pipeline)} on {safe(speed.workload)}{_of(run, results)}"
                chart = stage_chart(f"stage{k}-{j}", speed)
                parts.append(f'<h3>{title}</h3>\n<div class="beside"><figure>{chart}</figure>')
                parts.append(_stage_table(f"{k + 1}.{j + 1}", speed) + "</div>")
    if not parts:
        return "<p>No stages were timed.</p>"
    about = (
        "<p>Means over steady frames; a stage's time is its own, without the stages that it calls. Floor: the least "
        "that this machine's arithmetic and memory allow for the stage, if known.</p>"
    )
    return "\n".join([about, *parts])


def _stage_table(key: str, speed: Speed) -> str:
    by_name = {stage.stage: stage for stage in speed.stages}
    rows, total = [], sum(stage.ms for stage in speed.stages)
    whole = max(speed.ms_mean, total) or 1.0
    for name in ordered_stages(by_name):
        stage = by_name[name]
        reference = stage.golden_ms / stage.ms if stage.golden_ms is not None and stage.ms > 0 else None
        floor = stage.ms / stage.floor_ms if stage.floor_ms else None
        rows.append(
            row(
                f"{safe(stage.stage)}<small>{safe(stage.variant)}</small>",
                [
                    milliseconds(stage.ms), share(stage.ms / whole), fixed(stage.calls, 2),
                    milliseconds(stage.golden_ms), times(reference), milliseconds(stage.floor_ms),
                    NONE if floor is None else f"{times(floor)} the floor",
                ],
            )
        )  # fmt: skip
    rest = speed.ms_mean - total
    if rest > 0:
        rows.append(row("between the stages", [milliseconds(rest), share(rest / whole), *[NONE] * 5]))
    heads = [
        "stage",
        "ms a frame",
        "share",
        "calls a frame",
        "reference, ms",
        "times reference",
        "floor, ms",
        "distance",
    ]
    caption = f"{safe(speed.pipeline)} on {safe(speed.workload)}, {milliseconds(speed.ms_mean)} ms a frame in the mean"
    return table(f"Stages {key}: {speed.pipeline} on {speed.workload}", heads, rows, caption, "stages")


def skipped_section(results: Sequence[Results]) -> str:
    """What did not run, and why."""
    rows = [row(safe(entry.what), [safe(entry.why), safe(run_label(run))]) for run in results for entry in run.skipped]
    if not rows:
        return "<p>Nothing was skipped.</p>"
    return table("What was not run, and why", ["what", "why", "run"], rows, "What was not run has not passed.", "words")


def reproduce_section(results: Sequence[Results]) -> str:
    """The command of every run and which numbers come from it."""
    parts = []
    for run in results:
        gives = [
            counted(len(entries), one)
            for entries, one in (
                (run.errors, "parity figure"),
                (run.speeds, "speed"),
                (run.series, "clip beside the reference"),
            )
            if entries
        ]
        what = f"{listed(gives) or 'No numbers'} ({run.kind}, {run_label(run)}, {machine_name(run)})"
        command = run.provenance.command or "no command was recorded"
        parts.append(f'<p>{safe(what)}:</p>\n<pre tabindex="0"><code>{safe(command)}</code></pre>')
    return "\n".join(parts) or "<p>No run.</p>"


def provenance_section(results: Sequence[Results]) -> str:
    """Machines and versions, one column a run, and what the pipelines were run on."""
    if not results:
        return "<p>No run.</p>"
    keys = dict.fromkeys([*_MACHINE, *(key for run in results for key in run.provenance.machine)])
    facts: list[tuple[str, list[Any]]] = [
        ("kind of run", [run.kind for run in results]),
        ("date", [run.provenance.date for run in results]),
        ("commit", [run.provenance.commit for run in results]),
        ("auparity", [run.provenance.version for run in results]),
        *((_MACHINE.get(key, key), [run.provenance.machine.get(key) for run in results]) for key in keys),
        ("SGEMM, one thread, GFLOP/s", [_number(run.provenance.sgemm_gflops) for run in results]),
        ("memory copy, one thread, GB/s", [_number(run.provenance.memory_gbs) for run in results]),
    ]
    rows = [row(safe(name), [_fact(value) for value in values]) for name, values in facts if any(map(_known, values))]
    heads = ["", *(f"run {k + 1}" for k in range(len(results)))]
    runs = table("Machines and versions", ["what", *heads[1:]], rows, "Where the numbers come from", "words")
    return f"{runs}\n{_workloads(results)}"


def _workloads(results: Sequence[Results]) -> str:
    workloads = list(dict.fromkeys(work for run in results for work in run.workloads))
    if not workloads:
        return ""
    rows = [
        row(
            safe(work.name),
            [
                safe(work.kind), str(work.frames), f"{work.width} {TIMES} {work.height}", safe(work.bundle),
                f"<code>{safe(work.bundle_hash)}</code>", safe(work.landmark_model), safe(work.description) or NONE,
            ],
        )
        for work in workloads
    ]  # fmt: skip
    heads = ["workload", "kind", "frames", "size, px", "bundle", "bundle's hash", "landmark model", "description"]
    return table("Workloads", heads, rows, "What the pipelines were run on", "words")


def _known(value: Any) -> bool:
    return value is not None and value not in ("", NONE) and value not in ([], {}, ())


def _number(value: float | None) -> str:
    return short(value)


def _fact(value: Any) -> str:
    """A value of a machine's description, whatever JSON holds."""
    if not _known(value):
        return NONE
    if isinstance(value, dict):
        return "<br>".join(f"{safe(key)} {safe(entry)}" for key, entry in sorted(value.items()))
    if isinstance(value, list | tuple):
        return safe(", ".join(map(str, value)))
    return safe(short(value, 4) if isinstance(value, float) else value)


def _of(run: Results, results: Sequence[Results]) -> str:
    """Which run, where there are several."""
    return f" <small>{safe(machine_name(run))}, {safe(run_label(run))}</small>" if len(results) > 1 else ""
