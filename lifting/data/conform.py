"""Tracks brought to the joints and the rate of a method, and its answers to the input's frames.

Both happen once, when a split is loaded; from then on everything sees one skeleton and one rate.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from lifting.batch import LABEL_WEIGHT
from lifting.data.config import DataConfig
from lifting.data.sequence import PoseTracks, offsets_of
from lifting.data.sets import find_set
from lifting.errors import ConfigError, DataError
from lifting.skeleton import SKELETONS, Skeleton, conversion, get_skeleton
from lifting.skeleton.convert import remap_joints

log = logging.getLogger(__name__)

_PER_JOINT = ("sigma", LABEL_WEIGHT)
_SAME_RATE = 1e-3  # relative; 29.97 is not 30


def wished_skeleton(config: DataConfig, *, defaults: bool = False) -> Skeleton | None:
    """Joints that a data section asks for, in ``skeleton`` or in the section of its data set.

    Args:
        config: The data section.
        defaults: Also take the default of the data set's section, which is what was trained before
            data were converted; else it is no wish.
    """
    if config.skeleton is not None:
        return get_skeleton(config.skeleton)
    one = find_set(config.name)
    name = str(getattr(getattr(config, one.section), "skeleton", None))
    usual = str(getattr(one.config.Config(), "skeleton", None))
    return SKELETONS.get(name) if defaults or name != usual else None


def conformed(
    tracks: PoseTracks, skeleton: Skeleton, fps: float | None, scored: Collection[str] = ()
) -> PoseTracks:
    """The same tracks in the joints and at the rate of a method.

    Args:
        tracks: As they were read.
        skeleton: Joints wanted.
        fps: Frames a second wanted; None leaves the rates, as a method of single frames does.
        scored: Joints whose labels count even where they are approximated.

    Raises:
        ConfigError: No recipe leads from one skeleton to the other, or an extra cannot follow.
        DataError: The tracks have pictures, which cannot be interpolated.
    """
    converted = to_skeleton(tracks, skeleton, scored)
    return converted if fps is None else to_rate(converted, fps)


def highest_rate(tracks: PoseTracks) -> float | None:
    """Frames a second of the fastest of some tracks; None where no rate is known."""
    known = tracks.fps[~tracks.fps.isnan()]
    return float(known.max()) if len(known) else None


def to_skeleton(
    tracks: PoseTracks, skeleton: Skeleton, scored: Collection[str] = ()
) -> PoseTracks:
    """The same tracks in the joints of another skeleton.

    2D joints are used as the recipe gives them. 3D labels of joints that it only approximates are
    marked as not visible, so that nothing learns from them and nothing is scored on them; those
    that a published protocol names stay. Both are named in the source.

    Args:
        tracks: In the joints of the data.
        skeleton: Joints wanted.
        scored: Joints whose labels count even where they are approximated.

    Raises:
        ConfigError: No recipe leads from one skeleton to the other, or an extra cannot follow.
    """
    if tracks.skeleton == skeleton:
        return tracks
    recipe = conversion(tracks.skeleton, skeleton)
    points, confidence = remap_joints(
        tracks.keypoints_2d, tracks.skeleton, skeleton, tracks.confidence
    )
    labels, visible = tracks.joints_3d, tracks.visible
    masked = [j for j in skeleton.joints if j in recipe.approximate and j not in scored]
    kept = [j for j in skeleton.joints if j in recipe.approximate and j in scored]
    said = [f"{', '.join(masked)} (masked)"] * bool(masked)
    said += [f"{', '.join(kept)} (scored by the protocol)"] * bool(kept)
    if labels is not None:
        known = torch.ones(labels.shape[:2]) if visible is None else visible.float()
        labels, known = remap_joints(
            labels.where(known[..., None] > 0, 0.0), tracks.skeleton, skeleton, known
        )
        counts = torch.tensor([joint not in masked for joint in skeleton.joints])
        if masked or visible is not None:
            visible = (known > 0) & counts
    source = dict(tracks.source)
    source["joints_converted"] = f"{tracks.skeleton.name} to {skeleton.name}"
    if said and labels is not None:
        source["approximate_joints"] = "; ".join(said)
    log.warning(
        "joints of %s are converted from %s%s", source.get("dataset", "the data"),
        source["joints_converted"].replace(" to ", " to those of "),
        f"; approximate: {source['approximate_joints']}" if said and labels is not None else "",
    )  # fmt: skip
    return replace(
        tracks,
        skeleton=skeleton,
        keypoints_2d=points,
        confidence=confidence,
        joints_3d=labels,
        visible=visible,
        extras=_extras(tracks, skeleton),
        source=source,
    )


def _extras(tracks: PoseTracks, skeleton: Skeleton) -> dict[str, Tensor]:
    names = conversion(tracks.skeleton, skeleton).renames()
    order = [tracks.skeleton.index(names[joint]) for joint in skeleton.joints] if names else []
    moved: dict[str, Tensor] = {}
    for name, value in tracks.extras.items():
        if value.ndim < 2 or value.shape[1] != len(tracks.skeleton):
            moved[name] = value
        elif names is not None:
            moved[name] = value[:, order]
        elif name in _PER_JOINT:
            flat = torch.zeros(*value.shape, 1)
            moved[name] = remap_joints(flat, tracks.skeleton, skeleton, value)[1]
        else:
            raise ConfigError(
                f"expected extras that can be converted from {tracks.skeleton.name} to "
                f"{skeleton.name}, got '{name}'; leave it out, or keep the joints of the data"
            )
    return moved


def to_rate(tracks: PoseTracks, fps: float) -> PoseTracks:
    """The same tracks at another number of frames a second.

    A cubic passes through the frames of a track; where one of four neighbours was not seen, a
    straight line. A joint that was not seen in a frame next to an instant is not seen there. The
    tracks remember the frames they were read with, see :func:`at_input_frames`.

    Args:
        tracks: Of any rates, which may differ; where a rate is not known, ``fps`` is taken for it,
            and said.
        fps: Frames a second wanted.

    Raises:
        DataError: The tracks have pictures, which cannot be interpolated.
    """
    unknown = tracks.fps.isnan()
    own = torch.where(unknown, fps, tracks.fps)
    dataset, source = tracks.source.get("dataset", "the data"), dict(tracks.source)
    if bool(unknown.any()):
        source["frame_rate"] = f"not known, taken as the method's own, {fps:g} a second"
        log.warning("the frame rate of %s is %s", dataset, source["frame_rate"])
    if bool(((own - fps).abs() <= _SAME_RATE * fps).all()):
        return replace(tracks, fps=own, source=source)
    if tracks.image is not None:
        raise DataError(
            f"expected pictures at {fps:g} frames a second for a method of windows, got "
            f"{dataset} at {_words(own)}; set data.fps to the rate of the pictures"
        )
    lengths = tracks.offsets.diff()
    counts = ((lengths - 1) * fps / own - 1e-6).ceil().long().clamp(min=0) + 1
    offsets = offsets_of(counts)
    track = torch.arange(len(counts)).repeat_interleave(counts)
    time = (torch.arange(len(track)) - offsets[track]) * (own / fps)[track]
    stencil = _stencil(time, tracks.offsets, track)
    points, seen = _at(tracks.keypoints_2d, tracks.confidence > 0, stencil)
    before, after = (tracks.confidence[stencil.rows[:, i]] for i in (1, 2))
    share = stencil.share[:, None].float()
    confidence = torch.where(seen, before + share * (after - before), 0.0)
    labels, visible = tracks.joints_3d, tracks.visible
    if labels is not None:
        known = torch.ones(labels.shape[:2], dtype=torch.bool) if visible is None else visible
        labels, known = _at(labels.where(known[..., None], 0.0), known, stencil)
        visible = None if visible is None else known
    nearest = stencil.rows.gather(1, 1 + stencil.share.round().long()[:, None])[:, 0]
    source["frames_resampled"] = f"from {_words(own)} to {fps:g} a second"
    log.info("frames of %s are resampled %s", dataset, source["frames_resampled"])
    return replace(
        tracks,
        keypoints_2d=points,
        confidence=confidence,
        joints_3d=labels,
        visible=visible,
        crop=None if tracks.crop is None else tracks.crop[nearest],
        extras={name: value[nearest] for name, value in tracks.extras.items()},
        offsets=offsets,
        fps=torch.full_like(own, fps),
        read_fps=own,
        read_frames=lengths,
        source=source,
    )


def at_input_frames(
    answers: dict[str, Tensor], tracks: PoseTracks, every: int = 1
) -> dict[str, Tensor]:
    """Answers to resampled tracks at the frames that the tracks were read with.

    Args:
        answers: Columns ``(N, ...)``, one row for each frame of the tracks, in their order;
            ``track`` and ``frame`` are made anew, the others are interpolated.
        tracks: From :func:`to_rate`; others leave the answers as they are.
        every: Keep every n-th frame of the input.

    Raises:
        DataError: There is not an answer for each frame of the resampled tracks.
    """
    if tracks.read_fps is None or tracks.read_frames is None:
        return answers
    if len(answers["frame"]) != len(tracks):
        raise DataError(
            f"expected answers to all {len(tracks)} frames of resampled tracks, got "
            f"{len(answers['frame'])}; predict the whole of the data"
        )
    counts = -(-tracks.read_frames // every)
    track = torch.arange(len(counts)).repeat_interleave(counts)
    starts = offsets_of(counts)
    frame = (torch.arange(len(track)) - starts[track]) * every
    stencil = _stencil(frame * (tracks.fps / tracks.read_fps)[track], tracks.offsets, track)
    found: dict[str, Tensor] = {}
    for name, values in answers.items():
        flat = values.flatten(1) if values.ndim > 1 else values[:, None]
        if name not in ("track", "frame"):
            found[name] = _weighted(flat[..., None], stencil.cubic, stencil).view(
                len(track), *values.shape[1:]
            )
    return {**found, "track": track, "frame": frame}


class _Stencil(NamedTuple):
    """Which rows an instant is interpolated from.

    Attributes:
        rows: Two frames before and two after, ``(M, 4)``, repeated at the ends of a track.
        share: How far it lies between the middle two, ``(M,)``, 0 to below 1.
        cubic: Weights of the four, ``(M, 4)``.
    """

    rows: Tensor
    share: Tensor
    cubic: Tensor


def _stencil(time: Tensor, offsets: Tensor, track: Tensor) -> _Stencil:
    """Rows and weights for instants, counted in frames from the start of their track."""
    last = (offsets.diff() - 1)[track].double()
    time = torch.minimum(time.double(), last)
    whole = (time + 1e-9).floor()
    share = (time - whole).clamp(min=0)
    share = torch.where(share < 1e-6, 0.0, share)
    steps = torch.arange(-1, 3)
    rows = (whole[:, None] + steps).clamp(min=0).minimum(last[:, None])
    # Catmull-Rom: the slope in a frame is that between its neighbours.
    s, s2, s3 = share, share**2, share**3
    cubic = torch.stack(
        (-s + 2 * s2 - s3, 2 - 5 * s2 + 3 * s3, s + 4 * s2 - 3 * s3, s3 - s2), dim=1
    )
    return _Stencil(offsets[track][:, None] + rows.long(), share, cubic / 2)


def _at(values: Tensor, seen: Tensor, stencil: _Stencil) -> tuple[Tensor, Tensor]:
    """Values ``(N, joints, channels)`` at instants, and whether they are known there."""
    around = torch.stack([seen[stencil.rows[:, i]] for i in range(4)])  # (4, M, joints)
    line = torch.stack((1 - stencil.share, stencil.share), dim=1)
    line = torch.nn.functional.pad(line, (1, 1))
    smooth = around.all(0)[..., None]
    found = torch.where(
        smooth, _weighted(values, stencil.cubic, stencil), _weighted(values, line, stencil)
    )
    return found, around[1] & (around[2] | (stencil.share == 0)[:, None])


def _weighted(values: Tensor, weights: Tensor, stencil: _Stencil) -> Tensor:
    total = values.new_zeros(len(stencil.rows), *values.shape[1:])
    for i in range(4):
        total += weights[:, i, None, None].to(values.dtype) * values[stencil.rows[:, i]]
    return total


def _words(rates: Tensor) -> str:
    return ", ".join(f"{rate:g}" for rate in sorted(set(rates.tolist())))
