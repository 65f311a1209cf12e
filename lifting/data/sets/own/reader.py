"""3D motion of one's own as motion clips, from npz, TRC, C3D and BVH files below a folder.

Recordings are whole: their clips are never in two parts. Files that do not say their unit or
vertical axis are read by what the people in them tell, and that is recorded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lifting.data.check import check_disjoint
from lifting.data.config import DataConfig, Split
from lifting.data.folders import VARIABLE, search_folders
from lifting.data.mocap.bvh import read_bvh
from lifting.data.mocap.captured import BoolArray, CapturedMotion, FloatArray, are_known
from lifting.data.mocap.mapping import JointMap, read_joint_map, to_h36m17
from lifting.data.mocap.markers import read_c3d, read_trc
from lifting.data.sequence import MotionClips, offsets_of
from lifting.data.sets.own.config import Config as OwnConfig
from lifting.data.sets.own.npz import UNKNOWN, OwnClip, OwnMotion, read_own_npz
from lifting.errors import ConfigError, DataError, MissingDataError, suggest
from lifting.files.checks import files_state, sha256_of
from lifting.skeleton import H36M_17, Skeleton, conversion
from lifting.skeleton.convert import remap_joints

log = logging.getLogger(__name__)

NAME = "own"
VERSION = 1  # to be raised when the same files give other clips
FLOOR_MM = 80.0  # of the lowest joint, an ankle in most sets
_CAPTURED = {".trc": read_trc, ".c3d": read_c3d, ".bvh": read_bvh}


class Content(NamedTuple):
    """The frames of one recording. J joints.

    Attributes:
        positions: ``(T, J, 3)``, mm, z up; NaN where missing.
        fps: Frames a second.
        approximate: Joints that lie only near what was measured.
        notes: What was inferred.
    """

    positions: FloatArray
    fps: float
    approximate: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Recording:
    name: str
    subject: str
    action: str
    split: str | None
    path: Path
    skeleton: Skeleton
    read: Callable[[], Content]


class _Clip(NamedTuple):
    name: str
    recording: _Recording
    fps: float
    joints_3d: FloatArray
    visible: BoolArray


def motion(config: DataConfig, split: Split) -> MotionClips:
    """The motion of one part, cut into clips.

    Args:
        config: The data section; ``own`` says which files, and how they are divided.
        split: The part.

    Returns:
        Clips in the world frame, z up, mm, at the rates of their files. Joints that are missing
        have a place near the person, and are marked as not visible.

    Raises:
        ConfigError: An option is out of range, or names a subject that is not there.
        MissingDataError: There are no files.
        DataError: A file is damaged or does not tell what it holds, or the part is empty.
    """
    recordings = _recordings(config)
    parts, rule = _divide(recordings, config.own)
    chosen = [r for r, part in zip(recordings, parts, strict=True) if part == split]
    skeleton = _shared_skeleton(recordings)
    subjects = sorted({recording.subject for recording in recordings})
    actions = sorted({recording.action for recording in recordings})
    contents = [_converted(r.read(), r.skeleton, skeleton) for r in chosen]
    clips = [
        clip
        for recording, content in zip(chosen, contents, strict=True)
        for clip in _clips(recording, content, skeleton, config.own.clip_seconds)
    ]
    if not clips:
        raise DataError(
            f"expected recordings in the {split} split of {NAME}, got none of {len(recordings)} "
            f"({rule}); name subjects in data.own.{split}_subjects or correct 'split' of the npz"
        )
    inferred = _inferred(chosen, contents)
    for words in inferred:
        log.warning("%s", words)
    lengths = torch.tensor([len(clip.visible) for clip in clips])
    visible = torch.from_numpy(np.concatenate([clip.visible for clip in clips]))
    absent = [j for j, n in zip(skeleton.joints, visible.sum(0).tolist(), strict=True) if not n]
    if absent:
        log.warning("no recording of the %s split tells %s; masked", split, ", ".join(absent))
    approximate = sorted({joint for content in contents for joint in content.approximate})
    return MotionClips(
        skeleton=skeleton,
        joints_3d=torch.from_numpy(np.concatenate([clip.joints_3d for clip in clips])),
        visible=None if bool(visible.all()) else visible,
        offsets=offsets_of(lengths),
        subject=torch.tensor([subjects.index(clip.recording.subject) for clip in clips]),
        action=torch.tensor([actions.index(clip.recording.action) for clip in clips]),
        names=tuple(clip.name for clip in clips),
        subject_names=tuple(subjects),
        action_names=tuple(actions),
        fps=torch.tensor([clip.fps for clip in clips], dtype=torch.float64),
        source={
            "dataset": NAME,
            "split": split,
            "split_rule": rule,
            "recordings": f"{len(chosen)} of {len(recordings)}",
            "approximate_joints": ", ".join(approximate) or "none",
            "joints_without_labels": ", ".join(absent) or "none",
            "labels_known": f"{100 * float(visible.double().mean()):.1f} % of joints and frames",
            "inferred": "; ".join(inferred) or "nothing",
        },
    )


def _clips(
    recording: _Recording, content: Content, skeleton: Skeleton, seconds: float
) -> list[_Clip]:
    """Pieces of nearly one length; one in which nobody is seen is left out."""
    near = np.array([joint in content.approximate for joint in skeleton.joints])
    size = max(1, round(seconds * content.fps))
    pieces = np.array_split(_on_floor(content.positions), -(-len(content.positions) // size))
    return [
        _Clip(
            f"{recording.name}/{number}", recording, content.fps,
            filled(piece).astype(np.float32), are_known(piece) & ~near,
        )
        for number, piece in enumerate(pieces)
        if are_known(piece).any()
    ]  # fmt: skip


def _inferred(recordings: Sequence[_Recording], contents: Sequence[Content]) -> list[str]:
    """What was inferred, once a kind: the first recording of it, and how many more."""
    kinds: dict[str, list[str]] = {}
    for recording, content in zip(recordings, contents, strict=True):
        for note in content.notes:
            kind = re.sub(r"[\d.e+-]+", "", note)
            kinds.setdefault(kind, []).append(f"{recording.name}: {note}")
    return [
        f"{first} (and {len(more)} more recordings alike)" if more else first
        for first, *more in kinds.values()
    ]


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the content of :func:`motion`: the files' state, and the options.

    Raises:
        MissingDataError: There are no files, or no map where one is named.
    """
    folder, paths = _files(config)
    joint_map = config.own.map
    return {
        "version": VERSION,
        "files": files_state(paths),
        "names": [path.relative_to(folder).as_posix() for path in paths],
        "map": joint_map and sha256_of(_map_file(joint_map)),
        "options": {k: v for k, v in asdict(config.own).items() if k != "map"},
    }


