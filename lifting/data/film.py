"""Films 3D motion with a virtual rig: from clips in the world to detected tracks."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor

from lifting.data.config import NoiseLevel, Rig
from lifting.data.detections import LEVELS, detect
from lifting.data.mixtures import detection_mixtures
from lifting.data.sequence import MotionClips, PoseTracks, offsets_of
from lifting.data.sets.h36m.cameras import EXTRINSICS, h36m_cameras
from lifting.errors import ConfigError, DataError, check_shape, suggest
from lifting.geometry.camera import Camera, project, world_to_camera
from lifting.geometry.rotation import look_at

VIEWS = 4
MARGIN = 0.1
_AZIMUTH = (70.0, -70.0, 110.0, -115.0)
_DISTANCE = (5400.0, 5400.0, 5400.0, 4150.0)
_CANDIDATES = 64

EXTRAS = ("heatmaps", "mixtures")
LOST_SHARE = 0.02
NEAREST = 300.0


def sample_rigs(rig: Rig, count: int, *, seed: int) -> Camera:
    """Draw rigs of four cameras that look at a person near the world's origin.

    Args:
        rig: ``h36m``, ``random`` or ``wild``.
        count: Number of rigs, at least 1.
        seed: The same seed gives the same rigs.

    Returns:
        Cameras with leading axes ``(count, 4)``; world z up, floor at zero; pixels and mm.

    Raises:
        ConfigError: The rig is unknown, or the count is not positive.
    """
    makers = {"h36m": _real_rigs, "random": _random_rigs, "wild": _wild_rigs}
    if rig not in makers:
        raise ConfigError(f"unknown rig '{rig}'; {suggest(rig, makers)}")
    if count < 1:
        raise ConfigError(f"expected at least one rig, got count={count}; ask for 1 or more")
    generator = Generator().manual_seed(seed)
    return makers[rig](count, generator)


def out_of_view(points: Tensor, camera: Camera, *, nearest: float = 300.0) -> Tensor:
    """Which points a camera cannot film: behind or too near, or well outside the image.

    A point counts as outside when it is off the image by more than a tenth of the image's size,
    or when its ray is so wide that projection would clamp it.

    Args:
        points: ``(*batch, points, 3)``, camera frame, mm.
        camera: Cameras of the batch.
        nearest: Least depth, mm.

    Returns:
        ``(*batch, points)`` bool.
    """
    size = camera.size[..., None, :]
    depth = points[..., 2:]
    pixels = project(points, camera.intrinsics)
    outside = (pixels < -MARGIN * size) | (pixels > (1 + MARGIN) * size)
    wide = points[..., :2].abs() > depth
    return (outside | wide).any(-1) | (depth[..., 0] < nearest)


def _real_rigs(count: int, generator: Generator) -> Camera:
    real = h36m_cameras()
    chosen = torch.randint(len(EXTRINSICS), (count,), generator=generator)
    return real[chosen[:, None] * VIEWS + torch.arange(VIEWS)]


def _random_rigs(count: int, generator: Generator) -> Camera:
    def normal(mean: object, spread: float, *last: int) -> Tensor:
        noise = torch.randn(count, VIEWS, *last, generator=generator)
        return torch.as_tensor(mean) + spread * noise

    position = _around(
        normal(_AZIMUTH, 8.0).deg2rad(), normal(_DISTANCE, 150.0), normal(1560.0, 50.0)
    )
    target = normal((0.0, 0.0, 600.0), 150.0, 3)
    roll = normal(0.0, 2.0).deg2rad()
    focal = normal(1146.0, 5.0, 1).expand(-1, -1, 2)
    spread = torch.tensor((0.01, 0.02, 0.006))
    radial = torch.tensor((-0.2, 0.24, -0.002)) + spread * normal(0.0, 1.0, 3)
    parts = (focal, normal(510.0, 10.0, 2), radial, normal(0.0, 0.0015, 2))
    return Camera(
        intrinsics=torch.cat(parts, dim=-1),
        size=torch.full((count, VIEWS, 2), 1000.0),
        rotation=look_at(position, target, roll),
        position=position,
    )


def _wild_rigs(count: int, generator: Generator) -> Camera:
    """Cameras anywhere around, of which the first candidate that frames a person is taken."""
    shape = (count, VIEWS, _CANDIDATES)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    azimuth, distance = uniform(-math.pi, math.pi), uniform(2000.0, 8000.0)
    position = _around(azimuth, distance, uniform(300.0, 3000.0))
    target = torch.tensor((0.0, 0.0, 900.0)) + 150.0 * torch.randn(*shape, 3, generator=generator)
    roll = torch.randn(shape, generator=generator).mul(3.0).deg2rad()
    portrait = uniform(0.0, 1.0) < 0.5
    width = torch.where(portrait, 1080.0, 1920.0)
    size = torch.stack((width, 3000.0 - width), dim=-1)
    focal = (width * uniform(0.8, 2.2))[..., None].expand(*shape, 2)
    centre = size / 2 + 10.0 * torch.randn(*shape, 2, generator=generator)
    lens = torch.zeros(*shape, 5)
    lens[..., 0] = uniform(-0.1, 0.05)
    candidates = Camera(
        intrinsics=torch.cat((focal, centre, lens), dim=-1),
        size=size,
        rotation=look_at(position, target, roll),
        position=position,
    )
    best = _missed_share(candidates).argmin(dim=-1)
    rows, views = torch.arange(count)[:, None], torch.arange(VIEWS)
    return candidates[rows, views, best]


def _missed_share(camera: Camera) -> Tensor:
    """Share of a standing person's bounding column that is out of view, ``(*batch,)``."""
    assert camera.rotation is not None
    assert camera.position is not None
    angle = torch.arange(8) * (math.pi / 4)
    ring = torch.stack((angle.cos() * 600.0, angle.sin() * 600.0), dim=-1)
    heights = torch.tensor((0.0, 1900.0))
    column = torch.cat((ring.repeat(2, 1), heights.repeat_interleave(8)[:, None]), dim=-1)
    seen = world_to_camera(column, camera.rotation, camera.position)
    return out_of_view(seen, camera).float().mean(-1)


