"""``auparity doctor``: what this machine has, which variants can run, why others cannot, and which are chosen."""

from __future__ import annotations

import argparse
import json
import warnings
from typing import TYPE_CHECKING, Any

from auparity.cli.pipeline_options import add_model_options, open_chosen
from auparity.errors import AuparityError, AuparityWarning

if TYPE_CHECKING:
    from auparity.accelerated.advice import Advice
    from auparity.accelerated.choices import Choice
    from auparity.accelerated.hardware import Hardware
    from auparity.accelerated.registry import Registry
    from auparity.extraction.engines.choose import EngineTable
    from auparity.models.bundle import Bundle

_DESCRIPTION = """\
Show what this machine has (processor, vector instructions, BLAS, threads, GPUs, versions), where compiled kernels are
kept, which variants of each stage can run here on a bundle and why the others cannot, which ones `Pipeline.best()`
chooses, what to install for this machine, and which engines can carry many inputs. Include the output of
`auparity doctor --json` when you report a problem."""


def add_parser(subparsers: Any) -> None:
    """Add ``doctor`` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this machine has and which variants run on it",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="for programs and bug reports")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity doctor``; returns the exit code."""
    from auparity.accelerated.advice import advise
    from auparity.accelerated.choices import choose_best, slow_installation
    from auparity.accelerated.hardware import hardware
    from auparity.accelerated.registry import registry
    from auparity.extraction.engines.choose import engine_table
    from auparity.models.networks.chosen import description_of

    kept, engines = _kept(), engine_table()
    (bundle, problem), variants = _bundle(arguments), registry()
    machine, chosen = hardware(), choose_best(bundle)
    advice, slow = advise(machine, _by_name(_states(bundle, variants))), slow_installation(chosen)
    if arguments.json:
        report = _as_dict(machine, bundle, variants, chosen, advice)
        report["engines"] = {"known": {spec.name: spec.help for spec in engines}, "broken": engines.broken}
        print(json.dumps(report | {"kept": kept, "slow": slow, "problem": problem}, indent=1, sort_keys=True))
    else:
        rows = _rows(
            kept | description_of(bundle) | ({"models": problem} if problem else {}) | ({"speed": slow} if slow else {})
        )
        parts = (
            [*_machine_lines(machine), *rows],
            _advice_lines(advice),
            _variant_lines(bundle, variants, chosen),
            _engine_lines(engines),
        )
        print("\n\n".join("\n".join(lines) for lines in parts))
    return 1 if problem else 0


def _kept() -> dict[str, str]:
    """Where kernels, models and results are kept on this machine, and why there."""
    from auparity.cache import cache_root, kernels_folder
    from auparity.cache_upkeep import MEBIBYTE, folders, kept, size_of
    from auparity.models.networks.store import NETWORKS, installed
    from auparity.models.store import installed_openface, place

    networks = [f"{network.title} {path}" for name, network in NETWORKS.items() if (path := installed(name))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AuparityWarning)  # these lines say the same
        root, kernels = cache_root(), kernels_folder()
        size = sum(entry.size for folder in folders().values() for entry in kept(folder)) / MEBIBYTE
    return {
        "cache": f"{root}; {size:.1f} MiB, `auparity cache list` shows what it holds",
        "kernels": f"{kernels}; {size_of(kept(kernels))}" if kernels else "compiled at every start",
        "OpenFace": str(installed_openface() or f"no models in {place()}"),
        "networks": "; ".join(networks) or "none in the store; those of the embedded models only (docs/networks.md)",
    }


def _bundle(arguments: argparse.Namespace) -> tuple[Bundle, str | None]:
    """The requested bundle; if none was requested and the one found is damaged, the embedded one and the reason."""
    from auparity.models.bundle import Bundle

    try:
        return open_chosen(arguments), None
    except AuparityError as error:
        asked = (arguments.models, arguments.detector, arguments.landmarks, arguments.start)
        if any(value is not None for value in asked):
            raise
        return Bundle.embedded(), f"the embedded models, because {error}"


