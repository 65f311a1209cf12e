"""Stand-ins for what a data pickle may name: each accepts nothing but inert data.

``pickles`` gives them to its unpickler in place of numpy's own constructors, so that no
constructor ever runs with arguments from a file before they were checked.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

_PLAIN_DTYPE = re.compile(r"[|<>=]?[bfiuSU]\d+|[|]?b1|O8?")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


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
