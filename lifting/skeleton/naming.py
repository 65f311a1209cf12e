"""Names of a file to joints, for files whose order says nothing: BVH, TRC, C3D, DeepLabCut, CSV.

A name is taken apart into a side and a stem (``mixamorig:LeftUpLeg`` is left, ``upleg``), and the
stem is looked up. Bones of rigs are named after the part they move and sit at its near end, so
``LeftArm`` is at the shoulder and ``LeftFoot`` at the ankle; markers are named after the joint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lifting.errors import DataError

CORE = tuple(f"{s}_{j}" for j in ("hip", "knee", "shoulder", "elbow") for s in ("left", "right"))
LIMBS = (*CORE, "left_ankle", "right_ankle", "left_wrist", "right_wrist")
FACE = tuple(f"{s}_{part}" for part in ("eye", "ear") for s in ("left", "right"))
FEET = tuple(f"{s}_{part}" for part in ("big_toe", "small_toe", "heel") for s in ("left", "right"))
HOW_TO_MAP = (
    'write a map, a JSON or TOML file such as {"left_hip": "LeftUpLeg", ..., '
    '"neck": ["Neck1", "Head"]} (of several names the mean is taken), and give it with --map or '
    "data.own.map"
)
PERSON = "the joints of a person (both hips, knees, shoulders and elbows)"
MAX_NAMES_SHOWN = 60
_FEW = 12
_HOW_TO_NAME = (
    "only people are lifted: name their joints left_hip, right_knee and so on, each once, in the "
    "file's header or in the project that wrote it"
)

_SIDES = {
    **dict.fromkeys(("l", "left", "lft", "lt"), "left"),
    **dict.fromkeys(("r", "right", "rgt", "rt"), "right"),
}
# Stems by preference, of bones and of markers: `LeftShoulder` is the collar bone beside `LeftArm`.
_SIDED = {
    "hip": ("upleg upperleg thigh femur hip hipjoint", "hip hipjoint"),
    "knee": ("knee lowerleg shin calf tibia leg", "knee"),
    "ankle": ("ankle foot", "ankle malleolus"),
    "shoulder": ("upperarm arm humerus shoulder glenohumeral", "shoulder glenohumeral"),
    "elbow": ("elbow forearm lowerarm radius", "elbow"),
    "wrist": ("wrist hand carpus", "wrist carpus"),
    "big_toe": ("bigtoe toebase toe toes ball", "bigtoe toe"),
    "small_toe": ("smalltoe", "smalltoe"),
    "heel": ("heel calcaneus", "heel calcaneus"),
}
_HIP = "hips hip pelvis midhip chip spinebase root"
_HEAD = "headtop headtopend tophead headend headnub vertex head"
_SPINE = "spine spine1 spinemid spine2 chest abdomen belly torso"
_THORAX = "thorax upperchest neckbase spineshoulder c7 neck"
_SPINE_BONE = re.compile(r"(spine|chest|upperchest|abdomen|belly|torso|spinemid)\d*")
_NECK_BONE = re.compile(r"(neck|neckbase|lowerneck|upperneck)\d*")
_ALL_SIDED = frozenset(stem for columns in _SIDED.values() for stem in " ".join(columns).split())

_Stems = dict[tuple[str, str], list[str]]


def named_joints(
    names: Sequence[str],
    *,
    bones: bool,
    needed: Sequence[str] = LIMBS,
    listing: str = "",
    advice: str = HOW_TO_MAP,
) -> dict[str, tuple[str, ...]]:
    """The joints that names tell, each with the names whose mean it is.

    Args:
        names: Names of the file; bones come in the order of the tree, a parent first.
        bones: Whether they name bones, which sit at the near end of what they move (BVH and other
            rigs), or markers and keypoints (TRC, C3D, DeepLabCut).
        needed: Joints without which the file is of no use.
        listing: How the message shows the names; empty lists them.
        advice: What the message says to do.

    Returns:
        Joints of ``h36m17``, of :data:`FEET` and, for markers, no spine or head where the file
        has none; with bones, ``head`` is the head bone itself when nothing ends it.

    Raises:
        DataError: A needed joint has no name, it or one of the limbs has more than one, or
            hips, knees, shoulders and elbows are not all there, as in the files of animals.

    Source: conventions of Mixamo, VRM and Unity, Unreal, OpenSim and DeepLabCut files.
    """
    stems = _stems(names)
    found: dict[str, tuple[str, ...]] = {}
    for part, columns in _SIDED.items():
        for side in ("left", "right"):
            found[f"{side}_{part}"] = _first(stems, side, columns[0 if bones else 1])
    found |= _bone_trunk(stems, names) if bones else _marker_trunk(stems)
    # Bones of the neck are averaged on purpose, as are the two ends of an ankle.
    averaged = {"neck"} if bones else {"left_ankle", "right_ankle"}
    several = {j: n for j, n in found.items() if len(n) > 1 and j not in averaged}
    wanted = (*dict.fromkeys((*CORE, *needed)),)
    lacking = [joint for joint in wanted if not found.get(joint)]
    limbs = dict.fromkeys((*wanted, *LIMBS))
    doubtful = [f"{j} ({' or '.join(several[j])})" for j in limbs if j in several]
    if lacking or doubtful:
        person = set(lacking) & set(CORE)
        got = [f"none for {', '.join(lacking)}"] * bool(lacking)
        got += [f"more than one for {', '.join(doubtful)}"] * bool(doubtful)
        more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
        raise DataError(
            f"expected {PERSON if person else 'one name for each joint'} among the names, got "
            f"{' and '.join(got)}; {advice}. The file's names: "
            f"{listing or ', '.join(names[:MAX_NAMES_SHOWN]) + more}"
        )
    return {joint: n for joint, n in found.items() if n and joint not in several}


def named_keypoints(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The joints of a detector that names tell, as :func:`named_joints` of markers.

    Args:
        names: Names of the file.

    Returns:
        Joints as detectors call them: limbs, feet, ``hip``, ``head``, the base of the neck as
        ``neck``, and the face with ``nose``.

    Raises:
        DataError: See :func:`named_joints`; at most twelve of the names are listed.
    """
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    listing = ", ".join(name[:24] for name in names[:_FEW]) + more
    found = named_joints(names, bones=False, needed=CORE, listing=listing, advice=_HOW_TO_NAME)
    base = found.pop("thorax", ())
    for joint in ("spine", "neck"):
        found.pop(joint, None)
    stems = _stems(names)
    face = {joint: _first(stems, *joint.split("_")) for joint in FACE}
    found |= {"neck": base, "nose": _first(stems, "", "nose"), **face}
    return {joint: n for joint, n in found.items() if len(n) == 1 or (n and "ankle" in joint)}


