"""The pickles inside PyTorch's files, interpreted without Python's unpickler: no code of a file can run.

A pickle is a program for a small stack machine. `read_pickle` steps through its instructions, as `pickletools` lists
them, and knows those that build plain values, lists, tuples and dictionaries. Of what a pickle may call, it knows the
three functions with which PyTorch writes a state dict: `OrderedDict`, `_rebuild_tensor` (with `_v2`) and
`_rebuild_parameter`. They become `TensorRecord`s and dictionaries here; any other name is refused, and nothing is ever
imported. Values that refer to themselves or to each other cost nothing, because they are neither compared nor copied.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NoReturn

from auparity.errors import ModelFormatError

#: Largest pickle: that of a state dict of 1,450 tensors has 0.2 MB, with an optimiser's state 1 MB. What is built from
#: it takes at most 70 times as much memory (a byte makes an empty dictionary).
MAX_PICKLE = 4 * 2**20
MAX_AXES = 8
ADVICE = (
    "Only state dicts of tensors and plain values are read. In PyTorch, load the file where you trust it, and save "
    "`model.state_dict()` by itself."
)

#: NumPy's type of each storage class; bfloat16 is read as the upper half of a float32.
STORAGES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf16", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "b1",
}  # fmt: skip
_CALLABLE = {
    "collections OrderedDict": "dict",
    "torch._utils _rebuild_tensor": "tensor",
    "torch._utils _rebuild_tensor_v2": "tensor",
    "torch._utils _rebuild_parameter": "parameter",
}


@dataclass(frozen=True)
class StorageRecord:
    """A block of numbers that a pickle refers to."""

    key: str  #: its name in the file
    kind: str  #: one of the values of `STORAGES`
    count: int  #: numbers


@dataclass(frozen=True)
class TensorRecord:
    """A tensor: numbers of a storage from `offset` on, `strides` apart along each axis; all counted in numbers."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A class or function that the pickle named."""

    name: str


class _Mark:
    pass


_MARK = _Mark()


