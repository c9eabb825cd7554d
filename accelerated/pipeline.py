"""The pipeline that people import: one variant a stage, chosen for the machine or by name.

What lies between the stages (the tracker's state machine, hypotheses, part models, the order of analysis) is the
reference's own code: a `Pipeline` differs from the reference in nothing but the stages that were exchanged, each of
which the parity suite holds to the reference's.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from auparity.accelerated.one_thread import OneThreadPipeline, OneThreadSession, find_libraries, one_blas_thread
from auparity.accelerated.registry import REFERENCE, STAGES, Device, PrecisionClass, Registry, Variant, registry
from auparity.errors import AuparityWarning, ContractError, VariantUnavailable
from auparity.reference.head_pose import Camera
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.numerics import FLOAT32
from auparity.reference.pipeline import VideoSession
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stages import Stages, stage_table

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle


#: A pipeline is of the class of its coarsest variant.
COARSEST_FIRST: tuple[PrecisionClass, ...] = ("float16", "bfloat16", "float32-only", "float32", "float64")
#: Kinds of devices that `Pipeline.best` may be asked for.
DEVICES: tuple[Device, ...] = get_args(Device)
#: On command lines: what `Pipeline.best` chooses, and the pipeline that stays on a GPU.
BEST, ON_GPU = "best", "gpu"
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


@dataclass(frozen=True, eq=False)
class ClipResult:
    """A whole clip."""

    frames: list[FrameResult]  #: one a frame, AUs as predicted online
    aus: OfflineAUs  #: intensities (T, 17) and presences (T, 18) after post-processing


class Pipeline(OneThreadPipeline):
    """OpenFace 2.2's pipeline with a chosen variant of every stage.

    Like the reference pipeline: `start_video` for the frames of a clip, `process_image` for photographs. Make it by
    `Pipeline.best` or `Pipeline.from_spec`; `print(pipeline)` says what was chosen and why, `pipeline.variants` is a
    spec that makes it again. One object is for one
    thread; the models behind it may be shared by many (docs/variants.md).

    Parameters
    ----------
    bundle : the models.
    choices : one for every stage.
    parameters : settings of landmark detection; None for those of OpenFace's command-line programs.
    """

    #: Whether clips that are open in several threads go through it together, frame by frame.
    advances_together = False

    def __init__(
        self, bundle: Bundle, choices: Mapping[str, Choice], parameters: DetectorParameters | None = None
    ) -> None:
        missing = [stage for stage in STAGES if stage not in choices]
        if missing:
            raise ContractError("pipeline", "choices", "one for every stage", f"none for {', '.join(missing)}")
        self.choices = {stage: choices[stage] for stage in STAGES}
        stages = Stages(**{stage: choice.build for stage, choice in self.choices.items()})
        find_libraries()  # before, for what the models are packed with, and after, for what the stages have loaded
        with one_blas_thread():
            super().__init__(bundle, stages, FLOAT32, parameters)
        find_libraries()
        self.variants = {stage: choice.name for stage, choice in self.choices.items()}
        classes = {choice.variant.precision for choice in self.choices.values()}
        self.precision = next(name for name in COARSEST_FIRST if name in classes)

    @classmethod
    def best(
        cls,
        bundle: Bundle | None = None,
        *,
        device: str | None = None,
        parameters: DetectorParameters | None = None,
        streams: int = 1,
    ) -> Pipeline:
        """The fastest float32 pipeline that runs on this machine: a GPU's where one has proven itself, else the CPU's.

        Parameters
        ----------
        bundle : the models; None for OpenFace's where they are installed, else the embedded ones.
        device : "cpu" for the processor alone; "cuda" for the pipeline that stays on the GPU, also where the parity
            suite has not passed on it yet (docs/gpu.md); "mps", "coreml" or "directml" for the float32 variants that
            compute there, which some stages have; the other stages then run on the processor.
        streams : clips that will be open together, where that matters: more than one share out all GPUs.

        Raises
        ------
        ContractError : there is no device of that name.
        VariantUnavailable : the device asked for is not there, with the reason.
        """
        bundle = bundle or default_bundle()
        if device != "cuda" and (device is not None or gpu_not_chosen()):
            choices = choose_best(bundle, device)
            warn_if_slow(choices)
            return cls(bundle, choices, parameters)
        return on_gpu(bundle, parameters, streams)

    @classmethod
    def from_spec(
        cls,
        spec: Mapping[str, str],
        bundle: Bundle | None = None,
        *,
        default: str = REFERENCE,
        parameters: DetectorParameters | None = None,
    ) -> Pipeline:
        """Named variants, e.g. ``{"fhog": "numba"}``; the others are `default` where they have it (``"best"`` chooses).

        Raises
        ------
        VariantUnavailable : one that cannot run here, with the reason. Nothing is replaced silently.
        """
        bundle = bundle or default_bundle()
        return cls(bundle, choose_by_name(bundle, spec, default), parameters)

    def start_video(self, *, camera: Camera | None = None, online: bool = False) -> VideoSession:
        """Begin a clip; see `StagedPipeline.start_video`."""
        return OneThreadSession(self, camera, online)

    def process_video(self, path: str | os.PathLike[str], *, camera: Camera | None = None) -> ClipResult:
        """Every frame of a video file or a folder of images.

        Parameters
        ----------
        camera : None for OpenFace's guess from the size of the image.

        Raises
        ------
        VideoError : it cannot be read, or not to its end. `auparity extract` keeps what was done until then.

        Warns
        -----
        UserWarning : what reading it found besides, e.g. frames that decoded with errors.
        """
        from auparity.accelerated.parallel.streams import process_frames
        from auparity.media import open_clip

        session = self.start_video(camera=camera)
        with open_clip(Path(path)) as source:
            frames = list(process_frames(session, source))
            for text in [*source.problems, *source.warnings]:
                warnings.warn(f"{source.path}: {text}", AuparityWarning, stacklevel=2)
        return ClipResult(frames, session.finish())

    def __str__(self) -> str:
        head = f"pipeline on bundle {self.bundle.meta.name} {self.bundle.short_hash}"
        return "\n".join([head, *(f"  {choice}" for choice in self.choices.values())])


def slow_installation(choices: Mapping[str, Choice]) -> str | None:
    """What to install where the best that was found is the reference's own speed; None where it is faster."""
    if any(choice.variant.name not in PLAIN for choice in choices.values()):
        return None
    return (
        "Neither Numba nor ONNX Runtime can be used here: a frame takes seconds instead of milliseconds. Install them: "
        "pip install 'auparity[fast]'"
    )


