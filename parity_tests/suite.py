"""The parity suite: hold variants against the golden, stage by stage and end to end, and against their baselines.

`auparity parity` is its command line; here it takes variants and gives a `Report`, judges that by the baselines, and
makes a result file of it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.accelerated.coreml.modes import INTERPRETED
from auparity.accelerated.hardware import hardware_id
from auparity.accelerated.pipeline import Choice, Pipeline, choose, choose_by_name, parts_of
from auparity.accelerated.registry import EMULATED, REFERENCE, PrecisionClass, Variant, registry
from auparity.errors import AuparityError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.parity_tests import clip_parity, drift, workloads
from auparity.parity_tests.drift import Figure
from auparity.parity_tests.series import clip_series
from auparity.parity_tests.stage_capture import capture
from auparity.parity_tests.stage_parity import check_stage
from auparity.parity_tests.tolerances import tolerance
from auparity.reports.records import Error, Provenance, Results, Series, Skipped
from auparity.reports.records import Workload as WorkloadRecord

PIPELINE = ""  # the stage of a figure that is of no single stage
#: Classes of whole clips, and the classes of variants that run together in one: what a device without float64 rounds
#: is far below the platform floor.
CLIP_CLASSES: dict[str, tuple[PrecisionClass, ...]] = {
    "float32": ("float32", "float32-only", "float64"),
    "float16": ("float16",),
}


@dataclass
class Report:
    """What a run found."""

    prefix: str  #: "quick/" or "full/": baselines of one are not those of the other
    figures: list[Figure] = field(default_factory=list)
    errors: list[Error] = field(default_factory=list)  #: the same figures with what they are of, in the same order
    texts: list[str] = field(default_factory=list)
    workloads: list[WorkloadRecord] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  #: variant and why it could not run

    def add(self, name: str, error: Error) -> None:
        """A figure under the name that its baseline has."""
        infinite = error.error is None
        tolerance = math.inf if error.tolerance is None else error.tolerance
        value = math.inf if infinite or error.error is None else error.error
        self.figures.append(Figure(self.prefix + name, value, tolerance))
        self.errors.append(error)


def variants_of(technology: str, *, emulated: bool = False) -> list[Variant]:
    """The registered variants of a technology ("onnx"), or of a variant's whole name ("onnx-openvino").

    "cpu" is every one that runs on a processor and comes with auparity, "cuda" and "mps" all on such a device.

    Those that interpret instead of computing (Core ML's) are there when they are asked for, and only they.
    """
    chosen = [
        variant
        for variant in registry()
        if variant.name != REFERENCE
        and variant.name.endswith(EMULATED) == emulated
        and (technology in (variant.name, variant.name.split("-")[0]) or _is_of_device(variant, technology))
    ]
    if not chosen:
        known = sorted({variant.name.split("-")[0] for variant in registry()} - {REFERENCE})
        raise AuparityError(f"no variants of {technology!r}; there are cpu, {', '.join(known)} (or a whole name)")
    return chosen


def _is_of_device(variant: Variant, device: str) -> bool:
    if device == "cpu":
        return variant.rank >= 30
    return device in ("cuda", "mps") and device in variant.devices


def named_variant(text: str) -> list[Variant]:
    """``stage=name`` of the registry, or ``package.module:factory``, which returns one `Variant` or several.

    Raises
    ------
    VariantUnavailable : there is no such variant, module or factory, or the factory returns something else.
    """
    if "=" in text:
        stage, name = text.split("=", 1)
        return [registry().get(stage, name)]
    module, _, factory = text.partition(":")
    try:
        made = getattr(import_module(module), factory or "variants")
    except (ImportError, AttributeError) as error:
        raise VariantUnavailable(f"--variant {text}: {error}. Write package.module:factory or stage=name.") from None
    made = made() if callable(made) else made
    found = [made] if isinstance(made, Variant) else list(made)
    if not found or not all(isinstance(variant, Variant) for variant in found):
        raise VariantUnavailable(f"--variant {text}: expected a Variant or several, found {made!r}")
    return found


def pipeline_of(bundle: Bundle, variants: list[Variant], clip_class: str = "float32") -> Pipeline:
    """A pipeline with these variants of a class where they serve the bundle, golden in every other stage."""
    choices, parts = choose_by_name(bundle, {}), parts_of(bundle)
    for variant in variants:
        golden = choices[variant.stage].variant if choices[variant.stage].variant.name == REFERENCE else None
        if variant.precision not in CLIP_CLASSES[clip_class] or golden is None:
            continue  # another class, or a faster one of the same stage is in already
        choice = choose(variant.stage, variant, parts[variant.stage], [golden], "under test")
        if isinstance(choice, Choice):
            choices[variant.stage] = choice
    return Pipeline(bundle, choices)


def run(
    variants: list[Variant],
    *,
    quick: bool,
    recordings: bool = True,
    stages_only: bool = False,
    progress: bool = True,
) -> Report:
    """The whole suite on some variants; `recordings` also on the recorded clips, where they are.

    `stages_only` leaves out what needs whole clips.
    """
    report = Report("quick/" if quick else "full/")
    for variant in variants:
        why = variant.why_not()
        if why:
            report.skipped[f"{variant.stage} {variant.name}"] = why
        elif variant.name.endswith(EMULATED):
            report.skipped[f"{variant.stage} {variant.name.removesuffix(EMULATED)}"] = INTERPRETED
    able = sorted((variant for variant in variants if not variant.why_not()), key=lambda variant: -variant.rank)
    if not able:
        return report
    works = [workloads.embedded(quick=quick), *(workloads.openface(quick=quick) if recordings else [])]
    for work in works:
        tell = _tell if progress else clip_parity.quiet
        _run_stages(report, work, able, tell)
        if not stages_only:
            _run_clips(report, work, able, tell)
    if progress:
        print(file=sys.stderr)
    return report


def _run_stages(report: Report, work: workloads.Workload, variants: list[Variant], tell: Any) -> None:
    tell(f"{work.name}: golden stages", 0, 1)
    taken = capture(work.bundle, work.clips, work.photographs)
    parts = parts_of(work.bundle)
    height, width = work.chained[0].shape[:2]
    report.workloads.append(
        WorkloadRecord(
            work.name, work.bundle.meta.name, work.bundle.content_hash, work.bundle.face.name, "stream",
            len(work.chained), width, height, "stages on golden inputs, one step and chained",
        )
    )  # fmt: skip
    for variant in variants:
        whys = [variant.why_not_for(*each) for each in parts[variant.stage]]
        if all(whys):
            why = str(whys[0])
            report.skipped[f"{variant.stage} {variant.name} on {work.name}"] = why
            continue
        for record in check_stage(variant, taken):
            figure = record.name.split(": ", 1)[1]
            stated = tolerance("stage", figure, variant.precision)
            report.add(
                f"{work.name}/stage/{record.name}",
                Error(
                    work.name, "stage", variant.stage, variant.name, figure, _finite(record.tolerance_needed),
                    _finite(record.tolerance), stated.unit, stated.reason,
                ),
            )  # fmt: skip
            report.texts.append(f"{work.name}: {record}")


def _run_clips(report: Report, work: workloads.Workload, variants: list[Variant], tell: Any) -> None:
    """A whole clip for every class that is there."""
    clip: clip_parity.Clip | None = None
    for clip_class in CLIP_CLASSES:
        pipeline = pipeline_of(work.bundle, variants, clip_class)
        under_test = {choice.variant.name for choice in pipeline.choices.values()} - {REFERENCE}
        if under_test:
            clip = clip or clip_parity.prepare(work.name, work.bundle, work.chained, tell)
            _run_clip(report, clip, pipeline, "+".join(sorted(under_test)), clip_class, tell)


def _run_clip(
    report: Report, clip: clip_parity.Clip, pipeline: Pipeline, label: str, clip_class: str, tell: Any
) -> None:
    for record in clip_parity.one_step(pipeline, clip, clip_class):
        figure = record.name.rsplit(" ", 1)[1]
        stated = tolerance("one_step", figure, clip_class)
        report.add(
            f"{clip.name}/one step/{label}: {record.name}",
            Error(
                clip.name, "one step", PIPELINE, label, figure, _finite(record.max_error), _finite(record.tolerance),
                stated.unit, stated.reason,
            ),
        )  # fmt: skip
        report.texts.append(str(record))
    comparison, judgements, run_of_variants = clip_parity.chained(pipeline, clip, tell, clip_class)
    report.series.append(clip_series(clip, label, run_of_variants))
    report.texts.append(f"{clip.name} chained, {label}:\n{comparison}")
    for judgement in judgements:
        # Agreements (r, equal presences) count by their distance from 1, so that smaller is better everywhere.
        agreement = judgement.figure.startswith(("smallest r", "presence", "success"))
        error, limit = (1 - judgement.value, 1 - judgement.limit) if agreement else (judgement.value, judgement.limit)
        unit = "1 - agreement" if agreement else "px" if "landmarks" in judgement.figure else "intensity"
        entry = "floor_factor" if clip_class == "float32" else judgement.figure.replace(" ", "_")
        report.add(
            f"{clip.name}/chained/{label}: {judgement.figure}",
            Error(
                clip.name, "chained", PIPELINE, label, judgement.figure, _finite(error), _finite(limit), unit,
                tolerance("chained", entry, clip_class).reason,
            ),
        )  # fmt: skip
        report.texts.append(f"{clip.name}: {judgement}")


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _tell(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\r{name}: {done} of {total} ".ljust(70), end="" if sys.stderr.isatty() else "\n", file=sys.stderr)


@dataclass(frozen=True)
class Judged:
    """A report against the baselines of this hardware."""

    report: Report
    verdicts: list[drift.Verdict]
    gone: list[str]  #: figures that have a baseline and were not measured
    file: Path  #: of the baselines
    known: dict[str, drift.Baseline]

    @property
    def passed(self) -> bool:
        """Every figure within tolerance and baseline, and none gone."""
        return not self.gone and not any(verdict.problem for verdict in self.verdicts)

    @property
    def page(self) -> str:
        """One page of Markdown: what failed, what is gone, what grew."""
        return drift.page(self.verdicts, self.gone, hardware_id())

    def update(self) -> None:
        """Accept what was measured as the baselines.

        Raises
        ------
        AuparityError : a figure is out of tolerance.
        """
        kept = {name: entry for name, entry in self.known.items() if name not in self.gone}
        drift.save(self.file, kept | drift.updated(self.report.figures, {}, ""))

    def results(self, provenance: Provenance) -> Results:
        """For a result file."""
        errors = []
        for error, verdict in zip(self.report.errors, self.verdicts, strict=True):
            known = verdict.baseline
            errors.append(
                replace(
                    error, baseline=None if known is None else known.error,
                    margin=None if known is None else known.margin, problem=verdict.problem,
                )
            )  # fmt: skip
        errors += [Error("", "baseline", "", "", name, None, None, problem="NO LONGER MEASURED") for name in self.gone]
        return Results(
            "parity", provenance, self.report.workloads, [], errors, self.report.series,
            [Skipped(what, why) for what, why in self.report.skipped.items()],
        )  # fmt: skip


def judge(report: Report, variants: list[Variant], baselines: Path, *, whole: bool) -> Judged:
    """A report against the baselines in a folder.

    Parameters
    ----------
    whole : the variants are all of a technology, so that baselines of theirs that were not measured are missed.
    """
    path = baselines / f"{hardware_id()}.json"
    known = drift.load(path)
    gone = _gone(report, variants, known) if whole else []
    return Judged(report, drift.compare(report.figures, known), gone, path, known)


def _gone(report: Report, variants: list[Variant], known: Mapping[str, drift.Baseline]) -> list[str]:
    """Baselines of these variants, and of pipelines of them, on the workloads of this run that it did not measure."""
    measured = {figure.name for figure in report.figures}
    ways = [f"/stage/{variant.stage} {variant.name}:" for variant in variants]
    pipelines = {(error.way, error.variant) for error in report.errors if error.stage == PIPELINE}
    ways += [f"/{way}/{label}:" for way, label in pipelines]
    places = [f"{report.prefix}{work.name}/" for work in report.workloads]  # recordings may be absent here
    return sorted(
        name
        for name in known
        if name not in measured and any(map(name.startswith, places)) and any(way in name for way in ways)
    )
