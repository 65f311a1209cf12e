"""Damaged and forged copies of a checkpoint.

Damage leaves the checksums of the archive as they were: bytes, cuts, sizes, the directory. A
forgery has right checksums over a changed pickle or changed members.
"""

from __future__ import annotations

import io
import pickletools
import random
import struct
import zipfile

FORGERIES = ("pickle", "pickle cut", "number", "word", "member", "gone", "again", "small")
STRANGE = (
    "posix system", "torch._utils _rebuild_sparse_tensor", "torch._utils _rebuild_qtensor",
    "torch ComplexFloatStorage", "torch._utils _rebuild_meta_tensor_no_storage", "meta",
)  # fmt: skip
HUGE = (2**31 - 1, 2**40, 2**63 - 1, -1, 0)


def damaged(content, rng):
    """One damaged version of a file's bytes, and the kind of damage."""
    raw = bytearray(content)
    directory = raw.rindex(b"PK\x05\x06") - 46 * content.count(b"PK\x01\x02")
    kind = rng.choice(("bytes", "bit", "header", "directory", "end", "cut", "longer", "hole"))
    if kind == "bit":
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del raw[rng.randrange(len(raw)) :]
    elif kind == "longer":
        raw[rng.randrange(len(raw)) :][:0] = rng.randbytes(rng.randrange(1, 100))
        at = rng.randrange(len(raw))
        raw[at:at] = rng.randbytes(rng.randrange(1, 100))
    elif kind == "hole":
        at = rng.randrange(len(raw))
        size = min(rng.randrange(1, 5000), len(raw) - at)
        raw[at : at + size] = bytes(size)
    else:
        low, high = {
            "bytes": (0, len(raw)),
            "header": (0, 1000),
            "directory": (max(0, directory), len(raw)),
            "end": (len(raw) - 100, len(raw)),
        }[kind]
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(low, high)] = rng.randrange(256)
    return bytes(raw), kind


def forged(content, rng):
    """One forged version of a file's bytes, and the kind of forgery."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in members if name.endswith("/data.pkl"))
    kind = rng.choice(
        ("pickle", "pickle cut", "number", "word", "member", "gone", "again", "small")
    )
    method = zipfile.ZIP_STORED
    if kind == "pickle":
        members[pickled] = _bytes(members[pickled], rng)
    elif kind == "pickle cut":
        members[pickled] = members[pickled][: rng.randrange(len(members[pickled]))]
    elif kind == "number":
        members[pickled] = _number(members[pickled], rng)
    elif kind == "word":
        members[pickled] = _word(members[pickled], rng)
    elif kind == "member":
        name = rng.choice(sorted(members))
        members[name] = members[name][: rng.randrange(len(members[name]) + 1)] + rng.randbytes(
            rng.randrange(64)
        )
    elif kind == "gone":
        del members[rng.choice(sorted(members))]
    elif kind == "small":
        method = zipfile.ZIP_DEFLATED
    parts = list(members.items())
    if kind == "again":
        parts.append(rng.choice(parts))
    return archive_of(parts, method), kind


def archive_of(parts, method=zipfile.ZIP_STORED):
    """The bytes of an archive of members, which may bear one name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in parts:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return stream.getvalue()


def mutations(content, count, seed=0):
    """Versions of a file: half of them damaged, half forged.

    Yields:
        The bytes, the kind, and whether checksums were left as they were.
    """
    rng = random.Random(seed)
    for i in range(count):
        change = damaged if i % 2 == 0 else forged
        yield *change(content, rng), change is damaged


def _bytes(data, rng):
    raw = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def _number(data, rng):
    """Another value for one whole number: a size, a stride, a count of elements."""
    places = [
        (at, op.name) for op, _, at in pickletools.genops(data) if op.name.startswith("BININT")
    ]
    at, name = rng.choice(places)
    size = {"BININT": 4, "BININT1": 1, "BININT2": 2}[name]
    value = rng.choice(HUGE)
    packed = b"\x8a\x09" + value.to_bytes(9, "little", signed=True)  # LONG1
    if rng.random() < 0.3:
        packed = b"G" + struct.pack(">d", rng.choice((0.5, 1e300, float("inf"))))  # BINFLOAT
    return data[:at] + packed + data[at + 1 + size :]


def _word(data, rng):
    """Another word in the place of a text: of a key, a class, a device."""
    words = [arg for op, arg, _ in pickletools.genops(data) if op.name in ("GLOBAL", "BINUNICODE")]
    old, new = rng.choice(words), rng.choice([*words, *STRANGE])
    for op, arg, at in pickletools.genops(data):
        if arg == old and op.name == "BINUNICODE":
            packed = struct.pack("<I", len(new.encode())) + new.encode()
            return data[: at + 1] + packed + data[at + 5 + len(old.encode()) :]
        if arg == old and op.name == "GLOBAL" and " " in new:
            packed = new.replace(" ", "\n", 1).encode() + b"\n"
            return data[: at + 1] + packed + data[at + 2 + len(old.encode()) :]
    return data
