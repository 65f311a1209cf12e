"""Files of weights: what a trained run needs to lift, and what is to be known of it, and no more.

No optimiser, no callback, no path. Beside the weights stand joints, rate, window, normalisation,
how they were trained and scored, and what input is usual for them.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lifting import __version__
from lifting.atomic import replacing
from lifting.data.datamodule import PoseDataModule
from lifting.data.keypoints.usual import fit_usual
from lifting.data.refilm import refilm
from lifting.data.sequence import PoseTracks
from lifting.data.sources import load_motion
from lifting.errors import ConfigError, OutputError
from lifting.experiment.build import build_data
from lifting.experiment.checkpoint import read_checkpoint
from lifting.experiment.claims import TRAINING, USUAL
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import RECORD_FILE, run_of_checkpoint
from lifting.experiment.load import find_file, flat, load_experiment, to_plain
from lifting.experiment.prediction import Model, load_model
from lifting.experiment.record import read_record
from lifting.methods.lifter import CHECKPOINT_KEY
from lifting.methods.settings import BuiltOn
from lifting.weights.registry import SUFFIX

_PLACE = re.compile(r'["=](/[^" ]+|[^" ]*://[^" ]*)')

_KEPT = (
    "method", "config", "skeleton", "normalisation", "stage", "supervision", "fps", "frames",
    "dataset", "protocol", "data",
)  # fmt: skip
_OF_EXPERIMENT = ("name", "seed", "protocol", "flip_test", "method")
_OF_DATA = ("name", "frames", "window_stride", "windows", "target", "eval_batch_size")
_FILMS = 4
_SCORES = ("mpjpe_mm", "pa_mpjpe_mm", "ece_axis", "sigma_spearman")
_NOT_TOLD = (
    "output", "run", "wandb", "panels", "pss", "description", "name", "trainer.progress",
    "trainer.threads", "data.root", "data.cache",
)  # fmt: skip


def write_weights_file(model: Model, output: Path) -> dict[str, Any]:
    """Write the weights of a trained model as a file that can be given away.

    Args:
        model: Of a run; its training and validation data are read to learn which input is usual.
        output: The file, ending in ``.pt``.

    Returns:
        The facts of the file, as plain values.

    Raises:
        ConfigError: The model needs another file, or says where something lies.
        DataError: The data of the run are not at hand, or too few.
        OutputError: The file cannot be written.
    """
    config, path = model.config, model.checkpoint
    if output.suffix != SUFFIX:
        raise OutputError(
            f"expected the name of a file of weights, ending in {SUFFIX}, got {output}; change "
            "--output"
        )
    if isinstance(model.module.config, BuiltOn) or config.tto.enabled:
        raise ConfigError(
            "expected a model that lifts by itself, without test-time optimisation, got one of "
            f"'{model.method}'{' with it' if config.tto.enabled else ''}; take a run of another "
            "experiment"
        )
    checkpoint = read_checkpoint(path)
    facts = {k: v for k, v in checkpoint[CHECKPOINT_KEY].items() if k in _KEPT}
    facts |= {
        "skeleton": model.claims.skeleton.plain(),
        "fps": model.claims.fps,
        "frames": config.data.frames,
        "experiment": _experiment(config),
        TRAINING: checkpoint[CHECKPOINT_KEY].get(TRAINING) or _training(config, path),
    }
    usual = model.claims.usual
    if usual is None:
        data = build_data(config, model.claims.skeleton, model.claims.fps)
        single = config.data.frames == 1
        usual = fit_usual(films(config, data), data.tracks("val"), any_rate=single)
    facts[USUAL] = usual.plain()
    place = _PLACE.search(json.dumps(facts))
    if place is not None:
        raise ConfigError(
            f"expected facts that hold wherever the file goes, got {place[1]:.80}; train without "
            "that file"
        )
    state = {
        name: (v.float() if v.is_floating_point() else v).clone()
        for name, v in checkpoint["state_dict"].items()
    }
    with replacing(output) as temporary:
        torch.save({"state_dict": state, CHECKPOINT_KEY: facts}, temporary)
        load_model(temporary)  # what cannot be read is not given away
    return facts


def films(config: ExperimentConfig, data: PoseDataModule) -> list[PoseTracks]:
    """What a training sees: its tracks, or some films of its motion.

    Args:
        config: The experiment.
        data: Its data.
    """
    if not config.data.refilm.every:
        return [data.tracks("train")]
    motion = load_motion(config.data, "train")
    numbers = range(_FILMS)
    return [refilm(motion, config.data, data.fps, seed=config.seed, number=n) for n in numbers]


def command_of(config: ExperimentConfig) -> str:
    """The command that trains an experiment again, with what differs from its file.

    Args:
        config: The experiment.
    """
    words = ["lifting", "train", config.name]
    if find_file(f"{config.name}.yaml") is not None:
        theirs = dict(flat(to_plain(load_experiment(config.name))))
        for key, value in flat(to_plain(config)):
            if not key.startswith(_NOT_TOLD) and theirs.get(key) != value:
                text = value if isinstance(value, str) else json.dumps(value)
                words.append(shlex.quote(f"{key}={text}"))
    return " ".join(words)


def _experiment(config: ExperimentConfig) -> dict[str, Any]:
    """What of an experiment an answer depends on."""
    plain = to_plain(replace(config, pss=()))
    kept = {key: plain[key] for key in _OF_EXPERIMENT}
    return {**kept, "data": {key: plain["data"][key] for key in _OF_DATA}}


def _training(config: ExperimentConfig, path: Path) -> dict[str, Any]:
    """How weights were trained and scored, as far as their run says it."""
    told: dict[str, Any] = {
        "packages": {"lifting": __version__},
        "seed": config.seed,
        "command": command_of(config),
    }
    run = run_of_checkpoint(path)
    if run is not None and (run / RECORD_FILE).is_file():
        record = read_record(run / RECORD_FILE)
        told["packages"]["torch"] = record.packages.get("torch", "not known")
        told |= {"two_d": record.two_d, "budget": record.budget, "git": record.git}
        scores = {name: record.metrics.get(name, math.nan) for name in _SCORES}
        told["scores"] = {name: value for name, value in scores.items() if math.isfinite(value)}
    return told
