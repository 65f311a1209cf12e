"""Files small enough to place by hand, and where the real ones are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lifting.data.mocap.acclaim import read_amc, read_asf
from lifting.data.mocap.bvh import read_bvh

ARM_ASF = """# two bones and one that is turned in itself
:version 1.10
:name TINY
:units
  mass 1.0
  length 0.5
  angle deg
:documentation
  written by a test
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name upper
    direction 1 0 0
    length 2
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
    id 2
    name lower
    direction 1 0 0
    length 1
    axis 0 0 0 XYZ
    dof rz
  end
  begin
    id 3
    name turned
    direction 1 0 0
    length 4
    axis 0 0 90 XYZ
    dof rx
  end
:hierarchy
  begin
    root upper turned
    upper lower
  end
"""


def amc_text(*frames):
    lines = ["#!OML:ASF", ":FULLY-SPECIFIED", ":DEGREES"]
    for i, (root, upper, lower, turned) in enumerate(frames, start=1):
        lines += [str(i), f"root {root}", f"upper {upper}", f"lower {lower}", f"turned {turned}"]
    return "\n".join(lines) + "\n"


STILL = ("0 0 0 0 0 0", "0 0 0", "0", "0")
ARM_AMC = amc_text(STILL, ("1 2 3 0 0 0", "0 0 90", "90", "90"))

TINY_BVH = """HIERARCHY
ROOT space:a
{
    OFFSET 7 7 7
    CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
    JOINT b
    {
        OFFSET 10 0 0
        CHANNELS 3 Zrotation Yrotation Xrotation
        End Site
        {
            OFFSET 0 5 0
        }
    }
}
MOTION
Frames: 3
Frame Time: 0.016667
0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 0 0
0 0 0 0 0 0 90 0 90
"""


# Files of a standing person, y up: names of one convention, its offsets in centimetres.
PERSON = {
    "Hips": ("", (0, 95, 0)),
    "LeftUpLeg": ("Hips", (10, -5, 0)), "LeftLeg": ("LeftUpLeg", (0, -40, 0)),
    "LeftFoot": ("LeftLeg", (0, -42, 0)),
    "RightUpLeg": ("Hips", (-10, -5, 0)), "RightLeg": ("RightUpLeg", (0, -40, 0)),
    "RightFoot": ("RightLeg", (0, -42, 0)),
    "Spine": ("Hips", (0, 10, 0)), "Spine1": ("Spine", (0, 12, 0)),
    "Neck": ("Spine1", (0, 23, 0)), "Head": ("Neck", (0, 12, 0)),
    "LeftArm": ("Spine1", (15, 20, 0)), "LeftForeArm": ("LeftArm", (28, 0, 0)),
    "LeftHand": ("LeftForeArm", (25, 0, 0)),
    "RightArm": ("Spine1", (-15, 20, 0)), "RightForeArm": ("RightArm", (-28, 0, 0)),
    "RightHand": ("RightForeArm", (-25, 0, 0)),
}  # fmt: skip
LEAF = (0, 11, 0)


def joint_text(name, scale, keyword="JOINT", tree=PERSON, leaf_offset=LEAF):
    children = [child for child, (parent, _) in tree.items() if parent == name]
    offset = " ".join(str(v * scale) for v in tree[name][1])
    channels = "3 Zrotation Xrotation Yrotation"
    if keyword == "ROOT":
        channels = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    leaf = f"End Site\n{{\nOFFSET {' '.join(str(v * scale) for v in leaf_offset)}\n}}\n"
    below = (joint_text(child, scale, tree=tree, leaf_offset=leaf_offset) for child in children)
    inner = "".join(below) or leaf
    return f"{keyword} {name}\n{{\nOFFSET {offset}\nCHANNELS {channels}\n{inner}}}\n"


def person_text(frames=120, scale=1.0, hips=None, tree=PERSON, leaf=LEAF):
    """A person of a tree's shape whose hips follow ``hips`` (frames, 3), centimetres."""
    if hips is None:
        hips = np.tile([0.0, 95.0, 0.0], (frames, 1))
    rest = " 0" * (3 * len(tree))
    rows = "".join(f"{x * scale:.6f} {y * scale:.6f} {z * scale:.6f}{rest}\n" for x, y, z in hips)
    return (
        f"HIERARCHY\n{joint_text(next(iter(tree)), scale, 'ROOT', tree, leaf)}MOTION\n"
        f"Frames: {len(hips)}\n"
        f"Frame Time: 0.01\n{rows}"
    )


