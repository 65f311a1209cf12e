"""Learning-rate schedules as a factor of the optimiser step."""

from __future__ import annotations

import math
from collections.abc import Callable

from lifting.methods.settings import OptimizerConfig


def learning_rate_factor(
    options: OptimizerConfig, *, total_steps: int, steps_per_epoch: float
) -> Callable[[int], float]:
    """Factor on the starting rate at each optimiser step.

    Args:
        options: The optimiser section.
        total_steps: Steps of the whole training, where the cosine ends.
        steps_per_epoch: Steps an epoch, the unit of the exponential schedule.

    Returns:
        A function from the step, counted from 0, to the factor.
    """

    def factor(step: int) -> float:
        warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
        if options.schedule == "exponential":
            epoch = math.floor(step / max(1.0, steps_per_epoch) + 1e-9)
            return warmup * float(options.gamma ** (epoch // options.every))
        if options.schedule == "cosine":
            done = min(1.0, step / max(1, total_steps))
            return warmup * (
                options.final + (1 - options.final) * (1 + math.cos(math.pi * done)) / 2
            )
        return warmup

    return factor
