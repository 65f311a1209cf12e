"""How unusual 2D input is beside what weights were trained on, by frame and by track.

Four things are looked at: the ``shape`` of a person (bones in parts of its size, and how well the
joints fit their order), its ``size`` and place in the image, joints that are ``missing``, and
``motion`` (frames a second, speed, and how much joints tremble). Each is a point whose distance
from the training's is measured in its own spread; a frame is as unusual as the worst of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from lifting.data.keypoints.plausibility import BoolArray, FloatArray, score, seen_joints
from lifting.data.sequence import PoseTracks
from lifting.errors import DataError
from lifting.skeleton import Skeleton

GROUPS = ("shape", "size", "missing", "motion")
_MOST_FRAMES = 60_000
_LEAST_FRAMES = 100
_UNIT, _FRAMES, _TRACKS = 0.995, 0.99, 0.99
"""Shares of frames and tracks that are usual: the unit of each group, and the levels."""
_LEAST_SHARE = 0.1
_LEAST_SPREAD = {"missing": 0.06, "motion": 0.35}
_RIDGE = 1e-6
_STILL = 1e-4  # of a person's size; positions are no more exact


class Gaussian(NamedTuple):
    """One thing that is looked at.

    Attributes:
        mean: ``(D,)``.
        covariance: ``(D, D)``.
        unit: Distance that a small share of training frames exceeds.
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
    """

    score: FloatArray
    reason: np.ndarray[Any, np.dtype[np.int64]]
    track_score: FloatArray

    @property
    def flagged(self) -> BoolArray:
        """Which frames are unusual, ``(N,)``."""
        flagged: BoolArray = self.score > 1
        return flagged

    @property
    def is_unusual(self) -> bool:
        """Whether a track is."""
        return bool((self.track_score > 1).any())

    def plain(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Shares of frames, of all and by reason, and the tracks that are unusual.

        Args:
            names: Of the tracks.
        """
        by_reason = np.bincount(self.reason[self.flagged], minlength=len(GROUPS))
        count = max(len(self.score), 1)
        return {
            "share_of_frames": round(float(self.flagged.mean()) if len(self.score) else 0.0, 4),
            "by_reason": {g: round(n / count, 4) for g, n in zip(GROUPS, by_reason, strict=True)},
            "tracks": [names[i] for i in np.flatnonzero(self.track_score > 1)],
        }


