"""Result files: one JSON format for what benchmarks and parity runs measured, written by them and read by reports.

A file holds one run: where and when (`Provenance`), on what (`WorkloadRecord`), the speeds, the errors and their
tolerances, the series that charts are drawn from, and what was skipped and why. docs/formats.md describes every
field. Readers refuse files of a later version, and files with unknown fields, because those fields would be lost.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError, FileFormatError
from auparity.json_files import checked, load_json
from auparity.json_schema import quoted

FORMAT, VERSION = "auparity-results", 1
MAX_BYTES = 32 * 2**20  #: the series of a long run take a few million
ADVICE = "Make it again."


@dataclass(frozen=True)
class Provenance:
    """The origin of a run."""

    date: str  #: ISO 8601 with the zone
    command: str  #: the command line that repeats it, with placeholders for folders of this machine
    commit: str  #: of auparity; "" outside a repository, followed by "-dirty" if tracked files differ
    version: str  #: of auparity
    machine: dict[str, Any]  #: the fields of `auparity.accelerated.hardware.Hardware`
    sgemm_gflops: float | None = None  #: single-thread matrix product of this machine
    memory_gbs: float | None = None  #: single-thread copy


@dataclass(frozen=True)
class WorkloadRecord:
    """The workload on which a pipeline was run."""

    name: str
    bundle: str
    bundle_hash: str
    landmark_model: str
    kind: str  #: "stream", "streams" or "photographs"
    frames: int
    width: int
    height: int
    description: str = ""


@dataclass(frozen=True)
class StageSpeed:
    """One stage of a pipeline in a workload, means over steady frames."""

    stage: str
    variant: str
    ms: float  #: a frame, all calls
    calls: float  #: a frame
    golden_ms: float | None = None
    floor_ms: float | None = None  #: least time that this machine's arithmetic and memory allow, if known


@dataclass(frozen=True)
class Speed:
    """One pipeline on one workload; ms a frame (of images: an image)."""

    workload: str
    pipeline: str  #: "reference", "best", a spec, or "peer: NAME"
    variants: dict[str, str]  #: by stage; empty for peers
    ms_median: float
    ms_mean: float
    ms_p95: float
    repeats: list[float]  #: median of every interleaved pass
    golden_ratio: float | None = None  #: times as fast as the reference on the same frames, in the same process
    golden_ratios: list[float] = field(default_factory=list)  #: of every pass
    first_frame_ms: float | None = None
    peak_mib: float | None = None
    start_s: float | None = None  #: from nothing to the first result, in a fresh process with warm caches
    start_cpu_s: float | None = None  #: CPU time of all threads and child processes until then
    cpu_ms: float | None = None  #: the same of a further frame
    stages: list[StageSpeed] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class MeasuredError:
    """One measured error against its tolerance and, where there is one, its baseline."""

    workload: str
    way: str  #: "stage", "one step", "chained", "photographs", "several faces", "networks" or "batch"
    stage: str  #: "" for whole pipelines
    variant: str  #: or the pipeline
    figure: str
    error: float | None  #: None if it is not finite, which is a problem
    tolerance: float | None  #: None if any finite error passes (a share of values has its own figure)
    unit: str = ""
    reason: str = ""  #: why the tolerance is what it is
    baseline: float | None = None
    margin: float | None = None
    baseline_key: str = ""  #: key of the baseline; empty if baselines were not used
    problem: str = ""  #: empty when it passed


@dataclass(frozen=True)
class Series:
    """A candidate beside the reference over a clip, for pictures."""

    workload: str
    pipeline: str
    seconds: list[float]
    tracked: list[bool]  #: both have a face
    reference: dict[str, list[float]]  #: AU intensity by name
    candidate: dict[str, list[float]]
    face: list[list[float]]  #: mean landmarks (68, 2), px
    landmark_error: list[float]  #: mean distance from the reference of each landmark, px
    landmark_floor: list[float] = field(default_factory=list)  #: the same for the reference with other roundings
    au_floor: dict[str, float] = field(
        default_factory=dict
    )  #: mean AU difference of the reference with other roundings


@dataclass(frozen=True)
class Skipped:
    """Something that did not run, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Results:
    """One run."""

    kind: str  #: "parity" or "benchmark"
    provenance: Provenance
    workloads: list[WorkloadRecord] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    errors: list[MeasuredError] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """No error has a problem."""
        return not any(error.problem for error in self.errors)


def save(results: Results, path: Path) -> None:
    """Write atomically; sorted keys and one entry on each line, so that a diff is readable.

    Raises
    ------
    AuparityError : a number is NaN or infinite, which JSON cannot represent.
    """
    content = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(results)}
    _refuse_not_finite(content, "")
    lines = []
    for name in sorted(content):
        value = content[name]
        if isinstance(value, list) and value:
            entries = ",\n  ".join(json.dumps(entry, sort_keys=True, allow_nan=False) for entry in value)
            lines.append(f" {json.dumps(name)}: [\n  {entries}\n ]")
        else:
            lines.append(f" {json.dumps(name)}: {json.dumps(value, sort_keys=True, allow_nan=False)}")
    write_text_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load(path: Path) -> Results:
    """Read a result file.

    Raises
    ------
    FileFormatError : it is not a result file, of a later version, or damaged; says what to do.
    """
    content = load_json(path, "a result file", dict, advice=ADVICE, max_bytes=MAX_BYTES)
    if not is_results(content):
        raise FileFormatError(path, "format", f'a result file, "{FORMAT}"', quoted(content.get("format")))
    if content.get("version") != VERSION:
        found = f"version {quoted(content.get('version'))}"
        raise FileFormatError(
            path, "version", f"version {VERSION}", found, "Make it again, or install the auparity that wrote it."
        )
    fields = {name: value for name, value in content.items() if name not in ("format", "version")}
    return checked(fields, path, "a result file", Results, advice=ADVICE)


def is_results(content: Any) -> bool:
    """Whether decoded JSON is a result file of any version."""
    return isinstance(content, dict) and content.get("format") == FORMAT


def _refuse_not_finite(value: Any, at: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise AuparityError(f"result {at} is {value}; leave out what could not be measured and say so in `skipped`.")
    if isinstance(value, dict):
        for name, entry in value.items():
            _refuse_not_finite(entry, f"{at}.{name}")
    if isinstance(value, list | tuple):
        for k, entry in enumerate(value):
            _refuse_not_finite(entry, f"{at}[{k}]")
