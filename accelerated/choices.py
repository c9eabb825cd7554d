"""Which variant of each stage: the fastest that can run here on a bundle's models, or those that are named.

A choice says why it was made and what stands in for models that a variant does not serve, so that nothing is replaced
silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from auparity.accelerated.registry import REFERENCE, STAGES, Device, PrecisionClass, Registry, Variant, registry
from auparity.errors import ContractError, VariantUnavailable
from auparity.reference.stages import Stages, stage_table

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

#: A pipeline is of the class of its coarsest variant.
COARSEST_FIRST: tuple[PrecisionClass, ...] = ("float16", "bfloat16", "float32-only", "float32", "float64")
#: Kinds of devices that `Pipeline.best` may be asked for.
DEVICES: tuple[Device, ...] = get_args(Device)
#: On command lines: what `Pipeline.best` chooses.
BEST = "best"
#: The reason of a choice that no model of the bundle asks for.
NOT_NEEDED = "these models do not need it"
#: Variants that need nothing but NumPy.
PLAIN = (REFERENCE, "batched")


def models_of(bundle: Bundle) -> dict[str, list[tuple[Any, ...]]]:
    """What each stage will be built from, for every model of the bundle: the arguments that tell whether it serves."""
    return {name: list(spec.models(bundle)) for name, spec in stage_table().items()}


@dataclass(frozen=True)
class Choice:
    """Which variant a stage got, and why."""

    stage: str
    variant: Variant
    reason: str
    #: For models of the bundle that the variant does not serve (a CE-CLM kernel and CCNF eye models); None if all are.
    fallback: Variant | None = None

    @property
    def needed(self) -> bool:
        """Whether the bundle has a model for this stage."""
        return self.reason != NOT_NEEDED

    @property
    def name(self) -> str:
        """Of the variant, and of the one that stands in for it where there is one."""
        return self.variant.name if self.fallback is None else f"{self.variant.name}|{self.fallback.name}"

    def build(self, *parts: Any) -> Any:
        """The stage for one model of the bundle."""
        if self.fallback is not None and self.variant.unavailable_reason(parts[:1]):
            return self.fallback.build(*parts)
        return self.variant.build(*parts)

    def __str__(self) -> str:
        return f"{self.stage}: {self.name} ({self.reason})"


def choose(
    stage: str, variant: Variant, parts: list[tuple[Any, ...]], others: Iterable[Variant], reason: str
) -> Choice | str:
    """A variant for a stage, with the first of `others` that can serve the models it does not; or why not."""
    if not parts:
        return variant.unavailable_reason() or Choice(stage, variant, NOT_NEEDED)
    whys = [variant.unavailable_reason(each) for each in parts]
    if variant.unavailable_reason() or all(whys):
        return str(variant.unavailable_reason() or whys[0])
    left = [each for each, why in zip(parts, whys, strict=True) if why]
    if not left:
        return Choice(stage, variant, reason)
    for other in others:
        if other is not variant and not any(other.unavailable_reason(each) for each in left):
            why = next(why for why in whys if why)
            return Choice(stage, variant, f"{reason}; {other.name} for {len(left)} models, because {why}", other)
    return str(next(why for why in whys if why))


def choose_best(bundle: Bundle, device: str | None = None, among: Registry | None = None) -> dict[str, Choice]:
    """For every stage the highest-ranked float32 variant that can run here on these models.

    Parameters
    ----------
    device : None for the fastest of whatever is there; "cpu" for the processor alone. Another one ("cuda", "mps",
        "coreml", "directml") for its variants, measured or not, in every stage that has one which can run; the other
        stages run on the processor.

    Raises
    ------
    ContractError : there is no device of that name.
    VariantUnavailable : no variant can run on that device, with the reason of each; or none at all for a stage.
    """
    if device is not None and device not in DEVICES:
        raise ContractError("pipeline", "device", f"one of {', '.join(DEVICES)}", repr(device))
    known, parts = among or registry(), models_of(bundle)
    chosen: dict[str, Choice] = {}
    refused: dict[str, None] = {}  # why variants of the device cannot run, each reason once
    for stage in STAGES:
        candidates = _candidates(known, stage, device)
        passed: list[str] = []
        for variant in candidates:
            choice = choose(stage, variant, parts[stage], candidates, _reason(variant, passed, device))
            if isinstance(choice, Choice):
                chosen[stage] = choice
                break
            passed.append(f"{variant.name}: {choice}")
            if device in variant.devices:
                refused[passed[-1]] = None
        else:
            raise VariantUnavailable(f"no variant of stage {stage!r} can run here: {'; '.join(passed) or 'none known'}")
    if device is not None and not any(device in choice.variant.devices for choice in chosen.values()):
        why = "; ".join(refused) or "no stage has a float32 variant for it"
        raise VariantUnavailable(f"device {device!r} cannot be used here: {why}")
    return chosen


def _candidates(known: Registry, stage: str, device: str | None) -> list[Variant]:
    """Float32 variants of a stage that may be chosen for a device, the preferred ones first."""
    ranked = sorted(known.of_stage(stage).values(), key=lambda variant: -variant.rank)
    ranked = [variant for variant in ranked if variant.precision == "float32"]
    measured = [variant for variant in ranked if variant.rank >= 0]
    if device is None:
        return measured
    on_processor = [variant for variant in measured if "cpu" in variant.devices]
    if device == "cpu":
        return on_processor
    # Nobody has measured these yet (rank below 0), but whoever names the device asks for them.
    on_device = [variant for variant in ranked if device in variant.devices]
    return on_device + [variant for variant in on_processor if variant not in on_device]


def _reason(variant: Variant, passed: list[str], device: str | None) -> str:
    """Why a variant is chosen, when those in `passed` could not be."""
    if device not in (None, "cpu") and device in variant.devices:
        reason = f"asked for by device {device}"
    elif variant.name == REFERENCE and not passed:
        return "no faster variant is known"
    else:
        reason = "fastest that runs here" if passed else "fastest that is known"
    return f"{reason}; not {'; not '.join(passed)}" if passed else reason


def choose_by_name(
    bundle: Bundle, spec: Mapping[str, str], default: str = REFERENCE, among: Registry | None = None
) -> dict[str, Choice]:
    """The named variant of each stage; `default` for stages that `spec` does not name and that have one of that name.

    The default ``best`` is the choice of `choose_best`. Models of the bundle that a variant does not serve get the
    default's, the reference's, or the one that is named after a bar: ``onnx|numba``.

    Raises
    ------
    ContractError : a stage that does not exist.
    VariantUnavailable : a variant that does not exist, cannot run here or does not serve these models, with the reason.
    """
    unknown = sorted(set(spec) - set(STAGES))
    if unknown:
        raise ContractError("pipeline", "spec", f"stages among {', '.join(STAGES)}", ", ".join(unknown))
    known, parts = among or registry(), models_of(bundle)
    names = sorted({variant.name for variant in known})
    if default not in (BEST, *names):
        raise VariantUnavailable(f"no stage has a variant {default!r}; there are {', '.join([BEST, *names])}")
    best = choose_best(bundle, among=known) if default == BEST else {}
    chosen = {}
    for stage in STAGES:
        if stage in best and stage not in spec:
            chosen[stage] = best[stage]
            continue
        fallback = best[stage].variant.name if stage in best else REFERENCE
        name = spec.get(stage, default if default in known.of_stage(stage) else REFERENCE)
        name, _, other = name.partition("|")
        others = [known.get(stage, other or fallback)]
        reason = "asked for" if stage in spec else "default"
        choice = choose(stage, known.get(stage, name), parts[stage], others, reason)
        if not isinstance(choice, Choice):
            raise VariantUnavailable(f"variant {name!r} of stage {stage!r} cannot be used: {choice}")
        chosen[stage] = choice
    return chosen


def parse_spec(bundle: Bundle, text: str) -> dict[str, Choice]:
    """Choices from the text of a command line: ``best``, ``numba``, ``fhog=numba``, ``best,fhog=onnx``, ``best+onnx``.

    A name without a stage is the default of the other stages (the reference's where a stage has none of that name);
    what follows it after a plus is taken by all stages that have it and whose models it serves.

    Raises
    ------
    ContractError : two defaults, or a stage that does not exist.
    VariantUnavailable : as of `choose_by_name`.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    defaults = [word for word in words if "=" not in word]
    if len(defaults) > 1:
        expected = 'one variant for all stages and "stage=variant" for single ones'
        raise ContractError("pipeline", "variants", expected, repr(text))
    default, *over = defaults[0].split("+") if defaults else [REFERENCE]
    spec: dict[str, str] = {}
    for name in over:
        spec |= _wherever(bundle, name)
    spec |= dict(word.split("=", 1) for word in words if "=" in word)
    return choose_by_name(bundle, spec, default)


def _wherever(bundle: Bundle, name: str) -> dict[str, str]:
    """The stages that have a variant which serves some of the bundle's models.

    Raises
    ------
    VariantUnavailable : none has, or it cannot run here.
    """
    known, parts = registry(), models_of(bundle)
    having = {stage: known.of_stage(stage)[name] for stage in STAGES if name in known.of_stage(stage)}
    if not having:
        raise VariantUnavailable(f"no stage has a variant {name!r}")
    whys = {stage: [variant.unavailable_reason(each) for each in parts[stage]] for stage, variant in having.items()}
    serving = {stage: name for stage in having if not all(whys[stage])}
    if not serving:
        raise VariantUnavailable(f"variant {name!r} cannot be used: {next(iter(whys.values()))[0]}")
    return serving


def stages_of(choices: Mapping[str, Choice]) -> Stages:
    """The chosen implementations as stages."""
    return Stages(**{stage: choices[stage].build for stage in STAGES})


def coarsest(choices: Mapping[str, Choice]) -> PrecisionClass:
    """The class of tolerances that a pipeline of these choices is held to."""
    classes = {choice.variant.precision for choice in choices.values()}
    return next(name for name in COARSEST_FIRST if name in classes)


def slow_installation(choices: Mapping[str, Choice]) -> str | None:
    """What to install where the best that was found is the reference's own speed; None where it is faster."""
    if any(choice.variant.name not in PLAIN for choice in choices.values()):
        return None
    return (
        "Neither Numba nor ONNX Runtime can be used here: a frame takes seconds instead of milliseconds. Install them: "
        "pip install 'auparity[fast]'"
    )
