"""The parity suite: compare variants with the reference, stage by stage and end to end, and with their baselines.

`auparity parity` is its command line; this module takes variants, returns a `Report`, judges it by the baselines, and
makes a result file of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.hardware import hardware_id
from auparity.accelerated.registry import EMULATED, REFERENCE, Variant, registry
from auparity.errors import AuparityError, VariantUnavailable
from auparity.parity_tests.compare import drift
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.suite import clip_parity, workloads
from auparity.parity_tests.suite.clips import ON_DEVICE, run_clips
from auparity.parity_tests.suite.report import PIPELINE, Report, finite
from auparity.parity_tests.suite.stage_capture import capture, capture_networks
from auparity.parity_tests.suite.stage_parity import check_stage
from auparity.reports.results.records import MeasuredError, Provenance, Results, Skipped, WorkloadRecord

#: Number of figures that the last line of a failed run names.
MOST_NAMED = 3


def variants_of(technology: str, *, emulated: bool = False) -> list[Variant]:
    """The registered variants of a technology ("onnx"), or of a variant's whole name ("onnx-openvino").

    "cpu" means every variant that runs on a processor and comes with auparity, "cuda" and "mps" every variant on such a
    device. Variants that are not installed are included, and the suite reports them as skipped.

    Emulated variants (of Core ML) are returned only if they are requested, and then without others.
    """
    chosen = [
        variant
        for variant in registry()
        if variant.name != REFERENCE
        and variant.name.endswith(EMULATED) == emulated
        and (technology in (variant.name, variant.name.split("-")[0]) or _is_of_device(variant, technology))
    ]
    if not chosen:
        technologies = sorted({variant.name.split("-")[0] for variant in registry()} - {REFERENCE})
        raise AuparityError(
            f"no variants of {technology!r}; there are cpu, {', '.join(technologies)} (or a whole name)"
        )
    return chosen


def _is_of_device(variant: Variant, device: str) -> bool:
    if device == "cpu":
        return device in variant.devices and variant.provider == "auparity"
    return device in ("cuda", "mps") and device in variant.devices


def device_for(technology: str | None) -> Device | None:
    """The GPU whose own pipeline belongs to a technology, if there is one."""
    if technology not in ("cuda", "cupy"):
        return None
    from auparity.accelerated.cupy.device import shared_device, unavailable_reason

    return None if unavailable_reason() else shared_device()


def emulated_cuda() -> tuple[list[Variant], Device]:
    """The CUDA kernels on the host: their variants, and a device for the whole pipeline.

    Raises
    ------
    VariantUnavailable : there is no compiler.
    """
    from auparity.parity_tests.cuda_on_host.host_device import HostDevice, unavailable_reason
    from auparity.parity_tests.cuda_on_host.variants import variants

    if why := unavailable_reason():
        raise VariantUnavailable(f"the CUDA kernels cannot be emulated: {why}")
    return variants(), HostDevice(both_orders=False)


def prove(report: Report, device: Device) -> bool:
    """Remember that a GPU passed, so that `Pipeline.best` uses it; False if it did not pass or is emulated."""
    from auparity.accelerated.cupy.device import CudaDevice
    from auparity.accelerated.cupy.proof import record

    whole = [error for error in report.errors if error.variant == ON_DEVICE]
    ways = {error.way for error in whole}
    held = all(e.error is not None and e.tolerance is not None and e.error <= e.tolerance for e in report.errors)
    if (
        not isinstance(device, CudaDevice)
        or not held
        or not {"one step", "chained", "several faces", "networks", "batch"} <= ways
    ):
        return False
    record(device)
    return True


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
    variants = [made] if isinstance(made, Variant) else list(made)
    if not variants or not all(isinstance(variant, Variant) for variant in variants):
        raise VariantUnavailable(f"--variant {text}: expected a Variant or several, found {made!r}")
    return variants


def run(
    variants: list[Variant],
    *,
    quick: bool,
    recordings: bool = True,
    stages_only: bool = False,
    device: Device | None = None,
    progress: bool = True,
) -> Report:
    """The whole suite on some variants; with `recordings` also on the recorded clips, if they are present.

    `stages_only` leaves out whole clips. With a `device`, the pipeline that stays on it is compared as well.
    """
    report = Report("quick/" if quick else "full/")
    for variant in variants:
        why = variant.unavailable_reason()
        if why:
            report.skipped[f"{variant.stage} {variant.name}"] = why
        elif variant.not_run:
            report.skipped[f"{variant.stage} {variant.name.removesuffix(EMULATED)}"] = variant.not_run
    able = sorted(
        (variant for variant in variants if not variant.unavailable_reason()), key=lambda variant: -variant.rank
    )
    if not able:
        return report
    of_networks = [variant.stage in workloads.NETWORK_STAGES for variant in able]
    works: list[workloads.ParityWorkload] = []
    if not all(of_networks):
        works += workloads.rendered(quick=quick)
        works += workloads.openface(quick=quick) if recordings else []
    if any(of_networks):
        works.append(workloads.networks())
    for work in works:
        tell = _tell if progress else clip_parity.quiet
        _run_stages(report, work, able, tell)
        if work.whole_clips and not stages_only:
            run_clips(report, work, able, device, tell)
    if progress:
        print(file=sys.stderr)
    return report


def _run_stages(report: Report, work: workloads.ParityWorkload, variants: list[Variant], tell: Any) -> None:
    tell(f"{work.name}: reference stages", 0, 1)
    if work.whole_clips:
        taken = capture(work.bundle, work.clips, work.photographs)
    else:
        taken = capture_networks(work.bundle, work.photographs)
    height, width = (work.chained or work.photographs)[0].shape[:2]
    ways = "stages on reference inputs, one step and chained" if work.whole_clips else "networks on images"
    report.workloads.append(
        WorkloadRecord(
            work.name, work.bundle.meta.name, work.bundle.content_hash, work.bundle.landmarker_name,
            "stream" if work.whole_clips else "photographs", len(work.chained or work.photographs), width, height, ways,
        )
    )  # fmt: skip
    for variant in variants:
        parts = {call.instance: call.parts for call in taken.calls.get(variant.stage, [])}
        whys = [variant.unavailable_reason(each[:1]) for each in parts.values()]
        if not whys:
            continue  # a stage that this bundle does not have
        if all(whys):
            report.skipped[f"{variant.stage} {variant.name} on {work.name}"] = str(whys[0])
            continue
        for record in check_stage(variant, taken):
            figure = record.name.split(": ", 1)[1]
            stated = tolerance("stage", figure, variant.precision)
            report.add(
                f"{work.name}/stage/{record.name}",
                MeasuredError(
                    work.name, "stage", variant.stage, variant.name, figure, finite(record.tolerance_needed),
                    finite(record.tolerance), stated.unit, stated.reason,
                ),
            )  # fmt: skip
            report.texts.append(f"{work.name}: {record}")


def _tell(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\r{name}: {done} of {total} ".ljust(70), end="" if sys.stderr.isatty() else "\n", file=sys.stderr)


@dataclass(frozen=True)
class Judged:
    """A report against the baselines of the keys of this machine."""

    report: Report
    verdicts: list[drift.DriftVerdict]
    missing: list[str]  #: figures that have a baseline of this key and were not measured
    folder: Path | None  #: of the baselines; None if the tolerances alone decide
    stored: dict[str, drift.Stored]  #: baselines by technology

    @property
    def passed(self) -> bool:
        """Whether every figure is within tolerance and baseline, and none is missing."""
        return not self.missing and not any(verdict.problem for verdict in self.verdicts)

    @property
    def page(self) -> str:
        """One page of Markdown: figures that failed, are missing, grew, or have no baseline."""
        return drift.page(self.verdicts, self.missing, hardware_id())

    @property
    def conclusion(self) -> str:
        """One line: passed, or the failed figures."""
        if self.passed:
            return f"PASSED: {len(self.verdicts)} figures hold"
        problems = [f"{verdict.figure.name} ({verdict.problem})" for verdict in self.verdicts if verdict.problem]
        problems += [f"{name} (no longer measured)" for name in self.missing]
        more = f" and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        return f"FAILED: {', '.join(problems[:MOST_NAMED])}{more}"

    def update(self) -> list[Path]:
        """Accept the measured errors as the baselines of their keys; returns the files.

        Raises
        ------
        AuparityError : a figure is out of tolerance.
        """
        assert self.folder is not None  # the command line refuses to update baselines that it does not read
        files = []
        for technology, stored in self.stored.items():
            figures = [figure for figure in self.report.figures if figure.technology == technology]
            missing = [name for name in self.missing if name in stored]
            files.append(drift.path_of(self.folder, technology))
            drift.save(files[-1], drift.updated(figures, stored, missing))
        return files

    def results(self, provenance: Provenance) -> Results:
        """The figures for a result file."""
        errors = []
        for error, verdict in zip(self.report.errors, self.verdicts, strict=True):
            baseline = verdict.baseline
            errors.append(
                replace(
                    error, baseline=None if baseline is None else baseline.error,
                    margin=None if baseline is None else baseline.margin, baseline_key=verdict.figure.key,
                    problem=verdict.problem,
                )
            )  # fmt: skip
        errors += [
            MeasuredError("", "baseline", "", "", name, None, None, problem="NO LONGER MEASURED")
            for name in self.missing
        ]
        return Results(
            "parity", provenance, self.report.workloads, [], errors, self.report.series,
            [Skipped(what, why) for what, why in self.report.skipped.items()],
        )  # fmt: skip


def judge(report: Report, variants: list[Variant], baselines: Path | None, *, whole: bool) -> Judged:
    """A report against the baselines in a folder.

    Parameters
    ----------
    baselines : None to judge by the tolerances alone.
    whole : the variants are all of a technology, so that figures with a baseline that were not measured are missing.
    """
    if baselines is None:
        figures = [replace(figure, key="") for figure in report.figures]
        return Judged(report, drift.compare(figures, {}), [], None, {})
    technologies = sorted({figure.technology for figure in report.figures})
    stored = {technology: drift.load(drift.path_of(baselines, technology)) for technology in technologies}
    every = {name: by_key for of_technology in stored.values() for name, by_key in of_technology.items()}
    missing = _missing_baselines(report, variants, every) if whole else []
    return Judged(report, drift.compare(report.figures, every), missing, baselines, stored)


def _missing_baselines(report: Report, variants: list[Variant], stored: drift.Stored) -> list[str]:
    """Figures with a baseline that this run did not measure: of these variants and pipelines of them, on the workloads
    and under the keys of this run."""
    measured = {figure.name for figure in report.figures}
    keys = {figure.key for figure in report.figures}
    ways = [f"/stage/{variant.stage} {variant.name}:" for variant in variants]
    pipelines = {(error.way, error.variant) for error in report.errors if error.stage == PIPELINE}
    ways += [f"/{way}/{label}:" for way, label in pipelines]
    places = [f"{report.prefix}{work.name}/" for work in report.workloads]  # recordings may be absent
    return sorted(
        name
        for name, by_key in stored.items()
        if name not in measured
        and not keys.isdisjoint(by_key)
        and any(map(name.startswith, places))
        and any(way in name for way in ways)
    )