def filled(positions: FloatArray) -> FloatArray:
    """Every missing joint beside the person, where it was when it was seen last or next.

    Args:
        positions: ``(T, J, 3)``, NaN where missing; one joint at least is there.
    """
    known = are_known(positions)
    total = np.where(known[..., None], positions, 0).sum(axis=1)
    centre = total / np.maximum(known.sum(axis=1), 1)[:, None]
    centre = centre[_nearest(np.logical_or.reduce(known, axis=1))]
    offset = np.where(known[..., None], positions - centre[:, None], 0)
    for joint in range(known.shape[1]):
        if known[:, joint].any():
            offset[:, joint] = offset[_nearest(known[:, joint]), joint]
    return np.where(known[..., None], positions, centre[:, None] + offset)


def _nearest(known: BoolArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For every frame the nearest one that is known, ``(T,)``."""
    frames, places = np.flatnonzero(known), np.arange(len(known))
    after = np.searchsorted(frames, places).clip(max=len(frames) - 1)
    before = (after - 1).clip(min=0)
    closer = np.abs(places - frames[before]) <= np.abs(frames[after] - places)
    nearest: np.ndarray[Any, np.dtype[np.int64]] = frames[np.where(closer, before, after)]
    return nearest


def _on_floor(positions: FloatArray) -> FloatArray:
    """The recording at such a height that its lowest joints are just above the floor."""
    low = np.where(np.isfinite(positions[..., 2]), positions[..., 2], np.inf).min(axis=1)
    low = low[np.isfinite(low)]
    floor = np.percentile(low, 1) - FLOOR_MM if len(low) else 0.0
    return positions - np.array([0.0, 0.0, floor])


def _files(config: DataConfig) -> tuple[Path, list[Path]]:
    """The folder, and the files of known kinds below it, by name."""
    folders = search_folders(NAME, config.root)[:1]  # others' files lie beside that of a variable
    known = (*_CAPTURED, ".npz")
    for folder in folders:
        found = {path for pattern in config.own.files for path in folder.glob(pattern)}
        named = [p for p in found if p.suffix.lower() in known and not p.name.startswith(".")]
        if paths := sorted(p for p in named if p.is_file()):
            return folder, paths
    raise MissingDataError(
        f"expected files of motion ({', '.join(known)}; patterns {', '.join(config.own.files)}) "
        f"below {', '.join(map(str, folders)) or 'a folder'}, found none; put them there, or give "
        f"data.root or {VARIABLE} (AMC with ASF: `lifting data prepare cmu`)"
    )


def _map_file(option: str) -> Path:
    path = Path(option).expanduser()
    if not path.is_file():
        raise MissingDataError(
            f"expected a map of joints at data.own.map {path}, found none; give its path or null"
        )
    return path


def _recordings(config: DataConfig) -> list[_Recording]:
    """All recordings, by name; of text and C3D nothing is read yet."""
    options: OwnConfig = config.own
    if not 0 < options.holdout < 0.5 or not options.clip_seconds > 0:
        raise ConfigError(
            "expected data.own.holdout above 0 and below 0.5 and data.own.clip_seconds above 0, "
            f"got {options.holdout} and {options.clip_seconds}; try 0.1 and 10"
        )
    folder, paths = _files(config)
    joint_map = read_joint_map(_map_file(options.map)) if options.map else None
    found: dict[str, _Recording] = {}
    for path in paths:
        for one in _of_file(path, path.relative_to(folder), joint_map):
            if one.name in found:
                raise DataError(
                    f"expected each recording once below {folder}, got {one.name} in "
                    f"{found[one.name].path.name} and {path.name}; keep one, or choose by "
                    "data.own.files"
                )
            found[one.name] = one
    return [found[name] for name in sorted(found)]


def _of_file(path: Path, place: Path, joint_map: JointMap | None) -> list[_Recording]:
    name = place.with_suffix("").as_posix()
    if path.suffix.lower() != ".npz":
        subject = place.parts[0] if len(place.parts) > 1 else UNKNOWN
        read = partial(_captured, path, joint_map)
        return [_Recording(name, subject, UNKNOWN, None, path, H36M_17, read)]
    own = read_own_npz(path)
    return [
        _Recording(
            name if len(own.clips) == 1 else f"{name}/{clip.name}", clip.subject, clip.action,
            clip.split, path, own.skeleton or H36M_17, partial(_plain, own, clip, joint_map),
        )
        for clip in own.clips
    ]  # fmt: skip


def _captured(path: Path, joint_map: JointMap | None) -> Content:
    recorded = _CAPTURED[path.suffix.lower()](path)
    mapped = to_h36m17(recorded, joint_map)
    notes = (*recorded.notes, *mapped.inferred, *mapped.notes)
    return Content(mapped.pose, recorded.fps, mapped.approximate, notes)


def _plain(own: OwnMotion, clip: OwnClip, joint_map: JointMap | None) -> Content:
    """A recording of an npz; one of unknown joints is mapped by their names."""
    content = Content(clip.positions.astype(np.float64), own.fps, (), own.notes)
    if own.skeleton is not None:
        return content
    named = CapturedMotion(
        path=own.path, form="npz", names=own.joints, positions=content.positions,
        rotations=None, fps=own.fps, unit_mm=1.0, up="z",
    )  # fmt: skip
    mapped = to_h36m17(named, joint_map)
    return content._replace(positions=mapped.pose, approximate=mapped.approximate)


def _divide(recordings: Sequence[_Recording], options: OwnConfig) -> tuple[list[str], str]:
    """The part of every recording, and the rule in words."""
    val, test = options.val_subjects, options.test_subjects
    check_disjoint(NAME, test, val)
    subjects = sorted({recording.subject for recording in recordings})
    for name in (*val, *test):
        if name not in subjects:
            raise ConfigError(f"unknown subject '{name}' in data.own; {suggest(name, subjects)}")
    parts = [recording.split or "" for recording in recordings]
    left = [i for i, part in enumerate(parts) if not part]
    rules = ["as the files say"] if len(left) < len(parts) else []
    if left and (val or test):
        rules.append(f"val subjects {', '.join(val)}; test subjects {', '.join(test)}")
        for i in left:
            subject = recordings[i].subject
            parts[i] = "val" if subject in val else "test" if subject in test else "train"
    elif left:
        count = max(1, round(len(left) * options.holdout))
        if len(left) < 3:
            raise DataError(
                f"expected at least 3 recordings to divide, got {len(left)} "
                f"({recordings[left[0]].path.name} ...); say 'split' in an npz, or name "
                "data.own.val_subjects and test_subjects"
            )
        rules.append(f"by name, the last {count} recordings test, {count} before them validate")
        names = ["train"] * (len(left) - 2 * count) + ["val"] * count + ["test"] * count
        for i, part in zip(left, names, strict=True):
            parts[i] = part
    return parts, "; ".join(rules)


def _shared_skeleton(recordings: Sequence[_Recording]) -> Skeleton:
    """The joints of all recordings; h36m17 where they differ and all can be converted to it."""
    sets = {recording.skeleton for recording in recordings}
    if len(sets) == 1:
        return sets.pop()
    for recording in recordings:
        try:
            conversion(recording.skeleton, H36M_17)
        except ConfigError as error:
            raise DataError(
                "expected recordings of one set of joints, got "
                f"{', '.join(sorted(s.name for s in sets))}, and {recording.path} cannot be "
                f"converted: {error}"
            ) from None
    return H36M_17


def _converted(content: Content, source: Skeleton, target: Skeleton) -> Content:
    if source == target:
        return content
    positions = torch.from_numpy(content.positions)
    known = positions.isfinite().all(-1)
    moved, confidence = remap_joints(positions.nan_to_num(), source, target, known.double())
    moved[confidence <= 0] = torch.nan
    near = tuple(conversion(source, target).approximate)
    return content._replace(positions=moved.numpy(), approximate=near)
