"""The only module that uses TensorRT: it builds engines from ONNX graphs and runs them on the GPU.

A `Workshop` is made once in a process. It keeps the times of kernels (TensorRT's timing cache), so that the many
experts of one form are timed once, and the errors that TensorRT logs, because only its log says why something failed.
Networks are strongly typed: TensorRT 11 has no others, and 10 supports them. Names and signatures were compared with
the Python bindings of 10.13 and 11.4; no NVIDIA machine has built or run an engine with this yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.tensorrt.gpu import Gpu, gpu
from auparity.errors import AuparityError, VariantUnavailable

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[tuple[int, ...], ...]]

#: Memory of a kernel besides its inputs and outputs, limited so that building works beside other work on a GPU.
WORKSPACE_BYTES = 2**30


def tensorrt() -> Any:
    """The installed TensorRT.

    Raises
    ------
    VariantUnavailable : it is not installed, or older than TensorRT 10.
    """
    try:
        import tensorrt
    except ModuleNotFoundError:
        remedy = "pip install 'auparity[tensorrt]', with a driver before 580 also 'tensorrt-cu12' instead of 'tensorrt'"
        raise VariantUnavailable(f"tensorrt is not installed: {remedy}") from None
    except (ImportError, OSError) as error:
        raise VariantUnavailable(f"tensorrt is installed but does not load ({error}): install it again") from None
    if int(tensorrt.__version__.split(".")[0]) < 10:
        raise VariantUnavailable(f"tensorrt {tensorrt.__version__} is too old: pip install 'tensorrt>=10'")
    return tensorrt


@lru_cache(maxsize=1)
def workshop() -> Workshop:
    """The workshop of this process.

    Raises
    ------
    VariantUnavailable : TensorRT or a GPU is missing.
    """
    return Workshop(tensorrt(), gpu())


class Workshop:
    """TensorRT on a GPU."""

    def __init__(self, trt: Any, device: Gpu) -> None:
        self.trt, self.gpu = trt, device
        self.version: str = trt.__version__
        self._log, self._errors = _log(trt)
        self._timings = b""

    def build(self, graph: bytes, profile: Shapes, label: str) -> bytes:
        """A serialised engine of an ONNX graph.

        Parameters
        ----------
        profile : smallest, usual and largest shape of every input.
        label : name of the model, for errors.

        Raises
        ------
        AuparityError : TensorRT refuses an operator, a shape or the whole graph; the message has its log.
        """
        trt = self.trt
        self._errors.clear()
        builder = self._made(trt.Builder, label)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._log)
        if not parser.parse(graph):
            errors = [parser.get_error(k).desc() for k in range(parser.num_errors)]
            raise self.failed(label, "does not take the graph", errors)
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # it rounds the operands of products to 10 bits
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        config.set_timing_cache(config.create_timing_cache(self._timings), False)
        ranges = builder.create_optimization_profile()
        for name, shapes in profile.items():
            ranges.set_shape(name, *shapes)
        if config.add_optimization_profile(ranges) < 0:
            raise self.failed(label, f"does not take the ranges {dict(profile)}")
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise self.failed(label, "builds no engine")
        if (timings := config.get_timing_cache()) is not None:
            self._timings = bytes(timings.serialize())
        return bytes(engine)

    def _made(self, kind: Any, label: str) -> Any:
        try:
            return kind(self._log)
        except (TypeError, RuntimeError) as error:  # how pybind reports that nothing was returned
            raise self.failed(label, f"does not start ({error})") from None

    def failed(self, label: str, what: str, messages: Sequence[str] = ()) -> AuparityError:
        """An error with the reasons that were said or logged."""
        reasons = list(dict.fromkeys([*messages, *self._errors])) or ["it gives no reason"]
        return AuparityError(f"{label}: TensorRT {self.version} {what}: {'; '.join(reasons)}")

    def load(self, data: bytes, label: str) -> Engine:
        """An engine that can be run.

        Raises
        ------
        AuparityError : TensorRT does not take it.
        """
        self._errors.clear()
        runtime = self._made(self.trt.Runtime, label)
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise self.failed(label, "cannot load it, delete it and export again")
        return Engine(self, runtime, engine, label)


class Engine:
    """A loaded engine."""

    def __init__(self, shop: Workshop, runtime: Any, engine: Any, label: str) -> None:
        self._shop, self._runtime, self._engine, self._label = shop, runtime, engine, label
        self._input = shop.trt.TensorIOMode.INPUT
        self.names: list[str] = [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]

    def is_input(self, name: str) -> bool:
        """Whether a tensor is an input."""
        return bool(self._engine.get_tensor_mode(name) == self._input)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of a tensor."""
        return np.dtype(self._shop.trt.nptype(self._engine.get_tensor_dtype(name)))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor; -1 for dynamic dimensions."""
        return tuple(self._engine.get_tensor_shape(name))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name.

        Raises
        ------
        AuparityError : an input is outside of its range; TensorRT refuses to run.
        """
        shop = self._shop
        context = self._engine.create_execution_context()
        if context is None:
            raise shop.failed(self._label, "makes no context for it")
        held = {name: shop.gpu.upload(np.asarray(array, self.dtype(name))) for name, array in feeds.items()}
        for name, array in feeds.items():
            if not context.set_input_shape(name, tuple(array.shape)):
                raise shop.failed(self._label, f"does not take {array.shape} for {name}")
        outputs = [name for name in self.names if not self.is_input(name)]
        for name in outputs:
            held[name] = shop.gpu.empty(tuple(context.get_tensor_shape(name)), self.dtype(name))
        for name, array in held.items():
            if not context.set_tensor_address(name, shop.gpu.address(array)):
                raise shop.failed(self._label, f"does not take the memory of {name}")
        if not context.execute_async_v3(shop.gpu.stream):
            raise shop.failed(self._label, "does not run it")
        return {name: shop.gpu.download(held[name]) for name in outputs}


def _log(trt: Any) -> tuple[Any, list[str]]:
    """A logger for TensorRT and the errors that it collects."""
    errors: list[str] = []

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                errors.append(message.strip())

    return Log(), errors
