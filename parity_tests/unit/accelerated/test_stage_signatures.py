"""Every registered variant of a stage can be called as the stage's protocol says (reference/stages.py)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from auparity.accelerated.registry import STAGES, Variant, registry
from auparity.models.bundle import Bundle
from auparity.parity_tests.cuda_on_host.variants import variants as cuda_on_host
from auparity.parity_tests.suite import workloads
from auparity.reference.stages import stage_table

BUNDLE = Bundle.embedded(networks=False)
TABLE = stage_table()
NETWORKS = workloads.networks().bundle
MODELS = {name: list(spec.models(BUNDLE)) or list(spec.models(NETWORKS)) for name, spec in TABLE.items()}
VARIANTS = [*registry(), *cuda_on_host()]


def contract(stage: str) -> tuple[tuple[Any, ...], Any]:
    """What a stage is built from, and the protocol or the kind of function that it is."""
    return TABLE[stage].built_from, TABLE[stage].contract


def methods_of(protocol: type) -> dict[str, Callable[..., Any]]:
    return {name: value for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"}


def attributes_of(protocol: type) -> set[str]:
    return {name for name, value in vars(protocol).items() if isinstance(value, property)}


def parameters(function: Callable[..., Any], *, bound: bool) -> list[inspect.Parameter]:
    """Parameters without annotations, which may differ, and without `self`."""
    found = [p.replace(annotation=p.empty) for p in inspect.signature(function).parameters.values()]
    return found if bound else found[1:]


def differences(stage: str, made: Any, *, built: bool) -> list[str]:
    """How methods of a stage object, or of its class, differ from the protocol. More optional arguments are fine."""
    _, protocol = contract(stage)
    problems = []
    for name, method in methods_of(protocol).items():
        own = getattr(made, name, None)
        if own is None:
            problems.append(f"{name}: missing")
            continue
        wanted, got = parameters(method, bound=False), parameters(own, bound=built)
        required = [p for p in got[len(wanted) :] if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        if got[: len(wanted)] != wanted or required:
            problems.append(f"{name}: {[str(p) for p in got]}, the protocol has {[str(p) for p in wanted]}")
    # Data attributes are made when an object is, so that its class does not show them.
    problems += [f"{name}: missing" for name in attributes_of(protocol) if built and not hasattr(made, name)]
    return problems


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether so many arguments, given by position, are a call of the function."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def arguments_of(stage: str) -> tuple[Any, ...]:
    """One set of arguments that builds a stage."""
    (*own,) = MODELS[stage][0]
    return (*own, registry().get("patch_experts", "reference").build(*own)) if stage == "fitting" else tuple(own)


@pytest.mark.parametrize("candidate", VARIANTS, ids=lambda v: f"{v.stage}-{v.name}")
def test_a_variant_is_called_as_its_stage(candidate: Variant):
    """Those that run here are built; of those that need a GPU or a Mac the class is looked at."""
    _, wanted = contract(candidate.stage)
    if candidate.unavailable_reason(MODELS[candidate.stage][0]) is None:
        made = candidate.build(*arguments_of(candidate.stage))
        if get_origin(wanted) is None:
            assert differences(candidate.stage, made, built=True) == []
        else:  # a function of so many arrays
            assert takes(made, len(get_args(wanted)[0]))
    else:
        check_class(candidate, wanted)


def check_class(candidate: Variant, wanted: Any) -> None:
    """The class that a variant's build function says it returns; skips the test where it cannot be imported."""
    technology = candidate.name.split("-")[0]
    try:
        build = import_module(f"auparity.accelerated.{technology}.{candidate.stage}").build
    except ImportError as error:
        pytest.skip(f"cannot be imported here: {error}")
    assert len(contract(candidate.stage)[0]) <= len(inspect.signature(build).parameters)
    made = get_type_hints(build)["return"]
    if get_origin(wanted) is None:
        assert differences(candidate.stage, made, built=False) == []
    elif inspect.isclass(made):  # else the annotation says what it is called with, and mypy checks it
        assert takes(made.__call__, 1 + len(get_args(wanted)[0]))


def test_the_table_says_what_every_stage_is_built_from_and_gives():
    assert list(TABLE) == list(STAGES)
    for name, spec in TABLE.items():
        assert spec.is_function == (spec.methods == ())
        assert len(MODELS[name]) >= 1
        for models in MODELS[name]:
            # A fit is built from the patch experts as well, which are a stage and no model.
            assert len(models) == len(spec.built_from) - (name == "fitting")


def test_a_missing_method_another_name_and_another_argument_are_seen():
    class Lacking:
        def response_maps(self, gray, params_global, params_local, side, scale_index): ...

    found = differences("patch_experts", Lacking(), built=True)
    assert any("area_responses: missing" in problem for problem in found)
    assert any("'side'" in problem for problem in found)
    assert "scales: missing" in found
