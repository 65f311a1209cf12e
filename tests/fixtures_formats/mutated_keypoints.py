"""Damaged keypoint files: values exchanged, numbers exchanged, bytes overwritten or cut off."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import time
import zipfile
import zlib

from lifting.data.keypoints.read import read_video
from lifting.errors import DataError
from lifting.files.checks import Size

STRANGE = (
    None, True, -1, 0, 2, 1.5, 10**30, 10**400, 1e300, -1e308, float("nan"), float("inf"), "", "x",
    "12.jpg", "\ud800", [], [[]], {}, {"x": 1}, [1, 2, 3], [[1, 2]], ["a"], [{}], {"people": [{}]},
)  # fmt: skip


def places(content, found):
    """Every container of a JSON value with its keys."""
    pairs = list(content.items() if type(content) is dict else enumerate(content))
    found += [(content, key) for key, _ in pairs]
    for _, value in pairs:
        if type(value) is dict or type(value) is list:
            places(value, found)
    return found


def change_values(text, rng):
    """JSON whose values were exchanged for strange ones, doubled, or taken away."""
    content = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        found = places(content, [])
        if not found:
            break
        # Half the time a container, of which there are few beside all the numbers.
        inner = [spot for spot in found if isinstance(spot[0][spot[1]], dict | list | str)]
        holder, key = rng.choice(inner if inner and rng.random() < 0.5 else found)
        action = rng.randrange(4)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        elif action == 2:
            holder[key] = rng.choice(found)[0]
            holder[key] = json.loads(json.dumps(holder[key])) if not _cyclic(holder) else None
        else:
            holder[key] = copy.deepcopy(rng.choice(STRANGE))
    return json.dumps(content).encode()


def change_numbers(text, rng):
    """JSON whose numbers were exchanged for others, most of which a file may hold."""
    content = json.loads(text)
    found = [spot for spot in places(content, []) if isinstance(spot[0][spot[1]], int | float)]
    for _ in range(rng.randint(1, 4) if found else 0):
        holder, key = rng.choice(found)
        holder[key] = rng.choice((-1, 0, 1, 2, 7, 3.5, 1e5, 1e300, None, float("nan"), 10**18))
    return json.dumps(content).encode()


def _cyclic(value):
    try:
        json.dumps(value)
    except ValueError:
        return True
    return False


def change_bytes(data, rng):
    """Bytes overwritten, and at times the end cut off."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.2:
        del content[rng.randrange(len(content)) :]
    return bytes(content)


CELLS = (b"", b"nan", b"-1", b"0", b"1", b"2", b"1e300", b"inf", b"x", b"3.5", b"100000", b"\n")


def change_cells(data, rng):
    """A table whose cells were exchanged, doubled, or taken away."""
    cells = re.split(rb"([,\s]+)", data)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(cells))
        cells[i] = rng.choice((*CELLS, rng.choice(cells)))
    return b"".join(cells)


def change_members(data, rng):
    """An archive with damaged arrays, whose checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    begin = len(members[name]) if rng.random() < 0.3 else rng.randrange(40, 140)
    head, tail = members[name][:begin], members[name][begin:]
    members[name] = change_bytes(head, rng) + tail if rng.random() < 0.5 else head + tail[::-1]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return stream.getvalue()


def changes_of(data):
    """What may be done to a file, by what it is."""
    if data[:2] == b"PK":
        return (change_bytes, change_members, change_members)
    try:
        json.loads(data)
    except ValueError:
        text = b"\x00" not in data
        return (change_bytes, change_cells, change_cells) if text else (change_bytes,)
    return (change_bytes, change_values, change_numbers)


def read_mutations(path, image_size, rounds):
    """Damage a file or a file of a folder again and again, and read it each time.

    Whatever is raised but the project's own errors goes through.

    Returns:
        How many were refused, the longest message, and the seconds of the slowest reading.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    originals = {file: file.read_bytes() for file in files}
    possible = {file: changes_of(data) for file, data in originals.items()}
    rng = random.Random(zlib.crc32(path.name.encode()))
    refused, longest, slowest = 0, "", 0.0
    for i in range(rounds):
        file = rng.choice(files)
        data = originals[file]
        changes = possible[file]
        file.write_bytes(changes[i % len(changes)](data, rng))
        began = time.perf_counter()
        try:
            video = read_video(path, image_size=image_size, size=Size(4.0))
            for person in video.persons:
                sure = person.filled.joints[..., 2]
                assert bool((abs(person.filled.joints) < 1e9).all())
                assert 0 <= float(sure.min()) <= float(sure.max()) <= 1
        except DataError as error:
            refused += 1
            longest = max(longest, str(error), key=len)
        slowest = max(slowest, time.perf_counter() - began)
        file.write_bytes(data)
    return refused, longest, slowest
