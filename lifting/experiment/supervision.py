"""What goes with a training on labels of a teacher: the guard, and scores that it cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.callbacks import Callback

from lifting.data.datamodule import PoseDataModule
from lifting.errors import ConfigError
from lifting.experiment.collapse import CollapseGuard
from lifting.experiment.config import ExperimentConfig
from lifting.metrics.protocol import needs_scale


def supervision_callbacks(config: ExperimentConfig, data: PoseDataModule) -> list[Callback]:
    """Callbacks of a training by its labels: the guard against collapse where a teacher made them.

    Args:
        config: The experiment.
        data: Its data.

    Raises:
        ConfigError: The score that chooses the checkpoint needs a scale that the labels lack.
    """
    info = data.info("val")
    monitor = config.trainer.monitor.partition("/")[2]
    if not info.supervision.metric and needs_scale(monitor):
        raise ConfigError(
            f"expected trainer.monitor to be a score that needs no scale, got "
            f"'{config.trainer.monitor}': labels of a teacher that is not told where the cameras "
            "are have no true scale; set trainer.monitor to val/n_mpjpe_mm or val/pa_mpjpe_mm"
        )
    if config.data.labels == "truth":
        return []
    return [CollapseGuard(info.skeleton.root)]


def supervision_facts(data: PoseDataModule) -> dict[str, Any]:
    """What the labels of a training were, and what scores that leaves out, for its record.

    Args:
        data: Its data.
    """
    told = data.info("test").supervision
    facts: dict[str, Any] = dict(told.facts)
    if data.has("train"):
        source = data.info("train").source
        facts |= {k: v for k, v in source.items() if k.startswith("labels_")}
    test = data.info("test").source
    facts["test_labels"] = test.get("labels", "truth")
    if not told.metric:
        facts["refused"] = (
            "MPJPE and all scores that compare lengths: the labels have no true scale"
        )
    return facts


def scored(values: Mapping[str, float], data: PoseDataModule) -> dict[str, float]:
    """Scores that the labels of a training permit.

    Args:
        values: Scores by key, without their split.
        data: Its data.
    """
    metric = data.info("test").supervision.metric
    return {k: v for k, v in values.items() if metric or not needs_scale(k)}
