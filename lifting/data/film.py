"""Films 3D motion with a virtual rig: from clips in the world to detected tracks."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from lifting.data.config import NoiseLevel, Rig
from lifting.data.detections import LEVELS, detect
from lifting.data.mixtures import detection_mixtures
from lifting.data.rigs import VIEWS, out_of_view, sample_rigs
from lifting.data.sequence import MotionClips, PoseTracks, offsets_of
from lifting.errors import ConfigError, DataError, check_shape, suggest
from lifting.geometry.camera import Camera, project, world_to_camera

EXTRAS = ("heatmaps", "mixtures")
LOST_SHARE = 0.02
NEAREST = 300.0


def film(
    motion: MotionClips,
    *,
    rig: Rig,
    noise: NoiseLevel,
    seed: int,
    extras: tuple[str, ...] = (),
) -> PoseTracks:
    """See every clip with the four cameras of one rig, and detect the person in each.

    A rig stands around its clip: it is moved by the mean position of the person's root on the
    floor (of all joints where the root is no hip). A track is dropped when the person is ever less
    than 0.3 m in front of the camera (or behind it), or when in more than 2 % of its frames some
    joint is off the image by more than a tenth of the image's size. Tracks are never cut, so all
    views of a recording have the same frames; a recording may keep fewer than four, or none.

    Args:
        motion: Clips in the world, z up, mm.
        rig: Which cameras.
        noise: How bad the detector is; ``none`` gives exact projections.
        seed: Seed of rigs and noise.
        extras: ``mixtures`` adds per-frame 2D mixtures ``(N, joints, 5, 5)`` of weight, mean u,
            mean v (pixels), spread u, spread v (half image widths). ``heatmaps`` adds ``sigma``
            ``(N, joints)``, pixels, from which ``render_heatmaps`` draws maps of a batch; whole
            maps are not kept.

    Returns:
        Tracks, clip-major, with camera-frame labels. ``cameras`` has one camera a track, with its
        extrinsics in the world of the clip; ``recording`` is the index of the clip.

    Raises:
        ConfigError: An unknown rig, noise level or extra.
        DataError: There is no clip, or no camera sees any.
    """
    if noise not in LEVELS:
        raise ConfigError(f"unknown noise level '{noise}'; {suggest(noise, LEVELS)}")
    for name in extras:
        if name not in EXTRAS:
            raise ConfigError(f"unknown extra '{name}'; {suggest(name, EXTRAS)}")
    rig_seed, noise_seed = _seeds(seed)
    tracks = _clean(motion, _rigs_around(motion, rig, rig_seed))
    tracks = _drop_unseen(tracks)
    tracks.source.update(
        {"rig": rig, "noise_seed": str(seed), "two_d": f"projected, noise {noise}"}
    )
    return _detected(tracks, noise, noise_seed, extras)


def _seeds(seed: int) -> list[int]:
    """Independent seeds of the rigs and of the noise."""
    generator = Generator().manual_seed(seed)
    return torch.randint(2**62, (2,), generator=generator).tolist()


def _rigs_around(motion: MotionClips, rig: Rig, seed: int) -> Camera:
    """One rig a clip, moved to the mean place of the person; one leading axis, clip-major."""
    clips = len(motion.names)
    if clips == 0:
        raise DataError("expected at least one clip to film, got none; check the split's subjects")
    check_shape("offsets", motion.offsets, "n", n=clips + 1)
    cameras = sample_rigs(rig, clips, seed=seed)
    assert cameras.position is not None
    lengths = motion.offsets.diff()
    clip = torch.arange(clips).repeat_interleave(lengths)
    place = torch.zeros(clips, 3, dtype=torch.float64)
    skeleton = motion.skeleton
    root = motion.joints_3d[:, skeleton.root] if skeleton.has_hip else motion.joints_3d.mean(1)
    place.index_add_(0, clip, root.double())
    place = (place / lengths[:, None]).float()
    place[:, 2] = 0
    moved = replace(cameras, position=cameras.position + place[:, None])
    every = torch.arange(clips * VIEWS)
    return moved[every // VIEWS, every % VIEWS]


def _clean(motion: MotionClips, cameras: Camera) -> PoseTracks:
    """Every clip in every view, exactly projected."""
    clip = torch.arange(len(motion.names)).repeat_interleave(VIEWS)
    lengths = motion.offsets.diff()[clip]
    offsets = offsets_of(lengths)
    track = torch.arange(len(clip)).repeat_interleave(lengths)
    rows = torch.arange(len(track)) + (motion.offsets[clip] - offsets[:-1])[track]
    assert cameras.rotation is not None
    assert cameras.position is not None
    joints_3d = world_to_camera(
        motion.joints_3d[rows], cameras.rotation[track], cameras.position[track]
    )
    keypoints_2d = project(joints_3d, cameras.intrinsics[track]).nan_to_num()
    names = [f"{motion.names[i]}/view{j % VIEWS}" for j, i in enumerate(clip.tolist())]
    return PoseTracks(
        skeleton=motion.skeleton,
        joints_3d=joints_3d,
        visible=None if motion.visible is None else motion.visible[rows],
        keypoints_2d=keypoints_2d,
        confidence=torch.ones(keypoints_2d.shape[:2]),
        offsets=offsets,
        cameras=cameras,
        camera=torch.arange(len(clip)),
        recording=clip,
        subject=motion.subject[clip],
        action=motion.action[clip],
        track_names=tuple(names),
        subject_names=motion.subject_names,
        action_names=motion.action_names,
        fps=motion.fps[clip],
        source=dict(motion.source),
    )


def _drop_unseen(tracks: PoseTracks) -> PoseTracks:
    """The tracks whose camera sees the person, see ``film`` for the rule."""
    assert tracks.joints_3d is not None
    lengths = tracks.offsets.diff()
    track = torch.arange(len(lengths)).repeat_interleave(lengths)
    behind = tracks.joints_3d[..., 2].amin(1) < NEAREST
    missed = out_of_view(tracks.joints_3d, tracks.cameras[track], nearest=NEAREST).any(1)
    share = _count(missed, track, len(lengths)) / lengths
    seen = (share <= LOST_SHARE) & (_count(behind, track, len(lengths)) == 0)
    kept = seen.nonzero()[:, 0]
    if len(kept) == 0:
        raise DataError(
            f"expected a camera that sees the person, got {len(seen)} tracks that all leave the "
            "image; check that the motion is in mm with z up, or cut it into shorter clips"
        )
    cameras = tracks.cameras[kept]
    tracks.source["dropped_tracks"] = f"{len(seen) - len(kept)} of {len(seen)}, person out of view"
    selected = tracks if len(kept) == len(seen) else tracks.select(kept)
    return replace(selected, cameras=cameras, camera=torch.arange(len(kept)))


def _count(flags: Tensor, track: Tensor, tracks: int) -> Tensor:
    return torch.zeros(tracks, dtype=torch.long).index_add_(0, track, flags.long())


def _detected(
    tracks: PoseTracks, noise: NoiseLevel, seed: int, extras: tuple[str, ...]
) -> PoseTracks:
    """The same tracks with a detector's keypoints, confidence and extras."""
    assert tracks.joints_3d is not None
    generator = Generator().manual_seed(seed)
    detections = detect(
        tracks.keypoints_2d,
        tracks.joints_3d,
        tracks.offsets,
        tracks.skeleton,
        level=noise,
        fps=tracks.fps,
        generator=generator,
        size=tracks.cameras.size,
    )
    confidence = detections.confidence
    if tracks.visible is not None:  # nobody detects what was not recorded
        confidence = torch.where(tracks.visible, confidence, 0.0)
    made: dict[str, Tensor] = {}
    if "heatmaps" in extras:
        made["sigma"] = detections.sigma
    if "mixtures" in extras:
        made["mixtures"] = detection_mixtures(
            detections,
            tracks.skeleton,
            tracks.cameras.size[:, 0].repeat_interleave(tracks.offsets.diff()),
            partner=LEVELS[noise].swaps,
            generator=generator,
        )
    return replace(
        tracks,
        keypoints_2d=detections.keypoints_2d,
        confidence=confidence,
        extras=made,
    )
