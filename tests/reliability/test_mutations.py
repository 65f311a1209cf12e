"""Thousands of damaged and forged files: own errors, or what was saved and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from statistics import median

import pytest
import torch
from mutated_checkpoint import mutations
from mutated_yaml import yaml_mutations

from lifting.errors import ConfigError, LiftingError
from lifting.experiment.build import frozen_module
from lifting.experiment.checkpoint_io import AtomicCheckpointIO
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.load import CHECKOUT, load_experiment, save_resolved, to_run
from lifting.experiment.run import train
from lifting.experiment.sweep import load_sweep

pytestmark = pytest.mark.slow

COUNT = 10_000
FILES = [file.relative_to(CHECKOUT) for file in sorted(CHECKOUT.rglob("*.yaml"))]


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


def outcome_of(load, path, again):
    """What loading a mutation gives; a configuration that loads must load again to the same."""
    try:
        config = load()
    except ConfigError:
        return "ConfigError"
    if not again or not isinstance(config, ExperimentConfig):
        return "loads"
    save_resolved(config, path)
    return "loads" if to_run(load_experiment(str(path))) == to_run(config) else "loads to another"


def tell(name, loads, path, every=1):
    """Try them all, print the figures, and fail on a foreign error; every n-th is loaded again."""
    outcomes, seconds, wrong = Counter(), [], []
    for number, load in enumerate(loads):
        start = time.perf_counter()
        try:
            outcome = outcome_of(load, path, number % every == 0)
        except Exception as error:
            outcome = f"foreign {type(error).__name__}"
            wrong.append(repr(error)[:300])
        seconds.append(time.perf_counter() - start)
        outcomes[outcome] += 1
    print(f"{name}: {dict(outcomes)}; ms: median {1e3 * median(seconds):.0f}, worst "
          f"{1e3 * max(seconds):.0f}")  # fmt: skip
    assert not wrong, wrong[:5]
    assert not outcomes["loads to another"]


def test_mutations_of_a_stored_configuration(tiny_experiment, tmp_path):
    path = tmp_path / "config.yaml"
    save_resolved(load_experiment(tiny_experiment), path)

    def loads():
        for data in yaml_mutations(path.read_bytes(), 1000):
            path.write_bytes(data)
            yield lambda: load_experiment(str(path))

    tell("config.yaml", loads(), tmp_path / "again.yaml")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.with_suffix("")))
def test_mutations_of_every_experiment_file(tmp_path, monkeypatch, file):
    """A file that is laid over others is read through an experiment that it is laid over."""
    folder = tmp_path / "experiments"
    monkeypatch.setenv("LIFTING_EXPERIMENTS", str(folder))
    copy = folder / file
    copy.parent.mkdir(parents=True)
    count = 1000
    if file.parent.name == "sweep":
        load, count = partial(load_sweep, file.stem), 100  # of a whole grid, which takes seconds
    elif len(file.parts) > 1:
        load = partial(load_experiment, "uao", [f"extends={file.with_suffix('')}"])
    else:
        load = partial(load_experiment, file.stem)

    def loads():
        for data in yaml_mutations((CHECKOUT / file).read_bytes(), count):
            copy.write_bytes(data)
            yield load

    tell(str(file), loads(), tmp_path / "again.yaml", every=10)
