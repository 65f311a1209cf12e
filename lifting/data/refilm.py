"""Motion that is filmed anew while a network trains on it: other cuts, people, cameras, detectors.

A network that saw each motion from four places would learn these. Here clips are cut out of the
motion at random, their people get other bones and another pace, fresh cameras film them, and
detectors of several kinds look: of another accuracy, of other joints by the same name, of other
confidences, of people who are cut off by the picture's edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from lifting.batch import PoseBatch
from lifting.data.augment import random_bone_factors
from lifting.data.config import DataConfig, RefilmConfig
from lifting.data.detections import detect
from lifting.data.film import film
from lifting.data.gather import TrackBatches
from lifting.data.sampler import BatchKey, stream
from lifting.data.sequence import MotionClips, PoseTracks, offsets_of
from lifting.data.window import track_of_rows
from lifting.errors import ConfigError
from lifting.geometry.kinematics import scale_bones
from lifting.geometry.rotation import axis_angle_to_matrix
from lifting.skeleton import Skeleton
from lifting.typing import PerJoint, Pose2D

_STREAM = 7331  # of numbers that nothing else is drawn from
_SIZE_SPREAD = 0.05  # of whole people
_LEAST_KNOWN = 5  # joints of a frame, of which fewer are no person
_MOST_MISSED = 5
_CUT_SHARE, _SIDE_SHARE = 0.6, 0.3
_PLAIN_SHARE, _CONFIDENCE_SPREAD = 0.25, 0.5
_TRUNK = {
    "hip", "spine", "thorax", "neck", "left_hip", "right_hip", "left_shoulder", "right_shoulder",
}  # fmt: skip

_LIMBS = tuple(
    tuple(f"{side}_{joint}" for joint in limb)
    for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))
    for side in ("left", "right")
)
_LIMB_JOINTS = {name for limb in _LIMBS for name in limb}


class RefilmedBatches(Dataset[PoseBatch]):
    """Training batches of motion that is filmed anew every so many epochs.

    Films depend on the seed and their number alone, so that a training resumes to the bit. An
    epoch has the samples of the tracks that are filmed once; a film with fewer gives some twice.

    Args:
        batches: Of the tracks that are filmed once.
        motion: What is filmed; it is left as it is.
        config: The data section.
        fps: Frames a second of the films; None for those of the motion.

    Raises:
        ConfigError: The motion has other joints than the batches.
    """

    def __init__(
        self, batches: TrackBatches, motion: MotionClips, config: DataConfig, fps: float | None
    ) -> None:
        if motion.skeleton != batches.tracks.skeleton:
            raise ConfigError(
                f"expected motion with the joints of {batches.tracks.skeleton.name} for "
                f"data.refilm, got {motion.skeleton.name}; set data.refilm.every to 0, or "
                "data.skeleton to the joints of the motion"
            )
        self.once, self.motion, self.config, self.fps = batches, motion, config, fps
        self.number = -1
        self.batches = batches

    def __len__(self) -> int:
        return len(self.once)

    def __getitem__(self, key: BatchKey) -> PoseBatch:
        number = key.epoch // self.config.refilm.every
        if number != self.number:
            seed = self.once.options.seed
            tracks = refilm(self.motion, self.config, self.fps, seed=seed, number=number)
            tracks = tracks.to(self.once.tracks.keypoints_2d.device)
            self.batches = TrackBatches(tracks, self.once.options)
            self.number = number
        return self.batches[replace(key, samples=key.samples % len(self.batches))]


def refilm(
    motion: MotionClips, config: DataConfig, fps: float | None, *, seed: int, number: int
) -> PoseTracks:
    """One film of some of the motion.

    Args:
        motion: Clips in the world; they are left as they are.
        config: The data section, of which ``cameras`` and ``refilm`` are read.
        fps: Frames a second of the film; None for those of the motion.
        seed: Of all that is random.
        number: Of the film; each is another one.

    Returns:
        Tracks as of :func:`lifting.data.film.film`.
    """
    options, generator = config.refilm, stream(seed, number, _STREAM)
    clips = cut_clips(motion, options, fps, generator)
    people = other_people(other_limbs(clips, options.mixed, generator), options.bones, generator)
    film_seed = int(torch.randint(2**62, (), generator=generator))
    return detect_anew(
        film(people, rig=config.cameras, noise="none", seed=film_seed), options, generator
    )


@dataclass(frozen=True)
class _Cut:
    """A clip that is cut out of another: which, from which frame on, and how it goes on."""

    clip: int
    start: float
    step: float
    frames: int


def cut_clips(
    motion: MotionClips, options: RefilmConfig, fps: float | None, generator: Generator
) -> MotionClips:
    """Cut clips out of the motion, at random, and change their pace.

    Args:
        motion: Longer clips.
        options: Share of the motion, length, and pace.
        fps: Frames a second of the clips; None for those of the motion.
        generator: Source of the random numbers.

    Returns:
        At least one clip; positions between two frames lie on a line.
    """
    cuts = _draw_cuts(motion, options, fps, generator)
    rows, shares, last = [], [], motion.offsets[1:] - 1
    for cut in cuts:
        time = cut.start + cut.step * torch.arange(cut.frames)
        whole = time.floor()
        rows.append(motion.offsets[cut.clip] + whole.long())
        shares.append(time - whole)
    lengths = torch.tensor([cut.frames for cut in cuts])
    clip = torch.tensor([cut.clip for cut in cuts])
    before, share = torch.cat(rows), torch.cat(shares)[:, None, None]
    after = torch.minimum(before + 1, last[clip].repeat_interleave(lengths))
    joints = torch.lerp(motion.joints_3d[before], motion.joints_3d[after], share)
    visible = motion.visible
    return replace(
        motion,
        joints_3d=joints,
        visible=None if visible is None else visible[before] & visible[after],
        offsets=offsets_of(lengths),
        subject=motion.subject[clip],
        action=motion.action[clip],
        names=tuple(f"{motion.names[cut.clip]}/{i}" for i, cut in enumerate(cuts)),
        fps=motion.fps[clip] if fps is None else torch.full((len(cuts),), fps).double(),
        source=dict(motion.source),
    )


def _draw_cuts(
    motion: MotionClips, options: RefilmConfig, fps: float | None, generator: Generator
) -> list[_Cut]:
    """Where clips are cut; a recording gives as many as fit its share, one more at random."""

    def draw(clip: int) -> _Cut:
        turn, place = torch.rand(2, generator=generator).tolist()
        rate = rates[clip] if fps is None else fps
        step = rates[clip] / rate * (1 + options.pace * (2 * turn - 1))
        last = lengths[clip] - 1
        frames = max(1, min(round(options.seconds * rate), int(last / step) + 1))
        return _Cut(clip, place * max(0.0, last - (frames - 1) * step), step, frames)

    lengths, rates = motion.offsets.diff().tolist(), motion.fps.tolist()
    whole = motion.offsets.diff() / (options.seconds * motion.fps)
    luck = torch.rand(len(lengths), generator=generator)
    counts = (options.share * whole + luck).long().tolist()
    chosen = [clip for clip, count in enumerate(counts) for _ in range(count)]
    return [draw(clip) for clip in chosen or [int(luck.argmax())]]


def other_people(motion: MotionClips, spread: float, generator: Generator) -> MotionClips:
    """The same motion of people with other bones, each of whom stands where the other stood.

    Args:
        motion: Clips; those with unknown joints keep their people.
        spread: Standard deviation of bone-length factors about one; 0 changes nobody.
        generator: Source of the random numbers.
    """
    if spread == 0 or motion.visible is not None:
        return motion
    count, old = len(motion.names), motion.joints_3d
    factors = random_bone_factors(count, spread, motion.skeleton, generator)
    sizes = 1 + _SIZE_SPREAD * torch.randn(count, 1, generator=generator)
    clip = track_of_rows(motion.offsets)
    new = scale_bones(old, (factors * sizes)[clip], motion.skeleton)
    return replace(motion, joints_3d=_on_the_floor(new, old, clip, count))


def other_limbs(motion: MotionClips, share: float, generator: Generator) -> MotionClips:
    """The same motion, in which some arms and legs move as those of another clip.

    A limb keeps its place at the trunk and its lengths, and takes the directions of the other's,
    turned about the vertical as the hips, or the shoulders, of the one stand to those of the
    other. So poses come up that nobody was recorded in.

    Args:
        motion: Clips; those with unknown joints, or other names of them, stay.
        share: Of the clips; half of the limbs of these are mixed. 0 changes none.
        generator: Source of the random numbers.
    """
    skeleton = motion.skeleton
    if share == 0 or motion.visible is not None or not set(skeleton.joints) >= _LIMB_JOINTS:
        return motion
    count, own = len(motion.names), motion.joints_3d
    clip = track_of_rows(motion.offsets)
    partner = torch.randperm(count, generator=generator)[clip]
    within = torch.arange(len(clip)) - motion.offsets[clip]
    last = motion.offsets.diff()[partner] - 1
    other = own[motion.offsets[partner] + torch.minimum(within, last)]
    chosen = torch.rand(count, 1, generator=generator) < share
    chosen = chosen & (torch.rand(count, len(_LIMBS), generator=generator) < 0.5)
    mixed = own.clone()
    for column, names in enumerate(_LIMBS):
        base, middle, end = (skeleton.index(name) for name in names)
        across = skeleton.index(names[0].replace("left", "right")), base
        if names[0].startswith("right"):
            across = base, skeleton.index(names[0].replace("right", "left"))
        turn = _turn_between(other, own, *across)
        rows = chosen[clip, column, None]
        for joint, parent in ((middle, base), (end, middle)):
            bone = own[:, joint] - own[:, parent]
            way = ((other[:, joint] - other[:, parent])[:, None] @ turn.mT)[:, 0]
            way = way * (bone.norm(dim=-1) / way.norm(dim=-1).clamp(min=1))[:, None]
            mixed[:, joint] = torch.where(rows, mixed[:, parent] + way, mixed[:, parent] + bone)
    return replace(motion, joints_3d=_on_the_floor(mixed, own, clip, count))


def _turn_between(start: Tensor, end: Tensor, first: int, second: int) -> Tensor:
    """Rotations about the vertical from where two joints of a pose point to where others do."""
    before, after = (pose[:, second, :2] - pose[:, first, :2] for pose in (start, end))
    angle = torch.atan2(after[:, 1], after[:, 0]) - torch.atan2(before[:, 1], before[:, 0])
    zero = torch.zeros_like(angle)
    return axis_angle_to_matrix(torch.stack((zero, zero, angle), dim=-1))


def _on_the_floor(new: Tensor, old: Tensor, clip: Tensor, count: int) -> Tensor:
    """Changed clips, raised or lowered to where the lowest joint of each was before."""
    lift = _floors(old, clip, count) - _floors(new, clip, count)
    raised = torch.stack((torch.zeros(count), torch.zeros(count), lift), dim=-1)
    return new + raised[clip][:, None]


def _floors(joints: Tensor, clip: Tensor, count: int) -> Tensor:
    """Height of the lowest joint of each clip, ``(count,)``, mm."""
    lowest = torch.full((count,), torch.inf)
    return lowest.scatter_reduce(0, clip, joints[..., 2].amin(1), "amin")


def detect_anew(tracks: PoseTracks, options: RefilmConfig, generator: Generator) -> PoseTracks:
    """Exact tracks as detectors of several kinds see them, each track by one.

    Args:
        tracks: With exact keypoints; they are left as they are.
        options: Kinds of noise, share of tracks whose trunk is another's, and with lost joints.
        generator: Source of the random numbers.
    """
    count, track = len(tracks.track_names), track_of_rows(tracks.offsets)
    seen = tracks.keypoints_2d.clone()
    other = torch.rand(count, generator=generator) < options.other_joints
    if bool(other.any()) and set(tracks.skeleton.joints) >= _TRUNK:
        moved = trunk_of_detectors(seen, tracks.skeleton, track, count, generator)
        seen = torch.where(other[track][:, None, None], moved, seen)
    confidence = tracks.confidence.clone()
    kind = torch.randint(len(options.noise), (count,), generator=generator)
    for number, level in enumerate(options.noise):
        chosen = (kind == number).nonzero()[:, 0]
        if len(chosen) == 0:
            continue
        rows, part = (kind == number)[track], tracks.select(chosen)
        assert part.joints_3d is not None
        found = detect(
            seen[rows], part.joints_3d, part.offsets, tracks.skeleton, level=level, fps=part.fps,
            generator=generator, size=tracks.cameras.size[part.camera],
        )  # fmt: skip
        seen[rows], confidence[rows] = found.keypoints_2d, found.confidence
    confidence = _other_confidences(confidence, track, count, generator)
    if tracks.visible is not None:  # nobody detects what was not recorded
        confidence = torch.where(tracks.visible, confidence, 0.0)
    lost = lost_joints(seen, track, count, options.lost, generator)
    confidence = torch.where(lost, 0.0, confidence)
    return replace(tracks, keypoints_2d=without_lost(seen, confidence), confidence=confidence)


def trunk_of_detectors(
    keypoints: Pose2D, skeleton: Skeleton, track: Tensor, count: int, generator: Generator
) -> Pose2D:
    """Keypoints whose trunk is put together as from the joints of a detector.

    Hips and shoulders lie closer together or farther apart; the hip is the middle of the hips,
    the thorax lies between the shoulders and, up to a third of the way, the point at the face, and
    the spine is half way between both.

    Args:
        keypoints: ``(N, joints, 2)``.
        skeleton: With the joints of ``h36m17``'s trunk.
        track: Of each frame, ``(N,)`` int64.
        count: Tracks.
        generator: Source of the random numbers.
    """
    made = keypoints.clone()
    draws = torch.rand(count, 3, generator=generator)[track]
    for column, part, low, high in ((0, "hip", 0.75, 1.3), (1, "shoulder", 0.85, 1.15)):
        pair = [skeleton.index(f"{side}_{part}") for side in ("left", "right")]
        middle = keypoints[:, pair].mean(1, keepdim=True)
        factor = (low + (high - low) * draws[:, column])[:, None, None]
        made[:, pair] = middle + factor * (keypoints[:, pair] - middle)
    hips, shoulders = (
        made[:, [skeleton.index(f"left_{part}"), skeleton.index(f"right_{part}")]].mean(1)
        for part in ("hip", "shoulder")
    )
    face = made[:, skeleton.index("neck")]
    thorax = torch.lerp(shoulders, face, draws[:, 2:] / 3)
    for name, place in (("hip", hips), ("thorax", thorax), ("spine", (hips + thorax) / 2)):
        made[:, skeleton.index(name)] = place
    return made


def _other_confidences(
    confidence: PerJoint, track: Tensor, count: int, generator: Generator
) -> PerJoint:
    """Confidences of detectors that are surer or less sure, or that state none."""
    power = (_CONFIDENCE_SPREAD * torch.randn(count, generator=generator)).exp()[track]
    plain = torch.rand(count, generator=generator) < _PLAIN_SHARE
    return torch.where(plain[track][:, None], 1.0, confidence ** power[:, None])


def lost_joints(
    keypoints: Pose2D, track: Tensor, count: int, share: float, generator: Generator
) -> PerJoint:
    """Joints that a detector does not report, ``(N, joints)`` bool.

    Of a share of the tracks: of most, what lies beyond the picture's edge, below a line or beside
    one; of the others, some joints throughout. Frames with too few joints left lose none.

    Args:
        keypoints: ``(N, joints, 2)``, pixels.
        track: Of each frame, ``(N,)`` int64.
        count: Tracks.
        share: Of the tracks.
        generator: Source of the random numbers.
    """
    draws = torch.rand(count, 5, generator=generator)
    low, high = (
        torch.full((count, 2), fill).scatter_reduce(
            0, track[:, None].expand(-1, 2), getattr(keypoints, kind)(1), kind
        )
        for fill, kind in ((torch.inf, "amin"), (-torch.inf, "amax"))
    )
    line = low + (0.35 + 0.6 * draws[:, :1]) * (high - low)
    below = keypoints[..., 1] > line[track, 1:]
    inner = line[:, :1][track]
    mirrored = (low + high)[track, :1] - inner
    beside = torch.where(
        draws[track, 3:4] < 0.5, keypoints[..., 0] > inner, keypoints[..., 0] < mirrored
    )
    cut = torch.where(draws[track, 1:2] < _SIDE_SHARE, beside, below)
    joints = keypoints.shape[1]
    rank = torch.rand(count, joints, generator=generator).argsort(1).argsort(1)
    missed = rank < 1 + (_MOST_MISSED * draws[:, 4:]).long()
    lost = torch.where(draws[track, 2:3] < _CUT_SHARE, cut, missed[track])
    hit = torch.rand(count, generator=generator) < share
    enough = (~lost).sum(1, keepdim=True) >= _LEAST_KNOWN
    return lost & hit[track][:, None] & enough


def without_lost(keypoints: Pose2D, confidence: PerJoint) -> Pose2D:
    """Keypoints of which those without confidence lie in the middle of the others."""
    known = (confidence > 0)[..., None].to(keypoints)
    middle = (keypoints * known).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
    return torch.where(known > 0, keypoints, middle)
