"""The parity suite's whole clips: pipelines of variants, and the pipeline that stays on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auparity.accelerated.choices import Choice, choose, choose_by_name, models_of
from auparity.accelerated.cupy.device import CudaDevice, Device
from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import EMULATED, REFERENCE, PrecisionClass, Variant
from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.arrays import ComparisonRecord
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.suite import clip_parity, device_parity, workloads
from auparity.parity_tests.suite.report import PIPELINE, Report, finite
from auparity.parity_tests.suite.series import clip_series
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.video_pipeline import VideoPipeline
from auparity.reports.results.records import MeasuredError

#: Classes of whole clips, and the classes of variants that may run together in each: the rounding of a device without
#: float64 is far below the platform floor.
CLIP_CLASSES: dict[str, tuple[PrecisionClass, ...]] = {
    "float32": ("float32", "float32-only", "float64"),
    "float16": ("float16",),
}
#: Names of the pipeline that stays on a device, and of the variants of its stages.
ON_DEVICE, DEVICE_STAGES = "gpu", "cupy"
#: The emulation takes seconds where a GPU takes milliseconds.
EMULATED_PHOTOGRAPHS, EMULATED_BATCHES, EMULATED_SEVERAL_FRAMES = 1, (1, 2, 5), 2
EMULATED_NETWORKS, EMULATED_NETWORK_FRAMES, EMULATED_NETWORK_BATCHES = 1, 2, (2,)


def pipeline_of(bundle: Bundle, variants: list[Variant], clip_class: str = "float32") -> Pipeline:
    """A pipeline with these variants of a class where they serve the bundle, reference in every other stage."""
    choices, parts = choose_by_name(bundle, {}), models_of(bundle)
    for variant in variants:
        reference = choices[variant.stage].variant if choices[variant.stage].variant.name == REFERENCE else None
        if variant.precision not in CLIP_CLASSES[clip_class] or reference is None or not parts[variant.stage]:
            continue  # another class, the stage already has a faster variant, or the bundle does not have it
        choice = choose(variant.stage, variant, parts[variant.stage], [reference], "under test")
        if isinstance(choice, Choice):
            choices[variant.stage] = choice
    return Pipeline.of_choices(bundle, choices)


def run_clips(
    report: Report, work: workloads.ParityWorkload, variants: list[Variant], device: Device | None, tell: Any
) -> None:
    """A whole clip for every class that has variants, and with a device for the pipeline that stays on it."""
    clip: clip_parity.Clip | None = None
    if device is not None:  # its pipeline is tested instead of its stages, which would copy every array both ways
        variants = [variant for variant in variants if variant.name.removesuffix(EMULATED) != DEVICE_STAGES]
    for clip_class in CLIP_CLASSES:
        pipeline = pipeline_of(work.bundle, variants, clip_class)
        under_test = {choice.variant.name for choice in pipeline.choices.values()} - {REFERENCE}
        if under_test:
            clip = clip or clip_parity.prepare(work.name, work.bundle, work.chained, tell)
            label = "+".join(sorted(under_test))
            _one_step(report, clip, clip_parity.one_step(pipeline.staged, clip, clip_class), label, clip_class)
            _chained(report, clip, pipeline, label, clip_class, tell)
    if device is not None:
        clip = clip or clip_parity.prepare(work.name, work.bundle, work.chained, tell)
        _on_device(report, work, clip, device, tell)


def _on_device(
    report: Report, work: workloads.ParityWorkload, clip: clip_parity.Clip, device: Device, tell: Any
) -> None:
    """One step, chained, images, several faces and batches of the pipeline that stays on a device."""
    emulated = not isinstance(device, CudaDevice)
    label = ON_DEVICE + (EMULATED if emulated else "")
    pipeline = DevicePipeline(work.bundle, device)
    _one_step(report, clip, device_parity.one_step(pipeline, clip), label, "float32")
    _chained(report, clip, pipeline, label, "float32", tell)
    images = work.photographs[: EMULATED_PHOTOGRAPHS if emulated else None]
    if images:
        tell(f"{work.name}: photographs, reference", 0, 1)
        reference, *perturbed_runs = (
            [ReferencePipeline(work.bundle, precision=precision).process_image(image) for image in images]
            for precision in ("float32", *clip_parity.PERTURBED)
        )
        for record in device_parity.photographs(pipeline, reference, perturbed_runs, images):
            _add(report, work.name, "photographs", label, record, record.name.split(" ", 1)[1])
    tell(f"{work.name}: several faces", 0, 1)
    count = EMULATED_SEVERAL_FRAMES if emulated else device_parity.SEVERAL_FRAMES
    two = device_parity.beside_mirror_images(clip.frames[:count])
    references = [ReferencePipeline(work.bundle, precision=p) for p in ("float32", *clip_parity.PERTURBED)]
    for record in device_parity.several_faces(pipeline, references, two):
        _add(report, work.name, "several faces", label, record, record.name.split(" ", 1)[1], record.name)
    if work.name == workloads.EMBEDDED:
        for options in device_parity.NETWORKS[: EMULATED_NETWORKS if emulated else None]:
            tell(f"{work.name}: {' '.join(options.values())}", 0, 1)
            shown = clip.frames[: EMULATED_NETWORK_FRAMES if emulated else device_parity.BATCH_FRAMES]
            together = EMULATED_NETWORK_BATCHES if emulated else device_parity.BATCHES
            for record in device_parity.networks(device, options, shown, together):
                _add(report, work.name, "networks", label, record, record.name.rsplit(" ", 1)[1], record.name)
    sizes = EMULATED_BATCHES if emulated else device_parity.BATCHES
    record = device_parity.batches(pipeline, clip.frames[: device_parity.BATCH_FRAMES], sizes)
    _add(report, work.name, "batch", label, record, record.name)


def _one_step(
    report: Report, clip: clip_parity.Clip, records: Sequence[ComparisonRecord], label: str, clip_class: str
) -> None:
    for record in records:
        figure = record.name.rsplit(" ", 1)[1]
        stated = tolerance("one_step", figure, clip_class)
        report.add(
            f"{clip.name}/one step/{label}: {record.name}",
            MeasuredError(
                clip.name, "one step", PIPELINE, label, figure, finite(record.max_error), finite(record.tolerance),
                stated.unit, stated.reason,
            ),
        )  # fmt: skip
        report.texts.append(str(record))


def _add(
    report: Report, work: str, way: str, label: str, record: ComparisonRecord, figure: str, name: str | None = None
) -> None:
    """A record as a figure, under a longer name where there are several of one tolerance."""
    stated, name = tolerance(way.replace(" ", "_"), figure), name or figure
    report.add(
        f"{work}/{way}/{label}: {name}",
        MeasuredError(
            work, way, PIPELINE, label, name, finite(record.tolerance_needed), finite(record.tolerance),
            stated.unit, stated.reason,
        ),
    )  # fmt: skip
    report.texts.append(f"{work}, {label}: {record}")


def _chained(
    report: Report, clip: clip_parity.Clip, pipeline: VideoPipeline, label: str, clip_class: str, tell: Any
) -> None:
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
            MeasuredError(
                clip.name, "chained", PIPELINE, label, judgement.figure, finite(error), finite(limit), unit,
                tolerance("chained", entry, clip_class).reason,
            ),
        )  # fmt: skip
        report.texts.append(f"{clip.name}: {judgement}")
