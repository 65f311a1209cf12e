"""The chain around a lifter: keypoints cleaned before it, and its poses brought into one world."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lifting.data.config import DataConfig
from lifting.data.keypoints.tracks import PHOTOGRAPHS
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError
from lifting.files.npz import Array
from lifting.motion.camera_path import read_camera_path
from lifting.motion.chain import Moving, People, settle
from lifting.motion.clean import SMOOTH_S, clean_keypoints
from lifting.motion.options import USUAL_FPS, MotionOptions
from lifting.poses import Poses

log = logging.getLogger(__name__)

FLAGS = ("filled", "outlier")
"""What is done to keypoints: filled in where not seen, moved where their neighbours have them."""


@dataclass(frozen=True)
class Chain:
    """What happens around the lifting of some tracks.

    Attributes:
        options: The stages.
        read: As they were read.
        tracks: As they are lifted.
        flags: ``(frames, joints)``, what was done to keypoints, bits of ``FLAGS``.
        fps: Rows a second.
        facts: What was done so far.
    """

    options: MotionOptions
    read: PoseTracks
    tracks: PoseTracks
    flags: Array
    fps: float
    facts: dict[str, Any]

    @classmethod
    def begin(
        cls, tracks: PoseTracks, options: MotionOptions, data: DataConfig, fps: float | None
    ) -> Chain:
        """Clean keypoints.

        Args:
            tracks: As they were read.
            options: The stages.
            data: The data section of the model, whose windows look ahead, too.
            fps: Frames a second of the model; None where it lifts single frames.

        Raises:
            ConfigError: The model looks further ahead than is allowed, or what takes a video is
                asked of photographs.
            DataError: The camera's poses are not those of every frame.
        """
        alone = PHOTOGRAPHS in tracks.source
        if alone:
            options = _without_motion(options, tracks)
        known = tracks.fps[~tracks.fps.isnan()]
        rate = float(known[0]) if len(known) else USUAL_FPS
        facts: dict[str, Any] = {"without": list(options.without)}
        if not len(known) and not alone:
            facts["frame_rate"] = f"not known, taken as {USUAL_FPS:g} a second for what lasts"
        if options.lookahead is not None:
            model = frames_ahead(data, None if fps is None else rate / fps)
            if model > options.lookahead:
                raise ConfigError(
                    f"expected a model that looks at most {options.lookahead} frames ahead, got "
                    f"one of windows that looks {model} ahead; give --lookahead {model} or more, "
                    "or a model of single frames"
                )
            facts["lookahead"] = options.lookahead
            facts["delay_ms"] = round(1000 * options.lookahead / rate, 1)
            facts["model_ahead"] = model
            options = replace(options, lookahead=options.lookahead - model)
        if len(set(tracks.camera.tolist())) > 1:  # of a data set: they share no world
            moves = options.uses("root")
            options = replace(options, moving_camera=moves, camera_poses=None, up=None)
        if options.camera_poses is not None:  # what is wrong with them is found before the work
            read_camera_path(Path(options.camera_poses), _frames(tracks))
        cleaned, flags = _cleaned(tracks, options, rate, facts)
        return cls(options, tracks, cleaned, flags, rate, facts)

    def end(self, poses: Poses) -> Poses:
        """Poses in one world.

        Args:
            poses: What the model answers to ``tracks``, a row a frame of theirs.

        Raises:
            ConfigError: A height or a bone of nobody.
        """
        found = self.moved(poses)
        facts = {**self.facts, **found.facts}
        if PHOTOGRAPHS in self.read.source and "world" in facts:
            facts["world"] = "none: photographs share none; positions are in the frame of each"
        for line in _said(facts):
            log.info("%s", line)
        return replace(
            poses,
            joints_3d=found.joints_3d,
            trajectory=poses.trajectory if found.trajectory is None else found.trajectory,
            world=found.world,
            **self._keypoints(poses),
            **_feet(found, poses),
            **({} if self.options.camera_poses else self._up(found, poses)),
            sigma=None if poses.sigma is None else poses.sigma * found.size[:, None],
            hypotheses=None
            if poses.hypotheses is None
            else poses.hypotheses * found.size[:, None, None, None],
            meta={**poses.meta, "motion": facts},
        )

    def _keypoints(self, poses: Poses) -> dict[str, Any]:
        """Keypoints as they were read, and what was done to them, where they have the joints."""
        if poses.skeleton != self.read.skeleton or len(poses) != len(self.read):
            return {}
        return {
            "keypoints_read": self.read.keypoints_2d.numpy(),
            "flags": self.flags,
            "flag_names": FLAGS,
        }

    def _up(self, found: Moving, poses: Poses) -> dict[str, Any]:
        """Up and the ground: of the video, or of each row from the frames so far."""
        values = {
            "up": found.up,
            "up_sigma": found.up_deg,
            "ground": found.ground_mm,
            "ground_sigma": found.ground_sigma_mm,
        }
        known = {name: value for name, value in values.items() if value is not None}
        if self.options.causal or "up" not in known:
            return known if "up" in known else {}
        last = {name: value[np.argmax(poses.frame)] for name, value in known.items()}
        return {name: value for name, value in last.items() if np.isfinite(value).all()}

    def moved(self, poses: Poses) -> Moving:
        """What :meth:`end` brings together, frame by frame."""
        person = np.unique(self.tracks.subject.numpy(), return_inverse=True)[1]
        people = People(
            skeleton=poses.skeleton,
            joints_3d=poses.joints_3d,
            keypoints_2d=_known(poses.keypoints_2d),
            confidence=_known(poses.confidence),
            intrinsics=_lens(poses),
            track=poses.track,
            frame=poses.frame,
            person=person[poses.track],
            names=numbers_of(self.tracks),
            fps=self.fps,
            guessed=self.tracks.camera_kind == "guessed",
            cameras=None
            if self.options.camera_poses is None
            else read_camera_path(Path(self.options.camera_poses), poses.frame),
        )
        return settle(people, self.options)


def _without_motion(options: MotionOptions, tracks: PoseTracks) -> MotionOptions:
    """The stages for photographs, which share no camera, no world and no time."""
    names = {
        "up": "--up",
        "camera_poses": "--camera-poses",
        "lookahead": "--causal",
        "moving_camera": "--moving-camera",
    }
    for name, option in names.items():
        value = getattr(options, name)
        if value is not None and value is not False:
            raise ConfigError(
                f"expected a video for {option} ({name}=), got {tracks.source[PHOTOGRAPHS]}; "
                "leave it out"
            )
    return replace(options, moving_camera=True)


def frames_ahead(data: DataConfig, ratio: float | None) -> int:
    """Frames of the input that an answer of a model depends on, after its own.

    Args:
        data: Its windows.
        ratio: Frames of the input to one of the model; None where it lifts single frames.
    """
    if ratio is None or data.frames == 1:
        return 0
    reach = data.frames - 1 if data.target == "all" else data.frames // 2
    resampled = 0 if abs(ratio - 1) < 1e-3 else 4  # two neighbours, there and back
    return int(np.ceil(reach * data.window_stride * ratio - 1e-9)) + resampled


def _frames(tracks: PoseTracks) -> Array:
    """Numbers of all frames in the video."""
    offsets = tracks.offsets.numpy()
    own = np.concatenate([np.arange(count) for count in np.diff(offsets)])
    first = 0 if tracks.first_frame is None else tracks.first_frame.numpy()
    return own * tracks.frame_step + np.repeat(first, np.diff(offsets))


def _cleaned(
    tracks: PoseTracks, options: MotionOptions, fps: float, facts: dict[str, Any]
) -> tuple[PoseTracks, Array]:
    unseen = tracks.confidence.numpy() <= 0
    if not (options.causal or options.uses("clean") or options.uses("smooth")):
        return tracks, unseen.astype(np.int64)
    lengths = np.diff(tracks.offsets.numpy())
    found = clean_keypoints(
        tracks.keypoints_2d.numpy().astype(np.float64),
        tracks.confidence.numpy().astype(np.float64),
        np.repeat(np.arange(len(lengths)), lengths),
        fps,
        options.ahead().clean,
        replaced=options.uses("clean"),
        smoothed=options.uses("smooth"),
    )
    facts["clean"] = {
        "joints": int(unseen.size),
        "filled": int(unseen.sum()),
        "outliers": int(found.outliers.sum()),
        "smoother": f"straight lines, {SMOOTH_S:g} s to either side"
        if options.uses("smooth")
        else "off",
    }
    cleaned = replace(
        tracks,
        keypoints_2d=torch.from_numpy(found.keypoints_2d.astype(np.float32)),
        confidence=torch.from_numpy(found.confidence.astype(np.float32)),
    )
    return cleaned, unseen + 2 * found.outliers.astype(np.int64)


def _feet(found: Moving, poses: Poses) -> dict[str, Any]:
    if found.contacts is None:
        return {}
    contacts = np.full(poses.joints_3d.shape[:2], np.nan)
    for side, name in enumerate(("right_ankle", "left_ankle")):
        contacts[:, poses.skeleton.index(name)] = found.contacts[:, side]
    return {"contacts": contacts}


def numbers_of(tracks: PoseTracks) -> list[int]:
    """Numbers that people bear, in the order of their subjects.

    Args:
        tracks: As they were read.
    """
    who = np.unique(tracks.subject.numpy())
    named = [re.findall(r"[0-9]+$", tracks.subject_names[one]) for one in who]
    numbers = [int(one[0]) for one in named if one]
    if len(set(numbers)) == len(who):
        return numbers
    only = re.match(r"[0-9]+", tracks.source.get("person", ""))
    if len(who) == 1:
        return [int(only[0]) if only else 0]
    return list(range(len(who)))


def _known(values: Array | None) -> Array:
    assert values is not None  # keypoints are what was lifted
    return values


def _lens(poses: Poses) -> Array:
    if poses.intrinsics is None:
        return np.full((len(poses), 9), np.nan)
    lens = poses.intrinsics if poses.intrinsics.ndim == 1 else poses.intrinsics[poses.track]
    lens = np.broadcast_to(lens, (len(poses), lens.shape[-1]))
    return np.pad(lens, ((0, 0), (0, 9 - lens.shape[-1])))


def _said(facts: dict[str, Any]) -> Iterator[str]:
    """What a user has to know of the answers."""
    if isinstance(facts.get("scale"), list):
        more = len(facts["scale"]) - 8
        rest = f"; and {more} more" if more > 0 else ""
        yield f"size: {'; '.join(facts['scale'][:8])}{rest}"
    if "up_deg" in facts:
        yield f"up: expected to be {facts['up_deg']:g} degrees off; ground: {facts['ground']}"
    elif "world" in facts:
        yield f"world: {facts['world']}"
    if "delay_ms" in facts:
        yield (
            f"delay: {facts['delay_ms']:g} ms, {facts['lookahead']} frames; who is who "
            "is told from the whole file"
        )
