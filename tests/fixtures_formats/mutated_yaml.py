"""Damaged and hostile versions of a YAML file of keys and values."""

from __future__ import annotations

import random

NASTY = (
    "9" * 5000, "-" + "9" * 400, "0x" + "f" * 6000, "1:" + "59:" * 3000 + "1", "1e999", ".inf",
    "-.inf", ".nan", "1e-400", "2024-01-01", "2024-13-45", "2024-01-01T00:00:00Z", "null", "~",
    "true", "[]", "{}", "[[[[1]]]]", "[1, a]", "{a: {b: c}}", "''", "'a b/c'", "'../../x'",
    "/dev/null",
    '"a\\0b"', '"\\ud800"', '"\\x07"', "a" * 100_000, "[" * 200 + "]" * 200, "[" * 5000,
    "!!python/object:os.system x", "!!python/object/apply:os.system [id]",
    "!!python/name:os.getcwd",
    "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!timestamp x", "!!bool z", "!!int x",
    "!!float y",
    "!mine x", "*nobody", "&a [*a]", "&a {<<: *a}", "{<<: {a: 1}}", "{<<: 3}", "${oc.env:HOME}",
    "${oc.decode:'1'}", "${oc.create:1}", "\\${oc.env:HOME}", "${nothing}", "${seed}",
    "${.}", "${..name}",
    "${${name}}", "${${oc.env:HOME}}", "${", "${}", "${a:", "???", "{1: 2, true: 3, 1.5: 4}",
    "{? [a] : b}",
)  # fmt: skip
PIECES = (b"\x00", b"\xff\xfe", b"\t", b"- ", b"{", b"]", b": ", b"#", b"&a ")
LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
REFERENCES = "b0: x\n" + "".join(
    f"b{i}: {' '.join([f'${{b{i - 1}}}'] * 9)}\n" for i in range(1, 12)
)
CIRCLE = "c: ${d}\nd: ${c}\n"
DOCUMENTS = (LAUGHS, REFERENCES, CIRCLE, "---\na: 1\n", "<<: {seed: 3}\n", "seed: 1\nseed: 2\n")


def yaml_mutations(content, count, seed=0):
    """Versions of a file's bytes; half of them damaged, half with something hostile in them."""
    rng = random.Random(seed)
    for i in range(count):
        yield _damaged(content, rng) if i % 2 else _hostile(content, rng)


def _damaged(content, rng):
    raw = bytearray(content)
    kind = rng.choice(("bytes", "cut", "insert", "twice", "move", "indent"))
    if kind == "bytes":
        for _ in range(rng.randint(1, 3)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    elif kind == "cut":
        del raw[rng.randrange(len(raw)) :]
    elif kind == "insert":
        at = rng.randrange(len(raw))
        raw[at:at] = rng.choice(
            (b"\x00", b"\xff\xfe", b"\t", b"- ", b"{", b"]", b": ", b"#", b"&a ")
        )
    else:
        lines = content.splitlines(keepends=True)
        at = rng.randrange(len(lines))
        if kind == "twice":
            lines.insert(rng.randrange(len(lines)), lines[at])
        elif kind == "move":
            lines.insert(rng.randrange(len(lines)), lines.pop(at))
        else:
            lines[at] = b"  " + lines[at] if rng.random() < 0.5 else lines[at].lstrip()
        return b"".join(lines)
    return bytes(raw)


def _hostile(content, rng):
    lines = content.decode().splitlines(keepends=True)
    if rng.random() < 0.15:
        lines.insert(rng.choice((0, len(lines))), rng.choice(DOCUMENTS))
        return "".join(lines).encode()
    pairs = [
        i for i, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")
    ]
    at = rng.choice(pairs)
    key, _, _ = lines[at].partition(":")
    nasty = rng.choice(NASTY)
    lines[at] = f"{key}: {nasty}\n" if rng.random() < 0.85 else f"{nasty}: {key.strip()}\n"
    return "".join(lines).encode()
