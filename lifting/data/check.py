"""Checks of the data section and of tracks, before anything is trained on them.

Among them what the options of several data sets have alike.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lifting.data.config import DataConfig, Split
from lifting.data.sequence import PoseTracks
from lifting.data.window import check_window, track_of_rows
from lifting.errors import ConfigError, DataError, suggest
from lifting.geometry.camera import project

_WORD = re.compile(r"[A-Za-z0-9][\w.-]*")

POSITIVE = ("train_every", "eval_every", "batch_size", "eval_batch_size")
MAX_JITTER = 0.3
MAX_TURN = 180
NORMALISED = 3.0  # pixels are far larger
MOST_PROJECTED = 2000  # frames
FAR = 0.08  # of a person's height; bad detections are half as far
log = logging.getLogger(__name__)


def check_names(option: str, given: Iterable[str], known: Collection[str]) -> None:
    """Check that an option names things that exist.

    Args:
        option: The option, below ``data``, for the message.
        given: What it names.
        known: What exists; empty when only the files tell, and then a name must be one word.

    Raises:
        ConfigError: A name is unknown, or is no word that a file name can end with.
    """
    for name in given:
        if known and name not in known:
            raise ConfigError(f"unknown name '{name}' in data.{option}; {suggest(name, known)}")
        if not _WORD.fullmatch(name):
            raise ConfigError(
                f"expected a word of letters, digits, '_', '-' and '.' in data.{option}, got "
                f"'{name}'; give the part of the file's name without folders"
            )


def check_disjoint(dataset: str, test: Collection[str], trained: Collection[str]) -> None:
    """Check that nobody is tested on whom anything was trained or chosen on.

    Args:
        dataset: Section of the options, for the message.
        test: Subjects of the test split.
        trained: Subjects of the training and validation splits.

    Raises:
        ConfigError: A subject is in both.
    """
    shared = sorted(set(test) & set(trained))
    if shared:
        raise ConfigError(
            f"expected test subjects apart from those of training and validation in data.{dataset}"
            f", got {', '.join(shared)} in both; a subject belongs to one part"
        )


def check_ranges(section: str, options: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check that numbers lie within bounds; one that is None is not given.

    Args:
        section: Of the options, for the message.
        options: The options.
        bounds: Least and largest value, by name.

    Raises:
        ConfigError: One does not.
    """
    for name, (low, high) in bounds.items():
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise ConfigError(
                f"expected data.{section}.{name} from {low} to {high}, got {value}; choose another"
            )


def check_every(option: str, every: int) -> None:
    """Check the distance of kept frames.

    Args:
        option: The option, below ``data``, for the message.
        every: Its value.

    Raises:
        ConfigError: It is below 1.
    """
    if every < 1:
        raise ConfigError(f"expected data.{option} of at least 1, got {every}; 1 keeps all frames")


def check_config(config: DataConfig) -> None:
    """Check the numbers of the data section.

    Raises:
        ConfigError: One is out of range.
    """
    check_window(config.frames, config.window_stride)
    if config.windows != "centred" and (config.target != "all" or config.window_stride != 1):
        raise ConfigError(
            f"expected data.target 'all' and data.window_stride 1 with data.windows "
            f"'{config.windows}', got '{config.target}' and {config.window_stride}; chunks answer "
            "every frame of a track"
        )
    for name in POSITIVE:
        if getattr(config, name) < 1:
            raise ConfigError(
                f"expected data.{name} of at least 1, got {getattr(config, name)}; "
                "give a positive number"
            )
    if config.workers < 0:
        raise ConfigError(
            f"expected data.workers of at least 0, got {config.workers}; "
            "0 gathers in the main process"
        )
    _check_refilm(config)
    if not 0 <= config.turn <= MAX_TURN:
        raise ConfigError(
            f"expected data.turn between 0 and {MAX_TURN} degrees, got {config.turn}; "
            f"{MAX_TURN} turns people all the way round"
        )
    if not 0 <= config.bone_jitter <= MAX_JITTER:
        raise ConfigError(
            f"expected data.bone_jitter between 0 and {MAX_JITTER}, got {config.bone_jitter}; "
            "it is the standard deviation of a factor"
        )


