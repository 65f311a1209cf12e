"""People over time in one frame, a person after another: what formats write."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lifting.atomic import write_text
from lifting.errors import DataError
from lifting.export import check_names, chosen
from lifting.export.fitting import Fitted, fit
from lifting.export.names import named
from lifting.files.checks import as_path
from lifting.files.npz import Array
from lifting.poses import Poses
from lifting.skeleton import Skeleton

log = logging.getLogger(__name__)

Frame = Literal["world", "camera", "root"]
ASSUMED_FPS = 30.0
LONG = 20_000
"""Rows whose files take so long that each is named when it is begun."""
MAX_GAP = 0.5
"""Seconds of a gap that is interpolated where a format has no word for one."""
LONGEST = 2_000_000  # frames of one person, seen or not
_ANKLE_MM = 80.0  # above the ground
_FRAMES = {
    "world": "world: {}",
    "camera": "camera: the camera is the origin, and its up is up; no ground is known",
    "root": "root-relative: everyone stands at the origin, the lowest ankle at 80 mm; where "
    "people are is not known",
}


class Person:
    """One person of poses.

    Attributes:
        name: As people call it.
        slug: The same as a part of a file's name; empty where there is nobody else.
        rows: ``(n,)``, rows of the poses by frame.
        place: ``(n,)``, their frames, counted from the person's first, in steps.
        first: Number of the first frame in the source.
        offset: Steps from the first frame of anyone to the person's first.
        step: Frames of the source from one to the next.
        fps: Frames a second, of steps.
        skeleton: The joints.
        original: ``(n, J, 3)``, mm, in the axes of the motion's frame; NaN where not known.
        seen: The same, z up.
        max_gap: Longest gap that is interpolated, steps.
    """

    def __init__(
        self, name: str, slug: str, rows: Array, frames: Array, step: int, begin: int, fps: float,
        skeleton: Skeleton, original: Array, seen: Array, max_gap: float,
    ) -> None:  # fmt: skip
        self.name, self.slug, self.rows, self.fps, self.step = name, slug, rows, fps, step
        self.first, self.offset = int(frames[0]), int(frames[0] - begin) // step
        self.place = (frames - frames[0]) // step
        self.skeleton, self.original, self.seen = skeleton, original, seen
        self.max_gap = int(max_gap * fps)

    def __len__(self) -> int:
        return int(self.place[-1]) + 1

    @cached_property
    def joints(self) -> Array:
        """Every frame from the first to the last, ``(frames, J, 3)``, mm, z up; NaN in gaps."""
        whole = np.full((len(self), *self.seen.shape[1:]), np.nan)
        whole[self.place] = self.seen
        return whole

    def file(self, stem: Path, suffix: str) -> Path:
        """Where a file of this person alone goes.

        Args:
            stem: Beginning of the names of all files.
            suffix: End of the name.
        """
        return stem.with_name(f"{stem.name}{'_' if self.slug else ''}{self.slug}{suffix}")

    @property
    def seconds(self) -> Array:
        """Of every frame, from the first frame of anyone, ``(frames,)``."""
        times: Array = (self.offset + np.arange(len(self))) / self.fps
        return times

    @cached_property
    def fitted(self) -> Fitted:
        """An animation of constant bones, with gaps interpolated or held; y up."""
        return fit(y_up(self.joints), self.skeleton, self.max_gap)


@dataclass(frozen=True)
class Motion:
    """What a file is written from.

    Attributes:
        poses: As they were lifted.
        people: Those of whom anything is known, by their first frame.
        frame: Of ``Person.seen``.
        profile: Names of joints that are asked for, None for those of each format.
        remarks: What had to be assumed, in words.
    """

    poses: Poses
    people: tuple[Person, ...]
    frame: Frame
    profile: str | None
    remarks: tuple[str, ...]

    def joint_names(self, profile: str) -> tuple[str, ...]:
        """Names of the joints of ``Person.seen``.

        Args:
            profile: That of the format, where none is asked for.
        """
        return named(self.poses.joint_names, self.profile or profile)

    @property
    def frame_in_words(self) -> str:
        """What the numbers are relative to."""
        words = self._said("world") or "of a calibration"
        if self.frame != "world":
            why = f" (world: {words})" if words.startswith("none") else ""
            return f"{_FRAMES[self.frame]}{why}"
        return _FRAMES[self.frame].format(words if words.startswith("z up") else f"z up, {words}")

    @property
    def scale_in_words(self) -> str:
        """Where the size of people comes from."""
        known = self._said("scale")
        if not known and self.poses.rotation is not None:
            known = self._said("world")
        if not known and self.frame == "world":
            known = "that of the world"
        return known or "assumed: that of the people whom the weights were trained on"

    def _said(self, key: str) -> str:
        """What the poses say of themselves, or what placed them in a world says."""
        motion = self.poses.meta.get("motion")
        found = {**self.poses.meta, **(motion if isinstance(motion, dict) else {})}.get(key)
        words = "; ".join(map(str, found)) if isinstance(found, list) else str(found or "")
        return "" if words == "off" else words

    @property
    def facts(self) -> dict[str, Any]:
        """What a file beside the others says of all of them."""
        animated = {
            p.name: p.fitted.facts(p.first, p.step) for p in self.people if "fitted" in vars(p)
        }
        return {
            "frame": self.frame_in_words,
            "scale": self.scale_in_words,
            "people": [
                {"name": p.name, "first_frame": p.first, "frames": len(p), "fps": p.fps}
                for p in self.people
            ],
            "animation": animated,
            "remarks": list(self.remarks),
            "provenance": self.poses.meta,
        }


def motion_of(poses: Poses, *, profile: str | None = None, max_gap: float = MAX_GAP) -> Motion:
    """People of poses in the best frame that is known: the world, the camera, else their root.

    Args:
        poses: With one row or more.
        profile: Names of joints that are asked for.
        max_gap: Longest gap that is interpolated where a format has no word for one, seconds.

    Raises:
        DataError: Nobody is in the poses, or their frames span too long a time.
    """
    frame, points = _placed(poses)
    known = np.isfinite(points).all(-1).any(-1)
    if not known.any():
        raise DataError(
            "expected somebody whose joints are known to export, got nobody; check the keypoints "
            "with `lifting data look`"
        )
    keys = np.array(_people(poses))[poses.track]
    rows_of = {name: np.flatnonzero(known & (keys == name)) for name in dict.fromkeys(keys)}
    rows_of = {name: rows[np.argsort(poses.frame[rows])] for name, rows in rows_of.items()
               if len(rows)}  # fmt: skip
    for name, rows in rows_of.items():
        if (np.diff(poses.frame[rows]) == 0).any():
            raise DataError(
                f"expected each frame of '{name}' once, got two tracks of it at a time; give "
                "'people' another name for each"
            )
    step = int(
        np.gcd.reduce([n for r in rows_of.values() for n in np.diff(poses.frame[r])] or [1])
    )
    begin = min(int(poses.frame[rows[0]]) for rows in rows_of.values())
    step = int(np.gcd.reduce([step, *(int(poses.frame[r[0]]) - begin for r in rows_of.values())]))
    rates = np.broadcast_to(poses.fps, (len(poses.track_names),))
    slugs = _slugs(list(rows_of))
    people = []
    for name, rows in rows_of.items():
        frames = poses.frame[rows]
        if (frames[-1] - begin) // step >= LONGEST:
            raise DataError(
                f"expected at most {LONGEST:,} frames from first to last, got {frames[0]} to "
                f"{frames[-1]} of '{name}'; number the frames of the video from 0"
            )
        rate = float(rates[poses.track[rows[0]]])
        rate = (rate if np.isfinite(rate) else ASSUMED_FPS) / step
        seen = _z_up(points[rows], frame, poses.skeleton)
        people.append(Person(name, slugs[name], rows, frames, step, begin, rate, poses.skeleton,
                             points[rows], seen, max_gap))  # fmt: skip
    people.sort(key=lambda person: person.first)
    remarks = []
    if "photographs" in poses.meta.get("source", {}):
        remarks.append(f"photographs have no rate: files that need one say {ASSUMED_FPS:g}")
    elif np.isnan(rates).any():
        remarks.append(f"frames a second are not known: {ASSUMED_FPS:g} are assumed (--fps)")
    return Motion(poses, tuple(people), frame, profile, tuple(remarks))


def y_up(points: Array) -> Array:
    """Points with z up as those with y up: x stays, and +z comes towards the viewer.

    Args:
        points: ``(*, 3)``.
    """
    turned: Array = np.stack((points[..., 0], points[..., 2], -points[..., 1]), -1)
    return turned


def _placed(poses: Poses) -> tuple[Frame, Array]:
    """The best known positions, ``(T, J, 3)`` mm, and their frame."""
    turn, at = poses.rotation, poses.position
    is_camera = turn is not None and at is not None and np.allclose(turn[0], np.eye(3), atol=1e-6)
    is_camera = is_camera and np.allclose(at[0], 0)  # type: ignore[index]
    if poses.world is not None and np.isfinite(poses.world).any() and not is_camera:
        return "world", poses.world.astype(np.float64)
    relative = poses.joints_3d.astype(np.float64)
    if poses.trajectory is not None and np.isfinite(poses.trajectory).any():
        return "camera", relative + poses.trajectory[:, None]
    return "root", relative


def _z_up(points: Array, frame: Frame, skeleton: Skeleton) -> Array:
    if frame == "world":
        return points
    turned: Array = np.stack((points[..., 0], points[..., 2], -points[..., 1]), -1)
    if frame == "root":
        ankles = [i for i, joint in enumerate(skeleton.joints) if joint.endswith("ankle")]
        lowest = turned[:, ankles or slice(None), 2]
        if np.isfinite(lowest).any():
            turned[..., 2] += _ANKLE_MM - np.nanmin(lowest)
    return turned


def _people(poses: Poses) -> tuple[str, ...]:
    """Whose track it is, for each track."""
    return poses.people or poses.track_names


def _slugs(names: list[str]) -> dict[str, str]:
    """Parts of files' names that differ, also where case does not count."""
    if len(names) == 1:
        return {names[0]: ""}
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_")[:60] or "person"
        taken = {slug.lower() for slug in found.values()}
        numbers = (f"{plain}_{i}" for i in range(2, len(names) + 2))
        found[name] = plain if plain.lower() not in taken else next(
            slug for slug in numbers if slug.lower() not in taken
        )  # fmt: skip
    return found


