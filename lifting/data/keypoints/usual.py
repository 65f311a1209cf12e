"""How unusual 2D input is beside what weights were trained on, by frame and by track.

Of a frame the ``shape`` of the person is looked at (bones in parts of its size, and how well the
joints fit their order), its ``size`` and place in the image, joints that are ``missing``, the
``rate`` of frames, ``speed``, ``trembling`` from frame to frame, and ``jumps`` that last. Each is
a point whose distance from the training's is measured in its own spread; a frame is as unusual as
the worst of them. Of a track means over a second are looked at besides, which vary less: lengths
of ``bones``, ``trembling`` and ``jumps``; and the ``FAULTS`` that any training would call so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from lifting.data.keypoints.faults import (
    FAULTS,
    OUT_OF_PLACE,
    IntArray,
    displacement,
    faults,
    middle,
)
from lifting.data.keypoints.plausibility import BoolArray, FloatArray, score, seen_joints
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.skeleton import Skeleton

GROUPS = ("shape", "size", "missing", "rate", "speed", "trembling", "jumps")
MEANS = ("mean bones", "mean trembling", "mean jumps")
"""What is looked at in pieces of tracks."""
LEVELS = ("unusual frames", *MEANS)
"""What a track has a learnt level for: the share of its unusual frames, and the means."""
REASONS = (*FAULTS, *LEVELS)
"""Why a track is unusual: the first fault that it has, which says most, else the worst level."""
_PIECE, _LEAST_PIECE = 50, 25  # frames
_MOST_FRAMES = 60_000
_LEAST_FRAMES = 100
_UNIT, _QUANTILE, _TRAINED = 0.995, 0.99, 0.97
"""Shares that are usual: of training frames, for units; of validation; of training tracks."""
_PLACE = {"hip": 3.0, "knee": 3.0, "ankle": 3.0, "elbow": 4.0, "wrist": 4.0}
"""Standard deviations, at least, from where the others have a joint that is out of place; medians
of a track, of which validation of CMU has 1.8. How trunk and head are marked differs by detector.
"""
_MARGIN = 1.4  # for people and cameras that validation does not have
_LEAST_SHARE = 0.1
_LEAST_SPREAD = {"missing": 0.2, "rate": 0.9}  # three joints; two and a half times as fast
_ANY_RATE = 9.0
_RIDGE = 1e-6
_STILL, _STEADY = 1e-4, 0.2  # of a person's size; trembling less is no fault
_LASTING, _AROUND = 4, 6  # frames that a jump lasts, and that are before and after it
_JUMP = 1.5  # logarithm of what is one
_UNREST, _WHILE = "unrest", 9  # a step in parts of the way from so many frames before to after


class Gaussian(NamedTuple):
    """One thing that is looked at.

    Attributes:
        mean: ``(D,)``.
        covariance: ``(D, D)``.
        unit: Distance that counts as 1: one that few frames of the training exceed.
    """

    mean: FloatArray
    covariance: FloatArray
    unit: float


@dataclass(frozen=True)
class Judged:
    """What tracks look like beside the training's.

    Attributes:
        score: Of each frame, ``(N,)``; above 1 is unusual.
        reason: Which of ``GROUPS`` is the worst in each frame, ``(N,)``.
        track_score: Of each track, ``(S,)``; above 1 is unusual.
        track_reason: Which of ``REASONS`` each track is the most unusual for, ``(S,)``.
    """

    score: FloatArray
    reason: IntArray
    track_score: FloatArray
    track_reason: IntArray

    @property
    def flagged(self) -> BoolArray:
        """Which frames are unusual, ``(N,)``."""
        flagged: BoolArray = self.score > 1
        return flagged

    def plain(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Shares of frames, of all and by reason, and why tracks are unusual, of those that are.

        Args:
            names: Of the tracks.
        """
        whys = np.bincount(self.reason[self.flagged], minlength=len(GROUPS)) / len(self.score)
        unusual = np.flatnonzero(self.track_score > 1)
        return {
            "share_of_frames": round(float(self.flagged.mean()), 4),
            "by_reason": {
                name: round(float(why), 4) for name, why in zip(GROUPS, whys, strict=True)
            },
            "tracks": {names[i]: REASONS[self.track_reason[i]] for i in unusual},
        }


