"""Machine code that Numba made, run without importing Numba: LLVM's linker, and the extension modules of Numba that the
code calls (memory of arrays, helpers, function objects). Numba's own way takes 20 ms a kernel and a quarter of a second
for the import; this one takes under a millisecond.
"""

from __future__ import annotations

import builtins
import ctypes
import hashlib
import os
import pickle
import platform
import sys
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numpy as np
from llvmlite import binding

from auparity.cache import NUMBA_VARIABLE

#: Extension modules of Numba that compiled code needs, with what its symbols in them are called.
HELPERS = {"numba._helperlib": "numba_", "numba._dynfunc": "numba_", "numba.core.runtime._nrt_python": "NRT_"}
UNPICKLE = "numba_unpickle"
#: What users tell Numba that leaves the code of a kernel as it is: where it is kept, and threads, which kernels have
#: none of. (Ray's actors are told to use one; kernels are not compiled again for them.)
OTHERWISE = frozenset({NUMBA_VARIABLE, "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY"})
#: Configuration of Numba in the working folder.
CONFIGURATION = Path(".numba_config.yaml")


@lru_cache(maxsize=1)
def machine() -> str:
    """What decides how code is generated here: versions, processor, and what the user tells Numba."""
    told = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in OTHERWISE)
    processor = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())
    configured = CONFIGURATION.read_bytes() if CONFIGURATION.is_file() else b""
    versions = (_numba_version(), llvmlite.__version__, np.__version__, sys.version_info[:2])
    parts = (versions, binding.get_process_triple(), platform.machine(), processor, told, configured)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _folder() -> Path:
    found = find_spec("numba")
    if found is None or found.origin is None:
        raise ImportError("Numba is not installed")
    return Path(found.origin).parent


def _numba_version() -> str:
    """Of the Numba that is installed, the same whether it has been imported or not."""
    version = _folder() / "_version.py"
    return version.read_text(encoding="utf-8") if version.is_file() else str(_folder())


class Linked:
    """Object code in this process's memory, for as long as this object lives.

    Parameters
    ----------
    code : of one module, an object file of this machine.

    Raises
    ------
    RuntimeError : it is not one, or needs symbols that are not there.
    """

    def __init__(self, code: bytes) -> None:
        _add_symbols()
        module = binding.parse_assembly("")
        self._engine = binding.create_mcjit_compiler(module, target_machine())
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def function(self, symbol: str) -> int:
        """Address of a function; RuntimeError without one."""
        return _found(symbol, self._engine.get_function_address(symbol))

    def variable(self, symbol: str) -> int:
        """Address of a global variable; RuntimeError without one."""
        return _found(symbol, self._engine.get_global_value_address(symbol))


def _found(symbol: str, address: int) -> int:
    if not address:
        raise RuntimeError(f"there is no {symbol} in the object code")
    return address


def python_function(
    linked: Linked, wrapper: str, environment: str, environments: dict[str, list[str]], module: ModuleType, name: str
) -> Any:
    """What Python calls: the wrapper that Numba generated around a kernel.

    Parameters
    ----------
    wrapper : its symbol.
    environment : the kernel's own of `environments`.
    environments : dtypes of the arrays that compiled functions make for Python, by symbol of the variable through which
        each function finds them.
    module, name : of the kernel.
    """
    own, kept = _extension("numba._dynfunc"), {}
    for symbol, dtypes in environments.items():
        kept[symbol] = own.Environment(vars(module))
        kept[symbol].consts.extend(np.dtype(each) for each in dtypes)
        ctypes.c_void_p.from_address(linked.variable(symbol)).value = id(kept[symbol])
    alive = (linked, *kept.values())
    return own.make_function(module, name, "", linked.function(wrapper), kept[environment], alive)


def target_machine() -> Any:
    """LLVM's description of this machine, for one engine."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_triple(binding.get_process_triple()).create_target_machine()


@lru_cache(maxsize=1)
def _add_symbols() -> None:
    """Tell LLVM where the functions are that compiled code calls; what is not said here is in this process."""
    if binding.address_of_symbol(UNPICKLE) is None:  # else Numba has been imported, and gave its own
        binding.add_symbol(UNPICKLE, ctypes.cast(_unpickle, ctypes.c_void_p).value)
    for name, prefix in HELPERS.items():
        for symbol, address in _extension(name).c_helpers.items():
            # Names with an underscore are the runtime's own; those of C's mathematics are known without a prefix.
            own = symbol if prefix == "NRT_" and symbol.startswith("_") else prefix + symbol
            if own != UNPICKLE:
                binding.add_symbol(own, address)
            if prefix == "numba_" and binding.address_of_symbol(symbol) is None:
                binding.add_symbol(symbol, address)
    binding.add_symbol("_Py_NoneStruct", id(None))
    for value in vars(builtins).values():
        if isinstance(value, type) and issubclass(value, BaseException):
            binding.add_symbol(f"PyExc_{value.__name__}", id(value))


_unpickled: dict[bytes, Any] = {}


@ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
def _unpickle(address: int, size: int, hashed: int) -> Any:
    """An object that Numba stored in the code, such as the type of arrays; Numba's own function imports all of it."""
    stored = ctypes.string_at(address, size)
    if stored not in _unpickled:
        _unpickled[stored] = pickle.loads(stored)
    return _unpickled[stored]


def _extension(name: str) -> ModuleType:
    """An extension module of Numba, without the package around it; Numba takes it from here if it is imported later."""
    if name in sys.modules:
        return sys.modules[name]
    stem = _folder().joinpath(*name.split(".")[1:])
    paths = [stem.with_name(stem.name + suffix) for suffix in EXTENSION_SUFFIXES]
    path = next((each for each in paths if each.is_file()), None)
    spec = None if path is None else spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"this Numba has no {name}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module