def _check_refilm(config: DataConfig) -> None:
    """Check the options of films that are made anew, and what they exclude."""
    options = config.refilm
    check_ranges(
        "refilm",
        options,
        {
            "every": (0, math.inf), "share": (1e-3, 1), "seconds": (0.1, 60), "pace": (0, 0.9),
            "mixed": (0, 1), "bones": (0, MAX_JITTER), "other_joints": (0, 1), "lost": (0, 1),
        },
    )  # fmt: skip
    if not options.noise:
        raise ConfigError("expected levels of noise in data.refilm.noise, got none; name one")
    wanted: dict[str, object] = {
        "labels": "truth", "views": "apart", "mixtures": None, "train_recordings": 0,
    }  # fmt: skip
    for name, value in wanted.items():
        if options.every and getattr(config, name) != value:
            raise ConfigError(
                f"expected data.{name}={value} where motion is filmed anew, got "
                f"{getattr(config, name)}; set data.refilm.every to 0"
            )


def check_tracks(tracks: PoseTracks, split: Split) -> PoseTracks:
    """Check that a split has frames and that its values are finite.

    Labels that are marked as not valid may be anything; they are returned as zeros, since even a
    masked value that is not finite spoils gradients.

    Args:
        tracks: The frames of the split.
        split: Its name, for the messages.

    Returns:
        The tracks.

    Raises:
        DataError: The split is empty, or holds a value that is not finite or no confidence.
    """
    if len(tracks) == 0:
        raise DataError(
            f"expected frames in the {split} split of {tracks.source.get('dataset', 'the data')}, "
            "got none; check the split's sizes and files in the data section"
        )
    _check_finite("keypoints_2d", tracks.keypoints_2d, tracks, split)
    _check_finite("confidence", tracks.confidence[..., None], tracks, split)
    low, high = (float(value) for value in tracks.confidence.aminmax())
    if low < 0 or high > 1:
        raise DataError(
            f"expected confidence from 0 to 1 in the {split} split, got {low:.3g} to {high:.3g}; "
            "scores in per cent or logits are brought to that range when a file is read"
        )
    farthest = float(tracks.keypoints_2d.abs().max())
    if 0 < farthest < NORMALISED:
        raise DataError(
            f"expected keypoints in pixels in the {split} split, got numbers up to "
            f"{farthest:.3g}; normalised positions are multiplied by the image size when a file "
            "is read"
        )
    _check_reprojection(tracks, split)
    if tracks.joints_3d is None:
        return tracks
    if tracks.visible is None:
        _check_finite("joints_3d", tracks.joints_3d, tracks, split)
        return tracks
    labels = torch.where(tracks.visible[..., None], tracks.joints_3d, torch.zeros(()))
    _check_finite("joints_3d", labels, tracks, split)
    return replace(tracks, joints_3d=labels)


def _check_reprojection(tracks: PoseTracks, split: Split) -> None:
    """Say where keypoints are not where the labels are projected to."""
    labels, step = tracks.joints_3d, max(len(tracks) // MOST_PROJECTED, 1)
    if labels is None:
        return
    labels, points = labels[::step].double(), tracks.keypoints_2d[::step].double()
    track = track_of_rows(tracks.offsets)[::step]
    lens = tracks.cameras.intrinsics[tracks.camera[track]].double()
    used = (labels[..., 2] > 0) & lens.isfinite().all(-1, keepdim=True)
    used &= tracks.confidence[::step] > 0
    if tracks.visible is not None:
        used &= tracks.visible[::step]
    away = (project(labels, lens) - points).norm(dim=-1)
    height = (points.amax(1) - points.amin(1)).amax(-1, keepdim=True).clamp(min=1)
    share = (away / height)[used & away.isfinite()]
    if len(share) and float(share.median()) > FAR:
        log.warning(
            "the keypoints of the %s split of %s lie %.0f %% of a person's height away from its "
            "projected labels (median): 2D and 3D are of different joints, frames or cameras; "
            "see `lifting data check %s`",
            split, tracks.source.get("dataset", "the data"), 100 * float(share.median()),
            tracks.source.get("dataset", "NAME"),
        )  # fmt: skip


def _check_finite(name: str, values: Tensor, tracks: PoseTracks, split: Split) -> None:
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return
    row, joint = (~finite).any(dim=-1).nonzero()[0].tolist()
    track = int(track_of_rows(tracks.offsets)[row])
    frame = row - int(tracks.offsets[track])
    raise DataError(
        f"expected finite {name} in the {split} split, got {values[row, joint].tolist()} at "
        f"joint {tracks.skeleton.joints[joint]}, frame {frame} of track "
        f"'{tracks.track_names[track]}'; repair the source or mark the joint as not visible"
    )
