"""The score that chooses the best checkpoint: known, and logged, before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import torch

from lifting.batch import Prediction, root_relative
from lifting.data.datamodule import PoseDataModule
from lifting.data.gather import TrackBatches
from lifting.errors import ConfigError, suggest
from lifting.experiment.callbacks import VALIDATION
from lifting.experiment.config import ExperimentConfig
from lifting.experiment.without_truth import scored
from lifting.methods.base import LiftingModule
from lifting.metrics.protocol import higher_is_better, needs_scale
from lifting.metrics.report import KINDS

NEIGHBOURS = 8  # samples; scores of motion need some


def check_monitor(config: ExperimentConfig, module: LiftingModule, data: PoseDataModule) -> None:
    """Check that the validation will log the monitor, and that one of two values is the better.

    Args:
        config: The experiment.
        module: The method; its answers decide on scores of uncertainty and hypotheses.
        data: Its data, whose actions, tracks and kind of labels decide on others.

    Raises:
        ConfigError: It is not logged, has no better direction, or the labels lack the scale that
            it needs.
    """
    monitor = config.trainer.monitor
    key, supervision = monitor.removeprefix(VALIDATION), data.info("val").supervision
    if needs_scale(key) and not supervision.metric:
        raise ConfigError(
            f"expected trainer.monitor to be a score that needs no scale, got '{monitor}': labels "
            "of a teacher that is not told where the cameras are have no true scale; set "
            "trainer.monitor to val/n_mpjpe_mm or val/pa_mpjpe_mm"
        )
    if key in KINDS:  # of every validation
        return
    known = logged_scores(config, module, data)
    if key not in known:
        known |= logged_scores(config, module, data, answer=True)
    if key not in known:
        near = [VALIDATION + name for name in known if ("/" in name) == ("/" in key)]
        raise ConfigError(
            "expected trainer.monitor to be a score that this run's validation logs, got "
            f"'{monitor}'; {suggest(monitor, near)}"
        )


@torch.no_grad()
def logged_scores(
    config: ExperimentConfig, module: LiftingModule, data: PoseDataModule, *, answer: bool = False
) -> set[str]:
    """Keys of the scores that a validation logs, without the split, which have a better direction.

    Args:
        config: The experiment.
        module: The method.
        data: Its data.
        answer: Lift some samples, which tells the scores of whatever else a method answers; else
            their labels stand for its poses.
    """
    info, loader = data.info("val"), data.val_dataloader()
    metrics, samples = module.new_metrics(info), loader.dataset
    assert isinstance(samples, TrackBatches)
    batches = config.trainer.limit_val_batches
    seen = None if batches is None else batches * config.data.eval_batch_size
    action = samples.tracks.action[samples.windows.track[:seen]].tolist()
    first = {name: row for row, name in reversed(list(enumerate(action)))}
    rows = sorted({*range(min(NEIGHBOURS, len(action))), *first.values()})
    batch = samples.gather(torch.tensor(rows))
    assert batch.joints_3d is not None
    # All joints of all of them count, whether or not they can be seen.
    labels = batch.joints_3d.nan_to_num()
    batch = replace(batch, joints_3d=labels, visible=None)
    if answer:
        modes = {part: part.training for part in module.modules()}
        prediction = module.eval().infer(batch)
        for part, training in modes.items():
            part.training = training
    else:
        poses = root_relative(labels, module.skeleton.root)
        prediction = Prediction(skeleton=info.skeleton, joints_3d=poses)
    metrics.update(prediction, batch)
    found = scored({key: float(value) for key, value in metrics.compute().items()}, data)
    return {key for key in found if higher_is_better(key) is not None}
