"""People at single instants: procedural motion or that of a data set, stood by ellipsoid bodies.

The labels of a picture are the joints of the body that is drawn, which follow those of the motion
within one or two centimetres; so picture and labels agree exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.ellipsoid_fit import fit_body, shape_of_bones
from lifting.body.ellipsoid_layout import LENGTHS, SHAPES
from lifting.data.config import DataConfig, Split
from lifting.data.procedural.draws import Draws
from lifting.data.procedural.generator import (
    CLIPS_PER_PERSON,
    GENERATOR_VERSION,
    generate_motion,
)
from lifting.data.sequence import MotionClips
from lifting.data.sets import find_set
from lifting.data.sets.synthetic.reader import split_seed
from lifting.errors import ConfigError, DataError
from lifting.geometry.kinematics import bone_lengths
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import H36M_17
from lifting.typing import Points3D, RotationMatrix

PEOPLE_VERSION = 2
STEP_SECONDS = 0.5
_FPS = 50.0
_MOST_CLIPS = 4096
_MOST = 3.0
_NECK = H36M_17.index("neck")
_TURN = (math.radians(20.0), math.radians(50.0))


class People(NamedTuple):
    """Bodies at instants, in the world. N rows, the instants of one recording side by side.

    Attributes:
        motion: Their joints; a clip is a recording.
        rotations: Each joint in its parent's frame, the root's in the world, ``(N, 17, 3, 3)``.
        betas: ``(N, 14)``.
        translation: Root, ``(N, 3)``, mm.
    """

    motion: MotionClips
    rotations: RotationMatrix
    betas: Tensor
    translation: Points3D


def sample_people(config: DataConfig, split: Split, recordings: int) -> People:
    """Bodies that stand like moments of the motion.

    Args:
        config: The data section; ``images`` is read.
        split: Part of the motion.
        recordings: How many there are at most; fewer where the motion has fewer.

    Raises:
        ConfigError: The data set has no 3D motion, or not the joints that the body has.
        DataError: No clip of the motion is long enough.
        MissingDataError: The files of the motion are not found.
    """
    options = config.images
    seed = split_seed(options.seed, split)
    if options.motion == "synthetic":
        frames = options.instants * round(STEP_SECONDS * _FPS)
        # Consecutive clips share a person, so that more are made than are kept.
        clips = recordings * max(1, min(CLIPS_PER_PERSON, _MOST_CLIPS // recordings))
        motion = generate_motion(clips, frames, seed=seed, fps=_FPS)
        motion.source["split"] = split
    else:
        motion = _reader(options.motion).motion(config, split)
        if motion.skeleton != H36M_17:
            raise ConfigError(
                f"expected motion with the joints of {H36M_17.name}, which the body has, got "
                f"{motion.skeleton.name} from '{options.motion}'; set data.images.motion=synthetic"
            )
    return stand(_instants(motion, options.instants, recordings), seed)


def people_key(config: DataConfig, split: Split) -> dict[str, object]:
    """What decides the people beside the options of ``images``."""
    if config.images.motion == "synthetic":
        return {"people": PEOPLE_VERSION, "motion": {"generator": GENERATOR_VERSION}}
    found = _reader(config.images.motion).cache_key(config, split)
    return {"people": PEOPLE_VERSION, "motion": found}


def _reader(name: str) -> Any:
    """The reader of a data set of 3D motion."""
    reader = find_set(name).reader()
    if not hasattr(reader, "motion"):
        raise ConfigError(
            f"expected a data set of 3D motion in data.images.motion, got '{name}', which has "
            "cameras of its own; such are cmu, own and amass, or synthetic"
        )
    return reader


def stand(motion: MotionClips, seed: int) -> People:
    """Bodies for all frames of some clips.

    Lengths are those of the clip, within ordinary proportions; thickness, feet and the turn of the
    head, which joints do not tell, are drawn.

    Args:
        motion: Clips of 17 joints, all of the same number of frames.
        seed: Of what is drawn.
    """
    clips = len(motion.names)
    joints = motion.joints_3d.view(clips, -1, len(H36M_17), 3)
    frames = joints.shape[1]
    shape = shape_of_bones(bone_lengths(joints, H36M_17).mean(1)).clamp(-_MOST, _MOST)
    drawn = Draws(seed, motion.subject).normal("thickness", len(SHAPES)).clamp(-_MOST, _MOST)
    unknown = torch.arange(len(SHAPES)) >= LENGTHS
    unknown[SHAPES.index("foot")] = True
    betas = torch.where(unknown, drawn, shape).repeat_interleave(frames, dim=0)
    body = EllipsoidBody("light")
    fit = fit_body(body, motion.joints_3d, betas)
    turn = Draws(seed, torch.arange(clips * frames)).normal("head turn", sd=_TURN[0])
    axis = torch.zeros(len(turn), 3)
    axis[:, 1] = turn.clamp(-_TURN[1], _TURN[1])
    rotations = fit.rotations.clone()
    rotations[:, _NECK] = rotations[:, _NECK] @ axis_angle_to_matrix(axis)
    posed = body.joints(rotations, betas, fit.translation)
    error = f"{float(fit.error.mean()):.0f} mm"
    source = {**motion.source, "body": f"ellipsoid body, mean distance from the motion {error}"}
    people = replace(motion, joints_3d=posed.joints, source=source)
    return People(people, rotations, betas, fit.translation)


def _instants(motion: MotionClips, instants: int, most: int) -> MotionClips:
    """Pieces of clips, spread evenly over the motion, of which every n-th frame is kept."""
    step = max(1, round(STEP_SECONDS * float(motion.fps[0])))
    length = (instants - 1) * step + 1
    # Pieces start a whole step after the last frame of the one before.
    pieces = (motion.offsets.diff() - length) // (length + step - 1) + 1
    pieces = pieces.clamp(min=0)
    clip = torch.arange(len(pieces)).repeat_interleave(pieces)
    if len(clip) == 0:
        raise DataError(
            f"expected clips of at least {length} frames in {motion.source.get('dataset')}, got "
            f"none; lower data.images.instants, which is {instants}"
        )
    number = torch.arange(len(clip)) - (pieces.cumsum(0) - pieces)[clip]
    chosen = torch.arange(len(clip))
    if len(clip) > most:
        chosen = torch.linspace(0, len(clip) - 1, most).round().long()
    clip, number = clip[chosen], number[chosen]
    start = number * (length + step - 1)
    rows = (motion.offsets[clip] + start)[:, None] + torch.arange(instants) * step
    names = zip(clip.tolist(), start.tolist(), strict=True)
    return replace(
        motion,
        joints_3d=motion.joints_3d[rows.flatten()],
        offsets=torch.arange(len(clip) + 1) * instants,
        subject=motion.subject[clip],
        action=motion.action[clip],
        names=tuple(f"{motion.names[i]}@{first}" for i, first in names),
        fps=motion.fps[clip] / step,
    )