@dataclass(frozen=True)
class Usual:
    """The input that weights were trained on.

    Attributes:
        groups: What is looked at, by name.
        frame_level: Score of a frame above which it is unusual.
        share_level: Share of unusual frames above which a track is.
        top_level: Score of a track's worst frame above which the track is.
    """

    groups: Mapping[str, Gaussian]
    frame_level: float
    share_level: float
    top_level: float

    def judge(self, tracks: PoseTracks) -> Judged:
        """Compare tracks with the training's.

        Args:
            tracks: In the joints of the weights; of windows, at their rate.
        """
        found = _features(tracks)
        distances = np.stack(
            [_distance(found[name], self.groups[name]) / self.groups[name].unit for name in GROUPS]
        )
        worst = distances.max(0)
        of_frame = worst / self.frame_level
        share, top = _by_track(tracks, of_frame > 1, worst)
        of_track = np.maximum(share / self.share_level, top / self.top_level)
        return Judged(of_frame, distances.argmax(0), of_track)

    def plain(self) -> dict[str, Any]:
        """The same as plain values, for a file of weights."""
        return {
            "frame_level": self.frame_level,
            "share_level": self.share_level,
            "top_level": self.top_level,
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
        try:
            groups = {name: _gaussian(plain["groups"][name]) for name in GROUPS}
            levels = [float(plain[f"{name}_level"]) for name in ("frame", "share", "top")]
        except (LookupError, TypeError, ValueError) as error:
            raise DataError(
                f"expected what input is usual for weights, got {error!s:.100}; make the file of "
                "weights again with `lifting convert weights`"
            ) from error
        sizes = {name: len(group.mean) for name, group in groups.items()}
        wanted = {"shape": 2 * len(skeleton) - 1, "size": 3, "missing": 1, "motion": 3}
        numbers = [*levels, *(group.unit for group in groups.values())]
        if sizes != wanted or not all(np.isfinite(n) and n > 0 for n in numbers):
            raise DataError(
                f"expected what input of {skeleton.name} is usual for weights, got numbers of "
                f"{sizes}; make the file of weights again with `lifting convert weights`"
            )
        return cls(groups, *levels)


def fit_usual(train: PoseTracks, val: PoseTracks) -> Usual:
    """What input is usual for a training.

    Args:
        train: Its tracks, to which the distances are fitted.
        val: Those that the levels are chosen on: one frame in a hundred and one track in a hundred
            are above them.

    Raises:
        DataError: There are too few frames.
    """
    found = _features(_some(train))
    groups = {name: _fit(name, values) for name, values in found.items()}
    val = _some(val)
    loose = Usual(groups, 1.0, 1.0, 1.0)
    worst = loose.judge(val).score
    frame_level = max(1.0, float(np.quantile(worst, _FRAMES)))
    share, top = _by_track(val, worst > frame_level, worst)
    share_level = max(_LEAST_SHARE, float(np.quantile(share, _TRACKS)))
    return Usual(groups, frame_level, share_level, max(1.0, float(np.quantile(top, _TRACKS))))


def _by_track(
    tracks: PoseTracks, flagged: BoolArray, worst: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Share of flagged frames and worst distance of each track."""
    offsets = tracks.offsets.cpu().numpy()
    share = np.add.reduceat(flagged.astype(float), offsets[:-1]) / np.diff(offsets)
    return share, np.maximum.reduceat(worst, offsets[:-1])


def _some(tracks: PoseTracks) -> PoseTracks:
    """Tracks spread evenly over all, with so many frames that moments no longer change."""
    every = max(1, len(tracks) // _MOST_FRAMES)
    return tracks.select(torch.arange(0, len(tracks.track_names), every))


def _features(tracks: PoseTracks) -> dict[str, FloatArray]:
    """A point a frame for each group, ``(N, D)``; NaN where it is not known."""
    points = tracks.keypoints_2d.double().cpu().numpy()
    seen = seen_joints(points, tracks.confidence.double().cpu().numpy())
    offsets = tracks.offsets.cpu().numpy()
    track = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    image = tracks.cameras.size[tracks.camera].double().cpu().numpy()[track]
    points = np.where(seen[..., None], points, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = seen.sum(1)
        centre = np.nansum(points, 1) / count[:, None]
        around = ((points - centre[:, None]) ** 2).sum(-1)
        scale = np.sqrt(np.nansum(around, 1) / count)
        scale = np.where((count > 1) & (scale > 0), scale, np.nan)
        side = image.max(1)
        size = np.concatenate(
            (np.log(scale / side)[:, None], (centre - image / 2) / side[:, None]), axis=1
        )
        return {
            "shape": _shape(points, seen, scale, tracks.skeleton),
            "size": size,
            "missing": 1 - count[:, None] / seen.shape[1],
            "motion": _motion(points / scale[:, None, None], offsets, tracks.fps.cpu().numpy()),
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


def _motion(points: FloatArray, offsets: FloatArray, fps: FloatArray) -> FloatArray:
    """Logarithms of frames a second, of the speed of the middle joint, and of its trembling."""
    track = np.repeat(np.arange(len(fps)), np.diff(offsets))
    step = np.full(points.shape[:2], np.nan)
    bend = np.full(points.shape[:2], np.nan)
    step[1:] = np.linalg.norm(points[1:] - points[:-1], axis=-1)
    bend[1:-1] = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
    step[offsets[:-1]] = np.nan
    bend[offsets[:-1]] = bend[offsets[1:] - 1] = np.nan
    rate = fps[track]
    speed = _middle(step) * rate
    return np.log(np.stack((rate, speed + _STILL * rate, _middle(bend) + _STILL), axis=1))


def _middle(values: FloatArray) -> FloatArray:
    """The median of the known values of each row; NaN where there are none."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    low, high = ((count - 1) // 2).clip(0), (count // 2).clip(0, values.shape[1] - 1)
    middle: FloatArray = (ordered[rows, low] + ordered[rows, high]) / 2
    return np.where(count > 0, middle, np.nan)


def _fit(name: str, values: FloatArray) -> Gaussian:
    whole = values[np.isfinite(values).all(1)]
    if len(whole) < _LEAST_FRAMES:
        raise DataError(
            f"expected at least {_LEAST_FRAMES} frames of whole people, one after another at a "
            f"known rate, to learn which input is usual, got {len(whole)}; use a training split "
            "with more"
        )
    mean = whole.mean(0)
    covariance = np.atleast_2d(np.cov(whole, rowvar=False))
    least = _LEAST_SPREAD.get(name, 0.0) ** 2
    width = len(mean)
    covariance = covariance + np.eye(width) * _RIDGE
    covariance[np.diag_indices(width)] = np.maximum(covariance.diagonal(), least)
    made = Gaussian(mean, covariance, 1.0)
    unit = float(np.quantile(_distance(values, made), _UNIT))
    return made._replace(unit=max(unit, 1.0))


def _distance(values: FloatArray, group: Gaussian) -> FloatArray:
    """Distance of points from a group, by the coordinates that are known, root of their mean."""
    known = np.isfinite(values)
    patterns, which = np.unique(known, axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.bincount(which.ravel(), minlength=len(patterns)).cumsum()
    found = np.zeros(len(values))
    for pattern, rows in zip(patterns, np.split(order, ends[:-1]), strict=True):
        used = np.flatnonzero(pattern)
        if len(used):
            factor = np.linalg.cholesky(group.covariance[np.ix_(used, used)])
            away = (values[rows][:, used] - group.mean[used]).T
            found[rows] = np.sqrt((np.linalg.solve(factor, away) ** 2).mean(0))
    return found


def _gaussian(plain: Mapping[str, Any]) -> Gaussian:
    mean = np.asarray(plain["mean"], dtype=np.float64)
    covariance = np.asarray(plain["covariance"], dtype=np.float64)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"a mean of {mean.shape} and a covariance of {covariance.shape}")
    np.linalg.cholesky(covariance)
    return Gaussian(mean, covariance, float(plain["unit"]))


def _rounded(values: FloatArray) -> Any:
    return np.vectorize(lambda v: float(f"{v:.7g}"))(values).tolist()
