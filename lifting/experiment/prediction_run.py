"""Lifts with a trainer: the test split, several processes, test-time optimisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from lifting.batch import PoseBatch
from lifting.data.gather import GatherOptions
from lifting.data.sequence import PoseTracks
from lifting.experiment.answers import Answers
from lifting.experiment.build import build_data, build_trainer, optimization_callbacks
from lifting.experiment.prediction import Model
from lifting.experiment.processes import call_trainer, of_all
from lifting.methods.base import LiftingModule


def lift_with_trainer(
    model: Model, tracks: PoseTracks | None, *, hypotheses: bool
) -> tuple[Answers, PoseTracks, GatherOptions]:
    """Answers to keypoints, or to the test split.

    Args:
        model: A trained model, whose module is the whole of its method.
        tracks: Keypoints; None lifts the test split of the model's data.
        hypotheses: Also keep every hypothesis.

    Returns:
        What was answered, the tracks in the joints and at the rate of the weights, and how they
        became batches.
    """
    config, module = model.config, model.module
    assert isinstance(module, LiftingModule)
    if tracks is not None:
        config = replace(config, data=replace(config.data, eval_every=1))
    data = build_data(config, model.claims.skeleton, model.claims.fps, tracks)
    store = PredictionStore(hypotheses=hypotheses)
    callbacks = [*optimization_callbacks(config), store]
    trainer = build_trainer(config, Path(config.output), callbacks=callbacks)
    call_trainer(
        trainer, lambda: trainer.predict(module, datamodule=data, return_predictions=False)
    )
    return store.answers, data.tracks("test"), data.options(data.config.eval_every)


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
