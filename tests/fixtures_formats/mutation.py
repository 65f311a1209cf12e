"""Damaged copies of an npz file: bytes of the archive, or bytes of a pickle in a sound archive."""

from __future__ import annotations

import random
import zipfile


def damaged_copies(path, count, seed=0):
    """Overwrites a file with one damaged version after another; yields after each.

    Half of the versions are damaged inside a member, whose checksum is then right again.
    """
    rng = random.Random(seed)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for i in range(count):
        if i % 2:
            path.write_bytes(_damage(whole, rng, cut=i % 4 == 1))
        else:
            name = rng.choice(sorted(members))
            changed = {**members, name: _damage(members[name], rng, cut=i % 10 == 0)}
            with zipfile.ZipFile(path, "w") as archive:
                for member, content in changed.items():
                    archive.writestr(member, content)
        yield i
    path.write_bytes(whole)


def _damage(content, rng, *, cut):
    raw = bytearray(content)
    # Containers and headers lie before and between the arrays: aim at them as well.
    limit = rng.choice((len(raw), min(len(raw), 400)))
    for _ in range(rng.randint(1, 6)):
        raw[rng.randrange(limit)] = rng.randrange(256)
    if cut:
        del raw[rng.randrange(len(raw)) :]
    return bytes(raw)