@dataclass(frozen=True)
class Usual:
    """The input that weights were trained on.

    Attributes:
        groups: What is looked at, by name, of ``GROUPS`` and ``MEANS``.
        frame_level: Score of a frame above which it is unusual.
        track_levels: The same of tracks, for each of ``LEVELS``; and a factor of how far a joint
            must be to be out of place.
    """

    groups: Mapping[str, Gaussian]
    frame_level: float
    track_levels: Mapping[str, float]

    def judge(self, tracks: PoseTracks) -> Judged:
        """Compare tracks with the training's.

        Args:
            tracks: In the joints of the weights; of windows, at their rate.
        """
        seen, offsets = _seen(tracks), _offsets(tracks)
        found = _features(tracks, seen)
        of_frame, reason, of_track = self._scores(found, offsets)
        away = _out_of_place(found["shape"], self.groups["shape"], tracks.skeleton)
        away /= self.track_levels[OUT_OF_PLACE]
        wrong = faults(seen.points, seen.scale, away, offsets, tracks.skeleton)
        learnt = np.stack([of_track[name] / self.track_levels[name] for name in LEVELS])
        certain = np.stack([wrong[name] for name in FAULTS])
        why = np.concatenate((np.where(certain > 1, np.inf, certain), learnt)).argmax(0)
        return Judged(of_frame, reason, np.fmax(certain.max(0), learnt.max(0)), why)

    def _scores(
        self, found: Mapping[str, FloatArray], offsets: IntArray
    ) -> tuple[FloatArray, IntArray, dict[str, FloatArray]]:
        """Scores of frames, which group is the worst, and of tracks before their levels."""
        distances = np.stack([_distance(found[name], self.groups[name]) for name in GROUPS])
        of_frame = distances.max(0) / self.frame_level
        flagged = np.add.reduceat((of_frame > 1).astype(float), offsets[:-1])
        of_track = {LEVELS[0]: flagged / np.diff(offsets)}
        pieces, track = _pieces(found, offsets)
        count = np.bincount(track, minlength=len(offsets) - 1).clip(1)
        for name in MEANS:
            values, group = pieces[name], self.groups[name]
            if name != MEANS[0]:  # less trembling and fewer jumps than usual are no fault
                values = np.maximum(values, group.mean)
            away = _distance(values, group)
            of_track[name] = np.bincount(track, away, len(count)) / count
        return of_frame, distances.argmax(0), of_track

    def plain(self) -> dict[str, Any]:
        """The same as plain values, for a file of weights."""
        return {
            "frame_level": self.frame_level,
            "track_levels": dict(self.track_levels),
            "groups": {
                name: {
                    "mean": _rounded(group.mean),
                    "covariance": _rounded(group.covariance),
                    "unit": group.unit,
                }
                for name, group in self.groups.items()
            },
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any], skeleton: Skeleton) -> Usual:
        """From plain values.

        Args:
            plain: What :meth:`plain` gave.
            skeleton: Joints of the weights.

        Raises:
            DataError: They are not of that form, or for other joints.
        """
        bones = len(skeleton) - 1
        widths = {"shape": 2 * bones + 1, "size": 3, MEANS[0]: bones + 1, MEANS[1]: 2}
        try:
            groups = {
                name: _gaussian(plain["groups"][name], widths.get(name, 1))
                for name in (*GROUPS, *MEANS)
            }
            given = {OUT_OF_PLACE: 1.0, **plain["track_levels"]}  # older files lack it
            levels = {name: _positive(given[name]) for name in (*LEVELS, OUT_OF_PLACE)}
            return cls(groups, _positive(plain["frame_level"]), levels)
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"expected what input of {skeleton.name} is usual for weights, got "
                f"{error!s:.100}; make the file of weights again with `lifting convert weights`"
            ) from error


def fit_usual(train: Sequence[PoseTracks], val: PoseTracks, *, any_rate: bool = False) -> Usual:
    """What input is usual for a training.

    Args:
        train: Its tracks, of one or more films, to which the distances are fitted.
        val: Those that the levels are chosen on: one frame in a hundred is above, and of tracks
            one in a hundred comes near; of the training's, three in a hundred are above.
        any_rate: Whether frames of any rate will do, as for single ones.

    Raises:
        DataError: There are too few frames.
    """
    some = [_some(tracks) for tracks in train]
    films = [(_features(tracks, _seen(tracks)), _offsets(tracks)) for tracks in some]
    parts = [{**found, **_pieces(found, offsets)[0]} for found, offsets in films]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    least = min(int(np.isfinite(found[name]).all(1).sum()) for name in GROUPS)
    if least < _LEAST_FRAMES or len(found[MEANS[0]]) < 2:
        raise DataError(
            f"expected at least {_LEAST_FRAMES} frames of whole people, one after another at a "
            f"known rate, to learn which input is usual, got {least}; use a training split with "
            "more"
        )
    spread = {**_LEAST_SPREAD, "rate": _ANY_RATE if any_rate else _LEAST_SPREAD["rate"]}
    groups = {n: _fit(found[n], spread.get(n, 0.0)) for n in (*GROUPS, *MEANS)}
    for name in GROUPS:
        far = float(np.quantile(_distance(found[name], groups[name]), _UNIT))
        groups[name] = groups[name]._replace(unit=max(1.0, far))
    seen = _seen(val)
    given = _features(val, seen), _offsets(val)
    frames = Usual(groups, 1.0, {})._scores(*given)[0]
    loose = Usual(groups, max(1.0, float(np.quantile(frames, _QUANTILE))), {})
    of_val, of_train = loose._scores(*given)[2], [loose._scores(*film)[2] for film in films]
    levels = dict.fromkeys(LEVELS, _LEAST_SHARE)
    for name in LEVELS:
        own = np.quantile(np.concatenate([scores[name] for scores in of_train]), _TRAINED)
        near = _MARGIN * np.quantile(of_val[name], _QUANTILE)
        levels[name] = float(max(levels[name], own, near))
    away = _out_of_place(given[0]["shape"], groups["shape"], val.skeleton)
    wrong = faults(seen.points, seen.scale, away, given[1], val.skeleton)[OUT_OF_PLACE]
    levels[OUT_OF_PLACE] = max(1.0, _MARGIN * float(np.quantile(wrong, _QUANTILE)))
    return Usual(groups, loose.frame_level, levels)


