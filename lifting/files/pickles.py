"""Reads the pickles that published data sets come in, without running what they say.

A pickle is a program. Only the handful of names that arrays, numbers and containers need are
known here, each behind a stand-in that accepts nothing but inert data; every other name is
refused. Python's own unpickler is used in its pure form, because the compiled one can be made to
ask for any amount of memory by a single damaged byte.

The stand-ins take the place of numpy's own constructors, so that no constructor ever runs with
arguments from a file before they were checked. Lists of names that libraries store as pickles are
scanned word by word: only the instructions that build lists, tuples, texts and whole numbers are
known there, and every other one ends the scan.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, ClassVar

import numpy as np

from lifting.errors import DataError

_PLAIN_DTYPE = re.compile(r"[|<>=]?[bfiuSU]\d+|[|]?b1|O8?")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")

MAX_DEPTH = 32
_UNDER_WAY = object()
# What Python's unpickler raises on damaged bytes, beside its own error.
DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip

_VALUES = {"UNICODE", "BINUNICODE", "STRING", "SHORT_BINSTRING", "INT", "BININT1"}
_PUT, _GET = {"PUT", "BINPUT"}, {"GET", "BINGET"}
_MARK = object()


@dataclass
class Dtype:
    """A number type on its way out of a pickle."""

    code: str

    def __setstate__(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "=", "|") or not isinstance(state, tuple) or any(state[2:5]):
            raise pickle.UnpicklingError(f"unexpected state of a number type: {state!r:.80}")
        if order in "<>" and self.code[0] not in "<>|O":
            self.code = order + self.code

    @property
    def is_object(self) -> bool:
        """Whether it stands for Python objects rather than numbers or text."""
        return self.code.startswith("O")

    def plain(self) -> np.dtype[np.generic]:
        """The numpy type; refuses objects."""
        if self.is_object:
            raise pickle.UnpicklingError("an array of objects where numbers were expected")
        return np.dtype(self.code)


@dataclass
class PendingArray:
    """An array on its way out of a pickle: filled by its state, checked before it is made."""

    value: np.ndarray | None = None
    objects: list[object] | None = None

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("unexpected state of an array")
        _, shape, dtype, fortran, raw = state
        count = _count(shape)
        if not isinstance(dtype, Dtype):
            raise pickle.UnpicklingError(f"expected a number type in an array, got {dtype!r:.80}")
        if dtype.is_object:
            if not isinstance(raw, list) or len(raw) != count:
                raise pickle.UnpicklingError("the objects of an array do not fill its shape")
            self.objects = raw
            return
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        kind = dtype.plain()
        if not isinstance(data, bytes | bytearray) or len(data) != count * kind.itemsize:
            raise pickle.UnpicklingError(f"the bytes of an array do not fill its shape {shape}")
        flat = np.frombuffer(data, kind, count)
        self.value = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


@dataclass
class Inert:
    """Stands in for an object of a known library and keeps its state only.

    Attributes:
        name: Qualified name of the class it stands for.
        state: What the pickle gave it; arrays are plain by the time a caller sees it.
    """

    name: str
    state: object = field(default=None)

    def __setstate__(self, state: object) -> None:
        self.state = state


def _count(shape: object) -> int:
    if not isinstance(shape, tuple) or len(shape) > 8:
        raise pickle.UnpicklingError(f"unexpected shape of an array: {shape!r:.80}")
    sizes = [n for n in shape if isinstance(n, int) and n >= 0]
    if len(sizes) != len(shape):
        raise pickle.UnpicklingError(f"unexpected shape of an array: {shape!r:.80}")
    return math.prod(sizes)


def _dtype(code: object, *_: object) -> Dtype:
    text = code.decode("latin1") if isinstance(code, bytes) else code
    if not isinstance(text, str) or not _PLAIN_DTYPE.fullmatch(text):
        raise pickle.UnpicklingError(f"unexpected number type {code!r:.40}")
    return Dtype(text)


def _array_type(*_: object) -> None:
    raise pickle.UnpicklingError("an array is made directly rather than rebuilt")


def _reconstruct(kind: object, shape: object, code: object) -> PendingArray:
    if kind is not _array_type or shape != (0,) or code not in (b"b", "b"):
        raise pickle.UnpicklingError("unexpected arguments of an array's reconstruction")
    return PendingArray()


def _scalar(dtype: object, data: object = b"") -> object:
    raw = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(dtype, Dtype) or not isinstance(raw, bytes):
        raise pickle.UnpicklingError("unexpected arguments of a number")
    kind = dtype.plain()
    if len(raw) != kind.itemsize:
        raise pickle.UnpicklingError(f"expected {kind.itemsize} bytes of a number, got {len(raw)}")
    return np.frombuffer(raw, kind, 1)[0].item()


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> PendingArray:
    array = PendingArray()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("expected text encoded as latin1")
    return text.encode("latin1")


def _only(kind: type, *accepted: type) -> Callable[..., object]:
    """A constructor that takes nothing, or one value of the accepted types."""

    def make(*args: object) -> object:
        if not args:
            return kind()
        if len(args) > 1 or not isinstance(args[0], accepted):
            raise pickle.UnpicklingError(f"unexpected arguments of {kind.__name__}")
        return kind(args[0])

    return make


_CONTAINERS = (list, tuple, set, dict)
_BUILTINS: Mapping[str, Callable[..., object]] = {
    "list": _only(list, *_CONTAINERS),
    "dict": _only(dict, *_CONTAINERS),
    "tuple": _only(tuple, *_CONTAINERS),
    "set": _only(set, *_CONTAINERS),
    "int": _only(int, int, float),
    "float": _only(float, int, float),
    "str": _only(str, str),
    "bytes": _only(bytes, bytes),
    "bytearray": _only(bytearray, bytes, bytearray),
}


def known_names() -> dict[tuple[str, str], Callable[..., object]]:
    """Stand-in of every name a data pickle may ask for, by (module, name)."""
    names: dict[tuple[str, str], Callable[..., object]] = {
        ("numpy", "ndarray"): _array_type,
        ("numpy", "dtype"): _dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): _only(dict, *_CONTAINERS),
    }
    for module in _MULTIARRAY:
        names[module, "_reconstruct"] = _reconstruct
        names[module, "scalar"] = _scalar
    for module in _NUMERIC:
        names[module, "_frombuffer"] = _from_buffer
    for module in ("builtins", "__builtin__"):
        names.update({(module, name): make for name, make in _BUILTINS.items()})
    return names


class UnknownName(pickle.UnpicklingError):
    """A pickle asks for what is not known here."""


class RestrictedUnpickler(pickle._Unpickler):
    """An unpickler that knows only the given names.

    Args:
        stream: Stands at a pickle.
        names: What stands for every name it may ask for, by (module, name).
    """

    stateful: ClassVar[tuple[type, ...]] = (PendingArray, Dtype, Inert)
    """Whose state a pickle may set."""
    stack: list[object]
    read: Callable[[int], bytes]
    append: Callable[[object], None]
    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def __init__(
        self, stream: IO[bytes], names: Mapping[tuple[str, str], Callable[..., object]]
    ) -> None:
        super().__init__(stream, encoding="latin1")
        self._names = names

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """What stands for a name."""
        try:
            return self._names[module, name]
        except KeyError:
            raise UnknownName(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: object) -> object:
        """Refuse what lies outside the pickle."""
        raise pickle.UnpicklingError("it asks for an object outside the file")

    def load_build(self) -> None:
        """Give a state to a stand-in, and to nothing else: not to our own functions."""
        if len(self.stack) < 2 or not isinstance(self.stack[-2], self.stateful):
            raise pickle.UnpicklingError("it sets the state of something that has none")
        super().load_build()  # type: ignore[misc]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]

    def load_bytearray(self) -> None:
        """Read first, allocate then: the length that a file claims may be any."""
        (claimed,) = struct.unpack("<Q", self.read(8))
        data = self.read(claimed)
        if len(data) != claimed:
            raise pickle.UnpicklingError("its bytes end early")
        self.append(bytearray(data))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray  # type: ignore[assignment]


def read_pickle(
    data: bytes | IO[bytes], where: str, inert: Iterable[tuple[str, str]] = ()
) -> object:
    """Read a pickle made of containers, texts, numbers and arrays.

    Args:
        data: The pickle, of any protocol, or a stream that stands at one; text of Python 2 is
            read as latin1. What a stream raises goes through.
        where: Names the file in messages.
        inert: Further classes, (module, name), to be replaced by :class:`Inert` objects, for
            formats whose arrays are wrapped.

    Returns:
        Dictionaries, lists, tuples, texts, numbers and numpy arrays of numbers.

    Raises:
        DataError: The pickle is damaged, or asks for anything but inert data.
    """
    names = known_names()
    for module, name in inert:
        names[module, name] = _inert_maker(f"{module}.{name}")
    try:
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        return _settle(RestrictedUnpickler(stream, names).load(), 0, {})
    except pickle.UnpicklingError as error:
        reason = str(error)
    except DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"
    raise DataError(
        f"expected plain arrays and containers in {where}, but the pickle is damaged or unsafe: "
        f"{reason:.200}; nothing of it was run; get the file again from its source"
    )


def _inert_maker(name: str) -> Callable[..., object]:
    class Maker(Inert):
        def __new__(cls, *args: object, **kwargs: object) -> Maker:
            made = super().__new__(cls)
            Inert.__init__(made, name)
            return made

        def __init__(self, *args: object, **kwargs: object) -> None:
            """Everything a file says of it comes by its state."""

    return Maker


def _settle(value: object, depth: int, done: dict[int, object]) -> object:
    """Replace stand-ins by what they stand for; refuse what is too deep or of another kind."""
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError(f"it is nested deeper than {MAX_DEPTH}")
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return value
    if id(value) in done:
        if done[id(value)] is _UNDER_WAY:
            raise pickle.UnpicklingError("it contains itself")
        return done[id(value)]
    done[id(value)] = _UNDER_WAY
    done[id(value)] = settled = _settle_new(value, depth + 1, done)
    return settled


def _settle_new(value: object, depth: int, done: dict[int, object]) -> object:
    if isinstance(value, PendingArray):
        if value.objects is not None:
            return [_settle(v, depth, done) for v in value.objects]
        if value.value is None:
            raise pickle.UnpicklingError("an array was never filled")
        return value.value
    if isinstance(value, dict):
        return {_key(k): _settle(v, depth, done) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(_settle(v, depth, done) for v in value)
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, Inert):
        return Inert(value.name, _settle(value.state, depth, done))
    raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")


def _key(key: object) -> object:
    if not isinstance(key, str | bytes | int | float | tuple):
        raise pickle.UnpicklingError(f"it has a key of type {type(key).__name__}")
    return key.decode("latin1") if isinstance(key, bytes) else key


def read_pickled_names(text: str, where: str) -> object:
    """Lists and tuples of texts and whole numbers.

    Args:
        text: The pickle, of protocol 0 as PyTables stores the columns of a table.
        where: Names the place in messages.

    Raises:
        DataError: It is damaged, or asks for anything else.
    """
    try:
        return _scan(text.encode("latin-1", "replace"))
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"expected plain lists of names in {where}, but they are damaged or unsafe: "
            f"{error!s:.120}; nothing of it was run; export the file again, as csv"
        ) from error


def _scan(data: bytes) -> object:
    stack: list[object] = []
    memo: dict[object, object] = {}
    for instruction, value, _ in pickletools.genops(data):
        name = instruction.name
        if name in _VALUES:
            stack.append(value)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("LIST", "EMPTY_LIST"):
            stack.append(_since_mark(stack) if name == "LIST" else [])
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            target = stack[-1]
            if not isinstance(target, list):
                raise TypeError("it adds to what is no list")
            target.extend(items)
        elif name in _PUT:
            memo[value] = stack[-1]
        elif name in _GET:
            stack.append(memo[value])
        elif name == "STOP":
            return stack.pop()
        else:
            raise ValueError(f"it asks for {name}")
    raise ValueError("it has no end")


def _since_mark(stack: list[object]) -> list[object]:
    """What was put on the stack since the last mark, taken from it."""
    items: list[object] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]
