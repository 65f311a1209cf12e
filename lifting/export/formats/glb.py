"""GLB (glTF 2.0): an armature a person with a simple body, animated; metres, y up."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from lifting import __version__
from lifting.atomic import replacing
from lifting.errors import DataError
from lifting.export import Export
from lifting.export.chain import chain_of
from lifting.export.names import named

if TYPE_CHECKING:
    from lifting.export.fitting import Fitted
    from lifting.export.motion import Motion, Person
    from lifting.files.npz import Array

_M = 0.001
_FLOAT, _SHORT, _BYTE = 5126, 5123, 5121
_VERTICES, _INDICES = 34962, 34963
_CODES = {np.dtype("<f4"): _FLOAT, np.dtype("<u2"): _SHORT, np.dtype("u1"): _BYTE}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_THICK = 0.12  # of a bone, as a share of its length
_MOST_BYTES = 2**32 - 1


class _Buffer:
    """The binary chunk, and what describes it."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: Array, target: int | None = None, *, limits: bool = False) -> int:
        """Index of the accessor of an array."""
        data = values.tobytes()
        self.views.append({"buffer": 0, "byteOffset": self.size, "byteLength": len(data)})
        if target is not None:
            self.views[-1]["target"] = target
        padded = data + b"\0" * (-len(data) % 4)
        self.parts.append(padded)
        self.size += len(padded)
        width = 1 if values.ndim == 1 else values.shape[1]
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1, "componentType": _CODES[values.dtype],
            "count": len(values), "type": _KINDS[width],
        }  # fmt: skip
        if limits:
            flat = values.reshape(len(values), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write(motion: Motion, stem: Path) -> list[Path]:
    """One file of everyone."""
    path = stem.with_name(f"{stem.name}.glb")
    buffer, document = _Buffer(), _empty()
    for person in motion.people:
        _add(person, motion, buffer, document)
    document["scenes"][0]["extras"] = {"lifting": motion.facts}
    document |= {
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
        "buffers": [{"byteLength": buffer.size}],
    }
    text = json.dumps(document, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + buffer.size
    if total > _MOST_BYTES:
        raise DataError(
            f"expected at most 4 GiB of glb, got {total:,} bytes; export fewer frames, or bvh"
        )
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, total))
        file.write(struct.pack("<II", len(text), 0x4E4F534A) + text)
        file.write(struct.pack("<II", buffer.size, 0x004E4942))
        file.writelines(buffer.parts)
    return [path]


def _empty() -> dict[str, Any]:
    return {
        "asset": {"version": "2.0", "generator": f"lifting {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": []}],
        "nodes": [], "meshes": [], "skins": [],
        "animations": [{"name": "motion", "samplers": [], "channels": []}],
    }  # fmt: skip


def _add(person: Person, motion: Motion, buffer: _Buffer, document: dict[str, Any]) -> None:
    """A person's nodes, skin, body and curves."""
    fitted = person.fitted
    chain, nodes = fitted.chain, document["nodes"]
    names = named(chain.names, motion.profile or "h36m")
    offsets = (fitted.offsets * _M).astype("<f4")
    base = len(nodes)
    root = (fitted.root * _M).astype("<f4")
    for node, name in enumerate(names):
        entry: dict[str, Any] = {"name": name, "translation": offsets[node].tolist()}
        children = [base + child for child in chain.children(node)]
        nodes.append(entry | ({"children": children} if children else {}))
    at = np.zeros((len(names), 3))
    for node, parent in enumerate(chain.parents):
        if parent >= 0:
            at[node] = at[parent] + offsets[node]
    inverse = np.tile(np.eye(4, dtype="<f4").ravel(), (len(names), 1))
    inverse[:, 12:15] = -at
    document["skins"].append({
        "joints": list(range(base, base + len(names))), "skeleton": base,
        "inverseBindMatrices": buffer.add(inverse),
    })  # fmt: skip
    document["meshes"].append(_body(fitted, at, buffer, person.name))
    many = len(document["skins"]) - 1
    nodes.append({"name": f"{person.name} body", "mesh": many, "skin": many})
    nodes.append({"name": person.name, "children": [base, len(nodes) - 1]})
    document["scenes"][0]["nodes"].append(len(nodes) - 1)
    _animate(person, root, base, buffer, document["animations"][0])


def _animate(
    person: Person, root: Array, base: int, buffer: _Buffer, animation: dict[str, Any]
) -> None:
    """Curves: the place of the root, and a rotation of each node that has children."""
    chain, turns = person.fitted.chain, person.fitted.rotations
    times = buffer.add(person.seconds.astype("<f4"), limits=True)

    def curve(node: int, path: str, values: Array) -> None:
        sampler = {"input": times, "output": buffer.add(values), "interpolation": "LINEAR"}
        animation["samplers"].append(sampler)
        channel = {"sampler": len(animation["samplers"]) - 1}
        animation["channels"].append(channel | {"target": {"node": base + node, "path": path}})

    curve(0, "translation", root)
    for node in range(len(chain.names)):
        if chain.children(node):
            turn = Rotation.from_matrix(turns[:, node]).as_quat()  # x, y, z, w
            flips = (turn[1:] * turn[:-1]).sum(-1) < 0
            turn[1:][np.cumsum(flips) % 2 == 1] *= -1
            curve(node, "rotation", turn.astype("<f4"))


def _body(fitted: Fitted, at: Array, buffer: _Buffer, name: str) -> dict[str, Any]:
    """An octahedron a bone, which follows the node where the bone begins."""
    points: list[Array] = []
    owners: list[int] = []
    faces: list[int] = []
    for node, parent in enumerate(fitted.chain.parents):
        length = float(np.linalg.norm(fitted.offsets[node])) * _M
        if parent < 0 or length <= 0:
            continue
        along = at[node] - at[parent]
        aside = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        aside *= _THICK * length / np.linalg.norm(aside)
        other = np.cross(along, aside) / length
        middle = at[parent] + 0.2 * along
        first = len(points)
        points += [at[parent], middle + aside, middle + other, middle - aside, middle - other,
                   at[node]]  # fmt: skip
        owners += [parent] * 6
        for i in range(4):
            a, b = first + 1 + i, first + 1 + (i + 1) % 4
            faces += [first, b, a, first + 5, a, b]
    if not points:  # a person of whom only the root is known
        points, owners, faces = [np.zeros(3)] * 3, [0] * 3, [0, 1, 2]
    bound = np.zeros((len(owners), 4), dtype="u1")
    bound[:, 0] = owners
    weights = np.tile(np.array([1, 0, 0, 0], dtype="<f4"), (len(owners), 1))
    attributes = {
        "POSITION": buffer.add(np.array(points).astype("<f4"), _VERTICES, limits=True),
        "JOINTS_0": buffer.add(bound, _VERTICES),
        "WEIGHTS_0": buffer.add(weights, _VERTICES),
    }
    indices = buffer.add(np.array(faces, dtype="<u2"), _INDICES)
    return {"name": f"{name} body", "primitives": [{"attributes": attributes, "indices": indices}]}


EXPORTS = (
    Export("glb", "an animated body a person, for Blender, engines and the web", write,
           fits=chain_of),
)  # fmt: skip
