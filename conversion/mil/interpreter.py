"""Runs Core ML ML Programs from disk with NumPy: a `.mlpackage` and arrays go in, the program's outputs come out.

So the files that ship to Macs can be executed and checked on any machine. The operations are interpreted one by one,
and every value is compared with its declaration in the program. Values of float16 are rounded to float16 after every
operation; within an operation, products and sums accumulate as `accumulate` says. Those of float32 values are exact
but for the rounding of the result, so that a package has the same error on every machine. A device may order sums
differently or fuse operations, so the interpreter does not predict the bits of a device.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.mil.arithmetic import Arithmetic
from auparity.conversion.mil.ops import OPERATORS
from auparity.conversion.mil.program import AGAIN, Content, Feature, Metadata, Operation, Parameters, form, read
from auparity.errors import AuparityError, ContractError, ModelFormatError

Array = npt.NDArray[Any]

STAGE = "coreml"
CONTRADICTS = "The program contradicts itself; export it again."
ACCUMULATE = ("float32", "float16")
_SIGNATURES = {name: inspect.signature(function) for name, function in OPERATORS.items()}


class Program:
    """An ML Program that can be run; `Program.load` makes one."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a `.mlpackage` folder.

        Raises
        ------
        ModelFormatError : it is not a package, is damaged, is newer than specification version 9, or is not an ML
            Program of one function.
        VariantUnavailable : coremltools is not installed.
        """
        return cls(read(path))

    @property
    def inputs(self) -> dict[str, Feature]:
        """Inputs by name, with dtype and shape."""
        return {feature.name: feature for feature in self._content.inputs}

    @property
    def outputs(self) -> dict[str, Feature]:
        """Outputs by name, with dtype and shape; lengths that depend on the inputs are open."""
        return {feature.name: feature for feature in self._content.outputs}

    @property
    def metadata(self) -> Metadata:
        """Author, licence, description, version and what the exporter noted."""
        return self._content.metadata

    @property
    def opset(self) -> str:
        """Set of operators, e.g. CoreML6."""
        return self._content.opset

    @property
    def specification_version(self) -> int:
        """Version of the file format: 7 is macOS 13."""
        return self._content.specification_version

    @property
    def operators(self) -> Counter[str]:
        """How often each operator is applied, constants not counted."""
        return Counter(operation.type for operation in self._content.operations)

    @property
    def parameters(self) -> Parameters:
        """Number of weights and their bytes."""
        return self._content.parameters

    @property
    def unknown_operators(self) -> list[str]:
        """Operators that the interpreter does not have; a program with any of them cannot be run."""
        return sorted(set(self.operators) - set(OPERATORS))

    def run(self, inputs: Mapping[str, Array], accumulate: str = "float32") -> dict[str, Array]:
        """Execute the program.

        Parameters
        ----------
        inputs : an array for each input, of exactly its dtype.
        accumulate : how matrix products, convolutions and reductions of float16 values add up: in float32 and rounded
            once, or step by step in float16, which is the worst case of a device. Float32 values add up in float64.

        Returns
        -------
        An array for each output.

        Raises
        ------
        ContractError : an input is missing, unknown, of another dtype or shape, or has NaN.
        ModelFormatError : an operator is unknown, or a value differs from its declaration in the program.
        """
        if accumulate not in ACCUMULATE:
            raise AuparityError(f"accumulate={accumulate!r}: expected one of {', '.join(ACCUMULATE)}")
        if self.unknown_operators:
            raise ModelFormatError(
                self._content.path, None, "operators that the interpreter knows", ", ".join(self.unknown_operators),
                "Export without them, or add them to auparity.conversion.mil.ops.",
            )  # fmt: skip
        values = {**self._content.constants, **self._checked(inputs)}
        how = Arithmetic(accumulate == "float16", self._content.specification_version)
        with np.errstate(all="ignore"):  # a device overflows to infinity, too
            for operation in self._content.operations:
                values |= self._apply(operation, values, how)
        outputs = {name: np.array(values[name]) for name in self.outputs}  # never views of inputs or weights
        for name, feature in self.outputs.items():
            if not feature.admits(outputs[name].shape):
                raise ModelFormatError(
                    self._content.path, None, f"output {name!r} to be {feature}",
                    form(outputs[name].dtype, outputs[name].shape), CONTRADICTS,
                )  # fmt: skip
        return outputs

    def _checked(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if set(inputs) != set(self.inputs):
            raise ContractError(STAGE, "inputs", f"{sorted(self.inputs)}", f"{sorted(inputs)}")
        checked = {name: np.asarray(array) for name, array in inputs.items()}
        for name, feature in self.inputs.items():
            array = checked[name]
            if array.dtype != feature.dtype or not feature.admits(array.shape):
                raise ContractError(STAGE, name, str(feature), form(array.dtype, array.shape))
            if array.dtype.kind == "f" and np.isnan(array).any():
                raise ContractError(STAGE, name, "numbers", f"{np.isnan(array).sum()} NaN")
        return checked

    def _apply(self, operation: Operation, values: Mapping[str, Array], how: Arithmetic) -> dict[str, Array]:
        """The outputs of one operation by name."""
        names = ", ".join(repr(output.name) for output in operation.outputs)
        bound = {
            name: tuple(values[entry] if isinstance(entry, str) else entry for entry in entries)
            for name, entries in operation.inputs.items()
        }
        # `values` of concat and stack is the one parameter that takes several arrays.
        several = {name for name, arrays in bound.items() if name != "values" and len(arrays) != 1}
        arguments = {name: arrays if name == "values" else arrays[0] for name, arrays in bound.items() if arrays}
        try:
            if several:
                raise TypeError(f"parameters {', '.join(sorted(several))} of other than one array")
            _SIGNATURES[operation.type].bind(how, **arguments)
            applied = OPERATORS[operation.type](how, **arguments)
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            raise ModelFormatError(
                self._content.path, None, f"{operation.type} to make {names}", f"parameters that it rejects: {error}",
                AGAIN,
            ) from error  # fmt: skip
        results = applied if isinstance(applied, tuple) else (applied,)
        if len(results) != len(operation.outputs):
            raise ModelFormatError(
                self._content.path, None, f"{len(results)} outputs of {operation.type}", names, AGAIN
            )
        for output, result in zip(operation.outputs, results, strict=True):
            if not output.admits(result.dtype, result.shape):
                raise ModelFormatError(
                    self._content.path, None, f"value {output.name!r} of {operation.type} to be {output}",
                    form(result.dtype, result.shape), CONTRADICTS,
                )  # fmt: skip
        return {output.name: result for output, result in zip(operation.outputs, results, strict=True)}