class PickleReader:
    """Interprets the pickles of one file.

    Parameters
    ----------
    data : of the pickle, and in legacy files of what follows it.
    label : path of the file, for errors.
    offset : of the first pickle.
    """

    def __init__(self, data: bytes, label: str, offset: int = 0) -> None:
        self._stream = BytesIO(data)
        self._stream.seek(offset)
        self._label = label
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    @property
    def offset(self) -> int:
        """Where the last pickle ended."""
        return self._stream.tell()

    def read(self) -> Any:
        """The value of the next pickle.

        Raises
        ------
        ModelFormatError : it is damaged, too long, or names anything but tensors and plain values.
        """
        self._stack, self._memo = [], {}
        start = self._stream.tell()
        for name, argument in self._instructions():
            if self._stream.tell() - start > MAX_PICKLE:
                self.fail(f"a pickle of at most {MAX_PICKLE} bytes", "a longer one")
            if name == "STOP":
                return self._pop()
            self._step(name, argument)
        self.fail("the end of a pickle", "the end of the file")

    def fail(self, expected: str, found: str) -> NoReturn:
        raise ModelFormatError(self._label, self._stream.tell(), expected, found, ADVICE)

    def _instructions(self) -> Iterator[tuple[str, Any]]:
        try:
            for instruction, argument, _ in pickletools.genops(self._stream):
                yield instruction.name, argument
        except ModelFormatError:
            raise
        except Exception as error:  # bytes from outside: `pickletools` promises no type of error
            self.fail("a pickle", f"{type(error).__name__}: {str(error)[:80]}")

    def _step(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(_VALUES[name](argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            self.fail("instructions that build tensors and plain values", name)

    # What the instructions do, in the order of the table below.

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            self.fail("a value on the stack", "none")
        return self._stack.pop()

    def _top(self, kind: type[Any]) -> Any:
        value = self._stack[-1] if self._stack else None
        if not isinstance(value, kind):
            self.fail(f"a {kind.__name__} to fill", type(value).__name__)
        return value

    def _since_mark(self) -> list[Any]:
        for k in range(len(self._stack) - 1, -1, -1):
            if self._stack[k] is _MARK:
                values = self._stack[k + 1 :]
                del self._stack[k:]
                return values
        self.fail("a mark on the stack", "none")

    def _tuple_of(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(values)))

    def _fill(self, target: dict[Any, Any], values: list[Any]) -> None:
        if len(values) % 2:
            self.fail("pairs of keys and values", f"{len(values)} of them")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | int):
                self.fail("keys that are text or whole numbers", type(key).__name__)
            target[key] = value

    def _dict(self, values: list[Any]) -> None:
        made: dict[Any, Any] = {}
        self._fill(made, values)
        self._stack.append(made)

    def _set_items(self, values: list[Any]) -> None:
        self._fill(self._top(dict), values)

    def _append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def _put(self, index: int) -> None:
        if not self._stack or self._stack[-1] is _MARK:
            self.fail("a value on the stack", "none")
        self._memo[index] = self._stack[-1]

    def _get(self, index: int) -> None:
        if index not in self._memo:
            self.fail("a value that was stored", f"number {index}")
        self._stack.append(self._memo[index])

    def _global(self, name: Any) -> None:
        text = str(name)
        module, _, attribute = text.partition(" ")
        if text not in _CALLABLE and not (module == "torch" and attribute in STORAGES):
            self.fail("tensors and plain values", f"the name {ascii(text)[:100]}")
        self._stack.append(_Name(text))

    def _stack_global(self) -> None:
        attribute, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            self.fail("two texts that make a name", f"{type(module).__name__} and {type(attribute).__name__}")
        self._global(f"{module} {attribute}")

    def _build(self) -> None:
        """Attributes of an `OrderedDict` (PyTorch's `_metadata`): of no use here."""
        self._pop()
        self._top(dict)

    def _persistent(self) -> None:
        """A storage: ("storage", class, key, device, numbers), and in legacy files a view, which must be None."""
        value = self._pop()
        fits = isinstance(value, tuple) and len(value) in (5, 6) and value[0] == "storage"
        if not fits or any(view is not None for view in value[5:]):
            self.fail("a storage", _named(value))
        _, kind, key, _, count = value[:5]
        if not isinstance(kind, _Name) or not kind.name.startswith("torch "):
            self.fail("the class of a storage", _named(kind))
        if not isinstance(key, str) or type(count) is not int or count < 0:
            self.fail("name and size of a storage", f"{_named(key)} and {_named(count)}")
        self._stack.append(StorageRecord(key, STORAGES[kind.name.partition(" ")[2]], count))

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        kind = _CALLABLE.get(function.name) if isinstance(function, _Name) else None
        if kind is None or not isinstance(arguments, tuple):
            self.fail("tensors and plain values", f"a call of {_named(function)}")
        if kind == "dict":
            self._ordered_dict(arguments)
        elif kind == "parameter":
            if not arguments or not isinstance(arguments[0], TensorRecord):
                self.fail("the tensor of a parameter", _named(arguments))
            self._stack.append(arguments[0])
        else:
            self._stack.append(self._tensor(arguments))

    def _ordered_dict(self, arguments: tuple[Any, ...]) -> None:
        pairs = arguments[0] if arguments else []
        if len(arguments) > 1 or not isinstance(pairs, list) or not all(_is_pair(pair) for pair in pairs):
            self.fail("the pairs of a dictionary", _named(arguments))
        self._dict([value for pair in pairs for value in pair])

    def _tensor(self, arguments: tuple[Any, ...]) -> TensorRecord:
        if len(arguments) < 4 or not isinstance(arguments[0], StorageRecord):
            self.fail("storage, offset, shape and strides of a tensor", _named(arguments))
        storage, offset, shape, strides = arguments[:4]
        if not _sizes(shape) or not _sizes(strides) or len(shape) != len(strides) or not _sizes((offset,)):
            self.fail("offset, shape and strides of a tensor", f"{_named(shape)}, {_named(strides)}")
        return TensorRecord(storage, offset, shape, strides)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _sizes(values: Any) -> bool:
    """Whether these are whole numbers from 0 on that 64 bits hold, not too many."""
    whole = isinstance(values, tuple) and len(values) <= MAX_AXES
    return whole and all(type(value) is int and 0 <= value < 2**62 for value in values)


def _named(value: Any) -> str:
    """What a value is, for messages: never its content, which may be endless."""
    if isinstance(value, _Name):
        return ascii(value.name)[:100]
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


_SAME: Callable[[Any], Any] = lambda value: value  # noqa: E731
_VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
         "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
         "BINBYTES8"), _SAME
    ),
    "MARK": lambda _: _MARK,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
}  # fmt: skip
_ACTIONS: dict[str, Callable[[PickleReader, Any], Any]] = {
    "PROTO": lambda reader, _: None,
    "FRAME": lambda reader, _: None,
    "POP": lambda reader, _: reader._pop(),
    "TUPLE": lambda reader, _: reader._stack.append(tuple(reader._since_mark())),
    "TUPLE1": lambda reader, _: reader._tuple_of(1),
    "TUPLE2": lambda reader, _: reader._tuple_of(2),
    "TUPLE3": lambda reader, _: reader._tuple_of(3),
    "LIST": lambda reader, _: reader._stack.append(reader._since_mark()),
    "DICT": lambda reader, _: reader._dict(reader._since_mark()),
    "SETITEM": lambda reader, _: reader._set_items([reader._pop(), reader._pop()][::-1]),
    "SETITEMS": lambda reader, _: reader._set_items(reader._since_mark()),
    "APPEND": lambda reader, _: reader._append([reader._pop()]),
    "APPENDS": lambda reader, _: reader._append(reader._since_mark()),
    "PUT": lambda reader, index: reader._put(index),
    "BINPUT": lambda reader, index: reader._put(index),
    "LONG_BINPUT": lambda reader, index: reader._put(index),
    "MEMOIZE": lambda reader, _: reader._put(len(reader._memo)),
    "GET": lambda reader, index: reader._get(index),
    "BINGET": lambda reader, index: reader._get(index),
    "LONG_BINGET": lambda reader, index: reader._get(index),
    "GLOBAL": lambda reader, name: reader._global(name),
    "STACK_GLOBAL": lambda reader, _: reader._stack_global(),
    "BUILD": lambda reader, _: reader._build(),
    "BINPERSID": lambda reader, _: reader._persistent(),
    "REDUCE": lambda reader, _: reader._reduce(),
}