class Exported(NamedTuple):
    """What was written.

    Attributes:
        files: In order of the formats; the last says of all of them what they hold.
        remarks: Frame, scale, what was assumed, and how far an animation is from the poses.
    """

    files: tuple[Path, ...]
    remarks: tuple[str, ...]


def export_poses(
    poses: Poses,
    formats: str | Iterable[str],
    folder: str | Path,
    *,
    stem: str = "poses",
    profile: str | None = None,
    max_gap: float = MAX_GAP,
) -> Exported:
    """Write poses as files of other programs, each whole or not at all, and what they hold.

    Args:
        poses: With one row or more.
        formats: Names, in a list or with commas between them, see :func:`lifting.export.exports`.
        folder: Where files go.
        stem: Beginning of their names.
        profile: Names of joints, see :data:`lifting.export.names.PROFILES`; None for those that
            each format prefers.
        max_gap: Longest gap that is interpolated where a format has no word for one, seconds.

    Raises:
        ConfigError: There is no such format or profile, or a package that it needs is missing.
        DataError: A format cannot hold the poses.
        OutputError: A file cannot be written.
    """
    wanted = chosen(formats, profile)
    check_names(wanted, poses.skeleton, profile)
    long = len(poses) >= LONG
    if long:
        log.info("fitting a skeleton to %d rows", len(poses))
    motion = motion_of(poses, profile=profile, max_gap=max_gap)
    start = as_path(folder, "to export to") / stem
    files = {}
    for export in wanted:
        if long:
            log.info("writing %s", export.name)
        files[export.name] = export.write(motion, start)
    facts = {name: [path.name for path in paths] for name, paths in files.items()}
    about = start.with_name(f"{stem}.meta.json")
    write_text(about, json.dumps({"files": facts, **motion.facts}, indent=1) + "\n")
    written = [path for paths in files.values() for path in paths]
    return Exported((*written, about), _remarks(motion))


def _remarks(motion: Motion) -> tuple[str, ...]:
    lines = [f"frame: {motion.frame_in_words}", f"scale: {motion.scale_in_words}", *motion.remarks]
    for name, facts in motion.facts["animation"].items():
        line = (
            f"animation of {name}: constant bones are {facts['distance_mean_mm']:.1f} mm from the "
            f"poses on average (95 %: {facts['distance_95_percent_mm']:.1f})"
        )
        for key, words in (("interpolated", "gaps interpolated"), ("held", "gaps held")):
            count = sum(map(len, facts[key].values()))
            line += f", {count} {words}" if count else ""
        lines.append(line)
    return tuple(lines)
