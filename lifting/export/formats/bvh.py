"""BVH: the animation of one person as a file of text, centimetres, y up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifting.atomic import replacing
from lifting.export import Export
from lifting.export.chain import chain_of
from lifting.export.names import named

if TYPE_CHECKING:
    from lifting.export.fitting import Fitted
    from lifting.export.motion import Motion, Person
    from lifting.files.npz import Array

_CM = 0.1
_STUB = 1.0  # cm of what a tip needs to be drawn; a foot or a hand is not known
_GIMBAL = 0.999999


def write(motion: Motion, stem: Path) -> list[Path]:
    """A file a person."""
    return [_write(person, motion, person.file(stem, ".bvh")) for person in motion.people]


def _write(person: Person, motion: Motion, path: Path) -> Path:
    fitted = person.fitted
    names = named(fitted.chain.names, motion.profile or "h36m")
    angles = euler_degrees(fitted.rotations).reshape(len(person), -1)
    rows = np.concatenate((fitted.root * _CM, angles), 1)
    line = " ".join(["%.6f"] * rows.shape[1]) + "\n"
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        file.write("HIERARCHY\n" + _hierarchy(fitted, names, 0, ""))
        file.write(f"MOTION\nFrames: {len(rows)}\nFrame Time: {1 / person.fps:.12f}\n")
        file.writelines(line % tuple(row) for row in rows.tolist())
    return path


def _hierarchy(fitted: Fitted, names: tuple[str, ...], node: int, indent: str) -> str:
    """A node and what hangs on it, in depth-first order, which is that of the channels."""
    offset, children = fitted.offsets[node] * _CM, fitted.chain.children(node)
    start, place = ("ROOT", "6 Xposition Yposition Zposition") if node == 0 else ("JOINT", "3")
    inside = f"{indent}\t"
    text = f"{indent}{start} {names[node]}\n{indent}{{\n{inside}OFFSET {_three(offset)}\n"
    text += f"{inside}CHANNELS {place} Zrotation Xrotation Yrotation\n"
    if not children:
        tip = fitted.chain.rest[node] * _STUB
        text += f"{inside}End Site\n{inside}{{\n{inside}\tOFFSET {_three(tip)}\n{inside}}}\n"
    for child in children:
        text += _hierarchy(fitted, names, child, inside)
    return f"{text}{indent}}}\n"


def _three(values: Array) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def euler_degrees(turns: Array) -> Array:
    """Angles z, x, y of ``R = Rz Rx Ry`` that jump least from frame to frame.

    Args:
        turns: ``(F, N, 3, 3)``.

    Returns:
        ``(F, N, 3)``, degrees.
    """
    sine = turns[..., 2, 1].clip(-1, 1)
    locked = np.abs(sine) > _GIMBAL
    x = np.arcsin(sine)
    z = np.where(
        locked,
        np.arctan2(turns[..., 1, 0], turns[..., 0, 0]),
        np.arctan2(-turns[..., 0, 1], turns[..., 1, 1]),
    )
    y = np.where(locked, 0.0, np.arctan2(-turns[..., 2, 0], turns[..., 2, 2]))
    first = np.degrees(np.stack((z, x, y), -1))
    second = first * (1, -1, 1) + 180
    nodes = np.arange(first.shape[1])
    # Of the next frame, by which was chosen before; a node at a time, since it takes much room.
    better = np.empty((2, len(first) - 1, len(nodes)), dtype=np.int8)
    for node in nodes:
        both = np.stack((first[:, node], second[:, node]))
        jump = np.abs((both[None, :, 1:] - both[:, None, :-1] + 180) % 360 - 180).sum(-1)
        better[:, :, node] = jump.argmin(1)
    chosen = np.zeros(first.shape[:2], dtype=np.int64)
    for frame in range(len(first) - 1):
        chosen[frame + 1] = better[chosen[frame], frame, nodes]
    angles = np.where(chosen[..., None] == 0, first, second)
    unwrapped: Array = np.unwrap(angles, axis=0, period=360.0)
    return unwrapped


EXPORTS = (Export("bvh", "an animation, a file a person", write, forbidden=" :{}", fits=chain_of),)
