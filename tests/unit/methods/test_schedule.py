import math

import pytest

from lifting.methods.base import learning_rate_factor
from lifting.methods.settings import OptimizerConfig


def test_exponential_steps_at_epoch_ends():
    options = OptimizerConfig(schedule="exponential", gamma=0.5, every=2)
    factor = learning_rate_factor(options, total_steps=60, steps_per_epoch=10)
    assert [factor(s) for s in (0, 19, 20, 39, 40)] == [1, 1, 0.5, 0.5, 0.25]


def test_cosine_falls_from_one_to_its_end():
    options = OptimizerConfig(schedule="cosine", final=0.1)
    factor = learning_rate_factor(options, total_steps=100, steps_per_epoch=10)
    assert factor(0) == 1
    assert factor(50) == pytest.approx(0.55)
    assert factor(100) == pytest.approx(0.1)
    assert factor(500) == pytest.approx(0.1)
    assert factor(25) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)


def test_warmup_rises_linearly_and_multiplies():
    options = OptimizerConfig(schedule="constant", warmup_steps=4)
    factor = learning_rate_factor(options, total_steps=100, steps_per_epoch=10)
    assert [factor(s) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
