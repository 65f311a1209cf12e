"""Reads the pickles that published data sets come in, without running what they say.

A pickle is a program. Only the handful of names that arrays, numbers and containers need are
known here, each behind a stand-in that accepts nothing but inert data; every other name is
refused. Python's own unpickler is used in its pure form, because the compiled one can be made to
ask for any amount of memory by a single damaged byte.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import IO, ClassVar

from lifting.errors import DataError
from lifting.files.inert import Dtype, Inert, PendingArray, known_names

_MAX_DEPTH = 32
_UNDER_WAY = object()
# What Python's unpickler raises on damaged bytes, beside its own error.
_DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip


class _RestrictedUnpickler(pickle._Unpickler):
    """An unpickler that knows only the given names."""

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
        try:
            return self._names[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError("it asks for an object outside the file")

    def load_build(self) -> None:
        """Give a state to a stand-in, and to nothing else: not to our own functions."""
        if len(self.stack) < 2 or not isinstance(self.stack[-2], PendingArray | Dtype | Inert):
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
        return _settle(_RestrictedUnpickler(stream, names).load(), 0, {})
    except pickle.UnpicklingError as error:
        reason = str(error)
    except _DAMAGE as error:
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
    if depth > _MAX_DEPTH:
        raise pickle.UnpicklingError(f"it is nested deeper than {_MAX_DEPTH}")
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
