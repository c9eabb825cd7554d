"""The only module that uses coremltools: an ML Program from a function of the MIL builder, and its package on disk.

In: a function that takes the builder's variables and returns one or several, and the shapes of its inputs. Out: a model
that states its deployment target (macOS 13), precision and compute units. Its inputs and outputs are float32 in every
precision. It is never loaded, so building and saving need no Mac. coremltools is imported when it is first used; its
log and its progress bars are silenced without changing its settings for others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.conversion.coreml.log import quiet_log
from auparity.errors import AuparityError, VariantUnavailable

STAGE = "conversion"
#: Precision of weights and layers; inputs and outputs are always float32.
Precision = Literal["FLOAT32", "FLOAT16"]
#: The compute units with which a caller should load the model; the package can only recommend them.
COMPUTE_UNITS = "ALL"
SUFFIX = ".mlpackage"
AUTHOR = "auparity"
#: Native parts of coremltools that write weights and packages.
_WRITERS = ("coremltools.libmilstoragepython", "coremltools.libmodelpackage")


@dataclass(frozen=True)
class Flexible:
    """A dimension that is chosen when a model runs; the same object in two inputs is the same dimension."""

    name: str
    lower: int
    upper: int  #: Core ML refuses programs whose inputs have no upper limit


Shape = Sequence[int | Flexible]


def metadata_of(bundle_hash: str, licence: str, stage: str, contract: str, version: str) -> dict[str, str]:
    """The metadata of every package; `version` is auparity's. `convert` adds precision and compute units."""
    return {"bundle": bundle_hash, "licence": licence, "stage": stage, "contract": contract, "auparity": version}


def f32(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Values as Core ML needs them: float32, contiguous."""
    return np.ascontiguousarray(values, np.float32)


def coremltools() -> Any:
    """The module.

    Raises
    ------
    VariantUnavailable : it is not installed, or is a build that cannot write packages.
    """
    try:
        with quiet_log():
            import coremltools as module
    except ImportError as error:
        raise VariantUnavailable(f"coremltools cannot be loaded ({error}): pip install 'auparity[coreml]'") from None
    missing = [name for name in _WRITERS if importlib.util.find_spec(name) is None]
    if missing:
        raise VariantUnavailable(
            f"coremltools {module.__version__} was built without {', '.join(missing)} and cannot write packages here; "
            "export on Linux or macOS, where pip install 'auparity[coreml]' gets a complete one"
        )
    return module


def builder() -> Any:
    """The builder of MIL operations.

    Raises
    ------
    VariantUnavailable : see `coremltools`.
    """
    coremltools()
    from coremltools.converters.mil import Builder

    return Builder


def convert(
    build: Callable[..., Any], inputs: Mapping[str, Shape], name: str, metadata: Mapping[str, str],
    precision: Precision, *, full_precision: tuple[str, ...] = (), without: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """A Core ML model.

    Parameters
    ----------
    build : its parameters are the inputs by name; it is called once and returns the output, or a tuple of them.
    inputs : shapes of the inputs, all float32.
    name : of the model, shown with its contract.
    metadata : from `metadata_of`.
    full_precision : types of operations that stay float32 in a FLOAT16 model.
    without : names of coremltools' passes over the program that are left out.

    Returns
    -------
    A `coremltools.models.MLModel` that is not loaded, for `save`.

    Raises
    ------
    VariantUnavailable : see `coremltools`.
    """
    ct, mb = coremltools(), builder()
    if precision not in ("FLOAT32", "FLOAT16"):
        raise AuparityError(f"precision {precision!r}: expected FLOAT32 or FLOAT16")
    ranges = {
        dim: ct.RangeDim(dim.lower, dim.upper)
        for shape in inputs.values()
        for dim in shape
        if isinstance(dim, Flexible)
    }
    shapes = {
        key: tuple(ranges[dim] if isinstance(dim, Flexible) else dim for dim in shape) for key, shape in inputs.items()
    }
    specs = [
        mb.TensorSpec(shape=tuple(dim if isinstance(dim, int) else dim.symbol for dim in shape))
        for shape in shapes.values()
    ]
    chosen = getattr(ct.precision, precision)
    if full_precision and precision == "FLOAT16":
        chosen = ct.transform.FP16ComputePrecision(op_selector=lambda op: op.op_type not in full_precision)
    target, passes = ct.target.macOS13, ct.PassPipeline()
    passes.remove_passes(set(without))
    with quiet_log(), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # it draws its progress
        warnings.simplefilter("ignore")
        program = mb.program(input_specs=specs, opset_version=target)(build)
        model = ct.convert(
            program, source="milinternal", convert_to="mlprogram", minimum_deployment_target=target,
            inputs=[ct.TensorType(key, shape=shape, dtype=np.float32) for key, shape in shapes.items()],
            compute_precision=chosen, compute_units=getattr(ct.ComputeUnit, COMPUTE_UNITS), skip_model_load=True,
            pass_pipeline=passes,
        )  # fmt: skip
    model.author, model.license, model.version = AUTHOR, metadata.get("licence", ""), metadata.get("auparity", "")
    model.short_description = f"{name}: {metadata.get('contract', '')}"
    described = {**metadata, "precision": precision, "compute_units": COMPUTE_UNITS}
    for key, value in described.items():
        model.user_defined_metadata[key] = value
    return model


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model as `path`, an ``.mlpackage``, completely or not at all, also if there was one before.

    The package is written beside its place and moved there; if the move fails, the earlier package is restored.

    Raises
    ------
    AuparityError : the path does not end in ``.mlpackage``, or is a file.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise AuparityError(f"{target}: a Core ML package ends in {SUFFIX}")
    if target.is_file():
        raise AuparityError(f"{target}: is a file, a Core ML package is a folder; move the file away")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}.", dir=target.parent))
    try:
        written, before = folder / f"new{SUFFIX}", folder / f"before{SUFFIX}"
        with quiet_log():
            model.save(str(written))
        _share(written)
        # A folder cannot be renamed over another one: for a moment there is none, but never half of one.
        if target.exists():
            os.replace(target, before)
        try:
            os.replace(written, target)
        except OSError:
            if before.exists():
                os.replace(before, target)
            raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _share(package: Path) -> None:
    """Give all files of a package the access rights of its manifest; some are readable only for their owner."""
    for_files, for_folders = (package / "Manifest.json").stat().st_mode, (package / "Data").stat().st_mode
    for part in package.rglob("*"):
        part.chmod(for_folders if part.is_dir() else for_files)
