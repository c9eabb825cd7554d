"""The parity suite: hold variants against the golden, stage by stage and end to end, and against their baselines.

``python -m auparity.parity_tests.suite --technology numba`` (or ``--variant stage=name`` or ``--variant
package.module:factory``). Exit status: 0 all held, 1 something failed, 2 wrong usage, 5 nothing could run here.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.accelerated.hardware import hardware, hardware_id
from auparity.accelerated.pipeline import Choice, Pipeline, choose, choose_by_name, parts_of
from auparity.accelerated.registry import REFERENCE, Variant, registry
from auparity.errors import AuparityError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.parity_tests import clip_parity, drift, workloads
from auparity.parity_tests.drift import Figure
from auparity.parity_tests.stage_capture import capture
from auparity.parity_tests.stage_parity import check_stage

EXIT_GOOD, EXIT_FAILED, EXIT_NOTHING = 0, 1, 5


@dataclass
class Report:
    """What a run found."""

    figures: list[Figure] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  #: variant and why it could not run


def variants_of(technology: str) -> list[Variant]:
    """The registered variants of a technology; "cpu" is every one that runs on a processor and comes with auparity."""
    chosen = [
        variant
        for variant in registry()
        if variant.name != REFERENCE
        and (variant.name.split("-")[0] == technology or (technology == "cpu" and variant.rank >= 30))
    ]
    if not chosen:
        known = sorted({variant.name.split("-")[0] for variant in registry()} - {REFERENCE})
        raise AuparityError(f"no variants of {technology!r}; there are cpu, {', '.join(known)}")
    return chosen


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


def pipeline_of(bundle: Bundle, variants: list[Variant]) -> Pipeline:
    """A pipeline with these variants where they serve the bundle, golden in every other stage."""
    choices, parts = choose_by_name(bundle, {}), parts_of(bundle)
    for variant in variants:
        golden = choices[variant.stage].variant if choices[variant.stage].variant.name == REFERENCE else None
        if variant.precision != "float32" or golden is None:
            continue  # another class, or a faster one of the same stage is in already
        choice = choose(variant.stage, variant, parts[variant.stage], [golden], "under test")
        if isinstance(choice, Choice):
            choices[variant.stage] = choice
    return Pipeline(bundle, choices)


def run(variants: list[Variant], *, quick: bool, progress: bool = True) -> Report:
    """The whole suite on some variants."""
    report = Report()
    for variant in variants:
        why = variant.why_not()
        if why:
            report.skipped[f"{variant.stage} {variant.name}"] = why
    able = sorted((variant for variant in variants if not variant.why_not()), key=lambda variant: -variant.rank)
    if not able:
        return report
    for work in [workloads.embedded(quick=quick), *workloads.openface(quick=quick)]:
        _run_workload(report, work, able, _tell if progress else clip_parity.quiet)
    if progress:
        print(file=sys.stderr)
    return report


def _run_workload(report: Report, work: workloads.Workload, variants: list[Variant], tell: Any) -> None:
    tell(f"{work.name}: golden stages", 0, 1)
    taken = capture(work.bundle, work.clips, work.photographs)
    parts = parts_of(work.bundle)
    for variant in variants:
        whys = [variant.why_not_for(*each) for each in parts[variant.stage]]
        if all(whys):
            why = str(whys[0])
            report.skipped[f"{variant.stage} {variant.name} on {work.name}"] = why
            continue
        for record in check_stage(variant, taken):
            name = f"{work.name}/stage/{record.name}"
            report.figures.append(Figure(name, record.tolerance_needed, record.tolerance))
            report.texts.append(f"{work.name}: {record}")
    pipeline = pipeline_of(work.bundle, variants)
    under_test = [choice.variant.name for choice in pipeline.choices.values() if choice.variant.name != REFERENCE]
    if not under_test:
        return
    clip = clip_parity.prepare(work.name, work.bundle, work.chained, tell)
    label = "+".join(sorted(set(under_test)))
    for record in clip_parity.one_step(pipeline, clip):
        report.figures.append(
            Figure(f"{work.name}/one step/{label}: {record.name}", record.max_error, record.tolerance)
        )
        report.texts.append(str(record))
    comparison, judgements, _ = clip_parity.chained(pipeline, clip, tell)
    report.texts.append(f"{work.name} chained, {label}:\n{comparison}")
    for judgement in judgements:
        name = f"{work.name}/chained/{label}: {judgement.figure}"
        # Agreements (r, equal presences) count by their distance from 1, so that smaller is better everywhere.
        agreement = judgement.figure.startswith(("smallest r", "presence", "success"))
        error, limit = (1 - judgement.value, 1 - judgement.limit) if agreement else (judgement.value, judgement.limit)
        report.figures.append(Figure(name, error, limit))
        report.texts.append(f"{work.name}: {judgement}")


def _tell(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty() or done == total:
        print(f"\r{name}: {done} of {total} ".ljust(70), end="" if sys.stderr.isatty() else "\n", file=sys.stderr)


def as_dict(report: Report, arguments: dict[str, Any], verdicts: list[drift.Verdict]) -> dict[str, Any]:
    """For JSON: the figures with everything that they depend on."""
    return {
        "schema": 1,
        "machine": hardware().as_dict(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "asked": arguments,
        "embedded_bundle": Bundle.embedded().content_hash,
        "skipped": report.skipped,
        "figures": [
            {"name": v.figure.name, "error": v.figure.error, "tolerance": v.figure.tolerance, "problem": v.problem}
            for v in verdicts
        ],
        "texts": report.texts,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m auparity.parity_tests.suite", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--technology", metavar="NAME", help="all its variants; cpu for every one that a processor runs")
    what.add_argument("--variant", action="append", metavar="SPEC", help="stage=name or package.module:factory")
    parser.add_argument("--quick", action="store_true", help="fewer frames; two minutes instead of ten")
    parser.add_argument(
        "--update-baseline", action="store_true", help="accept what was measured, and show what changes"
    )
    parser.add_argument(
        "--baselines", type=Path, default=drift.BASELINES, metavar="DIR", help=f"default: {drift.BASELINES}"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON; a Markdown page is written beside it")
    chosen = parser.parse_args(arguments)
    try:
        return _main(chosen)
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def _main(chosen: argparse.Namespace) -> int:
    named = [variant for text in chosen.variant or () for variant in named_variant(text)]
    variants = named or variants_of(chosen.technology)
    report = run(variants, quick=chosen.quick)
    for variant, why in report.skipped.items():
        print(f"skipped {variant}: {why}")
    if not report.figures:
        print("nothing could run here")
        return EXIT_NOTHING
    prefix = f"{'quick' if chosen.quick else 'full'}/"
    figures = [Figure(prefix + f.name, f.error, f.tolerance) for f in report.figures]
    path = chosen.baselines / f"{hardware_id()}.json"
    known = drift.load(path)
    verdicts = drift.compare(figures, known)
    own = [v.name for v in figures]
    same = [name for name in known if any(f" {v.name}:" in name or f"/{v.name}:" in name for v in variants)]
    gone = sorted(name for name in same if name.startswith(prefix) and name not in own) if not chosen.variant else []
    page = drift.page(verdicts, gone, hardware_id())
    print("\n".join(report.texts))
    print()
    print(page, end="")
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        asked = {"variants": [f"{v.stage}={v.name}" for v in variants], "quick": chosen.quick}
        chosen.output.write_text(json.dumps(as_dict(report, asked, verdicts), indent=1) + "\n", encoding="utf-8")
        chosen.output.with_suffix(".md").write_text(page, encoding="utf-8")
    if chosen.update_baseline:
        kept = {name: entry for name, entry in known.items() if name not in gone}
        drift.save(path, kept | drift.updated(figures, {}, ""))
        print(f"{path}: {len(figures)} figures recorded")
        return EXIT_GOOD
    return EXIT_FAILED if gone or any(verdict.problem for verdict in verdicts) else EXIT_GOOD


if __name__ == "__main__":
    sys.exit(main())
