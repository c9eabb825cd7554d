"""A TensorRT for tests, with the names and signatures of 10 and 11: its engines are graphs that ONNX Runtime runs.

As strict as the real one in what we rely on: float64 and networks that are not strongly typed are refused, ranges must
cover every dynamic dimension, shapes outside of them are not taken, tensors are read and written at addresses of
memory, and why something failed is only said to the logger. `Machine` also plays the GPU, with memory of the processor.
"""

from __future__ import annotations

import ast
import ctypes
import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

MAGIC = b"a plan of these tests\n"


class HostMemory(bytearray):
    """What TensorRT returns for bytes: something with the buffer protocol."""


@dataclass
class HostGpu:
    """A GPU whose memory is the processor's."""

    name: str = "NVIDIA Test"
    capability: str = "9.0"
    stream: int = 7
    uploads: list[np.dtype[Any]] = field(default_factory=list)

    def upload(self, array):
        self.uploads.append(array.dtype)
        return np.array(array, order="C")

    def empty(self, shape, dtype):
        return np.full(shape, 77, dtype)

    def address(self, array):
        return array.ctypes.data

    def download(self, array):
        return array


@dataclass
class Machine:
    """A machine with TensorRT and a GPU, and everything that was asked of them."""

    version: str = "10.13.3.9"
    gpu: HostGpu = field(default_factory=HostGpu)
    networks: list[int] = field(default_factory=list)  #: flags of each
    configs: list[Any] = field(default_factory=list)
    refuse_graph: str = ""  #: what the parser says
    refuse_build: str = ""  #: what the builder logs
    refuse_start: bool = False

    def module(self):
        """What `import tensorrt` gives."""
        machine = self
        bound = {kind.__name__: type(kind.__name__, (kind,), {"machine": machine}) for kind in (Builder, Runtime)}
        return SimpleNamespace(
            __version__=self.version, ILogger=ILogger, OnnxParser=type("P", (OnnxParser,), {"machine": machine}),
            NetworkDefinitionCreationFlag=CreationFlag, BuilderFlag=BuilderFlag, MemoryPoolType=MemoryPoolType,
            TensorIOMode=TensorIOMode, nptype=helper.tensor_dtype_to_np_dtype, **bound,
        )  # fmt: skip


class Severity(enum.Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class ILogger(ABC):
    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING
    INFO, VERBOSE = Severity.INFO, Severity.VERBOSE

    def __init__(self):
        self.made = True

    @abstractmethod
    def log(self, severity, message): ...


class CreationFlag(enum.IntEnum):
    EXPLICIT_BATCH, STRONGLY_TYPED = 0, 1


class BuilderFlag(enum.Enum):
    TF32, DEBUG = range(2)


class MemoryPoolType(enum.Enum):
    WORKSPACE, TACTIC_DRAM = range(2)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        if any(not 0 <= low <= mid <= high for low, mid, high in zip(min, opt, max, strict=True)):
            raise ValueError("inconsistent shapes")
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))


class Config:
    def __init__(self):
        self.flags, self.pools, self.profiles, self.cache = {BuilderFlag.TF32}, {}, [], None

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache):
        return SimpleNamespace(known=bytes(serialized_timing_cache), serialize=lambda: HostMemory(b"timings"))

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    machine: Machine

    def __init__(self, logger):
        if self.machine.refuse_start:
            logger.log(ILogger.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        assert logger.made, "ILogger.__init__ was called"
        self.logger = logger

    def create_network(self, flags=0):
        self.machine.networks.append(flags)
        return SimpleNamespace(model=None)

    def create_builder_config(self):
        self.machine.configs.append(Config())
        return self.machine.configs[-1]

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        reason = self.machine.refuse_build
        ranges = config.profiles[0].shapes
        for entry in network.model.graph.input:
            dims = entry.type.tensor_type.shape.dim
            given = ranges.get(entry.name, ((),) * 3)
            if len(given[0]) != len(dims):
                reason = f"{entry.name} has no range"
                break
            for dim, low, high in zip(dims, given[0], given[2], strict=True):
                if not dim.dim_param and not low == high == dim.dim_value:
                    reason = f"{entry.name}: {low}..{high} is not {dim.dim_value}"
        if reason:
            self.logger.log(ILogger.WARNING, "only a warning")
            self.logger.log(ILogger.ERROR, reason)
            return None
        header = repr(ranges).encode() + b"\n"
        return HostMemory(MAGIC + header + network.model.SerializeToString())


class OnnxParser:
    machine: Machine

    def __init__(self, network, logger):
        self.network, self.said = network, []

    @property
    def num_errors(self):
        return len(self.said)

    def get_error(self, index):
        return SimpleNamespace(desc=lambda: self.said[index])

    def parse(self, model, path=None):
        self.network.model = onnx.ModelProto.FromString(model)
        inferred = onnx.shape_inference.infer_shapes(self.network.model, strict_mode=True).graph
        values = (*inferred.input, *inferred.output, *inferred.value_info)
        kinds = {value.type.tensor_type.elem_type for value in values} | {i.data_type for i in inferred.initializer}
        if TensorProto.DOUBLE in kinds:
            self.said.append("DOUBLE is not supported")
        if not self.machine.networks[-1] & 1 << CreationFlag.STRONGLY_TYPED:
            self.said.append("not strongly typed")
        if self.machine.refuse_graph:
            self.said.append(self.machine.refuse_graph)
        return not self.said


class Runtime:
    machine: Machine

    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        if not serialized_engine.startswith(MAGIC):
            self.logger.log(ILogger.ERROR, "magic tag does not match")
            return None
        ranges, model = serialized_engine[len(MAGIC) :].split(b"\n", 1)
        return CudaEngine(ast.literal_eval(ranges.decode()), onnx.ModelProto.FromString(model))


class CudaEngine:
    def __init__(self, ranges, model):
        self.ranges, self.model = ranges, model
        self.tensors = {v.name: v for v in (*model.graph.output, *model.graph.input)}  # in an order of its own

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.ranges else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self.tensors[name].type.tensor_type.elem_type

    def get_tensor_shape(self, name):
        return tuple(-1 if d.dim_param else d.dim_value for d in self.tensors[name].type.tensor_type.shape.dim)

    def create_execution_context(self):
        return Context(self)


class Context:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses = engine, {}, {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = onnxruntime.InferenceSession(
            engine.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def set_input_shape(self, name, shape):
        low, _, high = self.engine.ranges[name]
        self.shapes[name] = tuple(shape)
        return len(shape) == len(low) and all(a <= n <= b for a, n, b in zip(low, shape, high, strict=True))

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return True

    def dtype(self, name):
        return np.dtype(helper.tensor_dtype_to_np_dtype(self.engine.get_tensor_dtype(name)))

    def run(self, feeds):
        names = [entry.name for entry in self.engine.model.graph.output]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def get_tensor_shape(self, name):
        return self.run({k: np.zeros(shape, self.dtype(k)) for k, shape in self.shapes.items()})[name].shape

    def execute_async_v3(self, stream_handle):
        assert stream_handle == 7
        feeds = {}
        for name, shape in self.shapes.items():
            size = int(np.prod(shape)) * self.dtype(name).itemsize
            data = ctypes.string_at(self.addresses[name], size)
            feeds[name] = np.frombuffer(data, self.dtype(name)).reshape(shape)
        for name, array in self.run(feeds).items():
            ctypes.memmove(self.addresses[name], np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return True
