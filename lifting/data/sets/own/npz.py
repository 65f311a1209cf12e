"""3D motion of one's own in an npz file: plain arrays, as ``config.SCHEMA`` describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from lifting.data.mocap.captured import (
    LENGTHS_MM,
    TURNS,
    Up,
    are_known,
    guess_up,
    unit_of,
    z_up_mm,
)
from lifting.data.mocap.lines import LARGEST_NUMBER
from lifting.errors import suggest
from lifting.files.checks import misfit
from lifting.files.npz import DEFAULT_MAX_BYTES, Array, Kind, open_npz, read_plain_npz
from lifting.skeleton import SKELETONS, Skeleton, set_of_names, sets_of

PARTS = ("train", "val", "test")
_bad = misfit("`lifting data describe own` shows the form")
UNKNOWN = "unknown"
# Largest extent of a pose, millimetres; no two units fit one length.
_TALL_MM = (800.0, 2300.0)
_KEYS: Mapping[str, tuple[Kind, int]] = {
    "joints_3d": ("number", 3), "positions_mm": ("number", 3), "skeleton": ("characters", 0),
    "joint_names": ("characters", 1), "fps": ("number", 0), "unit": ("characters", 0),
    "up": ("characters", 0), "offsets": ("integer", 1), "names": ("characters", 1),
    "subjects": ("characters", 1), "actions": ("characters", 1), "split": ("characters", 1),
}  # fmt: skip


@dataclass(frozen=True)
class OwnClip:
    """One recording. T frames, J joints.

    Attributes:
        name: Unique within the file.
        subject: Who moves; ``unknown`` when the file does not say.
        action: What is done; ``unknown`` when the file does not say.
        split: Part it belongs to; None when the file does not say.
        positions: ``(T, J, 3)``, world frame, z up, mm; NaN where a joint is missing.
    """

    name: str
    subject: str
    action: str
    split: str | None
    positions: Array


@dataclass(frozen=True)
class OwnMotion:
    """Content of a file.

    Attributes:
        path: The file.
        clips: Its recordings.
        joints: Names of the joints.
        skeleton: The known joint set that they are; None when they are another's.
        fps: Frames a second.
        unit: Unit of the file's positions.
        up: Vertical axis of the file's world.
        notes: What was inferred, a sentence each.
    """

    path: Path
    clips: tuple[OwnClip, ...]
    joints: tuple[str, ...]
    skeleton: Skeleton | None
    fps: float
    unit: str
    up: Up
    notes: tuple[str, ...]


def read_own_npz(path: Path) -> OwnMotion:
    """Read a file in the form of ``SCHEMA``.

    Args:
        path: The file.

    Returns:
        Its recordings in millimetres with z up.

    Raises:
        MissingDataError: There is no such file.
        DataError: It is damaged or unsafe, lacks something, or neither it nor the people in it
            tell the unit or the vertical axis.
    """
    found = read_plain_npz(path, _KEYS, optional=frozenset(_KEYS))
    texts = {key: _texts(path, key, found[key]) for key in found if _KEYS[key][0] == "characters"}
    given = [key for key in ("joints_3d", "positions_mm") if key in found]
    if len(given) != 1:
        raise _bad(path, "one of joints_3d and positions_mm", " and ".join(given) or "neither")
    if "fps" not in found or not 0 < float(found["fps"]) <= 1000:
        raise _bad(path, "'fps' above 0 and at most 1000", found.get("fps", "none"))
    raw = found[given[0]]
    joints, skeleton = _joints(path, texts, raw)
    if "positions_mm" in found:
        texts["unit"] = ["mm"]
    missing = np.isnan(raw).any(axis=-1)
    if raw.shape[2] != 3 or np.isinf(raw).any() or missing.all():
        raise _bad(
            path, f"'{given[0]}' (T, J, 3) of finite numbers or NaN, not all NaN",
            f"shape {raw.shape}, {np.isinf(raw).sum()} infinite, {missing.sum()} joints missing",
        )  # fmt: skip
    notes = _unread(path)
    poses = raw[:: max(1, len(raw) // 20_000)].astype(np.float64)
    unit = _unit(path, poses, texts.get("unit", [""])[0], notes)
    up = _up(path, poses, joints, texts.get("up", [""])[0], notes)
    positions = z_up_mm(raw, up, LENGTHS_MM[unit])
    positions[missing] = np.nan
    if np.nanmax(np.abs(positions)) > LARGEST_NUMBER:
        raise _bad(path, f"positions within {LARGEST_NUMBER:g} mm", "ones beyond")
    clips = _clips(path, found, texts, positions.astype(np.float32))
    return OwnMotion(path, clips, joints, skeleton, float(found["fps"]), unit, up, tuple(notes))


def _unread(path: Path) -> list[str]:
    """What the file holds beside the form: a key that is misspelt would be missed in silence."""
    with open_npz(path, DEFAULT_MAX_BYTES) as (_, members):
        unread = sorted(set(members) - set(_KEYS))
    return [f"not read: {', '.join(name[:40] for name in unread[:8])}"] if unread else []


def _texts(path: Path, key: str, values: Array) -> list[str]:
    try:
        decoded = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
        return [str(text) for text in decoded.reshape(-1)]
    except UnicodeDecodeError:
        raise _bad(path, f"text in UTF-8 in '{key}'", "other bytes") from None


def _joints(
    path: Path, texts: Mapping[str, list[str]], raw: Array
) -> tuple[tuple[str, ...], Skeleton | None]:
    """Names of the joints, and the set they are; a count alone tells no set."""
    count = raw.shape[1]
    fitting = [s.name for s in sets_of(count)]
    if "skeleton" in texts:
        (name,) = texts["skeleton"]
        skeleton = SKELETONS.get(name)
        if skeleton is None:
            raise _bad(path, f"a known skeleton ({suggest(name, fitting)})", name)
        joints = tuple(texts.get("joint_names", skeleton.joints))
        if len(skeleton) != count or joints != skeleton.joints:
            raise _bad(path, f"the {len(skeleton)} joints of {name} in their order",
                       f"{count} joints, {', '.join(joints[:3])} ...")  # fmt: skip
        return joints, skeleton
    joints = tuple(texts.get("joint_names", ()))
    if not joints:
        raise _bad(path, f"'skeleton' (with {count} joints: {', '.join(fitting) or 'none'}) or "
                   "'joint_names'", "neither")  # fmt: skip
    if len(joints) != count or len(set(joints)) != count:
        raise _bad(path, f"{count} different joint_names", f"{len(set(joints))} of {len(joints)}")
    return joints, set_of_names(joints)


def _unit(path: Path, poses: Array, told: str, notes: list[str]) -> str:
    """The unit the file names, else the one in which its people have the size of people."""
    seen = are_known(poses)
    common = seen.mean(axis=0) > 0.5  # a joint that is hardly ever there spoils no pose
    whole = poses[seen[:, common].all(axis=1)][:, common]
    tall = float(np.median(np.ptp(whole, axis=1).max(axis=1))) if whole.size else 0.0
    fits = unit_of(tall, _TALL_MM)
    unit = told or fits
    if unit is None or unit not in LENGTHS_MM:
        raise _bad(path, f"'unit' among {', '.join(LENGTHS_MM)}, or whole poses as large as "
                   "people (0.8 to 2.3 m)", told or f"a median extent of {tall:.4g}")  # fmt: skip
    if fits not in (None, unit):
        raise _bad(path, f"poses in {told}, as 'unit' says", f"ones that are {tall:.4g} large, as "
                   f"people in {fits}")  # fmt: skip
    if not told:
        notes.append(f"unit not given: a pose extends over {tall:.4g}, so {unit} was taken")
    return unit


def _up(path: Path, poses: Array, joints: tuple[str, ...], told: str, notes: list[str]) -> Up:
    """The vertical axis the file names, else the one along which its people stand."""
    seen, why = guess_up(poses, joints)
    up = next((up for up in TURNS if up == (told or seen)), None)
    if up is None:
        raise _bad(path, f"'up' among {', '.join(TURNS)}, or people who stand along one of them",
                   told or why)  # fmt: skip
    if not told:
        notes.append(f"up not given: {why}, so {up} was taken")
    elif seen not in (None, up):
        notes.append(f"'up' says {up}, but {why}: 'up' counts")
    return up


def _clips(
    path: Path, found: Mapping[str, Array], texts: Mapping[str, list[str]], positions: Array
) -> tuple[OwnClip, ...]:
    frames = len(positions)
    offsets = [int(v) for v in found.get("offsets", [0, frames])]
    count = len(offsets) - 1
    rising = all(a < b for a, b in pairwise(offsets))
    if count < 1 or offsets[0] != 0 or offsets[-1] != frames or not rising:
        raise _bad(path, f"rising 'offsets' from 0 to {frames}", offsets[:4])
    stem = [path.stem] if count == 1 else [f"{path.stem}_{i:03d}" for i in range(count)]
    unknown = [UNKNOWN] * count
    columns = (texts.get("names", stem), texts.get("subjects", unknown),
               texts.get("actions", unknown), texts.get("split", [""] * count))  # fmt: skip
    wrong = {len(column) for column in columns} - {count}
    if wrong or len(set(columns[0])) != count:
        raise _bad(path, f"names (each once), subjects, actions and split of {count} recordings",
                   f"{wrong or 'a name twice'}")  # fmt: skip
    if other := set(columns[3]) - {"", *PARTS}:
        raise _bad(path, f"parts among {', '.join(PARTS)}", min(other))
    pieces = np.split(positions, offsets[1:-1])
    return tuple(
        OwnClip(name, subject, action, part or None, piece)
        for name, subject, action, part, piece in zip(*columns, pieces, strict=True)
    )