def _stems(names: Sequence[str]) -> _Stems:
    """Names by side and stem; one without an ending such as ``_study`` goes before one with it."""
    plain: _Stems = {}
    ending: _Stems = {}
    for name in names:
        short = re.sub(r"^(.*:|mixamorig\d*)", "", name)
        bare = re.sub(r"_(study|joint|jnt)(?=/|$)", "", short, flags=re.IGNORECASE)
        key = _side_and_stem(bare)
        (plain if bare == short else ending).setdefault(key, []).append(name)
    return ending | plain


def _side_and_stem(name: str) -> tuple[str, str]:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    words = [str(int(word)) if word.isdigit() else word.lower() for word in words]
    if "malleolus" in words:
        words = [w for w in words if w not in ("medial", "lateral", "med", "lat")]
    side = ""
    for place in (0, -1):
        if len(words) > 1 and words[place] in _SIDES:
            side = _SIDES[words.pop(place)]
            break
    stem = "".join(words)
    if not side and stem[:1] in _SIDES and stem[1:] in _ALL_SIDED:
        side, stem = _SIDES[stem[0]], stem[1:]  # lfemur, Lknee
    return side, stem


def _first(stems: _Stems, side: str, accepted: str) -> tuple[str, ...]:
    """Names of the first accepted stem that occurs."""
    return next((tuple(stems[side, s]) for s in accepted.split() if (side, s) in stems), ())


def _marker_trunk(stems: _Stems) -> Mapping[str, tuple[str, ...]]:
    thorax = _first(stems, "", _THORAX)
    neck = _first(stems, "", "nose neck upperneck")
    return {
        "hip": _first(stems, "", _HIP), "spine": _first(stems, "", _SPINE), "thorax": thorax,
        "neck": () if neck == thorax else neck, "head": _first(stems, "", _HEAD),
    }  # fmt: skip


def _bone_trunk(stems: _Stems, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Trunk of a rig: the middle of its spine bones, the start of its neck, the neck above it."""
    middle = [(names.index(n[0]), stem, n) for (side, stem), n in stems.items() if not side]
    spine = [n for _, stem, n in sorted(middle) if _SPINE_BONE.fullmatch(stem)]
    neck = [n for _, stem, n in sorted(middle) if _NECK_BONE.fullmatch(stem)]
    skull = _first(stems, "", "head")
    return {
        "hip": _first(stems, "", _HIP), "head": _first(stems, "", _HEAD),
        "spine": tuple(spine[len(spine) // 2]) if spine else (),
        "thorax": tuple(neck[0]) if neck else (),
        "neck": (*(name for level in neck[1:] for name in level), *skull) if skull else (),
    }  # fmt: skip