def _around(azimuth: Tensor, distance: Tensor, height: Tensor) -> Tensor:
    """Camera centres from azimuth (radians), horizontal distance and height (mm)."""
    return torch.stack((distance * azimuth.cos(), distance * azimuth.sin(), height), dim=-1)


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
    tracks = _drop_unseen(_clean(motion, _rigs_around(motion, rig, rig_seed)))
    tracks.source.update(
        {"rig": rig, "noise_seed": str(seed), "two_d": f"projected, noise {noise}"}
    )
    return _detected(tracks, noise, noise_seed, extras)


def film_by(
    motion: MotionClips, cameras: Camera, *, noise: NoiseLevel, seed: int, dropped: bool = True
) -> PoseTracks:
    """See every clip with given cameras, as :func:`film` does with those of a rig.

    Args:
        motion: Clips in the world, z up, mm.
        cameras: One leading axis, clip-major, as many of each clip as of the others; the floor
            under a clip's person is their origin.
        noise: How bad the detector is.
        seed: Of the noise.
        dropped: Drop tracks whose camera does not see the person.

    Raises:
        DataError: No camera sees any clip.
    """
    tracks = _clean(motion, _moved_to_clips(motion, cameras))
    tracks = _drop_unseen(tracks) if dropped else tracks
    tracks.source["two_d"] = f"projected, noise {noise}"
    return _detected(tracks, noise, seed, ())


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
    every = torch.arange(clips * VIEWS)
    return _moved_to_clips(
        motion, sample_rigs(rig, clips, seed=seed)[every // VIEWS, every % VIEWS]
    )


def _moved_to_clips(motion: MotionClips, cameras: Camera) -> Camera:
    """Cameras, clip-major, moved to the mean place of each clip's person."""
    clips, lengths = len(motion.names), motion.offsets.diff()
    assert cameras.position is not None
    clip = torch.arange(clips).repeat_interleave(lengths)
    place = torch.zeros(clips, 3, dtype=torch.float64)
    skeleton = motion.skeleton
    root = motion.joints_3d[:, skeleton.root] if skeleton.has_hip else motion.joints_3d.mean(1)
    place.index_add_(0, clip, root.double())
    place = (place / lengths[:, None]).float()
    place[:, 2] = 0
    views = len(cameras.position) // clips
    return replace(cameras, position=cameras.position + place.repeat_interleave(views, 0))


def _clean(motion: MotionClips, cameras: Camera) -> PoseTracks:
    """Every clip in every view, exactly projected."""
    views = len(cameras.size) // len(motion.names)
    clip = torch.arange(len(motion.names)).repeat_interleave(views)
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
    names = [f"{motion.names[i]}/view{j % views}" for j, i in enumerate(clip.tolist())]
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
        world=motion.world,
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
