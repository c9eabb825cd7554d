"""Core ML packages as functions: written once for each set of weights, kept on disk, run by Core ML or interpreted.

A package is made by the functions of `auparity convert` and kept in the cache under a name that contains the hash of
its weights; its metadata contain the hash, too. A package that was changed, or written by another user, is written
again. On a Mac, Core ML compiles it when it is first loaded and chooses among processor, GPU and neural engine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.coreml.modes import MODES, Mode
from auparity.cache import LOCK, cache_folder, discard, intact, seal
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import COMPUTE_UNITS, SUFFIX, Precision, coremltools
from auparity.conversion.mil.interpreter import Program
from auparity.errors import AuparityError, VariantUnavailable
from auparity.models.bundle import content_hash_of
from auparity.models.file_lock import locked

Array = npt.NDArray[Any]

COMPUTE: dict[str, Precision] = {"float32": "FLOAT32", "float16": "FLOAT16"}
#: Part of the hash, so that packages of another layout are not used.
LAYOUT = 1
#: Metadata with the hash of the weights of a package.
MODEL = "model"
#: Makes a model: takes metadata and precision, returns coremltools' model.
Make = Callable[[dict[str, str], Precision], Any]


class Package:
    """A function of arrays to the outputs of a package.

    Parameters
    ----------
    name : of the package's file.
    mode : a name of `MODES`.
    weights : parts of a bundle from which the package is made; they identify it.
    stage, contract : for its metadata.
    make : makes the model if there is no package yet.

    Raises
    ------
    VariantUnavailable : packages cannot be run in this mode here, or coremltools is not installed.
    AuparityError : the written package cannot be read back.
    """

    def __init__(self, name: str, mode: str, weights: tuple[Any, ...], stage: str, contract: str, make: Make) -> None:
        how = MODES[mode]
        if why := how.unavailable_reason():
            raise VariantUnavailable(why)
        fingerprint = content_hash_of(LAYOUT, name, how.precision, *weights)
        file = f"{name}-{how.precision}-{fingerprint[:16]}{SUFFIX}"
        folder = cache_folder("coreml")
        self._own: tempfile.TemporaryDirectory[str] | None = None  # without a cache: as long as the object exists
        if folder is None:
            self._own = tempfile.TemporaryDirectory(prefix="auparity-")
            folder = Path(self._own.name)
        self.path = folder / file
        with locked(folder / LOCK):  # processes that start together need the same packages
            if not intact(self.path):
                metadata = programs.metadata_of("", "", stage, contract, "") | {MODEL: fingerprint}
                discard(self.path)
                programs.save(make(metadata, COMPUTE[how.precision]), self.path)
                seal(self.path)
        self._run = _opened(self.path, fingerprint, how)

    def __call__(self, *arrays: Array) -> Array:
        """The only output for the inputs in order, as float32."""
        (output,) = self.outputs(*arrays)
        return output

    def outputs(self, *arrays: Array) -> list[Array]:
        """The outputs for the inputs in order, as float32, in the order of the program."""
        return self._run(tuple(np.ascontiguousarray(array, np.float32) for array in arrays))


def _opened(path: Path, fingerprint: str, how: Mode) -> Callable[[tuple[Array, ...]], list[Array]]:
    program = Program.load(path)
    if program.metadata.user_defined.get(MODEL) != fingerprint:
        raise AuparityError(f"{path}: is made of other models. Delete it; it will be written again.")
    names = list(program.inputs)
    if how.emulated:
        return lambda arrays: list(program.run(dict(zip(names, arrays, strict=True))).values())
    ct: Any = coremltools()
    model = ct.models.MLModel(str(path), compute_units=getattr(ct.ComputeUnit, COMPUTE_UNITS))

    def predict(arrays: tuple[Array, ...]) -> list[Array]:
        by_name = model.predict(dict(zip(names, arrays, strict=True)))
        return [np.asarray(by_name[output], np.float32) for output in program.outputs]

    return predict
