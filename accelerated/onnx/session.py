"""Makes ONNX Runtime sessions: with the requested provider or an error, and one thread by default.

``AUPARITY_ONNX_THREADS`` sets the threads of a session; one is the default, because processes are the parallelism
(docs/parallel.md) and results must not depend on the number of cores.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from auparity.accelerated.onnx.providers import BY_NAME, CPU, kept_engines
from auparity.errors import AuparityError, VariantUnavailable

Array = npt.NDArray[Any]

THREADS_VARIABLE = "AUPARITY_ONNX_THREADS"


class Session:
    """A graph that runs on one provider, named as in providers.py.

    Raises
    ------
    VariantUnavailable : ONNX Runtime uses another provider.
    """

    def __init__(self, model: onnx.ModelProto, name: str = CPU.name) -> None:
        provider = BY_NAME[name]
        if why := provider.unavailable_reason():
            raise VariantUnavailable(why)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = _threads()
        options.log_severity_level = 3
        with kept_engines(name):
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=provider.settings()
            )  # fmt: skip
        taken = self._session.get_providers()
        if not taken or taken[0] != provider.execution:
            needs = f"; it needs {provider.needs}" if provider.needs else ""
            raise VariantUnavailable(
                f"ONNX Runtime could not load {provider.execution} and used {', '.join(taken)}{needs}."
            )
        self._inputs = [entry.name for entry in self._session.get_inputs()]

    def __call__(self, *arrays: Array) -> Array:
        """The graph's only output for its inputs in order."""
        (output,) = self.outputs(*arrays)
        return output

    def outputs(self, *arrays: Array) -> list[Array]:
        """All outputs of the graph for its inputs in order."""
        feeds = {name: np.ascontiguousarray(array) for name, array in zip(self._inputs, arrays, strict=True)}
        found: list[Array] = self._session.run(None, feeds)
        return found


def _threads() -> int:
    setting = os.environ.get(THREADS_VARIABLE, "1")
    if not setting.isdigit() or int(setting) < 1:
        raise AuparityError(f"{THREADS_VARIABLE}={setting}: expected a whole number of at least 1")
    return int(setting)
