"""Models of ready weights, by name, by file, or the ones that fit the keypoints. No Lightning."""

from __future__ import annotations

import logging
from pathlib import Path

from lifting.data.conform import highest_rate
from lifting.data.sequence import PoseTracks
from lifting.errors import ConfigError
from lifting.experiment.folder import SUFFIX as CHECKPOINT
from lifting.experiment.prediction import Model
from lifting.experiment.prediction import load_model as model_at
from lifting.files.checks import as_path
from lifting.weights.registry import SUFFIX, checked_file, default_weights, find

log = logging.getLogger(__name__)


def ready_model(tracks: PoseTracks, weights: str | Path | None = None) -> Model:
    """The model that own keypoints are lifted with where no experiment is named.

    Args:
        tracks: The keypoints; their rate and length choose between windows and single frames.
        weights: A name of ``lifting weights list``, a file of weights, or a run or checkpoint;
            None chooses.

    Raises:
        ConfigError: There are no such weights, or none at all.
        CheckpointError: The file is not what was registered, or cannot be used.
    """
    if weights is not None:
        return load_model(weights)
    fps = highest_rate(tracks) or 0.0
    entry = default_weights(float(tracks.offsets.diff().median()) / fps if fps else 0.0, fps)
    if entry is None:
        raise ConfigError(
            "expected a model, got none, and there are no ready weights that fit; train one "
            "with `lifting train simple_baseline` and give --weights outputs/simple_baseline "
            "(model='outputs/simple_baseline'), or get others with `lifting weights fetch`"
        )
    frames = "single frames" if entry.frames == 1 else f"windows of {entry.frames} frames"
    log.info("lifting with the ready weights '%s': %s", entry.name, frames)
    return model_at(checked_file(entry))


def load_model(name: str | Path) -> Model:
    """A trained model, by its path or by its name among the weights at hand.

    Args:
        name: A checkpoint or a file of weights; or the folder of a run, whose best checkpoint is
            taken, of the newest stage that has any; or the folder of an experiment's runs,
            ``outputs/simple_baseline``, of which the newest is taken; or a name of
            ``lifting weights list``, where no path has it.

    Raises:
        CheckpointError: There is no checkpoint, or it does not say how it was trained, or it is
            not what was registered.
        ConfigError: The folder holds no run, or there are no such weights.
    """
    path = as_path(name, "of a model")
    if path.exists() or len(path.parts) > 1 or path.suffix in (CHECKPOINT, SUFFIX):
        return model_at(path)
    return model_at(checked_file(find(str(name))))
