"""Value checks of an experiment that a type cannot express. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lifting.data.sets import find_set
from lifting.errors import ConfigError
from lifting.experiment.config import ExperimentConfig
from lifting.skeleton import get_skeleton
from lifting.tto.config import check_tto

Check = tuple[Callable[[Any], bool], str]

PRECISIONS = (
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "64",
)  # fmt: skip
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")

_COUNT: Check = (lambda v: v >= 1, "a whole number from 1")
_NOT_NEGATIVE: Check = (lambda v: v >= 0, "0 or more")
_POSITIVE: Check = (lambda v: v > 0, "more than 0")
_LIMIT: Check = (lambda v: v is None or v >= 1, "null for all, or a whole number from 1")
_FRACTION: Check = (lambda v: 0 <= v <= 1, "between 0 and 1")
_DECAY: Check = (lambda v: 0 <= v < 1, "from 0 to below 1")
_FOLDER: Check = (
    lambda v: v is None or re.fullmatch(r"[\w][\w.+-]*", v) is not None,
    "a name fit for a folder: letters, digits, '.', '_', '+', '-'",
)
_SEED: Check = (lambda v: 0 <= v < 2**32, "from 0 to 4294967295")

CHECKS: dict[str, Check] = {
    "name": _FOLDER,
    "run": _FOLDER,
    "seed": _SEED,
    "data.fps": (lambda v: v is None or 1 <= v <= 1000, "null, or from 1 to 1000"),
    "data.frames": (lambda v: v >= 1 and v % 2 == 1, "an odd number from 1, to have a middle"),
    "data.window_stride": _COUNT,
    "data.train_recordings": _NOT_NEGATIVE,
    "data.train_every": _COUNT,
    "data.eval_every": _COUNT,
    "data.batch_size": _COUNT,
    "data.eval_batch_size": _COUNT,
    "data.bone_jitter": _NOT_NEGATIVE,
    "data.workers": _NOT_NEGATIVE,
    "data.noise_seed": _SEED,
    "optimizer.lr": _POSITIVE,
    "optimizer.betas": (lambda v: all(0 <= b < 1 for b in v), "two numbers from 0 to below 1"),
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.gamma": _POSITIVE,
    "optimizer.every": _COUNT,
    "optimizer.final": _FRACTION,
    "optimizer.warmup_steps": _NOT_NEGATIVE,
    "trainer.max_epochs": _COUNT,
    "trainer.epoch_scale": _POSITIVE,
    "trainer.max_steps": (lambda v: v == -1 or v >= 1, "-1 for no limit, or from 1"),
    "trainer.limit_train_batches": _LIMIT,
    "trainer.limit_val_batches": _LIMIT,
    "trainer.limit_test_batches": _LIMIT,
    "trainer.accelerator": (lambda v: v in ACCELERATORS, "one of " + ", ".join(ACCELERATORS)),
    "trainer.devices": _COUNT,
    "trainer.precision": (lambda v: v in PRECISIONS, "one of " + ", ".join(PRECISIONS)),
    "trainer.gradient_clip": _NOT_NEGATIVE,
    "trainer.accumulate": _COUNT,
    "trainer.check_val_every": _COUNT,
    "trainer.patience": _NOT_NEGATIVE,
    "trainer.monitor": (
        lambda v: v.startswith("val/"),
        "a key of the validation split, such as val/mpjpe_mm (the test split never chooses)",
    ),
    "trainer.threads": _NOT_NEGATIVE,
    "trainer.ema.decay": _DECAY,
    "wandb.timeout": _POSITIVE,
    "panels.worst": _NOT_NEGATIVE,
    "panels.every": _NOT_NEGATIVE,
}


def check_values(config: ExperimentConfig) -> None:
    """Check every value that has a range.

    Raises:
        ConfigError: A value is out of range; names the key, what it may be, and what it is.
    """
    find_set(config.data.name)
    if config.data.skeleton is not None:
        get_skeleton(config.data.skeleton)
    for key, (holds, words) in CHECKS.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        if not holds(value):
            raise ConfigError(
                f"expected '{key}' to be {words}, got {value!r}; correct it in the file or with "
                f"{key}=VALUE"
            )
    check_tto(config.tto)