def _machine_lines(machine: Hardware) -> list[str]:
    memory = "unknown" if machine.memory_gib is None else f"{machine.memory_gib} GiB"
    threads = ", ".join(f"{name}={value}" for name, value in machine.threads.items()) or "not limited"
    rows = {
        "machine": machine.id,
        "system": f"{machine.system}, {machine.python}",
        "processor": f"{machine.cpu}, {machine.cores} cores usable, {machine.vectors}",
        "memory": memory,
        "BLAS": f"{machine.blas}, threads {threads}; auparity computes with one",
        "loaded": "; ".join(machine.blas_loaded) or "no BLAS that says what it is",
        "GPUs": ", ".join(machine.gpus) or "none found",
        "packages": ", ".join(f"{name} {version}" for name, version in machine.packages.items()),
    }
    return _rows(rows)


def _rows(rows: dict[str, str]) -> list[str]:
    return [f"{name:<10} {value}" for name, value in rows.items()]


def _advice_lines(advice: Advice) -> list[str]:
    first, *others = advice.lines()
    return [f"{'advice':<10} {first}", *(f"{'':<10} {line}" for line in others)]


def _by_name(states: dict[str, dict[str, str | None]]) -> dict[str, str | None]:
    """Variants by name: None for one that can run in some stage."""
    names = dict.fromkeys(name for stage in states.values() for name in stage)
    return {name: _none_of([stage[name] for stage in states.values() if name in stage]) for name in names}


def _states(bundle: Bundle, variants: Registry) -> dict[str, dict[str, str | None]]:
    """Why a variant cannot run, by stage and variant; None if it can run on some model of the bundle."""
    from auparity.accelerated.choices import models_of
    from auparity.accelerated.registry import STAGES

    parts = models_of(bundle)
    return {
        stage: {
            name: _none_of(
                [variant.unavailable_reason(each) for each in parts[stage]] or [variant.unavailable_reason()]
            )
            for name, variant in variants.of_stage(stage).items()
        }
        for stage in STAGES
    }


def _none_of(whys: list[str | None]) -> str | None:
    return whys[0] if all(whys) else None


def _variant_lines(bundle: Bundle, variants: Registry, chosen: dict[str, Choice]) -> list[str]:
    from auparity.accelerated.pipeline import gpu_not_chosen

    left_alone = gpu_not_chosen()
    gpu = f"left alone: {left_alone}" if left_alone else "what Pipeline.best() chooses, all of it (docs/gpu.md)"
    lines = [
        f"GPU pipeline {gpu}", "",
        f"variants on bundle {bundle.meta.name} {bundle.short_hash} (* = Pipeline.best()'s choice on the processor)",
    ]  # fmt: skip
    missing: dict[tuple[str, str], list[str]] = {}  # stages by variant and reason, listed below
    for stage, states in _states(bundle, variants).items():
        can = [f"{name}{'*' if name == chosen[stage].variant.name else ''}" for name, why in states.items() if not why]
        lines.append(f"  {stage:<15} {'  '.join(can)}")
        for name, why in states.items():
            if why:
                missing.setdefault((name, why), []).append(stage)
    if missing:
        lines += ["", "variants that cannot run here"]
        lines += [f"  {name:<15} {why} ({', '.join(stages)})" for (name, why), stages in missing.items()]
    lines += [f"  package {name} could not be loaded: {error}" for name, error in variants.broken.items()]
    return lines


def _engine_lines(engines: EngineTable) -> list[str]:
    lines = ["engines of `auparity extract --engine NAME`"]
    lines += [f"  {spec.name:<15} {spec.help}" for spec in engines]
    return lines + [f"  package {name} could not be loaded: {error}" for name, error in engines.broken.items()]


def _as_dict(
    machine: Hardware, bundle: Bundle, variants: Registry, chosen: dict[str, Choice], advice: Advice
) -> dict[str, dict[str, Any]]:
    from auparity.accelerated.pipeline import gpu_not_chosen
    from auparity.models.networks.chosen import description_of

    return {
        "machine": machine.as_dict(),
        "advice": advice.as_dict(),
        "bundle": {
            "name": bundle.meta.name,
            "hash": bundle.content_hash,
            "serving": description_of(bundle),
            **{key: bundle.meta.source[key] for key in ("detector", "landmarks", "start") if key in bundle.meta.source},
        },
        "variants": _states(bundle, variants),
        "gpu_pipeline": {"chosen": gpu_not_chosen() is None, "unavailable_reason": gpu_not_chosen()},
        "chosen": {stage: choice.variant.name for stage, choice in chosen.items()},
        "broken": variants.broken,
    }
