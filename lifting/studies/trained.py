"""What comparisons of trained runs share: the weights that were scored, and what a pose costs."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from statistics import median
from timeit import repeat

import torch

from lifting.experiment.callbacks import BEST, LAST
from lifting.experiment.checkpoint import SUFFIX
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import CHECKPOINTS
from lifting.experiment.trained import trained_model

TIMED_BATCHES = 2


def scored_checkpoint(folder: Path) -> Path:
    """The weights that a training's score belongs to: the best, else the last ones.

    Args:
        folder: Folder of the run.
    """
    best = folder / CHECKPOINTS / f"{BEST}{SUFFIX}"
    return best if best.is_file() else folder / CHECKPOINTS / f"{LAST}{SUFFIX}"


def pose_cpu_ms(config: ExperimentConfig, checkpoint: Path) -> float:
    """Processor milliseconds to lift a pose, as the method is evaluated.

    Args:
        config: The experiment.
        checkpoint: Its weights.

    Raises:
        CheckpointError: The weights do not fit.
    """
    module, data = trained_model(config, checkpoint)
    module.eval()
    data.setup("test")
    batches = list(islice(data.test_dataloader(), TIMED_BATCHES))

    def lift() -> None:
        with torch.no_grad():
            for batch in batches:
                module.infer(batch)

    lift()
    seconds = median(repeat(lift, timer=time.process_time, repeat=3, number=1))
    return 1000 * seconds / sum(len(batch) for batch in batches)
