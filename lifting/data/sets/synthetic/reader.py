"""The default data set: procedural motion, made from the experiment's seed.

Each split has a seed of its own, so the people and the motion of one split never appear in
another, nor in any split of another experiment seed.
"""

from __future__ import annotations

from dataclasses import asdict

from lifting.data.config import DataConfig, Split, with_section
from lifting.data.doctor.check import check_takes
from lifting.data.doctor.takes import CheckRow, failed, seen_takes
from lifting.data.film import film
from lifting.data.procedural.generator import GENERATOR_VERSION, generate_motion
from lifting.data.sequence import MotionClips
from lifting.data.sets.synthetic.config import Config as SyntheticConfig
from lifting.errors import ConfigError, DataError, suggest

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_FPS = 50.0


def split_seed(seed: int, split: Split) -> int:
    """Seed of a split: ``3 seed + index``, different for every pair of seed and split.

    Args:
        seed: Seed of the experiment's data.
        split: Which split.

    Raises:
        ConfigError: The split is not known.
    """
    if split not in _SPLITS:
        raise ConfigError(f"unknown split '{split}'; {suggest(split, _SPLITS)}")
    return len(_SPLITS) * seed + _SPLITS.index(split)


def motion(config: DataConfig, split: Split) -> MotionClips:
    """Procedural motion of one split, before cameras film it.

    Args:
        config: The data section; ``synthetic`` is read.
        split: Which split.

    Returns:
        Clips in the world frame, mm, 50 frames a second.

    Raises:
        ConfigError: The split or a number is not valid.
    """
    options = config.synthetic
    clips = generate_motion(
        _count(options, split),
        options.sequence_frames,
        seed=split_seed(options.seed, split),
        skeleton=options.skeleton,
        fps=_FPS,
    )
    clips.source["split"] = split
    return clips


def cache_key(config: DataConfig, split: Split) -> dict[str, object]:
    """Everything that decides what ``motion`` returns, for naming a cache file.

    Args:
        config: The data section; ``synthetic`` is read.
        split: Which split.
    """
    options = config.synthetic
    return {
        "dataset": "synthetic",
        "generator": GENERATOR_VERSION,
        "split": split,
        "seed": split_seed(options.seed, split),
        "count": _count(options, split),
        "frames": options.sequence_frames,
        "skeleton": options.skeleton,
        "fps": _FPS,
    }


def _count(options: SyntheticConfig, split: Split) -> int:
    return int(asdict(options)[f"{split}_sequences"])


_SAMPLE = SyntheticConfig(test_sequences=12, sequence_frames=150)
_EXACT_PX = 0.1


def check(config: DataConfig) -> list[CheckRow]:
    """Make a few motions, film them without noise, and judge them like any other data.

    Args:
        config: The data section; there are no files.
    """
    rows = [CheckRow("files", "none", "none needed", "ok")]
    config = with_section(config, "synthetic", _SAMPLE)
    try:
        sample = motion(config, "test")
        tracks = film(sample, rig="h36m", noise="none", seed=0)
    except DataError as error:
        return [*rows, failed("sample", "motions seen by cameras", error)]
    bodies, keypoints = seen_takes(tracks, "sample", _EXACT_PX)
    return rows + check_takes(bodies, [keypoints])
