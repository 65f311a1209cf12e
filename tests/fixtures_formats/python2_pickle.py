"""Writes pickles as Python 2 wrote them, and damages files byte by byte."""

from __future__ import annotations

import io
import pickle
import random
import struct
import sys
import types
from contextlib import contextmanager
from typing import ClassVar


class Python2Pickler(pickle._Pickler):
    """Text and bytes are one type, stored raw; names of modules are the old ones."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_raw(self, value):
        raw = value.encode("latin1") if isinstance(value, str) else bytes(value)
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = save_raw
    dispatch[bytes] = save_raw


def python2_dumps(value, protocol=2):
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=protocol).dump(value)
    return stream.getvalue().replace(b"numpy._core.", b"numpy.core.")


@contextmanager
def named_class(module, name):
    """A class that a pickle calls ``module.name``, of a library that need not be there."""
    made = type(name, (), {"__module__": module})
    parts = module.split(".")
    fakes = {".".join(parts[: i + 1]): types.ModuleType(module) for i in range(len(parts))}
    before = {key: sys.modules.get(key) for key in fakes}
    sys.modules.update(fakes)
    setattr(sys.modules[module], name, made)
    try:
        yield made
    finally:
        for key, old in before.items():
            if old is None:
                del sys.modules[key]
            else:
                sys.modules[key] = old


def damaged_bytes(raw, count, seed=0):
    """Damaged versions of a file's bytes: some changed, some cut short."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = bytearray(raw)
        limit = rng.choice((len(raw), min(len(raw), 400)))
        for _ in range(rng.randint(1, 6)):
            changed[rng.randrange(limit)] = rng.randrange(256)
        if rng.random() < 0.2:
            del changed[rng.randrange(len(changed)) :]
        yield bytes(changed)
