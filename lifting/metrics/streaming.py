"""What every streaming metric shares: states that add up, and NaN for nothing.

States are float64 sums and int64 counts, so a result depends neither on the size and order of the
batches nor on the number of processes, up to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lifting.metrics.functional.errors import ratio


class StreamingMetric(Metric):
    """A metric whose states are sums over samples."""

    is_differentiable = False
    full_state_update = False
    higher_is_better: bool | None = False

    def add_sum(self, name: str, *shape: int) -> None:
        """Declare a float64 sum."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add_count(self, name: str, *shape: int) -> None:
        """Declare an int64 count."""
        self.add_state(name, torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def accumulate(self, **values: Tensor) -> None:
        """Add to states by name."""
        for name, value in values.items():
            state = getattr(self, name)
            setattr(self, name, state + value.to(state.dtype))

    def mean_of(self, total: Tensor, count: Tensor) -> Tensor:
        """Total over count; NaN and a warning where a metric was updated but nothing counted."""
        if self.update_called and int(count.sum()) == 0:
            warnings.warn(
                f"{type(self).__name__} was given no valid sample; its value is NaN", stacklevel=2
            )
        return ratio(total, count)


class RatioMetric(StreamingMetric):
    """A metric that is one sum over one count; subclasses write ``update``."""

    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_sum("total")
        self.add_count("count")

    def add_ratio(self, sums: Sequence[Tensor]) -> None:
        """Add a pair (sum, count)."""
        self.accumulate(total=sums[0], count=sums[1])

    def compute(self) -> Tensor:
        """Mean over all samples; NaN where there were none."""
        return self.mean_of(self.total, self.count)