def warn_if_slow(choices: Mapping[str, Choice]) -> None:
    """Warn of a slow installation."""
    if why := slow_installation(choices):
        warnings.warn(why, AuparityWarning, stacklevel=3)


def gpu_not_chosen() -> str | None:
    """Why `Pipeline.best` does not take a GPU here; None when it does."""
    if find_spec("cupy") is None:
        return "CuPy is not installed (extras cuda12 and cuda13)"
    from auparity.accelerated.cupy.proof import not_chosen_reason

    return not_chosen_reason()


def on_gpu(bundle: Bundle, parameters: DetectorParameters | None = None, streams: int = 1) -> Pipeline:
    """The pipeline that stays on the GPU, whose sessions advance together (docs/gpu.md).

    Raises
    ------
    VariantUnavailable : there is no GPU that can be used, with the reason.
    """
    from auparity.accelerated.cupy.gpus import device_pipeline

    return device_pipeline(bundle, parameters, streams)


def open_pipeline(
    bundle: Bundle, text: str = BEST, parameters: DetectorParameters | None = None, streams: int = 1
) -> Pipeline:
    """The pipeline that a command line names: ``best``, ``gpu`` (all of it on the GPU), or variants as of `parse_spec`.

    Parameters
    ----------
    streams : clips that will be open together, where that matters.

    Raises
    ------
    ContractError, VariantUnavailable : as of `parse_spec` and `on_gpu`.
    """
    if text.strip() == ON_GPU or (text.strip() == BEST and gpu_not_chosen() is None):
        return on_gpu(bundle, parameters, streams)
    choices = parse_spec(bundle, text)
    if text.strip() == BEST:
        warn_if_slow(choices)
    return Pipeline(bundle, choices, parameters)


def default_bundle() -> Bundle:
    """OpenFace's models where they are installed, else the embedded ones, with a warning."""
    from auparity.models.sources import EMBEDDED_NOTICE, is_embedded, open_bundle

    bundle = open_bundle(None)
    if is_embedded(bundle):
        warnings.warn(EMBEDDED_NOTICE, AuparityWarning, stacklevel=3)
    return bundle
