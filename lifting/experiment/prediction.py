"""A trained model, and the poses that it lifts from a test split or a user's own keypoints."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lifting.batch import PoseBatch
from lifting.data.sequence import PoseTracks
from lifting.errors import CheckpointError, ConfigError
from lifting.experiment.answers import Answers, origin_of
from lifting.experiment.build import (
    build_data,
    build_trainer,
    optimization_callbacks,
    prepare_process,
)
from lifting.experiment.checkpoint import described, read_checkpoint
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.folder import (
    CHECKPOINTS,
    CONFIG_FILE,
    newest_run,
    newest_weights,
    run_of_checkpoint,
)
from lifting.experiment.load import load_experiment, load_values
from lifting.experiment.processes import call_trainer, of_all
from lifting.experiment.trained import Claims, trained_module
from lifting.files.checks import as_path, sha256_of
from lifting.methods.base import CHECKPOINT_KEY, LiftingModule
from lifting.poses import Poses

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """Trained weights, ready to lift.

    Attributes:
        config: The experiment as it was trained.
        checkpoint: File of the weights.
        module: The method with its weights.
        claims: What they were trained for: joints, frames a second, window, data.
    """

    config: ExperimentConfig
    checkpoint: Path
    module: LiftingModule
    claims: Claims


def load_model(path: str | Path) -> Model:
    """A trained model.

    Args:
        path: A checkpoint; or the folder of a run, whose best checkpoint is taken, of the newest
            stage that has any; or the folder of an experiment's runs, ``outputs/simple_baseline``,
            of which the newest is taken.

    Raises:
        CheckpointError: There is no checkpoint, or it does not say how it was trained.
        ConfigError: The folder holds no run.
    """
    path = as_path(path, "of a model")
    if path.is_dir():
        run = path if (path / CONFIG_FILE).is_file() else _newest_of(path)
        weights = newest_weights(run)
        if weights is None:
            raise CheckpointError(
                f"expected weights in {run}, got none; wait for the first whole epoch of its "
                "training, or name another run"
            )
        path = weights
    folder = run_of_checkpoint(path)
    if folder is not None:
        return model_of(load_experiment(str(folder / CONFIG_FILE)), path)
    stated = read_checkpoint(path)[CHECKPOINT_KEY].get("experiment")
    if not isinstance(stated, dict):
        raise CheckpointError(
            "expected a checkpoint in the folder of its run, or one that says how it was trained, "
            f"got {path}; put the {CONFIG_FILE} of its run beside it"
        )
    with described(path):
        config = load_values(stated)
    return model_of(config, path)


def _newest_of(folder: Path) -> Path:
    """The newest run of an experiment's folder."""
    whole = folder.resolve()
    try:
        return newest_run(str(whole.parent), whole.name)
    except ConfigError as error:
        if any(whole.glob(f"*/{CONFIG_FILE}")):
            raise
        runs = (file.parent for file in whole.glob(f"*/*/{CONFIG_FILE}"))
        inside = sorted({run.parent.name for run in runs if newest_weights(run) is not None})
        if folder.name == CHECKPOINTS:
            advice = f"give its run, {folder.parent}, or a file in it"
        elif inside:
            advice = f"give one of the experiments in it, such as {folder / inside[0]}"
        else:
            advice = (
                "give a run, the folder of an experiment's runs or a checkpoint; `lifting train "
                "simple_baseline` makes outputs/simple_baseline"
            )
        raise ConfigError(
            f"expected a run with weights in {folder}, got none; {advice}"
        ) from error


def model_of(config: ExperimentConfig, checkpoint: Path) -> Model:
    """The model of an experiment and a checkpoint of its method.

    Args:
        config: The experiment.
        checkpoint: Weights of its method.

    Raises:
        CheckpointError: The checkpoint does not fit.
        ConfigError: The data section contradicts what the weights were trained for.
    """
    prepare_process(config)
    return Model(config, checkpoint, *trained_module(config, checkpoint))


def lift_tracks(
    model: Model,
    tracks: PoseTracks | None = None,
    *,
    hypotheses: bool = False,
    command: str | None = None,
) -> Poses:
    """Lift keypoints; the one way from a model to poses.

    Args:
        model: A trained model.
        tracks: Keypoints; None lifts the test split of the model's data.
        hypotheses: Also keep every hypothesis.
        command: What repeats it, for ``meta``.

    Raises:
        DataError: There is nothing to lift, or it is damaged.
    """
    config = model.config
    if tracks is not None:
        config = replace(config, data=replace(config.data, eval_every=1))
    data = build_data(config, model.claims.skeleton, model.claims.fps, tracks)
    store = PredictionStore(hypotheses=hypotheses)
    callbacks = [*optimization_callbacks(config), store]
    trainer = build_trainer(config, Path(config.output), callbacks=callbacks)
    call_trainer(
        trainer, lambda: trainer.predict(model.module, datamodule=data, return_predictions=False)
    )
    tracks = data.tracks("test")
    options = data.options(data.config.eval_every)
    poses = store.answers.poses(tracks, options, _origin(model, tracks, command))
    if hypotheses and poses.hypotheses is None:
        log.warning(
            "%s gives one answer: there are no hypotheses beside it", config.method["name"]
        )
    return poses


class PredictionStore(Callback):
    """Collects what a prediction run answers.

    Args:
        hypotheses: Also keep every hypothesis.
    """

    def __init__(self, *, hypotheses: bool = False) -> None:
        self.answers = Answers(hypotheses=hypotheses)

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep a batch's answer."""
        self.answers.add(outputs, batch)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give all processes the answers of all, in the order in which one would have them."""
        columns = self.answers.columns
        shares = of_all(columns)  # each has a slice of every batch
        for name in tuple(columns):
            batches = zip(*[share[name] for share in shares], strict=True)
            columns[name] = [part for slices in batches for part in slices]


def _origin(model: Model, tracks: PoseTracks, command: str | None) -> dict[str, Any]:
    """Where poses come from: command, method, weights, source, and what was assumed."""
    return {
        "command": command,
        "experiment": model.config.name,
        "method": model.config.method,
        "checkpoint": {"file": str(model.checkpoint), "sha256": sha256_of(model.checkpoint)},
        "stage": model.module.stage.name,
        "answers": model.module.describe(),
        **origin_of(tracks),
    }
