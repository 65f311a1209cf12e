"""Tiny trainings that are cut short, and go on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cut_run(tiny_experiment, undrawn, monkeypatch):
    """Trains the tiny experiment up to a step of a stage; gives its configuration and folder.

    What ends it is no error of anybody's: as abrupt as an end can be within a process.
    """
    import pytorch_lightning as pl

    from lifting.experiment import run as module
    from lifting.experiment.folder import newest_run
    from lifting.experiment.load import load_experiment

    class Killed(BaseException):
        pass

    def cut(stage: str, step: int, *overrides: str) -> tuple[object, Path]:
        class KillDuring(pl.Callback):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                if pl_module.stage.name == stage and trainer.global_step == step:
                    raise Killed

        build = module.build_trainer

        def with_kill(*arguments, callbacks=(), **options):
            return build(*arguments, callbacks=[*callbacks, KillDuring()], **options)

        config = load_experiment(tiny_experiment, overrides)
        with monkeypatch.context() as patch:
            patch.setattr(module, "build_trainer", with_kill)
            with pytest.raises(Killed):
                module.train(config)
        return config, newest_run(config.output, "tiny", "config.yaml")

    return cut