def _some(tracks: PoseTracks) -> PoseTracks:
    """Tracks spread evenly over all, with so many frames that moments no longer change."""
    every = max(1, len(tracks) // _MOST_FRAMES)
    return tracks.select(torch.arange(0, len(tracks.track_names), every))


def _offsets(tracks: PoseTracks) -> IntArray:
    offsets: IntArray = tracks.offsets.cpu().numpy()
    return offsets


class _Seen(NamedTuple):
    """Joints ``(N, joints, 2)``, NaN where missing, their middle ``(N, 2)``, and size ``(N,)``."""

    points: FloatArray
    there: BoolArray
    centre: FloatArray
    scale: FloatArray


def _seen(tracks: PoseTracks) -> _Seen:
    points = tracks.keypoints_2d.double().cpu().numpy()
    there = seen_joints(points, tracks.confidence.double().cpu().numpy())
    points = np.where(there[..., None], points, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = there.sum(1)
        centre = np.nansum(points, 1) / count[:, None]
        around = ((points - centre[:, None]) ** 2).sum(-1)
        scale = np.sqrt(np.nansum(around, 1) / count)
        scale = np.where((count > 1) & (scale > 0), scale, np.nan)
    return _Seen(points, there, centre, scale)


def _features(tracks: PoseTracks, of: _Seen) -> dict[str, FloatArray]:
    """A point a frame for each group, ``(N, D)``; NaN where it is not known."""
    points, seen, centre, scale = of
    offsets = _offsets(tracks)
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    image = tracks.cameras.size[tracks.camera].double().cpu().numpy()[track]
    with np.errstate(invalid="ignore", divide="ignore"):
        side = image.max(1)
        size = np.concatenate(
            (np.log(scale / side)[:, None], (centre - image / 2) / side[:, None]), axis=1
        )
        return {
            "shape": _shape(points, seen, scale, tracks.skeleton),
            "size": size,
            "missing": 1 - seen.mean(1)[:, None],
            **_motion(points / scale[:, None, None], offsets, tracks.fps.cpu().numpy()),
        }


def _shape(
    points: FloatArray, seen: BoolArray, scale: FloatArray, skeleton: Skeleton
) -> FloatArray:
    """Bones in parts of the person's size, and how badly the joints fit their order."""
    child = [j for j, parent in enumerate(skeleton.parents) if parent >= 0]
    parent = [skeleton.parents[j] for j in child]
    bones = (points[:, child] - points[:, parent]) / scale[:, None, None]
    fit = score(np.nan_to_num(points), seen, skeleton)
    return np.concatenate((bones.reshape(len(points), -1), fit[:, None]), axis=1)


def _motion(points: FloatArray, offsets: IntArray, fps: FloatArray) -> dict[str, FloatArray]:
    """Logarithms of the rate, and of what the middle joint does: speed, trembling and jumps.

    A jump is a displacement that lasts for some frames, in parts of the steps around it.
    """
    track = np.repeat(np.arange(len(fps)), np.diff(offsets))
    moved = partial(displacement, points, offsets)
    step = moved(1, 0)
    bend = np.full(points.shape[:2], np.nan)
    bend[1:-1] = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
    bend[offsets[:-1]] = bend[offsets[1:] - 1] = np.nan
    lasting = np.fmin.reduce([moved(i + 1, i) for i in range(_LASTING)])
    around = np.pad(step, _AROUND, constant_values=np.nan)
    usual = middle(np.lib.stride_tricks.sliding_window_view(around, 2 * _AROUND + 1))
    found = {
        "rate": fps[track],
        "speed": (step + _STILL) * fps[track],
        "trembling": middle(bend) + _STEADY,
        "jumps": (lasting + _STILL) / (usual + _STILL),
        _UNREST: (step + _STILL) / (moved(_WHILE + 1, _WHILE) + _STILL),
    }
    return {name: np.log(values)[:, None] for name, values in found.items()}


def _pieces(
    found: Mapping[str, FloatArray], offsets: IntArray
) -> tuple[dict[str, FloatArray], IntArray]:
    """Means over pieces of tracks, ``(P, D)`` for each of ``MEANS``, and the tracks of them."""
    lengths = np.diff(offsets)
    counts = np.where(lengths < _LEAST_PIECE, 0, np.maximum(1, lengths // _PIECE))
    track = np.repeat(np.arange(len(lengths)), counts)
    place = np.arange(len(track)) - (np.cumsum(counts) - counts)[track]
    ends = [offsets[track] + (place + i) * lengths[track] // counts[track] for i in (0, 1)]
    rows = np.stack(ends, axis=1).ravel()

    def means(values: FloatArray) -> FloatArray:
        padded = np.concatenate((values, np.full_like(values[:1], np.nan)))
        if not len(rows):
            return padded[:0]
        known = np.add.reduceat(np.isfinite(padded).astype(float), rows)[::2]
        total = np.add.reduceat(np.nan_to_num(padded), rows)[::2]
        return np.divide(total, known, where=known > 0, out=np.full_like(total, np.nan))

    bones = found["shape"][:, :-1].reshape(len(found["shape"]), -1, 2)
    length = np.log(np.linalg.norm(bones, axis=-1) + _STILL)
    values = (
        np.concatenate((length, found["shape"][:, -1:]), axis=1),
        np.concatenate((found["trembling"], found[_UNREST]), axis=1),
        np.maximum(found["jumps"] - _JUMP, 0),
    )
    return {name: means(of) for name, of in zip(MEANS, values, strict=True)}, track


def _fit(values: FloatArray, least: float) -> Gaussian:
    """A point cloud as its moments, drawn to independent ones where there are few points."""
    whole = values[np.isfinite(values).all(1)]
    count, width = whole.shape
    mean = whole.mean(0)
    covariance = np.atleast_2d(np.cov(whole, rowvar=False))
    spread = np.maximum(covariance.diagonal(), max(least**2, _RIDGE))
    kept = count / (count + width)
    covariance = kept * covariance
    covariance[np.diag_indices(width)] = spread
    return Gaussian(mean, covariance, 1.0)


def _distance(values: FloatArray, group: Gaussian) -> FloatArray:
    """Distance of points from a group, by the coordinates that are known, root of their mean."""
    found = np.zeros(len(values))
    for rows, used, away in _by_pattern(values, group):
        factor = np.linalg.cholesky(group.covariance[np.ix_(used, used)])
        found[rows] = np.sqrt((np.linalg.solve(factor, away.T) ** 2).mean(0)) / group.unit
    return found


def _out_of_place(shape: FloatArray, group: Gaussian, skeleton: Skeleton) -> FloatArray:
    """How far each coordinate is from where the others have it, in parts of ``_PLACE``."""
    found = np.full_like(shape, np.nan)
    for rows, used, away in _by_pattern(shape, group):
        precision = np.linalg.inv(group.covariance[np.ix_(used, used)])
        found[np.ix_(rows, used)] = away @ precision / np.sqrt(precision.diagonal())
    names = [n for n, parent in zip(skeleton.joints, skeleton.parents, strict=True) if parent >= 0]
    levels = [_PLACE.get(name.split("_")[-1], np.inf) for name in names]
    return found / np.append(np.repeat(levels, 2), np.inf)


def _by_pattern(
    values: FloatArray, group: Gaussian
) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Rows that know the same coordinates, these, and how far the rows are from the mean there."""
    if not len(values):
        return
    patterns, which = np.unique(np.isfinite(values), axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.bincount(which.ravel(), minlength=len(patterns)).cumsum()
    for pattern, rows in zip(patterns, np.split(order, ends[:-1]), strict=True):
        used = np.flatnonzero(pattern)
        if len(used):
            yield rows, used, values[rows][:, used] - group.mean[used]


def _gaussian(plain: Mapping[str, Any], width: int) -> Gaussian:
    mean = np.asarray(plain["mean"], dtype=np.float64)
    covariance = np.asarray(plain["covariance"], dtype=np.float64)
    if mean.shape != (width,) or covariance.shape != (width, width):
        raise ValueError(f"a mean of {mean.shape}, not ({width},)")
    np.linalg.cholesky(covariance)
    return Gaussian(mean, covariance, _positive(plain["unit"]))


def _positive(given: Any) -> float:
    if not 0 < float(given) < np.inf:
        raise ValueError(f"{given!r:.40}, which is no level")
    return float(given)


def _rounded(values: FloatArray) -> Any:
    return np.vectorize(lambda v: float(f"{v:.7g}"))(values).tolist()
