"""Thousands of damaged and forged checkpoints: own errors, or the weights that were saved."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median

import pytest
import torch
from mutated_checkpoint import mutations

from lifting.errors import LiftingError
from lifting.experiment.build import frozen_module
from lifting.experiment.checkpoint import AtomicCheckpointIO
from lifting.experiment.load import load_experiment
from lifting.experiment.run import train

pytestmark = pytest.mark.slow

COUNT = 10_000


@pytest.fixture
def checkpoint(tiny_experiment):
    """The last checkpoint of a training, whose best one is not beside it."""
    short = ["trainer.max_epochs=1", "method.warm_epochs=1"]
    best = train(load_experiment(tiny_experiment, short)).checkpoint
    best.unlink()
    return best.with_stem("last")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_mutations_of_a_checkpoint(checkpoint):
    want = frozen_module(checkpoint).state_dict()
    outcomes, seconds, wrong = Counter(), [], []
    for data, kind, damage in mutations(checkpoint.read_bytes(), COUNT):
        checkpoint.write_bytes(data)
        start = time.perf_counter()
        try:
            AtomicCheckpointIO().load_checkpoint(checkpoint)
            got = frozen_module(checkpoint).state_dict()
        except LiftingError as error:
            outcome = type(error).__name__
            if str(checkpoint) not in str(error):
                wrong.append((kind, str(error)[:200]))
        except Exception as error:
            outcome = f"foreign {type(error).__name__}"
            wrong.append((kind, repr(error)[:200]))
        else:
            same = all(torch.equal(value, got[name]) for name, value in want.items())
            outcome = "equal weights" if same else "other weights"
            if damage and not same:
                wrong.append((kind, outcome))
        seconds.append(time.perf_counter() - start)
        outcomes["damaged" if damage else "forged", outcome] += 1
    for (change, outcome), count in sorted(outcomes.items()):
        print(f"{change:8} {outcome:20} {count:6}")
    print(f"ms a read: median {1e3 * median(seconds):.2f}, worst {1e3 * max(seconds):.1f}")
    assert not wrong, wrong[:10]
    assert sum(outcomes.values()) == COUNT
