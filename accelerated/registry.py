"""Variants of the stages: what is there, what each needs, and why one cannot run here.

A variant is one implementation of one stage. It registers under the stage's name and its technology, together with
what it needs and the function that builds it from its part of a bundle; nothing is imported before it is built. The
stages and what they are built from and called with are `auparity.reference.stages.Stages`.

Other packages add variants through the entry-point group ``auparity.variants``: the entry point names a module whose
import registers them with the same decorator (docs/variants.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from auparity.errors import ContractError, VariantUnavailable
from auparity.plugins import load_plugins
from auparity.reference.numerics import FLOAT32
from auparity.reference.stages import reference_stages, stage_table

#: The stages of a pipeline, in the order in which a frame meets them.
STAGES: tuple[str, ...] = tuple(stage_table())
REFERENCE = "reference"
#: Ends the names of variants that interpret what another one of that name computes with: never chosen, only asked for.
EMULATED = "-emulated"
ENTRY_POINTS = "auparity.variants"

#: Classes of parity_tests/tolerances.toml that a variant can be held to. "float32" keeps float64 where the reference
#: has it (AU models, some sums); "float32-only" is for devices that have none.
PrecisionClass = Literal["float64", "float32", "float32-only", "bfloat16", "float16"]
Device = Literal["cpu", "cuda", "mps", "coreml", "directml"]


@dataclass(frozen=True)
class Technology:
    """A folder of ours whose import registers variants, and what their figures depend on (compare/baseline_keys.py).

    Parameters
    ----------
    distributions : what it computes with; of several the one that is installed.
    uses_blas : its variants leave matrix products to NumPy, and so to its BLAS.
    """

    distributions: tuple[str, ...]
    uses_blas: bool = False


#: Our technologies: an entry and a folder of that name each.
TECHNOLOGIES = {
    "batched": Technology(("numpy",), uses_blas=True),
    "numba": Technology(("numba",), uses_blas=True),
    "onnx": Technology(("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")),
    "torch": Technology(("torch",)),
    "jax": Technology(("jaxlib", "jax")),
    "coreml": Technology(("coremltools",), uses_blas=True),
    "cupy": Technology(("cupy-cuda12x", "cupy-cuda13x", "cupy")),
}


@dataclass(frozen=True)
class Variant:
    """One implementation of one stage.

    Parameters
    ----------
    stage : one of `STAGES`.
    name : how it is chosen, e.g. "numba"; a technology, with the precision after it where that is not float32.
    build : the stage's function of `Stages`: a part of a bundle in, the stage out. Imports what it needs itself.
    requires : modules that must be importable.
    extra : the extra of the package `provider` that installs them.
    precision : class of tolerances that it is held to.
    devices : where it runs.
    rank : `Pipeline.best` takes the highest that can run. The reference has 0; ours follow from measurements
        (benchmarks), not from the technology. Negative ones are only taken when they are named.
    check : says why it cannot run on this machine although its modules are there; None when it can.
    unsupported_reason : says why it cannot serve these models (the part of a bundle that `build` gets); None when it
        can.
    provider : distribution that registered it.
    not_run : of one that emulates another: what has therefore not run, and how to run it; reports say so.
    """

    stage: str
    name: str
    build: Callable[..., Any]
    requires: tuple[str, ...] = ()
    extra: str | None = None
    precision: PrecisionClass = "float32"
    devices: tuple[Device, ...] = ("cpu",)
    rank: int = 0
    check: Callable[[], str | None] | None = None
    unsupported_reason: Callable[..., str | None] | None = None
    provider: str = "auparity"
    not_run: str = ""

    def unavailable_reason(self, models: tuple[Any, ...] | None = None) -> str | None:
        """Why it cannot run here, or cannot serve these models, with what to do about it; None when it can.

        Parameters
        ----------
        models : the arguments that `build` would get; None to ask of the machine alone.
        """
        missing = [module for module in self.requires if find_spec(module) is None]
        if missing:
            remedy = f": pip install '{self.provider}[{self.extra}]'" if self.extra else ""
            return f"needs {', '.join(missing)}, not installed{remedy}"
        reason = self.check() if self.check else None
        if reason or models is None or self.unsupported_reason is None:
            return reason
        return self.unsupported_reason(*models)


@dataclass
class Registry:
    """Variants by stage and name. `registry()` is the one that everybody shares; tests make their own."""

    variants: dict[str, dict[str, Variant]] = field(default_factory=dict)
    #: Entry points of other packages that could not be loaded, with the reason: shown by `auparity doctor`.
    broken: dict[str, str] = field(default_factory=dict)

    def add(self, variant: Variant) -> None:
        """Register one.

        Raises
        ------
        ContractError : no such stage, or the name is taken.
        """
        if variant.stage not in STAGES:
            raise ContractError("registry", "stage", f"one of {', '.join(STAGES)}", repr(variant.stage))
        named = self.variants.setdefault(variant.stage, {})
        if variant.name in named:
            taken = f"{variant.name!r} again; {named[variant.name].provider} has registered it"
            raise ContractError("registry", "name", f"a new name for a variant of {variant.stage}", taken)
        named[variant.name] = variant

    def get(self, stage: str, name: str) -> Variant:
        """The variant of a stage.

        Raises
        ------
        VariantUnavailable : no variant has that name; the message lists the names.
        """
        known = self.of_stage(stage)
        if name not in known:
            raise VariantUnavailable(f"stage {stage!r} has no variant {name!r}; it has {', '.join(sorted(known))}")
        return known[name]

    def of_stage(self, stage: str) -> Mapping[str, Variant]:
        """Variants of a stage by name.

        Raises
        ------
        ContractError : no such stage.
        """
        if stage not in STAGES:
            raise ContractError("registry", "stage", f"one of {', '.join(STAGES)}", repr(stage))
        return self.variants.get(stage, {})

    def __iter__(self) -> Iterator[Variant]:
        for stage in STAGES:
            yield from self.of_stage(stage).values()

    def register(self, stage: str, name: str, **about: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator for a build function; `about` are the other fields of `Variant`."""

        def decorate(build: Callable[..., Any]) -> Callable[..., Any]:
            self.add(Variant(stage, name, build, **about))
            return build

        return decorate


def from_module(module: str, function: str = "build") -> Callable[..., Any]:
    """A function that imports `module` when it is first called and calls the module's `function`."""

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), function)(*arguments)

    return call


_shared: Registry | None = None


def registry() -> Registry:
    """The variants of this package and of every installed package that offers some, loaded once."""
    global _shared
    if _shared is None:
        _shared = Registry()
        _add_reference(_shared)
        for technology in TECHNOLOGIES:
            import_module(f"auparity.accelerated.{technology}")
        _shared.broken |= load_plugins(ENTRY_POINTS)
    return _shared


def variant(stage: str, name: str, **about: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that registers a build function with the shared registry, see `Variant` for what `about` may hold.

    >>> @variant("fhog", "mine", requires=("numpy",), rank=-1)
    ... def build():
    ...     from mypackage.fhog import fhog
    ...     return fhog
    """
    return registry().register(stage, name, **about)


def _add_reference(into: Registry) -> None:
    reference = reference_stages(FLOAT32)
    for stage in STAGES:
        into.add(Variant(stage, REFERENCE, getattr(reference, stage)))