# A rig: the six names of its trunk, the eight of a side, and where each bone begins.
_TRUNK = ((0, 95, 0), (0, 10, 0), (0, 12, 0), (0, 12, 0), (0, 11, 0), (0, 12, 0))
_SIDE = ((5, 8, 0), (10, 0, 0), (28, 0, 0), (25, 0, 0),
         (10, -5, 0), (0, -40, 0), (0, -42, 0), (0, -4, 12))  # fmt: skip


def rig_tree(trunk, side, words=("Left", "Right")):
    """A tree as PERSON; names of a side hold ``{}`` for the word of the side."""
    trunk = trunk.split()
    tree = {name: (trunk[i - 1] if i else "", _TRUNK[i]) for i, name in enumerate(trunk)}
    for word, sign in zip(words, (1, -1), strict=True):
        names = [pattern.format(word) for pattern in side.split()]
        parents = [trunk[3], *names[:3], trunk[0], *names[4:7]]
        for name, parent, (x, y, z) in zip(names, parents, _SIDE, strict=True):
            tree[name] = (parent, (sign * x, y, z))
    return tree


def mutate(text, rng):
    """A few random edits of a text: bytes, words, lines, an early end."""
    for _ in range(rng.randint(1, 4)):
        kind, place = rng.randrange(6), rng.randrange(len(text))
        lines = text.split("\n")
        line = rng.randrange(len(lines))
        if kind == 0:
            text = text[:place] + chr(rng.randrange(1, 256)) + text[place + 1 :]
        elif kind == 1:
            text = text[:place] + text[place + rng.randint(1, 8) :]
        elif kind == 2:
            text = "\n".join(lines[:line] + lines[line + 1 :])
        elif kind == 3:
            text = "\n".join([*lines[: line + 1], *lines[line:]])
        elif kind == 4:
            wild = rng.choice(["nan", "1e999", "-", "", "99999999999999999999", "{", "}", "-1"])
            words = lines[line].split(" ")
            words[rng.randrange(len(words))] = wild
            text = "\n".join([*lines[:line], " ".join(words), *lines[line + 1 :]])
        else:
            text = text[: max(place, 1)]
        text = text or "x"
    return text


@pytest.fixture
def arm_asf():
    """A skeleton of three bones."""
    return ARM_ASF


@pytest.fixture
def arm_amc():
    """Makes motion text for it, of the channel values of its bones in each frame."""
    return amc_text


@pytest.fixture
def two_frames():
    """Motion text for it: at rest, then moved."""
    return ARM_AMC


@pytest.fixture
def tiny_bvh():
    """A joint below a root, three frames."""
    return TINY_BVH


@pytest.fixture
def person_bvh():
    """Makes BVH text of a person."""
    return person_text


@pytest.fixture
def person_tree():
    """Offsets of that person, to change before they are written."""
    return dict(PERSON)


@pytest.fixture
def rig():
    """Makes the tree of a rig of given names."""
    return rig_tree


@pytest.fixture
def damage():
    """Damages a text at random."""
    return mutate


@pytest.fixture
def arm(tmp_path):
    """Writes the arm's files; positions of the bone ends come back in file units."""
    (tmp_path / "01.asf").write_text(ARM_ASF)

    def place(text):
        (tmp_path / "01_01.amc").write_text(text)
        return read_amc(tmp_path / "01_01.amc", read_asf(tmp_path / "01.asf"))

    return place


@pytest.fixture
def bvh(tmp_path):
    def place(text):
        (tmp_path / "01_01.bvh").write_text(text)
        return read_bvh(tmp_path / "01_01.bvh")

    return place


@pytest.fixture(scope="module")
def raw():
    folder = os.environ.get("LIFTING_DATA")
    if not folder or not (Path(folder) / "cmu" / "raw").is_dir():
        pytest.skip("set LIFTING_DATA to the folder that holds cmu/raw and its source files")
    return Path(folder) / "cmu" / "raw"
